//! What is let in, what is understood, and how refusals look.

use std::collections::BTreeSet;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::super::{guard::Caller, openapi, routes};
use super::*;

const PORT: u16 = 4711;
const ME: &str = "127.0.0.1:4711";

struct Server {
    router: Router,
    token: String,
    caller: Caller,
    _end: watch::Sender<bool>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
}

impl Server {
    async fn tcp() -> Self {
        let token = Token::random().unwrap();
        let text = token.text().to_owned();
        Self::new(Door::of_tcp(PORT, token), Caller::Tcp, text).await
    }

    async fn socket(user: Option<u32>) -> Self {
        Self::new(Door::of_socket(), Caller::Socket(user), String::new()).await
    }

    async fn new(door: Door, caller: Caller, token: String) -> Self {
        let limits = Limits {
            body: Duration::from_millis(50),
            body_len: 1_000,
            ..Limits::default()
        };
        let (app, end) = app(limits).await;
        Self {
            router: routes::router(app, Arc::new(door)),
            token,
            caller,
            _end: end,
        }
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(self.caller);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    /// A request with what it needs to get in.
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, ME)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    /// GET with these headers alone.
    async fn get(&self, uri: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

/// It is a problem with this status, and says so.
fn assert_refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.json);
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "application/problem+json"
    );
    assert_eq!(answer.json["status"], status);
    assert_eq!(answer.json["type"], "about:blank");
    assert!(!answer.json["detail"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn tcp_without_the_token_is_refused_before_routing() {
    let server = Server::tcp().await;
    let wrong = format!("Bearer {}", "0".repeat(64));
    let cut = format!("Bearer {}", server.token.get(..63).unwrap());
    let basic = format!("Basic {}", server.token);
    for path in ["/v1/server", "/nowhere"] {
        assert_refused(&server.get(path, &[("host", ME)]).await, 401);
        for brought in [&wrong, &cut, &basic, "", "Bearer "] {
            let headers = [("host", ME), ("authorization", brought)];
            let answer = server.get(path, &headers).await;
            assert_refused(&answer, 401);
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
        }
    }
    let answer = server.ask("GET", "/v1/server", None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json["keys"], 1);
}

#[tokio::test]
async fn two_tokens_in_one_request_are_refused() {
    let server = Server::tcp().await;
    let right = format!("Bearer {}", server.token);
    let headers = [
        ("host", ME),
        ("authorization", &right),
        ("authorization", "Bearer x"),
    ];
    assert_refused(&server.get("/v1/server", &headers).await, 401);
}

#[tokio::test]
async fn name_that_is_not_this_machine_is_refused_with_the_token() {
    let server = Server::tcp().await;
    let token = format!("Bearer {}", server.token);
    let token = ("authorization", token.as_str());
    let foreign = [
        "evil.example:4711",
        "127.0.0.1",
        "127.0.0.1:80",
        "localhost.evil.example:4711",
        "127.0.0.1:4711.evil.example",
        "",
    ];
    for host in foreign {
        let answer = server.get("/v1/server", &[("host", host), token]).await;
        assert_refused(&answer, 403);
    }
    assert_refused(&server.get("/v1/server", &[token]).await, 403);
    let twice = [("host", ME), ("host", "evil.example:4711"), token];
    assert_refused(&server.get("/v1/server", &twice).await, 403);
    let absolute = "http://evil.example:4711/v1/server";
    assert_refused(&server.get(absolute, &[("host", ME), token]).await, 403);
    for host in ["localhost:4711", "[::1]:4711", "LocalHost:4711"] {
        let answer = server.get("/v1/server", &[("host", host), token]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn web_page_is_refused_on_tcp_and_socket() {
    for server in [Server::tcp().await, Server::socket(Some(0)).await] {
        let token = format!("Bearer {}", server.token);
        let page = [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ];
        for header in page {
            let headers = [("host", ME), ("authorization", &token), header];
            assert_refused(&server.get("/v1/server", &headers).await, 403);
        }
        let typed = [
            ("host", ME),
            ("authorization", &token),
            ("sec-fetch-site", "none"),
        ];
        assert_eq!(server.get("/v1/server", &typed).await.status, 200);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn socket_is_for_its_user_and_root_alone() {
    let me = rustix::process::geteuid().as_raw();
    for user in [Some(me), Some(0)] {
        let server = Server::socket(user).await;
        let answer = server.get("/v1/server", &[("host", "anything")]).await;
        assert_eq!(answer.status, 200);
    }
    for user in [Some(me + 1), Some(u32::MAX), None] {
        let server = Server::socket(user).await;
        assert_refused(&server.get("/v1/server", &[]).await, 403);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = Server::tcp().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/keys/",
        "/v2/keys",
        "/v1/keys/1-1/nothing",
    ] {
        assert_refused(&server.ask("GET", path, None).await, 404);
    }
    let answer = server.ask("DELETE", "/v1/keys", None).await;
    assert_refused(&answer, 405);
    let allow = answer.headers[header::ALLOW].to_str().unwrap();
    let allowed: BTreeSet<_> = allow.split(',').map(str::trim).collect();
    assert_eq!(allowed, BTreeSet::from(["GET", "HEAD", "POST"]));
    assert_refused(&server.ask("GET", "/v1/keys/9-9", None).await, 404);
    assert_refused(&server.ask("GET", "/v1/keys/%ff", None).await, 400);
}

#[tokio::test]
async fn body_that_is_not_as_described_is_refused() {
    let server = Server::tcp().await;
    let post = || {
        Request::post("/v1/keys")
            .header(header::HOST, ME)
            .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
    };
    let json = || post().header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    let plain = post().header(header::CONTENT_TYPE, "text/plain");
    for request in [post(), plain] {
        let request = request.body(Body::from("{}")).unwrap();
        assert_refused(&server.send(request).await, 415);
    }
    for body in [
        "",
        "{",
        "[]",
        "{} {}",
        r#"{"unknown": 1}"#,
        r#"{"stored": 1}"#,
    ] {
        let request = json().body(Body::from(body)).unwrap();
        assert_refused(&server.send(request).await, 400);
    }
    for length in [1_001, 4_000, 10_000] {
        let request = json().body(Body::from(" ".repeat(length))).unwrap();
        assert_refused(&server.send(request).await, 413);
    }
    let fits = format!("{}{{}}", " ".repeat(998));
    let request = json().body(Body::from(fits)).unwrap();
    assert_eq!(server.send(request).await.status, 201);
    let never = Body::from_stream(futures_util::stream::pending::<Result<&str, io::Error>>());
    assert_refused(&server.send(json().body(never).unwrap()).await, 408);
}

#[tokio::test]
async fn query_that_is_not_as_described_is_refused() {
    let server = Server::tcp().await;
    let wrong = [
        "/v1/touches?wait_ms=60001",
        "/v1/touches?wait_ms=-1",
        "/v1/touches?unknown=1",
        "/v1/events/last?count=1001",
        "/v1/events/last?event=nothing",
        "/v1/events?after=x",
        "/v1/keys/1-1/contact?since=",
    ];
    for path in wrong {
        assert_refused(&server.ask("GET", path, None).await, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn longest_wait_and_most_events_are_answered() {
    let server = Server::tcp().await;
    let started = tokio::time::Instant::now();
    let touches = server.ask("GET", "/v1/touches?wait_ms=60000", None).await;
    assert_eq!(
        (touches.status.as_u16(), &touches.json["touches"]),
        (200, &json!([]))
    );
    assert_eq!(started.elapsed().as_secs(), 60);
    let events = server.ask("GET", "/v1/events/last?count=1000", None).await;
    assert_eq!(events.status, 200);
}

#[tokio::test]
async fn wrong_body_with_a_secret_is_not_repeated() {
    let server = Server::tcp().await;
    let body = json!({ "new_pin": "31415926", "more": "27182818" });
    for body in [body, json!({ "new_pin": 31_415_926 }), json!("31415926")] {
        let answer = server.ask("PUT", "/v1/keys/1-1/pin", Some(body)).await;
        assert_refused(&answer, 400);
        let text = answer.json.to_string();
        assert!(
            !text.contains("31415926") && !text.contains("27182818"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn key_is_made_used_and_removed() {
    let server = Server::tcp().await;
    let new = json!({ "name": "spare", "overrides": { "exportable": true } });
    let made = server.ask("POST", "/v1/keys", Some(new.clone())).await;
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(made.headers[header::LOCATION], "/v1/keys/1-2");
    assert_eq!(made.json["exportable"], true);
    assert_refused(&server.ask("POST", "/v1/keys", Some(new)).await, 409);
    let renamed = server.ask(
        "PATCH",
        "/v1/keys/spare",
        Some(json!({ "name": "odd / né" })),
    );
    assert_eq!(renamed.await.json["name"], "odd / né");
    let pin = json!({ "new_pin": "31415926" });
    let path = "/v1/keys/odd%20%2F%20n%C3%A9/pin";
    let set = server.ask("PUT", path, Some(pin.clone())).await;
    assert_eq!(
        (set.status.as_u16(), &set.json["is_set"]),
        (200, &json!(true))
    );
    let wrong = json!({ "pin": "00000000", "new_pin": "31415926" });
    assert_refused(&server.ask("PUT", path, Some(wrong)).await, 403);
    let removed = server.ask("DELETE", "/v1/keys/1-2", None).await;
    assert_eq!(
        (removed.status.as_u16(), &removed.json["pin"]),
        (200, &json!(true))
    );
    let last = server
        .ask("GET", "/v1/events/last?key=1-2&count=1", None)
        .await;
    assert_eq!(last.json["events"][0]["event"], "removed");
    assert_eq!(last.json["events"][0]["sequence"], last.json["last_event"]);
}

#[tokio::test]
async fn fault_is_armed_and_disarmed() {
    let server = Server::tcp().await;
    let all = server.ask("GET", "/v1/faults", None).await;
    let name = all.json["faults"][0]["name"].clone();
    let wrong = json!({ "fault": "no-such-fault" });
    assert_refused(
        &server.ask("POST", "/v1/keys/1-1/faults", Some(wrong)).await,
        400,
    );
    let plain = all.json["faults"].as_array().unwrap().iter();
    let plain = plain.filter(|fault| fault["parameter"].is_null());
    let plain = plain.map(|fault| fault["name"].clone()).next();
    let new = json!({ "fault": plain.unwrap_or(name), "always": true });
    let armed = server.ask("POST", "/v1/keys/1-1/faults", Some(new)).await;
    assert_eq!(armed.status, 201, "{}", armed.json);
    let path = format!("/v1/keys/1-1/faults/{}", armed.json["id"]);
    let listed = server.ask("GET", "/v1/keys/1-1/faults", None).await;
    assert_eq!(listed.json["faults"], json!([armed.json]));
    assert_eq!(server.ask("DELETE", &path, None).await.status, 204);
    assert_refused(&server.ask("DELETE", &path, None).await, 404);
}

#[tokio::test]
async fn expectation_says_why_nothing_came() {
    let server = Server::tcp().await;
    let wanted = json!({ "event": "touch", "key": "1-1" });
    let held = server.ask("POST", "/v1/expect", Some(wanted)).await;
    assert_eq!(
        (held.status.as_u16(), &held.json["holds"]),
        (200, &json!(false))
    );
    assert!(held.json["text"].as_str().unwrap().contains("1-1"));
    let nothing = json!({ "event": "nothing" });
    assert_refused(&server.ask("POST", "/v1/expect", Some(nothing)).await, 400);
}

#[tokio::test]
async fn metadata_is_of_the_key_or_of_the_models_that_are_named() {
    let server = Server::tcp().await;
    let path = "/v1/attestation-metadata";
    let made = server.ask("POST", path, Some(json!({}))).await;
    assert_eq!(made.status, 200, "{}", made.json);
    let aaguid = &made.json["entries"][0]["aaguid"];
    assert_eq!(aaguid, "33c78076-c6cc-406c-95a6-44d084208762");
    let root = server.ask("GET", "/v1/attestation-root", None).await;
    assert_eq!(made.json["root"], root.json["pem"]);
    let models = json!([{"profile": "own", "profile_toml": "[usb]\nproduct = \"Own\""}]);
    let asked = json!({"statuses": ["REVOKED"], "models": models});
    let made = server.ask("POST", path, Some(asked)).await;
    assert_eq!(made.json["entries"][0]["description"], "Own");
    for wrong in [
        json!({"status": "REVOKED"}),
        json!({"statuses": ["LOST"]}),
        json!({"models": [{"profile": "lost"}]}),
        json!({"models": [{"profile": "own", "profile_toml": "aaguid = 1"}]}),
    ] {
        assert_refused(&server.ask("POST", path, Some(wrong)).await, 400);
    }
}

#[tokio::test]
async fn vault_that_is_not_there_is_a_conflict() {
    let server = Server::tcp().await;
    assert_refused(&server.ask("GET", "/v1/vault/snapshots", None).await, 409);
    let relative = json!({ "path": "backup.age", "passphrase": "correct horse" });
    assert_refused(
        &server.ask("POST", "/v1/vault/backup", Some(relative)).await,
        400,
    );
    let for_nobody = json!({ "path": "/tmp/backup.age" });
    assert_refused(
        &server
            .ask("POST", "/v1/vault/backup", Some(for_nobody))
            .await,
        400,
    );
}

#[tokio::test]
async fn upgrade_is_not_for_tcp() {
    let server = Server::tcp().await;
    assert_refused(&server.ask("POST", "/v1/keys/1-1/usbip", None).await, 403);
    let socket = Server::socket(Some(0)).await;
    assert_refused(&socket.ask("POST", "/v1/keys/1-1/usbip", None).await, 426);
}

/// Every reference in a document.
fn references<'d>(value: &'d Value, found: &mut BTreeSet<&'d str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn description_is_whole() {
    let document = openapi::document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} twice");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{id}");
            let responses = operation["responses"].as_object().unwrap();
            for status in ["401", "403", "500"] {
                assert!(responses.contains_key(status), "{method} {path}: {status}");
            }
            let has_body = operation.get("requestBody").is_some();
            for status in ["408", "413", "415"] {
                assert_eq!(responses.contains_key(status), has_body, "{method} {path}");
            }
        }
    }
    assert!(
        !document.to_string().contains("u-int"),
        "an integer without an end"
    );
    assert_eq!(document["security"], json!([{ "token": [] }]));
}
