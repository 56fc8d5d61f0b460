//! What a key may be, from what programs saw: a request is confirmed by its answer, and in doubt
//! when its session ended first, its channel was initialized or its commit failed. A doubt ends at
//! the next look, and nobody may change their mind after that.
//!
//! Programs tell it what they saw in the order in which it was on the wire. Absent: how a request
//! looks, and whether its answer came in time.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{cose::PublicKey, large_blobs::INITIAL};

pub(crate) const ALL_RETRIES: u64 = 8;

/// What a request may change.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Only looks.
    Nothing,
    /// Uses up a token.
    TokenUse,
    /// Makes a discoverable credential of an account.
    Create(&'static str, Vec<u8>),
    Delete(Vec<u8>),
    Reset,
    /// Compares a PIN.
    TryPin(String),
    SetPin(String),
    /// Compares the old one first.
    ChangePin(String, String),
    /// Ends a write of large blobs.
    Blobs(Vec<u8>),
}

/// A request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Op(u64);

/// A credential that somebody has seen.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) rp_id: &'static str,
    /// Of a discoverable one.
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) u2f: bool,
    pub(crate) public_key: Option<PublicKey>,
    counter: u32,
    alive: bool,
    /// Something that would have ended it is in doubt.
    in_doubt: bool,
}

impl Known {
    fn is_sure(&self) -> bool {
        self.alive && !self.in_doubt
    }
}

/// What was seen cannot be.
pub(crate) type Checked = Result<(), String>;

