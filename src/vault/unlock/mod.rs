//! The ways to unlock a vault.
//!
//! One data key opens everything in a vault. It is wrapped once for each unlock, in a [`Slot`],
//! under a key that comes from what a person brings: a passphrase, a key file, the operating
//! system's keyring or a recovery code. So an unlock is added or removed without sealing the vault
//! again, and each alone is enough.
//!
//! What a slot says of itself is readable to everyone and bound into its seal: whoever swaps a
//! salt, lowers a cost or points at another file gets an unlock that does not open. Some of what
//! is here takes its time or waits for a person; none of it may run where a task must not block.

mod error;
mod key_file;
mod keyring;
mod passphrase;
mod recovery;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use error::{KeyFileError, KeyringError, UnlockError};
pub use passphrase::{Argon2Params, Passphrase};
pub use recovery::{CodeError, RecoveryCode};

use super::seal::{Sealer, SealingKey, VaultId};
use passphrase::SALT_LEN;

/// How a slot is opened. It stands in the vault's file in clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// With a passphrase that Argon2id stretches.
    Passphrase {
        /// What a try costs.
        params: Argon2Params,
        /// Drawn for this slot.
        #[serde(with = "serde_bytes")]
        salt: [u8; SALT_LEN],
    },
    /// With a key file.
    KeyFile {
        /// Where it was written, as an absolute path. It may have been moved since.
        path: String,
    },
    /// With an entry in the operating system's keyring.
    Keyring {
        /// The entry's service.
        service: String,
        /// The entry's user name.
        account: String,
    },
    /// With a recovery code.
    RecoveryCode,
}

/// The kinds of unlocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A passphrase.
    Passphrase,
    /// A key file.
    KeyFile,
    /// The operating system's keyring.
    Keyring,
    /// A recovery code.
    RecoveryCode,
}

impl fmt::Display for Kind {
    /// As on the command line: `passphrase`, `keyfile`, `keyring`, `recovery-code`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passphrase => "passphrase",
            Self::KeyFile => "keyfile",
            Self::Keyring => "keyring",
            Self::RecoveryCode => "recovery-code",
        })
    }
}

/// What a person brings, to open a vault or to add a way in.
pub enum Unlock {
    /// This passphrase.
    Passphrase(Passphrase),
    /// The key file at this path; to add, the one to be written there.
    KeyFile(PathBuf),
    /// The entry of this user's keyring.
    Keyring,
    /// This code.
    RecoveryCode(RecoveryCode),
}

impl Unlock {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Passphrase(_) => Kind::Passphrase,
            Self::KeyFile(_) => Kind::KeyFile,
            Self::Keyring => Kind::Keyring,
            Self::RecoveryCode(_) => Kind::RecoveryCode,
        }
    }
}

/// One way to unlock a vault, as its file keeps it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Slot {
    /// Tells it from the vault's other slots.
    pub id: u32,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// How it is opened.
    pub method: Method,
    /// The data key, sealed.
    #[serde(with = "serde_bytes")]
    wrapped: Vec<u8>,
}

impl Slot {
    /// A new way in. What it needs outside the vault, a key file or an entry in the keyring, is
    /// there when this returns; whoever then cannot store the slot calls [`Slot::forget`].
    ///
    /// A passphrase takes about a second: its cost is measured first.
    ///
    /// # Errors
    /// The passphrase is too short, the key file or the keyring cannot be written, or memory or
    /// randomness is lacking. Then nothing is left outside.
    pub(crate) fn create(
        id: u32,
        created: u64,
        vault: &VaultId,
        data_key: &SealingKey,
        with: &Unlock,
    ) -> Result<Self, UnlockError> {
        let cost = Argon2Params::calibrated;
        Self::create_at(id, created, vault, data_key, with, cost)
    }

