//! Keys that run, and everything their owner does with them.
//!
//! A [`Rig`] holds the keys of a process: stored ones from a vault and ones that live in memory,
//! plugged in where its [`Backend`] says. `roamkey run` is one with a control plane around it; a
//! Rust test starts its own, with the same controls as methods:
//!
//! ```
//! use roamkey::presence::Policy;
//! use roamkey::rig::{Backend, NewKey, Rig, Setup, TouchPolicy};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let rig = Rig::start(Setup::new(Backend::memory(), Policy::auto())).await?;
//! let key = rig.add_key(NewKey::default()).await?;
//!
//! // What a browser does: find the key, and ask it something.
//! let mut host = rig.connect(&key.bus_id).await?;
//! let mut init = [0; 64];
//! init[..7].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x86, 0, 8]);
//! host.send_report(&init).await?;
//! assert_eq!(host.recv_report().await?[4], 0x86);
//!
//! // What a test wants to know.
//! let (events, _) = rig.events(0).await;
//! assert!(events.iter().any(|entry| entry.to_json()["command"] == "init"));
//!
//! // From now on, nobody answers touches.
//! let never: TouchPolicy = serde_json::from_str(r#"{"touch": "never"}"#)?;
//! rig.set_touch_policy(&key.bus_id, &never)?;
//! rig.remove_key(&key.bus_id).await?;
//! rig.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attestation;
mod backend;
mod credentials;
mod error;
mod expect;
mod faults;
mod keys;
mod metadata;
mod open;
mod pin;
mod slot;
mod stored;
#[cfg(test)]
mod tests;
mod touch;
mod view;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
};

pub use attestation::AttestationRoot;
pub use backend::Backend;
pub use error::{ErrorKind, RigError};
pub use expect::{Contact, ContactView, Expectation, Held};
pub use faults::{ArmedFault, FaultView, NewFault};
pub use metadata::{AttestationMetadata, MetadataEntry, MetadataModel, NewMetadata};
pub use stored::{BackupView, Cloned, SnapshotLoss, SnapshotView};
pub use view::{
    KeyView, LossView, NewKey, NewPasskey, NewPin, OtherSites, PasskeyEdit, PasskeyView, PinView,
    PrivateKeyView, ServerView, TouchAnswer, TouchPolicy, TouchRule, TouchView, VerifyRule,
};

use roamkey_ctap::AttestationAuthority;

use crate::{
    journal::{Entry, Journal},
    presence::{Broker, Policy},
    vault::{KeyNumber, Vault},
};
use slot::Slot;

/// What a rig starts with.
pub struct Setup {
    /// Where its keys are plugged in.
    pub backend: Backend,
    /// Who decides touches: its policy is that of keys without one of their own.
    pub broker: Broker,
    /// Where stored keys are, and the vault's file.
    pub vault: Option<(Vault, PathBuf)>,
    /// The stored keys that it serves; all, where this is absent.
    pub serve: Option<Vec<KeyNumber>>,
    /// What serials and randomness of keys that are not stored come from.
    pub origin: Origin,
}

/// What makes the keys in memory of one process different from another's.
#[derive(Clone)]
pub enum Origin {
    /// The operating system's randomness; serials come from the machine and this text, so that
    /// the same command has the same ones.
    Machine(String),
    /// These bytes: everything is the same at every start.
    Seed(Vec<u8>),
}

impl Setup {
    /// A rig without a vault.
    pub fn new(backend: Backend, policy: Policy) -> Self {
        Self {
            backend,
            broker: Broker::new(policy),
            vault: None,
            serve: None,
            origin: Origin::Machine("rig".to_owned()),
        }
    }
}

struct Inner {
    backend: Backend,
    broker: Broker,
    vault: Option<(Vault, PathBuf)>,
    origin: Origin,
    /// Of keys in memory, once one of them needs it.
    authority: tokio::sync::OnceCell<AttestationAuthority>,
    keys: Mutex<BTreeMap<u32, Arc<Slot>>>,
    /// The number of the next key in memory.
    next: AtomicU32,
    /// Keys come and go one at a time.
    changing: tokio::sync::Mutex<()>,
}

/// Running keys. Clones are handles to the same ones.
#[derive(Clone)]
pub struct Rig(Arc<Inner>);

impl Rig {
    /// Opens the stored keys, and plugs them in.
    ///
    /// # Errors
    /// A stored key cannot be opened, or cannot be plugged in.
    pub async fn start(setup: Setup) -> Result<Self, RigError> {
        let rig = Self(Arc::new(Inner {
            backend: setup.backend,
            broker: setup.broker,
            vault: setup.vault,
            origin: setup.origin,
            authority: tokio::sync::OnceCell::new(),
            keys: Mutex::default(),
            next: AtomicU32::default(),
            changing: tokio::sync::Mutex::default(),
        }));
        rig.open_stored(setup.serve).await?;
        for slot in rig.slots() {
            rig.plug_slot(&slot).await?;
        }
        Ok(rig)
    }

    /// Who decides touches.
    pub fn broker(&self) -> &Broker {
        &self.0.broker
    }

    /// What happened.
    pub fn journal(&self) -> Journal {
        self.0.broker.journal()
    }

    /// Events after this number, the oldest first, and whether some before them are no longer
    /// kept. What a host has had answered is among them, which [`Self::journal`] may have only a
    /// moment later.
    pub async fn events(&self, after: u64) -> (Vec<Arc<Entry>>, bool) {
        self.settle(None).await;
        self.journal().since(after)
    }

    /// Waits until what keys have answered is noted: of one key, or of all.
    async fn settle(&self, only: Option<&Slot>) {
        match only {
            Some(slot) => {
                slot.handle.visit(|_, _| ()).await;
            }
            None => {
                for slot in self.slots() {
                    slot.handle.visit(|_, _| ()).await;
                }
            }
        }
    }

    /// What there is.
    pub async fn server(&self) -> ServerView {
        self.settle(None).await;
        let vault = self.0.vault.as_ref();
        ServerView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            backend: self.0.backend.name().to_owned(),
            listen: self.0.backend.listen().map(|address| address.to_string()),
            vault: vault.map(|(_, path)| path.display().to_string()),
            keys: self.lock().len(),
            last_event: self.journal().last(),
        }
    }

    /// Ends every key, what is on its way to the vault included.
    pub async fn stop(&self) {
        let slots = std::mem::take(&mut *self.lock());
        for slot in slots.values() {
            slot.handle.stop().await;
        }
        for slot in slots.values() {
            slot.handle.gone().await;
        }
        self.0.broker.close();
    }

    /// The keys, in the order of their bus ids.
    fn slots(&self) -> Vec<Arc<Slot>> {
        self.lock().values().cloned().collect()
    }

    /// The key of this bus id or name.
    fn slot(&self, key: &str) -> Result<Arc<Slot>, RigError> {
        let slots = self.slots();
        let numbered = slots.iter().find(|slot| slot.bus_id() == key);
        let named = || {
            slots
                .iter()
                .find(|slot| slot.name().as_deref() == Some(key))
        };
        numbered.or_else(named).cloned().ok_or_else(|| {
            let there: Vec<_> = slots.iter().take(10).map(|slot| slot.called()).collect();
            RigError::not_found(match there.is_empty() {
                true => "there are no keys: add one".to_owned(),
                false => format!("no key is called {key:?}; there is {}", there.join(", ")),
            })
        })
    }

    /// No code between lock and unlock can panic, so a poisoned list is still whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Slot>>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
