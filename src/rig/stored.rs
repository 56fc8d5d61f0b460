//! What is done with the vault while its keys run: clones, snapshots, backups.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    KeyView, Rig, RigError,
    open::{no_vault, now},
};
use crate::vault::{KeyLoss, KeyNumber, Loss, Protection, Snapshot, Vault};

/// The vault's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotView {
    /// What it is called.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// How many commits there were.
    pub commit: u64,
    /// How many keys are in it.
    pub keys: usize,
}

/// What of a key a rollback loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotLoss {
    /// The key.
    pub name: String,
    /// The key itself goes: it was made since.
    pub removed: bool,
    /// Passkeys that were made since.
    pub passkeys: Vec<LostPasskey>,
    /// Registrations since a reset go, too.
    pub reset: bool,
    /// The PIN is again what it was.
    pub pin: bool,
    /// Not all of it can be read.
    pub damaged: bool,
}

/// A passkey that a rollback loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LostPasskey {
    /// The site.
    pub rp_id: String,
    /// The account.
    pub account: Option<String>,
}

/// A backup that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupView {
    /// The file.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// The vault's id.
    pub vault: String,
    /// How many commits there were.
    pub commit: u64,
    /// How many keys are in it.
    pub keys: usize,
    /// How many records are in it.
    pub records: u64,
}

/// A key to be made like one that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cloned {
    /// What the new one is called.
    pub name: String,
}

impl From<Snapshot> for SnapshotView {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            name: snapshot.name,
            created: snapshot.created,
            commit: snapshot.commit,
            keys: snapshot.keys,
        }
    }
}

impl From<KeyLoss> for SnapshotLoss {
    fn from(loss: KeyLoss) -> Self {
        let passkeys = loss.passkeys.into_iter();
        let passkeys = passkeys.map(|passkey| LostPasskey {
            rp_id: passkey.rp_id,
            account: passkey.account,
        });
        Self {
            name: loss.name,
            removed: loss.removed,
            passkeys: passkeys.collect(),
            reset: loss.reset,
            pin: loss.pin,
            damaged: loss.damaged,
        }
    }
}

fn losses(loss: Loss) -> Vec<SnapshotLoss> {
    loss.keys.into_iter().map(Into::into).collect()
}

impl Rig {
    fn vault(&self) -> Result<&Vault, RigError> {
        let vault = self.0.vault.as_ref();
        vault.map(|(vault, _)| vault).ok_or_else(no_vault)
    }

    /// Makes a stored key like one that is there, and plugs it in.
    ///
    /// # Errors
    /// There is no such stored key, or the name is none or is taken.
    pub async fn clone_key(&self, key: &str, clone: Cloned) -> Result<KeyView, RigError> {
        let _turn = self.0.changing.lock().await;
        let slot = self.slot(key)?;
        if !slot.is_stored() {
            return Err(RigError::conflict("only a stored key can be cloned"));
        }
        self.check_room()?;
        let from = KeyNumber(slot.number);
        let made = self.vault()?.work(move |store| {
            let number = store.clone_key(from, &clone.name, now())?;
            Ok(number)
        });
        let number = made.await?;
        self.open_stored(Some(vec![number])).await?;
        let slot = self.slot(&number.to_string())?;
        self.plug_slot(&slot).await?;
        self.view(&slot).await
    }

    /// Keeps the vault's state as of now.
    ///
    /// # Errors
    /// There is no vault, or the name is none or is taken.
    pub async fn snapshot(&self, name: &str) -> Result<SnapshotView, RigError> {
        let name = name.to_owned();
        let made = self.vault()?.work(move |store| {
            store.snapshot(&name, now())?;
            let made = store.snapshots().into_iter().find(|made| made.name == name);
            Ok(made)
        });
        let made = made.await?.map(Into::into);
        made.ok_or_else(|| RigError::failed("the snapshot was removed at once"))
    }

    /// The snapshots, the oldest first.
    ///
    /// # Errors
    /// There is no vault.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotView>, RigError> {
        let snapshots = self.vault()?.work(|store| Ok(store.snapshots())).await?;
        Ok(snapshots.into_iter().map(Into::into).collect())
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// There is no vault, or no such snapshot.
    pub async fn remove_snapshot(&self, name: &str) -> Result<(), RigError> {
        let name = name.to_owned();
        let removed = self
            .vault()?
            .work(move |store| store.remove_snapshot(&name));
        Ok(removed.await?)
    }

    /// What going back to a snapshot would lose.
    ///
    /// # Errors
    /// There is no vault, or no such snapshot.
    pub async fn rollback_loss(&self, name: &str) -> Result<Vec<SnapshotLoss>, RigError> {
        let name = name.to_owned();
        let loss = self.vault()?.work(move |store| store.rollback_loss(&name));
        Ok(losses(loss.await?))
    }

    /// Goes back to a snapshot, but for counters and PIN attempts, which do not go back. Stored
    /// keys are unplugged meanwhile.
    ///
    /// # Errors
    /// There is no vault, or no such snapshot; or a key that came back cannot be plugged in.
    pub async fn rollback(&self, name: &str) -> Result<Vec<SnapshotLoss>, RigError> {
        let _turn = self.0.changing.lock().await;
        let vault = self.vault()?;
        let checked = name.to_owned();
        vault
            .work(move |store| store.rollback_loss(&checked))
            .await?;
        let stored: Vec<_> = self
            .slots()
            .into_iter()
            .filter(|slot| slot.is_stored())
            .collect();
        let unplugged: Vec<_> = stored
            .iter()
            .filter(|slot| !slot.handle.is_plugged())
            .collect();
        let unplugged: Vec<_> = unplugged.into_iter().map(|slot| slot.number).collect();
        for slot in &stored {
            self.drop_slot(slot).await;
        }
        let name = name.to_owned();
        let loss = vault.work(move |store| store.rollback(&name)).await;
        // Whatever became of it, the keys that are there are served again.
        self.open_stored(None).await?;
        for slot in self.slots() {
            if slot.is_stored() && !unplugged.contains(&slot.number) {
                self.plug_slot(&slot).await?;
            }
        }
        Ok(losses(loss?))
    }

    /// Writes a backup to a new file while keys go on.
    ///
    /// # Errors
    /// There is no vault, there is a file already, or it cannot be written.
    pub async fn backup(
        &self,
        path: PathBuf,
        protection: Protection,
    ) -> Result<BackupView, RigError> {
        let written = self.vault()?.backup(path, protection, now()).await?;
        Ok(BackupView {
            path: written.path.display().to_string(),
            bytes: written.length,
            vault: written.vault.to_string(),
            commit: written.commit,
            keys: written.keys,
            records: written.records,
        })
    }
}
