//! The key and certificate that U2F registrations are attested with (FIDO U2F raw messages §4.3),
//! and those of attestations that are wrong on purpose (WebAuthn §8.2.1).
//!
//! Each key has its own self-signed one: it proves possession, not provenance.

#[cfg(test)]
mod tests;

use std::time::Duration;

use p256::ecdsa::DerSignature;
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use x509_cert::{
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    certificate::TbsCertificate,
    der::{
        DateTime, Encode,
        asn1::{ObjectIdentifier, OctetString},
    },
    ext::{
        Extension, ToExtension,
        pkix::{BasicConstraints, KeyUsage, KeyUsages},
    },
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

/// The subject of a certificate that issues others.
const ISSUER: &str =
    "CN=roamkey attestation root,OU=Authenticator Attestation,O=roamkey test key,C=ZZ";

/// id-fido-gen-ce-aaguid (WebAuthn §8.2.1).
const FIDO_AAGUID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.4");

/// The starts of the years 2001, 2002 and 2020, in seconds since 1970.
const YEAR_2001: u64 = 978_307_200;
const YEAR_2002: u64 = 1_009_843_200;
const YEAR_2020: u64 = 1_577_836_800;

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

    /// Signs `parts` one after the other; the signature is DER.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let key = PrivateKey::from_bytes(Algorithm::Es256, self.private_key.as_slice())?;
        key.sign(parts)
    }
}

/// What is wrong with the certificate of a [`FlawedAttestation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It ended long ago.
    Expired,
    /// It names another AAGUID than the authenticator data.
    WrongAaguid,
    /// Another certificate comes with it that names itself the issuer and is not.
    BrokenChain,
}

/// An attestation that has one flaw and is made for one answer.
pub(crate) struct FlawedAttestation {
    pub(crate) leaf: Attestation,
    /// The certificate of an issuer, DER.
    issuer: Option<Vec<u8>>,
}

impl FlawedAttestation {
    /// For a key of this AAGUID; `None` only where a certificate cannot be built.
    pub(crate) fn create(rng: &mut Rng, flaw: Flaw, aaguid: &[u8; 16]) -> Option<Self> {
        let subject: Name = SUBJECT.parse().ok()?;
        let root: Name = ISSUER.parse().ok()?;
        let named = match flaw {
            Flaw::WrongAaguid => aaguid.map(|byte| !byte),
            Flaw::Expired | Flaw::BrokenChain => *aaguid,
        };
        let validity = match flaw {
            Flaw::Expired => (YEAR_2001, Some(YEAR_2002)),
            Flaw::WrongAaguid | Flaw::BrokenChain => (YEAR_2020, None),
        };
        let key = PrivateKey::random(Algorithm::Es256, rng);
        let mut leaf = Template {
            issuer: subject.clone(),
            subject,
            authority: false,
            aaguid: Some(named),
        };
        let (signer, issuer) = match flaw {
            Flaw::Expired | Flaw::WrongAaguid => (None, None),
            Flaw::BrokenChain => {
                leaf.issuer = root.clone();
                let authority = Template {
                    issuer: root.clone(),
                    subject: root,
                    authority: true,
                    aaguid: None,
                };
                let root_key = PrivateKey::random(Algorithm::Es256, rng);
                let root = authority.build((&root_key, &root_key), serial(rng), validity);
                // Neither the issuer's key nor the leaf's own.
                (Some(PrivateKey::random(Algorithm::Es256, rng)), root.ok())
            }
        };
        let signer = signer.as_ref().unwrap_or(&key);
        let certificate = leaf.build((&key, signer), serial(rng), validity).ok()?;
        Some(Self {
            leaf: Attestation {
                private_key: KeyBytes::new(key.to_bytes()),
                certificate,
            },
            issuer,
        })
    }

    /// The certificates, the one that attests first.
    pub(crate) fn x5c(&self) -> Vec<Vec<u8>> {
        let issuer = self.issuer.clone().into_iter();
        std::iter::once(self.leaf.certificate.clone())
            .chain(issuer)
            .collect()
    }
}

/// What a certificate says (WebAuthn §8.2.1, RFC 5280 §4).
struct Template {
    subject: Name,
    issuer: Name,
    /// Whether it is one that issues others.
    authority: bool,
    /// The model's id, where it says it.
    aaguid: Option<[u8; 16]>,
}

impl BuilderProfile for Template {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _subject_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let constraints = BasicConstraints {
            ca: self.authority,
            path_len_constraint: None,
        };
        let mut extensions = vec![constraints.to_extension(tbs.subject(), &[])?];
        if self.authority {
            let usage = KeyUsage(KeyUsages::KeyCertSign.into());
            extensions.push(usage.to_extension(tbs.subject(), &extensions)?);
        }
        if let Some(aaguid) = self.aaguid {
            // An OCTET STRING inside the one that every extension is.
            let value = OctetString::new(aaguid)?.to_der()?;
            extensions.push(Extension {
                extn_id: FIDO_AAGUID,
                critical: false,
                extn_value: OctetString::new(value)?,
            });
        }
        Ok(extensions)
    }
}

impl Template {
    /// A certificate for the first key, signed by the second; it holds from a time up to another
    /// or without end, in seconds since 1970.
    fn build(
        self,
        (subject, signer): (&PrivateKey, &PrivateKey),
        serial: [u8; 16],
        (not_before, not_after): (u64, Option<u64>),
    ) -> builder::Result<Vec<u8>> {
        let time = |seconds| DateTime::from_unix_duration(Duration::from_secs(seconds));
        let not_after = match not_after {
            Some(seconds) => Time::from(time(seconds)?),
            None => Time::INFINITY,
        };
        let validity = Validity::new(Time::from(time(not_before)?), not_after);
        let signing_key = |key: &PrivateKey| {
            let failed = builder::Error::Asn1(x509_cert::der::ErrorKind::Failed.into());
            key.to_signing_key().ok_or(failed)
        };
        let subject = SubjectPublicKeyInfo::from_key(signing_key(subject)?.verifying_key())?;
        let certificate =
            CertificateBuilder::new(self, SerialNumber::new(&serial)?, validity, subject)?
                .build::<_, DerSignature>(&signing_key(signer)?)?;
        Ok(certificate.to_der()?)
    }
}

/// A positive number of full length (RFC 5280 §4.1.2.2).
fn serial(rng: &mut Rng) -> [u8; 16] {
    let mut serial = [0; 16];
    rng.fill_bytes(&mut serial);
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    serial
}

/// The certificate of a key's own attestation.
fn self_signed(key: &PrivateKey, serial: [u8; 16], created: u64) -> builder::Result<Vec<u8>> {
    let subject: Name = SUBJECT.parse()?;
    let template = Template {
        issuer: subject.clone(),
        subject,
        authority: false,
        aaguid: None,
    };
    template.build((key, key), serial, (created.min(LAST_DATE), None))
}
