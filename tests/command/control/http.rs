//! HTTP as a client of the control plane speaks it: one request a connection.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// Far more than anything takes: only a failure waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) json: Value,
}

/// Asks on the socket.
pub(super) fn on_socket(socket: &Path, method: &str, path: &str, body: Option<Value>) -> Answer {
    let stream = UnixStream::connect(socket).expect("a server");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    ask(stream, method, path, "Host: roamkey\r\n", body)
}

/// Asks over TCP, with these lines in the head.
pub(super) fn over_tcp(address: SocketAddr, method: &str, path: &str, lines: &str) -> Answer {
    let stream = TcpStream::connect(address).expect("a server");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    ask(stream, method, path, lines, None)
}

fn ask(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    lines: &str,
    body: Option<Value>,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{lines}");
    if let Some(body) = body {
        let body = body.to_string();
        let length = body.len();
        request.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    } else {
        request.push_str("\r\n");
    }
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    answer(&text)
}

/// Takes an answer apart.
pub(super) fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let status = head.split(' ').nth(1).expect("a status");
    Answer {
        status: status.parse().expect("a number"),
        head: head.to_owned(),
        json: serde_json::from_str(body).unwrap_or_default(),
    }
}
