//! What registrations prove: nothing, the credential's key, the model, the device (WebAuthn §8.2;
//! CTAP 2.1 §6.1.2 step 9 and §7.1 of enterprises, CTAP 2.2 §6.1.2 of the preferred format).

use ciborium::Value;
use roamkey_ctap::{AttestationType, Fault, Profile};
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

use crate::support::{
    bench::RP,
    cbor,
    cose::PublicKey,
    ctap2::{MAKE_CREDENTIAL, MakeCredential, status, x5c},
    faulty::{Faulty, Signed, once},
    rig::{Options, Place, virtual_scenarios},
    u2f::{register_apdu, registered},
    vault::{SERIAL, authority},
};

/// A site that the profile lists.
const LISTED: &str = "enterprise.example";

virtual_scenarios!(
    each_type_attests_as_its_profile_says,
    preferred_format_decides_between_packed_and_none,
    enterprise_attestation_is_for_listed_sites_or_for_whom_the_platform_says,
    enterprise_attestation_that_is_not_offered_or_not_enabled_is_refused,
    enterprise_attestation_is_the_keys_own_and_the_batchs_is_not,
    u2f_registration_shows_the_batch_certificate,
    self_attestation_is_a_fault_of_a_batch,
    fault_instead_of_enterprise_attestation_is_not_called_one,
    certificates_survive_a_reset_and_a_restart,
);

fn options(attestation: AttestationType, enterprise: Option<bool>) -> Options {
    let mut options = Options::default();
    options.profile.ctap = Profile {
        attestation,
        enterprise_attestation: enterprise,
        enterprise_rp_ids: vec![LISTED.to_owned()],
        ..Profile::default()
    };
    options
}

fn enterprise(place: Place) -> Faulty {
    Faulty::with(place, options(AttestationType::Batch, Some(true)))
}

fn asking(rp: &'static str, kind: u64) -> MakeCredential {
    let mut request = MakeCredential::new(rp, b"alice");
    request.more.push((0x0a, Value::from(kind)));
    request
}

fn statement(made: &Signed) -> Value {
    made.member(3).expect("a statement")
}

/// The certificate that attests, whose issuer is the vault's authority.
fn certificate(made: &Signed) -> Certificate {
    assert_eq!(cbor::text(made.member(1)), "packed");
    let [der] = x5c(&statement(made)).try_into().expect("one certificate");
    let leaf = Certificate::from_der(&der).expect("X.509");
    let root = Certificate::from_der(authority().certificate()).expect("X.509");
    let signed = leaf.tbs_certificate().to_der().expect("DER");
    assert!(key(&root).signed(&[&signed], leaf.signature().raw_bytes()));
    assert!(made.is_by(&key(&leaf)), "signed by the certificate's key");
    assert_eq!(cbor::member(&statement(made), "alg"), Some(Value::from(-7)));
    leaf
}

fn key(certificate: &Certificate) -> PublicKey {
    let key = certificate.tbs_certificate().subject_public_key_info();
    PublicKey::from_sec1(key.subject_public_key.raw_bytes())
}

/// epAtt.
fn is_enterprise(made: &Signed) -> bool {
    made.member(4) == Some(Value::from(true))
}

/// What id-fido-gen-ce-sernum says.
fn serial(certificate: &Certificate) -> Option<Vec<u8>> {
    let mut extensions = certificate.tbs_certificate().extensions()?.iter();
    let found = extensions.find(|e| e.extn_id.to_string() == "1.3.6.1.4.1.45724.1.1.2")?;
    Some(found.extn_value.as_bytes().get(2..)?.to_vec())
}

fn refused(key: &mut Faulty, request: &MakeCredential) -> u8 {
    key.raw(MAKE_CREDENTIAL, Some(&request.to_value()))[0]
}

fn each_type_attests_as_its_profile_says(place: Place) {
    let request = MakeCredential::new(RP, b"alice");
    let mut none = Faulty::with(place, options(AttestationType::None, None));
    let made = none.make(&request);
    assert_eq!(cbor::text(made.member(1)), "none");
    assert_eq!(statement(&made), Value::Map(Vec::new()));

    let mut own = Faulty::with(place, options(AttestationType::SelfAttestation, None));
    let made = own.make(&request);
    let (_, credential) = made.parsed(0).attested.expect("a credential");
    assert!(made.is_by(&credential));
    assert_eq!(x5c(&statement(&made)).len(), 0);

    let mut batch = Faulty::with(place, options(AttestationType::Batch, None));
    let made = batch.make(&request);
    let first = certificate(&made);
    assert!(!is_enterprise(&made) && made.member(4).is_none());
    // Of whatever algorithm the credential is, and stored or not.
    let mut request = MakeCredential::discoverable(RP, b"bob");
    request.algorithms = vec![-8];
    assert!(certificate(&batch.make(&request)) == first);
}

fn preferred_format_decides_between_packed_and_none(place: Place) {
    let mut key = enterprise(place);
    let formats: [(&[&str], &str); 8] = [
        (&[], "packed"),
        (&["packed"], "packed"),
        (&["none"], "none"),
        (&["none", "packed"], "none"),
        (&["packed", "none"], "packed"),
        (&["tpm", "none"], "none"),
        (&["tpm", "packed"], "packed"),
        // None of them is known: the key's own choice.
        (&["tpm", "apple"], "packed"),
    ];
    for (formats, expected) in formats {
        let mut request = MakeCredential::new(RP, b"alice");
        request.formats = formats.to_vec();
        let made = key.make(&request);
        assert_eq!(cbor::text(made.member(1)), expected, "{formats:?}");
    }
    let mut request = asking(LISTED, 1);
    request.formats = vec!["none"];
    let made = key.make(&request);
    assert_eq!(cbor::text(made.member(1)), "none");
    assert!(!is_enterprise(&made), "what it did not send");
}

