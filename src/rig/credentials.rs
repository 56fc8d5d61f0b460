//! The passkeys of a key: listed, read, put in, edited, deleted.
//!
//! Deliberately absent: credentials that are not discoverable. The sites keep those, and the key
//! knows of them only while it is asked.

use std::sync::{Arc, Mutex, PoisonError};

use base64ct::{Base64, Encoding};
use roamkey_ctap::{CredProtect, CredentialId, Passkey, PasskeyEdit as Edit, Profile, User};
use zeroize::Zeroizing;

use super::{NewPasskey, PasskeyEdit, PasskeyView, PrivateKeyView, Rig, RigError, slot::Slot};

/// The lines around a private key (RFC 7468 §10).
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// Characters in a line of PEM.
const PEM_LINE: usize = 64;

impl Rig {
    /// The passkeys of a key, the oldest first; those of one site, where one is named.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn passkeys(
        &self,
        key: &str,
        rp: Option<&str>,
    ) -> Result<Vec<PasskeyView>, RigError> {
        let mut passkeys = self.passkeys_of(&*self.slot(key)?).await?;
        passkeys.retain(|passkey| rp.is_none_or(|rp| passkey.rp_id == rp));
        Ok(passkeys)
    }

    pub(super) async fn passkeys_of(&self, slot: &Slot) -> Result<Vec<PasskeyView>, RigError> {
        let called = slot.called();
        let views = slot.handle.visit(move |device, _| {
            let profile = device.profile();
            let passkeys = device.state().passkeys();
            let views = passkeys
                .iter()
                .map(|passkey| view_of(&called, passkey, profile));
            views.collect()
        });
        views.await.ok_or_else(|| slot.gone())
    }

    /// One passkey, with its public key.
    ///
    /// # Errors
    /// There is no such key or passkey.
    pub async fn passkey(&self, key: &str, id: &str) -> Result<PasskeyView, RigError> {
        let slot = self.slot(key)?;
        let id = find(&slot, id).await?;
        self.passkey_of(&slot, id).await
    }

    async fn passkey_of(&self, slot: &Slot, id: CredentialId) -> Result<PasskeyView, RigError> {
        let called = slot.called();
        let view = slot.handle.visit(move |device, _| {
            let passkey = device.state().passkey(&id)?;
            let mut view = view_of(&called, &passkey, device.profile());
            view.public_key = passkey.public_key().map(|key| hex(&key));
            Some(view)
        });
        let view = view.await.ok_or_else(|| slot.gone())?;
        view.ok_or_else(|| no_passkey(slot, &id))
    }

    /// A passkey's private key.
    ///
    /// # Errors
    /// There is no such key or passkey, or the key's profile keeps private keys in.
    pub async fn private_key(&self, key: &str, id: &str) -> Result<PrivateKeyView, RigError> {
        let slot = self.slot(key)?;
        let id = find(&slot, id).await?;
        let read = slot.handle.visit(move |device, _| {
            let passkey = device.state().passkey(&id)?;
            Some(passkey.private_key_pkcs8(device.profile()))
        });
        let read = read.await.ok_or_else(|| slot.gone())?;
        let der = read.ok_or_else(|| no_passkey(&slot, &id))?;
        let der = der.map_err(RigError::forbidden)?;
        self.note(&slot, format!("private key of passkey {} read", short(&id)));
        let private_key = to_pem(&der);
        Ok(PrivateKeyView { private_key })
    }

    /// Puts a passkey into a key; one of the same site and account gives way to it.
    ///
    /// # Errors
    /// There is no such key, or the passkey does not fit it.
    pub async fn inject(&self, key: &str, new: NewPasskey) -> Result<PasskeyView, RigError> {
        let slot = self.slot(key)?;
        let new = passkey_to_inject(new)?;
        // Where the new one's id comes out: the change itself is done in the key's task.
        let made = Arc::new(Mutex::new(None));
        let told = Arc::clone(&made);
        let change = slot.handle.change(move |state, profile, rng| {
            let injected = state.inject(profile, rng, new.clone());
            let (id, set) = injected.map_err(|why| why.to_string())?;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
            Ok(set)
        });
        change.await?;
        let id = made.lock().unwrap_or_else(PoisonError::into_inner).take();
        let id = id.ok_or_else(|| slot.gone())?;
        self.note(&slot, format!("passkey {} put in", short(&id)));
        self.passkey_of(&slot, id).await
    }

    /// Changes a passkey.
    ///
    /// # Errors
    /// There is no such key or passkey, what would change breaks a rule, or the counter of a
    /// stored key that is not exportable would go back: sites take that for a copied key.
    pub async fn edit_passkey(
        &self,
        key: &str,
        id: &str,
        edit: PasskeyEdit,
    ) -> Result<PasskeyView, RigError> {
        let slot = self.slot(key)?;
        let id = find(&slot, id).await?;
        self.passkey_of(&slot, id).await?;
        let edit = Edit {
            name: edit.user_name,
            display_name: edit.user_display_name,
            user_id: edit.user_handle.as_deref().map(bytes).transpose()?,
            counter: edit.counter,
            backup_eligible: edit.backup_eligible,
            backup_state: edit.backup_state,
        };
        let stored = slot.is_stored();
        let change = slot.handle.change(move |state, profile, _| {
            let ceiling = state
                .passkey(&id)
                .map_or(0, |passkey| passkey.counter_ceiling());
            if stored && !profile.exportable && edit.counter.is_some_and(|new| new < ceiling) {
                return Err(format!(
                    "the counter of a stored passkey goes forward only, from {ceiling}: sites \
                     take one that goes back for a copied key (a key whose profile says \
                     exportable = true is for tests, and may)"
                ));
            }
            let edited = state.edit_passkey(profile, &id, edit.clone());
            edited.map_err(|why| why.to_string())
        });
        change.await?;
        self.note(&slot, format!("passkey {} edited", short(&id)));
        self.passkey_of(&slot, id).await
    }

    /// What a site stored with a passkey in full (largeBlob); `None` where it stored nothing.
    ///
    /// # Errors
    /// There is no such key or passkey, it has no key for large blobs, or the key's profile keeps
    /// secrets in.
    pub async fn large_blob(&self, key: &str, id: &str) -> Result<Option<Vec<u8>>, RigError> {
        let slot = self.slot(key)?;
        let id = find(&slot, id).await?;
        let read = slot.handle.visit(move |device, _| {
            let profile = device.profile();
            device.state().large_blob(profile, &id)
        });
        let read = read.await.ok_or_else(|| slot.gone())?;
        read.map_err(|why| RigError::invalid(why.to_string()))
    }

    /// Stores a blob with a passkey.
    ///
    /// # Errors
    /// There is no such key or passkey, it has no key for large blobs, or no room is left.
    pub async fn set_large_blob(&self, key: &str, id: &str, blob: Vec<u8>) -> Result<(), RigError> {
        let slot = self.slot(key)?;
        let id = find(&slot, id).await?;
        let change = slot.handle.change(move |state, profile, rng| {
            let set = state.set_large_blob(profile, rng, &id, &blob);
            set.map_err(|why| why.to_string())
        });
        change.await?;
        self.note(
            &slot,
            format!("large blob of passkey {} stored", short(&id)),
        );
        Ok(())
    }

    /// Gives back the attempts at built-in verification that wrong fingers took.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn restore_verification(&self, key: &str) -> Result<(), RigError> {
        let slot = self.slot(key)?;
        let change = slot
            .handle
            .change(|state, _, _| Ok(state.restore_verification()));
        change.await?;
        self.note(&slot, "attempts at verification given back".to_owned());
        Ok(())
    }

    /// Deletes a passkey.
    ///
    /// # Errors
    /// There is no such key or passkey.
    pub async fn delete_passkey(&self, key: &str, id: &str) -> Result<PasskeyView, RigError> {
        let slot = self.slot(key)?;
        let id = find(&slot, id).await?;
        let deleted = self.passkey_of(&slot, id).await?;
        let change = slot
            .handle
            .change(move |state, _, _| Ok(state.delete_passkey(&id)));
        change.await?;
        self.note(&slot, format!("passkey {} deleted", short(&id)));
        Ok(deleted)
    }
}

