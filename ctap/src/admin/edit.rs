//! What of a passkey its owner changes.
//!
//! Deliberately absent: its id, site and private key. With another of these it is another passkey.

use super::{
    PasskeyRefusal,
    inject::{check_backup, check_user_id},
};
use crate::{
    credential::{Credential, CredentialId, truncated},
    profile::Profile,
    state::{ChangeSet, KeyState, Record},
};

/// Changes of a passkey; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PasskeyEdit {
    /// The account's name; an empty one removes it.
    pub name: Option<String>,
    /// The person's name; an empty one removes it.
    pub display_name: Option<String>,
    /// The user handle.
    pub user_id: Option<Vec<u8>>,
    /// The last value of its signature counter: its next assertion has the next one. Sites take a
    /// counter that goes back for a copied key. Of a backup eligible passkey it is 0, whatever is
    /// set.
    pub counter: Option<u32>,
    /// Flag BE of its assertions.
    pub backup_eligible: Option<bool>,
    /// Flag BS of its assertions.
    pub backup_state: Option<bool>,
}

impl PasskeyEdit {
    /// Whether more than the counter changes.
    fn concerns_credential(&self) -> bool {
        let Self {
            name,
            display_name,
            user_id,
            counter: _,
            backup_eligible,
            backup_state,
        } = self;
        name.is_some()
            || display_name.is_some()
            || user_id.is_some()
            || backup_eligible.is_some()
            || backup_state.is_some()
    }
}

impl KeyState {
    /// Changes a passkey. Names are cut as all names are (CTAP 2.1 §6.8.6). A counter that is set
    /// counts from there only where the set is the owner's ([`crate::Device::handle_admin`]) or
    /// after the key is loaded again.
    ///
    /// # Errors
    /// There is no such passkey, or what would change breaks a rule.
    pub fn edit_passkey(
        &self,
        profile: &Profile,
        id: &CredentialId,
        edit: PasskeyEdit,
    ) -> Result<ChangeSet, PasskeyRefusal> {
        let mut set = ChangeSet::default();
        let counter = edit.counter;
        if edit.concerns_credential() {
            let credential = self.edited(id, edit)?;
            check_backup(profile, &credential)?;
            set.put(Record::Credential(credential));
        } else if self.passkey(id).is_none() {
            return Err(PasskeyRefusal::NotFound);
        }
        if let Some(ceiling) = counter {
            set.put(Record::CredentialCounter { id: *id, ceiling });
        }
        Ok(set)
    }

    /// Gives an account other names: none, where one is absent or empty, and cut as all names
    /// are (CTAP 2.1 §6.8.6). `None` if there is no such credential.
    pub fn rename_passkey(
        &self,
        id: &CredentialId,
        name: Option<String>,
        display_name: Option<String>,
    ) -> Option<ChangeSet> {
        let names = PasskeyEdit {
            name: Some(name.unwrap_or_default()),
            display_name: Some(display_name.unwrap_or_default()),
            ..PasskeyEdit::default()
        };
        let mut set = ChangeSet::default();
        set.put(Record::Credential(self.edited(id, names).ok()?));
        Some(set)
    }

    /// The credential as it will be.
    fn edited(
        &self,
        id: &CredentialId,
        edit: PasskeyEdit,
    ) -> Result<Box<Credential>, PasskeyRefusal> {
        let passkey = self.passkey(id).ok_or(PasskeyRefusal::NotFound)?;
        let mut credential = Box::new(passkey.credential().clone());
        let kept = |name: String| Some(truncated(name)).filter(|name| !name.is_empty());
        if let Some(name) = edit.name {
            credential.user.name = kept(name);
        }
        if let Some(name) = edit.display_name {
            credential.user.display_name = kept(name);
        }
        if let Some(user_id) = edit.user_id {
            check_user_id(&user_id)?;
            let rp = credential.rp();
            let other = self.credentials.find_user(&rp, &user_id);
            // One account has any number of credentials that are not discoverable.
            let taken = other.is_some_and(|other| other.credential.id != *id);
            if taken && credential.discoverable {
                return Err(PasskeyRefusal::AccountTaken);
            }
            credential.user.id = user_id;
        }
        credential.backup_eligible = edit.backup_eligible.or(credential.backup_eligible);
        credential.backup_state = edit.backup_state.or(credential.backup_state);
        Ok(credential)
    }
}
