//! The arguments of `roamkey run`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use roamkey_transport::usbip::ImportFrom;

use super::super::{Format, access::VaultArgs};
use crate::{limits::MOST_KEYS, presence::Verify, profile::Profile, vault::StoredProfile};

/// The port of USB/IP.
const PORT: u16 = 3240;

#[derive(Debug, Parser)]
pub(in crate::cli) struct Args {
    /// Where USB/IP hosts connect; port 0 lets the system choose [default: 127.0.0.1:3240, and
    /// with --attach or --backend uhid nowhere].
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub(super) listen: Option<SocketAddr>,
    /// How hosts get the keys.
    #[arg(long, value_enum, default_value_t = BackendArg::Usbip)]
    pub(super) backend: BackendArg,
    /// Attach the keys to this machine, without usbip and with nothing listening (Linux, as root).
    #[arg(long, conflicts_with = "allow_from")]
    pub(super) attach: bool,
    /// Which users of this machine may attach a key over USB/IP [default: me on Linux, where root
    /// may too; anyone elsewhere, where nobody can be told apart].
    #[arg(long, value_enum, value_name = "WHO")]
    pub(super) import_from: Option<ImportFromArg>,
    /// Who may attach beside this machine, such as 192.168.7.0/24; needed for a listen address
    /// that others can reach.
    #[arg(long, value_name = "CIDR", value_parser = block)]
    pub(super) allow_from: Vec<IpNet>,
    /// Take commands on this loopback address too, from who has the token that the ready event
    /// names the file of; port 0 lets the system choose. On Unix there is always a socket for this
    /// user.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub(super) control: Option<SocketAddr>,
    /// How many keys to export, as bus ids 1-1 to 1-N; those that the vault lacks are made
    /// [default: all that it has, or a first one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_KEYS)))]
    pub(super) keys: Option<u32>,
    /// Export this key of the vault, by its name or bus id; may be repeated.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["keys", "ephemeral"])]
    pub(super) key: Vec<String>,
    /// What a key is that is made now: default, u2f-only, fido-2.0, fido-2.1-pin, no-prf,
    /// uv-not-required, tiny, passkey-provider, full, bio, enterprise, pqc, or a TOML file, in which what is left out is as in
    /// default.
    #[arg(long, value_name = "NAME|FILE", value_parser = profile)]
    pub(super) profile: Option<ProfileArg>,
    /// What to do when a touch is needed [default: ask, when stdin is a terminal].
    #[arg(long, value_enum)]
    pub(super) touch: Option<TouchArg>,
    /// What a finger is that is approved, on keys with built-in verification.
    #[arg(long, value_enum, default_value_t = VerifyArg::Pass)]
    pub(super) verify: VerifyArg,
    /// Refuse touches for any site but this one, such as example.com; may be repeated.
    #[arg(long, value_name = "ID")]
    pub(super) rp: Vec<String>,
    /// With --touch auto and a vault: let any site sign in unasked.
    #[arg(long, conflicts_with_all = ["rp", "ephemeral"])]
    pub(super) any_site: bool,
    /// Keep no vault: forget everything at exit.
    #[arg(long, conflicts_with_all = ["vault", "unlock"])]
    pub(super) ephemeral: bool,
    #[command(flatten)]
    pub(super) vault: VaultArgs,
    /// Make keys and ids that come out the same at every start: for tests, never for accounts.
    #[arg(long, value_name = "HEX", requires = "ephemeral", value_parser = seed)]
    pub(super) seed: Option<SeedArg>,
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

impl Args {
    /// Where hosts would connect, whether they can or not.
    pub(super) fn listen_or_default(&self) -> SocketAddr {
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
        self.listen.unwrap_or(default)
    }

    /// Where hosts connect, if anywhere.
    pub(super) fn listening(&self) -> Option<SocketAddr> {
        match (self.listen, self.backend, self.attach) {
            (Some(address), ..) => Some(address),
            (None, BackendArg::Usbip, false) => Some(self.listen_or_default()),
            (None, BackendArg::Uhid, _) | (None, BackendArg::Usbip, true) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BackendArg {
    /// Hosts attach them over USB/IP.
    Usbip,
    /// This machine has them at once, through /dev/uhid (Linux).
    Uhid,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ImportFromArg {
    /// Only root.
    Root,
    /// Root and the user that runs this.
    Me,
    /// Every user of this machine: any of them can then sign in as you.
    Anyone,
}

impl From<ImportFromArg> for ImportFrom {
    fn from(arg: ImportFromArg) -> Self {
        match arg {
            ImportFromArg::Root => Self::Root,
            ImportFromArg::Me => Self::Me,
            ImportFromArg::Anyone => Self::Anyone,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum TouchArg {
    /// Approve at once: whoever can attach the key can sign in with it.
    Auto,
    /// Ask on this terminal, and take answers from `roamkey touch`.
    Ask,
    /// Refuse at once.
    Deny,
    /// Never answer.
    Never,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum VerifyArg {
    /// One that the key knows.
    Pass,
    /// One that it does not know: people are not verified.
    Fail,
    /// Ask, as --touch ask does.
    Ask,
}

impl From<VerifyArg> for Verify {
    fn from(arg: VerifyArg) -> Self {
        match arg {
            VerifyArg::Pass => Self::Pass,
            VerifyArg::Fail => Self::Fail,
            VerifyArg::Ask => Self::Ask,
        }
    }
}

/// The bytes of `--seed`, which are not for logs.
#[derive(Clone)]
pub(super) struct SeedArg(pub(super) Vec<u8>);

impl fmt::Debug for SeedArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeedArg")
    }
}

pub(in crate::cli) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "an address and a port are wanted, like 127.0.0.1:3240 or [::1]:3240".into())
}

fn block(text: &str) -> Result<IpNet, String> {
    let host = text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or(host).map_err(|_| {
        "an address or a block of addresses is wanted, like 192.168.7.20 or 192.168.7.0/24".into()
    })
}

/// A profile that was found to be good, by its name or path.
#[derive(Clone, Debug)]
pub(in crate::cli) struct ProfileArg {
    pub(in crate::cli) name: String,
    pub(in crate::cli) stored: StoredProfile,
}

pub(in crate::cli) fn profile(text: &str) -> Result<ProfileArg, String> {
    let (_, stored) = Profile::to_store(text).map_err(|why| why.to_string())?;
    let name = text.to_owned();
    Ok(ProfileArg { name, stored })
}

fn seed(text: &str) -> Result<SeedArg, String> {
    match base16ct::mixed::decode_vec(text) {
        Ok(bytes) if (1..=32).contains(&bytes.len()) => Ok(SeedArg(bytes)),
        Ok(_) | Err(_) => Err("2 to 64 hexadecimal digits are wanted, an even number".into()),
    }
}
