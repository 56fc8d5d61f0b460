//! The PIN of a key, under the rules that the key itself keeps (CTAP 2.1 §6.5.5).

use std::sync::Arc;

use roamkey_ctap::{ChangeSet, KeyState, PinRefusal, Profile};
use zeroize::Zeroizing;

use super::{NewPin, PinView, Rig, RigError, slot::Slot};
use crate::key::ChangeError;

impl Rig {
    /// What may be known of a key's PIN.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn pin(&self, key: &str) -> Result<PinView, RigError> {
        let slot = self.slot(key)?;
        let status = slot
            .handle
            .visit(|device, _| device.state().pin_status(device.profile()));
        let status = status.await.ok_or_else(|| slot.gone())?;
        Ok(PinView {
            key: slot.called(),
            offered: status.offered,
            is_set: status.is_set,
            retries: status.retries,
            blocked: status.is_set && status.retries == 0,
            min_length: status.min_length,
            must_change: status.must_change,
        })
    }

    /// Sets the first PIN, or changes it: an attempt is lost, durably, before the PIN is looked
    /// at, and the attempts are back once it was right, whatever is wrong with the new one.
    ///
    /// # Errors
    /// There is no such key, the PIN is wrong, or the new one breaks a rule.
    pub async fn set_pin(&self, key: &str, new: NewPin) -> Result<PinView, RigError> {
        let slot = self.slot(key)?;
        let new_pin = Zeroizing::new(new.new_pin);
        match new.pin {
            None => self.set_first_pin(&slot, new_pin).await?,
            Some(pin) => self.change_pin(&slot, Zeroizing::new(pin), new_pin).await?,
        }
        self.note(&slot, "PIN".to_owned());
        self.pin(&slot.bus_id()).await
    }

    async fn set_first_pin(&self, slot: &Slot, new_pin: Zeroizing<String>) -> Result<(), RigError> {
        let set = change(slot, move |state, profile| state.set_pin(profile, &new_pin));
        Ok(set.await?)
    }

    async fn change_pin(
        &self,
        slot: &Slot,
        pin: Zeroizing<String>,
        new_pin: Zeroizing<String>,
    ) -> Result<(), RigError> {
        change(slot, |state, profile| state.spend_pin_attempt(profile)).await?;
        // What was right is told apart from what the new PIN breaks: the attempts come back.
        let outcome = Arc::new(std::sync::Mutex::new(None));
        let told = Arc::clone(&outcome);
        change(slot, move |state, profile| {
            let mut told = told
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if !state.pin_is(&pin) {
                *told = Some(Wrong::Pin(state.pin_status(profile).retries));
                return Ok(ChangeSet::default());
            }
            match state.change_pin(profile, &new_pin) {
                Ok(set) => Ok(set),
                Err(why) => {
                    *told = Some(Wrong::New(why));
                    Ok(state.restore_pin_attempts())
                }
            }
        })
        .await?;
        let mut told = outcome
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match told.take() {
            None => Ok(()),
            Some(Wrong::New(why)) => Err(RigError::conflict(why)),
            Some(Wrong::Pin(0)) => Err(RigError::conflict(PinRefusal::Blocked)),
            Some(Wrong::Pin(left)) => {
                let attempts = if left == 1 { "attempt" } else { "attempts" };
                Err(RigError::forbidden(format!(
                    "the PIN is wrong, and nothing was changed. Left until it is blocked: {left} \
                     {attempts}"
                )))
            }
        }
    }
}

/// Why a PIN was not changed.
enum Wrong {
    /// It is another; so many attempts are left.
    Pin(u8),
    /// The new one breaks a rule.
    New(PinRefusal),
}

async fn change(
    slot: &Slot,
    mut change: impl FnMut(&KeyState, &Profile) -> Result<ChangeSet, PinRefusal> + Send + 'static,
) -> Result<(), ChangeError> {
    slot.handle
        .change(move |state, profile, _| change(state, profile).map_err(|why| why.to_string()))
        .await
}
