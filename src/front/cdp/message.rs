//! Messages of the DevTools protocol: JSON objects, of which as little is looked at as can be.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::front::FrontError;

/// Members of JSON-RPC's errors, as browsers use them.
const INVALID_PARAMS: i64 = -32602;
const METHOD_NOT_FOUND: i64 = -32601;
const SERVER_ERROR: i64 = -32000;

/// The session of a target within a connection; `None` for the connection's own target.
pub(super) type SessionId = Option<String>;

/// A command of the domain.
#[derive(Deserialize)]
pub(super) struct Command {
    pub(super) id: i64,
    pub(super) method: String,
    #[serde(default)]
    pub(super) params: Map<String, Value>,
    #[serde(rename = "sessionId", default)]
    pub(super) session: SessionId,
}

impl Command {
    /// The command in a message, if it is one of the domain.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // Most messages are long, and others'.
        if !text.contains("\"WebAuthn.") {
            return None;
        }
        let command: Self = serde_json::from_str(text).ok()?;
        command.method.starts_with("WebAuthn.").then_some(command)
    }
}

/// Why a command is not done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CdpError {
    code: i64,
    message: String,
}

impl CdpError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            code: INVALID_PARAMS,
            message: message.into(),
        }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self {
            code: SERVER_ERROR,
            message: message.into(),
        }
    }

    pub(super) fn no_method(method: &str) -> Self {
        Self {
            code: METHOD_NOT_FOUND,
            message: format!("'{method}' wasn't found"),
        }
    }

    /// What it says.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What a browser said.
    pub(super) fn passed(error: &Value) -> Self {
        let message = error.get("message").and_then(Value::as_str);
        Self {
            code: error
                .get("code")
                .and_then(Value::as_i64)
                .unwrap_or(SERVER_ERROR),
            message: message.unwrap_or("the browser refused").to_owned(),
        }
    }
}

impl From<FrontError> for CdpError {
    fn from(why: FrontError) -> Self {
        match why {
            FrontError::Invalid(text) | FrontError::Unsupported(text) => Self::invalid(text),
            FrontError::Failed(text) => Self::failed(text),
        }
    }
}

fn with_session(mut message: Value, session: &SessionId) -> String {
    if let (Some(session), Some(members)) = (session, message.as_object_mut()) {
        members.insert("sessionId".to_owned(), Value::from(session.clone()));
    }
    message.to_string()
}

/// The answer to a command.
pub(super) fn answer(id: i64, session: &SessionId, result: Result<Value, CdpError>) -> String {
    let message = match result {
        Ok(result) => json!({"id": id, "result": result}),
        Err(CdpError { code, message }) => {
            json!({"id": id, "error": {"code": code, "message": message}})
        }
    };
    with_session(message, session)
}

/// An event.
pub(super) fn event(method: &str, session: &SessionId, params: Value) -> String {
    with_session(json!({"method": method, "params": params}), session)
}

/// A command of the front's own.
pub(super) fn command(id: i64, method: &str, session: &SessionId, params: Value) -> String {
    with_session(
        json!({"id": id, "method": method, "params": params}),
        session,
    )
}

/// The session that is over, if a message says so.
pub(super) fn detached(text: &str) -> Option<SessionId> {
    #[derive(Deserialize)]
    struct Detached {
        method: String,
        params: Params,
    }
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "sessionId")]
        session: String,
    }
    if !text.contains("\"Target.detachedFromTarget\"") {
        return None;
    }
    let detached: Detached = serde_json::from_str(text).ok()?;
    (detached.method == "Target.detachedFromTarget").then_some(Some(detached.params.session))
}

/// The answer to a command of the front's own, by its number.
pub(super) fn own_answer(text: &str) -> Option<(i64, Result<Value, CdpError>)> {
    let message: Value = serde_json::from_str(text).ok()?;
    let id = message.get("id")?.as_i64()?;
    let result = match message.get("error") {
        Some(error) => Err(CdpError::passed(error)),
        None => Ok(message.get("result").cloned().unwrap_or_default()),
    };
    Some((id, result))
}
