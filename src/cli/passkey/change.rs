//! `roamkey passkey inject`, `edit` and `export`.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;
use zeroize::Zeroizing;

use super::{account, find::Which, names_now};
use crate::{
    cli::{
        Failure,
        common::hexadecimal,
        desk::DeskArgs,
        output::shown,
        secret::{self, Source},
    },
    rig::{NewPasskey, PasskeyEdit},
};

#[derive(Debug, clap::Args)]
pub(super) struct Inject {
    /// Which key, by its name or bus id [default: the only one].
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// The site's id, such as example.com.
    #[arg(long, value_name = "ID")]
    rp: String,
    /// The site's name.
    #[arg(long, value_name = "TEXT")]
    rp_name: Option<String>,
    /// The account's handle, 1 to 64 bytes.
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    user_handle: String,
    /// The account's name.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The person's name.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// The private key: PKCS#8 in PEM, or base64 of its DER; - is stdin.
    #[arg(long, value_name = "FILE")]
    private_key_file: PathBuf,
    /// Its credential id: as many bytes as the key's profile takes [default: 64 random ones].
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    id: Option<String>,
    /// The site finds it by its id alone.
    #[arg(long)]
    not_discoverable: bool,
    /// Who may use it (credProtect): 1 to 3.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=3))]
    cred_protect: Option<u8>,
    /// What the site stored in it (credBlob).
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    cred_blob: Option<String>,
    /// Give it a key for large blobs.
    #[arg(long)]
    large_blob_key: bool,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    desk: DeskArgs,
}

/// What an authenticator tells of a passkey with each signature.
#[derive(Debug, clap::Args)]
struct Flags {
    /// Signatures go on from this counter.
    #[arg(long, value_name = "N")]
    counter: Option<u32>,
    /// Whether it may be copied (flag BE).
    #[arg(long, value_name = "true|false")]
    backup_eligible: Option<bool>,
    /// Whether it says that it was (flag BS).
    #[arg(long, value_name = "true|false")]
    backup_state: Option<bool>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Edit {
    #[command(flatten)]
    which: Which,
    /// The account's name; an empty one removes it.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The person's name; an empty one removes it.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// The account's handle, 1 to 64 bytes.
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    user_handle: Option<String>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    which: Which,
    /// Write it to this new file, which only you can read [default: stdout].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    desk: DeskArgs,
}

pub(super) fn inject(args: Inject) -> Result<(), Failure> {
    let source = Source {
        option: "--private-key-file",
        file: Some(&args.private_key_file),
    };
    let private_key = secret::lines("private key", source)?;
    let desk = args.desk.open()?;
    let key = desk.key_or_only(args.key.as_deref())?;
    let new = NewPasskey {
        rp_id: args.rp,
        rp_name: args.rp_name,
        user_handle: args.user_handle,
        user_name: args.name,
        user_display_name: args.display_name,
        private_key: private_key.as_str().to_owned(),
        id: args.id,
        discoverable: !args.not_discoverable,
        cred_protect: args.cred_protect,
        cred_blob: args.cred_blob,
        large_blob_key: args.large_blob_key,
        counter: args.flags.counter,
        backup_eligible: args.flags.backup_eligible,
        backup_state: args.flags.backup_state,
    };
    let passkey = desk.inject(&key.bus_id, new)?;
    drop(desk);
    let text = format!(
        "The key {} has a passkey of {} as {} now: {}",
        shown(&passkey.key),
        shown(&passkey.rp_id),
        shown(&account(&passkey)),
        passkey.id
    );
    args.desk.say(&text, &json!({"passkey": passkey}))
}

pub(super) fn edit(args: Edit) -> Result<(), Failure> {
    let edit = PasskeyEdit {
        user_name: args.name,
        user_display_name: args.display_name,
        user_handle: args.user_handle,
        counter: args.flags.counter,
        backup_eligible: args.flags.backup_eligible,
        backup_state: args.flags.backup_state,
    };
    if edit == PasskeyEdit::default() {
        return Err(Failure::Usage(
            "nothing is to be changed: say what, such as --counter N or --name TEXT".to_owned(),
        ));
    }
    let desk = args.desk.open()?;
    let found = args.which.find(&desk)?;
    let passkey = desk.edit_passkey(&found.key, &found.id, edit)?;
    drop(desk);
    let document = json!({"passkey": passkey});
    args.desk.say(&names_now(&passkey), &document)
}

pub(super) fn export(args: &Export) -> Result<(), Failure> {
    let desk = args.desk.open()?;
    let found = args.which.find(&desk)?;
    let private_key = desk.private_key(&found.key, &found.id)?.private_key;
    drop(desk);
    let private_key = Zeroizing::new(private_key);
    let Some(path) = &args.output else {
        let document = json!({"private_key": private_key.as_str()});
        return args.desk.say(private_key.trim_end(), &document);
    };
    let written = write_new(path, private_key.as_bytes());
    written.map_err(|why| Failure::failed(path.display(), why))?;
    let text = format!(
        "{} has the private key of the passkey of {} as {}: who reads it signs in with it.",
        path.display(),
        shown(&found.rp_id),
        shown(&account(&found))
    );
    args.desk.say(&text, &json!({"path": path}))
}

/// A new file that is its owner's alone.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
