//! What clients of a DevTools front may take, and the browser behind it: at each bound and one
//! beyond it.

use std::time::Duration;

use axum::http::StatusCode;
use roamkey::limits;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    chrome::{Front, TARGET},
    devtools::Client,
    place::{authenticators, authenticators_that_arrive_later, request, send},
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

/// The next message; `None` at the end.
async fn receive(client: &mut Client) -> Option<Message> {
    let received = tokio::time::timeout(PATIENCE, client.receive()).await;
    received.expect("something comes, or it ends")
}

/// The answer to who asks for one WebSocket more, where that is refused.
async fn status_of_one_more(front: &Front) -> StatusCode {
    let mut request = request(front.address, "GET", TARGET, "");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        let headers = request.headers_mut();
        headers.insert(name, value.parse().expect("a value"));
    }
    send(front.address, request).await.status
}

#[tokio::test]
async fn clients_are_bounded_until_one_goes() {
    let keys = authenticators().await;
    let limits = limits::Front {
        sockets: 2,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    let first = front.client().await;
    let mut second = front.enabled().await;
    let refused = status_of_one_more(&front).await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    second.add(json!({})).await;
    drop(first);
    while status_of_one_more(&front).await != StatusCode::SWITCHING_PROTOCOLS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn message_may_be_as_long_as_said_in_both_directions() {
    let keys = authenticators().await;
    let limits = limits::Front {
        message_len: 1_000,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    let longest = Message::text("x".repeat(1_000));
    let too_long = Message::text("x".repeat(1_001));
    let mut client = front.client().await;
    client.send(longest.clone()).await;
    front.chrome.say(longest.clone());
    assert_eq!(receive(&mut client).await, Some(longest.clone()));
    while front.chrome.seen() != [longest.clone()] {
        tokio::task::yield_now().await;
    }
    client.send(too_long.clone()).await;
    assert_eq!(receive(&mut client).await, None);
    assert_eq!(front.chrome.seen(), [longest]);
    let mut client = front.client().await;
    front.chrome.say(too_long);
    assert_eq!(receive(&mut client).await, None);
}

#[tokio::test]
async fn commands_of_a_session_wait_for_one_another_up_to_a_bound() {
    let (keys, machine) = authenticators_that_arrive_later().await;
    let limits = limits::Front {
        waiting: 2,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    let mut client = front.enabled().await;
    let command = |id: u32, name: &str| {
        let options = json!({"protocol": "ctap2", "transport": "usb"});
        let params = json!({ "options": options });
        let method = format!("WebAuthn.{name}");
        Message::text(json!({"id": id, "method": method, "params": params}).to_string())
    };
    client.send(command(101, "addVirtualAuthenticator")).await;
    while keys.rig().keys().await.expect("keys").is_empty() {
        tokio::task::yield_now().await;
    }
    // That one is being done, two wait, and the fourth is one too many.
    for id in 102..=104 {
        client.send(command(id, "disable")).await;
    }
    let refused = tokio::time::timeout(PATIENCE, client.receive()).await;
    let refused = refused.expect("at once").expect("an answer");
    let refused = refused.to_text().expect("text");
    assert!(
        refused.contains("\"id\":104") && refused.contains("2 commands wait already"),
        "{refused}"
    );
    machine.let_one_in();
    for id in 101..=103 {
        let answer = client.receive().await.expect("an answer");
        let answer = answer.to_text().expect("text");
        assert!(answer.contains(&format!("\"id\":{id}")), "{answer}");
    }
}

#[tokio::test]
async fn client_that_reads_nothing_loses_its_place_and_its_keys() {
    let keys = authenticators().await;
    let limits = limits::Front {
        sockets: 1,
        stuck: SHORT,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    let mut client = Client::connect(front.address, TARGET).await;
    client.call("enable", json!({})).await;
    client.add(json!({})).await;
    // More than any socket keeps.
    for _ in 0..64 {
        front.chrome.say(Message::binary(vec![0; 1 << 20]));
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !keys.rig().keys().await.expect("keys").is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "it keeps its keys");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while status_of_one_more(&front).await != StatusCode::SWITCHING_PROTOCOLS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(client);
}

#[tokio::test]
async fn silent_connection_gives_way_to_one_more_than_there_may_be() {
    let keys = authenticators().await;
    let limits = limits::Front {
        connections: 1,
        ..limits()
    };
    let front = Front::limited(&keys, limits).await;
    let mut silent = TcpStream::connect(front.address).await.expect("a front");
    silent.write_all(b"GET /json").await.expect("room");
    let version = request(front.address, "GET", "/json/version", "");
    assert_eq!(send(front.address, version).await.status, StatusCode::OK);
    let mut said = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut said)).await;
    let _ = ended.expect("it is hung up on");
    // A WebSocket is no longer a connection of these.
    let mut client = front.client().await;
    let version = request(front.address, "GET", "/json/version", "");
    assert_eq!(send(front.address, version).await.status, StatusCode::OK);
    client.call("enable", json!({})).await;
}
