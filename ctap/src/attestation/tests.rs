//! Certificates read again: each has its own flaw and no other.

use p256::ecdsa::{VerifyingKey, signature::Verifier};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use x509_cert::{Certificate, certificate::Version, der::Decode};

use super::*;

const AAGUID: [u8; 16] = *b"roamkey test key";

fn rng() -> Rng {
    ChaCha20Rng::from_seed([9; 32])
}

fn flawed(flaw: Flaw) -> (Vec<Certificate>, FlawedAttestation) {
    let flawed = FlawedAttestation::create(&mut rng(), flaw, &AAGUID).expect("certificates");
    let x5c = flawed.x5c();
    let certificates = x5c
        .iter()
        .map(|der| Certificate::from_der(der).expect("X.509"));
    (certificates.collect(), flawed)
}

fn key(certificate: &Certificate) -> VerifyingKey {
    let key = certificate.tbs_certificate().subject_public_key_info();
    VerifyingKey::from_sec1_bytes(key.subject_public_key.raw_bytes()).expect("a point of P-256")
}

fn is_signed_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let signed = certificate.tbs_certificate().to_der().expect("DER");
    let signature = DerSignature::try_from(certificate.signature().raw_bytes());
    let signature = signature.expect("a DER signature");
    key(issuer).verify(&signed, &signature).is_ok()
}

/// What id-fido-gen-ce-aaguid holds.
fn aaguid(certificate: &Certificate) -> Option<Vec<u8>> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let extension = extensions.iter().find(|e| e.extn_id == FIDO_AAGUID)?;
    assert!(!extension.critical, "WebAuthn §8.2.1");
    let inner = OctetString::from_der(extension.extn_value.as_bytes()).expect("an OCTET STRING");
    Some(inner.as_bytes().to_vec())
}

fn is_authority(certificate: &Certificate) -> bool {
    let constraints = certificate
        .tbs_certificate()
        .get_extension::<BasicConstraints>();
    constraints.expect("DER").expect("basic constraints").1.ca
}

fn years(certificate: &Certificate) -> (u16, u16) {
    let validity = certificate.tbs_certificate().validity();
    let year = |time: &Time| time.to_date_time().year();
    (year(&validity.not_before), year(&validity.not_after))
}

/// What WebAuthn §8.2.1 asks of every attestation certificate.
fn check_requirements(leaf: &Certificate) {
    assert_eq!(leaf.tbs_certificate().version(), Version::V3);
    let subject = leaf.tbs_certificate().subject().to_string();
    for part in [
        "C=ZZ",
        "O=roamkey test key",
        "OU=Authenticator Attestation",
        "CN=",
    ] {
        assert!(subject.contains(part), "{subject}");
    }
    assert!(!is_authority(leaf));
}

#[test]
fn expired_certificate_is_only_expired() {
    let (x5c, flawed) = flawed(Flaw::Expired);
    let [leaf] = x5c.as_slice() else {
        panic!("one certificate");
    };
    check_requirements(leaf);
    assert_eq!(years(leaf), (2001, 2002));
    assert!(is_signed_by(leaf, leaf));
    assert_eq!(aaguid(leaf), Some(AAGUID.to_vec()));
    let signature = flawed.leaf.sign(&[b"message"]).expect("a signature");
    let signature = DerSignature::try_from(signature.as_slice()).expect("DER");
    key(leaf).verify(b"message", &signature).expect("its key's");
}

#[test]
fn certificate_of_another_model_names_only_another_aaguid() {
    let (x5c, _) = flawed(Flaw::WrongAaguid);
    let [leaf] = x5c.as_slice() else {
        panic!("one certificate");
    };
    check_requirements(leaf);
    assert_eq!(years(leaf), (2020, 9999));
    assert!(is_signed_by(leaf, leaf));
    let named = aaguid(leaf).expect("an AAGUID");
    assert_eq!(named.len(), 16);
    assert_ne!(named, AAGUID);
}

#[test]
fn broken_chain_is_broken_in_its_signature_alone() {
    let (x5c, _) = flawed(Flaw::BrokenChain);
    let [leaf, root] = x5c.as_slice() else {
        panic!("two certificates");
    };
    check_requirements(leaf);
    assert_eq!(aaguid(leaf), Some(AAGUID.to_vec()));
    assert_eq!((years(leaf), years(root)), ((2020, 9999), (2020, 9999)));
    let issuer = leaf.tbs_certificate().issuer();
    assert_eq!(issuer, root.tbs_certificate().subject());
    assert_ne!(issuer, leaf.tbs_certificate().subject());
    assert!(is_authority(root));
    assert!(is_signed_by(root, root));
    assert!(!is_signed_by(leaf, root) && !is_signed_by(leaf, leaf));
}

#[test]
fn own_certificate_names_no_model() {
    let own = Attestation::create(&mut rng(), 1_700_000_000);
    let own = Certificate::from_der(own.certificate()).expect("X.509");
    check_requirements(&own);
    assert!(is_signed_by(&own, &own));
    assert_eq!(years(&own), (2023, 9999));
    assert_eq!(aaguid(&own), None, "U2F has none");
}
