//! Connections through a DevTools front: how clients find it, that messages pass, sessions and
//! when their keys go.

use axum::http::StatusCode;
use roamkey::{front::Keys, rig::Rig};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{
    chrome::{Front, TARGET},
    place::{authenticators, listener, request, send},
};

/// Waits until a rig has so many keys.
async fn wait_for_keys(rig: &Rig, count: usize) {
    while rig.keys().await.expect("keys").len() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn addresses_in_lists_are_the_fronts_own() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let address = front.address;
    let get = |path| send(address, request(address, "GET", path, ""));
    let version = get("/json/version").await;
    assert_eq!(version.status, StatusCode::OK);
    let expected = format!("ws://{address}{TARGET}");
    assert_eq!(version.json()["webSocketDebuggerUrl"], expected);
    assert_eq!(version.json()["Browser"], "None/1.0");
    let target = get("/json/list").await.json()[0].take();
    let page = format!("{address}/devtools/page/A");
    assert_eq!(target["webSocketDebuggerUrl"], format!("ws://{page}"));
    let frontend = format!("/devtools/inspector.html?ws={page}");
    assert_eq!(target["devtoolsFrontendUrl"], frontend);
    let title = target["title"].as_str().expect("a title");
    assert!(!title.contains(&address.to_string()), "{title}");
    let other = get("/json/other?x=1").await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    assert!(other.text().ends_with("at /json/other?x=1"));
    assert!(!other.text().contains(&address.to_string()), "no list");
}

#[tokio::test]
async fn lists_name_the_front_as_its_client_does() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut request = request(front.address, "GET", "/json/version", "");
    let name = format!("localhost:{}", front.address.port());
    let headers = request.headers_mut();
    headers.insert("host", name.parse().expect("a value"));
    let version = send(front.address, request).await.json();
    let expected = format!("ws://{name}{TARGET}");
    assert_eq!(version["webSocketDebuggerUrl"], expected);
}

