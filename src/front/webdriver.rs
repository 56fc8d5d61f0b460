//! The WebDriver front: everything goes to the driver behind it but the virtual authenticators of
//! WebAuthn §11 ("User Agent Automation"), which are keys here.
//!
//! An authenticator of the browser's own (one that is internal, say) is asked for from the driver
//! and known by the driver's id, so whatever names it is passed on.

mod answer;
mod command;
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
    extract::{Request, State},
    http::{Method, header},
    response::Response,
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{Authenticators, Browser, FrontError, Keys, Refusal, Upstream, guard};
use crate::{
    http::{self, Listener, Presence, Served},
    limits,
};
use answer::WebDriverError;
use command::Command;
use own::Own;

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
    limits: Arc<limits::Front>,
    /// For what is done to the end, whether or not its client waits.
    commands: Arc<Semaphore>,
    /// For WebSockets, which pass.
    sockets: Arc<Semaphore>,
}

/// A WebDriver front. Clones are handles to the same.
#[derive(Clone)]
pub struct WebDriver(Arc<Inner>);

impl WebDriver {
    /// A front before a driver.
    pub fn new(upstream: Upstream, keys: Keys) -> Self {
        Self::limited(upstream, keys, limits::Front::default())
    }

    /// One whose clients may take so much.
    pub fn limited(upstream: Upstream, keys: Keys, limits: limits::Front) -> Self {
        let limits = Arc::new(limits);
        Self(Arc::new(Inner {
            upstream: upstream.limited(&limits),
            keys,
            sessions: Mutex::default(),
            commands: Arc::new(Semaphore::new(limits.commands)),
            sockets: Arc::new(Semaphore::new(limits.sockets)),
            limits,
        }))
    }

    /// Serves clients until it is dropped.
    ///
    /// # Errors
    /// None: it waits for a listener that the system does not let accept.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let served = Served {
            name: "the WebDriver front",
            router: Router::new().fallback(handle).with_state(self.clone()),
            limits: self.0.limits.http(),
        };
        tokio::select! {
            () = http::serve(Listener::Tcp(listener), served, std::future::pending) => {}
            () = self.look_after_sessions() => {}
        }
        Ok(())
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

    /// A session that the driver has; `None` where there are too many already.
    fn session_in<'a>(
        &self,
        sessions: &'a mut BTreeMap<String, Session>,
        session: &str,
    ) -> Option<&'a mut Session> {
        if sessions.len() >= self.0.limits.sessions && !sessions.contains_key(session) {
            return None;
        }
        Some(sessions.entry(session.to_owned()).or_default())
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
    if let Some(presence) = request.extensions().get::<Presence>() {
        presence.is_known();
    }
    let request = http::paced(request, front.0.limits.pause);
    let path = front.local_path(request.uri().path());
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let method = request.method().clone();
    match (&front.0.keys, parts.as_slice()) {
        (
            Keys::Real(authenticators),
            ["session", session, "webauthn", "authenticator", rest @ ..],
        ) => {
            let place = match place(
                &front.0.commands,
                "commands for authenticators are on their way",
            ) {
                Ok(place) => place,
                Err(why) => return why.into_response(),
            };
            let (session, rest) = (session.to_string(), owned(rest));
            let (authenticators, front) = (authenticators.clone(), front.clone());
            // To the end, whether or not the client waits for it: half a key would be worse.
            let work = tokio::spawn(async move {
                let _place = place;
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

/// One of a bounded number of places.
fn place(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, WebDriverError> {
    let place = Arc::clone(places).try_acquire_owned();
    let why = format!("too many {what}: wait for one to end");
    place.map_err(|_| FrontError::failed(why).into())
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
        let is_socket = request.headers().contains_key(header::UPGRADE);
        let place = is_socket.then(|| place(&self.0.sockets, "WebSockets are open"));
        let place = match place.transpose() {
            Ok(place) => place,
            Err(why) => return why.into_response(),
        };
        match self.0.upstream.pass(request, place).await {
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
        let most = self.0.limits.capabilities_len;
        let Ok(body) = axum::body::to_bytes(body, most).await else {
            let why = format!("capabilities have {most} bytes at most, and come without a pause");
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
        let Ok(body) = axum::body::to_bytes(body, most).await else {
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
            if let Some(session) = self.session_in(&mut sessions, session) {
                session.refusal = refusal;
            }
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
        let body = axum::body::to_bytes(request.into_body(), self.0.limits.body_len).await;
        let body: Option<Value> = body
            .ok()
            .and_then(|body| serde_json::from_slice(&body).ok());
        let asked = self.0.upstream.ask(method, &path, body.as_ref()).await;
        let (status, answer) = match asked {
            Ok(answered) => answered,
            Err(why) => return WebDriverError::upstream(why).into_response(),
        };
        if status.is_success()
            && let Some(own) = self.own_of(browser, &session)
        {
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

    /// What the control plane reaches a session's by; `None` where there are too many.
    fn own_of(&self, browser: &Browser, session: &str) -> Option<Arc<dyn super::browser::Session>> {
        let mut sessions = self.sessions();
        let kept = self.session_in(&mut sessions, session)?;
        let begin = || {
            let own: Arc<dyn super::browser::Session> = Arc::new(Own {
                upstream: self.0.upstream.clone(),
                session: session.to_owned(),
            });
            browser.begin(&own);
            own
        };
        Some(Arc::clone(kept.own.get_or_insert_with(begin)))
    }
}
