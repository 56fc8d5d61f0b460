//! The operating system's keyring: the Secret Service on Linux (freedesktop.org Secret Service
//! API 0.2), the Credential Manager on Windows, the Keychain on macOS.
//!
//! A key is kept as text, in hexadecimal: KWallet keeps nothing else. Each call runs on a thread
//! of its own, since the library blocks and may drive a runtime, which must not happen on a thread
//! of tokio's; the caller's thread waits. So everything here may be called inside a runtime and
//! outside one, though inside only where a thread may block (`spawn_blocking`). After two minutes
//! nobody is waited for: a keyring asks for its password in a window that may never be seen.
//!
//! A process that found no Secret Service does not find one later: the library tries once.

use std::{error::Error as _, sync::mpsc, thread, time::Duration};

use keyring::{Entry, Error};
use zeroize::Zeroizing;

use super::KeyringError;
use crate::vault::seal::VaultId;

/// What every entry of roamkey's is under.
pub(super) const SERVICE: &str = "roamkey";
/// A person may have to find the keyring's window and type a password.
const PATIENCE: Duration = Duration::from_secs(120);
/// Length of the key in an entry, in bytes.
const KEY_LEN: usize = 32;

/// An unlock's entry. With the date no two have the same, even in copies of a vault that went
/// different ways, so none is overwritten.
pub(super) fn account(vault: &VaultId, slot: u32, created: u64) -> String {
    format!("{vault}-{slot}-{created}")
}

/// Keeps `key` under `account`, and sees that it is there. If it fails, nothing is.
pub(super) fn store(account: &str, key: &[u8]) -> Result<(), KeyringError> {
    let digits = Zeroizing::new(base16ct::lower::encode_string(key));
    let kept = with_entry(account, move |entry| {
        entry.set_password(&digits)?;
        let kept = entry.get_password().map(Zeroizing::new);
        if !kept.as_ref().is_ok_and(|kept| *kept == digits) {
            entry.delete_credential()?;
        }
        Ok(kept? == digits)
    })?;
    if kept {
        Ok(())
    } else {
        Err(KeyringError::Failed("it keeps another text".into()))
    }
}

/// The key under `account`.
pub(super) fn read(account: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let digits = with_entry(account, |entry| Ok(Zeroizing::new(entry.get_password()?)))?;
    let mut key = Zeroizing::new(vec![0; KEY_LEN]);
    match base16ct::mixed::decode(digits.trim(), &mut key) {
        Ok(decoded) if decoded.len() == KEY_LEN => Ok(key),
        Ok(_) | Err(_) => Err(KeyringError::Wrong {
            account: account.into(),
        }),
    }
}

/// Removes the entry. That it is gone already is fine.
pub(super) fn remove(account: &str) -> Result<(), KeyringError> {
    match with_entry(account, Entry::delete_credential) {
        Err(KeyringError::Missing { .. }) => Ok(()),
        done => done,
    }
}

/// Runs `work` on a thread of its own and waits for it.
fn with_entry<T: Send + 'static>(
    account: &str,
    work: impl FnOnce(&Entry) -> keyring::Result<T> + Send + 'static,
) -> Result<T, KeyringError> {
    let (sender, answer) = mpsc::channel();
    let account = account.to_owned();
    thread::Builder::new()
        .name("keyring".into())
        .spawn(move || {
            // Nobody listens any more where this took too long.
            let _ = sender.send(call(&account, work));
        })
        .map_err(|why| KeyringError::Failed(why.to_string()))?;
    match answer.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(KeyringError::Silent),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(KeyringError::Failed("the call did not come back".into()))
        }
    }
}

fn call<T>(
    account: &str,
    work: impl FnOnce(&Entry) -> keyring::Result<T>,
) -> Result<T, KeyringError> {
    if let Err(why) = Entry::store_status() {
        // Without the library's own words in front of the system's.
        let why = why.source().map_or(why.to_string(), ToString::to_string);
        return Err(KeyringError::Unavailable(why));
    }
    Entry::new(SERVICE, account)
        .and_then(|entry| work(&entry))
        .map_err(|why| reason(account, &why))
}

/// The reason in our words. Some of the library's errors hold what was stored: their `Debug` is
/// for nobody, and of those two not even the text is used.
fn reason(account: &str, why: &Error) -> KeyringError {
    match why {
        Error::NoEntry => KeyringError::Missing {
            account: account.into(),
        },
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::Ambiguous(_) => {
            KeyringError::Wrong {
                account: account.into(),
            }
        }
        Error::NoStorageAccess(why) => KeyringError::Locked(why.to_string()),
        Error::NoDefaultStore => KeyringError::Unavailable(why.to_string()),
        Error::PlatformFailure(_)
        | Error::BadStoreFormat(_)
        | Error::TooLong(..)
        | Error::Invalid(..)
        | Error::NotSupportedByStore(_) => KeyringError::Failed(why.to_string()),
        _ => KeyringError::Failed(why.to_string()),
    }
}