fn no_passkey(slot: &Slot, id: &CredentialId) -> RigError {
    let called = slot.called();
    RigError::not_found(format!("the key {called} has no passkey {}", short(id)))
}

fn view_of(key: &str, passkey: &Passkey<'_>, profile: &Profile) -> PasskeyView {
    let user = passkey.user();
    PasskeyView {
        id: hex(passkey.known_as()),
        key: key.to_owned(),
        rp_id: passkey.rp_id().to_owned(),
        rp_id_hash: hex(&passkey.rp_id_hash().0),
        rp_name: passkey.rp_name().map(str::to_owned),
        user_handle: hex(&user.id),
        user_name: user.name.clone(),
        user_display_name: user.display_name.clone(),
        algorithm: passkey.algorithm().cose(),
        cred_protect: passkey.cred_protect().level(),
        cred_blob_len: passkey.cred_blob_len(),
        large_blob_key: passkey.has_large_blob_key(),
        discoverable: passkey.is_discoverable(),
        counter: passkey.counter(),
        counter_ceiling: passkey.counter_ceiling(),
        backup_eligible: passkey.backup_eligible(profile),
        backup_state: passkey.backup_state(profile),
        sequence: passkey.sequence(),
        public_key: None,
    }
}

fn passkey_to_inject(new: NewPasskey) -> Result<roamkey_ctap::NewPasskey, RigError> {
    let text = Zeroizing::new(new.private_key);
    let user = User {
        id: bytes(&new.user_handle)?,
        name: new.user_name,
        display_name: new.user_display_name,
    };
    let mut made = roamkey_ctap::NewPasskey::new(new.rp_id, user, from_pem(&text)?);
    made.rp_name = new.rp_name;
    made.id = new.id.as_deref().map(bytes).transpose()?;
    made.discoverable = new.discoverable;
    if let Some(level) = new.cred_protect {
        let protect = CredProtect::from_level(level.into());
        made.cred_protect =
            protect.ok_or_else(|| RigError::invalid("cred_protect is 1, 2 or 3"))?;
    }
    made.cred_blob = new.cred_blob.as_deref().map(bytes).transpose()?;
    made.large_blob_key = new.large_blob_key;
    if let Some(counter) = new.counter {
        made.counter = counter;
    }
    made.backup_eligible = new.backup_eligible;
    made.backup_state = new.backup_state;
    Ok(made)
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

fn short(id: &CredentialId) -> String {
    hex(id.as_bytes().get(..4).unwrap_or_default())
}

fn bytes(text: &str) -> Result<Vec<u8>, RigError> {
    let bytes = base16ct::mixed::decode_vec(text);
    bytes.map_err(|_| RigError::invalid(format!("{text:?} is not hexadecimal")))
}

/// Which passkey of a key a site knows by this id.
async fn find(slot: &Slot, text: &str) -> Result<CredentialId, RigError> {
    let id = bytes(text)?;
    let named = id.clone();
    let found = slot
        .handle
        .visit(move |device, _| device.state().find_passkey(&named));
    let found = found.await.ok_or_else(|| slot.gone())?;
    found.ok_or_else(|| {
        let (called, id) = (slot.called(), hex(id.get(..4).unwrap_or(&id)));
        RigError::not_found(format!("the key {called} has no passkey {id}"))
    })
}

/// The DER in a PEM text, in base64 or in base64url.
fn from_pem(text: &str) -> Result<Zeroizing<Vec<u8>>, RigError> {
    let body = text.replace(PEM_BEGIN, "").replace(PEM_END, "");
    let body = Zeroizing::new(body);
    let mut plain = Zeroizing::new(String::with_capacity(body.len()));
    for c in body.chars().filter(|c| !c.is_whitespace() && *c != '=') {
        plain.push(match c {
            '-' => '+',
            '_' => '/',
            other => other,
        });
    }
    let der = base64ct::Base64Unpadded::decode_vec(&plain);
    // The text is secret: the error does not show it.
    der.map(Zeroizing::new).map_err(|_| {
        RigError::invalid("private_key is PKCS#8 in PEM (BEGIN PRIVATE KEY), or base64 of its DER")
    })
}

fn to_pem(der: &[u8]) -> String {
    let encoded = Zeroizing::new(Base64::encode_string(der));
    let mut pem = String::from(PEM_BEGIN);
    for (index, c) in encoded.chars().enumerate() {
        if index % PEM_LINE == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem.push('\n');
    pem.push_str(PEM_END);
    pem.push('\n');
    pem
}
