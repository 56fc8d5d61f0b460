//! The fingers that a key knows, and the attempts that are left to show one (CTAP 2.1 §6.5.3,
//! §6.7).
//!
//! Deliberately absent: who may change them, and asking.

use serde::{Deserialize, Serialize};

use super::{ChangeSet, KeyState, Place, Record};

/// The built-in verifications that may fail one after the other (CTAP 2.1 §6.5.5.3 uvRetries).
pub const MAX_UV_RETRIES: u8 = 5;

/// An enrolled finger (CTAP 2.1 §6.7). What would be compared is a person's answer, so there is
/// nothing of a finger in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// templateId.
    pub id: [u8; TEMPLATE_ID_LEN],
    /// templateFriendlyName.
    pub name: Option<String>,
}

/// The length of a [`Fingerprint`]'s templateId, in bytes.
pub const TEMPLATE_ID_LEN: usize = 16;

/// How built-in user verification has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UvState {
    /// uvRetries: attempts that are left, at most [`MAX_UV_RETRIES`].
    pub retries: u8,
    /// uvCountSinceLastPinEntry (CTAP 2.3 §6.4), failed attempts among them.
    pub since_pin_entry: u32,
}

impl Default for UvState {
    fn default() -> Self {
        Self {
            retries: MAX_UV_RETRIES,
            since_pin_entry: 0,
        }
    }
}

impl KeyState {
    /// The enrolled fingers, the oldest first.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// uvRetries. A blocked PIN blocks built-in verification, too (§6.5.3.1 step 3).
    pub(crate) fn uv_retries(&self) -> u8 {
        if self.pin_is_set() && self.pin_retries == 0 {
            0
        } else {
            self.uv.retries
        }
    }

    /// Takes an attempt away. A finger is looked at only once this is durable.
    pub(crate) fn spend_uv_attempt(&self) -> ChangeSet {
        let mut set = ChangeSet::default();
        set.put(Record::Uv(UvState {
            retries: self.uv.retries.saturating_sub(1),
            since_pin_entry: self.uv.since_pin_entry.saturating_add(1),
        }));
        set
    }

    /// Gives the attempts back, after a finger that the key knows.
    pub(crate) fn restore_uv_attempts(&self) -> ChangeSet {
        let mut set = ChangeSet::default();
        set.put(Record::Uv(UvState {
            retries: MAX_UV_RETRIES,
            ..self.uv
        }));
        set
    }

    /// Adds a finger, which has no name yet.
    pub(crate) fn add_fingerprint(&self, id: [u8; TEMPLATE_ID_LEN]) -> ChangeSet {
        let mut fingerprints = self.fingerprints.clone();
        fingerprints.push(Fingerprint { id, name: None });
        stored(fingerprints)
    }

    /// Gives a finger a name; `None` where there is no such finger.
    pub(crate) fn name_fingerprint(&self, id: &[u8], name: String) -> Option<ChangeSet> {
        let mut fingerprints = self.fingerprints.clone();
        let named = fingerprints.iter_mut().find(|finger| finger.id == id)?;
        named.name = Some(name);
        Some(stored(fingerprints))
    }

    /// Forgets a finger; `None` where there is no such finger.
    pub(crate) fn remove_fingerprint(&self, id: &[u8]) -> Option<ChangeSet> {
        let mut fingerprints = self.fingerprints.clone();
        fingerprints.retain(|finger| finger.id != id);
        (fingerprints.len() < self.fingerprints.len()).then(|| stored(fingerprints))
    }
}

fn stored(fingerprints: Vec<Fingerprint>) -> ChangeSet {
    let mut set = ChangeSet::default();
    if fingerprints.is_empty() {
        set.delete(Place::Fingerprints);
    } else {
        set.put(Record::Fingerprints(fingerprints));
    }
    set
}
