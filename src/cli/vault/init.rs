//! `roamkey vault init`: makes a vault with one way to unlock it.
//!
//! The document: `path`, `vault_id`, `unlock` (as in `vault unlock list`), `protects` and
//! `does_not_protect` (sentences for a person).

use std::path::PathBuf;

use serde_json::json;

use super::{Way, detail, protection, slot_json};
use crate::{
    cli::{
        Failure, Format,
        access::{key_file_beside, now},
        common::say,
        output::shown,
        secret::{self, Source},
    },
    vault::{
        OpenVault, VaultError, default_path,
        unlock::{Kind, Unlock},
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What unlocks it.
    #[arg(long, value_name = "WAY", value_enum, default_value_t = Way::Keyfile)]
    with: Way,
    /// The vault's file [default: vault.redb in the platform's directory for a program's data].
    #[arg(long, value_name = "PATH")]
    vault: Option<PathBuf>,
    /// The key file to write [default: the vault's path and .key].
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Take the passphrase from this file; - is stdin [default: it is typed].
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = match &args.vault {
        Some(path) => path.clone(),
        None => default_path()?,
    };
    // Nobody thinks of a passphrase for nothing.
    if path.exists() {
        return Err(VaultError::Exists(path).into());
    }
    let with = way(args, &path)?;
    let open = OpenVault::create(&path, &with, now())?;
    let vault = open.vault();
    let slots = open.slots()?;
    open.close();
    let protection = protection(with.kind());
    let what = slots.first().map(detail).unwrap_or_default();
    let opens = match with.kind() {
        Kind::KeyFile => format!("The key file {} unlocks it.", shown(&what)),
        Kind::Passphrase => "The passphrase unlocks it.".to_owned(),
        Kind::Keyring => "Your keyring unlocks it.".to_owned(),
        Kind::RecoveryCode => "The recovery code unlocks it.".to_owned(),
    };
    let text = format!(
        "Made the vault {} (id {vault}).\n{opens}\n\nWhat that protects against: {}\nWhat it \
         does not: {}\n\nNext: `roamkey key add NAME` makes a key, or `roamkey run` makes one and \
         serves it.",
        shown(&path.display().to_string()),
        protection.helps,
        protection.helps_not,
    );
    let document = json!({
        "path": path, "vault_id": vault.to_string(), "unlock": slots.first().map(slot_json),
        "protects": protection.helps, "does_not_protect": protection.helps_not,
    });
    say(args.format, &text, &document)
}

fn way(args: &Args, path: &std::path::Path) -> Result<Unlock, Failure> {
    let only_for = |option: &str, way: &str| {
        Failure::Usage(format!(
            "{option} is for --with {way}: say that, or leave it away"
        ))
    };
    if args.key_file.is_some() && args.with != Way::Keyfile {
        return Err(only_for("--key-file", "keyfile"));
    }
    if args.passphrase_file.is_some() && args.with != Way::Passphrase {
        return Err(only_for("--passphrase-file", "passphrase"));
    }
    Ok(match args.with {
        Way::Keyfile => {
            let beside = || key_file_beside(path);
            Unlock::KeyFile(args.key_file.clone().unwrap_or_else(beside))
        }
        Way::Keyring => Unlock::Keyring,
        Way::Passphrase => {
            let source = Source {
                option: "--passphrase-file",
                file: args.passphrase_file.as_deref(),
            };
            let passphrase = secret::new_passphrase("Passphrase of the new vault: ", source)?;
            Unlock::Passphrase(passphrase)
        }
    })
}
