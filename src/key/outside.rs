//! A key's dealings with those who reach it beside its host: where it is plugged in, and changes
//! that its owner makes.

use std::{collections::VecDeque, future::pending, sync::Arc};

use roamkey_ctap::{AdminRefusal, CommitId};
use roamkey_transport::{Attachments, Transport};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::{
    ChangeError, Key, KeyHandle, Port, Vaulting,
    handle::{Shown, Wanted, Wish},
};
use crate::journal::Event;

/// What others want of a key, and where it is plugged in.
#[derive(Default)]
pub(super) struct Outside {
    hosts: Option<Attachments>,
    pull: Option<Box<dyn FnOnce() + Send>>,
    /// Whether its host's session has to end.
    pulled: bool,
    /// For those who hold handles.
    pub(super) shown: Arc<Shown>,
    /// Whether a fault wants the key pulled out.
    unplug_wanted: bool,
    /// Who waits for the end of that session.
    unplugging: Vec<oneshot::Sender<bool>>,
    wishes: Option<mpsc::Receiver<Wish>>,
    stopped: bool,
    /// Changes that wait for a commit that is on its way.
    wanted: VecDeque<Wanted>,
    /// The change that is on its way.
    changing: Option<(CommitId, oneshot::Sender<Result<(), ChangeError>>)>,
    /// Who waits for the key to be read again.
    reloading: Vec<oneshot::Sender<bool>>,
}

impl Outside {
    pub(super) fn handle(&mut self) -> KeyHandle {
        let (handle, wishes) = KeyHandle::pair(Arc::clone(&self.shown));
        self.wishes = Some(wishes);
        handle
    }

    /// Whether anything can still come.
    pub(super) fn is_wanted(&self) -> bool {
        !self.stopped && (self.wishes.is_some() || self.hosts.is_some())
    }

    /// Whether the host's session has to end.
    pub(super) fn is_pulled(&self) -> bool {
        self.pulled
    }

    pub(super) fn plug(&mut self, port: Port) {
        // There may be no session to end.
        let was_plugged = self.hosts.is_some();
        self.pull_out();
        self.pulled = was_plugged;
        self.hosts = Some(port.hosts);
        self.pull = Some(port.pull);
        self.shown.set_plugged(true);
    }

    /// Takes the key off the list; the session that a host may have ends at once.
    pub(super) fn pull_out(&mut self) {
        if let Some(pull) = self.pull.take() {
            pull();
        }
        self.pulled = true;
        self.unplugged();
    }

    /// A fault wants the key pulled out.
    pub(super) fn want_unplug(&mut self) {
        self.unplug_wanted = true;
    }

    /// Whether one did.
    pub(super) fn takes_unplug(&mut self) -> bool {
        std::mem::take(&mut self.unplug_wanted)
    }

    /// It is plugged in nowhere any more.
    pub(super) fn unplugged(&mut self) {
        self.hosts = None;
        self.pull = None;
        self.shown.set_plugged(false);
    }

    /// No host has a session now.
    pub(super) fn session_over(&mut self) {
        self.pulled = false;
        for answer in self.unplugging.drain(..) {
            // Who asked may be gone.
            let _ = answer.send(true);
        }
    }

    /// What comes next while no host has it.
    pub(super) async fn next(&mut self) -> Next {
        let Self { hosts, wishes, .. } = self;
        tokio::select! {
            biased;
            wish = next_wish(wishes) => Next::Wish(wish),
            host = next_host(hosts) => Next::Host(host),
        }
    }

    /// What others want; `None` once nobody can want anything.
    pub(super) async fn next_wish(&mut self) -> Option<Wish> {
        next_wish(&mut self.wishes).await
    }

    /// A set is durable, or is not.
    pub(super) fn committed(&mut self, id: CommitId, stored: bool) {
        if let Some((_, answer)) = self.changing.take_if(|(changing, _)| *changing == id) {
            let result = if stored {
                Ok(())
            } else {
                Err(ChangeError::NotStored)
            };
            let _ = answer.send(result);
        }
    }

    pub(super) fn reloaded(&mut self) {
        for answer in self.reloading.drain(..) {
            let _ = answer.send(true);
        }
    }
}

/// What came.
pub(super) enum Next {
    /// `None` once nobody can want anything.
    Wish(Option<Wish>),
    /// `None` once it is off the list.
    Host(Option<Box<dyn Transport>>),
}

/// Cancel-safe.
async fn next_wish(wishes: &mut Option<mpsc::Receiver<Wish>>) -> Option<Wish> {
    match wishes {
        Some(wishes) => wishes.recv().await,
        None => pending().await,
    }
}

/// Cancel-safe.
async fn next_host(hosts: &mut Option<Attachments>) -> Option<Box<dyn Transport>> {
    match hosts {
        Some(hosts) => hosts.next().await,
        None => pending().await,
    }
}

impl Key {
    pub(super) fn handle_wish(&mut self, wish: Option<Wish>) {
        let Some(wish) = wish else {
            self.outside.wishes = None;
            return;
        };
        match wish {
            Wish::Plug(port, answer) => {
                self.outside.plug(port);
                self.scribe.note(Event::Plugged);
                let _ = answer.send(());
            }
            Wish::Unplug(answer) => {
                if self.outside.hosts.is_none() {
                    let _ = answer.send(false);
                    return;
                }
                self.outside.unplugging.push(answer);
                self.outside.pull_out();
                self.scribe.note(Event::Unplugged);
            }
            Wish::PowerCycle(answer) => {
                let now = self.now();
                self.device.handle_power(now, false);
                if self.powered {
                    self.device.handle_power(now, true);
                }
                self.scribe.note(Event::PowerCycled);
                let _ = answer.send(());
            }
            Wish::Visit(visit) => {
                let now = self.now();
                visit(&mut self.device, now);
            }
            Wish::Change(wanted) => self.outside.wanted.push_back(wanted),
            Wish::Reload(answer) => {
                self.outside.reloading.push(answer);
            }
            Wish::Stop => {
                info!(key = self.seat.key(), "stopped");
                self.outside.stopped = true;
                self.outside.pull_out();
            }
        }
    }

    /// Begins what its owner wants, as far as no commit is in the way.
    pub(super) fn start_changes(&mut self) {
        let free = matches!(self.vaulting, Vaulting::Nothing);
        if free && !self.outside.reloading.is_empty() {
            self.vaulting = Vaulting::Reloading(self.vault.load());
            return;
        }
        while self.outside.changing.is_none() {
            let Some(mut wanted) = self.outside.wanted.pop_front() else {
                return;
            };
            let change = |state: &_, profile: &_, rng: &mut _| (wanted.change)(state, profile, rng);
            match self.device.handle_admin(self.now(), change) {
                Ok(Some(id)) => {
                    self.outside.changing = Some((id, wanted.answer));
                    self.settle(None);
                }
                Ok(None) => {
                    let _ = wanted.answer.send(Ok(()));
                }
                Err(AdminRefusal::Busy | AdminRefusal::Fenced) => {
                    self.outside.wanted.push_front(wanted);
                    return;
                }
                Err(AdminRefusal::Refused(why)) => {
                    let _ = wanted.answer.send(Err(ChangeError::Refused(why)));
                }
            }
        }
    }
}
