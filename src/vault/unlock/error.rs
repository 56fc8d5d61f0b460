//! Why a vault stays shut. Every text says what happened and what helps; none holds a secret.

use std::{error, fmt, path::PathBuf};

use super::{Kind, passphrase::SHORTEST_PASSPHRASE};
use crate::vault::seal::VaultId;

/// Why a way to unlock could not be used, added or removed. The text is for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnlockError {
    /// The unlock is of one kind, and what was brought is of another.
    WrongKind {
        /// How it is opened.
        wanted: Kind,
        /// What was brought.
        brought: Kind,
    },
    /// The passphrase does not open it.
    WrongPassphrase,
    /// There is no passphrase.
    EmptyPassphrase,
    /// A new passphrase has less than 8 characters.
    ShortPassphrase,
    /// The recovery code was typed well and does not open it.
    WrongRecoveryCode,
    /// The file asks for something of Argon2id that no vault needs.
    Parameter {
        /// Its name in the file.
        name: &'static str,
        /// What the file says.
        value: u32,
        /// The least that is accepted.
        least: u32,
        /// The most that is accepted.
        most: u32,
    },
    /// Argon2id did not get its memory.
    OutOfMemory {
        /// In KiB.
        memory_kib: u32,
    },
    /// Something is wrong with a key file.
    KeyFile {
        /// Where it is, or should be.
        path: PathBuf,
        /// What is wrong.
        why: KeyFileError,
    },
    /// The operating system's keyring does not help.
    Keyring(KeyringError),
    /// The operating system has no randomness to give; the text is its reason.
    NoRandomness(String),
}

/// What is wrong with a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFileError {
    /// There is no such file, or no such directory.
    Missing,
    /// This user may not read it, or not write there.
    Denied,
    /// Something of that name is there already.
    Exists,
    /// Its name cannot be written into the vault.
    NotUnicode,
    /// It is something else, or damaged.
    NotKeyFile,
    /// It opens another vault.
    OtherVault(VaultId),
    /// It says that it opens this vault, and does not.
    Wrong,
    /// Reading or writing failed otherwise; the text is the system's.
    Failed(String),
}

/// Why the operating system's keyring does not help. A `String` is the system's own reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyringError {
    /// There is no keyring: no session bus, no Secret Service on it.
    Unavailable(String),
    /// It is locked, or has no place for new entries, and nobody unlocked it.
    Locked(String),
    /// It has no such entry.
    Missing {
        /// The entry's user name.
        account: String,
    },
    /// What it keeps under that name is not what was put there.
    Wrong {
        /// The entry's user name.
        account: String,
    },
    /// The vault names an entry that is not its own.
    NotOurs,
    /// It did not answer in two minutes.
    Silent,
    /// Anything else.
    Failed(String),
}

impl From<getrandom::Error> for UnlockError {
    fn from(why: getrandom::Error) -> Self {
        Self::NoRandomness(why.to_string())
    }
}

impl From<KeyringError> for UnlockError {
    fn from(why: KeyringError) -> Self {
        Self::Keyring(why)
    }
}

impl fmt::Display for UnlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKind { wanted, brought } => {
                write!(f, "this unlock is a {wanted}, and a {brought} was given")
            }
            Self::WrongPassphrase => f.write_str(
                "the passphrase does not open this vault: check Caps Lock and the keyboard's \
                 layout, and type it again",
            ),
            Self::EmptyPassphrase => f.write_str("the passphrase is empty: type one"),
            Self::ShortPassphrase => write!(
                f,
                "the passphrase is too short: whoever copies the vault's file can try millions, \
                 so take {SHORTEST_PASSPHRASE} characters at least, or better five words"
            ),
            Self::WrongRecoveryCode => f.write_str(
                "the recovery code does not open this vault: it was typed without a slip, so it \
                 is another vault's, or it was removed or replaced",
            ),
            Self::Parameter {
                name,
                value,
                least,
                most,
            } => write!(
                f,
                "the vault's file is damaged or was tampered with: its {name} for Argon2id is \
                 {value}, and {least} to {most} are accepted; restore the file from a backup"
            ),
            Self::OutOfMemory { memory_kib } => write!(
                f,
                "there is not enough memory to check the passphrase, which takes {} MiB: end \
                 other programs and try again",
                memory_kib / 1024
            ),
            Self::KeyFile { path, why } => write!(f, "key file {}: {why}", path.display()),
            Self::Keyring(why) => write!(f, "keyring: {why}"),
            Self::NoRandomness(why) => {
                write!(f, "the operating system has no randomness to give: {why}")
            }
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "it is not there: give the path where it is now, or unlock in another way",
            ),
            Self::Denied => f.write_str(
                "this user has no permission: run as the file's owner, or give another path",
            ),
            Self::Exists => f.write_str(
                "a file of this name is there already and is not overwritten: give another name",
            ),
            Self::NotUnicode => {
                f.write_str("its name is not valid Unicode, which the vault needs to note it down")
            }
            Self::NotKeyFile => f.write_str(
                "it is no roamkey key file, or it is damaged: give the file that roamkey wrote, \
                 or a copy of it",
            ),
            Self::OtherVault(vault) => {
                write!(f, "it opens another vault, {vault}: give this vault's file")
            }
            Self::Wrong => f.write_str(
                "it is this vault's and does not open it: it was replaced or removed from the \
                 vault, or changed by hand; give the newest one, or unlock in another way",
            ),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(
                f,
                "there is none to talk to ({why}): log in to a desktop session that has a Secret \
                 Service (GNOME Keyring, KWallet, KeePassXC) and run this there, or unlock in \
                 another way"
            ),
            Self::Locked(why) => write!(
                f,
                "it is locked and nobody unlocked it ({why}): unlock it in the desktop session, \
                 or unlock the vault in another way"
            ),
            Self::Missing { account } => write!(
                f,
                "it has no entry {account} for roamkey: run this as the user and on the machine \
                 that added the unlock, or unlock in another way"
            ),
            Self::Wrong { account } => write!(
                f,
                "its entry {account} for roamkey does not open this vault: it was changed; unlock \
                 in another way and add the keyring again"
            ),
            Self::NotOurs => f.write_str(
                "the vault's file names an entry that is not this vault's, so it is damaged or \
                 was tampered with: unlock in another way and add the keyring again",
            ),
            Self::Silent => f.write_str(
                "it did not answer in two minutes: see whether its window waits for a password, \
                 and try again",
            ),
            Self::Failed(why) => write!(f, "{why}: try again, or unlock in another way"),
        }
    }
}

impl error::Error for UnlockError {}
impl error::Error for KeyFileError {}
impl error::Error for KeyringError {}
