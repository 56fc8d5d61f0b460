//! The browser's own virtual authenticators in a WebDriver session: a test's commands pass, and
//! the control plane's are of the same kind.

use axum::http::Method;
use serde_json::{Value, json};

use super::parameters;
use crate::front::{
    Configuration, Credential, FrontError, Upstream, Waited,
    browser::{Session, unsupported},
    credential::Alphabet,
};

/// A session as the control plane uses it.
pub(super) struct Own {
    pub(super) upstream: Upstream,
    pub(super) session: String,
}

impl Own {
    /// Asks the driver: the answer's value.
    fn ask(
        &self,
        method: Method,
        rest: &str,
        body: Option<Value>,
    ) -> Waited<Result<Value, FrontError>> {
        let upstream = self.upstream.clone();
        let path = format!("/session/{}/webauthn/authenticator{rest}", self.session);
        Box::pin(async move {
            let (status, answer) = upstream
                .ask(method, &path, body.as_ref())
                .await
                .map_err(FrontError::Failed)?;
            let value = answer.get("value").cloned().unwrap_or_default();
            match status.is_success() {
                true => Ok(value),
                false => Err(FrontError::Failed(format!(
                    "the driver said: {}",
                    value.get("message").unwrap_or(&value)
                ))),
            }
        })
    }

    fn tell(
        &self,
        method: Method,
        rest: &str,
        body: Option<Value>,
    ) -> Waited<Result<(), FrontError>> {
        let asked = self.ask(method, rest, body);
        Box::pin(async move { asked.await.map(drop) })
    }
}

impl Session for Own {
    fn add(&self, configuration: Configuration) -> Waited<Result<String, FrontError>> {
        let body = parameters::show_configuration(&configuration);
        let asked = self.ask(Method::POST, "", Some(body));
        Box::pin(async move {
            let id = asked.await?;
            let id = id.as_str().map(str::to_owned);
            id.ok_or_else(|| FrontError::failed("the driver names no authenticator"))
        })
    }

    fn remove(&self, id: String) -> Waited<Result<(), FrontError>> {
        self.tell(Method::DELETE, &format!("/{id}"), None)
    }

    fn credentials(&self, id: String) -> Waited<Result<Vec<Credential>, FrontError>> {
        let asked = self.ask(Method::GET, &format!("/{id}/credentials"), None);
        Box::pin(async move {
            let found = asked.await?;
            let found = found.as_array().into_iter().flatten();
            let found = found.filter_map(Value::as_object);
            found.map(parameters::credential).collect()
        })
    }

    fn inject(&self, id: String, credential: Credential) -> Waited<Result<(), FrontError>> {
        let body = parameters::show(&credential);
        self.tell(Method::POST, &format!("/{id}/credential"), Some(body))
    }

    fn delete(&self, id: String, credential: Vec<u8>) -> Waited<Result<(), FrontError>> {
        let credential = Alphabet::Url.encode(&credential);
        self.tell(
            Method::DELETE,
            &format!("/{id}/credentials/{credential}"),
            None,
        )
    }

    fn set_verified(&self, id: String, verified: bool) -> Waited<Result<(), FrontError>> {
        let body = json!({"isUserVerified": verified});
        self.tell(Method::POST, &format!("/{id}/uv"), Some(body))
    }

    fn set_presence(&self, _id: String, _automatic: bool) -> Waited<Result<(), FrontError>> {
        let why = "touches that wait, over WebDriver";
        Box::pin(async move { Err(unsupported(why)) })
    }

    fn set_overrides(
        &self,
        _id: String,
        _wrong: Vec<&'static str>,
    ) -> Waited<Result<(), FrontError>> {
        Box::pin(async { Err(unsupported("faults, over WebDriver")) })
    }
}
