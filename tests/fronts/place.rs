//! Rigs, machines and credentials that the fronts' tests stand on.

use std::{net::SocketAddr, sync::Arc};

use axum::http::StatusCode;
use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use roamkey::{
    front::{Authenticators, Machine, Upstream, Waited},
    presence::Policy,
    rig::{Backend, KeyView, NewKey, Rig, Setup},
};
use serde_json::Value;
use tokio::net::TcpListener;

/// PKCS#8 of a P-256 key, made with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
const PRIVATE_KEY: &str = concat!(
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOfm4gguJ1JWjuPSX",
    "IzS53HlQM93nRm/ospocn4MqPbKhRANCAATU4XvLFjr1qmoaa2G+eyz4v6Bsh/jm",
    "p0COf1Nt0TptMqsF7BS+KW7P1if32bxxjkW00/wogEwQyOeSEoUtiTRM",
);

/// A machine that has its keys at once.
struct Here;

impl Machine for Here {
    fn arrived(&self, _key: KeyView) -> Waited<Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn gone(&self, _key: KeyView) -> Waited<()> {
        Box::pin(async {})
    }
}

/// One that no key comes to.
struct Nowhere;

impl Machine for Nowhere {
    fn arrived(&self, _key: KeyView) -> Waited<Result<(), String>> {
        Box::pin(async { Err("the machine saw no such device".to_owned()) })
    }

    fn gone(&self, _key: KeyView) -> Waited<()> {
        Box::pin(async {})
    }
}

/// One that a key comes to when it is let.
#[derive(Clone, Default)]
pub(super) struct Later(Arc<tokio::sync::Notify>);

impl Later {
    pub(super) fn let_one_in(&self) {
        self.0.notify_one();
    }
}

impl Machine for Later {
    fn arrived(&self, _key: KeyView) -> Waited<Result<(), String>> {
        let arrives = Arc::clone(&self.0);
        Box::pin(async move {
            arrives.notified().await;
            Ok(())
        })
    }

    fn gone(&self, _key: KeyView) -> Waited<()> {
        Box::pin(async {})
    }
}

pub(super) async fn authenticators_that_arrive_later() -> (Authenticators, Later) {
    let later = Later::default();
    let machine = Arc::new(later.clone());
    let keys = Authenticators::new(rig().await, machine, None, Vec::new());
    (keys, later)
}

pub(super) async fn rig() -> Rig {
    let setup = Setup::new(Backend::memory(), Policy::auto());
    Rig::start(setup).await.expect("a rig in memory")
}

pub(super) async fn authenticators() -> Authenticators {
    Authenticators::new(rig().await, Arc::new(Here), None, Vec::new())
}

/// Keys after another, touched for these sites alone.
pub(super) async fn authenticators_like(base: NewKey, sites: &[&str]) -> Authenticators {
    let sites = sites.iter().map(|site| (*site).to_owned());
    Authenticators::new(rig().await, Arc::new(Here), Some(base), sites.collect())
}

pub(super) async fn authenticators_that_never_arrive() -> Authenticators {
    Authenticators::new(rig().await, Arc::new(Nowhere), None, Vec::new())
}

/// A listener of a port that the system chose.
pub(super) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

pub(super) fn upstream(address: SocketAddr) -> Upstream {
    let text = format!("http://{address}");
    text.parse().expect("an upstream")
}

/// The private key's DER.
pub(super) fn private_key() -> Vec<u8> {
    Base64::decode_vec(PRIVATE_KEY).expect("base64")
}

pub(super) fn url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

pub(super) fn standard(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// An object with members of another; null takes one away.
pub(super) fn with(mut object: Value, changes: Value) -> Value {
    let members = object.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    object
}

/// The answer to an HTTP request.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: axum::http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }
}

/// Sends a request on a connection of its own.
pub(super) async fn send(address: SocketAddr, request: axum::extract::Request) -> Answer {
    let stream = tokio::net::TcpStream::connect(address).await;
    let stream = hyper_util::rt::TokioIo::new(stream.expect("somebody listens"));
    let opened = hyper::client::conn::http1::handshake(stream).await;
    let (mut sender, connection) = opened.expect("a connection");
    tokio::spawn(connection);
    let response = sender.send_request(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(axum::body::Body::new(body), 1 << 26).await;
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.expect("a body").to_vec(),
    }
}

/// A request as clients of this machine make it.
pub(super) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: impl Into<axum::body::Body>,
) -> axum::extract::Request {
    let request = axum::http::Request::builder().method(method).uri(path);
    let request = request.header("host", address.to_string());
    request.body(body.into()).expect("a request")
}
