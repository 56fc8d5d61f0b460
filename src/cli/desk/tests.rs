//! The client against a server of a few canned answers.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Running, client::Ask, place::Address};
use crate::cli::Failure;

/// Answers one request with these bytes; the request's text comes back.
fn answering(answer: Vec<u8>) -> (Running, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        let mut bytes = [0; 1024];
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = stream.read(&mut bytes).expect("a request");
            request.extend_from_slice(&bytes[..count]);
        }
        let _ = stream.write_all(&answer); // it may have heard enough
        String::from_utf8(request).expect("a text")
    });
    let token = Zeroizing::new("5ecret".to_owned());
    let running = Running::at(Address::Port(address, token)).expect("a runtime");
    (running, server)
}

fn text(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

fn failed(answer: Vec<u8>, ask: Ask) -> String {
    let (running, server) = answering(answer);
    let (Failure::Usage(why) | Failure::Failed(why)) =
        running.ask::<Value>(ask).expect_err("no good answer");
    assert!(!why.contains("5ecret"), "{why}");
    let _ = server.join(); // it may still have had something to say
    why
}

#[test]
fn request_has_token_host_and_encoded_names() {
    let (running, server) = answering(text("200 OK", r#"{"passkeys": [1]}"#));
    let ask = Ask::get(["keys", "a b/ü", "passkeys"]).with("rp", Some("x&y"));
    let listed: Vec<u32> = running.list(ask, "passkeys").expect("a list");
    assert_eq!(listed, [1]);
    let request = server.join().expect("a request");
    let target = "GET /v1/keys/a%20b%2F%C3%BC/passkeys?rp=x%26y HTTP/1.1\r\n";
    assert!(request.starts_with(target), "{request}");
    assert!(
        request.contains("authorization: Bearer 5ecret\r\n"),
        "{request}"
    );
    let host = running.name();
    let host = host.strip_prefix("http://").expect("an address");
    assert!(request.contains(&format!("host: {host}\r\n")), "{request}");
}

#[test]
fn problem_is_its_sentence_and_mistakes_are_usage() {
    let problem = json!({"title": "Conflict", "detail": "there is one already"}).to_string();
    let why = failed(text("409 Conflict", &problem), Ask::get(["keys"]));
    assert_eq!(why, "there is one already");
    let (running, _server) = answering(text("400 Bad Request", &problem));
    let refused = running.ask::<Value>(Ask::get(["keys"]));
    assert!(matches!(refused, Err(Failure::Usage(_))));
    let why = failed(text("401 Unauthorized", &problem), Ask::get(["keys"]));
    assert!(why.contains("--token-file FILE"), "{why}");
    let why = failed(text("404 Not Found", "<html>"), Ask::get(["keys"]));
    assert!(why.contains("is that a roamkey?"), "{why}");
}

#[test]
fn answer_that_is_none_is_an_error_within_its_limits() {
    let short = || Ask::get(["keys"]).within(Duration::from_millis(200));
    let why = failed(text("200 OK", "no JSON"), short());
    assert!(why.contains("cannot be read"), "{why}");
    let why = failed(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), short());
    assert!(why.contains("cannot be read"), "{why}");
    let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec();
    let why = failed(endless, short());
    assert!(
        why.contains("cannot be read") || why.contains("no answer"),
        "{why}"
    );
}

#[test]
fn nobody_there_says_how_to_start_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let running = Running::at(Address::Port(address, Zeroizing::default())).expect("a runtime");
    let Err(Failure::Failed(why)) = running.server() else {
        panic!("nobody listens");
    };
    assert!(why.contains("`roamkey run`"), "{why}");
}

#[cfg(target_os = "linux")]
#[test]
fn socket_is_handed_over_for_the_urbs_of_a_key() {
    use crate::{
        control::{Control, Options},
        presence::Policy,
        rig::{Backend, NewKey, Rig, Setup},
    };
    use roamkey_transport::usbip::Exports;

    let directory = std::env::temp_dir().join(format!("roamkey-desk-{}", std::process::id()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let control = runtime.block_on(async {
        let backend = Backend::UsbIp {
            exports: Exports::new(),
            listen: None,
            attach: false,
        };
        let rig = Rig::start(Setup::new(backend, Policy::auto())).await;
        let rig = rig.expect("a rig");
        rig.add_key(NewKey::default()).await.expect("a key");
        let options = Options {
            directory: Some(directory.clone()),
            ..Options::default()
        };
        Control::start(rig, options).await.expect("a control plane")
    });
    let socket = control.places().socket.clone().expect("a socket");
    let running = Running::at(Address::Socket(socket)).expect("a runtime");
    let (stream, attached) = running.take_usbip("1-1").expect("a stream");
    assert_eq!(attached.speed, 2, "full speed");
    assert!(running.key("1-1").expect("the key").host.is_some());
    let Err(Failure::Failed(busy)) = running.take_usbip("1-1") else {
        panic!("one host has it");
    };
    assert!(!busy.is_empty());
    drop(stream);
    let _ = std::fs::remove_dir_all(directory); // what stays is in nobody's way
}
