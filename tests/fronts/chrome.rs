//! A browser that is none: lists of targets, and WebSockets that remember what comes, answer
//! commands and say what a test wants said.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use roamkey::{
    front::{Authenticators, Keys, cdp::Cdp},
    limits,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    devtools::Client,
    place::{listener, upstream},
};

/// The path of the browser's own target.
pub(super) const TARGET: &str = "/devtools/browser/0f0f";

#[derive(Default)]
struct Kept {
    address: Option<SocketAddr>,
    seen: Vec<Message>,
    paths: Vec<String>,
    /// To each client, the newest last.
    say: Vec<mpsc::UnboundedSender<Message>>,
    /// Credentials of its own authenticators.
    own: BTreeMap<String, Vec<Value>>,
    made: usize,
}

/// Clones are handles to the same.
#[derive(Clone, Default)]
pub(super) struct Chrome(Arc<Mutex<Kept>>);

impl Chrome {
    pub(super) async fn start() -> (Self, SocketAddr) {
        let chrome = Self::default();
        let (listener, address) = listener().await;
        chrome.lock().address = Some(address);
        let router = Router::new().fallback(handle).with_state(chrome.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (chrome, address)
    }

    /// Every message that reached it.
    pub(super) fn seen(&self) -> Vec<Message> {
        self.lock().seen.clone()
    }

    /// Commands of the domain that reached it, with their sessions and parameters.
    pub(super) fn commands(&self) -> Vec<(String, Option<String>, Value)> {
        let seen = self.seen().into_iter();
        let read = seen.filter_map(|message| {
            let command: Value = serde_json::from_str(message.to_text().ok()?).ok()?;
            let method = command["method"].as_str()?.strip_prefix("WebAuthn.")?;
            let session = command["sessionId"].as_str().map(str::to_owned);
            Some((method.to_owned(), session, command["params"].clone()))
        });
        read.collect()
    }

    /// The paths of its WebSockets.
    pub(super) fn paths(&self) -> Vec<String> {
        self.lock().paths.clone()
    }

    /// Says something to the newest client.
    pub(super) fn say(&self, message: Message) {
        let kept = self.lock();
        let say = kept.say.last().expect("a client");
        say.send(message).expect("the client is there");
    }

    /// Ends the newest client's connection.
    pub(super) fn close(&self) {
        self.lock().say.pop();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no test of it panics inside")
    }

    /// The answer to a command of the domain; the error is its message.
    fn domain(&self, name: &str, params: &Value) -> Result<Value, &'static str> {
        let mut kept = self.lock();
        match name {
            "enable" | "disable" => return Ok(json!({})),
            "addVirtualAuthenticator" if params["options"]["transport"] == "cable" => {
                return Err("the browser has no cable");
            }
            "addVirtualAuthenticator" => {
                kept.made += 1;
                let id = format!("browsers-{}", kept.made);
                kept.own.insert(id.clone(), Vec::new());
                return Ok(json!({ "authenticatorId": id }));
            }
            _ => {}
        }
        let id = params["authenticatorId"].as_str().unwrap_or_default();
        let own = kept.own.get_mut(id).ok_or("the browser has none such")?;
        match name {
            "removeVirtualAuthenticator" => {
                kept.own.remove(id);
            }
            "getCredentials" => return Ok(json!({ "credentials": own })),
            "addCredential" => own.push(params["credential"].clone()),
            "removeCredential" => {
                own.retain(|one| one["credentialId"] != params["credentialId"]);
            }
            _ => {}
        }
        Ok(json!({}))
    }

    fn answer(&self, text: &str) -> Option<String> {
        let command: Value = serde_json::from_str(text).ok()?;
        command.get("id")?;
        let method = command["method"].as_str()?;
        let result = match method.strip_prefix("WebAuthn.") {
            Some(name) => self.domain(name, &command["params"]),
            None => Ok(json!({ "did": method })),
        };
        let mut answer = match result {
            Ok(result) => json!({"id": command["id"], "result": result}),
            Err(why) => json!({"id": command["id"], "error": {"code": -32_602, "message": why}}),
        };
        if let Some(session) = command.get("sessionId") {
            answer["sessionId"] = session.clone();
        }
        Some(answer.to_string())
    }

