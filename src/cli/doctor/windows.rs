//! What Windows needs: the client of usbip-win2, and programs that ask Windows for the key.

use super::{
    own,
    port::{self, Holder},
    report::{Check, Group, Report, Road, State},
    system::System,
};

const INTO: &str = "USB/IP into this machine";

pub(super) fn look(system: &System) -> Report {
    let client = client(system);
    let road = match client.state {
        State::Ok => Road::open(INTO, "usbip.exe attach", "every program sees a USB key"),
        State::Warning | State::Failed | State::NotApplicable => {
            Road::closed(INTO, "usbip.exe attach", "usbip-win2 is not installed")
        }
    };
    let (port, serving) = port::check(system, holder(system));
    Report {
        system: "Windows".to_owned(),
        groups: vec![
            Group::new(INTO, vec![client]),
            Group::new("Port", vec![port]),
            Group::new("Session", vec![session(system), programs()]),
            Group::new("roamkey", own::checks(system)),
        ],
        roads: vec![road, serving],
    }
}

fn client(system: &System) -> Check {
    let path = system.env("PATH").unwrap_or_default();
    let programs = system
        .env("ProgramFiles")
        .map(|directory| format!(r"{directory}\USBip"));
    let directories = path.split(';').map(str::to_owned).chain(programs);
    let mut files = directories.map(|directory| format!(r"{directory}\usbip.exe"));
    match files.find(|file| system.exists(file)) {
        Some(file) => Check::ok("usbip.exe", file),
        None => Check::new(
            "usbip.exe",
            State::Failed,
            "neither in PATH nor in Program Files",
        )
        .advice("Install usbip-win2: https://github.com/vadimgrn/usbip-win2/releases"),
    }
}

/// usbipd-win is what has the port on many machines.
fn holder(system: &System) -> Option<Holder> {
    let service = system.run("sc.exe", &["query", "usbipd"])?;
    service
        .contains("RUNNING")
        .then_some(Holder::Service("usbipd-win"))
}

fn session(system: &System) -> Check {
    let name = system.env("SESSIONNAME").unwrap_or_default();
    if name.to_uppercase().starts_with("RDP-") {
        let found = "this is a remote desktop: its programs get keys from where you sit";
        return Check::new("session", State::Warning, found)
            .advice("Attach the key to the machine in front of you, which passes it on.");
    }
    Check::ok("session", "at this machine")
}

fn programs() -> Check {
    let found = "Windows keeps FIDO devices to itself: browsers and others that use its WebAuthn \
                 API have the key, those that open it themselves need an administrator";
    Check::ok("programs", found)
}

#[cfg(test)]
mod tests {
    use super::{super::fake::Fake, *};

    #[test]
    fn machine_without_the_client_is_told_where_it_is() {
        let report = look(&Fake::new().system());
        assert!(
            report
                .check("usbip.exe")
                .told()
                .contains("usbip-win2/releases")
        );
        assert!(!report.road(INTO).open);
        assert!(report.is_any_road_open(), "it serves others");
    }

    #[test]
    fn client_in_program_files_is_found_and_usbipd_win_named() {
        let fake = Fake::new()
            .env("ProgramFiles", r"C:\Program Files")
            .env("SESSIONNAME", "RDP-Tcp#3")
            .taken(3240)
            .program("sc.exe query usbipd", "STATE : 4  RUNNING");
        let path = format!(r"{}\usbip.exe", r"C:\Program Files\USBip");
        let report = look(&fake.file(&path, "").system());
        assert!(report.road(INTO).open);
        let port = report.check("127.0.0.1:3240");
        assert!(port.found.contains("usbipd-win"));
        assert_eq!(port.typed(), "roamkey run --listen 127.0.0.1:3241");
        assert_eq!(report.check("session").state, State::Warning);
    }
}
