//! The test authority of a vault: a root certificate, and the attestations that it issues.
//!
//! It vouches for nothing but itself. A relying party under test is given the root and then
//! verifies what it would verify of a vendor's keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use x509_cert::{
    builder,
    der::pem::{LineEnding, encode_string},
    name::Name,
};

use super::{
    Attestation, LAST_DATE,
    certificate::{FIDO_AAGUID, FIDO_SERIAL, Read, Template, serial},
};
use crate::{
    credential::Algorithm,
    crypto::{KeyBytes, PrivateKey, Rng, sha256},
    profile::{AttestationType, Profile},
    state::{ChangeSet, KeyState, Record},
};

/// Certificates hold from this long before they were made, in seconds: the clock of the machine
/// that verifies may be behind.
const BACKDATED_S: u64 = 86_400;
/// How many bytes of its key's hash tell an authority from others.
const MARK_LEN: usize = 4;

/// A certificate authority for tests, with its key. Each vault has one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationAuthority(Attestation);

impl fmt::Debug for AttestationAuthority {
    /// Nothing of it: half of it is a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestationAuthority")
            .finish_non_exhaustive()
    }
}

impl AttestationAuthority {
    /// A new authority. `created` is in seconds since 1970; the certificate has no end.
    pub fn create(rng: &mut Rng, created: u64) -> Self {
        let key = PrivateKey::random(Algorithm::Es256, rng);
        let certificate = root(&key, rng, created);
        // Every input but the date is ours, and the date is one that DER can write.
        debug_assert!(certificate.is_ok());
        Self(Attestation {
            private_key: KeyBytes::new(key.to_bytes()),
            certificate: certificate.unwrap_or_default(),
        })
    }

    /// The root certificate: X.509, DER.
    pub fn certificate(&self) -> &[u8] {
        self.0.certificate()
    }

    /// The same as PEM (RFC 7468).
    pub fn certificate_pem(&self) -> String {
        // It fails for more bytes than a machine has, and for labels that are none.
        encode_string("CERTIFICATE", LineEnding::LF, self.certificate()).unwrap_or_default()
    }

    /// Its private key, for what else it issues.
    pub(super) fn private_key(&self) -> &[u8] {
        self.0.private_key.as_slice()
    }

    /// A new attestation key with a certificate for a model, and for one device of it where that
    /// is named.
    fn issue(
        &self,
        rng: &mut Rng,
        aaguid: [u8; 16],
        device: Option<&str>,
        created: u64,
    ) -> Option<Attestation> {
        let own = PrivateKey::from_bytes(Algorithm::Es256, self.private_key())?;
        let key = PrivateKey::random(Algorithm::Es256, rng);
        let name = if device.is_some() {
            "CN=roamkey enterprise attestation"
        } else {
            "CN=roamkey batch attestation"
        };
        let leaf = Template {
            subject: subject(name).ok()?,
            issuer: Read::new(self.certificate())?.subject().clone(),
            authority: false,
            aaguid: Some(aaguid),
            device: device.map(str::to_owned),
        };
        let certificate = leaf.build((&key, &own), serial(rng), validity(created));
        Some(Attestation {
            private_key: KeyBytes::new(key.to_bytes()),
            certificate: certificate.ok()?,
        })
    }

    /// Whether an attestation is this authority's, for this model and this device or none.
    fn has_issued(
        &self,
        attestation: Option<&Attestation>,
        aaguid: &[u8; 16],
        device: Option<&str>,
    ) -> bool {
        let own = Read::new(self.certificate());
        let issued = attestation.and_then(|attestation| Read::new(attestation.certificate()));
        let (Some(own), Some(issued)) = (own, issued) else {
            return false;
        };
        issued.issuer() == own.subject()
            && issued
                .octets(FIDO_AAGUID)
                .is_some_and(|named| named == aaguid)
            && issued.octets(FIDO_SERIAL).as_deref() == device.map(str::as_bytes)
    }
}

impl KeyState {
    /// Option ep (CTAP 2.1 §7.1): the profile's, until authenticatorConfig has enabled it.
    pub(crate) fn enterprise_attestation_enabled(&self, profile: &Profile) -> bool {
        let at_first = profile.enterprise_attestation;
        at_first.is_some_and(|on| on || self.config.enterprise_attestation)
    }

    /// What U2F registrations are attested with: U2F knows no self attestation, so a key that has
    /// no batch certificate shows the one that it signed itself (FIDO U2F raw messages §4.3).
    pub fn u2f_attestation(&self, profile: &Profile) -> &Attestation {
        let batch = self.batch_attestation.as_ref();
        let batch = batch.filter(|_| profile.attestation == AttestationType::Batch);
        batch.unwrap_or(&self.attestation)
    }

    /// The attestations of its authority that it uses: for its model, and for itself alone.
    pub fn issued_attestations(&self, profile: &Profile) -> impl Iterator<Item = &Attestation> {
        let batch = self.batch_attestation.as_ref();
        let enterprise = self.enterprise_attestation.as_ref();
        let batch = batch.filter(|_| profile.attestation == AttestationType::Batch);
        let enterprise = enterprise.filter(|_| profile.enterprise_attestation.is_some());
        batch.into_iter().chain(enterprise)
    }

    /// The attestations that a key of this profile lacks, from the authority of its vault; nothing
    /// when it has them. Another model or another vault makes those that it had useless, so they
    /// are replaced.
    ///
    /// `device` is the key's serial number, `now` is in seconds since 1970.
    pub fn certify(
        &self,
        rng: &mut Rng,
        authority: &AttestationAuthority,
        profile: &Profile,
        device: &str,
        now: u64,
    ) -> ChangeSet {
        let mut set = ChangeSet::default();
        let aaguid = profile.aaguid;
        let batch = self.batch_attestation.as_ref();
        if profile.attestation == AttestationType::Batch
            && !authority.has_issued(batch, &aaguid, None)
            && let Some(issued) = authority.issue(rng, aaguid, None, now)
        {
            set.put(Record::BatchAttestation(issued));
        }
        let enterprise = self.enterprise_attestation.as_ref();
        if profile.enterprise_attestation.is_some()
            && !authority.has_issued(enterprise, &aaguid, Some(device))
            && let Some(issued) = authority.issue(rng, aaguid, Some(device), now)
        {
            set.put(Record::EnterpriseAttestation(issued));
        }
        set
    }
}

/// The name that WebAuthn §8.2.1 asks for, with this in front.
fn subject(common_name: &str) -> builder::Result<Name> {
    subject_of_unit(common_name, "Authenticator Attestation")
}

pub(super) fn subject_of_unit(common_name: &str, unit: &str) -> builder::Result<Name> {
    let name = format!("{common_name},OU={unit},O=roamkey test key,C=ZZ");
    Ok(name.parse()?)
}

/// From when to when, in seconds since 1970.
pub(super) fn validity(created: u64) -> (u64, Option<u64>) {
    (created.saturating_sub(BACKDATED_S).min(LAST_DATE), None)
}

fn root(key: &PrivateKey, rng: &mut Rng, created: u64) -> builder::Result<Vec<u8>> {
    let point = key.public_key().to_sec1().unwrap_or([0; 65]);
    let hash = sha256(&[&point]);
    let mark: String = hash
        .iter()
        .take(MARK_LEN)
        .map(|b| format!("{b:02x}"))
        .collect();
    let name = subject(&format!("CN=roamkey test attestation root {mark}"))?;
    let authority = Template {
        issuer: name.clone(),
        subject: name,
        authority: true,
        aaguid: None,
        device: None,
    };
    authority.build((key, key), serial(rng), validity(created))
}
