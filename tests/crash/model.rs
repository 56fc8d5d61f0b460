//! What a key has acknowledged, and what it may hold beside that.
//!
//! The model changes in two ways: by an answer, and, after a kill, by what of the request that
//! had no answer is found to be stored. Everything else must be as it was.

use std::collections::{BTreeMap, VecDeque};

use crate::support::{cose::PublicKey, ctap2::status, large_blobs::INITIAL};

/// Attempts at a PIN.
pub(super) const ALL_RETRIES: u64 = 8;
/// Wrong PINs in a row before a power cycle is needed.
const MOST_MISMATCHES: u64 = 3;
/// Non-discoverable credentials that are looked at; older ones are forgotten.
const MOST_DERIVED: usize = 3;
/// Credentials that must be gone, and are looked for.
const MOST_GONE: usize = 4;

/// A discoverable credential's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) site: &'static str,
    pub(super) user: u8,
}

/// A credential that the key confirmed.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) site: &'static str,
    pub(super) public_key: PublicKey,
    /// Of a discoverable one, with the user's name.
    pub(super) account: Option<(Account, &'static str)>,
    /// The highest count that was seen of it.
    pub(super) counter: u32,
    /// When it was made, among the others.
    sequence: u64,
}

/// A request, by what it changes.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// Nothing that is stored, but for counters.
    Use(&'static str),
    Register(Account, &'static str),
    Delete(Vec<u8>),
    Rename(Vec<u8>, &'static str),
    SetPin(String),
    /// With the right PIN, to this one.
    ChangePin(String),
    RightPin,
    WrongPin,
    Blobs(Vec<u8>),
    /// The last sample of this finger.
    Enroll(Vec<u8>),
    RemoveFinger(Vec<u8>),
    Reset,
}

impl Request {
    /// For figures.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Use(label) => label,
            Self::Register(..) => "passkey made",
            Self::Delete(_) => "passkey deleted",
            Self::Rename(..) => "user renamed",
            Self::SetPin(_) => "PIN set",
            Self::ChangePin(_) => "PIN changed",
            Self::RightPin => "right PIN",
            Self::WrongPin => "wrong PIN",
            Self::Blobs(_) => "large blobs written",
            Self::Enroll(_) => "finger enrolled",
            Self::RemoveFinger(_) => "finger removed",
            Self::Reset => "reset",
        }
    }

    /// Whether only a list, which needs the PIN, tells what became of it.
    pub(super) fn is_told_by_lists(&self) -> bool {
        matches!(
            self,
            Self::Register(..)
                | Self::Delete(_)
                | Self::Rename(..)
                | Self::Enroll(_)
                | Self::RemoveFinger(_)
        )
    }
}

/// What became of a request that a kill left without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// It was stored, or a part that stands for itself: the loss of a PIN attempt.
    Stored,
    /// Nothing of it was.
    Lost,
    /// Both look the same.
    Untold,
}

