//! Snapshots and backups of a vault, wherever it is.

use std::{path::Path, time::Duration};

use serde_json::json;

use super::{Desk, Done, client::Ask, running::named};
use crate::{
    cli::Failure,
    rig::{
        AttestationMetadata, AttestationRoot, BackupView, NewMetadata, SnapshotLoss, SnapshotView,
    },
    vault::{Protection, unlock::Passphrase},
};

/// A large vault takes its time, and its passphrase half a second.
const BACKUP_LIMIT: Duration = Duration::from_secs(900);

/// Who opens a backup.
pub(in crate::cli) enum BackupFor {
    /// Who knows this.
    Passphrase(Passphrase),
    /// Who has the identity of one of these age recipients.
    Recipients(Vec<String>),
}

impl BackupFor {
    /// What the backup is encrypted for.
    ///
    /// # Errors
    /// One of the recipients is none.
    pub(in crate::cli) fn protection(&self) -> Done<Protection> {
        match self {
            Self::Passphrase(passphrase) => Ok(Protection::passphrase(passphrase)?),
            Self::Recipients(texts) => {
                let protection = Protection::recipients(texts.iter().map(String::as_str));
                protection.map_err(|why| Failure::Usage(why.to_string()))
            }
        }
    }
}

impl Desk {
    /// What a relying party under test is to trust.
    pub(in crate::cli) fn attestation_root(&self) -> Done<AttestationRoot> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.attestation_root().await),
            Self::There(running) => running.ask(Ask::get(["attestation-root"])),
        }
    }

    /// What a relying party under test is to know of keys.
    pub(in crate::cli) fn attestation_metadata(
        &self,
        new: &NewMetadata,
    ) -> Done<AttestationMetadata> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.attestation_metadata(new).await),
            Self::There(running) => running.ask(Ask::post(["attestation-metadata"]).body(new)),
        }
    }

    /// Keeps the vault's state as of now.
    pub(in crate::cli) fn snapshot(&self, name: &str) -> Done<SnapshotView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.snapshot(name).await),
            Self::There(running) => {
                running.ask(Ask::post(["vault", "snapshots"]).body(&named(name)))
            }
        }
    }

    /// The snapshots, the oldest first.
    pub(in crate::cli) fn snapshots(&self) -> Done<Vec<SnapshotView>> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.snapshots().await),
            Self::There(running) => running.list(Ask::get(["vault", "snapshots"]), "snapshots"),
        }
    }

    /// Removes a snapshot.
    pub(in crate::cli) fn remove_snapshot(&self, name: &str) -> Done<()> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.remove_snapshot(name).await),
            Self::There(running) => running.ask(Ask::delete(["vault", "snapshots", name])),
        }
    }

    /// What going back to a snapshot would lose.
    pub(in crate::cli) fn rollback_loss(&self, name: &str) -> Done<Vec<SnapshotLoss>> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.rollback_loss(name).await),
            Self::There(running) => {
                running.list(Ask::get(["vault", "snapshots", name, "loss"]), "lost")
            }
        }
    }

    /// Goes back to a snapshot; what was lost.
    pub(in crate::cli) fn rollback(&self, name: &str) -> Done<Vec<SnapshotLoss>> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.rollback(name).await),
            Self::There(running) => {
                running.list(Ask::post(["vault", "snapshots", name, "rollback"]), "lost")
            }
        }
    }

    /// Writes a backup to a new file while keys go on.
    pub(in crate::cli) fn backup(&self, path: &Path, whom: &BackupFor) -> Done<BackupView> {
        match self {
            Self::Here(here) => {
                let (path, protection) = (path.to_owned(), whom.protection()?);
                here.ask(async |rig| rig.backup(path, protection).await)
            }
            Self::There(running) => {
                // The other process has a directory of its own.
                let failed = |why| Failure::failed(path.display(), why);
                let path = std::path::absolute(path).map_err(failed)?;
                let body = match whom {
                    BackupFor::Passphrase(secret) => {
                        json!({"path": path, "passphrase": secret.text()})
                    }
                    BackupFor::Recipients(recipients) => {
                        json!({"path": path, "recipients": recipients})
                    }
                };
                let ask = Ask::post(["vault", "backup"]).body(&body);
                running.ask(ask.within(BACKUP_LIMIT))
            }
        }
    }
}
