//! Change sets on their way to the vault: of commands, of a key's owner, and leases of signature
//! counters.
//!
//! Deliberately absent: what changes, which is the commands' and `admin`'s.

use super::{Authenticator, Next, Step, Waiting};
use crate::{
    credential::CredentialId,
    crypto::Rng,
    event::{AdminRefusal, CommitFailed, CommitId, Event},
    profile::Profile,
    state::{Change, ChangeSet, Counter, KeyState, Place, Record},
    status::Status,
    time::Instant,
};

/// Whose signature counter.
#[derive(Clone, Copy)]
pub(super) enum CounterOf {
    /// The one that derived credentials share.
    Key,
    Credential(CredentialId),
}

/// A set of the key's owner on its way.
pub(super) struct Admin {
    id: CommitId,
    set: ChangeSet,
}

impl Authenticator {
    /// The key's owner changes it. Enumerations end, since what they go through may be gone;
    /// `None` when there is nothing to change.
    pub(crate) fn handle_admin<E>(
        &mut self,
        change: impl FnOnce(&KeyState, &Profile, &mut Rng) -> Result<ChangeSet, E>,
    ) -> Result<Option<CommitId>, AdminRefusal<E>> {
        if self.admin.is_some() || matches!(self.waiting, Some(Waiting::Commit { .. })) {
            return Err(AdminRefusal::Busy);
        }
        if self.fenced {
            return Err(AdminRefusal::Fenced);
        }
        let set = change(&self.state, &self.profile, &mut self.rng);
        let set = set.map_err(AdminRefusal::Refused)?;
        if set.is_empty() {
            return Ok(None);
        }
        self.stateful = None;
        let id = self.submit(&set);
        self.admin = Some(Admin { id, set });
        Ok(Some(id))
    }

    /// Sends a set on its way. What of the key is in no record follows at once: tokens, agreed
    /// keys, wrong PINs in a row.
    pub(super) fn submit(&mut self, set: &ChangeSet) -> CommitId {
        for change in set.changes() {
            match change {
                // A reset (CTAP 2.1 §6.6).
                Change::Put(Record::Master(_)) => {
                    self.pin = crate::pin::PinState::new(&mut self.rng);
                    self.stateful = None;
                }
                // §6.5.5.6; and a PIN that must be changed ends what it has opened (§6.11.4).
                Change::Put(Record::Pin(_)) => self.pin.end_token(),
                Change::Put(Record::Config(config)) if config.force_pin_change => {
                    self.pin.end_token();
                }
                // Attempts come back after the right PIN alone.
                Change::Delete(Place::PinRetries) => self.pin.matched(),
                Change::Put(_) | Change::Delete(_) => {}
            }
        }
        let id = CommitId(self.next_id());
        let set = set.clone();
        self.events.push_back(Event::Commit { id, set });
        id
    }

    /// The vault answers; an answer to what is not on its way does nothing.
    pub(crate) fn handle_committed(
        &mut self,
        now: Instant,
        id: CommitId,
        result: Result<(), CommitFailed>,
    ) {
        if let Some(Admin { set, .. }) = self.admin.take_if(|admin| admin.id == id) {
            match result {
                Ok(()) => self.state.apply_admin(set),
                Err(CommitFailed) => self.fence(),
            }
            self.follow_decision(now);
        } else {
            self.command_committed(now, id, result);
        }
        if self.waiting.is_none()
            && self.admin.is_none()
            && let Some((kind, payload)) = self.deferred.take()
        {
            self.start(now, kind, &payload);
        }
    }

    fn command_committed(&mut self, now: Instant, id: CommitId, result: Result<(), CommitFailed>) {
        let (set, next) = match self.waiting.take() {
            Some(Waiting::Commit {
                id: sent,
                set,
                next,
            }) if sent == id => (set, next),
            waiting => {
                self.waiting = waiting;
                return;
            }
        };
        let step = match result {
            Ok(()) => {
                self.state.apply(set);
                next.map(|next| self.resume(now, next))
            }
            Err(CommitFailed) => {
                self.fence();
                next.map(|next| Ok(Step::Respond(next.failure())))
            }
        };
        if let Some(step) = step {
            self.go_on(now, step);
        }
    }

    /// A commit failed: the state may not be what is stored.
    fn fence(&mut self) {
        self.fenced = true;
        self.stateful = None;
    }

    /// The state read again from what is durable, after a commit that failed.
    pub(crate) fn handle_restored(&mut self, state: KeyState) {
        self.state = state;
        self.stateful = None;
        self.fenced = false;
    }

    /// A counter's next value, or the lease to make durable before there is one.
    pub(super) fn take_count(&mut self, of: CounterOf) -> Result<u32, LeaseNeeded> {
        // A credential that may be copied has no counter that all copies could share.
        if self.may_be_copied(of) {
            return Ok(0);
        }
        let counter = self.counter_mut(of).ok_or(LeaseNeeded(None))?;
        if let Some(count) = counter.take() {
            return Ok(count);
        }
        let Some(ceiling) = counter.lease() else {
            return Err(LeaseNeeded(None));
        };
        let mut set = ChangeSet::default();
        set.put(match of {
            CounterOf::Key => Record::Counter { ceiling },
            CounterOf::Credential(id) => Record::CredentialCounter { id, ceiling },
        });
        Err(LeaseNeeded(Some(set)))
    }

    fn may_be_copied(&self, of: CounterOf) -> bool {
        let stored = match of {
            CounterOf::Key => None,
            CounterOf::Credential(id) => self.state.credentials.by_id(&id),
        };
        stored.map_or(self.profile.backup_eligible, |stored| {
            self.profile.backup_of(&stored.credential).eligible
        })
    }

    fn counter_mut(&mut self, of: CounterOf) -> Option<&mut Counter> {
        match of {
            CounterOf::Key => Some(&mut self.state.counter),
            CounterOf::Credential(id) => self.state.credentials.counter_mut(&id),
        }
    }
}

/// A counter gave no value: the lease that it needs, or `None` when its 32 bits are used up.
pub(super) struct LeaseNeeded(Option<ChangeSet>);

impl LeaseNeeded {
    /// The step that leads to `next` with the lease in hand.
    pub(super) fn then(self, next: Next) -> Result<Step, Status> {
        match self.0 {
            Some(set) => Ok(Step::Commit(set, next)),
            None => Err(Status::Other),
        }
    }
}
