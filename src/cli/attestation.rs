//! `roamkey attestation`: what a relying party under test is given.
//!
//! The document of `export`: where the `root` and the BLOB went as `root_file` and `mds_file`, or
//! they themselves as `root` and `mds` where `-` was said; of the BLOB `no`, `next_update` and
//! `entries`, each with `description`, `aaguid` and `key_identifier`.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use clap::{Parser, Subcommand};
use serde_json::{Map, Value, json};

use super::{Failure, Format, common::word, desk::DeskArgs};
use crate::{
    metadata::MetadataStatus,
    profile::Profile,
    rig::{AttestationMetadata, MetadataModel, NewMetadata},
    vault::beside,
};

/// Stands for stdout.
const STDOUT: &str = "-";

#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the test authority's root certificate and the metadata of keys, for a site to trust.
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct Export {
    /// Write the root certificate (PEM) to this file; - is stdout.
    #[arg(long, value_name = "FILE", required_unless_present = "mds")]
    root: Option<String>,
    /// Write the metadata, a FIDO MDS3 BLOB (JWT) signed under that root, to this file; - is
    /// stdout.
    #[arg(long, value_name = "FILE")]
    mds: Option<String>,
    /// What the metadata says has come of the keys' models, such as REVOKED; may be repeated, the
    /// oldest first [default: NOT_FIDO_CERTIFIED].
    #[arg(long, value_name = "STATUS", value_parser = word::<MetadataStatus>)]
    status: Vec<MetadataStatus>,
    /// Put this profile into the metadata instead of those of all keys: a built-in one or a TOML
    /// file; may be repeated.
    #[arg(long, value_name = "NAME|FILE")]
    profile: Vec<String>,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Export(args) => export(args),
    }
}

fn export(args: &Export) -> Result<(), Failure> {
    check_targets(args)?;
    let models = args.profile.iter().map(|name| model(name));
    let models: Vec<_> = models.collect::<Result<_, _>>()?;
    let new = NewMetadata {
        statuses: args.status.clone(),
        models: (!models.is_empty()).then_some(models),
    };
    let made = args.desk.open()?.attestation_metadata(&new)?;
    let mut document = Map::new();
    let mut printed = None;
    let parts = [
        ("root", &args.root, made.root.clone()),
        ("mds", &args.mds, format!("{}\n", made.blob)),
    ];
    for (name, target, text) in parts {
        match target.as_deref() {
            None => {}
            Some(STDOUT) => {
                document.insert(name.to_owned(), text.trim_end().into());
                printed = Some(text);
            }
            Some(file) => {
                write(Path::new(file), &text, args.force)?;
                document.insert(format!("{name}_file"), file.into());
            }
        }
    }
    if args.mds.is_some() {
        document.insert("no".to_owned(), made.no.into());
        document.insert("next_update".to_owned(), json!(made.next_update));
        document.insert("entries".to_owned(), json!(made.entries));
    }
    match printed {
        // As it is, for the program behind a pipe.
        Some(text) if args.desk.format == Format::Text => print(&text),
        Some(_) | None => args.desk.say(&said(args, &made), &Value::Object(document)),
    }
}

/// What cannot be is refused before anything is asked.
fn check_targets(args: &Export) -> Result<(), Failure> {
    let targets = [&args.root, &args.mds];
    let files = targets.into_iter().flatten();
    if args.root.is_some() && args.root == args.mds {
        let text = "--root and --mds name the same file: one would overwrite the other";
        return Err(Failure::Usage(text.to_owned()));
    }
    for file in files.filter(|file| *file != STDOUT) {
        if !args.force && fs::symlink_metadata(file).is_ok() {
            return Err(exists(Path::new(file)));
        }
    }
    Ok(())
}

fn exists(file: &Path) -> Failure {
    Failure::Failed(format!(
        "{} is there already: --force replaces it",
        file.display()
    ))
}

/// A file is read here, since its path would be another in another process.
fn model(name: &str) -> Result<MetadataModel, Failure> {
    let profile = Profile::to_store(name);
    let (_, stored) = profile.map_err(|why| Failure::Usage(why.to_string()))?;
    Ok(MetadataModel {
        profile: stored.name,
        profile_toml: stored.text,
    })
}

/// Nobody finds half a file: it gets its name when all of it is there.
fn write(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let failed = |why: io::Error| Failure::failed(format!("cannot write {}", file.display()), why);
    let draft = beside(file, &format!(".{}.partial", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&draft);
    let named = written.and_then(|mut output| {
        output.write_all(text.as_bytes())?;
        output.sync_all()?;
        if !force {
            match fs::hard_link(&draft, file) {
                // Some file systems know no second name of a file.
                Err(_) if fs::symlink_metadata(file).is_err() => {}
                linked => return linked,
            }
        }
        fs::rename(&draft, file)
    });
    // Of a file that was renamed nothing is left to remove.
    let _ = fs::remove_file(&draft);
    match named {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Err(exists(file)),
        named => named.map_err(failed),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    let written = written.and_then(|()| stdout.flush());
    written.map_err(|why| Failure::failed("stdout cannot be written", why))
}

fn said(args: &Export, made: &AttestationMetadata) -> String {
    let mut lines = Vec::new();
    if let Some(file) = &args.root {
        lines.push(format!("{file} has the root certificate."));
    }
    if let Some(file) = &args.mds {
        let named = made.entries.iter().map(|entry| {
            let id = entry.aaguid.as_ref().or(entry.key_identifier.as_ref());
            let id = id.map_or("", String::as_str);
            format!("  {id}  {}", entry.description)
        });
        let entries = made.entries.len();
        lines.push(format!(
            "{file} has metadata number {} with {}, good until {}.",
            made.no,
            match entries {
                1 => "1 entry".to_owned(),
                _ => format!("{entries} entries"),
            },
            made.next_update
        ));
        lines.extend(named);
    }
    lines.join("\n")
}
