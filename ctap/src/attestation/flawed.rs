//! Attestations that are wrong on purpose (WebAuthn §8.2.1).

use x509_cert::name::Name;

use super::{
    Attestation, SUBJECT,
    certificate::{Template, serial},
};
use crate::{
    credential::Algorithm,
    crypto::{KeyBytes, PrivateKey, Rng},
};

/// The subject of a certificate that issues others.
const ISSUER: &str =
    "CN=roamkey attestation root,OU=Authenticator Attestation,O=roamkey test key,C=ZZ";

/// The starts of the years 2001, 2002 and 2020, in seconds since 1970.
const YEAR_2001: u64 = 978_307_200;
const YEAR_2002: u64 = 1_009_843_200;
const YEAR_2020: u64 = 1_577_836_800;

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
            device: None,
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
                    device: None,
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
