//! Browsers in boxes that keep keys out: Snap and Flatpak.
//!
//! **Snap.** Where the interface `u2f-devices` is connected, snapd writes udev rules that let the
//! browser at keys with vendor and product ids that it knows, by the USB device above them
//! (interfaces/builtin/u2f_devices.go). roamkey's are not among them, and a key by UHID has no
//! USB device above it. A rule of one's own that sets the same tag, in a file that comes before
//! snapd's, opens the box for both. Chromium then still has to read the report descriptor in
//! /sys, which AppArmor allows below USB devices alone.
//!
//! **Flatpak.** A box has the machine's device nodes where its metadata or an override says
//! `devices=all`; ids do not matter. Deliberately absent: overrides of a single run.

use super::{Check, State, System};

/// Names in /snap/bin, and whether they are made of Chromium.
const SNAPS: [(&str, bool); 5] = [
    ("firefox", false),
    ("chromium", true),
    ("brave", true),
    ("opera", true),
    ("vivaldi", true),
];
const FLATPAKS: [&str; 12] = [
    "org.mozilla.firefox",
    "org.chromium.Chromium",
    "com.google.Chrome",
    "com.brave.Browser",
    "com.microsoft.Edge",
    "com.vivaldi.Vivaldi",
    "com.opera.Opera",
    "io.gitlab.librewolf-community",
    "io.github.ungoogled_software.ungoogled_chromium",
    "net.waterfox.waterfox",
    "app.zen_browser.zen",
    "org.torproject.torbrowser-launcher",
];
const PACKAGES: [&str; 9] = [
    "firefox",
    "firefox-esr",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "brave-browser",
    "microsoft-edge",
    "vivaldi",
];
const RULES: &str = "/etc/udev/rules.d";

pub(super) fn checks(system: &System) -> Vec<Check> {
    let mut checks: Vec<_> = packages(system).into_iter().collect();
    for (name, chromium) in SNAPS {
        if system.exists(&format!("/snap/bin/{name}")) {
            checks.push(snap(system, name, chromium));
        }
    }
    checks.extend(FLATPAKS.iter().filter_map(|id| flatpak(system, id)));
    match checks.is_empty() {
        true => vec![Check::not_applicable("browsers", "none that is known here")],
        false => checks,
    }
}

/// Those that are in no box. Ubuntu's packages of some are a script that starts the Snap.
fn packages(system: &System) -> Option<Check> {
    let is_real = |name: &&str| {
        let path = format!("/usr/bin/{name}");
        system.exists(&path)
            && !system
                .read(&path)
                .is_some_and(|text| text.contains("/snap/bin"))
    };
    let found: Vec<_> = PACKAGES.into_iter().filter(is_real).collect();
    let names = found.join(", ");
    (!found.is_empty()).then(|| Check::ok(names, "sees every key that this user may open"))
}

/// A Snap, from the udev rules that snapd made for it.
fn snap(system: &System, name: &str, chromium: bool) -> Check {
    let shown = format!("{name} (Snap)");
    let tag = format!("snap_{name}_{name}");
    let rules = system.read(&format!("{RULES}/70-snap.{name}.rules"));
    let connected = match rules {
        Some(rules) => rules.contains("u2f-devices"),
        // Nothing but what is connected has a slot in the list.
        None => system
            .run("snap", &["connections", name])
            .is_some_and(|connections| {
                let mut lines = connections.lines().map(str::split_ascii_whitespace);
                lines.any(|mut fields| {
                    fields.next() == Some("u2f-devices") && fields.nth(1) != Some("-")
                })
            }),
    };
    if !connected {
        let found = "its interface u2f-devices is not connected: it sees no security key";
        return Check::new(shown, State::Failed, found)
            .command(format!("sudo snap connect {name}:u2f-devices"));
    }
    if is_tagged(system, &tag) {
        let found = "a udev rule lets it at roamkey's keys";
        return match chromium {
            true => Check::new(shown, State::Warning, format!("{found}, but not by UHID"))
                .advice(CHROMIUM_BY_UHID),
            false => Check::ok(shown, found),
        };
    }
    let found = "snapd lets it at keys with ids that it knows, and roamkey's are not among them, \
                 by USB/IP or by UHID";
    let advice = "A udev rule lets it at roamkey's (then plug the key in again); a browser from \
                  the distribution or a .deb needs none.";
    let advice = match chromium {
        true => format!("{advice} {CHROMIUM_BY_UHID}"),
        false => advice.to_owned(),
    };
    Check::new(shown, State::Failed, found)
        .advice(advice)
        .command(format!(
            "echo 'SUBSYSTEM==\"hidraw\", KERNELS==\"0003:1209:0001.*\", TAG+=\"{tag}\"' | sudo \
             tee {RULES}/69-roamkey-{name}.rules && sudo udevadm control --reload"
        ))
}

const CHROMIUM_BY_UHID: &str = "By UHID nothing can: AppArmor lets it read of USB devices alone \
                                what a HID device is.";

/// Whether rules other than snapd's set this tag for roamkey's keys.
fn is_tagged(system: &System, tag: &str) -> bool {
    let tags = format!("\"{tag}\"");
    system.names_in(RULES).iter().any(|name| {
        let text = system.read(&format!("{RULES}/{name}")).unwrap_or_default();
        let mut rules = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        rules.any(|rule| rule.contains(&tags) && rule.contains("1209") && rule.contains("0001"))
    })
}

/// A Flatpak, if it is there for everybody or for this user.
fn flatpak(system: &System, id: &str) -> Option<Check> {
    let mut installations = vec!["/var/lib/flatpak".to_owned()];
    installations.extend(data_home(system).map(|data| format!("{data}/flatpak")));
    let has_it = |place: &&String| system.exists(&format!("{place}/exports/bin/{id}"));
    let installation = installations.iter().find(has_it)?;
    let mut texts: Vec<_> = system
        .read(&format!("{installation}/app/{id}/current/active/metadata"))
        .into_iter()
        .collect();
    if texts.is_empty() {
        texts.extend(system.run("flatpak", &["info", "--show-permissions", id]));
    }
    // The user's override comes last, and wins.
    for place in &installations {
        texts.extend(system.read(&format!("{place}/overrides/{id}")));
    }
    let name = format!("{id} (Flatpak)");
    if texts
        .iter()
        .fold(false, |has, text| devices(text).unwrap_or(has))
    {
        return Some(Check::ok(
            name,
            "has devices=all: sees every key that this user may open",
        ));
    }
    Some(
        Check::new(
            name,
            State::Failed,
            "its box has no devices: it sees no security key",
        )
        .advice("Let it at all devices, and start it again:")
        .command(format!(
            "flatpak override --user --device=all --filesystem=/run/udev:ro {id}"
        )),
    )
}

/// What a keyfile says of all devices, if anything.
fn devices(keyfile: &str) -> Option<bool> {
    let mut lines = keyfile.lines();
    let value = lines.find_map(|line| line.trim().strip_prefix("devices="))?;
    value.split(';').find_map(|device| match device.trim() {
        "all" => Some(true),
        "!all" => Some(false),
        _ => None,
    })
}

fn data_home(system: &System) -> Option<String> {
    let given = system.env("XDG_DATA_HOME");
    given.or_else(|| Some(format!("{}/.local/share", system.env("HOME")?)))
}
