//! Keys come into a rig: from the vault, or made anew.

use std::sync::{Arc, atomic::Ordering};

use roamkey_transport::usb::Identity;
use tracing::warn;

use super::{
    Backend, KeyView, NewKey, Origin, Rig, RigError,
    slot::{Parts, Slot},
};
use crate::{
    journal::Event,
    key::{Key, Seed},
    limits::MOST_KEYS,
    profile::Profile,
    serial::serial,
    vault::{self, KeyNumber, KeyVault, Memory, StoredProfile},
};

/// Bus ids of keys in memory begin behind those that a vault can have.
const FIRST_BESIDE_A_VAULT: u32 = 10_001;
/// A bus id has room for no more.
const LAST: u32 = 60_000;
/// With a seed everything is reproducible, the certificate's date too: 2025-01-01.
pub(super) const SEEDED_DATE: u64 = 1_735_689_600;

impl Rig {
    /// Opens the keys of the vault, all or those that are named.
    pub(super) async fn open_stored(&self, only: Option<Vec<KeyNumber>>) -> Result<(), RigError> {
        let Some((vault, _)) = &self.0.vault else {
            return Ok(());
        };
        let keys = vault.work(|store| store.keys()).await?;
        for (number, identity) in keys {
            let wanted = only.as_ref().is_none_or(|only| only.contains(&number));
            if !wanted || self.lock().contains_key(&number.0) {
                continue;
            }
            let name = identity.name.clone();
            match self.open_stored_key(number, identity).await {
                Ok(_) => {}
                // One that this version does not understand hides nothing of the others.
                Err(why) if matches!(self.0.backend, Backend::Nowhere) => {
                    warn!(%name, %why, "this key is left out");
                }
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    async fn open_stored_key(
        &self,
        number: KeyNumber,
        identity: vault::Identity,
    ) -> Result<Arc<Slot>, RigError> {
        let Some((vault, _)) = &self.0.vault else {
            return Err(no_vault());
        };
        let profile = Profile::stored(&identity.profile)?;
        let parts = Parts {
            number: number.0,
            name: Some(identity.name),
            id: Some(identity.id.to_string()),
            usb: usb_identity(&profile, &identity.serial)?,
            serial: identity.serial,
            profile: identity.profile.name,
            created: identity.created,
        };
        let vault = Box::new(vault.key(number));
        let seed = Seed::random().map_err(RigError::failed)?;
        self.open(&profile, parts, seed, vault).await
    }

    /// Makes a key and plugs it in.
    ///
    /// # Errors
    /// Its profile cannot be, its name is taken, or the vault or the backend does not take it.
    pub async fn add_key(&self, new: NewKey) -> Result<KeyView, RigError> {
        let _turn = self.0.changing.lock().await;
        self.check_room()?;
        let (profile, stored_profile) = profile_of(&new)?;
        let policy = new
            .touch
            .as_ref()
            .map(super::touch::policy_of)
            .transpose()?;
        if let Some(name) = &new.name {
            vault::check_name(name)?;
        }
        if let Some(name) = &new.name
            && self.slot(name).is_ok()
        {
            return Err(RigError::conflict(format!(
                "there is a key called {name:?} already"
            )));
        }
        let slot = match new.stored {
            true => self.add_stored(&new, &profile, stored_profile).await?,
            false => self.add_in_memory(&new, &profile, stored_profile).await?,
        };
        if let Some(policy) = policy {
            self.0.broker.set_policy(&slot.bus_id(), policy);
        }
        if !new.unplugged
            && let Err(why) = self.plug_slot(&slot).await
        {
            self.drop_slot(&slot).await;
            return Err(why);
        }
        self.view(&slot).await
    }

    /// Whether there may be one more key.
    pub(super) fn check_room(&self) -> Result<(), RigError> {
        if self.lock().len() >= MOST_KEYS as usize {
            let why = format!("a process has {MOST_KEYS} keys at most: remove one first");
            return Err(RigError::conflict(why));
        }
        Ok(())
    }

    async fn add_stored(
        &self,
        new: &NewKey,
        profile: &Profile,
        stored: StoredProfile,
    ) -> Result<Arc<Slot>, RigError> {
        let (vault, _) = self.0.vault.as_ref().ok_or_else(no_vault)?;
        let name = new.name.clone();
        let name = name.ok_or_else(|| RigError::invalid("a stored key needs a name"))?;
        let created = now();
        let like = profile.ctap.clone();
        let made = vault.work(move |store| {
            let number = store.add_key(&name, stored, created, &like)?;
            Ok((number, store.identity(number)?))
        });
        let (number, identity) = made.await?;
        self.open_stored_key(number, identity).await
    }

    async fn add_in_memory(
        &self,
        new: &NewKey,
        profile: &Profile,
        stored: StoredProfile,
    ) -> Result<Arc<Slot>, RigError> {
        let number = self.free_number()?;
        let (mut seed, created) = match &self.0.origin {
            Origin::Seed(bytes) => (Seed::of_key(bytes, number), SEEDED_DATE),
            Origin::Machine(_) => (Seed::random().map_err(RigError::failed)?, now()),
        };
        let serial = serial(&self.0.origin, number);
        let parts = Parts {
            number,
            name: new.name.clone(),
            id: None,
            usb: usb_identity(profile, &serial)?,
            serial,
            profile: stored.name,
            created,
        };
        let vault = Box::new(Memory::create(&mut seed, created, &profile.ctap));
        self.open(profile, parts, seed, vault).await
    }

    fn free_number(&self) -> Result<u32, RigError> {
        let keys = self.lock();
        let first = match self.0.vault {
            Some(_) => FIRST_BESIDE_A_VAULT,
            None => 1,
        };
        let mut numbers = first..=LAST;
        let free = match &self.0.origin {
            // The same calls give the same keys.
            Origin::Seed(_) => numbers.find(|number| !keys.contains_key(number)),
            // A host may not have noticed yet that the last one with a number is gone.
            Origin::Machine(_) => {
                let next = self.0.next.load(Ordering::Relaxed).max(first);
                let mut later = (next..=LAST).chain(first..next);
                later.find(|number| !keys.contains_key(number))
            }
        };
        if let Some(free) = free {
            self.0.next.store(free + 1, Ordering::Relaxed);
        }
        free.ok_or_else(|| RigError::conflict("no bus id is left: remove a key first"))
    }

    /// Starts a key's task.
    async fn open(
        &self,
        profile: &Profile,
        parts: Parts,
        mut seed: Seed,
        mut vault: Box<dyn KeyVault>,
    ) -> Result<Arc<Slot>, RigError> {
        let bus_id = format!("1-{}", parts.number);
        let called = parts.name.as_deref().unwrap_or(&bus_id).to_owned();
        let certified = self.certify(&mut *vault, &mut seed, profile, &parts.serial);
        let refused = |why: RigError| RigError::failed(format!("key {called}: {}", why.text));
        certified.await.map_err(refused)?;
        let mut profile = profile.clone();
        let ctap = &mut profile.ctap;
        ctap.max_msg_size = ctap.max_msg_size.min(self.0.backend.max_msg_size());
        let key = Key::open(&profile, seed, vault, self.0.broker.seat(&bus_id)).await;
        let mut key = key.map_err(|why| RigError::failed(format!("key {called}: {why}")))?;
        let slot = Arc::new(Slot::new(parts, key.handle()));
        tokio::spawn(key.work());
        self.lock().insert(slot.number, Arc::clone(&slot));
        let event = Event::Added {
            name: slot.name(),
            profile: slot.profile.clone(),
        };
        self.journal().record(&bus_id, event);
        Ok(slot)
    }
}

pub(super) fn no_vault() -> RigError {
    RigError::conflict("this process keeps no vault: it was started with --ephemeral")
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.map_or(SEEDED_DATE, |since| since.as_secs())
}

fn usb_identity(profile: &Profile, serial: &str) -> Result<Identity, RigError> {
    profile.usb_identity(serial).map_err(RigError::invalid)
}

fn profile_of(new: &NewKey) -> Result<(Profile, StoredProfile), RigError> {
    let name = new.profile.as_deref().unwrap_or("default");
    let stored = match &new.profile_toml {
        Some(text) => StoredProfile {
            name: name.to_owned(),
            text: Some(text.clone()),
        },
        // Never a file: its path would be this process's, not the caller's.
        None => StoredProfile {
            name: name.to_owned(),
            text: None,
        },
    };
    let profile = Profile::stored(&stored)?;
    match &new.overrides {
        None => Ok((profile, stored)),
        Some(overrides) => Ok(Profile::with_overrides(&stored, overrides)?),
    }
}