#[tokio::test]
async fn messages_pass_as_they_are_in_both_directions() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.client().await;
    assert_eq!(front.chrome.paths(), [TARGET]);
    let mut bytes = vec![0; 1 << 20];
    for (byte, number) in bytes.iter_mut().zip((0..=u8::MAX).cycle()) {
        *byte = number;
    }
    let said = [
        Message::text("no JSON"),
        Message::text(r#"{ "method" : "X.y","extra":[1.50, 1e3] }"#),
        Message::text(r#"{"note": "\"WebAuthn.enable\" and \u00e4"}"#),
        Message::text(r#"{"id": 1, "method": "Runtime.say", "params": "\"WebAuthn.x"} "#),
        Message::text("\u{e4}".repeat(1 << 19)),
        Message::binary(b"\0\xff".to_vec()),
        Message::binary(bytes),
    ];
    for message in &said {
        client.send(message.clone()).await;
        if message.to_text().is_ok_and(|text| text.contains("\"id\"")) {
            let answer = client.receive().await.expect("an answer");
            let expected = json!({"id": 1, "result": {"did": "Runtime.say"}});
            assert_eq!(answer, Message::text(expected.to_string()));
        }
        front.chrome.say(message.clone());
        assert_eq!(client.receive().await.as_ref(), Some(message));
        while front.chrome.seen().last() != Some(message) {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(front.chrome.seen(), said);
}

#[tokio::test]
async fn sessions_have_keys_of_their_own() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.client().await;
    for session in [Some("A"), Some("B")] {
        let enabled = client.try_call_in(session, "enable", json!({})).await;
        assert_eq!(enabled, Ok(json!({})));
    }
    let none = client.try_call("getCredentials", json!({"authenticatorId": "x"}));
    assert!(none.await.is_err(), "the connection's own is not enabled");
    let one = client.add_in(Some("A"), json!({})).await;
    let two = client.add_in(Some("B"), json!({})).await;
    assert_ne!(one, two);
    for (session, id, has) in [("A", &one, true), ("B", &one, false), ("B", &two, true)] {
        let params = json!({ "authenticatorId": id });
        let found = client
            .try_call_in(Some(session), "getCredentials", params)
            .await;
        let refused = (
            -32_602,
            "Could not find a Virtual Authenticator matching the ID".to_owned(),
        );
        let expected = match has {
            true => Ok(json!({"credentials": []})),
            false => Err(refused),
        };
        assert_eq!(found, expected, "{id} from {session}");
    }
    assert_eq!(front.chrome.seen(), [], "the browser knows nothing");
}

#[tokio::test]
async fn detached_session_takes_its_keys_and_no_other() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.client().await;
    let mut ids = Vec::new();
    for session in ["A", "B"] {
        let enabled = client.try_call_in(Some(session), "enable", json!({}));
        enabled.await.expect("it is enabled");
        ids.push(client.add_in(Some(session), json!({})).await);
    }
    let detached = json!({"method": "Target.detachedFromTarget", "params": {"sessionId": "A"}});
    let detached = Message::text(detached.to_string());
    front.chrome.say(detached.clone());
    assert_eq!(client.receive().await, Some(detached), "it passes as well");
    wait_for_keys(keys.rig(), 1).await;
    assert!(keys.rig().key(&ids[1]).await.is_ok());
    let again = client.try_call_in(Some("A"), "getCredentials", json!({}));
    assert!(again.await.is_err(), "another session of that name is new");
}

#[tokio::test]
async fn client_that_goes_takes_its_keys_and_no_other() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let (mut one, mut two) = (front.enabled().await, front.enabled().await);
    one.add(json!({})).await;
    one.add(json!({})).await;
    let stays = two.add(json!({})).await;
    drop(one);
    wait_for_keys(keys.rig(), 1).await;
    assert!(keys.rig().key(&stays).await.is_ok());
    // The newest client's browser goes, and the client sees that.
    front.chrome.close();
    wait_for_keys(keys.rig(), 0).await;
    assert_eq!(two.receive().await, None);
}

#[tokio::test]
async fn web_pages_and_foreign_names_are_refused() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    for (name, value) in [("origin", "http://127.0.0.1"), ("host", "evil.example")] {
        for upgrade in [false, true] {
            let mut request = request(front.address, "GET", TARGET, "");
            let headers = request.headers_mut();
            if upgrade {
                for (name, value) in [
                    ("connection", "Upgrade"),
                    ("upgrade", "websocket"),
                    ("sec-websocket-version", "13"),
                    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ] {
                    headers.insert(name, value.parse().expect("a value"));
                }
            }
            headers.insert(name, value.parse().expect("a value"));
            let answer = send(front.address, request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
        }
    }
    assert_eq!(front.chrome.paths(), [""; 0]);
}

#[tokio::test]
async fn wrong_handshake_is_refused_and_no_browser_says_what_to_start() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    for (upgrade, version) in [("h2c", "13"), ("websocket", "8")] {
        let mut request = request(front.address, "GET", TARGET, "");
        let headers = request.headers_mut();
        headers.insert("upgrade", upgrade.parse().expect("a value"));
        headers.insert("sec-websocket-version", version.parse().expect("a value"));
        headers.insert("sec-websocket-key", "AAAA".parse().expect("a value"));
        let answer = send(front.address, request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    // A port that was free a moment ago, and nobody listens on.
    let (closed, nobody) = listener().await;
    drop(closed);
    let address = Front::before(nobody, Keys::Real(keys.clone())).await;
    let answer = send(address, request(address, "GET", "/json/version", "")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let text = answer.text();
    assert!(text.contains(&nobody.to_string()), "{text}");
    assert!(text.contains("start the browser first"), "{text}");
    assert_eq!(keys.rig().keys().await, Ok(Vec::new()));
}

#[tokio::test]
async fn sessions_beyond_what_a_client_may_have_are_refused_and_the_others_work_on() {
    let keys = authenticators().await;
    let front = Front::with_keys(&keys).await;
    let mut client = front.client().await;
    for number in 0..roamkey::limits::Front::default().domains {
        let session = format!("S{number}");
        let enabled = client.try_call_in(Some(&session), "enable", json!({}));
        assert!(enabled.await.is_ok(), "{session}");
    }
    let more = client.try_call_in(Some("one more"), "enable", json!({}));
    assert_eq!(more.await.expect_err("it is too many").0, -32_000);
    client.add_in(Some("S7"), json!({})).await;
    assert_eq!(keys.rig().keys().await.expect("keys").len(), 1);
}
