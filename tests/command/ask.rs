//! `--touch ask`: a person answers on stdin.

use std::{net::SocketAddr, time::Duration};

use super::process::{Process, attach};
use crate::support::{
    ctap2::{GetAssertion, MakeCredential, RESET, SELECTION, status},
    ctaphid::command,
};

const RP: &str = "example.com";

/// A server that asks, in words.
fn start() -> (Process, SocketAddr) {
    let args = "run --ephemeral --touch ask --listen 127.0.0.1:0";
    let args: Vec<&str> = args.split(' ').collect();
    let process = Process::start(&args);
    let first = process.line();
    let address = first.trim_end_matches(':').rsplit(' ').next();
    let address = address.and_then(|address| address.parse().ok());
    (process, address.expect("an address"))
}

#[test]
fn prompt_names_operation_site_and_account_and_y_approves() {
    let (mut process, address) = start();
    let mut platform = attach(address);
    let channel = platform.init();
    let request = MakeCredential::discoverable(RP, b"id");
    platform.start_make(channel, &request);
    let prompt = process.line_with("Touch 1-1");
    assert!(
        prompt.contains("register with example.com as alice"),
        "{prompt}"
    );
    assert!(prompt.ends_with("y or n"), "{prompt}");
    process.answer("y");
    let made = platform.finish_make(channel, &request);
    let made = made.expect("a credential");
    process.line_with("approved: register");

    let request = GetAssertion::new(RP, &[]);
    platform.start_get(channel, &request);
    let prompt = process.line_with("Touch 1-1");
    assert!(
        prompt.contains("sign in to example.com as alice"),
        "{prompt}"
    );
    process.answer("yes");
    let asserted = platform.finish_get(channel, &request);
    asserted.expect("an assertion").verify(RP, &made.public_key);

    for (command, words) in [
        (SELECTION, "use this key"),
        (RESET, "ERASE every credential"),
    ] {
        platform.start(channel, command, None);
        let prompt = process.line_with("Touch 1-1");
        assert!(prompt.contains(words), "{prompt}");
        process.answer("");
        platform.finish(channel).expect("approved");
    }
}

#[test]
fn n_denies() {
    let (mut process, address) = start();
    let mut platform = attach(address);
    let channel = platform.init();
    let request = MakeCredential::new(RP, b"id");
    platform.start_make(channel, &request);
    process.line_with("Touch 1-1");
    process.answer("n");
    let outcome = platform.finish_make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED));
    process.line_with("refused: register");
}

#[test]
fn prompt_is_withdrawn_on_cancel_and_its_answer_comes_too_late() {
    let (mut process, address) = start();
    let mut platform = attach(address);
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let prompt = process.line_with("Touch 1-1");
    platform.send(channel, command::CANCEL, &[]);
    let outcome = platform.finish(channel).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    let withdrawn = process.line_with("no longer needed");
    assert!(withdrawn.contains("cancelled"), "{withdrawn}");
    let number = |line: &str| line.split(']').next().map(str::to_owned);
    assert_eq!(number(&prompt), number(&withdrawn), "which one");
    // A person who was too slow does not answer the next request by that.
    process.answer("1y");
    platform.start(channel, SELECTION, None);
    process.line_with("Touch 1-1");
    assert!(process.is_silent_for(Duration::from_millis(300)));
    process.answer("2y");
    platform.finish(channel).expect("approved");
}

#[test]
fn control_characters_of_a_site_do_not_reach_the_terminal() {
    let (mut process, address) = start();
    let mut platform = attach(address);
    let channel = platform.init();
    let mut request = MakeCredential::new("example.com\u{1b}[2J\n[9] Touch", b"id");
    request.user_name = Some("a\rb\u{7}");
    platform.start_make(channel, &request);
    let prompt = process.line_with("register with example.com");
    assert!(!prompt.chars().any(char::is_control), "{prompt:?}");
    assert!(prompt.ends_with("y or n"), "one line: {prompt:?}");
    process.answer("n");
    platform.finish(channel).expect_err("denied");
}

#[test]
fn end_of_stdin_leaves_the_server_running() {
    let (mut process, address) = start();
    process.close_stdin();
    let mut platform = attach(address);
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    process.line_with("Touch 1-1");
    platform.send(channel, command::CANCEL, &[]);
    let outcome = platform.finish(channel).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
}
