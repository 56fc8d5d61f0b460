//! A vault that a test holds up, lets fail, and looks into.

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{Arc, Mutex, MutexGuard},
};

use rand_chacha::rand_core::SeedableRng;
use roamkey::vault::{KeyVault, Pending, VaultError};
use roamkey_ctap::{
    AttestationAuthority, Change, ChangeSet, KeyState, Place, Profile, Record, Rng,
};
use tokio::sync::oneshot;

/// What a commit that fails leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was stored.
    NotStored,
    /// It was stored, and only the answer says otherwise.
    Stored,
}

/// One key's records. Clones are handles to the same ones, so a key that is started again finds
/// what was durable.
#[derive(Clone)]
pub(crate) struct TestVault(Arc<Mutex<Inner>>);

struct Inner {
    records: BTreeMap<Place, Record>,
    failure: Option<Failure>,
    /// The failure is the second commit's.
    failure_passes: usize,
    holds_commits: bool,
    /// Commits that pass before others are held.
    passes: usize,
    holds_loads: bool,
    /// What was to be committed so far.
    sets: Vec<ChangeSet>,
    held_commit: Option<(ChangeSet, oneshot::Sender<Result<(), VaultError>>)>,
    held_load: Option<oneshot::Sender<()>>,
}

impl Inner {
    fn new(records: BTreeMap<Place, Record>) -> Self {
        Self {
            records,
            failure: None,
            failure_passes: 0,
            holds_commits: false,
            passes: 0,
            holds_loads: false,
            sets: Vec::new(),
            held_commit: None,
            held_load: None,
        }
    }

    fn apply(&mut self, set: ChangeSet) {
        for change in set {
            match change {
                Change::Put(record) => drop(self.records.insert(record.place(), record)),
                Change::Delete(place) => drop(self.records.remove(&place)),
            }
        }
    }
}

fn failed() -> VaultError {
    VaultError::Refused("the test wants it to fail".into())
}

/// When keys are made, in seconds since 1970.
const CREATED: u64 = 1_735_689_600;
/// What enterprise attestation says the serial number is.
pub(crate) const SERIAL: &str = "TEST-1";

/// The test authority of every vault.
pub(crate) fn authority() -> AttestationAuthority {
    AttestationAuthority::create(&mut Rng::from_seed([0xca; 32]), CREATED)
}

impl TestVault {
    /// A vault with a new key in it.
    pub(crate) fn create(rng: &mut Rng, profile: &Profile) -> Self {
        let mut inner = Inner::new(BTreeMap::new());
        inner.apply(KeyState::create(rng, CREATED, profile));
        let state = KeyState::load(inner.records.values().cloned()).expect("a whole key");
        inner.apply(state.certify(rng, &authority(), profile, SERIAL, CREATED));
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Another vault with the same in it.
    pub(crate) fn fork(&self) -> Self {
        let records = self.lock().records.clone();
        Self(Arc::new(Mutex::new(Inner::new(records))))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics inside the vault")
    }

    /// The next commit fails.
    pub(crate) fn fail_next(&self, failure: Failure) {
        self.lock().failure = Some(failure);
    }

    /// The commit after the next fails.
    pub(crate) fn fail_second(&self, failure: Failure) {
        let mut inner = self.lock();
        inner.failure = Some(failure);
        inner.failure_passes = 1;
    }

    /// Commits from now on wait for [`Self::release_commit`].
    pub(crate) fn hold_commits(&self) {
        self.lock().holds_commits = true;
    }

    /// One commit passes, and those after it wait.
    pub(crate) fn hold_second_commit(&self) {
        let mut inner = self.lock();
        inner.holds_commits = true;
        inner.passes = 1;
    }

    /// Two commits pass, and those after them wait.
    pub(crate) fn hold_third_commit(&self) {
        let mut inner = self.lock();
        inner.holds_commits = true;
        inner.passes = 2;
    }

    /// The commit that waits never becomes durable, as if power had gone.
    pub(crate) fn lose_commit(&self) {
        let mut inner = self.lock();
        inner.holds_commits = false;
        inner.held_commit = None;
    }

    /// The PIN retries that are durable; `None` while there are all.
    pub(crate) fn pin_retries(&self) -> Option<u8> {
        let inner = self.lock();
        match inner.records.get(&Place::PinRetries) {
            Some(Record::PinRetries(left)) => Some(*left),
            _ => None,
        }
    }

    /// Whether a commit waits.
    pub(crate) fn is_committing(&self) -> bool {
        self.lock().held_commit.is_some()
    }

    /// The commit that waits becomes durable, and later ones do not wait.
    pub(crate) fn release_commit(&self) {
        let mut inner = self.lock();
        inner.holds_commits = false;
        let (set, answer) = inner.held_commit.take().expect("a commit that waits");
        inner.apply(set);
        drop(inner);
        let _ = answer.send(Ok(())); // the key may be gone
    }

    /// Reading the vault from now on waits for [`Self::release_load`].
    pub(crate) fn hold_loads(&self) {
        self.lock().holds_loads = true;
    }

    /// The read that waits goes on, and later ones do not wait.
    pub(crate) fn release_load(&self) {
        let mut inner = self.lock();
        inner.holds_loads = false;
        let answer = inner.held_load.take().expect("a read that waits");
        drop(inner);
        let _ = answer.send(()); // the key may be gone
    }

    /// How many commits were asked for so far.
    pub(crate) fn commits(&self) -> usize {
        self.lock().sets.len()
    }

    /// What was to be committed so far.
    pub(crate) fn sets(&self) -> Vec<ChangeSet> {
        self.lock().sets.clone()
    }

    /// Everything that is durable.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.lock().records.values().cloned().collect()
    }

    /// How many discoverable credentials are durable.
    pub(crate) fn credentials(&self) -> usize {
        let inner = self.lock();
        let places = inner.records.keys();
        places
            .filter(|place| matches!(place, Place::Credential(_)))
            .count()
    }
}

impl KeyVault for TestVault {
    fn commit(&mut self, set: ChangeSet) -> Pending<Result<(), VaultError>> {
        let mut inner = self.lock();
        inner.sets.push(set.clone());
        if inner.failure_passes > 0 {
            inner.failure_passes -= 1;
        } else if let Some(failure) = inner.failure.take() {
            if failure == Failure::Stored {
                inner.apply(set);
            }
            return Box::pin(ready(Err(failed())));
        }
        if inner.passes > 0 {
            inner.passes -= 1;
        } else if inner.holds_commits {
            let (answer, answered) = oneshot::channel();
            inner.held_commit = Some((set, answer));
            return Box::pin(async { answered.await.unwrap_or(Err(failed())) });
        }
        inner.apply(set);
        Box::pin(ready(Ok(())))
    }

    fn load(&mut self) -> Pending<Result<KeyState, VaultError>> {
        let mut inner = self.lock();
        let mut released = None;
        if inner.holds_loads {
            let (answer, answered) = oneshot::channel();
            inner.held_load = Some(answer);
            released = Some(answered);
        }
        drop(inner);
        let vault = self.clone();
        Box::pin(async move {
            if let Some(released) = released {
                let _ = released.await;
            }
            let records: Vec<Record> = vault.lock().records.values().cloned().collect();
            KeyState::load(records).map_err(|error| VaultError::Refused(error.to_string()))
        })
    }
}
