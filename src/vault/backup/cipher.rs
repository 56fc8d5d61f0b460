//! The age file around a backup (age-encryption.org/v1): for a passphrase, or for X25519
//! recipients.

use std::io::{BufRead, Write};

use age::{
    DecryptError, Decryptor, Encryptor, scrypt,
    secrecy::SecretString,
    stream::{StreamReader, StreamWriter},
    x25519,
};

use super::BackupError;
use crate::vault::{VaultError, unlock::Passphrase};

/// Stretching takes 1 KiB times 2 to this at most, which is a gigabyte. age writes what takes a
/// second, which is 2^18 or so.
const MOST_WORK: u8 = 20;

/// Who can open a backup that is to be written.
pub struct Protection(Kind);

enum Kind {
    Passphrase {
        secret: SecretString,
        /// What stretching costs, as a power of 2; what takes a second where it is `None`.
        work: Option<u8>,
    },
    Recipients(Vec<x25519::Recipient>),
}

impl Protection {
    /// Who has this passphrase.
    ///
    /// # Errors
    /// It is too short for a new one.
    pub fn passphrase(passphrase: &Passphrase) -> Result<Self, VaultError> {
        passphrase.check_new()?;
        Ok(Self(Kind::Passphrase {
            secret: secret(passphrase),
            work: None,
        }))
    }

    /// The same with little work, for tests.
    #[cfg(test)]
    pub(super) fn cheap(passphrase: &Passphrase) -> Self {
        Self(Kind::Passphrase {
            secret: secret(passphrase),
            work: Some(2),
        })
    }

    /// Who has the identity of one of these recipients, each an `age1…`.
    ///
    /// # Errors
    /// One is no X25519 recipient of age, or there is none.
    pub fn recipients<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, BackupError> {
        let recipients = texts.into_iter().map(|text| {
            let parsed = text.parse();
            parsed.map_err(|_| BackupError::Recipient(text.to_owned()))
        });
        let recipients: Vec<_> = recipients.collect::<Result<_, _>>()?;
        if recipients.is_empty() {
            return Err(BackupError::NoRecipients);
        }
        Ok(Self(Kind::Recipients(recipients)))
    }

    /// Encrypts what is written into `output`, and says what opens it again. For that there is
    /// one recipient more where others have the identities, whose own never leaves the memory.
    pub(super) fn seal<W: Write>(&self, output: W) -> std::io::Result<(StreamWriter<W>, Opener)> {
        let failed = |why: age::EncryptError| std::io::Error::other(why.to_string());
        let (encryptor, opener) = match &self.0 {
            Kind::Passphrase { secret, work } => {
                let mut recipient = scrypt::Recipient::new(secret.clone());
                if let Some(work) = work {
                    recipient.set_work_factor(*work);
                }
                let recipients = std::iter::once(&recipient as &dyn age::Recipient);
                let opener = Opener(Secret::Passphrase(secret.clone()));
                (Encryptor::with_recipients(recipients), opener)
            }
            Kind::Recipients(recipients) => {
                let ours = x25519::Identity::generate();
                let public = ours.to_public();
                let all = recipients.iter().chain([&public]);
                let recipients = all.map(|recipient| recipient as &dyn age::Recipient);
                let encryptor = Encryptor::with_recipients(recipients);
                (encryptor, Opener(Secret::Identities(vec![ours])))
            }
        };
        Ok((encryptor.map_err(failed)?.wrap_output(output)?, opener))
    }
}

fn secret(passphrase: &Passphrase) -> SecretString {
    SecretString::from(passphrase.text().to_owned())
}

/// What opens a backup.
pub struct Opener(Secret);

enum Secret {
    Passphrase(SecretString),
    Identities(Vec<x25519::Identity>),
}

impl Opener {
    /// A passphrase.
    pub fn passphrase(passphrase: &Passphrase) -> Self {
        Self(Secret::Passphrase(secret(passphrase)))
    }

    /// The identities in the text of a file as `age-keygen` writes it: lines with
    /// `AGE-SECRET-KEY-1…` among comments.
    ///
    /// # Errors
    /// A line is something else, or there is no identity.
    pub fn identities(text: &str) -> Result<Self, BackupError> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let identities = lines.map(|(index, line)| {
            let parsed = line.parse();
            parsed.map_err(|_| BackupError::Identities(Some(index + 1)))
        });
        let identities: Vec<_> = identities.collect::<Result<_, _>>()?;
        if identities.is_empty() {
            return Err(BackupError::Identities(None));
        }
        Ok(Self(Secret::Identities(identities)))
    }

    /// Decrypts what is read from `input`.
    pub(super) fn open<R: BufRead>(&self, input: R) -> Result<StreamReader<R>, OpenError> {
        let decryptor = decryptor(input)?;
        let scrypt = decryptor.is_scrypt();
        let opened = match &self.0 {
            Secret::Passphrase(_) if !scrypt => return Err(BackupError::WantsIdentity.into()),
            Secret::Identities(_) if scrypt => return Err(BackupError::WantsPassphrase.into()),
            Secret::Passphrase(secret) => {
                let mut identity = scrypt::Identity::new(secret.clone());
                identity.set_max_work_factor(MOST_WORK);
                decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
            }
            Secret::Identities(identities) => {
                let identities = identities.iter();
                decryptor.decrypt(identities.map(|identity| identity as &dyn age::Identity))
            }
        };
        opened.map_err(|why| reason(why, scrypt))
    }
}

/// Whether a passphrase opens what is in `input`.
pub(super) fn wants_passphrase(input: impl BufRead) -> Result<bool, OpenError> {
    Ok(decryptor(input)?.is_scrypt())
}

fn decryptor<R: BufRead>(input: R) -> Result<Decryptor<R>, OpenError> {
    Decryptor::new_buffered(input).map_err(|why| reason(why, false))
}

/// Why a file is not opened.
pub(super) enum OpenError {
    /// It is not as it should be, or what was brought does not open it.
    Backup(BackupError),
    /// It cannot be read.
    Io(std::io::Error),
}

impl From<BackupError> for OpenError {
    fn from(why: BackupError) -> Self {
        Self::Backup(why)
    }
}

fn reason(why: DecryptError, scrypt: bool) -> OpenError {
    OpenError::Backup(match why {
        DecryptError::Io(why) if why.kind() != std::io::ErrorKind::UnexpectedEof => {
            return OpenError::Io(why);
        }
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed if scrypt => {
            BackupError::WrongPassphrase
        }
        DecryptError::NoMatchingKeys => BackupError::WrongIdentity,
        DecryptError::ExcessiveWork { required, .. } => {
            BackupError::TooMuchWork { log_n: required }
        }
        DecryptError::DecryptionFailed
        | DecryptError::KeyDecryptionFailed
        | DecryptError::InvalidMac => BackupError::Broken,
        DecryptError::Io(_) | DecryptError::InvalidHeader | DecryptError::UnknownFormat | _ => {
            BackupError::NotAge
        }
    })
}
