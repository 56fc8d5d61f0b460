//! `roamkey run --profile`.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

use roamkey::profile::Profile;

use super::files::file;

fn run(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roamkey"));
    command
        .args(["run", "--ephemeral", "--touch", "deny"])
        .args(["--listen", "127.0.0.1:0"])
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Ends with code 2 before anything is served; gives what stderr says.
fn refused(args: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = run(args).output().expect("the binary starts");
    let stderr = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stdout.is_empty());
    stderr
}

#[test]
fn unknown_name_lists_the_known_ones() {
    let stderr = refused(&["--profile", "fido-3"]);
    assert!(
        stderr.contains("no profile and no file is called \"fido-3\""),
        "{stderr}"
    );
    assert!(stderr.contains("path of a TOML file"), "{stderr}");
    for name in Profile::names() {
        assert!(stderr.contains(name), "{name}: {stderr}");
    }
}

#[test]
fn file_that_breaks_a_rule_is_refused_with_its_line() {
    let path = file(
        "broken.toml",
        "# rig\nversions = [\"FIDO_2_1\"]\nextensions = []\n",
    );
    let path = path.to_str().expect("UTF-8");
    let stderr = refused(&["--profile", path]);
    let reason = format!("{path}:3: extensions: FIDO_2_1 needs hmac-secret (§9)");
    assert!(stderr.contains(&reason), "{stderr}");
}

#[test]
fn name_and_file_are_served() {
    let path = file("served.toml", "[usb]\nproduct = \"rig\"\n");
    for profile in ["u2f-only", path.to_str().expect("UTF-8")] {
        let mut child = run(&["--profile", profile, "--format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        let read = BufReader::new(stdout).read_line(&mut line);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        read.expect("a line");
        assert!(line.contains("\"ready\""), "{profile}: {line}");
    }
}

#[test]
fn help_names_every_profile() {
    let output = run(&["--help"]).output().expect("the binary starts");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(help.contains("--profile <NAME|FILE>"), "{help}");
    for name in Profile::names() {
        assert!(help.contains(name), "{name}: {help}");
    }
}