    /// [`Slot::create`], where `cost` says what a try of a passphrase shall cost.
    pub(crate) fn create_at(
        id: u32,
        created: u64,
        vault: &VaultId,
        data_key: &SealingKey,
        with: &Unlock,
        cost: impl FnOnce() -> Result<Argon2Params, UnlockError>,
    ) -> Result<Self, UnlockError> {
        Self::draft_at(id, created, vault, data_key, with, cost)?.place(vault)
    }

    /// The first half of [`Slot::create`], which leaves nothing outside the vault.
    ///
    /// # Errors
    /// The passphrase is too short, something is in the key file's place, or memory or randomness
    /// is lacking.
    pub(crate) fn draft(
        id: u32,
        created: u64,
        vault: &VaultId,
        data_key: &SealingKey,
        with: &Unlock,
    ) -> Result<Draft, UnlockError> {
        let cost = Argon2Params::calibrated;
        Self::draft_at(id, created, vault, data_key, with, cost)
    }

    fn draft_at(
        id: u32,
        created: u64,
        vault: &VaultId,
        data_key: &SealingKey,
        with: &Unlock,
        cost: impl FnOnce() -> Result<Argon2Params, UnlockError>,
    ) -> Result<Draft, UnlockError> {
        let (method, secret) = match with {
            Unlock::Passphrase(passphrase) => {
                passphrase.check_new()?;
                let (params, salt) = (cost()?, random()?);
                let secret = passphrase.stretch(&params, &salt)?;
                (Method::Passphrase { params, salt }, secret)
            }
            Unlock::KeyFile(path) => {
                let path = key_file::place(path)?;
                (Method::KeyFile { path }, random_key()?)
            }
            Unlock::Keyring => {
                let service = keyring::SERVICE.into();
                let account = keyring::account(vault, id, created);
                (Method::Keyring { service, account }, random_key()?)
            }
            Unlock::RecoveryCode(code) => {
                let secret = Zeroizing::new(code.secret().to_vec());
                (Method::RecoveryCode, secret)
            }
        };
        let mut slot = Self {
            id,
            created,
            method,
            wrapped: Vec::new(),
        };
        let binding = slot.binding(vault);
        slot.wrapped = slot
            .sealer(vault, &secret)
            .seal(&random()?, data_key.as_bytes(), &binding);
        Ok(Draft { slot, secret })
    }

    /// The vault's data key, if `with` opens this slot. A passphrase takes about half a second,
    /// the keyring as long as a person needs to unlock it, up to two minutes.
    ///
    /// # Errors
    /// What was brought is of another kind, is not there or is wrong, or the slot was tampered
    /// with.
    pub(crate) fn open(&self, vault: &VaultId, with: &Unlock) -> Result<SealingKey, UnlockError> {
        match (&self.method, with) {
            (Method::Passphrase { params, salt }, Unlock::Passphrase(passphrase)) => self
                .unwrap(vault, &passphrase.stretch(params, salt)?)
                .ok_or(UnlockError::WrongPassphrase),
            (Method::KeyFile { .. }, Unlock::KeyFile(path)) => self
                .unwrap(vault, &key_file::read(path, vault)?)
                .ok_or_else(|| UnlockError::KeyFile {
                    path: path.clone(),
                    why: KeyFileError::Wrong,
                }),
            (Method::Keyring { service, account }, Unlock::Keyring) => {
                self.check_entry(vault, service, account)?;
                self.unwrap(vault, &keyring::read(account)?).ok_or_else(|| {
                    let account = account.clone();
                    KeyringError::Wrong { account }.into()
                })
            }
            (Method::RecoveryCode, Unlock::RecoveryCode(code)) => self
                .unwrap(vault, code.secret())
                .ok_or(UnlockError::WrongRecoveryCode),
            _ => Err(UnlockError::WrongKind {
                wanted: self.kind(),
                brought: with.kind(),
            }),
        }
    }

