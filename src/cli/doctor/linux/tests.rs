//! Machines that people have, and what each is told.

use super::{
    super::{
        fake::Fake,
        report::{Report, State},
    },
    look,
};

const RELEASE: &str = "6.8.0-45-generic";
const DEP: &str = "kernel/drivers/usb/usbip/usbip-core.ko.zst:\n\
                   kernel/drivers/usb/usbip/vhci-hcd.ko.zst: kernel/drivers/usb/usbip/usbip-core.ko.zst\n\
                   kernel/drivers/hid/uhid.ko.zst:\n\
                   kernel/drivers/hid/usbhid/usbhid.ko.zst: kernel/drivers/hid/hid.ko.zst\n";
const KEY: [u8; 8] = [0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01, 0xc0];
const VHCI: &str = "USB/IP into this machine";
const UHID: &str = "UHID";
const SERVING: &str = "USB/IP to others";

fn machine(release: &str, modules: &str) -> Fake {
    Fake::new()
        .file("/proc/sys/kernel/osrelease", &format!("{release}\n"))
        .file(&format!("/lib/modules/{release}/modules.dep"), modules)
        .file(
            &format!("/lib/modules/{release}/modules.builtin"),
            "kernel/fs/ext4/ext4.ko\n",
        )
}

/// A desktop of Ubuntu's with somebody at it, before anything was done for roamkey.
fn desktop() -> Fake {
    machine(RELEASE, DEP)
        .file(
            "/etc/os-release",
            "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n",
        )
        .file(
            &format!("/boot/config-{RELEASE}"),
            "CONFIG_HIDRAW=y\nCONFIG_USB_HID=m\n",
        )
        .file(
            "/proc/modules",
            "usbhid 73728 0 - Live 0x0\nhid 180224 1 usbhid, Live 0x0\n",
        )
        .file("/run/udev/control", "")
        .directory("/sys/class/hidraw")
        .file("/dev/uhid", "")
        .refused("/dev/uhid")
        .env("XDG_SESSION_TYPE", "wayland")
        .env("XDG_SESSION_ID", "2")
        .program(
            "loginctl show-session 2 -p Remote -p Seat",
            "Remote=no\nSeat=seat0\n",
        )
}

/// One where everything was done.
fn ready(fake: Fake) -> Fake {
    const STATUS: &str = "hub port sta spd dev      sockfd local_busid\n\
                          hs  0000 006 002 00010001 000009 3-1\n\
                          hs  0001 004 000 00000000 000000 0-0\n\
                          ss  0008 004 000 00000000 000000 0-0\n";
    fake.file(
        "/proc/modules",
        "vhci_hcd 1 0 - Live 0x0\nuhid 1 0 - Live 0x0\nusbhid 1 0 - Live 0x0\n",
    )
    .file("/sys/devices/platform/vhci_hcd.0/status", STATUS)
}

fn with_key(fake: Fake, node: &str, id: &str) -> Fake {
    let device = format!("/sys/class/hidraw/{node}/device");
    fake.bytes(&format!("{device}/report_descriptor"), &KEY)
        .file(
            &format!("{device}/uevent"),
            &format!("DRIVER=hid-generic\nHID_ID={id}\nHID_NAME=a key\n"),
        )
        .file(&format!("/dev/{node}"), "")
}

fn report(fake: &Fake) -> Report {
    look(&fake.system())
}

fn states(report: &Report, state: State) -> Vec<&str> {
    let checks = report.groups.iter().flat_map(|group| &group.checks);
    checks
        .filter(|check| check.state == state)
        .map(|check| check.name.as_str())
        .collect()
}

#[test]
fn machine_where_all_is_well_has_every_road_open_and_nothing_to_do() {
    let fake = with_key(ready(desktop()), "hidraw0", "0003:00001209:00000001")
        .root()
        .file("/usr/sbin/usbip", "")
        .file("/home/you/.local/share/roamkey/vault.redb", "")
        .directory("/run/user/1000")
        .env("XDG_RUNTIME_DIR", "/run/user/1000")
        .file("/run/user/1000/roamkey/42.sock", "")
        .file("/usr/bin/firefox", "\u{7f}ELF");
    let report = report(&fake.allowed("/dev/uhid"));
    assert!(
        report.roads.iter().all(|road| road.open),
        "{}",
        report.text()
    );
    assert_eq!(states(&report, State::Failed), [""; 0]);
    assert_eq!(states(&report, State::Warning), [""; 0]);
    assert_eq!(report.check("free ports").found, "1 port");
    assert_eq!(report.check("usbip tool").found, "/usr/sbin/usbip");
    assert_eq!(report.check("running").found, "process 42");
    assert_eq!(report.check("/dev/hidraw0").found, "a key");
    assert_eq!(report.check("firefox").state, State::Ok);
}

