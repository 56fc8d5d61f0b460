//! What a key remembers, and how changes to it travel to a vault.
//!
//! The live state is in memory. A command that changes it yields a [`ChangeSet`]; the answer
//! leaves, and the change shows, only when the vault has said that the set is durable. A vault
//! needs to know nothing but this: a key is a map from [`Place`] to [`Record`], a change puts or
//! deletes one, and [`KeyState::load`] makes a key of what the map holds.
//!
//! Deliberately absent: encoding and encryption, which are the vault's.

mod fingers;
#[cfg(test)]
mod tests;

use std::fmt;

use rand_core::Rng as _;
use serde::{Deserialize, Serialize};

use crate::{
    attestation::Attestation,
    credential::{Credential, CredentialId, Deriver, Store},
    crypto::{Rng, Secret},
    pin::{MAX_PIN_RETRIES, StoredPin},
    profile::Profile,
};
pub use fingers::{Fingerprint, MAX_UV_RETRIES, TEMPLATE_ID_LEN, UvState};

/// How many counter values one durable write covers.
pub const COUNTER_LEASE: u32 = 256;
/// The counter value in a discoverable credential's registration.
pub(crate) const REGISTRATION_COUNT: u32 = 1;

/// The serialized large-blob array of a new key (CTAP 2.1 §6.10): no item, and the hash of that.
pub(crate) const INITIAL_LARGE_BLOBS: [u8; 17] = [
    0x80, 0x76, 0xbe, 0x8b, 0x52, 0x8d, 0x00, 0x75, 0xf7, 0xaa, 0xe9, 0x8d, 0x6f, 0xa5, 0x7a, 0x6d,
    0x3c,
];

/// One thing to remember.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// What non-discoverable credentials are derived from.
    Master(Secret),
    /// The key's own signature counter: no value above the ceiling has been used.
    Counter {
        /// Highest value that may be used without another write.
        ceiling: u32,
    },
    /// The U2F attestation key and its certificate. A reset keeps them.
    Attestation(Attestation),
    /// A discoverable credential.
    Credential(Box<Credential>),
    /// The PIN that is set; absent while none is.
    Pin(StoredPin),
    /// PIN attempts that are left; absent while there are all.
    PinRetries(u8),
    /// What authenticatorConfig has changed; absent while nothing is.
    Config(Config),
    /// A discoverable credential's signature counter.
    CredentialCounter {
        /// Whose counter.
        id: CredentialId,
        /// Highest value that may be used without another write.
        ceiling: u32,
    },
    /// The serialized large-blob array, whole; absent while none was written.
    LargeBlobs(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The enrolled fingers, all of them; absent while there is none.
    Fingerprints(Vec<Fingerprint>),
    /// How built-in verification has gone; absent while there was none since the last PIN entry.
    Uv(UvState),
    /// The persistent pinUvAuthToken (CTAP 2.2 §6.5.2.1); absent until a platform gets it.
    PersistentToken(Secret),
    /// The batch attestation key and its certificate. A reset keeps them.
    BatchAttestation(Attestation),
    /// The enterprise attestation key and its certificate. A reset keeps them.
    EnterpriseAttestation(Attestation),
}

/// Where a record is: at most one record of a key has a given place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// Of [`Record::Master`].
    Master,
    /// Of [`Record::Counter`].
    Counter,
    /// Of [`Record::Attestation`].
    Attestation,
    /// Of [`Record::Credential`].
    Credential(CredentialId),
    /// Of [`Record::CredentialCounter`].
    CredentialCounter(CredentialId),
    /// Of [`Record::Pin`].
    Pin,
    /// Of [`Record::PinRetries`].
    PinRetries,
    /// Of [`Record::Config`].
    Config,
    /// Of [`Record::LargeBlobs`].
    LargeBlobs,
    /// Of [`Record::Fingerprints`].
    Fingerprints,
    /// Of [`Record::Uv`].
    Uv,
    /// Of [`Record::PersistentToken`].
    PersistentToken,
    /// Of [`Record::BatchAttestation`].
    BatchAttestation,
    /// Of [`Record::EnterpriseAttestation`].
    EnterpriseAttestation,
}