    async fn serve(self, upgraded: hyper::upgrade::Upgraded) {
        let stream = TokioIo::new(upgraded);
        let limits = WebSocketConfig::default();
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await;
        let (mut sink, mut messages) = socket.split();
        let (say, mut said) = mpsc::unbounded_channel();
        self.lock().say.push(say);
        loop {
            let out = tokio::select! {
                message = messages.next() => {
                    let Some(Ok(message)) = message else { return };
                    if !message.is_text() && !message.is_binary() {
                        continue;
                    }
                    self.lock().seen.push(message.clone());
                    message.to_text().ok().and_then(|text| self.answer(text)).map(Message::text)
                }
                message = said.recv() => match message {
                    Some(message) => Some(message),
                    None => return,
                },
            };
            if let Some(out) = out
                && sink.send(out).await.is_err()
            {
                return;
            }
        }
    }

    fn list(&self, path: &str) -> Response {
        let address = self.lock().address.expect("it listens");
        let target = json!({
            "title": format!("about http://{address}/ and ws"),
            "devtoolsFrontendUrl": format!("/devtools/inspector.html?ws={address}/devtools/page/A"),
            "webSocketDebuggerUrl": format!("ws://{address}/devtools/page/A"),
        });
        match path {
            "/json/version" => axum::Json(json!({
                "Browser": "None/1.0",
                "webSocketDebuggerUrl": format!("ws://{address}{TARGET}"),
            }))
            .into_response(),
            "/json/list" => axum::Json(json!([target])).into_response(),
            _ => (
                StatusCode::NOT_FOUND,
                format!("no ws://{address}/ at {path}"),
            )
                .into_response(),
        }
    }
}

async fn handle(State(chrome): State<Chrome>, mut request: Request) -> Response {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
    let target = request.uri().to_string();
    let Some(key) = key else {
        return chrome.list(&target);
    };
    chrome.lock().paths.push(target);
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move { chrome.serve(upgraded.await.expect("an upgrade")).await });
    let headers = [
        (header::CONNECTION, "Upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (
            header::SEC_WEBSOCKET_ACCEPT,
            derive_accept_key(key.as_bytes()),
        ),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A DevTools front before such a browser.
pub(super) struct Front {
    pub(super) chrome: Chrome,
    pub(super) address: SocketAddr,
}

impl Front {
    pub(super) async fn start(keys: Keys) -> Self {
        let (chrome, behind) = Chrome::start().await;
        let address = Self::before(behind, keys).await;
        Self { chrome, address }
    }

    /// Where a front before this address listens.
    pub(super) async fn before(browser: SocketAddr, keys: Keys) -> SocketAddr {
        let (listener, address) = listener().await;
        let front = Cdp::new(upstream(browser), keys);
        tokio::spawn(front.serve(listener));
        address
    }

    /// One whose clients, and whose browser, may take so much.
    pub(super) async fn limited(keys: &Authenticators, limits: limits::Front) -> Self {
        let (chrome, behind) = Chrome::start().await;
        let (listener, address) = listener().await;
        let front = Cdp::limited(upstream(behind), Keys::Real(keys.clone()), limits);
        tokio::spawn(front.serve(listener));
        Self { chrome, address }
    }

    pub(super) async fn with_keys(keys: &Authenticators) -> Self {
        Self::start(Keys::Real(keys.clone())).await
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.address, TARGET).await
    }

    /// A client that has enabled the domain.
    pub(super) async fn enabled(&self) -> Client {
        let mut client = self.client().await;
        client.call("enable", json!({})).await;
        client
    }
}
