//! Keys, their passkeys and their PINs, wherever they are.

use super::{Desk, Done, client::Ask, running::named};
use crate::{
    cli::{Failure, output::shown, table::count},
    rig::{
        Cloned, KeyView, LossView, NewKey, NewPasskey, NewPin, PasskeyEdit, PasskeyView, PinView,
        PrivateKeyView,
    },
};

/// Its name, or its bus id where it has none; for a person.
pub(in crate::cli) fn called(key: &KeyView) -> String {
    shown(key.name.as_deref().unwrap_or(&key.bus_id))
}

impl Desk {
    /// Every key.
    pub(in crate::cli) fn keys(&self) -> Done<Vec<KeyView>> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.keys().await),
            Self::There(running) => running.keys(),
        }
    }

    /// One key, by its bus id or name.
    pub(in crate::cli) fn key(&self, key: &str) -> Done<KeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.key(key).await),
            Self::There(running) => running.key(key),
        }
    }

    /// The key that is named, or the only one there is.
    pub(in crate::cli) fn key_or_only(&self, named: Option<&str>) -> Done<KeyView> {
        if let Some(name) = named {
            return self.key(name);
        }
        let mut keys = self.keys()?;
        let place = match self {
            Self::Here(_) => "the vault",
            Self::There(_) => "the running roamkey",
        };
        match (keys.pop(), keys.as_slice()) {
            (Some(only), []) => Ok(only),
            (None, _) => Err(Failure::Failed(format!(
                "{place} has no keys: make one with `roamkey key add NAME`"
            ))),
            (Some(last), others) => {
                let names: Vec<_> = others.iter().chain([&last]).map(called).collect();
                Err(Failure::Usage(format!(
                    "{place} has {}: say which one with --key NAME ({})",
                    count(names.len(), "key"),
                    names.join(", ")
                )))
            }
        }
    }

    /// Makes a key.
    pub(in crate::cli) fn add_key(&self, new: NewKey) -> Done<KeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.add_key(new).await),
            Self::There(running) => running.ask(Ask::post(["keys"]).body(&new)),
        }
    }

    /// Makes a stored key like one that is there.
    pub(in crate::cli) fn clone_key(&self, key: &str, clone: Cloned) -> Done<KeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.clone_key(key, clone).await),
            Self::There(running) => running.ask(Ask::post(["keys", key, "clone"]).body(&clone)),
        }
    }

    /// Gives a key another name.
    pub(in crate::cli) fn rename_key(&self, key: &str, name: &str) -> Done<KeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.rename_key(key, name).await),
            Self::There(running) => running.ask(Ask::patch(["keys", key]).body(&named(name))),
        }
    }

    /// What removing or wiping a key loses.
    pub(in crate::cli) fn loss(&self, key: &str) -> Done<LossView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.loss(key).await),
            Self::There(running) => running.ask(Ask::get(["keys", key, "loss"])),
        }
    }

    /// Removes a key with everything in it.
    pub(in crate::cli) fn remove_key(&self, key: &str) -> Done<LossView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.remove_key(key).await),
            Self::There(running) => running.ask(Ask::delete(["keys", key])),
        }
    }

    /// Makes a key as good as new.
    pub(in crate::cli) fn wipe_key(&self, key: &str) -> Done<LossView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.wipe_key(key).await),
            Self::There(running) => running.ask(Ask::post(["keys", key, "wipe"])),
        }
    }

    /// What may be known of a key's PIN.
    pub(in crate::cli) fn pin(&self, key: &str) -> Done<PinView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.pin(key).await),
            Self::There(running) => running.ask(Ask::get(["keys", key, "pin"])),
        }
    }

    /// Sets the first PIN, or changes it.
    pub(in crate::cli) fn set_pin(&self, key: &str, new: NewPin) -> Done<PinView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.set_pin(key, new).await),
            Self::There(running) => running.ask(Ask::put(["keys", key, "pin"]).body(&new)),
        }
    }

    /// The passkeys of a key, the oldest first.
    pub(in crate::cli) fn passkeys(&self, key: &str, rp: Option<&str>) -> Done<Vec<PasskeyView>> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.passkeys(key, rp).await),
            Self::There(running) => {
                let ask = Ask::get(["keys", key, "passkeys"]);
                running.list(ask.with("rp", rp), "passkeys")
            }
        }
    }

    /// One passkey, with its public key.
    pub(in crate::cli) fn passkey(&self, key: &str, id: &str) -> Done<PasskeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.passkey(key, id).await),
            Self::There(running) => running.ask(Ask::get(["keys", key, "passkeys", id])),
        }
    }

    /// Puts a passkey into a key.
    pub(in crate::cli) fn inject(&self, key: &str, new: NewPasskey) -> Done<PasskeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.inject(key, new).await),
            Self::There(running) => running.ask(Ask::post(["keys", key, "passkeys"]).body(&new)),
        }
    }

    /// Changes a passkey.
    pub(in crate::cli) fn edit_passkey(
        &self,
        key: &str,
        id: &str,
        edit: PasskeyEdit,
    ) -> Done<PasskeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.edit_passkey(key, id, edit).await),
            Self::There(running) => {
                running.ask(Ask::patch(["keys", key, "passkeys", id]).body(&edit))
            }
        }
    }

    /// Deletes a passkey; what it was.
    pub(in crate::cli) fn delete_passkey(&self, key: &str, id: &str) -> Done<PasskeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.delete_passkey(key, id).await),
            Self::There(running) => running.ask(Ask::delete(["keys", key, "passkeys", id])),
        }
    }

    /// A passkey's private key.
    pub(in crate::cli) fn private_key(&self, key: &str, id: &str) -> Done<PrivateKeyView> {
        match self {
            Self::Here(here) => here.ask(async |rig| rig.private_key(key, id).await),
            Self::There(running) => {
                running.ask(Ask::get(["keys", key, "passkeys", id, "private-key"]))
            }
        }
    }
}