/// What authenticatorConfig changes (CTAP 2.1 §6.11); a reset brings the profile's values back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// alwaysUv, where it was toggled.
    pub always_uv: Option<bool>,
    /// The minimum PIN length in code points, where it was raised.
    pub min_pin_length: Option<u8>,
    /// Who may learn it (minPinLengthRPIDs).
    pub min_pin_length_rp_ids: Vec<String>,
    /// No token until the PIN is changed.
    pub force_pin_change: bool,
    /// Option ep, where enterprise attestation was enabled.
    #[serde(default)]
    pub enterprise_attestation: bool,
    /// longTouchForReset, where it was enabled.
    #[serde(default)]
    pub long_touch_for_reset: bool,
    /// pinComplexityPolicy, where it was enabled.
    #[serde(default)]
    pub pin_complexity_policy: bool,
}

impl Record {
    /// Where this record belongs.
    pub fn place(&self) -> Place {
        match self {
            Self::Master(_) => Place::Master,
            Self::Counter { .. } => Place::Counter,
            Self::Attestation(_) => Place::Attestation,
            Self::Credential(credential) => Place::Credential(credential.id),
            Self::CredentialCounter { id, .. } => Place::CredentialCounter(*id),
            Self::Pin(_) => Place::Pin,
            Self::PinRetries(_) => Place::PinRetries,
            Self::Config(_) => Place::Config,
            Self::LargeBlobs(_) => Place::LargeBlobs,
            Self::Fingerprints(_) => Place::Fingerprints,
            Self::Uv(_) => Place::Uv,
            Self::PersistentToken(_) => Place::PersistentToken,
            Self::BatchAttestation(_) => Place::BatchAttestation,
            Self::EnterpriseAttestation(_) => Place::EnterpriseAttestation,
        }
    }
}

/// A step of a [`ChangeSet`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The record is at its place from now on.
    Put(Record),
    /// Nothing is at the place from now on.
    Delete(Place),
}

/// Changes that become durable together or not at all; they apply in order.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet(Vec<Change>);

impl ChangeSet {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn changes(&self) -> &[Change] {
        &self.0
    }

    pub(crate) fn put(&mut self, record: Record) {
        self.0.push(Change::Put(record));
    }

    pub(crate) fn delete(&mut self, place: Place) {
        self.0.push(Change::Delete(place));
    }
}

impl FromIterator<Change> for ChangeSet {
    fn from_iter<I: IntoIterator<Item = Change>>(changes: I) -> Self {
        Self(changes.into_iter().collect())
    }
}

impl IntoIterator for ChangeSet {
    type Item = Change;
    type IntoIter = std::vec::IntoIter<Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Debug for ChangeSet {
    /// Places only: records hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |change: &Change| match change {
            Change::Put(record) => ("put", record.place()),
            Change::Delete(place) => ("delete", *place),
        };
        f.debug_list().entries(self.0.iter().map(place)).finish()
    }
}

/// A signature counter whose values up to a durable ceiling may be used.
///
/// After a crash it goes on above the ceiling: values are skipped, never repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    last: u32,
    ceiling: u32,
}

impl Counter {
    /// None yet: no counter in use is like it.
    pub(crate) const MISSING: Self = Self {
        last: 1,
        ceiling: 0,
    };

    /// The next value, if the ceiling allows one.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if self.last >= self.ceiling {
            return None;
        }
        self.last += 1;
        Some(self.last)
    }

    /// The value that was used last.
    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    /// No value above it has been used.
    pub(crate) fn ceiling(&self) -> u32 {
        self.ceiling
    }

    /// The ceiling to make durable when [`Self::take`] gives nothing; `None` at the end of the
    /// counter's 32 bits.
    pub(crate) fn lease(&self) -> Option<u32> {
        self.last.checked_add(COUNTER_LEASE)
    }
}

