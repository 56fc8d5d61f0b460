//! How a command gets at the vault: which file, and what unlocks it.

use std::{
    ffi::OsString,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use clap::Args;
use serde_json::Value;

use super::{
    Failure,
    secret::{self, Source},
};
use crate::vault::{
    LockedVault, OpenVault, VaultError, default_path,
    unlock::{Kind, Method, Passphrase, Unlock},
};

/// Where the vault is and how it is unlocked.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Vault")]
pub(super) struct VaultArgs {
    /// The vault's file [default: vault.redb in the platform's directory for a program's data].
    #[arg(long, value_name = "PATH")]
    pub(super) vault: Option<PathBuf>,
    /// Unlock it with this key file [default: whatever unlocks it without asking, then a
    /// passphrase].
    #[arg(long, value_name = "FILE", group = "unlock")]
    pub(super) key_file: Option<PathBuf>,
    /// Unlock it with the passphrase in this file; - is stdin.
    #[arg(long, value_name = "FILE", group = "unlock")]
    pub(super) passphrase_file: Option<PathBuf>,
    /// Unlock it with the operating system's keyring.
    #[arg(long, group = "unlock")]
    pub(super) keyring: bool,
    /// Unlock it with a recovery code, which is asked for.
    #[arg(long, group = "unlock")]
    pub(super) recovery_code: bool,
    /// Unlock it with the recovery code in this file; - is stdin.
    #[arg(long, value_name = "FILE", group = "unlock")]
    pub(super) recovery_code_file: Option<PathBuf>,
}

/// A vault that was looked for.
pub(super) enum Found {
    /// This process has it.
    Open(Box<OpenVault>),
    /// Another one has.
    InUse {
        /// Its number, where the system tells.
        process: Option<u32>,
        /// What is said where only this process would do.
        why: VaultError,
    },
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The path of the key file that is made where nobody chooses another way.
pub(super) fn key_file_beside(vault: &Path) -> PathBuf {
    let mut name = vault.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

impl From<VaultError> for Failure {
    fn from(why: VaultError) -> Self {
        Self::Failed(why.to_string())
    }
}

impl VaultArgs {
    /// The vault's file.
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        match &self.vault {
            Some(path) => Ok(path.clone()),
            None => Ok(default_path()?),
        }
    }

    /// What the arguments say to unlock with; `None` where they leave it open.
    pub(super) fn given(&self) -> Result<Option<Unlock>, Failure> {
        if let Some(path) = &self.key_file {
            return Ok(Some(Unlock::KeyFile(path.clone())));
        }
        if self.keyring {
            return Ok(Some(Unlock::Keyring));
        }
        if self.passphrase_file.is_some() {
            return Ok(Some(Unlock::Passphrase(self.passphrase()?)));
        }
        if self.recovery_code || self.recovery_code_file.is_some() {
            let source = Source {
                option: "--recovery-code-file",
                file: self.recovery_code_file.as_deref(),
            };
            let code = secret::recovery_code("Recovery code: ", source)?;
            return Ok(Some(Unlock::RecoveryCode(code)));
        }
        Ok(None)
    }

    /// Opens and unlocks the vault, with what the arguments say or else with what its file says:
    /// a key file that is there, the keyring, a passphrase that a person types.
    pub(super) fn open(&self) -> Result<OpenVault, Failure> {
        match self.find()? {
            Found::Open(open) => Ok(*open),
            Found::InUse { why, .. } => Err(why.into()),
        }
    }

    /// The same, for who can go to the process that has it.
    pub(super) fn find(&self) -> Result<Found, Failure> {
        match LockedVault::open(&self.path()?) {
            Ok(locked) => Ok(Found::Open(Box::new(self.unlock(locked)?))),
            Err(why @ VaultError::InUse { process, .. }) => Ok(Found::InUse { process, why }),
            Err(why @ VaultError::Changed { .. }) => {
                let what = self.look_into_changed(why).join("; ");
                Err(Failure::Failed(format!(
                    "the vault was changed since it was written: {what}. Restore a backup with \
                     `roamkey vault restore`"
                )))
            }
            Err(why) => Err(why.into()),
        }
    }

    /// What of a changed file is not what it was. A process of its own looks, since reading such
    /// a file can end it; where it does, `why` is all that is known.
    pub(super) fn look_into_changed(&self, why: VaultError) -> Vec<String> {
        let looked = || -> Option<Vec<String>> {
            let output = Command::new(std::env::current_exe().ok()?)
                .args(["vault", "check", "--as-it-is", "--format", "json"])
                .args(self.to_args())
                .stderr(Stdio::null())
                .output()
                .ok()?;
            let document: Value = serde_json::from_slice(&output.stdout).ok()?;
            serde_json::from_value(document.get("damage")?.clone()).ok()
        };
        looked().unwrap_or_else(|| vec![why.to_string()])
    }

    /// The same arguments for another process.
    fn to_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        let files = [
            ("--vault", &self.vault),
            ("--key-file", &self.key_file),
            ("--passphrase-file", &self.passphrase_file),
            ("--recovery-code-file", &self.recovery_code_file),
        ];
        for (option, file) in files {
            if let Some(file) = file {
                args.extend([option.into(), file.clone().into()]);
            }
        }
        let flags = [
            ("--keyring", self.keyring),
            ("--recovery-code", self.recovery_code),
        ];
        args.extend(
            flags
                .into_iter()
                .filter(|(_, on)| *on)
                .map(|(flag, _)| flag.into()),
        );
        args
    }

    /// The second half of [`Self::open`].
    pub(super) fn unlock(&self, locked: LockedVault) -> Result<OpenVault, Failure> {
        let with = self.way(&locked)?;
        Ok(locked.unlock(&with)?)
    }

    /// What to unlock it with.
    pub(super) fn way(&self, locked: &LockedVault) -> Result<Unlock, Failure> {
        match self.given()? {
            Some(with) => Ok(with),
            None => self.choose(locked),
        }
    }

    fn passphrase(&self) -> Result<Passphrase, Failure> {
        let source = Source {
            option: "--passphrase-file",
            file: self.passphrase_file.as_deref(),
        };
        secret::passphrase("Passphrase of the vault: ", source)
    }

    /// What to unlock with where nobody said. A key file that was moved together with its vault is
    /// found beside it.
    fn choose(&self, locked: &LockedVault) -> Result<Unlock, Failure> {
        let slots = locked.slots();
        let beside = key_file_beside(&self.path()?);
        for slot in slots {
            if let Method::KeyFile { path } = &slot.method {
                let places = [PathBuf::from(path), beside.clone()];
                if let Some(path) = places.into_iter().find(|path| path.exists()) {
                    return Ok(Unlock::KeyFile(path));
                }
            }
        }
        let has = |kind| slots.iter().any(|slot| slot.kind() == kind);
        if has(Kind::Keyring) {
            return Ok(Unlock::Keyring);
        }
        if has(Kind::Passphrase) && std::io::stdin().is_terminal() {
            return Ok(Unlock::Passphrase(self.passphrase()?));
        }
        let ways: Vec<_> = slots
            .iter()
            .map(|slot| match &slot.method {
                Method::KeyFile { path } => {
                    format!("the key file {path} (missing): --key-file FILE")
                }
                Method::Passphrase { .. } => "a passphrase: --passphrase-file FILE".to_owned(),
                Method::Keyring { .. } => "the keyring: --keyring".to_owned(),
                Method::RecoveryCode => "a recovery code: --recovery-code".to_owned(),
            })
            .collect();
        Err(Failure::Failed(format!(
            "the vault is locked, and nothing here unlocks it. It is unlocked by {}",
            ways.join("; or by ")
        )))
    }
}
