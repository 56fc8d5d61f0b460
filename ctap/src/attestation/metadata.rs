//! Who signs the metadata of a vault's keys (FIDO Metadata Service 3.1 §3.1.7), under the same test
//! authority as their attestation.
//!
//! All is as with the FIDO Alliance's own, since that is what relying parties have met. The
//! signer's certificate is not the root's own work but an intermediate authority's: go-webauthn
//! reads no chain of another length. Signatures are RS256: python-fido2 takes ES256 of JOSE for
//! none. And the intermediate's key is RSA, too: @simplewebauthn/server 13.2 reads
//! the hash of the signature in the one that the certificate was signed with. Deliberately absent:
//! what is signed, which is JSON and the binary's.

use std::fmt;

use x509_cert::{builder, name::Name};

use super::{
    AttestationAuthority,
    authority::{subject_of_unit, validity},
    certificate::{Read, Template, serial},
};
use crate::{
    credential::Algorithm,
    crypto::{PrivateKey, Rng},
};

/// WebAuthn §8.2.1 keeps the unit of attestation for attestation.
const UNIT: &str = "Metadata";

/// A key that signs metadata, with the certificates that lead to an authority.
pub struct MetadataSigner {
    key: PrivateKey,
    /// Its certificate, and the intermediate authority's, DER.
    certificates: [Vec<u8>; 2],
}

impl fmt::Debug for MetadataSigner {
    /// Nothing of it: half of it is a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataSigner").finish_non_exhaustive()
    }
}

impl MetadataSigner {
    /// The certificates (X.509, DER): the signer's own, then that of its issuer, which the root has
    /// issued.
    pub fn certificates(&self) -> [&[u8]; 2] {
        self.certificates.each_ref().map(Vec::as_slice)
    }

    /// A signature for RS256 (RFC 7518 §3.3).
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.key.sign(&[message])
    }
}

impl AttestationAuthority {
    /// A new signer, which takes about a second: not for a key's task. `created` is in seconds
    /// since 1970; the certificates have no end.
    ///
    /// `None` where the authority was read from elsewhere and is none.
    pub fn metadata_signer(&self, rng: &mut Rng, created: u64) -> Option<MetadataSigner> {
        let root = PrivateKey::from_bytes(Algorithm::Es256, self.private_key())?;
        let intermediate = PrivateKey::random(Algorithm::Rs256, rng);
        let key = PrivateKey::random(Algorithm::Rs256, rng);
        let issuer = Template {
            subject: subject("CN=roamkey test metadata authority").ok()?,
            issuer: Read::new(self.certificate())?.subject().clone(),
            authority: true,
            aaguid: None,
            device: None,
        };
        let leaf = Template {
            subject: subject("CN=roamkey test metadata signer").ok()?,
            issuer: issuer.subject.clone(),
            authority: false,
            aaguid: None,
            device: None,
        };
        let valid = validity(created);
        let issuer = issuer.build((&intermediate, &root), serial(rng), valid);
        let leaf = leaf.build((&key, &intermediate), serial(rng), valid);
        Some(MetadataSigner {
            key,
            certificates: [leaf.ok()?, issuer.ok()?],
        })
    }
}

fn subject(common_name: &str) -> builder::Result<Name> {
    subject_of_unit(common_name, UNIT)
}
