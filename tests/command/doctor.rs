//! `roamkey doctor` on the machine that runs the tests, whatever it has.

use std::{fs, net::TcpListener};

use serde_json::Value;

use super::home::{Home, assert_fits, document};

fn checks(document: &Value) -> &Vec<Value> {
    document["checks"].as_array().expect("checks")
}

#[test]
fn document_has_every_check_and_the_exit_code_follows_the_roads() {
    let home = Home::empty();
    let ended = home.run(&["doctor", "--format", "json"]);
    let document = document(&ended.stdout);
    for check in checks(&document) {
        let state = check["state"].as_str().expect("a state");
        assert!(
            ["ok", "warning", "failed", "not_applicable"].contains(&state),
            "{check}"
        );
        for member in ["group", "name", "found"] {
            assert!(
                check[member].as_str().is_some_and(|text| !text.is_empty()),
                "{check}"
            );
        }
        let says_more = check["advice"].is_string() || check["command"].is_string();
        assert!(
            says_more || state != "failed",
            "what fails comes with what to do: {check}"
        );
    }
    let roads = document["roads"].as_array().expect("roads");
    let open = roads.iter().any(|road| road["open"] == true);
    assert_eq!(ended.status.code(), Some(i32::from(!open)));
    assert_eq!(ended.stderr.is_empty(), open, "{}", ended.stderr);
}

#[test]
fn text_ends_with_the_roads_and_has_no_colours() {
    let home = Home::empty();
    let ended = home.run(&["doctor"]);
    let text = ended.stdout;
    assert!(!text.contains('\u{1b}'), "{text}");
    let (checks, roads) = text.split_once("\nRoads\n").expect("roads");
    assert!(roads.contains("roamkey run"), "{roads}");
    assert!(roads.lines().all(|line| line.starts_with("  ")), "{roads}");
    // A command is whole, so that it can be copied; it stands deeper than all else.
    let is_command = |line: &&str| line.starts_with(&" ".repeat(13));
    let lines: Vec<_> = checks.lines().filter(|line| !is_command(line)).collect();
    assert_fits(&lines.join("\n"), "");
    assert_fits(roads, "");
}

#[test]
#[cfg(target_os = "linux")]
fn kernel_of_this_machine_is_told_as_it_is() {
    let home = Home::empty();
    let document = document(&home.run(&["doctor", "--format", "json"]).stdout);
    let named = |name: &str| {
        let found = checks(&document).iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {document}"))
    };
    let vhci = fs::exists("/sys/devices/platform/vhci_hcd.0/status").expect("a look");
    assert_eq!(named("vhci-hcd")["state"] == "ok", vhci);
    if !fs::exists("/dev/uhid").expect("a look") {
        assert_eq!(named("uhid")["state"], "failed");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    assert_eq!(document["system"], format!("Linux {}", release.trim()));
}

#[test]
#[cfg(target_os = "linux")]
fn port_that_is_taken_names_its_process_and_another_port() {
    // Another test, or a program of this machine's, may have it already.
    let taken = TcpListener::bind("127.0.0.1:3240");
    let home = Home::empty();
    let document = document(&home.run(&["doctor", "--format", "json"]).stdout);
    let port = checks(&document)
        .iter()
        .find(|check| check["group"] == "Port");
    let port = port.expect("the port");
    assert_eq!(port["state"], "warning", "{port}");
    let command = port["command"].as_str().expect("a command");
    assert!(
        command.starts_with("roamkey run --listen 127.0.0.1:32"),
        "{command}"
    );
    if taken.is_ok() {
        let found = port["found"].as_str().expect("who");
        assert!(
            found.contains(&format!("process {}", std::process::id())),
            "{found}"
        );
    }
}

#[test]
fn nothing_is_made_by_looking() {
    let home = Home::empty();
    home.run(&["doctor"]);
    let left = fs::read_dir(home.path("")).expect("the home").count();
    assert_eq!(left, 0);
}
