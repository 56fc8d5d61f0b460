//! The virtual authenticators of a front's clients: keys of a rig that come and go with their
//! sessions.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Configuration, Credential, FrontError, Notes, Refusal, Transport, credential::hex};
use crate::limits::MOST_AUTHENTICATORS;
use crate::rig::{
    KeyView, NewFault, NewKey, PasskeyEdit, PasskeyView, Rig, TouchAnswer, TouchPolicy, TouchRule,
    VerifyRule,
};

/// What is waited for.
pub type Waited<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The machine that the browser runs on.
pub trait Machine: Send + Sync {
    /// Waits until it has a key; says why it does not come.
    fn arrived(&self, key: KeyView) -> Waited<Result<(), String>>;

    /// Waits until it has lost one that was removed.
    fn gone(&self, key: KeyView) -> Waited<()>;
}

/// Where virtual authenticators come from. Clones are handles to the same.
#[derive(Clone)]
pub struct Authenticators {
    rig: Rig,
    machine: Arc<dyn Machine>,
    base: Option<Arc<NewKey>>,
    notes: Notes,
    /// Sites whose touches are approved; none means any.
    sites: Arc<[String]>,
    next: Arc<AtomicU64>,
    /// What the front has armed, by key.
    faults: Arc<tokio::sync::Mutex<BTreeMap<String, Faults>>>,
}

/// The faults of a key that are the front's.
#[derive(Default)]
struct Faults {
    /// What the client wants.
    wanted: Vec<&'static str>,
    /// What stands for a person who is not verified.
    unverified: Option<&'static str>,
    armed: Vec<u64>,
}

/// Only of who was verified, so that what needs nobody verified goes on.
const UNVERIFIED: &str = "spoil-uv";

impl Authenticators {
    /// Keys of `rig`, made after `base` where that says what a key is, for a browser on `machine`; touches are
    /// given for `sites`, or for all where there is none.
    pub fn new(
        rig: Rig,
        machine: Arc<dyn Machine>,
        base: Option<NewKey>,
        sites: Vec<String>,
    ) -> Self {
        Self {
            rig,
            machine,
            base: base.map(Arc::new),
            notes: Notes::default(),
            sites: sites.into(),
            next: Arc::default(),
            faults: Arc::default(),
        }
    }

    /// What there is to tell.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The keys that it makes keys of.
    pub fn rig(&self) -> &Rig {
        &self.rig
    }

