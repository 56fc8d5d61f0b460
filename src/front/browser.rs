//! A browser's own virtual authenticators, where no real key can be: those that tests make through
//! the fronts, for the control plane to look at and change as far as the browser can.
//!
//! Deliberately absent: whatever a virtual authenticator has not, such as a PIN, a wire or a
//! certificate. Nobody is to believe that a device was tested.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Configuration, Credential, FrontError, Protocol, Waited};
use crate::{
    front::credential::{bytes, hex},
    rig::{KeyView, NewKey, NewPasskey, PasskeyView, TouchPolicy, TouchRule, VerifyRule},
};

/// What `profile` says of such a key.
const PROFILE: &str = "a virtual authenticator of the browser";

/// The faults that a browser's own authenticators can be made to have.
const FAULTS: [&str; 3] = ["bad-signature", "clear-uv", "clear-up"];

/// What answers for a session of a test: its front.
pub(super) trait Session: Send + Sync {
    /// Makes one: its id.
    fn add(&self, configuration: Configuration) -> Waited<Result<String, FrontError>>;
    /// Takes one away.
    fn remove(&self, id: String) -> Waited<Result<(), FrontError>>;
    /// Its credentials.
    fn credentials(&self, id: String) -> Waited<Result<Vec<Credential>, FrontError>>;
    /// Puts one in.
    fn inject(&self, id: String, credential: Credential) -> Waited<Result<(), FrontError>>;
    /// Takes one out.
    fn delete(&self, id: String, credential: Vec<u8>) -> Waited<Result<(), FrontError>>;
    /// Whether its person is verified.
    fn set_verified(&self, id: String, verified: bool) -> Waited<Result<(), FrontError>>;
    /// Whether it is touched by itself.
    fn set_presence(&self, id: String, automatic: bool) -> Waited<Result<(), FrontError>>;
    /// What is wrong with its answers, of [`FAULTS`].
    fn set_overrides(&self, id: String, wrong: Vec<&'static str>)
    -> Waited<Result<(), FrontError>>;
}

/// One of them.
#[derive(Clone)]
struct Own {
    id: String,
    session: Arc<dyn Session>,
    touch: TouchPolicy,
    faults: Vec<&'static str>,
}

#[derive(Default)]
struct Kept {
    sessions: Vec<Arc<dyn Session>>,
    own: Vec<Own>,
}

/// The browser's own virtual authenticators that there are. Clones are handles to the same.
#[derive(Clone, Default)]
pub struct Browser(Arc<Mutex<Kept>>);

impl Browser {
    /// A session began; the newest is where new ones are made.
    pub(super) fn begin(&self, session: &Arc<dyn Session>) {
        self.lock().sessions.push(Arc::clone(session));
    }

    /// A session is over, and its authenticators with it.
    pub(super) fn end(&self, session: &Arc<dyn Session>) {
        let mut kept = self.lock();
        kept.sessions.retain(|one| !Arc::ptr_eq(one, session));
        kept.own.retain(|own| !Arc::ptr_eq(&own.session, session));
    }

    /// A test has made one.
    pub(super) fn added(&self, session: &Arc<dyn Session>, id: &str, made: &Configuration) {
        self.lock().own.push(Own {
            id: id.to_owned(),
            session: Arc::clone(session),
            touch: made.touch(),
            faults: Vec::new(),
        });
    }

    /// A test has taken one away.
    pub(super) fn removed(&self, session: &Arc<dyn Session>, id: &str) {
        let mut kept = self.lock();
        kept.own
            .retain(|own| own.id != id || !Arc::ptr_eq(&own.session, session));
    }

    /// Those that there are.
    pub(crate) async fn keys(&self) -> Result<Vec<KeyView>, FrontError> {
        let own = self.lock().own.clone();
        let mut keys = Vec::new();
        for own in own {
            keys.push(view(&own).await?);
        }
        Ok(keys)
    }

    /// One of them.
    pub(crate) async fn key(&self, id: &str) -> Result<KeyView, FrontError> {
        view(&self.find(id)?).await
    }

