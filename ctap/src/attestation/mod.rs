//! The keys and certificates that registrations are attested with (WebAuthn §6.5.4, §8.2.1; FIDO
//! U2F raw messages §4.3), and the test authority that issues them.
//!
//! Each key has a self-signed certificate of its own, which proves possession and nothing else.
//! Beside it, where a profile wants that, it has certificates of its vault's authority: one for
//! its model, and one for itself alone. The authority has a signer for their metadata, too.
//! Deliberately absent: when which is used.

mod authority;
mod certificate;
mod flawed;
mod metadata;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use x509_cert::{builder, name::Name};

use crate::{
    credential::Algorithm,
    crypto::{KeyBytes, PrivateKey, Rng},
};
pub use authority::AttestationAuthority;
use certificate::{Read, Template, serial};
pub(crate) use flawed::{Flaw, FlawedAttestation};
pub use metadata::MetadataSigner;

/// WebAuthn §8.2.1 asks for this organizational unit, and testers read it for U2F as well.
const SUBJECT: &str = "CN=roamkey attestation,OU=Authenticator Attestation,O=roamkey test key,C=ZZ";

/// The start of the year 9999, the last that a certificate can name, in seconds since 1970.
const LAST_DATE: u64 = 253_370_764_800;

/// An attestation key with its certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    private_key: KeyBytes,
    #[serde(with = "serde_bytes")]
    certificate: Vec<u8>,
}

impl Attestation {
    /// `created` is in seconds since 1970; the certificate has no end.
    pub(crate) fn create(rng: &mut Rng, created: u64) -> Self {
        let key = PrivateKey::random(Algorithm::Es256, rng);
        let certificate = self_signed(&key, serial(rng), created);
        // Every input but the date is ours, and the date is one that DER can write.
        debug_assert!(certificate.is_ok());
        Self {
            private_key: KeyBytes::new(key.to_bytes()),
            certificate: certificate.unwrap_or_default(),
        }
    }

    /// The X.509 certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What metadata knows the certificate by: its key's SHA-1 (RFC 5280 §4.2.1.2, method 1).
    /// `None` where the bytes are no certificate.
    pub fn key_identifier(&self) -> Option<Vec<u8>> {
        Read::new(&self.certificate)?.key_identifier()
    }

    /// Signs `parts` one after the other; the signature is DER.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let key = PrivateKey::from_bytes(Algorithm::Es256, self.private_key.as_slice())?;
        key.sign(parts)
    }
}

/// The certificate of a key's own attestation.
fn self_signed(key: &PrivateKey, serial: [u8; 16], created: u64) -> builder::Result<Vec<u8>> {
    let subject: Name = SUBJECT.parse()?;
    let template = Template {
        issuer: subject.clone(),
        subject,
        authority: false,
        aaguid: None,
        device: None,
    };
    template.build((key, key), serial, (created.min(LAST_DATE), None))
}
