//! `roamkey detach`: ends the session of a running key's host, or of all; and, as root, frees the
//! ports of this machine's vhci_hcd that have a key of whoever.
//!
//! The documents: of one key the key as `key`, as in `key list`; of `--all` the `keys` whose
//! sessions ended and the numbers of the `ports` that were freed.

#[cfg(test)]
pub(super) mod fake;
mod ports;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use clap::Parser;
pub(super) use ports::Ports;
use serde_json::json;

use super::{
    Failure,
    desk::{Running, RunningArgs, called},
    exec,
    table::count,
};
use crate::{control, rig::KeyView};

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The key, by its name or bus id.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    key: Option<String>,
    /// Every key of every roamkey that this user runs here; as root also every roamkey key that
    /// this machine's USB has from elsewhere.
    #[arg(long, conflicts_with = "control")]
    all: bool,
    /// With --all: only what `roamkey exec` left here when it was killed.
    #[arg(long, requires = "all")]
    stale: bool,
    #[command(flatten)]
    running: RunningArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Some(key) = &args.key else {
        return detach_all(args);
    };
    let key = args.running.open()?.act(key, "detach")?;
    let text = format!("No host has the key {}.", called(&key));
    args.running.say(&text, &json!({"key": key}))
}

fn detach_all(args: &Args) -> Result<(), Failure> {
    let freed = exec::clear_remains(&control::directories());
    if args.stale {
        let text = format!("{} of dead processes freed.", count(freed, "port"));
        return args
            .running
            .say(&text, &json!({"keys": [], "ports": freed}));
    }
    let mut keys = Vec::new();
    for process in Running::every()? {
        // One that ends meanwhile has no keys any more.
        keys.extend(end_sessions(&process).unwrap_or_default());
    }
    let serials: Vec<_> = keys.iter().map(|key| key.serial.clone()).collect();
    let ports = free_ports(&Ports::this(), &serials)?;
    let text = format!(
        "{} of running processes detached, {} freed.",
        count(keys.len(), "key"),
        count(freed + ports.len(), "port")
    );
    let document = json!({"keys": keys, "ports": freed + ports.len()});
    args.running.say(&text, &document)
}

/// Ends the sessions of a process's keys. Those that are devices of UHID are unplugged: there
/// nobody connects, and detached they would be back at once.
fn end_sessions(process: &Running) -> Result<Vec<KeyView>, Failure> {
    let action = match process.server()?.backend.as_str() {
        "uhid" => "unplug",
        _ => "detach",
    };
    let keys = process.keys()?.into_iter();
    let attached = keys.filter(|key| key.host.is_some());
    let done = attached.map(|key| process.act(&key.bus_id, action));
    // One that was removed meanwhile is no failure.
    Ok(done.filter_map(Result::ok).collect())
}

/// Frees the ports with roamkey's keys, and those with these serials.
fn free_ports(ports: &Ports, serials: &[String]) -> Result<Vec<u16>, Failure> {
    // A machine without vhci_hcd has none, and who is not root has had its own detached.
    let devices = ports.devices().unwrap_or_default();
    let mut freed = Vec::new();
    for device in devices {
        if !device.is_roamkey && !serials.contains(&device.serial) {
            continue;
        }
        match ports.detach(&device) {
            Ok(()) => freed.push(device.port),
            // Its session ended a moment ago.
            Err(_) if serials.contains(&device.serial) => {}
            Err(why) => {
                let what = format!("the key at vhci port {}", device.port);
                return Err(Failure::failed(what, why));
            }
        }
    }
    Ok(freed)
}
