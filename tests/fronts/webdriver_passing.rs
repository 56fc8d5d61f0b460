//! What passes a WebDriver front: every other command, both ways and byte for byte, and who is
//! not listened to.

use axum::{body::Body, http::StatusCode};
use roamkey::front::Keys;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    driver::{Front, SESSION, configuration},
    place::{authenticators, request, send},
};

#[tokio::test]
async fn other_commands_reach_the_driver_byte_for_byte_and_come_back() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let long = "\u{e4}".repeat(500_000);
    for (method, path, body, wish) in [
        ("POST", "/session", r#"{ "capabilities" : {} }"#, "200"),
        ("GET", "/status?a=%2F&b=%C3%A4&b", "", "503"),
        (
            "PUT",
            "/session/x/element/e%20f/value",
            "\0\x01 no JSON",
            "418",
        ),
        ("DELETE", "/session/x/cookie/", "", "200"),
        ("GET", "/wd/hub/session/x/title", "", "404"),
        ("PATCH", "/", long.as_str(), "201"),
        ("GET", "/session/x/webauthn/authenticators", "", "404"),
    ] {
        let mut request = request(front.address, method, path, body.to_owned());
        let headers = request.headers_mut();
        headers.insert("x-wish", wish.parse().expect("a value"));
        headers.insert("authorization", "Basic YTpi".parse().expect("a value"));
        headers.append("x-many", "one".parse().expect("a value"));
        headers.append("x-many", "two".parse().expect("a value"));
        headers.insert("x-hop", "here alone".parse().expect("a value"));
        headers.insert("te", "trailers".parse().expect("a value"));
        headers.insert("connection", "x-hop, keep-alive".parse().expect("a value"));
        let answer = send(front.address, request).await;
        assert_eq!(answer.status.as_str(), wish);
        assert_eq!(answer.body, body.as_bytes());
        assert_eq!(answer.headers.get_all("x-driver").iter().count(), 2);
        assert!(!answer.headers.contains_key("keep-alive"));
        let seen = front.driver.seen().pop().expect("it came");
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, path));
        assert_eq!(seen.body, body.as_bytes());
        assert_eq!(seen.headers["authorization"], "Basic YTpi");
        let many: Vec<_> = seen.headers.get_all("x-many").iter().collect();
        assert_eq!(many, ["one", "two"]);
        for hop in ["x-hop", "te", "connection"] {
            assert!(!seen.headers.contains_key(hop), "{hop}");
        }
        assert_ne!(seen.headers["host"], front.address.to_string());
    }
}

#[tokio::test]
async fn body_of_unknown_length_passes() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let parts = ["{", "\"a\"", ": 1}"].map(Ok::<_, std::io::Error>);
    let body = Body::from_stream(futures_util::stream::iter(parts));
    let request = request(front.address, "POST", "/session/x/url", body);
    let answer = send(front.address, request).await;
    assert_eq!(answer.text(), r#"{"a": 1}"#);
}

#[tokio::test]
async fn commands_behind_the_old_prefix_are_the_same() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let path = format!("/wd/hub/session/{SESSION}/webauthn/authenticator");
    let body = configuration(json!({})).to_string();
    let made = front.send("POST", &path, &body).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    let id = made.json()["value"].as_str().expect("an id").to_owned();
    assert!(keys.rig().key(&id).await.is_ok());
    assert_eq!(
        made.headers["content-type"],
        "application/json; charset=utf-8"
    );
    assert_eq!(made.headers["cache-control"], "no-cache");
}

#[tokio::test]
async fn web_pages_and_foreign_names_are_refused_and_nothing_passes() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let add = format!("/session/{SESSION}/webauthn/authenticator");
    for (name, value) in [
        ("origin", "http://127.0.0.1"),
        ("origin", "null"),
        ("host", "evil.example"),
        ("host", "localhost.evil.example:4444"),
    ] {
        for path in ["/status", &add] {
            let body = configuration(json!({})).to_string();
            let mut request = request(front.address, "POST", path, body);
            let headers = request.headers_mut();
            headers.insert(name, value.parse().expect("a value"));
            let answer = send(front.address, request).await;
            assert!(answer.status.is_client_error(), "{name}: {value}");
            assert_eq!(answer.json()["value"]["error"], "invalid argument");
        }
    }
    assert_eq!(front.driver.commands(), [""; 0]);
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}

/// Reads a response's head from a connection.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a response"));
    }
    String::from_utf8(head).expect("text").to_ascii_lowercase()
}

#[tokio::test]
async fn upgraded_connection_is_a_tunnel() {
    let keys = Keys::Real(authenticators().await);
    let front = Front::start(keys).await;
    let mut stream = TcpStream::connect(front.address).await.expect("a front");
    let ask = format!(
        "GET /session/{SESSION}/se/bidi HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        front.address
    );
    stream.write_all(ask.as_bytes()).await.expect("it is read");
    let head = head(&mut stream).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: websocket"), "{head}");
    let seen = front.driver.seen().pop().expect("it came");
    assert_eq!(seen.target, format!("/session/{SESSION}/se/bidi"));
    assert_eq!(
        seen.headers["sec-websocket-key"],
        "dGhlIHNhbXBsZSBub25jZQ=="
    );
    for said in ["frames of any kind", "and more"] {
        stream.write_all(said.as_bytes()).await.expect("a tunnel");
        let mut heard = vec![0; said.len()];
        stream.read_exact(&mut heard).await.expect("an echo");
        assert_eq!(heard, said.to_ascii_uppercase().as_bytes());
    }
}
