//! What clients of a WebDriver front may take, and the driver behind it: at each bound and one
//! beyond it.

use std::{net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use roamkey::{
    front::{Authenticators, Keys},
    limits::{self, HEAD_LEN, MOST_AUTHENTICATORS},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    driver::{Front, SESSION, configuration},
    place::{Answer, authenticators, authenticators_that_arrive_later, listener, request, send},
};

/// Far more than anything takes: only a failure waits.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);
/// Nothing that a test waits for.
const LONG: Duration = Duration::from_secs(3600);

/// No time limit ends anything.
fn limits() -> limits::Front {
    limits::Front {
        head: LONG,
        pause: LONG,
        stuck: LONG,
        answer: LONG,
        ..limits::Front::default()
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("a front")
}

/// What comes until the front hangs up.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("it hangs up"); // it may not have read everything
    String::from_utf8(bytes).expect("text")
}

fn is_open(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|why| why.kind() == std::io::ErrorKind::WouldBlock)
}

async fn add(address: SocketAddr, session: &str) -> Answer {
    let path = format!("/session/{session}/webauthn/authenticator");
    let body = configuration(json!({})).to_string();
    send(address, request(address, "POST", &path, body)).await
}

fn message(answer: &Answer) -> String {
    assert_ne!(answer.status, StatusCode::OK);
    let message = answer.json()["value"]["message"].take();
    message.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn silent_connection_gives_way_to_one_more_than_there_may_be() {
    let keys = authenticators().await;
    let limits = limits::Front {
        connections: 2,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    let first = connect(front.address).await;
    assert_eq!(
        front.send("GET", "/status", "").await.status,
        StatusCode::OK
    );
    assert!(is_open(&first), "two at once");
    let second = connect(front.address).await;
    assert_eq!(
        front.send("GET", "/status", "").await.status,
        StatusCode::OK
    );
    assert_eq!(rest(first).await, "");
    drop(second);
}

#[tokio::test]
async fn client_that_says_nothing_or_half_a_head_is_hung_up_on() {
    let keys = authenticators().await;
    let limits = limits::Front {
        head: SHORT,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    let silent = connect(front.address).await;
    let mut half = connect(front.address).await;
    half.write_all(b"GET /status HTT").await.expect("room");
    assert_eq!(rest(silent).await, "");
    let half = rest(half).await;
    assert!(
        half.is_empty() || half.starts_with("HTTP/1.1 408 "),
        "{half}"
    );
}

#[tokio::test]
async fn head_that_is_too_long_is_refused() {
    let keys = authenticators().await;
    let front = Front::limited(&keys, limits()).await;
    let start = format!(
        "GET /status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX: ",
        front.address
    );
    for (length, status) in [(HEAD_LEN, "HTTP/1.1 200 "), (2 * HEAD_LEN, "HTTP/1.1 431 ")] {
        let filling = length - start.len() - 4;
        let mut stream = connect(front.address).await;
        let head = format!("{start}{}\r\n\r\n", "x".repeat(filling));
        let _ = stream.write_all(head.as_bytes()).await; // it may hang up before the end
        let answer = rest(stream).await;
        assert!(answer.starts_with(status), "{length}: {answer}");
    }
}

#[tokio::test]
async fn body_that_never_comes_fails_and_leaves_no_key() {
    let keys = authenticators().await;
    let limits = limits::Front {
        pause: SHORT,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    for (path, status) in [
        (format!("/session/{SESSION}/webauthn/authenticator"), "400"),
        ("/session".to_owned(), "400"),
        (format!("/session/{SESSION}/url"), "500"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 90\r\n\r\n{{",
            front.address
        );
        let mut slow = connect(front.address).await;
        slow.write_all(head.as_bytes()).await.expect("room");
        let answer = rest(slow).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}

#[tokio::test]
async fn command_and_capabilities_may_be_as_long_as_said() {
    let keys = authenticators().await;
    let length = configuration(json!({})).to_string().len();
    for (beyond, wish) in [(0, StatusCode::OK), (1, StatusCode::BAD_REQUEST)] {
        let limits = limits::Front {
            body_len: length - beyond,
            capabilities_len: length - beyond,
            ..limits()
        };
        let front = Front::limited(&keys, limits).await;
        assert_eq!(add(front.address, SESSION).await.status, wish);
        // The driver behind it echoes them.
        let body = configuration(json!({})).to_string();
        assert_eq!(front.send("POST", "/session", &body).await.status, wish);
    }
}

#[tokio::test]
async fn commands_on_their_way_are_bounded_even_where_clients_have_gone() {
    let (keys, machine) = authenticators_that_arrive_later().await;
    let limits = limits::Front {
        commands: 2,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    // Who gave up waits no more; the key comes all the same.
    let gave_up = timeout(SHORT, add(front.address, SESSION)).await;
    assert!(gave_up.is_err(), "nothing arrives");
    let waits = tokio::spawn(add(front.address, SESSION));
    while keys.rig().keys().await.expect("keys").len() < 2 {
        tokio::task::yield_now().await;
    }
    let refused = timeout(PATIENCE, add(front.address, SESSION)).await;
    let refused = message(&refused.expect("at once"));
    assert!(refused.contains("too many commands"), "{refused}");
    machine.let_one_in();
    machine.let_one_in();
    assert_eq!(waits.await.expect("an answer").status, StatusCode::OK);
    machine.let_one_in();
    assert_eq!(add(front.address, SESSION).await.status, StatusCode::OK);
}

#[tokio::test]
async fn sessions_with_keys_are_bounded_until_one_ends() {
    let keys = authenticators().await;
    let limits = limits::Front {
        sessions: 1,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    front.driver.begin("another");
    assert_eq!(add(front.address, SESSION).await.status, StatusCode::OK);
    assert_eq!(add(front.address, SESSION).await.status, StatusCode::OK);
    let refused = message(&add(front.address, "another").await);
    assert!(refused.contains("1 sessions have keys"), "{refused}");
    front
        .send("DELETE", &format!("/session/{SESSION}"), "")
        .await;
    assert_eq!(add(front.address, "another").await.status, StatusCode::OK);
}

#[tokio::test]
async fn session_has_so_many_authenticators_and_no_more() {
    let keys = authenticators().await;
    let front = Front::limited(&keys, limits()).await;
    let mut last = String::new();
    for _ in 0..MOST_AUTHENTICATORS {
        last = front.add(json!({})).await;
    }
    let refused = message(&add(front.address, SESSION).await);
    assert!(refused.contains("64 keys at most"), "{refused}");
    front.ask("DELETE", &format!("/{last}"), json!(null)).await;
    front.add(json!({})).await;
}

/// Asks for a WebSocket, and returns with the first line of the answer.
async fn upgrade(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = connect(address).await;
    let ask = format!(
        "GET /session/{SESSION}/se/bidi HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.expect("it is read");
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.expect("an answer");
    (stream, String::from_utf8(line.to_vec()).expect("text"))
}

#[tokio::test]
async fn tunnels_are_bounded_until_one_ends() {
    let keys = authenticators().await;
    let limits = limits::Front {
        sockets: 1,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    let (first, line) = upgrade(front.address).await;
    assert_eq!(line, "HTTP/1.1 101");
    assert_eq!(upgrade(front.address).await.1, "HTTP/1.1 500");
    drop(first);
    while upgrade(front.address).await.1 != "HTTP/1.1 101" {
        tokio::task::yield_now().await;
    }
}

/// A driver that says this to whoever asks, and nothing more.
async fn driver_that_says(answer: String) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(answer.as_bytes()).await.expect("room");
            kept.push(stream);
        }
    });
    address
}

async fn front_before(answer: String, keys: &Authenticators, limits: limits::Front) -> SocketAddr {
    let driver = driver_that_says(answer).await;
    Front::limited_before(driver, Keys::Real(keys.clone()), limits).await
}

#[tokio::test]
async fn driver_that_does_not_answer_is_given_up() {
    let keys = authenticators().await;
    let limits = limits::Front {
        answer: SHORT,
        ..limits()
    };
    let address = front_before(String::new(), &keys, limits).await;
    let failed = message(&add(address, SESSION).await);
    assert!(failed.contains("has not answered for 100ms"), "{failed}");
}

#[tokio::test]
async fn answer_of_a_driver_may_be_as_long_as_said() {
    let keys = authenticators().await;
    let body = r#"{"value": {}}"#;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    for beyond in [0, 1] {
        let limits = limits::Front {
            answer_len: body.len() - beyond,
            ..limits()
        };
        let address = front_before(format!("{head}{body}"), &keys, limits).await;
        let answer = add(address, SESSION).await;
        assert_eq!(answer.status == StatusCode::OK, beyond == 0);
    }
}
