//! `roamkey run`: what it says, and how it ends.

use std::net::TcpListener;
#[cfg(unix)]
use std::process::Command;

use serde_json::{Value, json};

use super::process::{Process, attach, listen_of, run};
#[cfg(unix)]
use crate::support::carrier::request_import;
use crate::support::{
    ctap2::{GetAssertion, MakeCredential, status},
    ctaphid::command,
};

const ARGS: [&str; 7] = [
    "run",
    "--ephemeral",
    "--touch",
    "auto",
    "--listen",
    "127.0.0.1:0",
    "--format=json",
];

fn start(more: &[&str]) -> (Process, Value) {
    let process = Process::start(&[&ARGS, more].concat());
    let ready = process.event();
    (process, ready)
}

#[test]
fn json_output_begins_with_ready_and_tells_attach_and_touch() {
    let (process, ready) = start(&["--keys", "2"]);
    assert_eq!(ready["event"], "ready");
    let address = listen_of(&ready);
    assert!(address.ip().is_loopback());
    assert_ne!(address.port(), 0, "the port that the system chose");
    let keys = ready["keys"].as_array().expect("keys");
    let busids: Vec<_> = keys.iter().map(|key| &key["busid"]).collect();
    assert_eq!(busids, ["1-1", "1-2"]);
    assert_ne!(keys[0]["serial"], keys[1]["serial"]);

    let mut platform = attach(address);
    let event = process.event();
    assert_eq!(event["event"], "attach");
    assert_eq!(event["key"], "1-1");
    let channel = platform.init();
    let request = MakeCredential::new("example.com", b"alice");
    platform.make(channel, &request).expect("a credential");
    let event = process.event();
    let expected = [
        ("event", json!("touch")),
        ("state", json!("approved")),
        ("key", json!("1-1")),
        ("operation", json!("register")),
        ("rp", json!("example.com")),
        ("account", json!("alice")),
    ];
    for (name, value) in expected {
        assert_eq!(event[name], value, "{event}");
    }
    platform.call(channel, command::WINK, &[]);
    assert_eq!(process.event()["event"], "wink");
    drop(platform);
    let event = process.event();
    assert_eq!(event["event"], "detach");
    assert_eq!(event["key"], "1-1");
}

#[test]
fn text_output_says_what_to_type_on_linux_and_on_windows() {
    let mut args = ARGS;
    args[6] = "--format=text";
    let process = Process::start(&args);
    let first = process.line();
    let port = first.trim_end_matches(':').rsplit(':').next();
    let port: u16 = port.and_then(|port| port.parse().ok()).expect("a port");
    let linux = process.line_with("sudo usbip");
    let expected = format!("sudo usbip --tcp-port {port} attach -r 127.0.0.1 -b 1-1");
    assert_eq!(linux.trim(), expected);
    let windows = process.line_with("usbip.exe");
    let expected = format!("usbip.exe -t {port} attach -r 127.0.0.1 -b 1-1");
    assert_eq!(windows.trim(), expected);
    attach(format!("127.0.0.1:{port}").parse().unwrap());
}

#[test]
fn taken_port_names_usbipd_win_and_shows_listen() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&[
        "run",
        "--ephemeral",
        "--touch",
        "auto",
        "--listen",
        &address,
    ]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stdout.is_empty(), "nothing is promised");
    for part in [address.as_str(), "usbipd-win", "--listen 127.0.0.1:"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[test]
fn arguments_that_do_not_fit_exit_2_and_say_what_to_type() {
    let cases: [(&[&str], &str); 12] = [
        (
            &[
                "run",
                "--ephemeral",
                "--touch",
                "auto",
                "--listen",
                "0.0.0.0:0",
            ],
            "--allow-from",
        ),
        (
            &[
                "run",
                "--ephemeral",
                "--touch",
                "auto",
                "--listen",
                "[::]:0",
            ],
            "--allow-from",
        ),
        (&["run", "--listen", "127.0.0.1:0"], "--touch auto"),
        (&["run", "--touch", "auto"], "--any-site"),
        (&["run", "--touch", "auto", "--seed", "00"], "--ephemeral"),
        (
            &["run", "--touch", "auto", "--ephemeral", "--seed", "0"],
            "hexadecimal",
        ),
        (
            &["run", "--touch", "auto", "--ephemeral", "--seed", "zz"],
            "hexadecimal",
        ),
        (&["run", "--touch", "auto", "--keys", "0"], "--keys"),
        (
            &["run", "--touch", "auto", "--listen", "localhost"],
            "127.0.0.1:3240",
        ),
        (&["run", "--touch", "perhaps"], "ask"),
        (
            &["run", "--touch", "auto", "--allow-from", "somewhere"],
            "192.168.7.0/24",
        ),
        (&["attach"], "--help"),
    ];
    for (args, hint) in cases {
        let ended = run(args);
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(hint), "{args:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{args:?}: {}", ended.stdout);
    }
}

#[test]
fn allow_list_lets_other_addresses_be_listened_on() {
    let mut args = ARGS;
    args[5] = "0.0.0.0:0";
    let process = Process::start(&[&args[..], &["--allow-from", "127.0.0.0/8"]].concat());
    let ready = process.event();
    let port = listen_of(&ready).port();
    attach(format!("127.0.0.1:{port}").parse().unwrap());
}

