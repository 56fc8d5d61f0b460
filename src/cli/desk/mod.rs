//! Where commands on keys do what they are asked: in the process that the keys run in, or in a
//! vault that nobody has open.
//!
//! Both have the methods of [`Rig`](crate::rig::Rig), and give its types: a command does not know which it has.
//! Deliberately absent: what only the vault itself has, such as its ways to unlock. That is not
//! for a process that serves it.

mod client;
mod here;
mod keys;
mod place;
mod running;
mod sse;
#[cfg(test)]
mod tests;
mod vault;

use clap::Args;
use serde_json::Value;

pub(super) use here::Here;
pub(super) use keys::called;
pub(super) use place::ControlArgs;
pub(super) use running::{Running, Watched};
pub(super) use vault::BackupFor;

use super::{
    Failure, Format,
    access::{Found, VaultArgs},
    common::say,
};
use crate::rig::{ErrorKind, RigError};

/// What a command gets, or the sentence why not.
pub(super) type Done<T> = Result<T, Failure>;

impl From<RigError> for Failure {
    fn from(why: RigError) -> Self {
        match why.kind {
            ErrorKind::Invalid => Self::Usage(why.text),
            ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Forbidden
            | ErrorKind::Failed => Self::Failed(why.text),
        }
    }
}

/// The keys of a vault, wherever they are.
pub(super) enum Desk {
    /// In a vault that this process has open.
    Here(Here),
    /// In a process that runs.
    There(Running),
}

/// What every command on keys of a vault takes.
#[derive(Debug, Args)]
pub(super) struct DeskArgs {
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) control: ControlArgs,
    // Last, since what follows would stand under its heading.
    #[command(flatten)]
    pub(super) vault: VaultArgs,
}

impl DeskArgs {
    /// Goes to the process that is named, or opens the vault, or goes to the process that has it.
    pub(super) fn open(&self) -> Done<Desk> {
        if let Some(address) = self.control.given()? {
            return Ok(Desk::There(Running::at(address)?));
        }
        let path = self.vault.path()?;
        // Without a vault, keys can only be those that run.
        let named = self.vault.vault.is_some();
        if !named && !path.exists() && !crate::control::sockets().is_empty() {
            return Ok(Desk::There(self.control.running()?));
        }
        match self.vault.find()? {
            Found::Open(open) => Ok(Desk::Here(Here::start(*open, path)?)),
            Found::InUse { process, why } => Ok(Desk::There(place::holder(process, &why)?)),
        }
    }

    /// Prints the result.
    pub(super) fn say(&self, text: &str, document: &Value) -> Done<()> {
        say(self.format, text, document)
    }
}

/// What every command on running keys takes.
#[derive(Debug, Args)]
pub(super) struct RunningArgs {
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) control: ControlArgs,
}

impl RunningArgs {
    /// Goes to the process that is named, or to the only one there is.
    pub(super) fn open(&self) -> Done<Running> {
        self.control.running()
    }

    /// Prints the result.
    pub(super) fn say(&self, text: &str, document: &Value) -> Done<()> {
        say(self.format, text, document)
    }
}
