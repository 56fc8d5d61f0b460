//! Answers and errors as WebDriver has them (WebDriver 2 §6.6 "Handling errors").

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use crate::front::FrontError;

/// Why a command is not done.
pub(super) enum WebDriverError {
    /// Of the front's own.
    Front(FrontError),
    /// No command has this path.
    UnknownCommand,
    /// The path has other methods.
    UnknownMethod,
    /// What the driver said instead.
    Passed(StatusCode, Value),
}

impl From<FrontError> for WebDriverError {
    fn from(why: FrontError) -> Self {
        Self::Front(why)
    }
}

impl WebDriverError {
    /// The driver does not answer.
    pub(super) fn upstream(why: String) -> Self {
        Self::Front(FrontError::Failed(format!(
            "{why}: start the driver first, such as chromedriver --port=9515, and name it with \
             --upstream"
        )))
    }

    pub(super) fn into_response(self) -> Response {
        let (status, error, message) = match self {
            Self::Passed(status, body) => return respond(status, body),
            Self::Front(FrontError::Invalid(text)) => {
                (StatusCode::BAD_REQUEST, "invalid argument", text)
            }
            Self::Front(FrontError::Unsupported(text)) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "unsupported operation",
                text,
            ),
            Self::Front(FrontError::Failed(text)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "unknown error", text)
            }
            Self::UnknownCommand => (
                StatusCode::NOT_FOUND,
                "unknown command",
                "virtual authenticators have no such command (WebAuthn §11)".to_owned(),
            ),
            Self::UnknownMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "unknown method",
                "this command has another method (WebAuthn §11)".to_owned(),
            ),
        };
        let body = json!({"value": {"error": error, "message": message, "stacktrace": ""}});
        respond(status, body)
    }
}

/// Success.
pub(super) fn answer(value: Value) -> Response {
    respond(StatusCode::OK, json!({ "value": value }))
}

fn respond(status: StatusCode, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
