//! `roamkey vault backup` and `restore`.
//!
//! The documents: of `backup` `path`, `bytes`, `vault`, `commit`, `keys` and `records` (how many);
//! of `restore` the `vault`'s file, whether it was `created`, and as `keys` what came back, each
//! with `bus_id`, `name`, `id` and `serial`.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{
    Failure,
    access::now,
    common::Common,
    desk::{BackupFor, DeskArgs},
    output::shown,
    secret::{self, Source},
    stored,
    table::count,
};
use crate::vault::{Backup, Identity, KeyNumber, Opener, is_passphrase_protected};

/// A longer file has no recipients in it. In bytes.
const MOST_RECIPIENTS_LEN: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The file to be made.
    file: PathBuf,
    /// Encrypt it for this age recipient instead of a passphrase; may be repeated.
    #[arg(long, value_name = "age1…")]
    recipient: Vec<String>,
    /// Encrypt it for the age recipients in this file, one a line.
    #[arg(long, value_name = "FILE")]
    recipients_file: Option<PathBuf>,
    /// Take its passphrase from this file; - is stdin [default: it is typed].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipient", "recipients_file"])]
    backup_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    /// Open it with the age identities in this file; - is stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "backup_passphrase_file")]
    identity_file: Option<PathBuf>,
    /// Take its passphrase from this file; - is stdin [default: it is typed].
    #[arg(long, value_name = "FILE")]
    backup_passphrase_file: Option<PathBuf>,
    /// Bring back this key alone, beside those that are there.
    #[arg(long, value_name = "NAME", requires = "new")]
    key: Option<String>,
    /// What that key is called.
    #[arg(long = "as", id = "new", value_name = "NEW", requires = "key")]
    new: Option<String>,
    #[command(flatten)]
    common: Common,
}

const PASSPHRASE_OPTION: &str = "--backup-passphrase-file";

pub(super) fn backup(args: &BackupArgs) -> Result<(), Failure> {
    // Before anything is asked.
    if args.file.exists() {
        return Err(Failure::Failed(format!(
            "{} is there already: a backup overwrites nothing",
            args.file.display()
        )));
    }
    let whom = if args.recipient.is_empty() && args.recipients_file.is_none() {
        let source = Source {
            option: PASSPHRASE_OPTION,
            file: args.backup_passphrase_file.as_deref(),
        };
        let passphrase = secret::new_passphrase("Passphrase for the backup: ", source)?;
        BackupFor::Passphrase(passphrase)
    } else {
        let listed = recipients_in_file(args)?;
        let recipients = BackupFor::Recipients([args.recipient.clone(), listed].concat());
        recipients.protection()?;
        recipients
    };
    let written = args.desk.open()?.backup(&args.file, &whom)?;
    let records = usize::try_from(written.records).unwrap_or(usize::MAX);
    let text = format!(
        "{} has {} with {}, and was read back in full. Who opens it has the keys: keep it, and \
         what opens it, where no one else finds both.",
        written.path,
        count(written.keys, "key"),
        count(records, "record"),
    );
    args.desk.say(&text, &json!(written))
}

fn recipients_in_file(args: &BackupArgs) -> Result<Vec<String>, Failure> {
    let Some(path) = &args.recipients_file else {
        return Ok(Vec::new());
    };
    let failed = |why: &dyn std::fmt::Display| {
        Failure::failed(format!("--recipients-file {}", path.display()), why)
    };
    let length = fs::metadata(path).map_err(|why| failed(&why))?.len();
    if length > MOST_RECIPIENTS_LEN {
        return Err(failed(&"it is too long for a list of recipients"));
    }
    let text = fs::read_to_string(path).map_err(|why| failed(&why))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

pub(super) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    // Read in full before a vault is made or changed.
    let backup = Backup::read(&args.file, &opener(args)?)?;
    let path = args.common.vault.path()?;
    let created = !path.exists();
    let mut open = match created {
        true => stored::create(&args.common.vault, &path)?,
        false => args.common.vault.open()?,
    };
    let store = open.store_mut();
    let numbers = match (&args.key, &args.new) {
        (Some(name), Some(new)) => vec![store.restore_key(backup, name, new, now())?],
        _ => store.restore(backup)?,
    };
    let mut keys = Vec::new();
    for number in numbers {
        keys.push((number, open.store().identity(number)?));
    }
    open.close();
    let names = keys.iter().map(|(_, key)| shown(&key.name));
    let names: Vec<_> = names.collect();
    let place = match created {
        true => "the new vault",
        false => "the vault",
    };
    let text = format!(
        "{} came back into {place} {}: {}. Signature counters go on from higher values, so that \
         none is used twice.",
        count(keys.len(), "key"),
        path.display(),
        names.join(", ")
    );
    let keys: Vec<_> = keys
        .iter()
        .map(|(number, key)| key_document(*number, key))
        .collect();
    let document = json!({
        "vault": path.display().to_string(),
        "created": created,
        "keys": keys,
    });
    args.common.say(&text, &document)
}

/// What the arguments open the backup with; a passphrase is asked for where the file wants one.
fn opener(args: &RestoreArgs) -> Result<Opener, Failure> {
    if let Some(file) = &args.identity_file {
        let source = Source {
            option: "--identity-file",
            file: Some(file),
        };
        let text = secret::lines("age identity", source)?;
        let opener = Opener::identities(&text);
        return opener
            .map_err(|why| Failure::failed(format!("--identity-file {}", file.display()), why));
    }
    if !is_passphrase_protected(&args.file)? {
        return Err(Failure::Usage(format!(
            "{} is opened by an age identity: say --identity-file FILE",
            args.file.display()
        )));
    }
    let source = Source {
        option: PASSPHRASE_OPTION,
        file: args.backup_passphrase_file.as_deref(),
    };
    let passphrase = secret::passphrase("Passphrase of the backup: ", source)?;
    Ok(Opener::passphrase(&passphrase))
}

fn key_document(number: KeyNumber, identity: &Identity) -> Value {
    json!({
        "bus_id": number.to_string(),
        "name": identity.name,
        "id": identity.id.to_string(),
        "serial": identity.serial,
    })
}
