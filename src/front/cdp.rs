//! The DevTools front: everything goes to the browser behind it but the domain `WebAuthn`, whose
//! virtual authenticators are keys here (Chrome DevTools Protocol, domain WebAuthn).
//!
//! Clients find the browser as they do without a front: `/json/version` and the like name the
//! front's own address. Messages pass as they are, whatever a client's library puts into them.
//! Deliberately absent: the older way of talking to a target inside messages
//! (`Target.sendMessageToTarget`), whose WebAuthn stays the browser's.

mod connection;
mod domain;
mod events;
mod link;
mod message;
mod outbox;
mod own;
mod parameters;
mod worker;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use tracing::debug;

use super::{Keys, Upstream, guard};
use crate::{
    http::{self, Listener, Patient, Presence, Served},
    limits,
};

struct Inner {
    upstream: Upstream,
    keys: Keys,
    clients: Arc<Semaphore>,
    limits: Arc<limits::Front>,
}

/// A DevTools front. Clones are handles to the same.
#[derive(Clone)]
pub struct Cdp(Arc<Inner>);

impl Cdp {
    /// A front before a browser.
    pub fn new(upstream: Upstream, keys: Keys) -> Self {
        Self::limited(upstream, keys, limits::Front::default())
    }

    /// One whose clients, and whose browser, may take so much.
    pub fn limited(upstream: Upstream, keys: Keys, limits: limits::Front) -> Self {
        let limits = Arc::new(limits);
        Self(Arc::new(Inner {
            upstream: upstream.limited(&limits),
            keys,
            clients: Arc::new(Semaphore::new(limits.sockets)),
            limits,
        }))
    }

    /// Serves clients until it is dropped.
    ///
    /// # Errors
    /// None: it waits for a listener that the system does not let accept.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let served = Served {
            name: "the DevTools front",
            limits: self.0.limits.http(),
            router: Router::new().fallback(handle).with_state(self),
        };
        http::serve(Listener::Tcp(listener), served, std::future::pending).await;
        Ok(())
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    (status, text.into()).into_response()
}

fn no_browser(why: String) -> Response {
    let text = format!(
        "{why}: start the browser first, such as chromium --remote-debugging-port=9222, and name \
         it with --upstream"
    );
    plain(StatusCode::BAD_GATEWAY, text)
}

async fn handle(State(front): State<Cdp>, request: Request) -> Response {
    if let Some((status, why)) = guard::refusal(request.headers()) {
        return plain(status, why);
    }
    if let Some(presence) = request.extensions().get::<Presence>() {
        presence.is_known();
    }
    let request = http::paced(request, front.0.limits.pause);
    match request.headers().contains_key(header::UPGRADE) {
        true => front.open(request).await,
        false => front.pass(request).await,
    }
}

impl Cdp {
    /// What is no WebSocket: the lists of targets, in which addresses are the front's from now on.
    async fn pass(&self, request: Request) -> Response {
        let own = host(request.headers());
        let response = match self.0.upstream.pass(request, None).await {
            Ok(response) => response,
            Err(why) => return no_browser(why),
        };
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let Some(own) = own.filter(|_| is_json) else {
            return response;
        };
        let (mut parts, body) = response.into_parts();
        let Ok(body) = axum::body::to_bytes(body, self.0.limits.answer_len).await else {
            return no_browser("its list of targets has no end".to_owned());
        };
        let text = String::from_utf8_lossy(&body);
        let theirs = self.0.upstream.authority();
        let text = text
            .replace(&format!("ws://{theirs}/"), &format!("ws://{own}/"))
            .replace(&format!("ws={theirs}/"), &format!("ws={own}/"));
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(text))
    }

    /// A client's WebSocket, and one to the browser for it.
    async fn open(&self, mut request: Request) -> Response {
        let accept = match accept(request.headers()) {
            Ok(accept) => accept,
            Err(why) => return plain(StatusCode::BAD_REQUEST, why),
        };
        let Ok(place) = Arc::clone(&self.0.clients).try_acquire_owned() else {
            let why = format!(
                "{} clients are connected: end one first",
                self.0.limits.sockets
            );
            return plain(StatusCode::SERVICE_UNAVAILABLE, why);
        };
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str()).to_owned();
        let browser = match self.connect(&path).await {
            Ok(browser) => browser,
            Err(why) => return no_browser(why),
        };
        let upgraded = hyper::upgrade::on(&mut request);
        let front = self.clone();
        tokio::spawn(async move {
            let _place = place;
            match upgraded.await {
                Ok(upgraded) => {
                    let stream = TokioIo::new(upgraded);
                    let config = Some(front.config());
                    let client = WebSocketStream::from_raw_socket(stream, Role::Server, config);
                    let (keys, limits) = (front.0.keys.clone(), &front.0.limits);
                    connection::run(client.await, browser, keys, limits).await;
                }
                Err(why) => debug!(%why, "a client went before its WebSocket was there"),
            }
        });
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        response
    }

    async fn connect(&self, path: &str) -> Result<WebSocketStream<Patient<TcpStream>>, String> {
        let stream = self.0.upstream.connect().await?;
        let (authority, path) = (self.0.upstream.authority(), self.0.upstream.path(path));
        let address = format!("ws://{authority}{path}");
        let opened = client_async_with_config(address, stream, Some(self.config())).await;
        let (browser, _) =
            opened.map_err(|why| format!("{} takes no WebSocket there: {why}", self.0.upstream))?;
        Ok(browser)
    }

    fn config(&self) -> WebSocketConfig {
        let most = Some(self.0.limits.message_len);
        WebSocketConfig::default()
            .max_message_size(most)
            .max_frame_size(most)
    }
}

/// How a client calls the front.
fn host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(host.to_owned())
}

/// The answer to a WebSocket's opening handshake (RFC 6455 §4.2.2).
fn accept(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    let upgrade = headers.get(header::UPGRADE);
    if !upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err("only WebSockets are upgraded to here");
    }
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != "13") {
        return Err("the WebSocket has to be of version 13");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or("Sec-WebSocket-Key is missing")?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| "a key of no use")
}
