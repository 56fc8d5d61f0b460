//! Where no real key can be: the browser's own authenticators behind both fronts, and a control
//! plane that looks at and changes them.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use axum::http::StatusCode;
use roamkey::{
    control::{Control, Options},
    front::{Browser, Keys},
};
use serde_json::{Value, json};

use super::{
    chrome,
    devtools::{Client, credential, options},
    driver::{self, SESSION},
    place::{hex, private_key, request, rig, send, standard, url, with},
};

/// A control plane for a browser, in a directory of its own.
struct Plane {
    control: Option<Control>,
    address: SocketAddr,
    token: String,
    directory: PathBuf,
}

impl Plane {
    async fn start(browser: &Browser) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("roamkey-fronts-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).expect("a new directory");
        let options = Options {
            tcp: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            directory: Some(directory.join("run")),
            browser: Some(browser.clone()),
            ..Options::default()
        };
        let control = Control::start(rig().await, options).await;
        let control = control.expect("nothing is in the way");
        let places = control.places();
        let token = places.token_file.expect("a token");
        Self {
            control: Some(control),
            address: places.tcp.expect("an address"),
            token: std::fs::read_to_string(token).expect("a token"),
            directory,
        }
    }

    /// A request: its status and JSON.
    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let text = match &body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let mut request = request(self.address, method, path, text);
        let headers = request.headers_mut();
        let token = format!("Bearer {}", self.token.trim());
        headers.insert("authorization", token.parse().expect("a value"));
        if !body.is_null() {
            let json = "application/json".parse().expect("a value");
            headers.insert("content-type", json);
        }
        let answer = send(self.address, request).await;
        let json = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status.as_u16(), json)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.control = None;
        // What stays is in the way of nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A client of a DevTools front with an authenticator in the browser, and the planes' side.
async fn devtools(session: Option<&str>) -> (Plane, chrome::Front, Client) {
    let browser = Browser::default();
    let front = chrome::Front::start(Keys::Browsers(browser.clone())).await;
    let mut client = front.client().await;
    let enabled = client.try_call_in(session, "enable", json!({})).await;
    assert_eq!(enabled, Ok(json!({})));
    let id = client.add_in(session, json!({})).await;
    assert_eq!(id, "browsers-1");
    (Plane::start(&browser).await, front, client)
}

/// A passkey as the control plane takes it.
fn passkey(changes: Value) -> Value {
    let usual = json!({
        "rp_id": "example.com",
        "user_handle": "07",
        "private_key": standard(&private_key()),
        "id": "0102",
    });
    with(usual, changes)
}

#[tokio::test]
async fn devtools_commands_reach_the_browser_with_their_session() {
    let (plane, front, mut client) = devtools(Some("A")).await;
    let put = json!({"authenticatorId": "browsers-1", "credential": credential(json!({}))});
    let done = client.try_call_in(Some("A"), "addCredential", put.clone());
    assert_eq!(done.await, Ok(json!({})));
    let unknown = json!({"authenticatorId": "other"});
    let refused = client.try_call_in(Some("A"), "getCredentials", unknown.clone());
    let theirs = (-32_602, "the browser has none such".to_owned());
    assert_eq!(refused.await, Err(theirs));
    let expected = [
        ("enable", json!({})),
        (
            "addVirtualAuthenticator",
            json!({"options": options(json!({}))}),
        ),
        ("addCredential", put),
        ("getCredentials", unknown),
    ];
    let expected = expected.map(|(name, params)| (name.to_owned(), Some("A".to_owned()), params));
    assert_eq!(front.chrome.commands(), expected);
    assert_eq!(plane.get("/v1/server").await["backend"], "browser");
}