    /// Makes one, and returns once the browser's machine has it: its id, which is the key's name.
    pub(super) async fn add(
        &self,
        configuration: &Configuration,
        have: usize,
    ) -> Result<String, FrontError> {
        if have >= MOST_AUTHENTICATORS {
            return Err(FrontError::failed(format!(
                "a session has {MOST_AUTHENTICATORS} keys at most: remove one first"
            )));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("roamkey-{}-{number}", std::process::id());
        let mut new = configuration.new_key(&id, self.base.as_deref());
        if let Some(touch) = &mut new.touch {
            touch.sites = self.sites.to_vec();
        }
        let key = self.rig.add_key(new).await?;
        if let Err(why) = self.machine.arrived(key).await {
            self.remove(&id).await?;
            return Err(FrontError::Failed(why));
        }
        if configuration.user_verification && !configuration.verified {
            self.set_verified(&id, false, configuration.refusal).await?;
        }
        Ok(id)
    }

    /// Takes one away; its device is gone when this returns.
    pub(super) async fn remove(&self, id: &str) -> Result<(), FrontError> {
        let removed = self.rig.remove_key(id).await?;
        self.faults.lock().await.remove(id);
        self.machine.gone(removed.key).await;
        Ok(())
    }

    /// Puts a credential in.
    pub(super) async fn inject(&self, id: &str, credential: &Credential) -> Result<(), FrontError> {
        // To the protocols an id names one credential, whichever site it is of.
        if self.rig.passkey(id, &hex(&credential.id)).await.is_ok() {
            return Err(FrontError::invalid("a credential has this credentialId"));
        }
        let made = self.rig.inject(id, credential.to_new()?).await?;
        if let Some(blob) = &credential.large_blob {
            let stored = self.rig.set_large_blob(id, &made.id, blob.clone()).await;
            if let Err(why) = stored {
                self.rig.delete_passkey(id, &made.id).await?;
                return Err(why.into());
            }
        }
        Ok(())
    }

    /// All of its credentials, the oldest first.
    pub(super) async fn credentials(&self, id: &str) -> Result<Vec<Credential>, FrontError> {
        let mut credentials = Vec::new();
        for view in self.rig.passkeys(id, None).await? {
            credentials.push(self.whole(id, &view).await?);
        }
        Ok(credentials)
    }

    /// One with all that there is of it.
    pub(super) async fn whole(
        &self,
        id: &str,
        view: &PasskeyView,
    ) -> Result<Credential, FrontError> {
        let private = self.rig.private_key(id, &view.id).await?;
        let mut credential = Credential::from_view(view, &private.private_key)?;
        if view.large_blob_key {
            credential.large_blob = self.rig.large_blob(id, &view.id).await?;
        }
        Ok(credential)
    }

    /// One credential.
    pub(super) async fn credential(
        &self,
        id: &str,
        credential: &[u8],
    ) -> Result<Credential, FrontError> {
        let view = self.rig.passkey(id, &hex(credential)).await?;
        self.whole(id, &view).await
    }

    /// Tells that an authenticator is none of ours.
    pub(super) fn note_browsers_own(&self, transport: Transport, beside_keys: bool) {
        let why = match transport {
            Transport::Usb => {
                "a page sees the browser's own authenticators or real keys, never both"
            }
            Transport::Nfc => "no USB key is nfc",
            Transport::Ble => "no USB key is ble",
            Transport::Other => "no USB key is a phone or a smart card",
            Transport::Internal => "no USB key is internal",
        };
        self.notes.tell(format!(
            "an authenticator is the browser's own, and no real key: {why}"
        ));
        if beside_keys {
            self.notes.tell(
                "a session has real keys and an authenticator of the browser's own: while that is \
                 there, its pages do not see the keys"
                    .to_owned(),
            );
        }
    }

    /// Deletes a credential.
    pub(super) async fn delete(&self, id: &str, credential: &[u8]) -> Result<(), FrontError> {
        self.rig.delete_passkey(id, &hex(credential)).await?;
        Ok(())
    }

    /// Deletes all of them.
    pub(super) async fn clear(&self, id: &str) -> Result<(), FrontError> {
        for view in self.rig.passkeys(id, None).await? {
            self.rig.delete_passkey(id, &view.id).await?;
        }
        Ok(())
    }

    /// Changes a credential's flags and counter.
    pub(super) async fn edit(
        &self,
        id: &str,
        credential: &[u8],
        edit: PasskeyEdit,
    ) -> Result<(), FrontError> {
        self.rig.edit_passkey(id, &hex(credential), edit).await?;
        Ok(())
    }

    /// Whether who touches it is who it knows. Attempts that were lost come back with a yes, as a
    /// virtual authenticator counts none.
    pub(super) async fn set_verified(
        &self,
        id: &str,
        verified: bool,
        refusal: Refusal,
    ) -> Result<(), FrontError> {
        let policy = TouchPolicy {
            verify: refusal.rule(verified),
            ..self.rig.touch_policy(id)?
        };
        self.rig.set_touch_policy(id, &policy)?;
        if verified {
            self.rig.restore_verification(id).await?;
        }
        let unverified = !verified && refusal == Refusal::BadAnswer;
        let unverified = unverified.then_some(UNVERIFIED);
        self.change_faults(id, |faults| faults.unverified = unverified)
            .await
    }

    /// Whether it is touched by itself; touches that wait are given when it is from now on.
    pub(super) async fn set_presence(&self, id: &str, automatic: bool) -> Result<(), FrontError> {
        let policy = TouchPolicy {
            touch: match automatic {
                true => TouchRule::Auto,
                false => TouchRule::Ask,
            },
            ..self.rig.touch_policy(id)?
        };
        self.rig.set_touch_policy(id, &policy)?;
        if automatic {
            let verified = policy.verify == VerifyRule::Pass;
            for touch in self.rig.touches(Some(id))? {
                let answer = match verified || touch.gesture != "finger" {
                    true => TouchAnswer::Approve,
                    false => TouchAnswer::NotVerified,
                };
                // One that was withdrawn meanwhile needs no answer.
                let _ = self.rig.answer_touch(touch.id, answer);
            }
        }
        Ok(())
    }

    /// What every answer is wrong in from now on, instead of what it was before.
    pub(super) async fn set_overrides(
        &self,
        id: &str,
        wrong: &[&'static str],
    ) -> Result<(), FrontError> {
        self.change_faults(id, |faults| faults.wanted = wrong.to_vec())
            .await
    }

    /// Arms what a key is to be wrong in from now on, and disarms what it was. Faults of others
    /// stay.
    async fn change_faults(
        &self,
        id: &str,
        change: impl FnOnce(&mut Faults),
    ) -> Result<(), FrontError> {
        let mut kept = self.faults.lock().await;
        let faults = kept.entry(id.to_owned()).or_default();
        change(faults);
        for armed in std::mem::take(&mut faults.armed) {
            // Who disarmed it before wanted that.
            let _ = self.rig.disarm_fault(id, armed).await;
        }
        let wrong: BTreeSet<_> = faults.wanted.iter().chain(&faults.unverified).collect();
        for fault in wrong {
            let new = NewFault {
                fault: (*fault).to_owned(),
                always: true,
                ..NewFault::default()
            };
            faults.armed.push(self.rig.arm_fault(id, &new).await?.id);
        }
        Ok(())
    }
}
