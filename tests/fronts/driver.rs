//! A driver that is none: it knows sessions, keeps what its virtual authenticators are given,
//! remembers what reaches it and echoes every other command.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use hyper_util::rt::TokioIo;
use roamkey::{
    front::{Authenticators, Keys, webdriver::WebDriver},
    limits,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::place::{Answer, listener, request, send, upstream};

/// The session that it has from the start.
pub(super) const SESSION: &str = "session-1";

/// A request as it came.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

#[derive(Default)]
struct Kept {
    sessions: BTreeSet<String>,
    seen: Vec<Seen>,
    /// Credentials of its own authenticators.
    own: BTreeMap<String, Vec<Value>>,
    made: usize,
}

/// Clones are handles to the same.
#[derive(Clone, Default)]
pub(super) struct Driver(Arc<Mutex<Kept>>);

impl Driver {
    pub(super) async fn start() -> (Self, SocketAddr) {
        let driver = Self::default();
        driver.begin(SESSION);
        let (listener, address) = listener().await;
        let router = Router::new().fallback(handle).with_state(driver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (driver, address)
    }

    pub(super) fn begin(&self, session: &str) {
        self.lock().sessions.insert(session.to_owned());
    }

    /// The browser of a session crashes.
    pub(super) fn lose(&self, session: &str) {
        self.lock().sessions.remove(session);
    }

    /// What reached it, but for the front's own questions about sessions.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = self.lock().seen.clone();
        let seen = seen.into_iter();
        seen.filter(|one| !one.target.ends_with("/timeouts"))
            .collect()
    }

    /// The same as `METHOD target`.
    pub(super) fn commands(&self) -> Vec<String> {
        let seen = self.seen().into_iter();
        seen.map(|one| format!("{} {}", one.method, one.target))
            .collect()
    }

    /// What one of its own authenticators was given.
    pub(super) fn credentials(&self, id: &str) -> Option<Vec<Value>> {
        self.lock().own.get(id).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().expect("no test of it panics inside")
    }

    fn answer(&self, seen: &Seen) -> Response {
        let parts: Vec<&str> = seen.target.trim_matches('/').split('/').collect();
        let [_, session, rest @ ..] = parts.as_slice() else {
            return echo(seen);
        };
        let known = self.lock().sessions.contains(*session);
        match (seen.method.as_str(), rest) {
            ("GET" | "POST", ["timeouts"] | ["webauthn", "authenticator", ..]) if !known => lost(),
            ("GET", ["timeouts"]) => success(json!({"script": 30_000})),
            ("DELETE", []) => {
                self.lose(session);
                success(Value::Null)
            }
            (method, ["webauthn", "authenticator", rest @ ..]) => {
                self.authenticator(method, rest, &seen.body)
            }
            _ => echo(seen),
        }
    }

    fn authenticator(&self, method: &str, rest: &[&str], body: &[u8]) -> Response {
        let mut kept = self.lock();
        if let ("POST", []) = (method, rest) {
            kept.made += 1;
            let id = format!("drivers-{}", kept.made);
            kept.own.insert(id.clone(), Vec::new());
            return success(json!(id));
        }
        let Some(own) = rest.first().and_then(|id| kept.own.get_mut(*id)) else {
            return refused(400, "invalid argument", "no such authenticator");
        };
        match (method, rest) {
            ("DELETE", [id]) => {
                kept.own.remove(*id);
            }
            ("POST", [_, "credential"]) => {
                own.push(serde_json::from_slice(body).expect("JSON"));
            }
            ("GET", [_, "credentials"]) => return success(Value::Array(own.clone())),
            ("DELETE", [_, "credentials", one]) => {
                own.retain(|credential| credential["credentialId"] != **one);
            }
            _ => {}
        }
        success(Value::Null)
    }
}

fn success(value: Value) -> Response {
    axum::Json(json!({ "value": value })).into_response()
}

fn refused(status: u16, error: &str, message: &str) -> Response {
    let body = json!({"value": {"error": error, "message": message, "stacktrace": "driver"}});
    let status = StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(body)).into_response()
}

fn lost() -> Response {
    refused(404, "invalid session id", "the driver has no such session")
}

