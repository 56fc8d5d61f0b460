//! The commands of the domain `WebAuthn` for one session.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    events,
    link::Link,
    message::{CdpError, Command, SessionId},
    parameters,
};
use crate::{
    front::{Authenticators, Refusal, Transport},
    rig::PasskeyView,
};

/// The domain's commands; others are none, whatever they carry.
const METHODS: [&str; 13] = [
    "enable",
    "disable",
    "addVirtualAuthenticator",
    "removeVirtualAuthenticator",
    "setResponseOverrideBits",
    "addCredential",
    "getCredential",
    "getCredentials",
    "removeCredential",
    "clearCredentials",
    "setUserVerified",
    "setAutomaticPresenceSimulation",
    "setCredentialProperties",
];

/// The credentials of a key as the client was told of them last, by id.
pub(super) type Seen = BTreeMap<String, PasskeyView>;

/// A key of the session.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) bus_id: String,
    pub(super) seen: Seen,
}

/// What a session has.
pub(super) struct Domain {
    pub(super) session: SessionId,
    pub(super) authenticators: Authenticators,
    pub(super) keys: Vec<Key>,
    link: Link,
    enabled: bool,
    /// What `enable` said, for the browser where it comes to that.
    enable: Map<String, Value>,
    /// The browser's own virtual environment is on: pages see its authenticators alone.
    browsers_own: bool,
}

impl Domain {
    pub(super) fn new(session: SessionId, authenticators: Authenticators, link: Link) -> Self {
        Self {
            session,
            authenticators,
            keys: Vec::new(),
            link,
            enabled: false,
            enable: Map::new(),
            browsers_own: false,
        }
    }

    pub(super) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Waits until what hosts had answered by its keys is in the journal.
    pub(super) async fn settle(&self) {
        for key in &self.keys {
            // One that is gone answers nobody.
            let _ = self.authenticators.rig().key(&key.id).await;
        }
    }

    /// The session is over: its keys go.
    pub(super) async fn end(&mut self) {
        for key in std::mem::take(&mut self.keys) {
            // One that was removed by its owner meanwhile is gone as well.
            let _ = self.authenticators.remove(&key.id).await;
        }
    }

    /// Does a command.
    pub(super) async fn run(&mut self, command: Command) -> Result<Value, CdpError> {
        let Command { method, params, .. } = command;
        let name = method.strip_prefix("WebAuthn.").unwrap_or_default();
        if !METHODS.contains(&name) {
            return Err(CdpError::no_method(&method));
        }
        if name == "enable" {
            (self.enabled, self.enable) = (true, params);
            return Ok(json!({}));
        }
        if !self.enabled {
            return Err(CdpError::failed(
                "The Virtual Authenticator Environment has not been enabled for this session",
            ));
        }
        match name {
            "disable" => self.disable().await,
            "addVirtualAuthenticator" => self.add(params).await,
            _ => {
                let id = parameters::text(&params, "authenticatorId")?;
                let id = parameters::needed(id, "authenticatorId")?.to_owned();
                if !self.keys.iter().any(|key| key.id == id) {
                    return match self.browsers_own {
                        true => self.ask(&method, params).await,
                        false => Err(CdpError::invalid(
                            "Could not find a Virtual Authenticator matching the ID",
                        )),
                    };
                }
                let done = self.of_key(name, &id, &params).await;
                if !name.starts_with("get") {
                    // What the client did itself is no news to it, but for what it deleted: so
                    // do browsers.
                    self.look(&id).await?;
                }
                done
            }
        }
    }

    /// Passes a command on.
    async fn ask(&self, method: &str, params: Map<String, Value>) -> Result<Value, CdpError> {
        self.link.ask(&self.session, method, params.into()).await
    }

    async fn disable(&mut self) -> Result<Value, CdpError> {
        self.end().await;
        self.enabled = false;
        if std::mem::take(&mut self.browsers_own) {
            self.ask("WebAuthn.disable", Map::new()).await?;
        }
        Ok(json!({}))
    }