#[tokio::test]
async fn control_plane_sees_and_changes_the_browsers_authenticators() {
    let (plane, front, mut client) = devtools(Some("A")).await;
    let keys = plane.get("/v1/keys").await;
    let key = &keys["keys"][0];
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(key["bus_id"], "browsers-1");
    assert_eq!(key["profile"], "a virtual authenticator of the browser");
    assert_eq!(key["passkeys"], 0);
    let base = "/v1/keys/browsers-1";
    assert_eq!(&plane.get(base).await, key);
    let passkeys = format!("{base}/passkeys");
    let (status, made) = plane.ask("POST", &passkeys, passkey(json!({}))).await;
    assert_eq!((status, &made["id"]), (201, &json!("0102")), "{made}");
    let ours = json!({"authenticatorId": "browsers-1"});
    let found = client.try_call_in(Some("A"), "getCredentials", ours.clone());
    let found = found.await.expect("credentials")["credentials"][0].take();
    assert_eq!(found["credentialId"], standard(&[1, 2]));
    assert_eq!(found["privateKey"], standard(&private_key()));
    let listed = plane.get(&passkeys).await;
    assert_eq!(listed["passkeys"][0]["rp_id"], "example.com");
    assert_eq!(listed["passkeys"][0]["user_handle"], "07");
    let one = format!("{passkeys}/0102");
    assert_eq!(plane.ask("DELETE", &one, Value::Null).await.0, 200);
    assert_eq!(plane.get(&passkeys).await["passkeys"], json!([]));
    let (status, _) = plane.ask("DELETE", &one, Value::Null).await;
    assert_eq!(status, 400);
    let (status, made) = plane.ask("POST", "/v1/keys", json!({})).await;
    assert_eq!(
        (status, &made["bus_id"]),
        (201, &json!("browsers-2")),
        "{made}"
    );
    assert_eq!(plane.ask("DELETE", base, Value::Null).await.0, 200);
    let left = plane.get("/v1/keys").await;
    assert_eq!(left["keys"][0]["bus_id"], "browsers-2");
    assert_eq!(left["keys"].as_array().map(Vec::len), Some(1));
    let sessions = front.chrome.commands().into_iter();
    assert!(
        sessions
            .into_iter()
            .all(|(_, session, _)| session.as_deref() == Some("A"))
    );
    // Those of a client that goes are gone with it.
    drop(client);
    while plane.get("/v1/keys").await["keys"] != json!([]) {
        tokio::task::yield_now().await;
    }
    let (status, problem) = plane.ask("POST", "/v1/keys", json!({})).await;
    assert_eq!(status, 409);
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("begin one first"), "{detail}");
}

#[tokio::test]
async fn touch_policy_and_faults_go_through_the_session() {
    let (plane, front, _client) = devtools(None).await;
    let policy = "/v1/keys/browsers-1/touch-policy";
    let ask = json!({"touch": "ask", "verify": "pass"});
    let (status, set) = plane.ask("PUT", policy, ask).await;
    assert_eq!((status, &set["touch"]), (200, &json!("ask")));
    assert_eq!(plane.get(policy).await, set);
    let faults = "/v1/keys/browsers-1/faults";
    let bad = json!({"fault": "bad-signature", "always": true});
    assert_eq!(plane.ask("POST", faults, bad).await.0, 201);
    let armed = plane.get(faults).await;
    assert_eq!(armed["faults"][0]["fault"], "bad-signature");
    assert_eq!(plane.ask("DELETE", faults, Value::Null).await.0, 204);
    assert_eq!(plane.get(faults).await["faults"], json!([]));
    let id = "browsers-1";
    let bits = |bogus| {
        json!({"authenticatorId": id, "isBogusSignature": bogus, "isBadUV": false,
            "isBadUP": false})
    };
    let expected = [
        (
            "setAutomaticPresenceSimulation",
            json!({"authenticatorId": id, "enabled": false}),
        ),
        (
            "setUserVerified",
            json!({"authenticatorId": id, "isUserVerified": true}),
        ),
        ("setResponseOverrideBits", bits(true)),
        ("setResponseOverrideBits", bits(false)),
    ];
    let said = front.chrome.commands().into_iter();
    let said = said.filter(|(name, ..)| name.starts_with("set"));
    let said: Vec<_> = said.map(|(name, _, params)| (name, params)).collect();
    let expected = expected.map(|(name, params)| (name.to_owned(), params));
    assert_eq!(said, expected);
}

/// Asks what no browser has, and that the answer says so.
async fn assert_unsupported(plane: &Plane, method: &str, path: &str, body: Value) {
    let (status, problem) = plane.ask(method, path, body).await;
    assert_eq!(status, 501, "{method} {path}: {problem}");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.starts_with("unsupported: "), "{detail}");
    assert!(detail.contains("--require-backend"), "{detail}");
}

#[tokio::test]
async fn path_that_no_browser_has_is_unsupported() {
    let (plane, front, _client) = devtools(None).await;
    let before = front.chrome.commands().len();
    for (method, path, body) in [
        ("GET", "keys/browsers-1/pin", Value::Null),
        ("PUT", "keys/browsers-1/pin", json!({"new_pin": "1234"})),
        ("POST", "keys/browsers-1/unplug", Value::Null),
        ("GET", "events", Value::Null),
        ("GET", "no/such/path", Value::Null),
        ("PATCH", "keys", Value::Null),
        ("POST", "keys", json!({"overrides": {"exportable": true}})),
        ("POST", "keys", json!({"profile": "tiny"})),
        ("POST", "keys", json!({"stored": true, "name": "one"})),
    ] {
        assert_unsupported(&plane, method, &format!("/v1/{path}"), body).await;
    }
    let (status, _) = plane.ask("GET", "/v1/keys/other", Value::Null).await;
    assert_eq!(status, 400);
    let after = front.chrome.commands().len();
    assert_eq!(after, before, "the browser heard nothing");
}

