//! What the domain tells of its own: credentials that came, went, changed and were used.

use serde_json::{Value, json};

use super::{
    domain::{Domain, seen},
    message::{self, SessionId},
    parameters,
};
use crate::{
    front::credential::{Alphabet, bytes},
    journal::{Entry, Event},
    rig::PasskeyView,
};

/// The events that an entry of the journal makes.
pub(super) async fn of(domain: &mut Domain, entry: &Entry) -> Vec<String> {
    let Event::Finished {
        command, details, ..
    } = &entry.event
    else {
        return Vec::new();
    };
    let Some(key) = domain.keys.iter_mut().find(|key| key.bus_id == entry.key) else {
        return Vec::new();
    };
    // One that is gone by now has nothing to tell.
    let Ok(passkeys) = domain.authenticators.rig().passkeys(&key.id, None).await else {
        return Vec::new();
    };
    let now = seen(passkeys);
    let before = std::mem::replace(&mut key.seen, now.clone());
    let used = details.get("credential.id").and_then(Value::as_str);
    let used = used.filter(|_| command.contains("assertion"));
    let id = key.id.clone();
    let mut told: Vec<_> = before
        .keys()
        .filter(|id| !now.contains_key(*id))
        .map(|gone| deleted(&domain.session, &id, gone))
        .collect();
    for (credential_id, view) in &now {
        let method = match before.get(credential_id) {
            None => "WebAuthn.credentialAdded",
            Some(old) if was_used(old, view, used) => "WebAuthn.credentialAsserted",
            Some(old) if old != view => "WebAuthn.credentialUpdated",
            Some(_) => continue,
        };
        // One that was deleted since is told of as deleted, a moment later.
        if let Ok(credential) = domain.authenticators.whole(&id, view).await {
            let shown = parameters::show(&credential);
            let params = json!({"authenticatorId": id, "credential": shown});
            told.push(message::event(method, &domain.session, params));
        }
    }
    told
}

/// That a credential, of this id in hexadecimal, is gone.
pub(super) fn deleted(session: &SessionId, id: &str, credential: &str) -> String {
    let credential = bytes(credential).unwrap_or_default();
    let params = json!({
        "authenticatorId": id,
        "credentialId": Alphabet::Standard.encode(&credential),
    });
    message::event("WebAuthn.credentialDeleted", session, params)
}

/// Whether a credential signed: its counter rose, or it is one without and was named.
fn was_used(old: &PasskeyView, view: &PasskeyView, used: Option<&str>) -> bool {
    let named = used.map(|used| used.trim_end_matches('.'));
    let named = named.is_some_and(|start| !start.is_empty() && view.id.starts_with(start));
    view.counter != old.counter || view.backup_eligible && named
}
