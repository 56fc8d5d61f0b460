//! What the commands on a vault have in common: they open it, and print one document: text for a
//! person, or one JSON object in one line.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::Value;

use super::{Failure, Format, access::VaultArgs};
use crate::vault::OpenVault;

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
        let mut stdout = io::stdout().lock();
        let written = match self.format {
            Format::Text => writeln!(stdout, "{text}"),
            Format::Json => writeln!(stdout, "{document}"),
        };
        written
            .and_then(|()| stdout.flush())
            .map_err(|why| Failure::failed("stdout cannot be written", why))
    }
}
