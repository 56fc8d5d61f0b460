//! USB HID, hidraw, udev, and the security keys that are there (HID 1.11 section 6.2.2: their
//! report descriptors; HUTRR48: usage page 0xF1D0).

use super::{
    Check, INSTALL_RULES, State, System,
    kernel::{Kernel, Module},
};

/// The usage page of FIDO.
const FIDO_PAGE: u32 = 0xf1d0;
const CLASS: &str = "/sys/class/hidraw";

/// Whether this kernel shows programs HID devices as they are.
pub(super) fn hidraw(system: &System, kernel: &Kernel) -> Check {
    let name = "hidraw";
    if system.is_dir(CLASS) {
        return Check::ok(name, "built in");
    }
    match kernel.option("CONFIG_HIDRAW") {
        Some('y') => Check::ok(name, "built in, and comes with the first HID device"),
        Some(_) => Check::new(
            name,
            State::Failed,
            "this kernel is built without CONFIG_HIDRAW",
        )
        .advice("Nothing in this kernel: no program sees a security key. Boot another."),
        None => Check::new(name, State::Warning, "not in sight; most kernels have it"),
    }
}

/// Whether this kernel knows USB's HID devices, which USB/IP needs and UHID does not.
pub(super) fn usbhid(system: &System, kernel: &Kernel) -> Check {
    const OPTION: &str = "CONFIG_USB_HID";
    let name = "usbhid";
    match kernel.module(name, OPTION) {
        Module::Loaded => Check::ok(name, "loaded"),
        Module::BuiltIn => Check::ok(name, "built in"),
        Module::Available if is_udev_running(system) => {
            Check::ok(name, "a module that udev loads with the first device")
        }
        Module::Available => Check::new(name, State::Failed, "not loaded, and no udev loads it")
            .command("sudo modprobe usbhid"),
        Module::Absent => kernel.absent(name, OPTION),
        Module::Unknown => Check::new(name, State::Warning, "not in sight; most kernels have it"),
    }
}

fn is_udev_running(system: &System) -> bool {
    system.exists("/run/udev/control")
}

pub(super) fn udev(system: &System) -> Check {
    if is_udev_running(system) {
        return Check::ok("udev", "running");
    }
    let check = Check::new(
        "udev",
        State::Warning,
        "not running: nobody gives users a key's node",
    );
    match system.is_root() {
        true => check.advice("Root may use keys all the same; browsers look for them with udev."),
        false => check.command("sudo systemctl start systemd-udevd"),
    }
}

/// The security keys that are there, whoever made them.
pub(super) fn keys(system: &System) -> Vec<Check> {
    let nodes = system.names_in(CLASS);
    let keys = nodes.iter().filter(|node| {
        let descriptor = system.read_bytes(&format!("{CLASS}/{node}/device/report_descriptor"));
        descriptor.is_some_and(|descriptor| has_page(&descriptor, FIDO_PAGE))
    });
    let checks: Vec<_> = keys.map(|node| key(system, node)).collect();
    match checks.is_empty() {
        true => vec![Check::not_applicable(
            "keys",
            "no security key is plugged in now",
        )],
        false => checks,
    }
}

fn key(system: &System, node: &str) -> Check {
    let about = system
        .read(&format!("{CLASS}/{node}/device/uevent"))
        .unwrap_or_default();
    let value = |name: &str| about.lines().find_map(|line| line.strip_prefix(name));
    let called = value("HID_NAME=").unwrap_or("a security key");
    let name = format!("/dev/{node}");
    if !system.exists(&name) {
        return Check::new(
            &name,
            State::Failed,
            format!("{called}: its node is not in /dev"),
        )
        .advice("In a container, start that with the machine's /dev. Otherwise:")
        .command("sudo udevadm trigger --subsystem-match=hidraw");
    }
    if system.may_write(&name) {
        return Check::ok(name, called);
    }
    let check = Check::new(
        &name,
        State::Failed,
        format!("{called}: this user may not open it"),
    );
    // As 70-roamkey.rules has it: bus, vendor and product, in hexadecimal.
    let ours = value("HID_ID=").is_some_and(|id| id.ends_with(":00001209:00000001"));
    let trigger = "sudo udevadm trigger --subsystem-match=hidraw";
    if ours && !system.exists("/etc/udev/rules.d/70-roamkey.rules") {
        return check
            .advice("Log in at this machine, or install roamkey's udev rules (scripts/udev):")
            .command(format!("{INSTALL_RULES} && {trigger}"));
    }
    check
        .advice("Log in at this machine: udev gives a key to who sits there, when it is asked:")
        .command(trigger)
}

/// Whether a report descriptor has items of a usage page.
fn has_page(mut descriptor: &[u8], page: u32) -> bool {
    /// Everything of a short item's prefix but how long it is: a global item, usage page.
    const USAGE_PAGE: u8 = 0x04;
    const LONG: u8 = 0xfe;
    while let Some((&prefix, rest)) = descriptor.split_first() {
        let length = match (prefix, rest.first()) {
            (LONG, Some(&length)) => usize::from(length) + 2,
            _ if prefix & 3 == 3 => 4,
            _ => usize::from(prefix & 3),
        };
        let Some((data, next)) = rest.split_at_checked(length) else {
            return false;
        };
        let value = data
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
        if prefix & !3 == USAGE_PAGE && value == page {
            return true;
        }
        descriptor = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_page_counts_only_as_an_item() {
        let key = [0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01, 0xc0];
        assert!(has_page(&key, FIDO_PAGE));
        assert!(has_page(&[0x07, 0xd0, 0xf1, 0, 0], FIDO_PAGE));
        let mouse = [0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0xc0];
        assert!(!has_page(&mouse, FIDO_PAGE));
        // The same bytes in another item, in a long one, and cut off.
        assert!(!has_page(&[0x27, 0x06, 0xd0, 0xf1, 0x00], FIDO_PAGE));
        assert!(!has_page(&[0xfe, 3, 0, 0x06, 0xd0, 0xf1], FIDO_PAGE));
        assert!(!has_page(&[0x06, 0xd0], FIDO_PAGE));
    }
}
