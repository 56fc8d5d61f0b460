//! Faults of attestation: a statement of another kind, or a certificate that is not to be trusted.

use ciborium::Value;
use roamkey_ctap::{Fault, Profile};
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

use crate::support::{
    cbor,
    cose::PublicKey,
    ctap2::{MakeCredential, sha256},
    faulty::{Faulty, Signed, once},
    rig::{Place, virtual_scenarios},
    u2f::{register_apdu, registered},
};

const RP: &str = "example.com";

virtual_scenarios!(
    missing_attestation_is_format_none,
    self_attestation_has_no_certificate,
    expired_certificate_attests_well,
    certificate_names_another_aaguid,
    chain_of_certificates_is_broken,
    bad_signature_of_a_certificate_is_one_bit,
    u2f_registration_has_an_expired_certificate,
    registration_that_wants_no_attestation_meets_none_of_them,
);

/// A registration that meets a fault, and the right one after it.
fn registration(place: Place, fault: Fault) -> Signed {
    let mut key = Faulty::new(place);
    let request = MakeCredential::new(RP, b"alice");
    key.arm(once(fault));
    let made = key.make(&request);
    key.expect_met(&[fault]);
    let data = made.parsed(0);
    assert_eq!(data.rp_id_hash, sha256(RP.as_bytes()));
    assert!(data.user_present);
    let right = key.platform.make(key.channel, &request);
    assert_eq!(right.expect("right").format, "packed");
    made
}

fn format(made: &Signed) -> String {
    cbor::text(made.member(1))
}

fn statement(made: &Signed) -> Value {
    made.member(3).expect("a statement")
}

/// The certificates of packed attestation, which the first one's key signed.
fn certificates(made: &Signed) -> Vec<Certificate> {
    assert_eq!(format(made), "packed");
    let statement = statement(made);
    assert_eq!(statement.as_map().map(Vec::len), Some(3), "alg, sig, x5c");
    let algorithm = cbor::member(&statement, "alg");
    assert_eq!(algorithm, Some(Value::from(-7)));
    let x5c = cbor::member(&statement, "x5c").expect("certificates");
    let x5c = x5c.into_array().expect("an array").into_iter();
    let x5c: Vec<_> = x5c
        .map(|der| Certificate::from_der(&cbor::bytes(Some(der))).expect("X.509"))
        .collect();
    assert!(made.is_by(&subject_key(&x5c[0])), "its own key's signature");
    let (_, credential) = made.parsed(0).attested.expect("a credential");
    assert_ne!(subject_key(&x5c[0]), credential, "not self attestation");
    let subject = x5c[0].tbs_certificate().subject().to_string();
    assert!(
        subject.contains("OU=Authenticator Attestation"),
        "{subject}"
    );
    x5c
}

fn subject_key(certificate: &Certificate) -> PublicKey {
    let key = certificate.tbs_certificate().subject_public_key_info();
    PublicKey::from_sec1(key.subject_public_key.raw_bytes())
}

fn is_signed_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let signed = certificate.tbs_certificate().to_der().expect("DER");
    subject_key(issuer).signed(&[&signed], certificate.signature().raw_bytes())
}

fn last_year(certificate: &Certificate) -> u16 {
    let end = certificate.tbs_certificate().validity().not_after;
    end.to_date_time().year()
}

/// The value of id-fido-gen-ce-aaguid: an OCTET STRING of 16 bytes.
fn aaguid(certificate: &Certificate) -> Vec<u8> {
    let extensions = certificate.tbs_certificate().extensions();
    let mut extensions = extensions.expect("extensions").iter();
    let extension = extensions.find(|e| e.extn_id.to_string() == "1.3.6.1.4.1.45724.1.1.4");
    let extension = extension.expect("an AAGUID");
    assert!(!extension.critical);
    let (head, aaguid) = extension.extn_value.as_bytes().split_at(2);
    assert_eq!(head, [0x04, 16]);
    aaguid.to_vec()
}

fn own_aaguid() -> Vec<u8> {
    Profile::default().aaguid.to_vec()
}

fn missing_attestation_is_format_none(place: Place) {
    let made = registration(place, Fault::AttestationMissing);
    assert_eq!(format(&made), "none");
    assert_eq!(statement(&made), Value::Map(Vec::new()));
    assert_eq!(made.parsed(0).aaguid, Some(own_aaguid()));
}

