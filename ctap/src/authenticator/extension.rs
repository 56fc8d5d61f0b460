//! What extensions add to a registration and an assertion (CTAP 2.1 §12, CTAP 2.2 §12.8 to §12.10).

use zeroize::Zeroizing;

use super::Authenticator;
use crate::{
    credential::{CredProtect, CredRandom},
    crypto::{Secret, hmac_sha256},
    pin::SharedSecret,
    profile::Extension,
    status::Status,
    wire::extension::{GetInputs, HmacSalts, MakeInputs, Outputs},
};

/// The salts of hmac-secret, checked and decrypted.
pub(super) struct Salts {
    shared: SharedSecret,
    /// One or two of 32 bytes.
    salts: Zeroizing<Vec<u8>>,
}

/// What an assertion's extensions ask for.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) cred_blob: bool,
    pub(super) salts: Option<Salts>,
    pub(super) large_blob_key: bool,
    pub(super) third_party_payment: bool,
}

impl Authenticator {
    /// §12.1: the level asked for; without the extension, and unasked, the first.
    pub(super) fn cred_protect(&self, inputs: &MakeInputs) -> Result<CredProtect, Status> {
        match inputs.cred_protect {
            Some(level) if self.profile.offers(Extension::CredProtect) => {
                CredProtect::from_level(level).ok_or(Status::InvalidOption)
            }
            Some(_) | None => Ok(CredProtect::default()),
        }
    }

    /// §12.2: the blob, where it can be stored with a discoverable credential.
    pub(super) fn blob_to_store(&self, inputs: &MakeInputs, rk: bool) -> Option<Vec<u8>> {
        let fits = |blob: &&Vec<u8>| {
            rk && self.profile.offers(Extension::CredBlob)
                && blob.len() <= usize::from(self.profile.max_cred_blob_length)
        };
        inputs.cred_blob.as_ref().filter(fits).cloned()
    }

    /// §12.3: whether largeBlobKey is asked for. There is no way to ask for none.
    pub(super) fn wants_large_blob_key(&self, input: Option<bool>) -> Result<bool, Status> {
        match input.filter(|_| self.profile.offers(Extension::LargeBlobKey)) {
            Some(false) => Err(Status::InvalidOption),
            Some(true) => Ok(true),
            None => Ok(false),
        }
    }

    /// CTAP 2.2 §12.10.
    pub(super) fn offers_payment(&self) -> bool {
        self.profile.offers(Extension::ThirdPartyPayment)
    }

    /// What a registration's authenticator data say of extensions.
    pub(super) fn make_outputs(
        &mut self,
        inputs: &MakeInputs,
        rp_id: &str,
        blob_stored: bool,
        cred_random: &CredRandom,
        uv: bool,
    ) -> Result<Outputs, Status> {
        let mut outputs = Outputs::default();
        if inputs.cred_blob.is_some() && self.profile.offers(Extension::CredBlob) {
            outputs.cred_blob_stored(blob_stored);
        }
        if inputs.cred_protect.is_some() && self.profile.offers(Extension::CredProtect) {
            outputs.cred_protect(self.cred_protect(inputs)?.level());
        }
        if inputs.hmac_secret && self.profile.offers(Extension::HmacSecret) {
            outputs.hmac_secret_offered();
        }
        if inputs.min_pin_length && self.may_learn(Extension::MinPinLength, rp_id) {
            outputs.min_pin_length(self.min_pin_length());
        }
        if inputs.pin_complexity_policy && self.may_learn(Extension::PinComplexityPolicy, rp_id) {
            let in_force = self.state.pin_complexity_policy(&self.profile);
            outputs.pin_complexity_policy(in_force);
        }
        // Only beside "hmac-secret": true (CTAP 2.2 §12.8).
        if let Some(salts) = &inputs.hmac_secret_mc
            && inputs.hmac_secret
            && self.profile.offers(Extension::HmacSecretMc)
        {
            let salts = self.salts(salts)?;
            outputs.hmac_secret_mc(self.evaluate(&salts, cred_random, uv));
        }
        Ok(outputs)
    }

    /// §12.4; CTAP 2.2 §12.9: whether a site may learn what the rules for PINs are.
    fn may_learn(&self, what: Extension, rp_id: &str) -> bool {
        let listed = &self.state.config.min_pin_length_rp_ids;
        self.profile.offers(what) && listed.iter().any(|id| id == rp_id)
    }

    /// What an assertion's extensions ask for, checked.
    pub(super) fn wanted(&self, inputs: &GetInputs, up: bool) -> Result<Wanted, Status> {
        let hmac_secret = inputs.hmac_secret.as_ref();
        let hmac_secret = hmac_secret.filter(|_| self.profile.offers(Extension::HmacSecret));
        // §12.5: the secret is not for those who come without a person.
        if hmac_secret.is_some() && !up {
            return Err(Status::UnsupportedOption);
        }
        Ok(Wanted {
            cred_blob: inputs.cred_blob && self.profile.offers(Extension::CredBlob),
            salts: hmac_secret.map(|salts| self.salts(salts)).transpose()?,
            large_blob_key: self.wants_large_blob_key(inputs.large_blob_key)?,
            third_party_payment: inputs.third_party_payment && self.offers_payment(),
        })
    }

    fn salts(&self, input: &HmacSalts) -> Result<Salts, Status> {
        let protocol = self.pin_protocol(input.protocol.or(Some(1)))?;
        let shared = self.shared_secret(protocol, &input.key_agreement)?;
        if !shared.verify(&[&input.salt_enc], &input.salt_auth) {
            return Err(Status::PinAuthInvalid);
        }
        let salts = shared.decrypt(&input.salt_enc);
        let salts = salts.ok_or(Status::InvalidLength)?;
        match salts.len() {
            32 | 64 => Ok(Salts { shared, salts }),
            _ => Err(Status::InvalidLength),
        }
    }

    /// HMAC of each salt, encrypted; with user verification under another secret than without.
    pub(super) fn evaluate(
        &mut self,
        salts: &Salts,
        cred_random: &CredRandom,
        uv: bool,
    ) -> Vec<u8> {
        let secret: &Secret = if uv {
            &cred_random.with_uv
        } else {
            &cred_random.without_uv
        };
        let mut plain = Zeroizing::new(Vec::new());
        for salt in salts.salts.chunks(32) {
            plain.extend(hmac_sha256(secret.as_bytes(), &[salt]));
        }
        salts.shared.encrypt(&mut self.rng, &plain)
    }
}
