//! `roamkey attach`: a running key comes to this machine's own USB.
//!
//! The document: the key as `key`, as in `key list`.

use clap::Parser;
use serde_json::json;

use super::{
    Failure,
    desk::{Running, RunningArgs, called},
    output::shown,
};
use crate::rig::KeyView;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The key, by its name or bus id.
    key: String,
    #[command(flatten)]
    running: RunningArgs,
}

pub(super) fn attach(args: &Args) -> Result<(), Failure> {
    let process = args.running.open()?;
    let key = give(&process, &args.key)?;
    let text = format!("This machine has the key {}.", called(&key));
    args.running.say(&text, &json!({"key": key}))
}

/// The process attaches the key where it may, else this one does.
#[cfg(target_os = "linux")]
fn give(process: &Running, key: &str) -> Result<KeyView, Failure> {
    use roamkey_transport::vhci;

    let why = match process.attach(key)? {
        Ok(view) => return Ok(view),
        Err(why) => why,
    };
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::Failed(format!(
            "only root may attach a key to this machine's USB: sudo roamkey attach {} --control {}",
            shown(key),
            process.name()
        )));
    }
    tracing::info!(why, "that roamkey may not attach the key; this one may");
    let (stream, attached) = process.take_usbip(key)?;
    let port = vhci::hand_over(&stream, attached);
    let port = port.map_err(|why| Failure::failed(format!("key {}", shown(key)), why))?;
    tracing::info!(port = port.number(), "attached");
    process.key(key)
}

/// usbip-win2 attaches it; what that says is passed on.
#[cfg(windows)]
fn give(process: &Running, key: &str) -> Result<KeyView, Failure> {
    use std::{net::SocketAddr, process::Command};

    let view = process.key(key)?;
    let listen = process.server()?.listen;
    let address: SocketAddr = listen
        .and_then(|listen| listen.parse().ok())
        .ok_or_else(|| Failure::Failed("that roamkey has no USB/IP server".to_owned()))?;
    let host = match address.ip().is_unspecified() {
        true => "127.0.0.1".to_owned(),
        false => address.ip().to_string(),
    };
    let port = address.port().to_string();
    let args = ["-t", &port, "attach", "-r", &host, "-b", &view.bus_id];
    let status = Command::new("usbip.exe").args(args).status();
    let status = status
        .map_err(|why| Failure::failed("usbip.exe does not start: install usbip-win2", why))?;
    match status.success() {
        true => process.key(key),
        false => Err(Failure::Failed(format!("usbip.exe ended with {status}"))),
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
fn give(_process: &Running, key: &str) -> Result<KeyView, Failure> {
    Err(Failure::Failed(format!(
        "this system has no USB/IP client: attach the key {} to a Linux or Windows machine",
        shown(key)
    )))
}
