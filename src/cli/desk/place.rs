//! Which process a command speaks to.

use std::{env, net::SocketAddr, path::PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::{Done, Running};
use crate::{
    cli::{
        Failure,
        secret::{self, Source},
    },
    vault::VaultError,
};

const CONTROL: &str = "ROAMKEY_CONTROL";
const TOKEN_FILE: &str = "ROAMKEY_TOKEN_FILE";
/// The token itself, as `roamkey exec` tells it to its command.
const TOKEN: &str = "ROAMKEY_TOKEN";
/// As many processes are listed where one has to be chosen.
const LISTED: usize = 10;

/// Which running roamkey.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Running roamkey")]
pub(in crate::cli) struct ControlArgs {
    /// The control plane of a running roamkey: its socket, or http://127.0.0.1:PORT [default:
    /// ROAMKEY_CONTROL, else the one that has the vault or the only one that runs].
    #[arg(long, value_name = "PATH|URL")]
    pub(in crate::cli) control: Option<String>,
    /// The file with the token that http://127.0.0.1:PORT wants [default: ROAMKEY_TOKEN_FILE].
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,
}

/// Where a control plane listens.
#[derive(Clone)]
pub(in crate::cli) enum Address {
    /// A Unix socket.
    Socket(PathBuf),
    /// A port of this machine, and what it wants to be shown.
    Port(SocketAddr, Zeroizing<String>),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Port(address, _) => write!(f, "http://{address}"),
        }
    }
}

impl ControlArgs {
    /// The one that the arguments or the environment name.
    pub(super) fn given(&self) -> Done<Option<Address>> {
        let named = |name| env::var_os(name).filter(|value| !value.is_empty());
        let control = match (&self.control, named(CONTROL)) {
            (Some(control), _) => control.clone(),
            (None, Some(control)) => control.into_string().map_err(|control| {
                Failure::Usage(format!("{CONTROL} is no text: {}", control.display()))
            })?,
            (None, None) => return Ok(None),
        };
        let Some(rest) = control.strip_prefix("http://") else {
            return Ok(Some(Address::Socket(control.into())));
        };
        let address = loopback(rest).ok_or_else(|| {
            Failure::Usage(format!(
                "{control:?} is no control plane: the path of its socket is wanted, or \
                 http://127.0.0.1:PORT, which no other machine has"
            ))
        })?;
        let file = self.token_file.clone();
        let file = file.or_else(|| named(TOKEN_FILE).map(PathBuf::from));
        if let (None, Some(token)) = (&file, named(TOKEN)) {
            let token = token.to_string_lossy().into_owned();
            return Ok(Some(Address::Port(address, Zeroizing::new(token))));
        }
        let file = file.ok_or_else(|| {
            Failure::Usage(format!(
                "http://{address} wants a token: say --token-file FILE (or {TOKEN_FILE}), with the \
                 file that `roamkey run` names when it is ready"
            ))
        })?;
        let source = Source {
            option: "--token-file",
            file: Some(&file),
        };
        Ok(Some(Address::Port(address, secret::token(source)?)))
    }

    /// The one that is named, or the only one there is.
    pub(in crate::cli) fn running(&self) -> Done<Running> {
        if let Some(address) = self.given()? {
            return Running::at(address);
        }
        let sockets = crate::control::sockets();
        match sockets.as_slice() {
            [(_, path)] => Running::at(Address::Socket(path.clone())),
            [] => Err(Failure::Failed(
                "no roamkey runs that this user may control: start one with `roamkey run`, or name \
                 one with --control PATH or --control http://127.0.0.1:PORT"
                    .to_owned(),
            )),
            several => {
                let lines = several.iter().take(LISTED);
                let lines = lines.map(|(process, path)| {
                    format!("  --control {}  (process {process})", path.display())
                });
                let more = match several.len().saturating_sub(LISTED) {
                    0 => String::new(),
                    more => format!("\n  … and {more} more"),
                };
                Err(Failure::Usage(format!(
                    "{} roamkeys run: say which one is meant, by\n{}{more}",
                    several.len(),
                    lines.collect::<Vec<_>>().join("\n")
                )))
            }
        }
    }
}

/// `127.0.0.1:PORT`, `[::1]:PORT` or `localhost:PORT`, with or without a slash behind it.
fn loopback(text: &str) -> Option<SocketAddr> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)));
    }
    let address: SocketAddr = text.parse().ok()?;
    address.ip().is_loopback().then_some(address)
}

/// The process that has the vault open.
pub(super) fn holder(process: Option<u32>, why: &VaultError) -> Done<Running> {
    let socket = process.and_then(crate::control::socket_of);
    match socket {
        Some(path) => Running::at(Address::Socket(path)),
        None => Err(Failure::Failed(format!(
            "{why}, or wait for it where it is another command. It has no control socket here that \
             this could be done by"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to() {
        for good in ["127.0.0.1:80", "[::1]:80", "localhost:80/", "127.0.0.9:80/"] {
            assert_eq!(loopback(good).map(|address| address.port()), Some(80));
        }
        for bad in [
            "10.0.0.1:80",
            "example.com:80",
            "127.0.0.1",
            "localhost",
            "",
        ] {
            assert_eq!(loopback(bad), None, "{bad}");
        }
    }

    #[test]
    fn port_without_a_token_says_how_to_name_its_file() {
        let args = ControlArgs {
            control: Some("http://127.0.0.1:4711".to_owned()),
            token_file: None,
        };
        let Err(Failure::Usage(text)) = args.given() else {
            panic!("it is refused");
        };
        assert!(text.contains("--token-file FILE"), "{text}");
    }
}
