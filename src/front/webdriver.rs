//! The WebDriver front: everything goes to the driver behind it but the virtual authenticators of
//! WebAuthn §11 ("User Agent Automation"), which are keys here.
//!
//! An authenticator of the browser's own (one that is internal, say) is asked for from the driver
//! and known by the driver's id, so whatever names it is passed on.

mod answer;
mod firefox;
mod own;
mod parameters;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{Method, header},
    response::Response,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    Authenticators, Browser, FrontError, Keys, Refusal, Transport, Upstream, credential::Alphabet,
    guard,
};
use answer::{WebDriverError, answer};
use own::Own;

/// The longest command of §11 that is read, in bytes: a credential with a large blob.
const BODY_LEN: usize = 1 << 20;
/// The longest capabilities, in bytes: extensions of a browser may be in them.
const CAPABILITIES_LEN: usize = 64 << 20;
/// How often the driver is asked whether sessions with keys are still there: a browser may crash,
/// and a client go without a word.
const LOOK: Duration = Duration::from_secs(15);

/// The keys of one WebDriver session.
#[derive(Default)]
struct Session {
    ids: Vec<String>,
    /// The browser's own authenticators are on: pages see those alone.
    browsers_own: bool,
    /// What the control plane reaches them by, where there are no others.
    own: Option<Arc<dyn super::browser::Session>>,
    /// How its browser takes a person who is not verified.
    refusal: Refusal,
}

struct Inner {
    upstream: Upstream,
    keys: Keys,
    sessions: Mutex<BTreeMap<String, Session>>,
}

/// A WebDriver front. Clones are handles to the same.
#[derive(Clone)]
pub struct WebDriver(Arc<Inner>);

impl WebDriver {
    /// A front before a driver.
    pub fn new(upstream: Upstream, keys: Keys) -> Self {
        Self(Arc::new(Inner {
            upstream,
            keys,
            sessions: Mutex::default(),
        }))
    }

    /// Serves clients until it is dropped.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router = Router::new().fallback(handle).with_state(self.clone());
        let serve = async { axum::serve(listener, router).await };
        tokio::select! {
            ended = serve => ended,
            () = self.look_after_sessions() => Ok(()),
        }
    }

    /// Takes the authenticators of sessions that are gone, again and again.
    async fn look_after_sessions(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let known: Vec<String> = self.sessions().keys().cloned().collect();
            for session in known {
                if let Err(WebDriverError::Passed(status, _)) = self.check_session(&session).await
                    && status == axum::http::StatusCode::NOT_FOUND
                {
                    self.end(&session).await;
                }
            }
        }
    }

    /// A session is over: its keys go.
    async fn end(&self, session: &str) {
        let ended = self.sessions().remove(session).unwrap_or_default();
        match &self.0.keys {
            Keys::Real(authenticators) => {
                for id in ended.ids {
                    // One that was removed by its owner meanwhile is gone as well.
                    let _ = authenticators.remove(&id).await;
                }
            }
            Keys::Browsers(browser) => {
                if let Some(own) = ended.own {
                    browser.end(&own);
                }
            }
        }
    }

    /// Whether the driver has this session; its own answer where it does not.
    async fn check_session(&self, session: &str) -> Result<(), WebDriverError> {
        let path = format!("/session/{session}/timeouts");
        let asked = self.0.upstream.ask(Method::GET, &path, None).await;
        match asked.map_err(WebDriverError::upstream)? {
            (status, _) if status.is_success() => Ok(()),
            (status, body) => Err(WebDriverError::Passed(status, body)),
        }
    }

    fn refusal(&self, session: &str) -> Refusal {
        let sessions = self.sessions();
        sessions
            .get(session)
            .map_or(Refusal::default(), |session| session.refusal)
    }

    fn owns(&self, session: &str, id: &str) -> bool {
        let sessions = self.sessions();
        let session = sessions.get(session);
        session.is_some_and(|session| session.ids.iter().any(|own| own == id))
    }

    fn has_browsers_own(&self, session: &str) -> bool {
        let sessions = self.sessions();
        let session = sessions.get(session);
        session.is_some_and(|session| session.browsers_own)
    }

    /// No code between lock and unlock can panic, so a poisoned list is still whole.
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        let sessions = self.0.sessions.lock();
        sessions.unwrap_or_else(PoisonError::into_inner)
    }
}

async fn handle(State(front): State<WebDriver>, request: Request) -> Response {
    if let Some((_, why)) = guard::refusal(request.headers()) {
        return WebDriverError::from(FrontError::invalid(why)).into_response();
    }
    let path = front.local_path(request.uri().path());
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let method = request.method().clone();
    match (&front.0.keys, parts.as_slice()) {
        (
            Keys::Real(authenticators),
            ["session", session, "webauthn", "authenticator", rest @ ..],
        ) => {
            let (session, rest) = (session.to_string(), owned(rest));
            let (authenticators, front) = (authenticators.clone(), front.clone());
            // To the end, whether or not the client waits for it: half a key would be worse.
            let work = tokio::spawn(async move {
                let command = Command {
                    front: &front,
                    authenticators: &authenticators,
                    session,
                };
                command.run(method, rest, request).await
            });
            let failed = || WebDriverError::from(FrontError::failed("roamkey failed: see its log"));
            work.await.unwrap_or_else(|_| failed().into_response())
        }
        (Keys::Browsers(browser), ["session", session, "webauthn", "authenticator", rest @ ..])
            if rest.len() < 2 =>
        {
            let (session, id) = (session.to_string(), rest.first().map(|id| id.to_string()));
            front.pass_own(browser, session, id, request).await
        }
        (Keys::Real(authenticators), ["session"]) if method == Method::POST => {
            front.begin(authenticators, request).await
        }
        (_, ["session", session]) if method == Method::DELETE => {
            let session = session.to_string();
            let response = front.pass(request).await;
            // To the end, as above.
            let _ = tokio::spawn(async move { front.end(&session).await }).await;
            response
        }
        _ => front.pass(request).await,
    }
}

