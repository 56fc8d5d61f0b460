//! X.509 certificates of attestation keys (RFC 5280 §4, WebAuthn §8.2.1).
//!
//! Deliberately absent: which certificates a key has, and their names.

use std::time::Duration;

use p256::ecdsa::DerSignature;
use rand_core::Rng as _;
use x509_cert::{
    Certificate,
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    certificate::TbsCertificate,
    der::{
        DateTime, Decode, Encode,
        asn1::{ObjectIdentifier, OctetString},
        referenced::OwnedToRef as _,
    },
    ext::{
        Extension, ToExtension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

use crate::crypto::{PrivateKey, Rng, sha256};

/// id-fido-gen-ce-aaguid (WebAuthn §8.2.1).
pub(super) const FIDO_AAGUID: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.4");

/// id-fido-gen-ce-sernum: the device's serial number, in enterprise attestation alone
/// (WebAuthn Level 3 §8.2.2).
pub(super) const FIDO_SERIAL: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.2");

/// How many bytes of a key's hash name it (RFC 7093 §2).
const KEY_ID_LEN: usize = 20;

/// What a certificate says (WebAuthn §8.2.1, RFC 5280 §4).
pub(super) struct Template {
    pub(super) subject: Name,
    pub(super) issuer: Name,
    /// Whether it is one that issues others.
    pub(super) authority: bool,
    /// The model's id, where it says it.
    pub(super) aaguid: Option<[u8; 16]>,
    /// The device's serial number, where it says it.
    pub(super) device: Option<String>,
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
        subject_key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let constraints = BasicConstraints {
            ca: self.authority,
            path_len_constraint: None,
        };
        let mut extensions = vec![constraints.to_extension(tbs.subject(), &[])?];
        if self.authority {
            let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
            extensions.push(usage.to_extension(tbs.subject(), &extensions)?);
        }
        let mut identifiers = vec![
            SubjectKeyIdentifier(key_id(&subject_key)?).to_extension(tbs.subject(), &extensions)?,
        ];
        if subject_key != issuer_key {
            let identifier = AuthorityKeyIdentifier {
                key_identifier: Some(key_id(&issuer_key)?),
                ..AuthorityKeyIdentifier::default()
            };
            identifiers.push(identifier.to_extension(tbs.subject(), &extensions)?);
        }
        extensions.extend(identifiers);
        if let Some(aaguid) = self.aaguid {
            extensions.push(octets(FIDO_AAGUID, &aaguid)?);
        }
        if let Some(device) = &self.device {
            extensions.push(octets(FIDO_SERIAL, device.as_bytes())?);
        }
        Ok(extensions)
    }
}

impl Template {
    /// A certificate for the first key, signed by the second; it holds from a time up to another
    /// or without end, in seconds since 1970.
    pub(super) fn build(
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
        let failed = || builder::Error::Asn1(x509_cert::der::ErrorKind::Failed.into());
        let subject = SubjectPublicKeyInfo::from_der(&subject.to_spki().ok_or_else(failed)?)?;
        let builder =
            CertificateBuilder::new(self, SerialNumber::new(&serial)?, validity, subject)?;
        let certificate = match signer.to_rsa_signing_key() {
            Some(key) => builder.build::<_, rsa::pkcs1v15::Signature>(&key)?,
            None => {
                let key = signer.to_signing_key().ok_or_else(failed)?;
                builder.build::<_, DerSignature>(&key)?
            }
        };
        Ok(certificate.to_der()?)
    }
}

/// What names a key in certificates.
fn key_id(key: &SubjectPublicKeyInfoRef<'_>) -> builder::Result<OctetString> {
    let hash = sha256(&[key.subject_public_key.raw_bytes()]);
    let head = hash.get(..KEY_ID_LEN).unwrap_or_default();
    Ok(OctetString::new(head)?)
}

/// An extension that is not critical: an OCTET STRING inside the one that every extension is.
fn octets(id: ObjectIdentifier, value: &[u8]) -> builder::Result<Extension> {
    let value = OctetString::new(value)?.to_der()?;
    Ok(Extension {
        extn_id: id,
        critical: false,
        extn_value: OctetString::new(value)?,
    })
}

/// What a certificate's reader finds in it.
pub(super) struct Read(Certificate);

impl Read {
    /// `None` for what is no certificate.
    pub(super) fn new(der: &[u8]) -> Option<Self> {
        Certificate::from_der(der).ok().map(Self)
    }

    pub(super) fn subject(&self) -> &Name {
        self.0.tbs_certificate().subject()
    }

    pub(super) fn issuer(&self) -> &Name {
        self.0.tbs_certificate().issuer()
    }

    /// The hash that other standards know the key by (RFC 5280 §4.2.1.2, method 1), which is not
    /// the one that the certificate itself says.
    pub(super) fn key_identifier(&self) -> Option<Vec<u8>> {
        let key = self.0.tbs_certificate().subject_public_key_info();
        let identifier = SubjectKeyIdentifier::try_from(key.owned_to_ref()).ok()?;
        Some(identifier.0.as_bytes().to_vec())
    }

    /// The content of an extension that is an OCTET STRING.
    pub(super) fn octets(&self, id: ObjectIdentifier) -> Option<Vec<u8>> {
        let mut extensions = self.0.tbs_certificate().extensions()?.iter();
        let extension = extensions.find(|extension| extension.extn_id == id)?;
        let inner =
            <&x509_cert::der::asn1::OctetStringRef>::from_der(extension.extn_value.as_bytes());
        Some(inner.ok()?.as_bytes().to_vec())
    }
}

/// A positive number of full length (RFC 5280 §4.1.2.2).
pub(super) fn serial(rng: &mut Rng) -> [u8; 16] {
    let mut serial = [0; 16];
    rng.fill_bytes(&mut serial);
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    serial
}
