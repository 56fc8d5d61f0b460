//! What commands have in common: they print one document, text for a person or one JSON object in
//! one line; and those that only the vault itself can do open it.

use std::io::{self, Write as _};

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Failure, Format, access::VaultArgs, table::wrapped};
use crate::vault::OpenVault;

/// What a command on the vault itself takes.
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
    say_as_it_is(format, &wrapped(text), document)
}

/// The same with lines that are as they should be.
pub(super) fn say_as_it_is(format: Format, text: &str, document: &Value) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = match format {
        Format::Text => writeln!(stdout, "{text}"),
        Format::Json => writeln!(stdout, "{document}"),
    };
    written
        .and_then(|()| stdout.flush())
        .map_err(|why| Failure::failed("stdout cannot be written", why))
}

/// A word of one of our types, as JSON has it.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|why| why.to_string())
}

/// Text in hexadecimal, for an argument.
pub(super) fn hexadecimal(text: &str) -> Result<String, String> {
    match base16ct::mixed::decode_vec(text) {
        Ok(bytes) => Ok(base16ct::lower::encode_string(&bytes)),
        Err(_) => Err("hexadecimal digits are wanted, an even number".to_owned()),
    }
}