/// Why stored records do not make a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// There is no master secret.
    MasterMissing,
    /// There is no attestation key.
    AttestationMissing,
    /// A counter belongs to no credential.
    CounterWithoutCredential(CredentialId),
    /// A credential has no counter.
    CredentialWithoutCounter(CredentialId),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MasterMissing => f.write_str("the key's master secret is missing"),
            Self::AttestationMissing => f.write_str("the key's attestation record is missing"),
            Self::CounterWithoutCredential(id) => {
                write!(f, "the counter of credential {id:?} belongs to no record")
            }
            Self::CredentialWithoutCounter(id) => {
                write!(f, "the counter of credential {id:?} is missing")
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// The live state of a key.
pub struct KeyState {
    pub(crate) attestation: Attestation,
    pub(crate) counter: Counter,
    pub(crate) credentials: Store,
    pub(crate) deriver: Deriver,
    pub(crate) pin: Option<StoredPin>,
    pub(crate) pin_retries: u8,
    pub(crate) config: Config,
    pub(crate) large_blobs: Vec<u8>,
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) uv: UvState,
    pub(crate) persistent_token: Option<Secret>,
    pub(crate) batch_attestation: Option<Attestation>,
    pub(crate) enterprise_attestation: Option<Attestation>,
}

impl KeyState {
    /// What a new key is made of: store it, then [`Self::load`] it.
    ///
    /// `created` is the start of the attestation certificate's validity, in seconds since 1970.
    /// Fingers that the profile has enrolled are enrolled until the first reset.
    pub fn create(rng: &mut Rng, created: u64, profile: &Profile) -> ChangeSet {
        let mut set = ChangeSet::default();
        if profile.enrolled_fingerprints > 0 {
            let enrolled = (1..=profile.enrolled_fingerprints).map(|number| {
                let mut id = [0; TEMPLATE_ID_LEN];
                rng.fill_bytes(&mut id);
                Fingerprint {
                    id,
                    name: Some(format!("Finger {number}")),
                }
            });
            set.put(Record::Fingerprints(enrolled.collect()));
        }
        set.put(Record::Master(Secret::random(rng)));
        set.put(Record::Counter { ceiling: 0 });
        set.put(Record::Attestation(Attestation::create(rng, created)));
        set
    }

    /// The key that these records make, in whatever order they come.
    ///
    /// # Errors
    /// [`LoadError`] says which record is missing or does not belong.
    pub fn load(records: impl IntoIterator<Item = Record>) -> Result<Self, LoadError> {
        let (mut master, mut attestation) = (None, None);
        let mut counter = Counter::default();
        let mut credentials = Store::default();
        let mut ceilings = Vec::new();
        let (mut pin, mut pin_retries, mut config) = (None, MAX_PIN_RETRIES, Config::default());
        let mut large_blobs = INITIAL_LARGE_BLOBS.to_vec();
        let (mut fingerprints, mut uv) = (Vec::new(), UvState::default());
        let (mut persistent_token, mut batch, mut enterprise) = (None, None, None);
        for record in records {
            match record {
                Record::Master(secret) => master = Some(secret),
                Record::Counter { ceiling } => counter = resumed(ceiling),
                Record::Attestation(record) => attestation = Some(record),
                Record::Credential(credential) => credentials.put(credential, Counter::MISSING),
                Record::CredentialCounter { id, ceiling } => ceilings.push((id, ceiling)),
                Record::Pin(stored) => pin = Some(stored),
                Record::PinRetries(left) => pin_retries = left.min(MAX_PIN_RETRIES),
                Record::Config(stored) => config = stored,
                Record::LargeBlobs(array) => large_blobs = array,
                Record::Fingerprints(enrolled) => fingerprints = enrolled,
                Record::Uv(stored) => {
                    uv = UvState {
                        retries: stored.retries.min(MAX_UV_RETRIES),
                        ..stored
                    }
                }
                Record::PersistentToken(secret) => persistent_token = Some(secret),
                Record::BatchAttestation(record) => batch = Some(record),
                Record::EnterpriseAttestation(record) => enterprise = Some(record),
            }
        }
        for (id, ceiling) in ceilings {
            let counter = credentials
                .counter_mut(&id)
                .ok_or(LoadError::CounterWithoutCredential(id))?;
            *counter = resumed(ceiling);
        }
        if let Some(id) = credentials.without_counter() {
            return Err(LoadError::CredentialWithoutCounter(id));
        }
        Ok(Self {
            attestation: attestation.ok_or(LoadError::AttestationMissing)?,
            counter,
            credentials,
            deriver: Deriver::new(&master.ok_or(LoadError::MasterMissing)?),
            pin,
            pin_retries,
            config,
            large_blobs,
            fingerprints,
            uv,
            persistent_token,
            batch_attestation: batch,
            enterprise_attestation: enterprise,
        })
    }

