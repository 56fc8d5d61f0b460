//! Why a backup is not written or read. Texts are for a person.

use std::fmt;

/// Why a backup cannot be made or used. What stands in it is in no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupError {
    /// It is no age file.
    NotAge,
    /// The age file was cut or changed: what it authenticates is not there.
    Broken,
    /// The file is opened by a passphrase, and an identity was brought.
    WantsPassphrase,
    /// The file is opened by an identity, and a passphrase was brought.
    WantsIdentity,
    /// The passphrase is not its.
    WrongPassphrase,
    /// None of the identities is one of its recipients.
    WrongIdentity,
    /// Its passphrase is stretched more than this program does.
    TooMuchWork {
        /// 2 to this is what it asks for.
        log_n: u8,
    },
    /// It opens, and is something else.
    NotABackup,
    /// A later version of roamkey wrote it.
    Newer {
        /// The version of its format.
        version: u64,
    },
    /// A line of it is not what it should be.
    Line {
        /// From 1 on.
        number: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// Its last line is missing, or is not about the lines before it.
    Incomplete,
    /// A key in it is not one.
    Key {
        /// The key's name.
        name: String,
        /// What does not fit.
        why: String,
    },
    /// There is no such recipient.
    Recipient(String),
    /// Nobody was named who could open it.
    NoRecipients,
    /// The identities cannot be read; the line, from 1 on, where it is one.
    Identities(Option<usize>),
    /// When it was read back it was not what was written.
    ReadBack(String),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAge => f.write_str(
                "it is no age file (one with ASCII armor is to be decoded first: `age -d`, then \
                 encrypt it again)",
            ),
            Self::Broken => f.write_str("it was cut or changed: use another copy of it"),
            Self::WantsPassphrase => {
                f.write_str("it is opened by a passphrase: say --backup-passphrase-file FILE")
            }
            Self::WantsIdentity => {
                f.write_str("it is opened by an age identity: say --identity-file FILE")
            }
            Self::WrongPassphrase => f.write_str("the passphrase is wrong"),
            Self::WrongIdentity => f.write_str("none of the identities opens it"),
            Self::TooMuchWork { log_n } => write!(
                f,
                "its passphrase is stretched 2^{log_n} times, which is more than roamkey writes \
                 and takes"
            ),
            Self::NotABackup => f.write_str("what is in it is no backup of a roamkey vault"),
            Self::Newer { version } => write!(
                f,
                "its format has version {version}, and this roamkey knows {}: a later version \
                 wrote it; use that version or a newer one",
                super::format::VERSION
            ),
            Self::Line { number, why } => write!(f, "line {number}: {why}"),
            Self::Incomplete => f.write_str("it is not whole: lines are missing or were changed"),
            Self::Key { name, why } => write!(f, "its key {name}: {why}"),
            Self::Recipient(text) => write!(
                f,
                "{text:?} is no age recipient of the kind age1…, which `age-keygen` makes"
            ),
            Self::NoRecipients => f.write_str("no recipient is named"),
            Self::Identities(Some(line)) => write!(
                f,
                "line {line} is no age identity (AGE-SECRET-KEY-1…); an identity file that is \
                 itself encrypted is to be decrypted first"
            ),
            Self::Identities(None) => f.write_str("there is no age identity in it"),
            Self::ReadBack(why) => write!(
                f,
                "what was written is not what can be read back ({why}): is the disk broken?"
            ),
        }
    }
}

impl std::error::Error for BackupError {}
