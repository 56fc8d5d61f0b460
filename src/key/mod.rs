//! One task per key: takes what its host, a person and the vault say to the state machine, and
//! what the machine wants to them.
//!
//! Deliberately absent: what any message means, and how reports travel.

mod alarm;
mod handle;
mod outside;
mod seed;
#[cfg(test)]
mod tests;
mod work;

use std::{
    future::{pending, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use roamkey_ctap::{CommitFailed, CommitId, Device, Event, Instant, KeyState, WorkDone, WorkId};
use roamkey_transport::{Attachments, Ended, Event as HostEvent, Transport};
use tokio::time::{Instant as Clock, sleep};
use tracing::{debug, error, info, warn};

use alarm::Alarm;
use handle::Wish;
pub use handle::{ChangeError, KeyHandle, Port};
use outside::{Next, Outside};
pub use seed::Seed;
use work::Working;

use crate::{
    journal,
    limits::MOST_TRACES,
    presence::{Scribe, Seat},
    profile::Profile,
    vault::{KeyVault, Pending, VaultError},
};

/// How long to wait before a vault that failed is tried again.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// How many events of its host are thrown away, at most, while a key is pulled out.
const FLUSH_TURNS: usize = 64;

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
    WorkDone(WorkId, WorkDone),
    Timeout,
    /// `None` when nobody can wish for anything any more.
    Wish(Option<Wish>),
}

/// A security key with everything that it needs from the world.
pub struct Key {
    device: Device,
    vault: Box<dyn KeyVault>,
    vaulting: Vaulting,
    working: Working,
    seat: Seat,
    scribe: Scribe,
    /// The origin of the state machine's time.
    origin: Clock,
    alarm: Alarm,
    /// Whether its host gives it power.
    powered: bool,
    outside: Outside,
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
            working: Working::default(),
            scribe: seat.scribe(),
            seat,
            origin: Clock::now(),
            alarm: Alarm::default(),
            powered: false,
            outside: Outside::default(),
        })
    }

    /// A way to reach the key while it runs; what happens on its wires is noted from now on.
    pub fn handle(&mut self) -> KeyHandle {
        self.device.handle_tracing(true);
        self.outside.handle()
    }

    /// Serves the hosts of one place, one after the other, until the key is taken off there; and
    /// where others can reach it, until it is stopped.
    pub async fn run(mut self, hosts: Attachments) {
        let pull = Box::new(|| ());
        self.outside.plug(Port { hosts, pull });
        self.work().await;
    }

    /// Serves hosts wherever it is plugged in, until it is stopped or nobody can reach it.
    pub async fn work(mut self) {
        while self.outside.is_wanted() {
            let due = self.due();
            let woken = tokio::select! {
                biased;
                woken = vaulted(&mut self.vaulting) => woken,
                (id, done) = self.working.done() => Woken::WorkDone(id, done),
                () = self.alarm.reached(due) => Woken::Timeout,
                next = self.outside.next() => match next {
                    Next::Wish(wish) => Woken::Wish(wish),
                    Next::Host(Some(host)) => {
                        self.serve(host).await;
                        self.outside.session_over();
                        continue;
                    }
                    Next::Host(None) => {
                        self.outside.unplugged();
                        continue;
                    }
                },
            };
            // Only a host's end is an error here, and there is none.
            let _ = self.handle_woken(woken);
            self.settle(None);
            self.start_changes();
            self.scribe.note_traces(&mut self.device);
            self.outside.session_over();
        }
        self.outside.pull_out();
        self.outside.session_over();
    }

    /// Serves one host until it is gone. The key has power from the host's configuration of the
    /// device to the end of the attachment.
    pub async fn serve(&mut self, mut host: Box<dyn Transport>) -> Ended {
        let peer = host.peer();
        info!(key = self.seat.key(), %peer, "attached");
        self.outside.shown.set_host(Some(peer.to_string()));
        self.seat.attached(peer);
        let ended = loop {
            if let Err(ended) = self.turn(&mut *host).await {
                break ended;
            }
        };
        // Before its end is told.
        drop(host);
        self.outside.shown.set_host(None);
        self.powered = false;
        self.device.handle_power(self.now(), false);
        self.settle(None);
        self.scribe.note_traces(&mut self.device);
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
        let due = self.due();
        // What a host may flood comes last, so that nothing else waits for it.
        let woken = tokio::select! {
            biased;
            (id, decision) = self.seat.decision() => Woken::Decision(id, decision),
            woken = vaulted(&mut self.vaulting) => woken,
            (id, done) = self.working.done() => Woken::WorkDone(id, done),
            wish = self.outside.next_wish() => Woken::Wish(wish),
            () = self.alarm.reached(due) => Woken::Timeout,
            event = poll_fn(|cx| poll_host(host, cx, &self.scribe, &mut self.device)) => {
                Woken::Host(event)
            }
        };
        self.handle_woken(woken)?;
        self.settle(Some(host));
        self.start_changes();
        if self.device.waiting_traces() > MOST_TRACES {
            self.scribe.note_traces(&mut self.device);
        }
        if self.outside.takes_unplug() {
            flush(host).await;
            self.outside.pull_out();
            self.scribe.note(journal::Event::Unplugged);
        }
        if self.outside.is_pulled() {
            return Err(Ended::Removed);
        }
        self.give_reports(host);
        Ok(())
    }

    /// Gives the host the reports that it waits for.
    fn give_reports(&mut self, host: &mut dyn Transport) {
        while host.wants_report() {
            let Some(report) = self.device.poll_report() else {
                break;
            };
            host.send_report(&report);
        }
    }

    fn handle_woken(&mut self, woken: Woken) -> Result<(), Ended> {
        let now = self.now();
        match woken {
            Woken::Host(event) => match event? {
                HostEvent::PowerOn => {
                    self.powered = true;
                    self.device.handle_power(now, true);
                }
                HostEvent::Report(report) => self.device.handle_report(now, &report),
                HostEvent::ReportWanted => self.device.handle_reader(now, true),
                HostEvent::ReportUnwanted => self.device.handle_reader(now, false),
            },
            Woken::Decision(id, decision) => self.device.handle_decision(now, id, decision),
            Woken::Committed(id, result) => self.committed(id, result),
            Woken::Reloaded(result) => self.reloaded(result),
            Woken::Paused => self.vaulting = Vaulting::Reloading(self.vault.load()),
            Woken::WorkDone(id, done) => self.device.handle_work_done(now, id, done),
            Woken::Timeout => self.device.handle_timeout(now),
            Woken::Wish(wish) => {
                // Whoever asks sees what the host has seen.
                self.scribe.note_traces(&mut self.device);
                self.handle_wish(wish);
            }
        }
        Ok(())
    }

    /// Deals with everything the state machine asks for until it asks for no more.
    fn settle(&mut self, mut host: Option<&mut dyn Transport>) {
        while let Some(event) = self.device.poll_event() {
            match event {
                Event::PresenceNeeded { id, prompt } => {
                    // A policy may answer at once, and what follows takes longer than a round
                    // trip: the host hears meanwhile that a touch is wanted, and asks for more.
                    if let Some(host) = host.as_deref_mut() {
                        self.give_reports(host);
                        host.flush();
                    }
                    // What is asked for is noted before the touch that it needs.
                    self.scribe.note_traces(&mut self.device);
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
                Event::Work { id, work } => self.working.begin(id, work),
                Event::Wink => self.seat.wink(),
                Event::FaultMet {
                    id,
                    fault,
                    operation,
                } => self.scribe.note(journal::Event::Fault {
                    id: id.0,
                    fault: fault.to_string(),
                    operation,
                }),
                Event::Unplug => self.outside.want_unplug(),
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
            Poll::Ready(
                Woken::Host(_)
                | Woken::Decision(..)
                | Woken::Paused
                | Woken::WorkDone(..)
                | Woken::Timeout
                | Woken::Wish(_),
            )
            | Poll::Pending => {}
        }
    }

    fn committed(&mut self, id: CommitId, result: Result<(), VaultError>) {
        self.vaulting = Vaulting::Nothing;
        let stored = result.is_ok();
        let result = result.map_err(|why| {
            error!(key = self.seat.key(), %why, "not stored: the key answers an error");
            self.vaulting = Vaulting::Reloading(self.vault.load());
            CommitFailed
        });
        self.device.handle_committed(self.now(), id, result);
        self.outside.committed(id, stored);
    }

    fn reloaded(&mut self, result: Result<Box<KeyState>, VaultError>) {
        match result {
            Ok(state) => {
                self.vaulting = Vaulting::Nothing;
                self.device.handle_restored(*state);
                self.outside.reloaded();
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

    /// When the state machine wants to be looked at.
    fn due(&self) -> Option<Clock> {
        let at = self.device.poll_timeout()?;
        Some(self.origin + Duration::from_millis(at.as_millis()))
    }

    fn now(&self) -> Instant {
        let elapsed = self.origin.elapsed().as_millis();
        Instant::from_millis(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

/// The host's next event. Before the key sleeps, and once the host has its reports, there is time to
/// note what happened.
fn poll_host(
    host: &mut dyn Transport,
    cx: &mut Context<'_>,
    scribe: &Scribe,
    device: &mut Device,
) -> Poll<Result<HostEvent, Ended>> {
    let polled = host.poll_event(cx);
    if polled.is_pending() {
        scribe.note_traces(device);
    }
    polled
}

/// What was sent before the key is pulled out has left it: lets the transport write, whatever the
/// host does meanwhile.
async fn flush(host: &mut dyn Transport) {
    poll_fn(|cx| {
        for _ in 0..FLUSH_TURNS {
            if !matches!(host.poll_event(cx), Poll::Ready(Ok(_))) {
                break;
            }
        }
        Poll::Ready(())
    })
    .await;
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
