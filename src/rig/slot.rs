//! One key of a rig: what it is called and seen as, and the way to its task.

use std::sync::{Mutex, PoisonError};

use roamkey_transport::usb::Identity;

use super::RigError;
use crate::key::KeyHandle;

/// A key of a rig.
pub(super) struct Slot {
    pub(super) number: u32,
    name: Mutex<Option<String>>,
    /// Its id in the vault, if it is stored.
    pub(super) id: Option<String>,
    pub(super) serial: String,
    pub(super) profile: String,
    /// In seconds since 1970.
    pub(super) created: u64,
    pub(super) usb: Identity,
    pub(super) handle: KeyHandle,
    /// It is plugged in and out one at a time.
    pub(super) plugging: tokio::sync::Mutex<()>,
}

/// What a slot is made of.
pub(super) struct Parts {
    pub(super) number: u32,
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
    pub(super) serial: String,
    pub(super) profile: String,
    pub(super) created: u64,
    pub(super) usb: Identity,
}

impl Slot {
    pub(super) fn new(parts: Parts, handle: KeyHandle) -> Self {
        Self {
            number: parts.number,
            name: Mutex::new(parts.name),
            id: parts.id,
            serial: parts.serial,
            profile: parts.profile,
            created: parts.created,
            usb: parts.usb,
            handle,
            plugging: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn bus_id(&self) -> String {
        format!("1-{}", self.number)
    }

    pub(super) fn is_stored(&self) -> bool {
        self.id.is_some()
    }

    pub(super) fn name(&self) -> Option<String> {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        name.clone()
    }

    pub(super) fn rename(&self, name: String) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    /// Its name, or its bus id where it has none.
    pub(super) fn called(&self) -> String {
        self.name().unwrap_or_else(|| self.bus_id())
    }

    /// What is said where its task ended meanwhile.
    pub(super) fn gone(&self) -> RigError {
        RigError::not_found(format!("the key {} was removed meanwhile", self.called()))
    }
}