/// One key's model.
pub(crate) struct Model {
    known: BTreeMap<Vec<u8>, Known>,
    /// Accounts whose discoverable credential may have been made.
    maybe_made: BTreeSet<(&'static str, Vec<u8>)>,
    pub(super) pins: Vec<Option<String>>,
    pub(super) retries: (u64, u64),
    pub(super) mismatches: (u64, u64),
    blobs: Vec<Vec<u8>>,
    /// The highest count of credentials that share the key's counter, which outlives resets.
    shared: u32,
    outstanding: BTreeMap<Op, Effect>,
    last_op: u64,
    /// Counts what ends tokens.
    pub(crate) epoch: u64,
    /// Counts changes of credentials.
    pub(crate) changes: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            maybe_made: BTreeSet::new(),
            pins: vec![None],
            retries: (ALL_RETRIES, ALL_RETRIES),
            mismatches: (0, 0),
            blobs: vec![INITIAL.to_vec()],
            shared: 0,
            outstanding: BTreeMap::new(),
            last_op: 0,
            epoch: 0,
            changes: 0,
        }
    }

    /// A request is about to be sent.
    pub(crate) fn begin(&mut self, effect: Effect) -> Op {
        match &effect {
            Effect::Create(..) | Effect::Delete(_) | Effect::Reset => self.changes += 1,
            Effect::Nothing | Effect::TokenUse | Effect::TryPin(_) => {}
            Effect::SetPin(_) | Effect::ChangePin(..) | Effect::Blobs(_) => {}
        }
        if !matches!(effect, Effect::Nothing) {
            self.epoch += 1;
        }
        self.last_op += 1;
        let op = Op(self.last_op);
        self.outstanding.insert(op, effect);
        op
    }

    /// Its answer is there. `None` if its session is over, and the answer means nothing any more.
    pub(crate) fn end(&mut self, op: Op) -> Option<Effect> {
        self.outstanding.remove(&op)
    }

    /// A host has the key now: what others left without an answer is in doubt, and power was gone.
    pub(crate) fn attached(&mut self) {
        for (_, effect) in std::mem::take(&mut self.outstanding) {
            self.doubt(&effect);
        }
        self.mismatches = (0, 0);
        self.epoch += 1;
        self.changes += 1;
    }

    /// Nobody knows whether that happened.
    pub(crate) fn doubt(&mut self, effect: &Effect) {
        self.epoch += 1;
        self.changes += 1;
        match effect {
            Effect::Nothing | Effect::TokenUse => {}
            Effect::Create(rp_id, user) => {
                self.maybe_made.insert((rp_id, user.clone()));
                self.doubt_where(|known| {
                    known.rp_id == *rp_id && known.user.as_ref() == Some(user)
                });
            }
            Effect::Delete(id) => {
                if let Some(known) = self.known.get_mut(id) {
                    known.in_doubt = true;
                }
            }
            Effect::Reset => {
                self.doubt_where(|_| true);
                self.may_be_pin(None);
                self.blobs.push(INITIAL.to_vec());
                self.retries.1 = ALL_RETRIES;
                self.mismatches.0 = 0;
            }
            Effect::TryPin(pin) => self.doubt_attempt(pin),
            Effect::SetPin(pin) => {
                self.may_be_pin(Some(pin.clone()));
                self.retries.1 = ALL_RETRIES;
            }
            Effect::ChangePin(old, new) => {
                self.doubt_attempt(old);
                if self.may_match(old) {
                    self.may_be_pin(Some(new.clone()));
                }
            }
            Effect::Blobs(array) => self.blobs.push(array.clone()),
        }
    }

    fn doubt_where(&mut self, which: impl Fn(&Known) -> bool) {
        for known in self.known.values_mut().filter(|known| which(known)) {
            known.in_doubt = true;
        }
    }

    pub(crate) fn was_reset(&mut self) {
        for known in self.known.values_mut() {
            known.alive = false;
        }
        self.maybe_made.clear();
        self.pins = vec![None];
        self.retries = (ALL_RETRIES, ALL_RETRIES);
        self.mismatches = (0, 0);
        self.blobs = vec![INITIAL.to_vec()];
    }

    pub(crate) fn was_deleted(&mut self, id: &[u8]) {
        if let Some(known) = self.known.get_mut(id) {
            known.alive = false;
        }
    }

    /// A credential was made, with this counter.
    pub(crate) fn was_made(
        &mut self,
        id: Vec<u8>,
        account: (&'static str, Option<Vec<u8>>),
        public_key: PublicKey,
        (counter, u2f): (u32, bool),
    ) -> Checked {
        let (rp_id, user) = account;
        if self.known.contains_key(&id) {
            return Err("a credential id was given twice".to_owned());
        }
        if let Some(user) = &user {
            self.overwrite(rp_id, user);
            self.maybe_made.remove(&(rp_id, user.clone()));
        }
        let known = Known {
            rp_id,
            user,
            u2f,
            public_key: Some(public_key),
            counter,
            alive: true,
            in_doubt: false,
        };
        self.known.insert(id, known);
        Ok(())
    }

    fn overwrite(&mut self, rp_id: &str, user: &[u8]) {
        for known in self.known.values_mut() {
            if known.rp_id == rp_id && known.user.as_deref() == Some(user) {
                known.alive = false;
            }
        }
    }

    /// Somebody saw a credential, perhaps for the first time.
    pub(crate) fn seen(
        &mut self,
        id: &[u8],
        account: Option<(&'static str, &[u8])>,
        public_key: Option<&PublicKey>,
    ) -> Checked {
        if let Some(known) = self.known.get_mut(id) {
            if !known.alive {
                return Err(format!("a credential of {} that was deleted", known.rp_id));
            }
            known.in_doubt = false;
            if let (Some(is), Some(was)) = (public_key, &known.public_key)
                && is != was
            {
                return Err("a credential's key has changed".to_owned());
            }
            known.public_key = known.public_key.take().or_else(|| public_key.cloned());
            return Ok(());
        }
        let Some((rp_id, user)) = account else {
            return Err("a credential that nobody made".to_owned());
        };
        if !self.maybe_made.remove(&(rp_id, user.to_vec())) {
            return Err(format!("a credential of {rp_id} that nobody made"));
        }
        self.overwrite(rp_id, user);
        let known = Known {
            rp_id,
            user: Some(user.to_vec()),
            u2f: false,
            public_key: public_key.cloned(),
            counter: 0,
            alive: true,
            in_doubt: false,
        };
        self.known.insert(id.to_vec(), known);
        Ok(())
    }

    /// Somebody looked for it and it is not there.
    pub(crate) fn missed(&mut self, id: &[u8]) -> Checked {
        if let Some(known) = self.known.get_mut(id) {
            if known.is_sure() {
                return Err(format!("a credential of {} is gone", known.rp_id));
            }
            known.alive = false;
        }
        Ok(())
    }

    /// Somebody looked for all discoverable ones of a site and there is none.
    pub(crate) fn missed_all(&mut self, rp_id: &str) -> Checked {
        for id in self.discoverable(rp_id) {
            self.missed(&id)?;
        }
        self.maybe_made.retain(|(made_rp, _)| *made_rp != rp_id);
        Ok(())
    }

    /// How many discoverable ones a site has, at least and at most.
    pub(crate) fn range(&self, rp_id: &str) -> (u64, u64) {
        let of_site = |known: &&Known| known.rp_id == rp_id && known.user.is_some() && known.alive;
        let alive = self.known.values().filter(of_site);
        let sure = alive.clone().filter(|known| known.is_sure()).count();
        let made = self.maybe_made.iter().filter(|(site, _)| *site == rp_id);
        let most = alive.count() + made.count();
        (
            u64::try_from(sure).expect("64 bits"),
            u64::try_from(most).expect("64 bits"),
        )
    }

    /// Ids of discoverable ones of a site that may be there.
    pub(crate) fn discoverable(&self, rp_id: &str) -> Vec<Vec<u8>> {
        let all = self.known.iter();
        let of_site =
            all.filter(|(_, known)| known.rp_id == rp_id && known.user.is_some() && known.alive);
        of_site.map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn all(&self) -> &BTreeMap<Vec<u8>, Known> {
        &self.known
    }

    /// A signature's counter.
    pub(crate) fn counted(&mut self, id: &[u8], counter: u32) -> Checked {
        let Some(known) = self.known.get_mut(id) else {
            return Ok(());
        };
        let least = if known.user.is_none() {
            known.counter.max(self.shared)
        } else {
            known.counter
        };
        if counter <= least {
            return Err(format!("counter {counter} after {least}"));
        }
        known.counter = counter;
        if known.user.is_none() {
            self.shared = counter;
        }
        Ok(())
    }

    pub(crate) fn blobs_written(&mut self, array: &[u8]) {
        self.blobs = vec![array.to_vec()];
    }

    pub(crate) fn blobs_seen(&mut self, array: &[u8]) -> Checked {
        if !self.blobs.iter().any(|known| known == array) {
            return Err(format!("large blobs that nobody wrote: {array:02x?}"));
        }
        self.blobs_written(array);
        Ok(())
    }
}