    /// Makes one in the newest session.
    pub(crate) async fn add_key(&self, new: NewKey) -> Result<KeyView, FrontError> {
        let configuration = configuration_of(&new)?;
        let session = self.lock().sessions.last().cloned();
        let session = session.ok_or_else(|| {
            FrontError::failed(
                "no test has a session with the browser through a front, and its virtual \
                 authenticators belong to sessions: begin one first",
            )
        })?;
        let id = session.add(configuration.clone()).await?;
        self.added(&session, &id, &configuration);
        self.key(&id).await
    }

    /// Takes one away.
    pub(crate) async fn remove_key(&self, id: &str) -> Result<KeyView, FrontError> {
        let own = self.find(id)?;
        let view = view(&own).await?;
        own.session.remove(own.id.clone()).await?;
        self.removed(&own.session, id);
        Ok(view)
    }

    /// The credentials of one.
    pub(crate) async fn passkeys(&self, id: &str) -> Result<Vec<PasskeyView>, FrontError> {
        let own = self.find(id)?;
        let credentials = own.session.credentials(own.id.clone()).await?;
        let views = credentials.iter().zip(0..);
        Ok(views
            .map(|(one, number)| passkey(id, one, number))
            .collect())
    }

    /// Puts a credential into one.
    pub(crate) async fn inject(
        &self,
        id: &str,
        new: NewPasskey,
    ) -> Result<PasskeyView, FrontError> {
        let own = self.find(id)?;
        let credential = Credential::from_new(&new)?;
        own.session
            .inject(own.id.clone(), credential.clone())
            .await?;
        Ok(passkey(id, &credential, 0))
    }

    /// Takes a credential out of one.
    pub(crate) async fn delete_passkey(
        &self,
        id: &str,
        credential: &str,
    ) -> Result<PasskeyView, FrontError> {
        let own = self.find(id)?;
        let passkeys = self.passkeys(id).await?;
        let found = passkeys.into_iter().find(|one| one.id == credential);
        let found = found.ok_or_else(|| {
            FrontError::invalid(format!("the authenticator {id} has no such credential"))
        })?;
        let credential = bytes(credential)?;
        own.session.delete(own.id.clone(), credential).await?;
        Ok(found)
    }

    /// How its touches are decided.
    pub(crate) fn touch_policy(&self, id: &str) -> Result<TouchPolicy, FrontError> {
        Ok(self.find(id)?.touch)
    }

    /// Decides them so, as far as a browser does.
    pub(crate) async fn set_touch_policy(
        &self,
        id: &str,
        policy: &TouchPolicy,
    ) -> Result<(), FrontError> {
        let own = self.find(id)?;
        let automatic = match policy.touch {
            TouchRule::Auto => true,
            TouchRule::Never | TouchRule::Ask => false,
            TouchRule::Deny | TouchRule::Delay => return Err(unsupported("deny and delay")),
        };
        if !policy.sites.is_empty() || !policy.script.is_empty() {
            return Err(unsupported("sites and scripts of touches"));
        }
        let verified = match policy.verify {
            VerifyRule::Pass => true,
            VerifyRule::Fail => false,
            VerifyRule::Ask => return Err(unsupported("asking who it is")),
        };
        if own.touch.touch != policy.touch {
            own.session.set_presence(own.id.clone(), automatic).await?;
        }
        own.session.set_verified(own.id.clone(), verified).await?;
        self.change(id, |own| own.touch = policy.clone());
        Ok(())
    }

    /// The faults that it has until they are disarmed.
    pub(crate) fn faults(&self, id: &str) -> Result<Vec<&'static str>, FrontError> {
        Ok(self.find(id)?.faults)
    }

    /// Makes it have one more of [`FAULTS`], for every operation; or none at all.
    pub(crate) async fn set_fault(&self, id: &str, fault: Option<&str>) -> Result<(), FrontError> {
        let own = self.find(id)?;
        let mut faults = own.faults;
        match fault {
            None => faults.clear(),
            Some(wanted) => {
                let known = FAULTS.into_iter().find(|known| *known == wanted);
                let known = known.ok_or_else(|| unsupported(&format!("the fault {wanted}")))?;
                if !faults.contains(&known) {
                    faults.push(known);
                }
            }
        }
        own.session
            .set_overrides(own.id.clone(), faults.clone())
            .await?;
        self.change(id, |own| own.faults = faults.clone());
        Ok(())
    }