    /// Shows a set of the key's owner that has become durable: its counters are as after a
    /// restart, so that they go on from where the owner set them.
    pub(crate) fn apply_admin(&mut self, set: ChangeSet) {
        let counters: Vec<_> = set.changes().iter().filter_map(counter_put).collect();
        self.apply(set);
        for (id, ceiling) in counters {
            let counter = match id {
                None => Some(&mut self.counter),
                Some(id) => self.credentials.counter_mut(&id),
            };
            if let Some(counter) = counter {
                *counter = resumed(ceiling);
            }
        }
    }

    /// Shows a set that has become durable.
    pub(crate) fn apply(&mut self, set: ChangeSet) {
        for change in set {
            match change {
                Change::Put(Record::Master(secret)) => self.deriver = Deriver::new(&secret),
                Change::Put(Record::Counter { ceiling }) => self.counter.ceiling = ceiling,
                Change::Put(Record::Attestation(record)) => self.attestation = record,
                Change::Put(Record::Credential(credential)) => {
                    // An update keeps the counter that the credential has.
                    let counter = self.credentials.counter_mut(&credential.id).copied();
                    let counter = counter.unwrap_or(Counter {
                        last: REGISTRATION_COUNT,
                        ceiling: REGISTRATION_COUNT,
                    });
                    self.credentials.put(credential, counter);
                }
                Change::Put(Record::Pin(stored)) => self.pin = Some(stored),
                Change::Put(Record::PinRetries(left)) => self.pin_retries = left,
                Change::Put(Record::Config(config)) => self.config = config,
                Change::Put(Record::LargeBlobs(array)) => self.large_blobs = array,
                Change::Put(Record::Fingerprints(enrolled)) => self.fingerprints = enrolled,
                Change::Put(Record::Uv(uv)) => self.uv = uv,
                Change::Put(Record::PersistentToken(secret)) => {
                    self.persistent_token = Some(secret);
                }
                Change::Put(Record::BatchAttestation(record)) => {
                    self.batch_attestation = Some(record);
                }
                Change::Put(Record::EnterpriseAttestation(record)) => {
                    self.enterprise_attestation = Some(record);
                }
                Change::Put(Record::CredentialCounter { id, ceiling }) => {
                    if let Some(counter) = self.credentials.counter_mut(&id) {
                        counter.ceiling = ceiling;
                    }
                }
                Change::Delete(Place::Credential(id)) => self.credentials.remove(&id),
                Change::Delete(Place::Pin) => self.pin = None,
                Change::Delete(Place::PinRetries) => self.pin_retries = MAX_PIN_RETRIES,
                Change::Delete(Place::Config) => self.config = Config::default(),
                Change::Delete(Place::LargeBlobs) => {
                    self.large_blobs = INITIAL_LARGE_BLOBS.to_vec();
                }
                Change::Delete(Place::Fingerprints) => self.fingerprints = Vec::new(),
                Change::Delete(Place::Uv) => self.uv = UvState::default(),
                Change::Delete(Place::PersistentToken) => self.persistent_token = None,
                Change::Delete(Place::BatchAttestation) => self.batch_attestation = None,
                Change::Delete(Place::EnterpriseAttestation) => {
                    self.enterprise_attestation = None;
                }
                // A credential's counter goes with it, and the rest is only ever replaced.
                Change::Delete(
                    Place::CredentialCounter(_)
                    | Place::Master
                    | Place::Counter
                    | Place::Attestation,
                ) => {}
            }
        }
    }
}

/// Whose counter a change puts, `None` for the key's own, and with which ceiling.
fn counter_put(change: &Change) -> Option<(Option<CredentialId>, u32)> {
    match change {
        Change::Put(Record::Counter { ceiling }) => Some((None, *ceiling)),
        Change::Put(Record::CredentialCounter { id, ceiling }) => Some((Some(*id), *ceiling)),
        Change::Put(_) | Change::Delete(_) => None,
    }
}

/// A counter after a restart: which values under the ceiling were used is not known.
fn resumed(ceiling: u32) -> Counter {
    Counter {
        last: ceiling,
        ceiling,
    }
}