    /// Removes what [`Slot::create`] left outside the vault: the entry in the keyring, or the key
    /// file where it was written, if that is still this slot's. A copy elsewhere stays.
    ///
    /// # Errors
    /// It is there, or may be there, and cannot be removed.
    pub(crate) fn forget(&self, vault: &VaultId) -> Result<(), UnlockError> {
        match &self.method {
            Method::KeyFile { path } => key_file::remove(Path::new(path), vault, |key| {
                self.unwrap(vault, key).is_some()
            }),
            Method::Keyring { service, account } => {
                self.check_entry(vault, service, account)?;
                Ok(keyring::remove(account)?)
            }
            Method::Passphrase { .. } | Method::RecoveryCode => Ok(()),
        }
    }

    /// Which kind of unlock it is.
    pub fn kind(&self) -> Kind {
        match self.method {
            Method::Passphrase { .. } => Kind::Passphrase,
            Method::KeyFile { .. } => Kind::KeyFile,
            Method::Keyring { .. } => Kind::Keyring,
            Method::RecoveryCode => Kind::RecoveryCode,
        }
    }

    /// A file that someone changed must not have us read or delete another program's entry.
    fn check_entry(
        &self,
        vault: &VaultId,
        service: &str,
        account: &str,
    ) -> Result<(), KeyringError> {
        if service == keyring::SERVICE && account == keyring::account(vault, self.id, self.created)
        {
            Ok(())
        } else {
            Err(KeyringError::NotOurs)
        }
    }

    fn unwrap(&self, vault: &VaultId, secret: &[u8]) -> Option<SealingKey> {
        let sealer = self.sealer(vault, secret);
        let data_key = Zeroizing::new(sealer.open(&self.wrapped, &self.binding(vault))?);
        SealingKey::from_slice(&data_key)
    }

    /// Seals under a key that comes from `secret`; each kind of secret has its own.
    fn sealer(&self, vault: &VaultId, secret: &[u8]) -> Sealer {
        let info = format!("roamkey unlock v1 {}", self.kind());
        let key = SealingKey::derive(secret, vault.as_bytes(), info.as_bytes());
        Sealer::new(&key)
    }

    /// Everything that a slot says, in bytes that no other slot's are: a number for the method,
    /// numbers in little endian, texts with their length in front.
    fn binding(&self, vault: &VaultId) -> Vec<u8> {
        let mut bytes = b"roamkey unlock v1".to_vec();
        bytes.extend(vault.as_bytes());
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.created.to_le_bytes());
        let mut text = |number: u8, texts: &[&str]| {
            bytes.push(number);
            for text in texts {
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
        };
        match &self.method {
            Method::Passphrase { params, salt } => {
                text(1, &[]);
                let Argon2Params {
                    memory_kib,
                    iterations,
                    parallelism,
                } = *params;
                for number in [memory_kib, iterations, parallelism] {
                    bytes.extend(number.to_le_bytes());
                }
                bytes.extend(salt);
            }
            Method::KeyFile { path } => text(2, &[path]),
            Method::Keyring { service, account } => text(3, &[service, account]),
            Method::RecoveryCode => text(4, &[]),
        }
        bytes
    }
}

/// A slot whose key file or entry in the keyring is not written yet.
pub(crate) struct Draft {
    slot: Slot,
    secret: Zeroizing<Vec<u8>>,
}

impl Draft {
    /// What the vault's file keeps.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The second half of [`Slot::create`].
    ///
    /// # Errors
    /// The key file or the keyring cannot be written. Then nothing is left outside.
    pub(crate) fn place(self, vault: &VaultId) -> Result<Slot, UnlockError> {
        let Self { slot, secret } = self;
        match &slot.method {
            Method::KeyFile { path } => key_file::write(Path::new(path), vault, slot.id, &secret)?,
            Method::Keyring { account, .. } => keyring::store(account, &secret)?,
            Method::Passphrase { .. } | Method::RecoveryCode => {}
        }
        Ok(slot)
    }
}

fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The secret of a new key file or keyring entry.
fn random_key() -> Result<Zeroizing<Vec<u8>>, getrandom::Error> {
    let mut key = Zeroizing::new(vec![0; 32]);
    getrandom::fill(&mut key)?;
    Ok(key)
}
