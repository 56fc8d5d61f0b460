//! A client of the DevTools protocol.

use std::{collections::VecDeque, net::SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use super::place::{private_key, standard, with};

/// What a refusal is: its code and its words.
pub(super) type Refused = (i64, String);

pub(super) struct Client {
    socket: WebSocketStream<TcpStream>,
    next: u64,
    /// What came while an answer was waited for.
    events: VecDeque<Value>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a front");
        let opened = client_async(format!("ws://{address}{path}"), stream).await;
        let (socket, _) = opened.expect("a WebSocket");
        Self {
            socket,
            next: 0,
            events: VecDeque::new(),
        }
    }

    pub(super) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.expect("a connection");
    }

    /// The next message as it is; none at the end.
    pub(super) async fn receive(&mut self) -> Option<Message> {
        match self.socket.next().await {
            Some(Ok(message)) if !message.is_close() => Some(message),
            _ => None,
        }
    }

    async fn receive_json(&mut self) -> Value {
        let message = self.receive().await.expect("a message");
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    }

    /// A command of the domain in a session, or in the connection's own.
    pub(super) async fn try_call_in(
        &mut self,
        session: Option<&str>,
        name: &str,
        params: Value,
    ) -> Result<Value, Refused> {
        self.next += 1;
        let method = format!("WebAuthn.{name}");
        let mut command = json!({"id": self.next, "method": method, "params": params});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        self.send(Message::text(command.to_string())).await;
        loop {
            let mut message = self.receive_json().await;
            if message.get("id").is_none() {
                self.events.push_back(message);
                continue;
            }
            assert_eq!(message["id"], self.next, "{message}");
            assert_eq!(message.get("sessionId"), command.get("sessionId"));
            return match message.get("error") {
                None => Ok(message["result"].take()),
                Some(error) => Err((
                    error["code"].as_i64().expect("a code"),
                    error["message"].as_str().expect("words").to_owned(),
                )),
            };
        }
    }

    pub(super) async fn try_call(&mut self, name: &str, params: Value) -> Result<Value, Refused> {
        self.try_call_in(None, name, params).await
    }

    pub(super) async fn call(&mut self, name: &str, params: Value) -> Value {
        let answer = self.try_call(name, params).await;
        answer.unwrap_or_else(|why| panic!("{name}: {why:?}"))
    }

    /// Adds a key with these options: its id.
    pub(super) async fn add(&mut self, changes: Value) -> String {
        self.add_in(None, changes).await
    }

    pub(super) async fn add_in(&mut self, session: Option<&str>, changes: Value) -> String {
        let params = json!({ "options": options(changes) });
        let made = self
            .try_call_in(session, "addVirtualAuthenticator", params)
            .await;
        let made = made.expect("an authenticator");
        made["authenticatorId"].as_str().expect("an id").to_owned()
    }

    /// The next event, which has to be this one: its parameters.
    pub(super) async fn event(&mut self, name: &str) -> Value {
        let mut event = match self.events.pop_front() {
            Some(event) => event,
            None => self.receive_json().await,
        };
        assert_eq!(event["method"], format!("WebAuthn.{name}"), "{event}");
        event["params"].take()
    }

    /// How many events came that nobody has looked at.
    pub(super) fn unread(&self) -> usize {
        self.events.len()
    }
}

/// A key with passkeys on USB, changed.
pub(super) fn options(changes: Value) -> Value {
    let usual = json!({
        "protocol": "ctap2",
        "ctap2Version": "ctap2_1",
        "transport": "usb",
        "hasResidentKey": true,
    });
    with(usual, changes)
}

/// A resident credential of one byte's id, changed.
pub(super) fn credential(changes: Value) -> Value {
    let usual = json!({
        "credentialId": standard(&[1]),
        "isResidentCredential": true,
        "rpId": "example.com",
        "privateKey": standard(&private_key()),
        "userHandle": standard(&[1]),
        "signCount": 0,
    });
    with(usual, changes)
}
