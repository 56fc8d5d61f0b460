//! The keys that `roamkey run` serves from a vault.

use std::path::{Path, PathBuf};

use super::{
    Failure,
    access::{VaultArgs, key_file_beside, now},
};
use crate::{
    profile::Profile,
    vault::{
        KeyNumber, OpenVault, Vault, VaultThread,
        unlock::{Kind, Unlock},
    },
};

/// The name of the first key of a vault, and of those that `--keys` makes.
const FIRST_NAME: &str = "key";

/// What of a vault `run` serves.
pub(super) struct Wanted<'a> {
    pub(super) vault: &'a VaultArgs,
    /// As many keys at least, made where they are missing.
    pub(super) count: Option<u32>,
    /// Keys by name or bus id; all, where none is named.
    pub(super) names: &'a [String],
    /// What a key is that is made now.
    pub(super) profile: Option<&'a str>,
}

/// A vault that is served.
pub(super) struct Served {
    pub(super) vault: Vault,
    pub(super) path: PathBuf,
    thread: VaultThread,
    /// The keys that were chosen.
    pub(super) numbers: Vec<KeyNumber>,
    /// What a person should know of how it is protected.
    pub(super) note: String,
}

/// Opens the vault, or makes it, and makes the keys that are missing.
pub(super) fn open(wanted: &Wanted<'_>) -> Result<Served, Failure> {
    let path = wanted.vault.path()?;
    let mut open = if path.exists() {
        wanted.vault.open()?
    } else {
        create(wanted.vault, &path)?
    };
    make_missing(&mut open, wanted)?;
    let all = open.store().keys()?;
    let keys: Vec<_> = if wanted.names.is_empty() {
        let count = wanted.count.unwrap_or(u32::MAX);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        all.into_iter().take(count).collect()
    } else {
        let found = wanted.names.iter().map(|name| open.store().find_key(name));
        found.collect::<Result<Vec<_>, _>>()?
    };
    let note = note(&open, &path)?;
    let (vault, thread) = open.serve()?;
    Ok(Served {
        vault,
        path,
        thread,
        numbers: keys.into_iter().map(|(number, _)| number).collect(),
        note,
    })
}

/// A vault where there is none yet: without another choice, a key file beside it opens it.
pub(super) fn create(args: &VaultArgs, path: &Path) -> Result<OpenVault, Failure> {
    let with = match args.given()? {
        Some(Unlock::RecoveryCode(_)) => {
            return Err(Failure::Usage(format!(
                "there is no vault at {} yet, and a recovery code alone makes none",
                path.display()
            )));
        }
        Some(with) => with,
        None => Unlock::KeyFile(key_file_beside(path)),
    };
    Ok(OpenVault::create(path, &with, now())?)
}

fn make_missing(open: &mut OpenVault, wanted: &Wanted<'_>) -> Result<(), Failure> {
    let there = open.store().keys()?.len();
    let least = match (wanted.count, wanted.names.is_empty()) {
        (Some(count), _) => usize::try_from(count).unwrap_or(usize::MAX),
        (None, true) => 1,
        (None, false) => 0,
    };
    if there >= least {
        return match wanted.profile {
            None => Ok(()),
            Some(_) => Err(Failure::Usage(
                "the vault's keys have their own profiles, and no key is made now: `roamkey key \
                 add NAME --profile PROFILE` makes one"
                    .to_owned(),
            )),
        };
    }
    let refused = |why| Failure::Usage(format!("{why}"));
    let profile = wanted.profile.unwrap_or("default");
    let (like, profile) = Profile::to_store(profile).map_err(refused)?;
    for _ in there..least {
        let name = free_name(open)?;
        open.store_mut()
            .add_key(&name, profile.clone(), now(), &like.ctap)?;
    }
    Ok(())
}

/// `key`, or `key-2` and so on.
fn free_name(open: &OpenVault) -> Result<String, Failure> {
    let keys = open.store().keys()?;
    let taken = |name: &str| keys.iter().any(|(_, key)| key.name == name);
    let numbered = (2..).map(|number: u32| format!("{FIRST_NAME}-{number}"));
    let mut names = std::iter::once(FIRST_NAME.to_owned()).chain(numbered);
    let free = names.find(|name| !taken(name));
    Ok(free.unwrap_or_default())
}

/// What protects the vault, and against what.
fn note(open: &OpenVault, path: &Path) -> Result<String, Failure> {
    let slots = open.store().slots()?;
    let key_file = slots.iter().any(|slot| slot.kind() == Kind::KeyFile);
    let path = path.display();
    Ok(if key_file {
        format!(
            "Vault {path}: a key file unlocks it, which protects copies of the vault without that \
             file, and nothing against who can read your files (`roamkey vault unlock add`)."
        )
    } else {
        format!("Vault {path}: it can be read only by who can unlock it.")
    })
}

impl Served {
    /// Waits until everything is written and the vault is closed. The keys have ended.
    pub(super) fn close(self) {
        drop(self.vault);
        self.thread.join();
    }
}