#[tokio::test]
async fn fault_and_policy_that_no_browser_has_are_unsupported() {
    let (plane, front, _client) = devtools(None).await;
    let before = front.chrome.commands().len();
    let faults = "/v1/keys/browsers-1/faults";
    for changes in [
        json!({"fault": "status", "parameter": "1"}),
        json!({"fault": "drop-report"}),
        json!({"always": false}),
        json!({"operation": "get-assertion"}),
        json!({"rp": "example.com"}),
    ] {
        let fault = with(json!({"fault": "bad-signature", "always": true}), changes);
        assert_unsupported(&plane, "POST", faults, fault).await;
    }
    let policy = "/v1/keys/browsers-1/touch-policy";
    for set in [
        json!({"touch": "deny"}),
        json!({"touch": "delay", "delay_ms": 1}),
        json!({"touch": "auto", "script": "deny"}),
        json!({"touch": "auto", "sites": ["example.com"]}),
        json!({"touch": "auto", "verify": "ask"}),
    ] {
        assert_unsupported(&plane, "PUT", policy, set).await;
    }
    let after = front.chrome.commands().len();
    assert_eq!(after, before, "the browser heard nothing");
}

#[tokio::test]
async fn webdriver_commands_reach_the_driver_and_the_control_plane_its_keys() {
    let browser = Browser::default();
    let front = driver::Front::start(Keys::Browsers(browser.clone())).await;
    let plane = Plane::start(&browser).await;
    let id = front.add(json!({"hasResidentKey": true})).await;
    assert_eq!(id, "drivers-1");
    let refused = front.try_ask("DELETE", "/other", Value::Null).await;
    assert_eq!(refused, Err((400, "invalid argument".to_owned())));
    assert_eq!(
        plane.get("/v1/keys").await["keys"][0]["bus_id"],
        id.as_str()
    );
    let passkeys = format!("/v1/keys/{id}/passkeys");
    let (status, made) = plane.ask("POST", &passkeys, passkey(json!({}))).await;
    assert_eq!(status, 201, "{made}");
    let given = front.driver.credentials(&id).expect("it has it");
    assert_eq!(given[0]["credentialId"], url(&[1, 2]));
    assert_eq!(given[0]["userHandle"], url(&[7]));
    let listed = plane.get(&passkeys).await;
    assert_eq!(listed["passkeys"][0]["id"], hex(&[1, 2]));
    let verify = json!({"touch": "auto", "verify": "pass"});
    let policy = format!("/v1/keys/{id}/touch-policy");
    assert_eq!(plane.ask("PUT", &policy, verify).await.0, 200);
    let seen = front.driver.seen().pop().expect("a command");
    assert!(
        seen.target.ends_with(&format!("/{id}/uv")),
        "{}",
        seen.target
    );
    assert_eq!(seen.body, br#"{"isUserVerified":true}"#);
    let faults = format!("/v1/keys/{id}/faults");
    let fault = json!({"fault": "bad-signature", "always": true});
    assert_eq!(plane.ask("POST", &faults, fault).await.0, 501);
    let ask = json!({"touch": "ask"});
    assert_eq!(plane.ask("PUT", &policy, ask).await.0, 501);
    let (_, made) = plane.ask("POST", "/v1/keys", json!({})).await;
    assert_eq!(made["bus_id"], "drivers-2");
    front.ask("DELETE", &format!("/{id}"), Value::Null).await;
    assert_eq!(
        plane.get("/v1/keys").await["keys"][0]["bus_id"],
        "drivers-2"
    );
    let path = format!("/session/{SESSION}");
    assert_eq!(front.send("DELETE", &path, "").await.status, StatusCode::OK);
    assert_eq!(plane.get("/v1/keys").await["keys"], json!([]));
}

#[tokio::test]
async fn authenticators_of_sessions_that_end_are_gone_from_the_control_plane() {
    let (plane, _front, mut client) = devtools(Some("A")).await;
    let off = client.try_call_in(Some("A"), "disable", json!({})).await;
    assert_eq!(off, Ok(json!({})));
    assert_eq!(plane.get("/v1/keys").await["keys"], json!([]));
    let browser = Browser::default();
    let front = driver::Front::start(Keys::Browsers(browser.clone())).await;
    let plane = Plane::start(&browser).await;
    front.add(json!({})).await;
    front.driver.lose(SESSION);
    // Time that the front looks after sessions in, and nobody waits.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(20)).await;
    tokio::time::resume();
    while plane.ask("GET", "/v1/keys", Value::Null).await.1["keys"] != json!([]) {
        tokio::task::yield_now().await;
    }
}