/// One key.
pub(super) struct Model {
    pub(super) known: BTreeMap<Vec<u8>, Known>,
    /// Credentials that must not be there any more, the latest last.
    pub(super) gone: VecDeque<(&'static str, Vec<u8>)>,
    /// The highest count that was seen of the key's own counter, which a reset keeps.
    shared: u32,
    pub(super) pin: Option<String>,
    /// One that was the PIN, or was to be, and is not.
    pub(super) former: Option<String>,
    pub(super) retries: u64,
    /// Wrong PINs in a row since power came.
    pub(super) mismatches: u64,
    pub(super) blobs: Vec<u8>,
    /// The enrolled fingers, the oldest first.
    pub(super) fingers: Vec<Vec<u8>>,
    /// What was sent and not answered.
    pub(super) pending: Option<Request>,
    sequence: u64,
}

impl Model {
    /// A new key.
    pub(super) fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            gone: VecDeque::new(),
            shared: 0,
            pin: None,
            former: None,
            retries: ALL_RETRIES,
            mismatches: 0,
            blobs: INITIAL.to_vec(),
            fingers: Vec::new(),
            pending: None,
            sequence: 0,
        }
    }

    /// The account's credential.
    pub(super) fn id_of(&self, account: Account) -> Option<Vec<u8>> {
        let mut known = self.known.iter();
        let found = known.find(|(_, known)| known.account.is_some_and(|(a, _)| a == account));
        found.map(|(id, _)| id.clone())
    }

    /// The discoverable credentials' ids.
    pub(super) fn passkeys(&self) -> Vec<Vec<u8>> {
        let known = self.known.iter();
        let stored = known.filter(|(_, known)| known.account.is_some());
        stored.map(|(id, _)| id.clone()).collect()
    }

    /// A discoverable credential is there: one that the account had is not any more.
    pub(super) fn stored(
        &mut self,
        id: Vec<u8>,
        (account, name): (Account, &'static str),
        public_key: PublicKey,
        counter: u32,
    ) {
        if let Some(old) = self.id_of(account) {
            self.removed(&old);
        }
        self.insert(id, account.site, Some((account, name)), public_key, counter);
    }

    /// A credential was made that is in its id.
    pub(super) fn derived(
        &mut self,
        id: Vec<u8>,
        site: &'static str,
        public_key: PublicKey,
        counter: u32,
    ) {
        self.counted_by_key(counter);
        self.insert(id, site, None, public_key, counter);
        let derived = self
            .known
            .iter()
            .filter(|(_, known)| known.account.is_none());
        let mut derived: Vec<_> = derived.map(|(id, k)| (k.sequence, id.clone())).collect();
        derived.sort_unstable();
        let extra = derived.len().saturating_sub(MOST_DERIVED);
        for (_, id) in derived.into_iter().take(extra) {
            self.known.remove(&id);
        }
    }

    fn insert(
        &mut self,
        id: Vec<u8>,
        site: &'static str,
        account: Option<(Account, &'static str)>,
        public_key: PublicKey,
        counter: u32,
    ) {
        self.sequence += 1;
        let known = Known {
            site,
            public_key,
            account,
            counter,
            sequence: self.sequence,
        };
        assert!(self.known.insert(id, known).is_none(), "an id twice");
    }

    /// A credential is deleted or replaced.
    pub(super) fn removed(&mut self, id: &[u8]) {
        let known = self.known.remove(id).expect("one of ours");
        self.gone.push_back((known.site, id.to_vec()));
        if self.gone.len() > MOST_GONE {
            self.gone.pop_front();
        }
    }

    pub(super) fn renamed(&mut self, id: &[u8], to: &'static str) {
        let known = self.known.get_mut(id).expect("one of ours");
        let (_, name) = known.account.as_mut().expect("a discoverable one");
        *name = to;
    }

    /// A count was signed: it must be higher than every one before.
    pub(super) fn signed(&mut self, id: &[u8], counter: u32) {
        let known = self.known.get_mut(id).expect("one of ours");
        assert!(
            counter > known.counter,
            "count {counter} after {}",
            known.counter
        );
        known.counter = counter;
        if known.account.is_none() {
            self.counted_by_key(counter);
        }
    }

    fn counted_by_key(&mut self, counter: u32) {
        assert!(
            counter > self.shared,
            "the key's count {counter} after {}",
            self.shared
        );
        self.shared = counter;
    }

    /// Power came: a soft lock is over.
    pub(super) fn powered(&mut self) {
        self.mismatches = 0;
    }

    /// powerCycleState: three wrong PINs in a row.
    pub(super) fn is_locked(&self) -> bool {
        self.mismatches >= MOST_MISMATCHES
    }

    /// Whether a PIN would not be looked at, and what is answered then.
    pub(super) fn refusal(&self) -> Option<u8> {
        if self.retries == 0 {
            Some(status::PIN_BLOCKED)
        } else if self.is_locked() {
            Some(status::PIN_AUTH_BLOCKED)
        } else {
            None
        }
    }

    /// What an attempt that nothing refuses is answered.
    pub(super) fn tried(&mut self, right: bool) -> Result<(), u8> {
        if right {
            self.retries = ALL_RETRIES;
            self.mismatches = 0;
            return Ok(());
        }
        self.retries -= 1;
        self.mismatches += 1;
        Err(self.refusal().unwrap_or(status::PIN_INVALID))
    }

    /// There is another PIN; the one before is none any more.
    pub(super) fn has_pin(&mut self, pin: String) {
        self.former = self.pin.take().filter(|old| *old != pin);
        self.pin = Some(pin);
        self.retries = ALL_RETRIES;
        self.mismatches = 0;
    }

    /// As new, but for the key's counter.
    pub(super) fn erased(&mut self) {
        let ids: Vec<_> = self.known.keys().cloned().collect();
        for id in ids {
            self.removed(&id);
        }
        self.pin = None;
        self.former = None;
        self.retries = ALL_RETRIES;
        self.mismatches = 0;
        self.blobs = INITIAL.to_vec();
        self.fingers = Vec::new();
    }
}
