//! What the persistent pinUvAuthToken opens (CTAP 2.2 §6.4, §6.5.5.7): reading which credentials
//! there are, and getInfo's two encrypted identifiers.
//!
//! Deliberately absent: giving it out, which is `client_pin`'s.

use aes::Aes128;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::Authenticator;
use crate::{
    credential::IDENTIFIER_LEN,
    crypto::{Expander, Rng, Secret},
    wire::PinUvAuth,
};

const IV_LEN: usize = 16;

impl Authenticator {
    /// Whether the persistent token, of whatever protocol, authenticates a message.
    pub(super) fn is_persistent(&self, auth: &PinUvAuth, message: &[u8]) -> bool {
        let token = self.state.persistent_token.as_ref();
        let token = token.filter(|_| self.profile.per_cred_mgmt_ro);
        match (token, &auth.param, self.pin_protocol(auth.protocol)) {
            (Some(token), Some(param), Ok(protocol)) => {
                protocol.verify(token.as_bytes(), &[message], param)
            }
            (None, _, _) | (_, None, _) | (_, _, Err(_)) => false,
        }
    }

    /// encIdentifier and encCredStoreState, encrypted anew each time; `None` while nobody could
    /// read them.
    pub(super) fn identifiers(&mut self) -> Option<[Vec<u8>; 2]> {
        if !(self.profile.per_cred_mgmt_ro && self.profile.ctap2_3()) {
            return None;
        }
        let token = self.state.persistent_token.as_ref()?;
        let digest = self.state.credentials.digest();
        let device = self.state.deriver.device_identifier();
        let store = self.state.deriver.store_state(&digest);
        let rng = &mut self.rng;
        Some([
            encrypted(rng, token, b"encIdentifier", &device),
            encrypted(rng, token, b"encCredStoreState", &store),
        ])
    }
}

/// iv || AES-128-CBC of an identifier, under a key that is derived from the token for it.
fn encrypted(
    rng: &mut Rng,
    token: &Secret,
    member: &[u8],
    identifier: &[u8; IDENTIFIER_LEN],
) -> Vec<u8> {
    let mut key = Zeroizing::new([0; 16]);
    // No salt is one of 32 zeros (RFC 5869 §2.2).
    Expander::new(token).expand_into(&[member], &mut *key);
    let mut iv = [0; IV_LEN];
    rng.fill_bytes(&mut iv);
    let cipher = cbc::Encryptor::<Aes128>::new((&*key).into(), &iv.into());
    let blocks = cipher.encrypt_padded_vec::<NoPadding>(identifier);
    [iv.as_slice(), &blocks].concat()
}
