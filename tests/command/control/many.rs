//! Many keys in one server: they come, are used over USB/IP, and go without a trace.

use std::{fs, thread, time::Duration};

use serde_json::json;

use super::Server;
use crate::{
    command::process::listen_of,
    support::{
        carrier::request_import,
        ctap2::{MakeCredential, SELECTION},
        ctaphid::Platform,
        host::{Linux, Windows},
    },
};

const KEYS: usize = 100;
/// Memory that a program gave back is not always the system's at once.
const TRIES: usize = 50;

/// What the process keeps in memory, in KiB.
fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let digits = line.and_then(|line| line.split_whitespace().nth(1));
    digits.expect("a size").parse().expect("a number")
}

/// Adds keys, has hosts attach and use every one while all are there, and removes them.
fn come_and_go(server: &Server, count: usize) {
    let listen = listen_of(&server.ready);
    let mut busy = Vec::new();
    for index in 0..count {
        let key = server.done("POST", "/v1/keys", Some(json!({})));
        let bus_id = key["bus_id"].as_str().expect("a bus id").to_owned();
        let link = request_import(listen, &bus_id).expect("a key that is free");
        let mut platform = match index % 2 {
            0 => Platform::open(Box::new(Linux::attach(link))),
            _ => Platform::open(Box::new(Windows::attach(link))),
        };
        let channel = platform.init();
        busy.push((bus_id, platform, channel));
    }
    for (_, platform, channel) in &mut busy {
        platform.ctap2(*channel, SELECTION, None).expect("a touch");
        let request = MakeCredential::discoverable("example.com", b"account");
        platform.make(*channel, &request).expect("a passkey");
    }
    for (bus_id, ..) in &busy {
        let lost = server.done("DELETE", &format!("/v1/keys/{bus_id}"), None);
        assert_eq!(lost["passkeys"].as_array().map(Vec::len), Some(1));
    }
    let keys = server.done("GET", "/v1/keys", None);
    assert_eq!(keys["keys"], json!([]));
}

#[test]
fn hundred_keys_come_and_go_and_leave_no_memory_behind() {
    let server = Server::start(&["--touch", "auto", "--keys", "0"]);
    // What is loaded at the first use of anything is no key's.
    come_and_go(&server, 1);
    let process = server.process.id();
    let before = resident_kib(process);
    come_and_go(&server, KEYS);
    let limit = before + before / 10;
    let mut after = resident_kib(process);
    for _ in 0..TRIES {
        if after <= limit {
            break;
        }
        thread::sleep(Duration::from_millis(100));
        after = resident_kib(process);
    }
    println!("resident: {before} KiB before, {after} KiB after {KEYS} keys");
    assert!(after <= limit, "{before} KiB before, {after} KiB after");
}
