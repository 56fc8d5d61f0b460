//! The browser's own virtual authenticators in a session of the DevTools protocol: a test's
//! commands pass, and the control plane's are of the same kind.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{
    link::Link,
    message::{self, CdpError, Command, SessionId},
    parameters,
};
use crate::front::{
    Browser, Configuration, Credential, FrontError, Waited, browser::Session, credential::Alphabet,
};

/// A session as the control plane uses it.
struct Own {
    link: Link,
    session: SessionId,
}

impl Own {
    /// Asks the browser.
    fn ask(&self, name: &str, params: Value) -> Waited<Result<Value, FrontError>> {
        let (link, session) = (self.link.clone(), self.session.clone());
        let method = format!("WebAuthn.{name}");
        Box::pin(async move {
            let asked = link.ask(&session, &method, params).await;
            asked.map_err(FrontError::from)
        })
    }

    fn tell(&self, name: &str, params: Value) -> Waited<Result<(), FrontError>> {
        let asked = self.ask(name, params);
        Box::pin(async move { asked.await.map(drop) })
    }
}

impl Session for Own {
    fn add(&self, configuration: Configuration) -> Waited<Result<String, FrontError>> {
        let enable = self.ask("enable", json!({}));
        let options = parameters::options(&configuration);
        let add = self.ask("addVirtualAuthenticator", json!({ "options": options }));
        Box::pin(async move {
            enable.await?;
            let made = add.await?;
            let id = made.get("authenticatorId").and_then(Value::as_str);
            let id = id.ok_or_else(|| FrontError::failed("the browser names no authenticator"))?;
            Ok(id.to_owned())
        })
    }

    fn remove(&self, id: String) -> Waited<Result<(), FrontError>> {
        self.tell("removeVirtualAuthenticator", json!({"authenticatorId": id}))
    }

    fn credentials(&self, id: String) -> Waited<Result<Vec<Credential>, FrontError>> {
        let asked = self.ask("getCredentials", json!({"authenticatorId": id}));
        Box::pin(async move {
            let answer = asked.await?;
            let found = answer.get("credentials").and_then(Value::as_array);
            let found = found.into_iter().flatten().filter_map(Value::as_object);
            let read = found.map(|one| parameters::credential(one).map_err(FrontError::from));
            read.collect()
        })
    }

    fn inject(&self, id: String, credential: Credential) -> Waited<Result<(), FrontError>> {
        let shown = parameters::show(&credential);
        self.tell(
            "addCredential",
            json!({"authenticatorId": id, "credential": shown}),
        )
    }

    fn delete(&self, id: String, credential: Vec<u8>) -> Waited<Result<(), FrontError>> {
        let credential = Alphabet::Standard.encode(&credential);
        self.tell(
            "removeCredential",
            json!({"authenticatorId": id, "credentialId": credential}),
        )
    }

    fn set_verified(&self, id: String, verified: bool) -> Waited<Result<(), FrontError>> {
        self.tell(
            "setUserVerified",
            json!({"authenticatorId": id, "isUserVerified": verified}),
        )
    }

    fn set_presence(&self, id: String, automatic: bool) -> Waited<Result<(), FrontError>> {
        self.tell(
            "setAutomaticPresenceSimulation",
            json!({"authenticatorId": id, "enabled": automatic}),
        )
    }

    fn set_overrides(
        &self,
        id: String,
        wrong: Vec<&'static str>,
    ) -> Waited<Result<(), FrontError>> {
        let mut params = Map::new();
        params.insert("authenticatorId".to_owned(), id.into());
        for (name, fault) in parameters::OVERRIDES {
            params.insert(name.to_owned(), wrong.contains(&fault).into());
        }
        self.tell("setResponseOverrideBits", params.into())
    }
}

/// Passes the commands of a session on, one after the other, until nobody sends any.
pub(super) async fn run(
    mut commands: mpsc::Receiver<Command>,
    session: SessionId,
    browser: Browser,
    link: Link,
) {
    let own: Arc<dyn Session> = Arc::new(Own {
        link: link.clone(),
        session: session.clone(),
    });
    browser.begin(&own);
    while let Some(command) = commands.recv().await {
        let asked = link
            .ask(&session, &command.method, command.params.clone().into())
            .await;
        if let Ok(result) = &asked {
            note(&browser, &own, &command, result);
        }
        link.tell(message::answer(command.id, &session, asked))
            .await;
    }
    browser.end(&own);
}

fn note(browser: &Browser, own: &Arc<dyn Session>, command: &Command, result: &Value) {
    let params = &command.params;
    let id = |members: &Map<String, Value>| {
        let id = members.get("authenticatorId").and_then(Value::as_str);
        id.map(str::to_owned)
    };
    match command.method.as_str() {
        "WebAuthn.addVirtualAuthenticator" => {
            let options = parameters::object(params, "options");
            let read = options.and_then(parameters::configuration);
            if let (Ok((made, _)), Some(id)) = (read, result.as_object().and_then(id)) {
                browser.added(own, &id, &made);
            }
        }
        "WebAuthn.removeVirtualAuthenticator" => {
            if let Some(id) = id(params) {
                browser.removed(own, &id);
            }
        }
        "WebAuthn.disable" => {
            browser.end(own);
            browser.begin(own);
        }
        _ => {}
    }
}

impl From<CdpError> for FrontError {
    fn from(why: CdpError) -> Self {
        Self::Failed(format!("the browser said: {}", why.message()))
    }
}