fn enterprise_attestation_is_for_listed_sites_or_for_whom_the_platform_says(place: Place) {
    let mut key = enterprise(place);
    let ordinary = certificate(&key.make(&MakeCredential::new(LISTED, b"alice")));
    for (rp, kind, expected) in [
        (LISTED, 1, true),
        (RP, 1, false),
        (LISTED, 2, true),
        (RP, 2, true),
    ] {
        let made = key.make(&asking(rp, kind));
        assert_eq!(is_enterprise(&made), expected, "{rp}, {kind}");
        assert_eq!(certificate(&made) != ordinary, expected, "{rp}, {kind}");
    }
    // A key whose ordinary attestation is another has its enterprises' all the same.
    let mut own = Faulty::with(place, options(AttestationType::None, Some(true)));
    let made = own.make(&asking(RP, 2));
    assert!(is_enterprise(&made));
    certificate(&made);
    let made = own.make(&asking(RP, 1));
    assert_eq!(cbor::text(made.member(1)), "none");
}

fn enterprise_attestation_that_is_not_offered_or_not_enabled_is_refused(place: Place) {
    for offered in [None, Some(false)] {
        let mut key = Faulty::with(place, options(AttestationType::Batch, offered));
        for kind in [0, 1, 2, 3] {
            let found = refused(&mut key, &asking(LISTED, kind));
            assert_eq!(found, status::INVALID_PARAMETER, "{kind} of {offered:?}");
        }
    }
    let mut key = enterprise(place);
    for kind in [0, 3, 1 << 62] {
        assert_eq!(
            refused(&mut key, &asking(LISTED, kind)),
            status::INVALID_OPTION
        );
    }
    for wrong in [Value::from(true), Value::from("1"), Value::from(-1)] {
        let mut request = MakeCredential::new(LISTED, b"alice");
        request.more.push((0x0a, wrong));
        assert_eq!(refused(&mut key, &request), status::CBOR_UNEXPECTED_TYPE);
    }
    // Nobody was asked for any of these.
    key.make(&asking(LISTED, 1));
}

fn enterprise_attestation_is_the_keys_own_and_the_batchs_is_not(place: Place) {
    let mut key = enterprise(place);
    let ordinary = certificate(&key.make(&MakeCredential::new(RP, b"alice")));
    let device = certificate(&key.make(&asking(LISTED, 1)));
    assert_eq!(serial(&ordinary), None);
    assert_eq!(serial(&device), Some(SERIAL.as_bytes().to_vec()));
}

fn u2f_registration_shows_the_batch_certificate(place: Place) {
    let mut key = enterprise(place);
    let ordinary = certificate(&key.make(&MakeCredential::new(RP, b"alice")));
    let apdu = register_apdu(&[1; 32], &[2; 32]);
    assert!(
        key.platform.u2f(key.channel, &apdu).is_err(),
        "touch needed"
    );
    let answer = key.platform.u2f(key.channel, &apdu).expect("registered");
    let certificate = registered(&answer, &[1; 32], &[2; 32]).certificate;
    assert!(Certificate::from_der(&certificate).expect("X.509") == ordinary);
}

fn self_attestation_is_a_fault_of_a_batch(place: Place) {
    let mut key = enterprise(place);
    key.arm(once(Fault::AttestationSelf));
    let made = key.make(&MakeCredential::new(RP, b"alice"));
    key.expect_met(&[Fault::AttestationSelf]);
    let (_, credential) = made.parsed(0).attested.expect("a credential");
    assert!(made.is_by(&credential));
    assert_eq!(x5c(&statement(&made)).len(), 0);
    certificate(&key.make(&MakeCredential::new(RP, b"alice")));
}

fn fault_instead_of_enterprise_attestation_is_not_called_one(place: Place) {
    let mut key = enterprise(place);
    for (fault, format) in [
        (Fault::AttestationMissing, "none"),
        (Fault::AttestationSelf, "packed"),
    ] {
        key.arm(once(fault));
        let made = key.make(&asking(LISTED, 1));
        key.expect_met(&[fault]);
        assert_eq!(cbor::text(made.member(1)), format);
        assert_eq!(made.member(4), None, "epAtt of {fault:?}");
        assert!(is_enterprise(&key.make(&asking(LISTED, 1))), "without it");
    }
}

fn certificates_survive_a_reset_and_a_restart(place: Place) {
    let mut key = enterprise(place);
    let both = |key: &mut Faulty| {
        let ordinary = certificate(&key.make(&MakeCredential::new(RP, b"alice")));
        (ordinary, certificate(&key.make(&asking(LISTED, 1))))
    };
    let before = both(&mut key);
    let aaguid = |key: &mut Faulty| {
        let info = key.platform.info(key.channel).expect("getInfo");
        cbor::bytes(cbor::member(&info, 3))
    };
    let named = aaguid(&mut key);
    let Faulty {
        mut rig, platform, ..
    } = key;
    drop(platform);
    rig.restart();
    let mut platform = rig.attach();
    let channel = platform.init();
    let reset = platform.ctap2(channel, crate::support::ctap2::RESET, None);
    reset.expect("power came just now");
    let mut key = Faulty {
        rig,
        platform,
        channel,
    };
    assert!(both(&mut key) == before);
    assert_eq!(aaguid(&mut key), named);
}
