//! The arguments of `roamkey exec`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

use super::{
    super::run::{ProfileArg, TouchArg, profile},
    fronts::FrontArgs,
};
use crate::presence::Touch;

/// As many keys wait for a front at most.
const MOST_SPARE: i64 = 100;
/// No machine takes longer to find a device. In seconds.
pub(super) const LONGEST_READY: u64 = 600;

#[derive(Debug, Parser)]
#[command(after_help = "\
The command's environment: ROAMKEY_BACKEND, ROAMKEY_CONTROL (for roamkey's other commands),
ROAMKEY_URL and ROAMKEY_TOKEN (the same as HTTP with JSON), ROAMKEY_KEYS (a JSON array), and with
fronts WEBDRIVER_URL and CDP_URL.

Ends as the command does: with its status, 128 + N where signal N ended it, 127 where there is no
such command, 126 where it cannot be run. What roamkey itself cannot do ends with 125, before the
command is run.")]
pub(in crate::cli) struct Args {
    /// How the command gets the keys.
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    pub(super) backend: BackendArg,
    /// Do not run the command with any other backend than this.
    #[arg(long, value_enum, value_name = "BACKEND")]
    pub(super) require_backend: Option<PlaceArg>,
    /// Make a key of this built-in profile, or of a TOML file, in which what is left out is as in
    /// default; may be repeated [default: one key, default; none
    /// where a front makes keys].
    #[arg(long = "key", value_name = "PROFILE|FILE", value_parser = profile)]
    pub(super) keys: Vec<ProfileArg>,
    /// Make so many more keys like the first, that no touch is ever given to until a test says
    /// otherwise.
    #[arg(long, value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=MOST_SPARE))]
    pub(super) spare: u32,
    /// What to do when a touch is needed; ask leaves it to `roamkey touch` and to HTTP.
    #[arg(long, value_enum, default_value_t = TouchArg::Auto)]
    pub(super) touch: TouchArg,
    /// Refuse touches for any site but this one, such as example.com; may be repeated.
    #[arg(long, value_name = "ID")]
    pub(super) rp: Vec<String>,
    /// Write what happened to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Let the command see no other key's device than its own (Linux, as root).
    #[arg(long)]
    pub(super) private: bool,
    /// Run the command as this user, who alone can open the keys (Linux, as root).
    #[arg(long, value_name = "NAME|UID")]
    pub(super) user: Option<String>,
    #[command(flatten)]
    pub(super) fronts: FrontArgs,
    /// How many seconds the system may take to find the keys.
    #[arg(long, value_name = "SECONDS", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=LONGEST_READY))]
    pub(super) timeout_ready: u64,
    /// What to run, and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

impl Args {
    /// The time for the system to find the keys.
    pub(super) fn ready_limit(&self) -> Duration {
        Duration::from_secs(self.timeout_ready)
    }

    /// What happens when a touch is needed.
    pub(super) fn touch(&self) -> Touch {
        match self.touch {
            TouchArg::Auto => Touch::Auto,
            TouchArg::Ask => Touch::Ask,
            TouchArg::Deny => Touch::Deny,
            TouchArg::Never => Touch::Never,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BackendArg {
    /// The first of the others that works.
    Auto,
    /// USB devices of this machine (Linux with vhci-hcd, as root).
    Usbip,
    /// HID devices of this machine, through /dev/uhid (Linux).
    Uhid,
    /// The browser's own virtual authenticators: no devices at all.
    Browser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PlaceArg {
    /// USB devices of this machine.
    Usbip,
    /// HID devices of this machine.
    Uhid,
    /// The browser's own virtual authenticators: no devices at all.
    Browser,
}