fn owned(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

impl WebDriver {
    /// A path without what is in front of the driver's own.
    fn local_path(&self, path: &str) -> String {
        let path = path.strip_prefix("/wd/hub").unwrap_or(path);
        path.to_owned()
    }

    async fn pass(&self, request: Request) -> Response {
        match self.0.upstream.pass(request).await {
            Ok(response) => response,
            Err(why) => WebDriverError::upstream(why).into_response(),
        }
    }
}

impl WebDriver {
    /// "New Session". Firefox sees its own virtual authenticators or keys on USB, never both, and
    /// says in its preferences which: a test of the former gets the latter.
    async fn begin(&self, authenticators: &Authenticators, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, CAPABILITIES_LEN).await else {
            let why = format!("capabilities have {CAPABILITIES_LEN} bytes at most");
            return WebDriverError::from(FrontError::invalid(why)).into_response();
        };
        let body = match firefox::with_keys(&body) {
            None => body.into(),
            Some(changed) => {
                authenticators.notes().tell(
                    "a session's preferences named Firefox's own virtual authenticators; they \
                     name keys on USB now (security.webauth.webauthn_enable_usbtoken)"
                        .to_owned(),
                );
                parts.headers.remove(header::CONTENT_LENGTH);
                changed.into()
            }
        };
        let response = self.pass(Request::from_parts(parts, body)).await;
        let (parts, body) = response.into_parts();
        let Ok(body) = axum::body::to_bytes(body, CAPABILITIES_LEN).await else {
            return WebDriverError::upstream("the driver's answer has no end".into())
                .into_response();
        };
        self.note_session(&body);
        Response::from_parts(parts, body.into())
    }

    /// Remembers what kind of browser a session has.
    fn note_session(&self, answer: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
            return;
        };
        let value = answer.get("value");
        let session = value.and_then(|value| value.get("sessionId")?.as_str());
        let browser =
            value.and_then(|value| value.get("capabilities")?.get("browserName")?.as_str());
        if let (Some(session), Some(browser)) = (session, browser) {
            let refusal = match browser {
                "firefox" | "Safari" => Refusal::WrongFinger,
                _ => Refusal::BadAnswer,
            };
            let mut sessions = self.sessions();
            sessions.entry(session.to_owned()).or_default().refusal = refusal;
        }
    }

    /// Passes a command that makes or removes one of the browser's own, and notes what it did.
    async fn pass_own(
        &self,
        browser: &Browser,
        session: String,
        id: Option<String>,
        request: Request,
    ) -> Response {
        let method = request.method().clone();
        let path = self.local_path(request.uri().path());
        let body = axum::body::to_bytes(request.into_body(), BODY_LEN).await;
        let body: Option<Value> = body
            .ok()
            .and_then(|body| serde_json::from_slice(&body).ok());
        let asked = self.0.upstream.ask(method, &path, body.as_ref()).await;
        let (status, answer) = match asked {
            Ok(answered) => answered,
            Err(why) => return WebDriverError::upstream(why).into_response(),
        };
        if status.is_success() {
            let own = self.own_of(browser, &session);
            let made = body.as_ref().and_then(Value::as_object);
            let made = made.and_then(|made| parameters::configuration(made).ok());
            let new = answer.get("value").and_then(Value::as_str);
            match (id, made, new) {
                (Some(id), _, _) => browser.removed(&own, &id),
                (None, Some((made, _)), Some(new)) => browser.added(&own, new, &made),
                (None, _, _) => {}
            }
        }
        WebDriverError::Passed(status, answer).into_response()
    }

    /// What the control plane reaches a session's by.
    fn own_of(&self, browser: &Browser, session: &str) -> Arc<dyn super::browser::Session> {
        let mut sessions = self.sessions();
        let kept = sessions.entry(session.to_owned()).or_default();
        let begin = || {
            let own: Arc<dyn super::browser::Session> = Arc::new(Own {
                upstream: self.0.upstream.clone(),
                session: session.to_owned(),
            });
            browser.begin(&own);
            own
        };
        Arc::clone(kept.own.get_or_insert_with(begin))
    }
}

/// A command of §11 for a session.
struct Command<'a> {
    front: &'a WebDriver,
    authenticators: &'a Authenticators,
    session: String,
}

impl Command<'_> {
    async fn run(&self, method: Method, rest: Vec<String>, request: Request) -> Response {
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
        let body = axum::body::to_bytes(request.into_body(), BODY_LEN).await;
        let Ok(body) = body else {
            let why = format!("the body has {BODY_LEN} bytes at most");
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
            let session = sessions.entry(self.session.clone()).or_default();
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