    async fn add(&mut self, params: Map<String, Value>) -> Result<Value, CdpError> {
        let options = parameters::object(&params, "options")?;
        let (mut configuration, transport) = parameters::configuration(options)?;
        // Who speaks this protocol is made of Chromium.
        configuration.refusal = Refusal::BadAnswer;
        if transport != Transport::Usb || self.browsers_own {
            return self.add_browsers_own(transport, params).await;
        }
        let have = self.keys.len();
        let id = self.authenticators.add(&configuration, have).await?;
        let view = self.authenticators.rig().key(&id).await;
        let view = view.map_err(|why| CdpError::failed(why.text))?;
        self.keys.push(Key {
            id: id.clone(),
            bus_id: view.bus_id,
            seen: Seen::new(),
        });
        Ok(json!({ "authenticatorId": id }))
    }

    async fn add_browsers_own(
        &mut self,
        transport: Transport,
        params: Map<String, Value>,
    ) -> Result<Value, CdpError> {
        let first = !self.browsers_own;
        if first {
            self.ask("WebAuthn.enable", self.enable.clone()).await?;
        }
        let added = self.ask("WebAuthn.addVirtualAuthenticator", params).await;
        if added.is_ok() {
            self.browsers_own = true;
            self.authenticators
                .note_browsers_own(transport, self.has_keys());
        } else if first {
            // Nothing is there that is worth hiding the keys for.
            self.ask("WebAuthn.disable", Map::new()).await?;
        }
        added
    }

    async fn of_key(
        &mut self,
        name: &str,
        id: &str,
        params: &Map<String, Value>,
    ) -> Result<Value, CdpError> {
        let keys = &self.authenticators;
        match name {
            "removeVirtualAuthenticator" => {
                keys.remove(id).await?;
                self.keys.retain(|key| key.id != id);
            }
            "addCredential" => {
                let credential = parameters::object(params, "credential")?;
                let credential = parameters::credential(credential)?;
                keys.inject(id, &credential).await?;
            }
            "getCredentials" => {
                let credentials = keys.credentials(id).await?;
                let shown: Vec<_> = credentials.iter().map(parameters::show).collect();
                return Ok(json!({ "credentials": shown }));
            }
            "getCredential" => {
                let wanted = parameters::credential_id(params)?;
                let credential = keys.credential(id, &wanted).await?;
                return Ok(json!({ "credential": parameters::show(&credential) }));
            }
            "removeCredential" => keys.delete(id, &parameters::credential_id(params)?).await?,
            "clearCredentials" => keys.clear(id).await?,
            "setUserVerified" => {
                let verified = parameters::flag(params, "isUserVerified")?;
                let verified = parameters::needed(verified, "isUserVerified")?;
                keys.set_verified(id, verified, Refusal::BadAnswer).await?;
            }
            "setAutomaticPresenceSimulation" => {
                let enabled = parameters::flag(params, "enabled")?;
                keys.set_presence(id, parameters::needed(enabled, "enabled")?)
                    .await?;
            }
            "setResponseOverrideBits" => {
                let wrong = overrides(params)?;
                keys.set_overrides(id, &wrong).await?;
            }
            "setCredentialProperties" => {
                let credential = parameters::credential_id(params)?;
                keys.edit(id, &credential, parameters::properties(params)?)
                    .await?;
            }
            other => return Err(CdpError::no_method(&format!("WebAuthn.{other}"))),
        }
        Ok(json!({}))
    }

    /// Remembers the credentials of a key as they are.
    async fn look(&mut self, id: &str) -> Result<(), CdpError> {
        let Some(key) = self.keys.iter_mut().find(|key| key.id == id) else {
            return Ok(());
        };
        let passkeys = self.authenticators.rig().passkeys(id, None).await;
        let passkeys = passkeys.map_err(|why| CdpError::failed(why.text))?;
        let before = std::mem::replace(&mut key.seen, seen(passkeys));
        for deleted in before.keys().filter(|id| !key.seen.contains_key(*id)) {
            let event = events::deleted(&self.session, id, deleted);
            self.link.tell(event).await;
        }
        Ok(())
    }
}

pub(super) fn seen(passkeys: Vec<PasskeyView>) -> Seen {
    let by_id = passkeys.into_iter();
    by_id.map(|one| (one.id.clone(), one)).collect()
}

/// The faults that setResponseOverrideBits asks for.
fn overrides(params: &Map<String, Value>) -> Result<Vec<&'static str>, CdpError> {
    let mut wrong = Vec::new();
    for (name, fault) in parameters::OVERRIDES {
        if parameters::flag(params, name)?.unwrap_or(false) {
            wrong.push(fault);
        }
    }
    Ok(wrong)
}