/// The body comes back, with the status that was wished for.
fn echo(seen: &Seen) -> Response {
    let wished = seen.headers.get("x-wish").map(|wish| wish.as_bytes());
    let status = wished.map_or(Ok(StatusCode::OK), StatusCode::from_bytes);
    let mut response = Response::new(Body::from(seen.body.clone()));
    *response.status_mut() = status.expect("a status");
    let headers = response.headers_mut();
    headers.insert("x-driver", "one".parse().expect("a value"));
    headers.append("x-driver", "two".parse().expect("a value"));
    headers.insert("keep-alive", "timeout=5".parse().expect("a value"));
    headers.insert(header::CONNECTION, "keep-alive".parse().expect("a value"));
    response
}

async fn handle(State(driver): State<Driver>, mut request: Request) -> Response {
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let upgraded = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let seen = Seen {
        method: parts.method,
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: body.expect("a body").to_vec(),
    };
    driver.lock().seen.push(seen.clone());
    let Some((upgrade, upgraded)) = upgrade.zip(upgraded) else {
        return driver.answer(&seen);
    };
    tokio::spawn(async move {
        let upgraded = upgraded.await.expect("an upgrade");
        shout(TokioIo::new(upgraded)).await;
    });
    let headers = [(header::CONNECTION, "upgrade")];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    response.headers_mut().insert(header::UPGRADE, upgrade);
    response
}

/// What comes goes back in capitals.
async fn shout(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let mut bytes = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        let said = bytes[..length].to_ascii_uppercase();
        stream.write_all(&said).await.expect("who said it listens");
    }
}

/// A WebDriver front before such a driver.
pub(super) struct Front {
    pub(super) driver: Driver,
    pub(super) address: SocketAddr,
}

impl Front {
    pub(super) async fn start(keys: Keys) -> Self {
        let (driver, behind) = Driver::start().await;
        let address = Self::before(behind, keys).await;
        Self { driver, address }
    }

    /// Where a front before this address listens.
    pub(super) async fn before(driver: SocketAddr, keys: Keys) -> SocketAddr {
        Self::limited_before(driver, keys, limits::Front::default()).await
    }

    /// One whose clients may take so much.
    pub(super) async fn limited(keys: &Authenticators, limits: limits::Front) -> Self {
        let (driver, behind) = Driver::start().await;
        let address = Self::limited_before(behind, Keys::Real(keys.clone()), limits).await;
        Self { driver, address }
    }

    pub(super) async fn limited_before(
        driver: SocketAddr,
        keys: Keys,
        limits: limits::Front,
    ) -> SocketAddr {
        let (listener, address) = listener().await;
        let front = WebDriver::limited(upstream(driver), keys, limits);
        tokio::spawn(front.serve(listener));
        address
    }

    pub(super) async fn with_keys(keys: &Authenticators) -> Self {
        Self::start(Keys::Real(keys.clone())).await
    }

    pub(super) async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = request(self.address, method, path, body.to_owned());
        send(self.address, request).await
    }

    /// A command for the session's authenticators: its value.
    pub(super) async fn ask(&self, method: &str, rest: &str, body: Value) -> Value {
        let answer = self.try_ask(method, rest, body).await;
        answer.unwrap_or_else(|(status, error)| panic!("{method} {rest}: {status} {error}"))
    }

    /// The same; the error is its status and the name of the error.
    pub(super) async fn try_ask(
        &self,
        method: &str,
        rest: &str,
        body: Value,
    ) -> Result<Value, (u16, String)> {
        let path = format!("/session/{SESSION}/webauthn/authenticator{rest}");
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let answer = self.send(method, &path, &body).await;
        let value = answer.json()["value"].take();
        if answer.status == StatusCode::OK {
            return Ok(value);
        }
        assert!(value["message"].is_string() && value["stacktrace"].is_string());
        let error = value["error"].as_str().expect("an error").to_owned();
        Err((answer.status.as_u16(), error))
    }

    /// Adds an authenticator with these members beside protocol and transport: its id.
    pub(super) async fn add(&self, changes: Value) -> String {
        let id = self.ask("POST", "", configuration(changes)).await;
        id.as_str().expect("an id").to_owned()
    }
}

/// A key of CTAP 2.1 on USB, changed.
pub(super) fn configuration(changes: Value) -> Value {
    let usual = json!({"protocol": "ctap2_1", "transport": "usb"});
    super::place::with(usual, changes)
}