#[test]
fn serial_is_the_same_at_the_next_start() {
    let keys = |more: &[&str]| start(more).1["keys"].clone();
    let first = keys(&["--keys", "3"]);
    assert_eq!(first, keys(&["--keys", "3"]));
    assert_eq!(first[0], keys(&[])[0], "however many there are");
    assert_ne!(first[0]["serial"], first[1]["serial"]);
    let seeded = keys(&["--seed", "0badcafe"]);
    assert_eq!(seeded, keys(&["--seed", "0BADCAFE"]));
    assert_ne!(seeded, keys(&["--seed", "0badcaff"]));
}

#[test]
fn seed_makes_the_same_credentials_again() {
    let registered = |seed: &str| {
        let (_process, ready) = start(&["--seed", seed]);
        let mut platform = attach(listen_of(&ready));
        let channel = platform.init();
        let ids = [false, true].map(|rk| {
            let mut request = MakeCredential::new("example.com", b"alice");
            request.options.push(("rk", rk));
            let made = platform.make(channel, &request).expect("a credential");
            (made.id, made.public_key)
        });
        let certificate = platform
            .u2f_register(channel, &[1; 32], &[2; 32])
            .certificate;
        (ids, certificate)
    };
    let once = registered("5eed");
    assert!(once == registered("5eed"), "the same seed, the same key");
    assert!(once != registered("5eee"), "another seed, another key");
}

#[test]
fn seed_warns() {
    let (process, _ready) = start(&["--seed", "00"]);
    let ended = end(process);
    assert!(ended.contains("--seed"), "{ended}");
}

#[cfg(unix)]
fn end(process: Process) -> String {
    let ended = process.signal("-TERM");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    ended.stderr
}

#[cfg(not(unix))]
fn end(process: Process) -> String {
    drop(process);
    String::from("--seed cannot be seen here")
}

#[test]
fn named_sites_are_served_and_others_refused() {
    let (process, ready) = start(&["--rp", "example.com", "--rp", "example.org"]);
    let mut platform = attach(listen_of(&ready));
    let channel = platform.init();
    for rp_id in ["example.com", "example.org"] {
        let request = MakeCredential::new(rp_id, b"alice");
        let made = platform.make(channel, &request).expect("a credential");
        let request = GetAssertion::new(rp_id, &[&made.id]);
        let asserted = platform.get(channel, &request).expect("an assertion");
        asserted.verify(rp_id, &made.public_key);
    }
    let request = MakeCredential::new("example.net", b"alice");
    let outcome = platform.make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED));
    let denied = loop {
        let event = process.event_named("touch");
        if event["state"] == "denied" {
            break event;
        }
    };
    assert_eq!(denied["rp"], "example.net");
    assert!(
        denied["reason"]
            .as_str()
            .is_some_and(|why| why.contains("--rp"))
    );
}

#[test]
fn denied_touches_are_refused() {
    let mut args = ARGS;
    args[3] = "deny";
    let process = Process::start(&args);
    let mut platform = attach(listen_of(&process.event()));
    let channel = platform.init();
    let request = MakeCredential::new("example.com", b"alice");
    let outcome = platform.make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED));
}

#[cfg(unix)]
#[test]
fn signals_end_it_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let (process, ready) = start(&[]);
        let mut platform = attach(listen_of(&ready));
        platform.init();
        process.event_named("attach");
        let ended = process.signal(signal);
        assert_eq!(ended.status.code(), Some(0), "{signal}: {}", ended.stderr);
        // The attached host is told by the end of its connection.
        assert!(platform.host.is_gone_within(10_000));
        assert!(ended.stdout.contains("\"detach\""), "{}", ended.stdout);
    }
}

#[test]
fn stdout_that_nobody_reads_does_not_stop_the_server() {
    let (mut process, ready) = start(&[]);
    process.stop_reading();
    for _ in 0..5 {
        let mut platform = attach(listen_of(&ready));
        let channel = platform.init();
        let request = MakeCredential::new("example.com", b"alice");
        platform.make(channel, &request).expect("a credential");
    }
}

/// Shells give a program fewer open files than the system lets it have.
#[cfg(unix)]
#[test]
fn more_hosts_attach_than_a_shell_gives_open_files() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 40; exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_roamkey")).args(ARGS);
    command.args(["--keys", "60"]);
    let process = Process::spawn(command);
    let listen = listen_of(&process.event_named("ready"));
    let attached = (1..=60).map(|key| request_import(listen, &format!("1-{key}")));
    let links: Vec<_> = attached.flatten().collect();
    assert_eq!(links.len(), 60);
}

#[test]
fn version_and_help_go_to_stdout() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert_eq!(
        version.stdout.trim(),
        concat!("roamkey ", env!("CARGO_PKG_VERSION"))
    );
    let help = run(&["run", "--help"]);
    assert!(help.status.success());
    for option in [
        "--listen",
        "--allow-from",
        "--keys",
        "--touch",
        "--rp",
        "--ephemeral",
        "--seed",
        "--format",
    ] {
        assert!(help.stdout.contains(option), "{option}");
    }
}
