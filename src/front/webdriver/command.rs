//! The commands of WebAuthn §11 ("User Agent Automation") for keys.

use axum::{body::Bytes, extract::Request, http::Method, response::Response};
use serde_json::{Value, json};

use super::{
    WebDriver,
    answer::{WebDriverError, answer},
    parameters,
};
use crate::front::{Authenticators, FrontError, Transport, credential::Alphabet};

/// A command of §11 for a session.
pub(super) struct Command<'a> {
    pub(super) front: &'a WebDriver,
    pub(super) authenticators: &'a Authenticators,
    pub(super) session: String,
}

impl Command<'_> {
    pub(super) async fn run(
        &self,
        method: Method,
        rest: Vec<String>,
        request: Request,
    ) -> Response {
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let own = match rest.as_slice() {
            [] => None,
            [id, ..] if self.front.owns(&self.session, id) => Some(*id),
            // The browser's own, or nobody's: the driver knows.
            [..] if self.front.has_browsers_own(&self.session) => {
                return self.front.pass(request).await;
            }
            // chromedriver sends WebAuthn.enable before it looks: the keys would be hidden.
            [..] => return self.nobodys().await.into_response(),
        };
        let most = self.front.0.limits.body_len;
        let body = axum::body::to_bytes(request.into_body(), most).await;
        let Ok(body) = body else {
            let why = format!("the body has {most} bytes at most, and comes without a pause");
            return WebDriverError::from(FrontError::invalid(why)).into_response();
        };
        let answered = match own {
            None => self.add(method, &body).await,
            Some(id) => {
                self.of_key(method, id, rest.get(1..).unwrap_or_default(), &body)
                    .await
            }
        };
        match answered {
            Ok(value) => answer(value),
            Err(why) => why.into_response(),
        }
    }

    /// What is said of an authenticator that is nobody's.
    async fn nobodys(&self) -> WebDriverError {
        match self.front.check_session(&self.session).await {
            Ok(()) => FrontError::invalid("the session has no such authenticator").into(),
            Err(why) => why,
        }
    }

    /// "Add Virtual Authenticator" (§11.3).
    async fn add(&self, method: Method, body: &Bytes) -> Result<Value, WebDriverError> {
        if method != Method::POST {
            return Err(WebDriverError::UnknownMethod);
        }
        self.front.check_session(&self.session).await?;
        let parameters = parameters::object(body)?;
        let (mut configuration, transport) = parameters::configuration(&parameters)?;
        configuration.refusal = self.front.refusal(&self.session);
        let mut beside = false;
        let have = {
            let mut sessions = self.front.sessions();
            let session = self.front.session_in(&mut sessions, &self.session);
            let session = session.ok_or_else(|| {
                let most = self.front.0.limits.sessions;
                FrontError::failed(format!("{most} sessions have keys: end one first"))
            })?;
            if transport != Transport::Usb {
                beside = !session.ids.is_empty();
                session.browsers_own = true;
            }
            (!session.browsers_own).then_some(session.ids.len())
        };
        let Some(have) = have else {
            return self
                .add_browsers_own(transport, beside, &parameters.into())
                .await;
        };
        let id = self.authenticators.add(&configuration, have).await?;
        let kept = {
            let mut sessions = self.front.sessions();
            let session = sessions.get_mut(&self.session);
            session
                .map(|session| session.ids.push(id.clone()))
                .is_some()
        };
        if !kept {
            // The session ended meanwhile.
            self.authenticators.remove(&id).await?;
            self.front.check_session(&self.session).await?;
        }
        Ok(Value::from(id))
    }

    async fn add_browsers_own(
        &self,
        transport: Transport,
        beside: bool,
        parameters: &Value,
    ) -> Result<Value, WebDriverError> {
        self.authenticators.note_browsers_own(transport, beside);
        let path = format!("/session/{}/webauthn/authenticator", self.session);
        let asked = self
            .front
            .0
            .upstream
            .ask(Method::POST, &path, Some(parameters));
        match asked.await.map_err(WebDriverError::upstream)? {
            (status, body) if status.is_success() => {
                Ok(body.get("value").cloned().unwrap_or_default())
            }
            (status, body) => Err(WebDriverError::Passed(status, body)),
        }
    }

    async fn of_key(
        &self,
        method: Method,
        id: &str,
        rest: &[&str],
        body: &Bytes,
    ) -> Result<Value, WebDriverError> {
        let keys = self.authenticators;
        match (method.as_str(), rest) {
            ("DELETE", []) => {
                keys.remove(id).await?;
                if let Some(session) = self.front.sessions().get_mut(&self.session) {
                    session.ids.retain(|own| own != id);
                }
            }
            ("POST", ["credential"]) => {
                let credential = parameters::credential(&parameters::object(body)?)?;
                keys.inject(id, &credential).await?;
            }
            ("GET", ["credentials"]) => {
                let credentials = keys.credentials(id).await?;
                let shown = credentials.iter().map(parameters::show);
                return Ok(Value::Array(shown.collect()));
            }
            ("DELETE", ["credentials"]) => keys.clear(id).await?,
            ("DELETE", ["credentials", credential]) => {
                keys.delete(id, &credential_id(credential)?).await?;
            }
            ("POST", ["uv"]) => {
                let verified = parameters::user_verified(&parameters::object(body)?)?;
                let refusal = self.front.refusal(&self.session);
                keys.set_verified(id, verified, refusal).await?;
            }
            ("POST", ["credentials", credential, "props"]) => {
                let edit = parameters::properties(&parameters::object(body)?)?;
                keys.edit(id, &credential_id(credential)?, edit).await?;
            }
            (
                _,
                []
                | ["credential" | "credentials" | "uv"]
                | ["credentials", _]
                | ["credentials", _, "props"],
            ) => {
                return Err(WebDriverError::UnknownMethod);
            }
            _ => return Err(WebDriverError::UnknownCommand),
        }
        Ok(json!(null))
    }
}

fn credential_id(text: &str) -> Result<Vec<u8>, FrontError> {
    let id = Alphabet::Url.decode(text);
    id.ok_or_else(|| FrontError::invalid(format!("{text:?} is no credential id in base64url")))
}
