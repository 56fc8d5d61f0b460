//! One task per key: takes what its host, a person and the vault say to the state machine, and
//! what the machine wants to them.
//!
//! Deliberately absent: what any message means, and how reports travel.

mod seed;
#[cfg(test)]
mod tests;

use std::{
    future::{pending, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use roamkey_ctap::{CommitFailed, CommitId, Device, Event, Instant, KeyState};
use roamkey_transport::{Ended, Event as HostEvent, Transport, usbip::Attachments};
use tokio::time::{Instant as Clock, sleep, sleep_until};
use tracing::{debug, error, info, warn};

pub use seed::Seed;

use crate::{
    presence::Seat,
    profile::Profile,
    vault::{KeyVault, Pending, VaultError},
};

/// How long to wait before a vault that failed is tried again.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// What the vault is doing for the key.
enum Vaulting {
    Nothing,
    Committing(CommitId, Pending<Result<(), VaultError>>),
    Reloading(Pending<Result<KeyState, VaultError>>),
    /// It could not be read, and is left alone for a while.
    Pausing(Pending<()>),
}

/// What a turn of the key's task was woken by.
enum Woken {
    Host(Result<HostEvent, Ended>),
    Decision(roamkey_ctap::PresenceId, roamkey_ctap::Decision),
    Committed(CommitId, Result<(), VaultError>),
    Reloaded(Result<Box<KeyState>, VaultError>),
    Paused,
    Timeout,
}

/// A security key with everything that it needs from the world.
pub struct Key {
    device: Device,
    vault: Box<dyn KeyVault>,
    vaulting: Vaulting,
    seat: Seat,
    /// The origin of the state machine's time.
    origin: Clock,
}

impl Key {
    /// Loads a key from its vault. Needs a tokio runtime with time.
    ///
    /// # Errors
    /// The vault does not hold a whole key, or cannot be read.
    pub async fn open(
        profile: &Profile,
        seed: Seed,
        mut vault: Box<dyn KeyVault>,
        seat: Seat,
    ) -> Result<Self, VaultError> {
        let state = vault.load().await?;
        Ok(Self {
            device: Device::new(profile.ctap.clone(), state, seed.into_rng()),
            vault,
            vaulting: Vaulting::Nothing,
            seat,
            origin: Clock::now(),
        })
    }

    /// Serves one host after the other until the key is taken off the server.
    pub async fn run(mut self, mut hosts: Attachments) {
        loop {
            let host = tokio::select! {
                host = hosts.next() => host,
                () = self.work_without_host() => continue,
            };
            let Some(host) = host else { return };
            self.serve(host).await;
        }
    }

    /// Serves one host until it is gone. The key has power from the host's configuration of the
    /// device to the end of the attachment.
    pub async fn serve(&mut self, mut host: Box<dyn Transport>) -> Ended {
        let peer = host.peer();
        info!(key = self.seat.key(), %peer, "attached");
        self.seat.attached(peer);
        let ended = loop {
            if let Err(ended) = self.turn(&mut *host).await {
                break ended;
            }
        };
        self.device.handle_power(self.now(), false);
        self.settle();
        match ended {
            Ended::Violation(_) | Ended::SlowReader => {
                warn!(key = self.seat.key(), %peer, %ended, "detached");
            }
            Ended::PeerClosed | Ended::Io(_) | Ended::Removed | Ended::ServerClosed => {
                info!(key = self.seat.key(), %peer, %ended, "detached");
            }
        }
        self.seat.detached(peer, ended);
        ended
    }

    /// Waits for one thing, deals with it, and gives the host the reports it waits for.
    async fn turn(&mut self, host: &mut dyn Transport) -> Result<(), Ended> {
        // What a host may flood comes last, so that nothing else waits for it.
        let woken = tokio::select! {
            biased;
            (id, decision) = self.seat.decision() => Woken::Decision(id, decision),
            woken = vaulted(&mut self.vaulting) => woken,
            () = until(self.origin, self.device.poll_timeout()) => Woken::Timeout,
            event = poll_fn(|cx| host.poll_event(cx)) => Woken::Host(event),
        };
        self.handle(woken)?;
        while host.wants_report() {
            let Some(report) = self.device.poll_report() else {
                break;
            };
            host.send_report(&report);
        }
        Ok(())
    }

    /// Finishes what is under way while no host is there.
    async fn work_without_host(&mut self) {
        let woken = tokio::select! {
            woken = vaulted(&mut self.vaulting) => woken,
            () = until(self.origin, self.device.poll_timeout()) => Woken::Timeout,
        };
        // Only a host's end is an error here, and there is none.
        let _ = self.handle(woken);
    }

    fn handle(&mut self, woken: Woken) -> Result<(), Ended> {
        let now = self.now();
        match woken {
            Woken::Host(event) => match event? {
                HostEvent::PowerOn => self.device.handle_power(now, true),
                HostEvent::Report(report) => self.device.handle_report(now, &report),
                HostEvent::ReportWanted => self.device.handle_reader(now, true),
                HostEvent::ReportUnwanted => self.device.handle_reader(now, false),
            },
            Woken::Decision(id, decision) => self.device.handle_decision(now, id, decision),
            Woken::Committed(id, result) => self.committed(id, result),
            Woken::Reloaded(result) => self.reloaded(result),
            Woken::Paused => self.vaulting = Vaulting::Reloading(self.vault.load()),
            Woken::Timeout => self.device.handle_timeout(now),
        }
        self.settle();
        Ok(())
    }

    /// Deals with everything the state machine asks for until it asks for no more.
    fn settle(&mut self) {
        while let Some(event) = self.device.poll_event() {
            match event {
                Event::PresenceNeeded { id, prompt } => {
                    if let Some(decision) = self.seat.ask(id, &prompt) {
                        self.device.handle_decision(self.now(), id, decision);
                    }
                }
                Event::PresenceWithdrawn { id, reason } => self.seat.withdraw(id, reason),
                Event::Commit { id, set } => {
                    debug!(key = self.seat.key(), ?set, "commit");
                    self.vaulting = Vaulting::Committing(id, self.vault.commit(set));
                    self.poll_commit_once();
                }
                Event::Wink => self.seat.wink(),
                Event::Trace(_) | Event::FaultMet { .. } | Event::Unplug => {}
            }
        }
    }

    /// A vault in memory has its answer ready: no need to sleep over it.
    fn poll_commit_once(&mut self) {
        let woken = {
            let mut vaulted = pin!(vaulted(&mut self.vaulting));
            let mut cx = Context::from_waker(Waker::noop());
            vaulted.as_mut().poll(&mut cx)
        };
        match woken {
            Poll::Ready(Woken::Committed(id, result)) => self.committed(id, result),
            Poll::Ready(Woken::Reloaded(result)) => self.reloaded(result),
            Poll::Ready(Woken::Host(_) | Woken::Decision(..) | Woken::Paused | Woken::Timeout)
            | Poll::Pending => {}
        }
    }

    fn committed(&mut self, id: CommitId, result: Result<(), VaultError>) {
        self.vaulting = Vaulting::Nothing;
        let result = result.map_err(|why| {
            error!(key = self.seat.key(), %why, "not stored: the key answers an error");
            self.vaulting = Vaulting::Reloading(self.vault.load());
            CommitFailed
        });
        self.device.handle_committed(self.now(), id, result);
    }

    fn reloaded(&mut self, result: Result<Box<KeyState>, VaultError>) {
        match result {
            Ok(state) => {
                self.vaulting = Vaulting::Nothing;
                self.device.handle_restored(*state);
                info!(
                    key = self.seat.key(),
                    "read again from the vault: the key goes on"
                );
            }
            Err(why) => {
                warn!(key = self.seat.key(), %why, "the vault cannot be read; trying again");
                self.vaulting = Vaulting::Pausing(Box::pin(sleep(RELOAD_PAUSE)));
            }
        }
    }

    fn now(&self) -> Instant {
        let elapsed = self.origin.elapsed().as_millis();
        Instant::from_millis(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

/// The vault's next answer; never, while nothing is asked of it.
async fn vaulted(vaulting: &mut Vaulting) -> Woken {
    match vaulting {
        Vaulting::Nothing => pending().await,
        Vaulting::Committing(id, commit) => {
            let id = *id;
            Woken::Committed(id, commit.as_mut().await)
        }
        Vaulting::Reloading(load) => Woken::Reloaded(load.as_mut().await.map(Box::new)),
        Vaulting::Pausing(pause) => {
            pause.as_mut().await;
            Woken::Paused
        }
    }
}

/// Sleeps to a point of the state machine's time; for ever, where there is none.
async fn until(origin: Clock, timeout: Option<Instant>) {
    match timeout {
        Some(at) => sleep_until(origin + Duration::from_millis(at.as_millis())).await,
        None => pending().await,
    }
}
