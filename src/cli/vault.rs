//! `roamkey vault`: the vault itself. Each command prints one document; its members are named in
//! the command's file.

mod check;
mod init;
mod recovery;
mod status;
mod unlock;

use std::path::Path;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Failure, backup, desk::DeskArgs, snapshot, table::date};
use crate::vault::unlock::{Kind, Method, Slot};

#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a vault.
    Init(init::Args),
    /// Tell where the vault is, what is in it, and what unlocks it.
    Status(status::Args),
    /// Look all of it through, and list everything that is damaged.
    Check(check::Args),
    /// The ways to unlock the vault.
    Unlock(unlock::Args),
    /// Print a recovery code, which unlocks the vault when nothing else does.
    RecoveryCode(recovery::Args),
    /// Write all keys to a new file, encrypted for a passphrase or for age recipients.
    Backup(backup::BackupArgs),
    /// Bring keys back from a backup.
    Restore(backup::RestoreArgs),
    /// Keep a copy of all keys as they are in the vault, to go back to.
    Snapshot(snapshot::SnapshotArgs),
    /// List the snapshots.
    Snapshots(DeskArgs),
    /// Put all keys back as they were when a snapshot was made.
    Rollback(snapshot::RollbackArgs),
    /// Print the root certificate (PEM) of the test authority behind the keys' attestation.
    RootCertificate(DeskArgs),
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Init(args) => init::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Unlock(args) => unlock::run(args),
        Command::RecoveryCode(args) => recovery::run(&args),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Snapshot(args) => snapshot::snapshot(&args),
        Command::Snapshots(desk) => snapshot::list(&desk),
        Command::Rollback(args) => snapshot::rollback(&args),
        Command::RootCertificate(desk) => root_certificate(&desk),
    }
}

/// Its document: `root_certificate`, PEM.
fn root_certificate(args: &DeskArgs) -> Result<(), Failure> {
    let pem = args.open()?.attestation_root()?.pem;
    args.say(pem.trim_end(), &json!({"root_certificate": pem}))
}

/// The ways that a person can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// A passphrase that is typed.
    Passphrase,
    /// A file with a random key.
    Keyfile,
    /// The operating system's keyring.
    Keyring,
}

/// What a way to unlock a vault protects against, and what it does not. For a person.
struct Protection {
    helps: &'static str,
    helps_not: &'static str,
}

fn protection(kind: Kind) -> Protection {
    let (helps, helps_not) = match kind {
        Kind::Passphrase => (
            "Whoever gets the vault's file, or the whole disk, has to guess the passphrase, and \
             each try costs them half a second and much memory.",
            "A passphrase that is short or used elsewhere gets guessed. Programs that run as you \
             can use the vault while it is unlocked. Forgotten, nobody brings it back: add a \
             second way, such as `roamkey vault recovery-code`.",
        ),
        Kind::KeyFile => (
            "Copies of the vault without the key file are worthless: a backup, a synchronized \
             folder, a disk on which only one of the two lies.",
            "Whoever can read your files reads both. If the key file is lost, so is the vault: \
             keep a copy of it elsewhere, or add a second way, such as `roamkey vault unlock add \
             passphrase`.",
        ),
        Kind::Keyring => (
            "The vault opens only where you are logged in: copies of its file, or a disk without \
             your login password, are worthless.",
            "Programs that run as you can read the keyring. If it is lost or reset, so is the \
             vault: add a second way, such as `roamkey vault recovery-code`.",
        ),
        Kind::RecoveryCode => (
            "It opens the vault when nothing else does.",
            "Whoever reads the sheet and has the vault's file opens it.",
        ),
    };
    Protection { helps, helps_not }
}

/// What a slot says of itself beside its kind. For a person.
fn detail(slot: &Slot) -> String {
    match &slot.method {
        Method::Passphrase { params, .. } => format!(
            "Argon2id, {} MiB, {} passes",
            params.memory_kib / 1024,
            params.iterations
        ),
        Method::KeyFile { path } if Path::new(path).exists() => path.clone(),
        Method::KeyFile { path } => format!("(missing) {path}"),
        Method::Keyring { account, .. } => format!("entry {account}"),
        Method::RecoveryCode => "28 letters and digits on paper".to_owned(),
    }
}

/// How a slot is called in a sentence.
fn called(slot: &Slot) -> String {
    match &slot.method {
        Method::Passphrase { .. } => format!("unlock {}, a passphrase", slot.id),
        Method::KeyFile { .. } => format!("unlock {}, the key file {}", slot.id, detail(slot)),
        Method::Keyring { .. } => format!("unlock {}, the keyring", slot.id),
        Method::RecoveryCode => format!("unlock {}, a recovery code", slot.id),
    }
}

/// A slot in a document: `id`, `kind` (`passphrase`, `keyfile`, `keyring`, `recovery-code`),
/// `created` in seconds since 1970; for a key file `path` and `is_there`; for the keyring
/// `account`; for a passphrase `argon2` with `memory_kib`, `iterations` and `parallelism`.
fn slot_json(slot: &Slot) -> Value {
    let mut value = json!({
        "id": slot.id, "kind": slot.kind().to_string(), "created": slot.created,
    });
    let more = match &slot.method {
        Method::Passphrase { params, .. } => json!({"argon2": {
            "memory_kib": params.memory_kib,
            "iterations": params.iterations,
            "parallelism": params.parallelism,
        }}),
        Method::KeyFile { path } => json!({"path": path, "is_there": Path::new(path).exists()}),
        Method::Keyring { account, .. } => json!({"account": account}),
        Method::RecoveryCode => json!({}),
    };
    if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
        value.extend(more.clone());
    }
    value
}

/// The ways to unlock, as a table.
fn slot_table(slots: &[Slot]) -> String {
    use super::table::{Fit, Table};

    let mut table = Table::new(&[
        ("ID", Fit::Whole),
        ("KIND", Fit::Whole),
        ("ADDED", Fit::Whole),
        ("WHAT", Fit::Cut),
    ]);
    for slot in slots {
        table.row([
            slot.id.to_string(),
            slot.kind().to_string(),
            date(slot.created),
            detail(slot),
        ]);
    }
    table.to_string()
}