#[test]
fn desktop_is_told_to_load_modules_and_to_install_the_rules() {
    let report = report(&desktop());
    assert_eq!(report.check("vhci-hcd").state, State::Failed);
    assert_eq!(report.check("vhci-hcd").typed(), "sudo modprobe vhci-hcd");
    assert_eq!(report.check("root").state, State::Warning);
    assert_eq!(
        report.check("uhid").state,
        State::Ok,
        "opening its node loads it"
    );
    let node = report.check("/dev/uhid");
    assert_eq!(node.state, State::Failed);
    assert!(
        node.typed()
            .contains("scripts/udev/70-roamkey.rules /etc/udev/rules.d/")
    );
    assert!(node.typed().ends_with("udevadm trigger --settle /dev/uhid"));
    assert_eq!(report.check("seat").state, State::Ok);
    assert!(!report.road(VHCI).open && !report.road(UHID).open);
    assert!(report.road(SERVING).open && report.is_any_road_open());
    assert!(std::path::Path::new("scripts/udev/70-roamkey.rules").exists());
}

#[test]
fn node_that_stays_closed_with_the_rules_is_triggered() {
    let fake = desktop().file("/etc/udev/rules.d/70-roamkey.rules", "");
    assert_eq!(
        report(&fake).check("/dev/uhid").typed(),
        "sudo udevadm trigger --settle /dev/uhid"
    );
}

#[test]
fn user_who_is_not_root_is_told_that_attaching_needs_root() {
    let report = report(&ready(desktop()).allowed("/dev/uhid"));
    assert!(report.road(VHCI).found.contains("sudo"));
    assert!(!report.road(VHCI).open);
    assert!(report.road(UHID).open);
}

#[test]
fn vhci_without_a_free_port_closes_its_road() {
    let full = "hub port sta spd dev sockfd local_busid\nhs  0000 006 002 00010001 000009 3-1\n";
    let fake = ready(desktop())
        .root()
        .file("/sys/devices/platform/vhci_hcd.0/status", full);
    let report = report(&fake);
    assert!(report.check("free ports").told().contains("usbip detach"));
    assert!(!report.road(VHCI).open);
}

#[test]
fn debian_cloud_kernel_has_no_usb_and_the_usual_kernel_mends_it() {
    let fake = machine("6.1.0-18-cloud-amd64", "kernel/drivers/hid/uhid.ko:\n")
        .file("/etc/os-release", "ID=debian\n")
        .root();
    let report = report(&fake);
    for name in ["vhci-hcd", "usbhid"] {
        let check = report.check(name);
        assert_eq!(check.state, State::Failed);
        assert_eq!(check.typed(), "sudo apt-get install linux-image-amd64");
    }
    assert_eq!(report.check("uhid").typed(), "sudo modprobe uhid");
}