    fn find(&self, id: &str) -> Result<Own, FrontError> {
        let kept = self.lock();
        let found = kept.own.iter().find(|own| own.id == id);
        found.cloned().ok_or_else(|| {
            FrontError::invalid(format!(
                "no test has an authenticator {id:?} in the browser"
            ))
        })
    }

    fn change(&self, id: &str, change: impl Fn(&mut Own)) {
        let mut kept = self.lock();
        kept.own
            .iter_mut()
            .filter(|own| own.id == id)
            .for_each(change);
    }

    /// No code between lock and unlock can panic, so a poisoned list is still whole.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a browser's own authenticators cannot.
pub(crate) fn unsupported(what: &str) -> FrontError {
    FrontError::Unsupported(format!(
        "unsupported: {what}, which no virtual authenticator of a browser has; a real key does \
         (--require-backend usbip or uhid)"
    ))
}

async fn view(own: &Own) -> Result<KeyView, FrontError> {
    let credentials = own.session.credentials(own.id.clone()).await?;
    Ok(KeyView {
        bus_id: own.id.clone(),
        name: Some(own.id.clone()),
        id: None,
        serial: String::new(),
        profile: PROFILE.to_owned(),
        created: 0,
        stored: false,
        exportable: true,
        passkeys: credentials.len(),
        pin_is_set: false,
        plugged: true,
        host: Some("the browser itself".to_owned()),
        touch: own.touch.clone(),
    })
}

fn passkey(key: &str, credential: &Credential, sequence: u64) -> PasskeyView {
    let rp_id = credential.rp_id.clone().unwrap_or_default();
    PasskeyView {
        id: hex(&credential.id),
        key: key.to_owned(),
        rp_id_hash: hex(&roamkey_ctap::RpIdHash::of(&rp_id).0),
        rp_id,
        rp_name: None,
        user_handle: hex(credential.user_handle.as_deref().unwrap_or_default()),
        user_name: credential.user_name.clone(),
        user_display_name: credential.user_display_name.clone(),
        // The only one that they sign with.
        algorithm: -7,
        cred_protect: 1,
        cred_blob_len: None,
        large_blob_key: credential.large_blob.is_some(),
        counter: credential.sign_count,
        counter_ceiling: credential.sign_count,
        backup_eligible: credential.backup_eligible.unwrap_or(false),
        backup_state: credential.backup_state.unwrap_or(false),
        discoverable: credential.resident,
        sequence,
        public_key: None,
    }
}

/// Of a key's profile a browser knows what kind it is, and no more.
fn configuration_of(new: &NewKey) -> Result<Configuration, FrontError> {
    if new.stored || new.unplugged || new.profile_toml.is_some() || new.overrides.is_some() {
        return Err(unsupported(
            "a profile of one's own, a vault, and unplugging",
        ));
    }
    let mut configuration = match new.profile.as_deref() {
        None | Some("default") => Configuration::new(Protocol::Ctap2_1),
        Some("bio") => Configuration {
            user_verification: true,
            verified: true,
            ..Configuration::new(Protocol::Ctap2_1)
        },
        Some("u2f-only") => return Ok(Configuration::new(Protocol::U2f)),
        Some("fido-2.0") => Configuration::new(Protocol::Ctap2),
        Some(other) => return Err(unsupported(&format!("the profile {other}"))),
    };
    configuration.resident_keys = true;
    if let Some(touch) = &new.touch {
        configuration.waiting = touch.touch != TouchRule::Auto;
    }
    Ok(configuration)
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.lock();
        let ids: Vec<_> = kept.own.iter().map(|own| own.id.as_str()).collect();
        f.debug_tuple("Browser").field(&ids).finish()
    }
}
