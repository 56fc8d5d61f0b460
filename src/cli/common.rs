//! What the commands on a vault have in common: they open it, find a key in it, and print one
//! document: text for a person, or one JSON object in one line.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::Value;

use super::{
    Failure, Format,
    access::VaultArgs,
    table::{count, wrapped},
};
use crate::{
    profile::Profile,
    vault::{Identity, KeyNumber, OpenVault},
};

/// What every command on a vault takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    // Last, since what follows would stand under its heading.
    #[command(flatten)]
    pub(super) vault: VaultArgs,
}

impl Common {
    /// Opens and unlocks the vault.
    pub(super) fn open(&self) -> Result<OpenVault, Failure> {
        self.vault.open()
    }

    /// Prints the result.
    pub(super) fn say(&self, text: &str, document: &Value) -> Result<(), Failure> {
        say(self.format, text, document)
    }
}

/// Prints a result, as text or as a document.
pub(super) fn say(format: Format, text: &str, document: &Value) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = match format {
        Format::Text => writeln!(stdout, "{}", wrapped(text)),
        Format::Json => writeln!(stdout, "{document}"),
    };
    written
        .and_then(|()| stdout.flush())
        .map_err(|why| Failure::failed("stdout cannot be written", why))
}

/// The key that is named, or the only one there is.
pub(super) fn key_of(
    open: &OpenVault,
    named: Option<&str>,
) -> Result<(KeyNumber, Identity), Failure> {
    if let Some(name) = named {
        return Ok(open.store().find_key(name)?);
    }
    let keys = open.store().keys()?;
    match keys.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::Failed(
            "the vault has no keys: make one with `roamkey key add NAME`".to_owned(),
        )),
        several => {
            let names: Vec<_> = several.iter().map(|(_, key)| key.name.as_str()).collect();
            let keys = count(several.len(), "key");
            let names = names.join(", ");
            Err(Failure::Usage(format!(
                "the vault has {keys}: say which one with --key NAME ({names})"
            )))
        }
    }
}

/// What a stored key is made after.
pub(super) fn profile_of(identity: &Identity) -> Result<Profile, Failure> {
    let profile = Profile::stored(&identity.profile);
    profile.map_err(|why| Failure::failed(format!("key {}", identity.name), why))
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}