#[test]
fn ubuntu_server_without_the_extra_modules_is_told_their_package() {
    let fake =
        machine("6.8.0-1015-aws", "kernel/fs/nfs/nfs.ko:\n").file("/etc/os-release", "ID=ubuntu\n");
    let report = report(&fake);
    for name in ["vhci-hcd", "uhid", "usbhid"] {
        let expected = format!(
            "sudo apt-get install linux-modules-extra-6.8.0-1015-aws && sudo modprobe {name}"
        );
        assert_eq!(report.check(name).typed(), expected);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn hosted_runner_gets_uhid_from_the_extra_package_and_vhci_from_nowhere() {
    let fake = machine("6.11.0-1018-azure", "kernel/fs/nfs/nfs.ko:\n")
        .file("/etc/os-release", "ID=ubuntu\n");
    let report = report(&fake);
    let vhci = report.check("vhci-hcd");
    assert_eq!(vhci.command, None);
    assert!(vhci.told().contains("Nothing") && vhci.told().contains("--backend uhid"));
    let uhid = report.check("uhid").typed();
    assert!(
        uhid.contains("linux-modules-extra-6.11.0-1018-azure"),
        "{uhid}"
    );
}

#[test]
fn configuration_tells_what_is_absent_where_no_list_of_modules_is() {
    let fake = Fake::new()
        .file("/proc/sys/kernel/osrelease", "6.18.44-fc")
        .file("/etc/os-release", "ID=ubuntu\n")
        .file("/proc/config.gz", "")
        .program(
            "gzip -dc /proc/config.gz",
            "CONFIG_HID=y\n# CONFIG_UHID is not set\n",
        );
    let report = report(&fake);
    assert!(report.check("uhid").told().contains("Nothing"));
    assert_eq!(report.check("uhid").command, None);
    assert_eq!(report.check("hidraw").state, State::Failed);
}

#[test]
fn old_wsl2_is_updated_and_a_new_one_says_who_sees_its_keys() {
    let version = "Linux version 5.15.153.1-microsoft-standard-WSL2";
    let fake = machine("5.15.153.1-microsoft-standard-WSL2", "")
        .file("/etc/os-release", "ID=ubuntu\n")
        .file("/proc/version", version);
    let old = report(&fake);
    assert_eq!(old.check("WSL2").state, State::Failed);
    assert_eq!(old.check("WSL2").typed(), "wsl.exe --update");
    assert_eq!(
        old.check("vhci-hcd").typed(),
        "wsl.exe --update",
        "no package of Ubuntu's has it"
    );

    let release = "6.6.36.3-microsoft-standard-WSL2";
    let new = report(&machine(release, DEP).file("/proc/version", &format!("Linux {release}")));
    assert_eq!(new.check("WSL2").state, State::Warning);
    assert!(new.check("WSL2").told().contains("usbip-win2"));
    assert_eq!(new.check("vhci-hcd").typed(), "sudo modprobe vhci-hcd");
}

#[test]
fn container_with_its_own_dev_is_told_how_to_share_it() {
    let own = "24 27 0:6 / /dev rw,nosuid - tmpfs tmpfs rw\n";
    let fake = Fake::new()
        .file("/.dockerenv", "")
        .file("/proc/self/mountinfo", own);
    let apart = report(&fake);
    assert_eq!(apart.check("container").state, State::Warning);
    assert!(
        apart
            .check("container")
            .typed()
            .contains("--volume /dev:/dev")
    );
    assert!(apart.check("vhci-hcd").told().contains("container"));

    let shared = "24 27 0:6 / /dev rw,relatime shared:2 - devtmpfs udev rw\n";
    let fake = fake.file("/proc/self/mountinfo", shared);
    assert_eq!(report(&fake).check("container").state, State::Ok);
    let groups = Fake::new().file("/proc/1/cgroup", "0::/system.slice/docker-1f.scope\n");
    assert_eq!(report(&groups).check("container").state, State::Warning);
}

#[test]
fn key_that_this_user_may_not_open_is_told_with_what_opens_it() {
    let ours = with_key(desktop(), "hidraw1", "0003:00001209:00000001").refused("/dev/hidraw1");
    let ours = with_key(ours, "hidraw2", "0003:00001050:00000407").refused("/dev/hidraw2");
    let report = report(&ours.bytes(
        "/sys/class/hidraw/hidraw0/device/report_descriptor",
        &[5, 1],
    ));
    assert!(
        report
            .check("/dev/hidraw1")
            .typed()
            .contains("70-roamkey.rules")
    );
    assert_eq!(
        report.check("/dev/hidraw2").typed(),
        "sudo udevadm trigger --subsystem-match=hidraw"
    );
    assert!(!report.text().contains("hidraw0"), "a mouse is no key");
}

#[test]
fn ssh_session_is_told_of_the_group() {
    let fake = desktop().env("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22");
    let seat = report(&fake);
    let seat = seat.check("seat");
    assert_eq!(seat.state, State::Warning);
    assert!(seat.typed().contains("usermod --append --groups roamkey"));
    let remote = desktop().program(
        "loginctl show-session 2 -p Remote -p Seat",
        "Remote=yes\nSeat=\n",
    );
    assert!(report(&remote).check("seat").found.contains("remote"));
    assert_eq!(
        report(&fake.allowed("/dev/uhid")).check("seat").state,
        State::Ok
    );
}

mod browsers;
mod own;
