//! Certificates read again: each has its own flaw and no other.

use p256::ecdsa::{DerSignature, VerifyingKey, signature::Verifier};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rsa::pkcs8::DecodePublicKey;
use x509_cert::{
    Certificate,
    certificate::Version,
    der::{Decode, DecodePem, Encode, asn1::OctetString, oid::ObjectIdentifier},
    ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier},
    time::Time,
};

use super::{
    certificate::{FIDO_AAGUID, FIDO_SERIAL},
    *,
};
use crate::{
    profile::{AttestationType, Profile},
    state::{Change, ChangeSet, KeyState},
};

const AAGUID: [u8; 16] = *b"roamkey test key";

fn rng() -> Rng {
    ChaCha20Rng::from_seed([9; 32])
}

/// Another's randomness.
fn others() -> Rng {
    ChaCha20Rng::from_seed([1; 32])
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

/// Whether a signature for RS256 is a certificate's.
fn is_rs256(certificate: &Certificate, message: &[u8], signature: &[u8]) -> bool {
    let key = certificate.tbs_certificate().subject_public_key_info();
    let key = key.to_der().expect("DER");
    let key = rsa::PublicKey::from_public_key_der(&key).expect("an RSA key");
    let key = rsa::pkcs1v15::VerifyingKey::<sha2::Sha256>::new(key);
    let signature = rsa::pkcs1v15::Signature::try_from(signature);
    signature.is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

/// What id-fido-gen-ce-aaguid holds.
fn aaguid(certificate: &Certificate) -> Option<Vec<u8>> {
    octets(certificate, FIDO_AAGUID)
}

fn octets(certificate: &Certificate, id: ObjectIdentifier) -> Option<Vec<u8>> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let extension = extensions.iter().find(|e| e.extn_id == id)?;
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

/// A key of a profile that wants both certificates.
fn enterprise() -> Profile {
    Profile {
        aaguid: AAGUID,
        attestation: AttestationType::Batch,
        enterprise_attestation: Some(false),
        ..Profile::default()
    }
}

fn state(sets: impl IntoIterator<Item = ChangeSet>) -> KeyState {
    let records = sets.into_iter().flatten().map(|change| match change {
        Change::Put(record) => record,
        Change::Delete(place) => panic!("{place:?} is deleted"),
    });
    KeyState::load(records).expect("a whole key")
}

fn certified(authority: &AttestationAuthority, profile: &Profile) -> KeyState {
    let created = KeyState::create(&mut rng(), 0, profile);
    let certified = state([created.clone()]).certify(&mut others(), authority, profile, "S1", DATE);
    state([created, certified])
}

/// The start of 2026.
const DATE: u64 = 1_767_225_600;

fn read(attestation: Option<&Attestation>) -> Certificate {
    let certificate = attestation.expect("an attestation").certificate();
    Certificate::from_der(certificate).expect("X.509")
}

/// The key ids of a certificate: its own, and its issuer's.
fn key_ids(certificate: &Certificate) -> (Vec<u8>, Option<Vec<u8>>) {
    let tbs = certificate.tbs_certificate();
    let own = tbs.get_extension::<SubjectKeyIdentifier>().expect("DER");
    let issuer = tbs.get_extension::<AuthorityKeyIdentifier>().expect("DER");
    let issuer = issuer.and_then(|(_, issuer)| issuer.key_identifier);
    let own = own.expect("a key id").1.0.as_bytes().to_vec();
    (own, issuer.map(|issuer| issuer.as_bytes().to_vec()))
}

#[test]
fn authority_is_one_and_its_own() {
    let authority = AttestationAuthority::create(&mut rng(), DATE);
    let root = Certificate::from_der(authority.certificate()).expect("X.509");
    assert!(is_signed_by(&root, &root) && is_authority(&root));
    assert_eq!(root.tbs_certificate().version(), Version::V3);
    assert_eq!(
        root.tbs_certificate().subject(),
        root.tbs_certificate().issuer()
    );
    assert_eq!(years(&root), (2025, 9999), "a day earlier");
    let usage = root.tbs_certificate().get_extension::<KeyUsage>();
    let (critical, usage) = usage.expect("DER").expect("key usage");
    assert!(critical && usage.key_cert_sign() && usage.crl_sign());
    assert!(!usage.digital_signature());
    let pem = authority.certificate_pem();
    assert_eq!(Certificate::from_pem(&pem), Ok(root.clone()), "{pem}");
    let other = AttestationAuthority::create(&mut others(), DATE);
    let other = Certificate::from_der(other.certificate()).expect("X.509");
    assert_ne!(
        other.tbs_certificate().subject(),
        root.tbs_certificate().subject()
    );
}

#[test]
fn batch_and_enterprise_certificates_are_issued_by_the_authority() {
    let authority = AttestationAuthority::create(&mut rng(), DATE);
    let root = Certificate::from_der(authority.certificate()).expect("X.509");
    let key_state = certified(&authority, &enterprise());
    let batch = read(key_state.batch_attestation.as_ref());
    let device = read(key_state.enterprise_attestation.as_ref());
    for leaf in [&batch, &device] {
        check_requirements(leaf);
        assert!(is_signed_by(leaf, &root) && !is_signed_by(leaf, leaf));
        assert_eq!(
            leaf.tbs_certificate().issuer(),
            root.tbs_certificate().subject()
        );
        assert_eq!(aaguid(leaf), Some(AAGUID.to_vec()));
        assert_eq!(years(leaf), (2025, 9999));
        assert_eq!(key_ids(leaf).1, Some(key_ids(&root).0));
    }
    assert_eq!(octets(&batch, FIDO_SERIAL), None);
    assert_eq!(octets(&device, FIDO_SERIAL), Some(b"S1".to_vec()));
    assert_ne!(key(&batch), key(&device));
    let attestation = key_state.enterprise_attestation.expect("an attestation");
    let signature = attestation.sign(&[b"message"]).expect("a signature");
    let signature = DerSignature::try_from(signature.as_slice()).expect("DER");
    key(&device)
        .verify(b"message", &signature)
        .expect("its key's");
}

#[test]
fn certified_key_is_certified_again_only_for_another_model_serial_or_vault() {
    let authority = AttestationAuthority::create(&mut rng(), DATE);
    let key_state = certified(&authority, &enterprise());
    let changes = |authority: &AttestationAuthority, profile: &Profile, serial: &str| {
        let set = key_state.certify(&mut rng(), authority, profile, serial, DATE);
        set.into_iter().count()
    };
    assert_eq!(changes(&authority, &enterprise(), "S1"), 0);
    assert_eq!(
        changes(&authority, &enterprise(), "S2"),
        1,
        "the enterprise's"
    );
    let renamed = Profile {
        aaguid: [7; 16],
        ..enterprise()
    };
    assert_eq!(changes(&authority, &renamed, "S1"), 2);
    let other = AttestationAuthority::create(&mut others(), DATE);
    assert_eq!(changes(&other, &enterprise(), "S1"), 2);
    // A key that wants none gets none, and keeps what it has.
    assert_eq!(changes(&other, &Profile::default(), "S1"), 0);
}

#[test]
fn reset_keeps_the_attestations() {
    let authority = AttestationAuthority::create(&mut rng(), DATE);
    let mut key_state = certified(&authority, &enterprise());
    let before = (
        read(key_state.batch_attestation.as_ref()),
        read(key_state.enterprise_attestation.as_ref()),
    );
    let wiped = key_state.wipe(&mut rng());
    key_state.apply(wiped);
    let after = (
        read(key_state.batch_attestation.as_ref()),
        read(key_state.enterprise_attestation.as_ref()),
    );
    assert!(before == after);
}

#[test]
fn metadata_signer_leads_to_the_root_over_one_intermediate() {
    let authority = AttestationAuthority::create(&mut rng(), DATE);
    let root = Certificate::from_der(authority.certificate()).expect("X.509");
    let signer = authority.metadata_signer(&mut others(), DATE);
    let signer = signer.expect("a signer");
    let [leaf, issuer] = signer
        .certificates()
        .map(|der| Certificate::from_der(der).expect("X.509"));
    assert!(is_signed_by(&issuer, &root));
    let signed = leaf.tbs_certificate().to_der().expect("DER");
    assert!(is_rs256(&issuer, &signed, leaf.signature().raw_bytes()));
    assert!(!is_rs256(&leaf, &signed, leaf.signature().raw_bytes()));
    assert!(is_authority(&issuer) && !is_authority(&leaf));
    for (certificate, above) in [(&leaf, &issuer), (&issuer, &root)] {
        assert_eq!(
            certificate.tbs_certificate().issuer(),
            above.tbs_certificate().subject()
        );
        assert_eq!(years(certificate), (2025, 9999));
        assert_eq!(key_ids(certificate).1, Some(key_ids(above).0));
        // It signs metadata and vouches for no key.
        assert_eq!(aaguid(certificate), None);
        let subject = certificate.tbs_certificate().subject().to_string();
        assert!(subject.contains("OU=Metadata"), "{subject}");
        assert!(subject.contains("CN=roamkey test metadata"), "{subject}");
    }
    let signature = signer.sign(b"message").expect("a signature");
    assert!(is_rs256(&leaf, b"message", &signature));
    assert!(!is_rs256(&leaf, b"another", &signature));
    assert_eq!(format!("{signer:?}"), "MetadataSigner { .. }");
}

#[test]
fn certificates_that_a_key_uses_are_those_of_its_profile() {
    let authority = AttestationAuthority::create(&mut rng(), DATE);
    let key_state = certified(&authority, &enterprise());
    let used = |profile: &Profile| key_state.issued_attestations(profile).count();
    assert_eq!(used(&enterprise()), 2);
    assert_eq!(used(&Profile::default()), 0, "they are there and not used");
    let batch = key_state.batch_attestation.as_ref().expect("a batch's");
    let of_model = key_state.u2f_attestation(&enterprise());
    assert_eq!(of_model.certificate(), batch.certificate());
    let own = key_state.u2f_attestation(&Profile::default());
    assert_eq!(own.certificate(), key_state.attestation.certificate());
    // RFC 5280 §4.2.1.2: SHA-1, while the certificate names its key by SHA-256.
    let identifier = own.key_identifier().expect("a certificate");
    assert_eq!(identifier.len(), 20);
    assert_ne!(identifier, key_ids(&read(Some(own))).0);
    assert_ne!(Some(identifier), of_model.key_identifier());
}