fn self_attestation_has_no_certificate(place: Place) {
    let made = registration(place, Fault::AttestationSelf);
    assert_eq!(format(&made), "packed");
    assert_eq!(statement(&made).as_map().map(Vec::len), Some(2));
    let (_, credential) = made.parsed(0).attested.expect("a credential");
    assert!(made.is_by(&credential));
}

fn expired_certificate_attests_well(place: Place) {
    let made = registration(place, Fault::AttestationExpired);
    let x5c = certificates(&made);
    assert_eq!(x5c.len(), 1);
    assert_eq!(last_year(&x5c[0]), 2002);
    assert!(is_signed_by(&x5c[0], &x5c[0]));
    assert_eq!(Some(aaguid(&x5c[0])), made.parsed(0).aaguid);
}

fn certificate_names_another_aaguid(place: Place) {
    let made = registration(place, Fault::AttestationWrongAaguid);
    let x5c = certificates(&made);
    assert_eq!(x5c.len(), 1);
    assert_eq!(last_year(&x5c[0]), 9999);
    assert!(is_signed_by(&x5c[0], &x5c[0]));
    assert_eq!(made.parsed(0).aaguid, Some(own_aaguid()));
    assert_ne!(aaguid(&x5c[0]), own_aaguid());
}

fn chain_of_certificates_is_broken(place: Place) {
    let made = registration(place, Fault::AttestationBrokenChain);
    let x5c = certificates(&made);
    let [leaf, root] = x5c.as_slice() else {
        panic!("two certificates");
    };
    let issuer = leaf.tbs_certificate().issuer();
    assert_eq!(issuer, root.tbs_certificate().subject());
    assert!(is_signed_by(root, root));
    assert!(!is_signed_by(leaf, root));
    assert_eq!((last_year(leaf), last_year(root)), (9999, 9999));
    assert_eq!(Some(aaguid(leaf)), made.parsed(0).aaguid);
}

fn bad_signature_of_a_certificate_is_one_bit(place: Place) {
    let mut key = Faulty::new(place);
    key.arm(once(Fault::AttestationExpired));
    key.arm(once(Fault::BadSignature));
    let mut made = key.make(&MakeCredential::new(RP, b"alice"));
    key.expect_met(&[Fault::AttestationExpired, Fault::BadSignature]);
    *made.signature.last_mut().expect("bytes") ^= 1;
    assert_eq!(certificates(&made).len(), 1);
}

fn u2f_registration_has_an_expired_certificate(place: Place) {
    let mut key = Faulty::new(place);
    let (challenge, application) = ([7; 32], sha256(RP.as_bytes()));
    let register = register_apdu(&challenge, &application);
    key.arm(once(Fault::AttestationExpired));
    let answer = key.platform.u2f_polled(key.channel, &register);
    key.expect_met(&[Fault::AttestationExpired]);
    let wrong = registered(&answer.expect("verified"), &challenge, &application);
    let certificate = Certificate::from_der(&wrong.certificate).expect("X.509");
    assert_eq!(last_year(&certificate), 2002);
    assert!(is_signed_by(&certificate, &certificate));
    let right = key
        .platform
        .u2f_register(key.channel, &challenge, &application);
    let certificate = Certificate::from_der(&right.certificate).expect("X.509");
    assert_eq!(last_year(&certificate), 9999);
}

fn registration_that_wants_no_attestation_meets_none_of_them(place: Place) {
    let mut key = Faulty::new(place);
    let faults = [
        Fault::BadSignature,
        Fault::AttestationMissing,
        Fault::AttestationSelf,
        Fault::AttestationExpired,
        Fault::AttestationWrongAaguid,
        Fault::AttestationBrokenChain,
    ];
    for fault in faults {
        key.arm(once(fault));
    }
    let mut request = MakeCredential::new(RP, b"alice");
    request.formats = vec!["none", "packed"];
    let made = key.platform.make(key.channel, &request);
    assert_eq!(made.expect("right").format, "none");
    assert_eq!(key.rig.world().take_met(0), []);
    assert_eq!(key.rig.world().armed(0).len(), faults.len());
}
