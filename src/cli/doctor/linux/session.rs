//! Where this user is: at the machine or far from it, in WSL2, in a container.
//!
//! udev's uaccess gives nodes to who is logged in at a seat (sd-login(3)); nobody else gets one.

use super::{Check, INSTALL_RULES, State, System, kernel::Kernel};

pub(super) fn checks(system: &System, kernel: &Kernel) -> Vec<Check> {
    let mut checks = vec![seat(system)];
    checks.extend(wsl(system, kernel));
    checks.extend(container(system));
    checks
}

fn seat(system: &System) -> Check {
    let name = "seat";
    if system.is_root() {
        return Check::not_applicable(name, "root may open every device");
    }
    let kind = system.env("XDG_SESSION_TYPE");
    let session = system
        .env("XDG_SESSION_ID")
        .unwrap_or_else(|| "self".to_owned());
    let properties = ["-p", "Remote", "-p", "Seat"];
    let args = [&["show-session", session.as_str()][..], &properties].concat();
    let told = system.run("loginctl", &args);
    let says = |line: &str| {
        told.as_deref()
            .is_some_and(|text| text.lines().any(|l| l == line))
    };
    let far = if system.env("SSH_CONNECTION").is_some() {
        "this is an ssh session"
    } else if says("Remote=yes") {
        "this is a remote session"
    } else if says("Seat=") {
        "this session has no seat"
    } else if told.is_none() && kind.is_none() {
        "no login session is known for this process"
    } else {
        let kind = kind.unwrap_or_else(|| "session".to_owned());
        return Check::ok(
            name,
            format!("{kind} at this machine: udev gives it the keys"),
        );
    };
    if system.exists("/dev/uhid") && system.may_write("/dev/uhid") {
        return Check::ok(
            name,
            format!("{far}, and this user may open /dev/uhid all the same"),
        );
    }
    let found = format!("{far}: udev gives keys to who sits at the machine");
    Check::new(name, State::Warning, found)
        .advice(
            "Give them to a group: take the # off the last two lines of \
             scripts/udev/70-roamkey.rules, then type this and log in again:",
        )
        .command(format!(
            "sudo groupadd --system --force roamkey && sudo usermod --append --groups roamkey \
             \"$USER\" && {INSTALL_RULES} && sudo udevadm trigger"
        ))
}

/// Since 5.15.150.1 its kernel has hidraw, since 6.6 vhci-hcd as a module.
fn wsl(system: &System, kernel: &Kernel) -> Option<Check> {
    let version = system.read("/proc/version").unwrap_or_default();
    if !kernel.is_microsoft() && !version.to_lowercase().contains("microsoft") {
        return None;
    }
    let name = "WSL2";
    let mut numbers = kernel
        .release()
        .split(['.', '-'])
        .map(|part| part.parse::<u32>());
    let mut number = || numbers.next().and_then(Result::ok).unwrap_or(0);
    let release = (number(), number());
    if release < (6, 6) {
        let found = format!(
            "its kernel {} is older than 6.6, the first with vhci-hcd",
            kernel.release()
        );
        return Some(
            Check::new(name, State::Failed, found)
                .advice("Type this in Windows:")
                .command("wsl.exe --update"),
        );
    }
    Some(
        Check::new(
            name,
            State::Warning,
            "programs in here see keys, those of Windows do not",
        )
        .advice(
            "For a browser of Windows, attach the key there: usbip-win2 reaches a roamkey in \
                 here at 127.0.0.1.",
        ),
    )
}

fn container(system: &System) -> Option<Check> {
    let groups = system.read("/proc/1/cgroup").unwrap_or_default();
    let marks = ["docker", "kubepods", "libpod", "containerd", "/lxc"];
    let is_one = system.exists("/run/.containerenv")
        || system.exists("/.dockerenv")
        || system.exists("/run/systemd/container")
        || marks.iter().any(|mark| groups.contains(mark));
    if !is_one {
        return None;
    }
    let name = "container";
    let mounts = system.read("/proc/self/mountinfo").unwrap_or_default();
    if mounts.lines().any(shares_dev) {
        return Some(Check::ok(name, "/dev is the machine's: new keys appear"));
    }
    let found = "/dev is its own: keys that are plugged in later do not appear in it";
    Some(
        Check::new(name, State::Warning, found)
            .advice("Plug them in first, or start the container (docker or podman) like this:")
            .command("docker run --volume /dev:/dev --device-cgroup-rule 'c *:* rmw' IMAGE"),
    )
}

/// Whether a line of mountinfo (proc(5)) puts the kernel's devices at /dev.
fn shares_dev(line: &str) -> bool {
    let mut fields = line.split(' ').skip(4);
    let at_dev = fields.next() == Some("/dev");
    let kind = fields.skip_while(|field| *field != "-").nth(1);
    at_dev && kind == Some("devtmpfs")
}
