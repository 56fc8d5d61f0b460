//! A credential as automation protocols carry it (WebAuthn §11.5 "Credential Parameters"), with
//! its bytes as bytes: each protocol has an alphabet of its own for them.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::FrontError;
use crate::rig::{NewPasskey, PasskeyView};

/// What one encodes bytes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// base64url without padding: WebDriver.
    Url,
    /// base64 with padding: the DevTools protocol.
    Standard,
}

impl Alphabet {
    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Url => base64ct::Base64UrlUnpadded::encode_string(bytes),
            Self::Standard => Base64::encode_string(bytes),
        }
    }

    /// Padding may be there or not, in either.
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        let text = text.trim_end_matches('=');
        match self {
            Self::Url => base64ct::Base64UrlUnpadded::decode_vec(text).ok(),
            Self::Standard => base64ct::Base64Unpadded::decode_vec(text).ok(),
        }
    }
}

/// A credential, private key included: hence no Debug that shows it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) id: Vec<u8>,
    pub(super) resident: bool,
    /// Absent where U2F told no more than its hash.
    pub(super) rp_id: Option<String>,
    /// PKCS#8.
    pub(super) private_key: Zeroizing<Vec<u8>>,
    pub(super) user_handle: Option<Vec<u8>>,
    pub(super) sign_count: u32,
    /// What the site stored with it, in full.
    pub(super) large_blob: Option<Vec<u8>>,
    pub(super) backup_eligible: Option<bool>,
    pub(super) backup_state: Option<bool>,
    pub(super) user_name: Option<String>,
    pub(super) user_display_name: Option<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &hex(&self.id))
            .field("rp_id", &self.rp_id)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// What is put into a key.
    pub(super) fn to_new(&self) -> Result<NewPasskey, FrontError> {
        let rp_id = self.rp_id.clone();
        let rp_id = rp_id.filter(|rp_id| !rp_id.is_empty());
        Ok(NewPasskey {
            rp_id: rp_id.ok_or_else(|| FrontError::invalid("rpId is missing"))?,
            rp_name: None,
            user_handle: hex(self.user_handle.as_deref().unwrap_or_default()),
            user_name: self.user_name.clone().filter(|name| !name.is_empty()),
            user_display_name: self
                .user_display_name
                .clone()
                .filter(|name| !name.is_empty()),
            private_key: Base64::encode_string(&self.private_key),
            id: Some(hex(&self.id)),
            discoverable: self.resident,
            cred_protect: None,
            cred_blob: None,
            large_blob_key: self.large_blob.is_some(),
            counter: Some(self.sign_count),
            backup_eligible: self.backup_eligible,
            backup_state: self.backup_state,
        })
    }

    /// What is to be put in, without a key to draw what is left out.
    pub(super) fn from_new(new: &NewPasskey) -> Result<Self, FrontError> {
        let missing = || FrontError::invalid("a browser draws no credential ids: say which");
        let pem: String = new
            .private_key
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let pem = Zeroizing::new(pem);
        let key = Alphabet::Standard.decode(&pem);
        let key = key.or_else(|| Alphabet::Url.decode(&pem));
        let key = key.ok_or_else(|| FrontError::invalid("private_key is no PKCS#8 in base64"))?;
        let user_handle = Some(bytes(&new.user_handle)?).filter(|handle| !handle.is_empty());
        Ok(Self {
            id: bytes(new.id.as_deref().ok_or_else(missing)?)?,
            resident: new.discoverable,
            rp_id: Some(new.rp_id.clone()),
            private_key: Zeroizing::new(key),
            user_handle,
            sign_count: new.counter.unwrap_or(0),
            large_blob: None,
            backup_eligible: new.backup_eligible,
            backup_state: new.backup_state,
            user_name: new.user_name.clone(),
            user_display_name: new.user_display_name.clone(),
        })
    }

    /// The members that both protocols have, and name the same.
    pub(super) fn show(&self, alphabet: Alphabet) -> Value {
        let encode = |bytes: &[u8]| Value::from(alphabet.encode(bytes));
        let mut shown = json!({
            "credentialId": encode(&self.id),
            "isResidentCredential": self.resident,
            "privateKey": encode(&self.private_key),
            "signCount": self.sign_count,
            "backupEligibility": self.backup_eligible.unwrap_or(false),
            "backupState": self.backup_state.unwrap_or(false),
        });
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let more = [
            ("rpId", text(&self.rp_id)),
            ("userHandle", self.user_handle.as_deref().map(encode)),
            ("largeBlob", self.large_blob.as_deref().map(encode)),
            ("userName", text(&self.user_name)),
            ("userDisplayName", text(&self.user_display_name)),
        ];
        if let Some(members) = shown.as_object_mut() {
            for (name, value) in more {
                members.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        shown
    }

    /// What a key shows of one, with its private key.
    pub(super) fn from_view(view: &PasskeyView, private_key: &str) -> Result<Self, FrontError> {
        let pem: Zeroizing<String> = Zeroizing::new(
            private_key
                .lines()
                .filter(|line| !line.starts_with("-----"))
                .collect(),
        );
        let der = Base64::decode_vec(&pem).map_err(|_| FrontError::failed("a key is no PEM"))?;
        let user_handle = bytes(&view.user_handle)?;
        Ok(Self {
            id: bytes(&view.id)?,
            resident: view.discoverable,
            rp_id: Some(view.rp_id.clone()).filter(|rp_id| !rp_id.is_empty()),
            private_key: Zeroizing::new(der),
            // A credential without an account has none, and of one that is not discoverable the
            // site keeps it.
            user_handle: Some(user_handle).filter(|handle| !handle.is_empty() && view.discoverable),
            sign_count: view.counter,
            large_blob: None,
            backup_eligible: Some(view.backup_eligible),
            backup_state: Some(view.backup_state),
            user_name: view.user_name.clone(),
            user_display_name: view.user_display_name.clone(),
        })
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

pub(super) fn bytes(text: &str) -> Result<Vec<u8>, FrontError> {
    base16ct::mixed::decode_vec(text)
        .map_err(|_| FrontError::invalid(format!("{text:?} is not hexadecimal")))
}
