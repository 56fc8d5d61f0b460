//! What Linux needs: modules, device nodes, and browsers and sessions that may use them.

mod browser;
mod devices;
mod kernel;
mod session;

use super::{
    own, port,
    report::{Check, Group, Report, Road, State},
    system::System,
};
use kernel::Kernel;

/// roamkey's rules as it names them everywhere.
const INSTALL_RULES: &str = "sudo install -m 644 scripts/udev/70-roamkey.rules \
                             /etc/udev/rules.d/ && sudo udevadm control --reload";

pub(super) fn look(system: &System) -> Report {
    let kernel = Kernel::of(system);
    let usbip = kernel::usbip(system, &kernel);
    let uhid = kernel::uhid(system, &kernel);
    let hidraw = devices::hidraw(system, &kernel);
    let usbhid = devices::usbhid(system, &kernel);
    let roads = (
        into_this_machine(system, usbip.iter().chain([&hidraw, &usbhid])),
        by_uhid(uhid.iter().chain([&hidraw])),
    );
    let (port, serving) = port::check(system, port::holder(system));
    let mut devices = vec![hidraw, usbhid, devices::udev(system)];
    devices.extend(devices::keys(system));
    Report {
        system: format!("Linux {}", kernel.release()),
        groups: vec![
            Group::new("USB/IP into this machine", usbip),
            Group::new("UHID", uhid),
            Group::new("USB HID and device nodes", devices),
            Group::new("Port", vec![port]),
            Group::new("Browsers", browser::checks(system)),
            Group::new("Session", session::checks(system, &kernel)),
            Group::new("roamkey", own::checks(system)),
        ],
        roads: vec![roads.0, roads.1, serving],
    }
}

fn into_this_machine<'a>(system: &System, checks: impl Iterator<Item = &'a Check>) -> Road {
    const NAME: &str = "USB/IP into this machine";
    const HOW: &str = "roamkey run --attach";
    match first_failed(checks) {
        Some(found) => Road::closed(NAME, HOW, found),
        None if system.is_root() => Road::open(NAME, HOW, "every program here sees a USB key"),
        None => Road::closed(NAME, HOW, "for root alone: run it with sudo"),
    }
}

fn by_uhid<'a>(checks: impl Iterator<Item = &'a Check>) -> Road {
    const NAME: &str = "UHID";
    const HOW: &str = "roamkey run --backend uhid";
    match first_failed(checks) {
        Some(found) => Road::closed(NAME, HOW, found),
        None => Road::open(NAME, HOW, "every program here sees a HID key"),
    }
}

fn first_failed<'a>(mut checks: impl Iterator<Item = &'a Check>) -> Option<String> {
    let failed = checks.find(|check| check.state == State::Failed)?;
    Some(format!("{}: {}", failed.name, failed.found))
}

#[cfg(test)]
mod tests;
