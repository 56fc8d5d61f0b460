//! `roamkey doctor`: whether this machine can use roamkey's keys, and for each check that fails
//! the one command that mends it, or that nothing can.
//!
//! A key reaches programs by three roads: USB/IP into this machine, UHID, and USB/IP to other
//! machines. The exit code is 0 while one of them is open to this user. Nothing is changed, and
//! no program that is asked gets more than 2 s. Deliberately absent: trying a road with a key,
//! which would plug one in.
//!
//! The document: `system`, `checks` (`group`, `name`, `state`: ok, warning, failed or
//! not_applicable, `found`, and where there is any `advice` and `command`), `roads` (`road`,
//! `how`, `open`, `found`).

#[cfg(test)]
mod fake;
#[cfg(target_os = "linux")]
mod linux;
mod own;
mod port;
mod report;
mod system;
#[cfg(any(windows, test))]
mod windows;

use super::{Failure, Format, common::say_as_it_is};
use report::Report;
use system::System;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let report = look(&System::this());
    say_as_it_is(args.format, &report.text(), &report.document())?;
    match report.is_any_road_open() {
        true => Ok(()),
        false => Err(Failure::Failed(
            "no road is open: nothing on this machine can use a key of roamkey's, and none can be \
             served from it"
                .to_owned(),
        )),
    }
}

#[cfg(target_os = "linux")]
fn look(system: &System) -> Report {
    linux::look(system)
}

#[cfg(windows)]
fn look(system: &System) -> Report {
    windows::look(system)
}

/// There is no road into such a system.
#[cfg(not(any(target_os = "linux", windows)))]
fn look(system: &System) -> Report {
    use report::{Check, Group, Road};

    let name = std::env::consts::OS;
    let into = Check::not_applicable(
        "USB",
        format!(
            "{name} has no USB/IP client and no UHID: keys are served from here to Linux and \
             Windows, and used there"
        ),
    );
    let (port, serving) = port::check(system, None);
    Report {
        system: name.to_owned(),
        groups: vec![
            Group::new("This system", vec![into]),
            Group::new("Port", vec![port]),
            Group::new("roamkey", own::checks(system)),
        ],
        roads: vec![
            Road::closed("USB/IP into this machine", "usbip", "no client"),
            serving,
        ],
    }
}
