//! The key and certificate that U2F registrations are attested with (FIDO U2F raw messages §4.3).
//!
//! Each key has its own self-signed one: it proves possession, not provenance.

use std::time::Duration;

use p256::ecdsa::DerSignature;
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use x509_cert::{
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    certificate::TbsCertificate,
    der::{DateTime, Encode},
    ext::{Extension, ToExtension, pkix::BasicConstraints},
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

use crate::{
    credential::Algorithm,
    crypto::{KeyBytes, PrivateKey, Rng},
};

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
        let mut serial = [0; 16];
        rng.fill_bytes(&mut serial);
        Self {
            private_key: KeyBytes::new(key.to_bytes()),
            certificate: certificate(&key, serial, created),
        }
    }

    /// The X.509 certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Signs `parts` one after the other; the signature is DER.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let key = PrivateKey::from_bytes(Algorithm::Es256, self.private_key.as_slice())?;
        Some(key.sign(parts))
    }
}

/// A certificate that its own subject issued, with WebAuthn §8.2.1's basic constraints.
struct SelfSigned(Name);

impl BuilderProfile for SelfSigned {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _subject_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let leaf = BasicConstraints {
            ca: false,
            path_len_constraint: None,
        };
        Ok(vec![leaf.to_extension(tbs.subject(), &[])?])
    }
}

fn certificate(key: &PrivateKey, serial: [u8; 16], created: u64) -> Vec<u8> {
    let built = build_certificate(key, serial, created.min(LAST_DATE));
    // Every input but the date is ours, and the date is one that DER can write.
    debug_assert!(built.is_ok());
    built.unwrap_or_default()
}

fn build_certificate(
    key: &PrivateKey,
    mut serial: [u8; 16],
    created: u64,
) -> builder::Result<Vec<u8>> {
    // A positive number of full length (RFC 5280 §4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let not_before = Time::from(DateTime::from_unix_duration(Duration::from_secs(created))?);
    let validity = Validity::new(not_before, Time::INFINITY);
    let signer = key.to_signing_key().ok_or(builder::Error::Asn1(
        x509_cert::der::ErrorKind::Failed.into(),
    ))?;
    let certificate = CertificateBuilder::new(
        SelfSigned(SUBJECT.parse()?),
        SerialNumber::new(&serial)?,
        validity,
        SubjectPublicKeyInfo::from_key(signer.verifying_key())?,
    )?
    .build::<_, DerSignature>(&signer)?;
    Ok(certificate.to_der()?)
}
