//! Faults of an answer: what is wrong is that alone, and the operation after it is right.

use ciborium::Value;
use roamkey_ctap::Fault;

use crate::support::{
    bench::of_profile,
    cbor,
    ctap2::{
        CLIENT_PIN, GET_ASSERTION, GET_INFO, GetAssertion, MAKE_CREDENTIAL, MakeCredential,
        Registered, SELECTION, sha256, status,
    },
    ctaphid::MAX_MESSAGE_LEN,
    faulty::{Faulty, once},
    rig::{Options, Place, virtual_scenarios},
    u2f::{Control, authenticate_apdu, register_apdu, registered},
};

const RP: &str = "example.com";
/// Flags of authenticator data (WebAuthn §6.1).
const UP: u8 = 0x01;
const UV: u8 = 0x04;
const AT: u8 = 0x40;
const ED: u8 = 0x80;

virtual_scenarios!(
    status_is_all_of_the_answer,
    bad_signature_is_one_bit_of_a_good_one,
    cleared_flag_is_signed_as_it_is_sent,
    flipped_flag_is_signed_as_it_is_sent,
    bad_rp_id_hash_is_signed_as_it_is_sent,
    verified_answer_alone_is_spoilt,
    counter_of_a_credential_repeats_and_falls,
    counter_of_u2f_repeats_and_falls,
    counter_that_nobody_remembers_is_0,
    cbor_is_cut_at_its_end,
    cbor_grows_to_what_ctaphid_carries,
    cbor_is_not_canonical_and_says_the_same,
    user_handle_is_another,
    credential_is_not_named,
    u2f_answers_are_wrong_too,
);

/// A key with a discoverable credential.
fn with_credential(place: Place) -> (Faulty, Registered) {
    let mut key = Faulty::new(place);
    let request = MakeCredential::discoverable(RP, b"alice");
    let made = key.platform.make(key.channel, &request);
    (key, made.expect("a credential"))
}

/// Fails the test unless the key asserts as it should, with this counter.
fn check_right(key: &mut Faulty, made: &Registered, counter: u32) {
    let request = GetAssertion::new(RP, &[&made.id]);
    let signed = key.platform.get(key.channel, &request).expect("right");
    signed.verify(RP, &made.public_key);
    assert_eq!(signed.id, made.id);
    assert_eq!(signed.auth_data.counter, counter);
    let data = &signed.auth_data;
    assert!(data.user_present && !data.user_verified);
    key.expect_met(&[]);
}

/// Authenticator data without anything behind the counter.
fn plain(rp_id_hash: [u8; 32], flags: u8, counter: u32) -> Vec<u8> {
    [rp_id_hash.as_slice(), &[flags], &counter.to_be_bytes()].concat()
}

fn status_is_all_of_the_answer(place: Place) {
    let mut key = Faulty::with(place, Options::held());
    let make = MakeCredential::discoverable(RP, b"alice").to_value();
    let before = key.rig.vaults[0].commits();
    for code in [0x00, status::NO_CREDENTIALS, 0x38, 0xf3, 0xff] {
        for (command, parameters) in [
            (GET_INFO, None),
            (MAKE_CREDENTIAL, Some(&make)),
            (SELECTION, None),
            (0x99, None),
        ] {
            let fault = Fault::Status(code);
            key.arm(once(fault));
            assert_eq!(key.raw(command, parameters), [code]);
            key.expect_met(&[fault]);
        }
    }
    key.arm(once(Fault::Status(1)));
    let register = register_apdu(&[1; 32], &[2; 32]);
    assert_eq!(key.platform.u2f(key.channel, &register), Err(0x6f00));
    key.expect_met(&[Fault::Status(1)]);
    assert_eq!(key.rig.pending(), 0, "nobody is asked");
    assert_eq!(key.rig.vaults[0].commits(), before, "nothing is made");
    key.platform.info(key.channel).expect("getInfo");
}

fn bad_signature_is_one_bit_of_a_good_one(place: Place) {
    let mut key = Faulty::new(place);
    let fault = Fault::BadSignature;
    for algorithm in [-7, -8, -35, -47, -36, -257] {
        for rk in [false, true] {
            let mut request = MakeCredential::new(RP, b"alice");
            request.algorithms = vec![algorithm];
            request.options.push(("rk", rk));
            key.arm(once(fault));
            let mut made = key.make(&request);
            key.expect_met(&[fault]);
            let data = made.parsed(0);
            let (id, public_key) = data.attested.expect("a credential");
            assert_eq!(public_key.algorithm(), algorithm);
            assert!(!made.is_by(&public_key));
            *made.signature.last_mut().expect("bytes") ^= 1;
            assert!(made.is_by(&public_key), "one bit is wrong");

            let get = GetAssertion::new(RP, &[&id]);
            key.arm(once(fault));
            let mut wrong = key.get(&get);
            key.expect_met(&[fault]);
            let counter = data.counter + 1;
            assert_eq!(wrong.auth_data, plain(sha256(RP.as_bytes()), UP, counter));
            assert!(!wrong.is_by(&public_key));
            *wrong.signature.last_mut().expect("bytes") ^= 1;
            assert!(wrong.is_by(&public_key), "one bit is wrong");

            let right = key.platform.get(key.channel, &get).expect("right");
            right.verify(RP, &public_key);
            assert_eq!(right.auth_data.counter, counter + 1);
        }
    }
}

fn cleared_flag_is_signed_as_it_is_sent(place: Place) {
    for (fault, flags) in [(Fault::ClearUserPresent, 0), (Fault::ClearUserVerified, UP)] {
        let mut key = Faulty::new(place);
        key.arm(once(fault));
        let request = MakeCredential::discoverable(RP, b"alice");
        let made = key.make(&request);
        key.expect_met(&[fault]);
        assert_eq!(made.auth_data[32], flags | AT);
        let (id, public_key) = made.parsed(0).attested.expect("a credential");
        assert!(made.is_by(&public_key), "{fault} is signed");
        for (get, flags) in [
            (GetAssertion::new(RP, &[&id]), flags),
            (GetAssertion::new(RP, &[]).silent(), 0),
        ] {
            key.arm(once(fault));
            let signed = key.get(&get);
            key.expect_met(&[fault]);
            assert_eq!(signed.auth_data[32], flags, "{fault} sets nothing");
            assert!(signed.is_by(&public_key), "{fault} is signed");
        }
    }
}

fn flipped_flag_is_signed_as_it_is_sent(place: Place) {
    for (fault, flag) in [
        (Fault::FlipUserPresent, UP),
        (Fault::FlipUserVerified, UV),
        (Fault::FlipAttested, AT),
        (Fault::FlipExtensions, ED),
    ] {
        let mut key = Faulty::new(place);
        key.arm(once(fault));
        let request = MakeCredential::discoverable(RP, b"alice");
        let made = key.make(&request);
        key.expect_met(&[fault]);
        assert_eq!(made.auth_data[32], (UP | AT) ^ flag);
        let data = made.parsed(flag);
        assert_eq!(data.rp_id_hash, sha256(RP.as_bytes()));
        assert_eq!(data.extensions, Value::Null);
        let (id, public_key) = data.attested.expect("a credential");
        assert!(made.is_by(&public_key), "{fault} is signed");

        for (get, flags) in [
            (GetAssertion::new(RP, &[&id]), UP),
            (GetAssertion::new(RP, &[]).silent(), 0),
        ] {
            let right = key.platform.get(key.channel, &get).expect("right");
            right.verify(RP, &public_key);
            let counter = right.auth_data.counter + 1;
            key.arm(once(fault));
            let signed = key.get(&get);
            key.expect_met(&[fault]);
            let expected = plain(sha256(RP.as_bytes()), flags ^ flag, counter);
            assert_eq!(signed.auth_data, expected, "{fault}");
            assert!(signed.is_by(&public_key), "{fault} is signed");
        }
    }
}

fn bad_rp_id_hash_is_signed_as_it_is_sent(place: Place) {
    let (mut key, made) = with_credential(place);
    let fault = Fault::BadRpIdHash;
    key.arm(once(fault));
    let signed = key.get(&GetAssertion::new(RP, &[]));
    key.expect_met(&[fault]);
    assert_ne!(signed.auth_data[..32], sha256(RP.as_bytes()));
    assert_eq!(signed.auth_data[32..], plain([0; 32], UP, 2)[32..]);
    assert!(signed.is_by(&made.public_key));
    check_right(&mut key, &made, 3);

    key.arm(once(fault));
    let again = key.make(&MakeCredential::new(RP, b"bob"));
    key.expect_met(&[fault]);
    let data = again.parsed(0);
    assert_ne!(data.rp_id_hash, sha256(RP.as_bytes()));
    let (id, public_key) = data.attested.expect("a credential");
    assert!(again.is_by(&public_key));
    let right = key
        .platform
        .get(key.channel, &GetAssertion::new(RP, &[&id]));
    right
        .expect("it is one of the true RP")
        .verify(RP, &public_key);
}

fn verified_answer_alone_is_spoilt(place: Place) {
    let mut key = Faulty::with(place, of_profile("bio"));
    let mut make = MakeCredential::new(RP, b"alice");
    make.options = vec![("uv", true)];
    let made = key.platform.make(key.channel, &make);
    let made = made.expect("a credential");
    let mut get = GetAssertion::new(RP, &[&made.id]);
    for verified in [false, true] {
        get.options = vec![("uv", verified)];
        key.arm(once(Fault::SpoilVerified));
        let signed = key.get(&get);
        key.expect_met(&[Fault::SpoilVerified]);
        assert_eq!(signed.parsed(0).user_verified, verified);
        let right = signed.auth_data[..32] == sha256(RP.as_bytes());
        assert_eq!(right, !verified);
        assert!(signed.is_by(&made.public_key));
    }
}

fn counter_of_a_credential_repeats_and_falls(place: Place) {
    for rk in [false, true] {
        let mut key = Faulty::new(place);
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("rk", rk));
        let made = key.platform.make(key.channel, &request);
        let made = made.expect("a credential");
        let get = GetAssertion::new(RP, &[&made.id]);
        let first = made.counter;
        let faulty = |key: &mut Faulty, fault, sent: u32| {
            key.arm(once(fault));
            let signed = key.get(&get);
            key.expect_met(&[fault]);
            assert_eq!(signed.auth_data, plain(sha256(RP.as_bytes()), UP, sent));
            assert!(signed.is_by(&made.public_key));
        };
        faulty(&mut key, Fault::CounterRepeated, first);
        check_right(&mut key, &made, first + 2);
        faulty(&mut key, Fault::CounterRepeated, first + 2);
        faulty(&mut key, Fault::CounterRepeated, first + 2);
        faulty(&mut key, Fault::CounterLowered, first + 1);
        check_right(&mut key, &made, first + 6);
        faulty(&mut key, Fault::CounterLowered, first + 5);
        check_right(&mut key, &made, first + 8);
    }
}

fn counter_of_u2f_repeats_and_falls(place: Place) {
    let mut key = Faulty::new(place);
    let application = sha256(RP.as_bytes());
    let channel = key.channel;
    let made = key.platform.u2f_register(channel, &[1; 32], &application);
    let counter = |key: &mut Faulty| {
        let handle = (made.key_handle.as_slice(), &made.public_key);
        let platform = &mut key.platform;
        let signed = platform.u2f_authenticate(channel, Control::Enforce, &application, handle);
        signed.expect("a signature that verifies").counter
    };
    key.arm(once(Fault::CounterRepeated));
    assert_eq!(counter(&mut key), 0, "a U2F registration has none");
    key.expect_met(&[Fault::CounterRepeated]);
    let right = counter(&mut key);
    assert_eq!(right, 2);
    key.arm(once(Fault::CounterRepeated));
    assert_eq!(counter(&mut key), right);
    key.arm(once(Fault::CounterLowered));
    assert_eq!(counter(&mut key), right - 1);
    assert_eq!(counter(&mut key), right + 3);
    key.expect_met(&[Fault::CounterRepeated, Fault::CounterLowered]);
}

fn counter_that_nobody_remembers_is_0(place: Place) {
    for fault in [Fault::CounterRepeated, Fault::CounterLowered] {
        let (mut key, made) = with_credential(place);
        check_right(&mut key, &made, 2);
        let Faulty {
            mut rig, platform, ..
        } = key;
        drop(platform);
        rig.restart();
        let mut platform = rig.attach();
        let channel = platform.init();
        let mut key = Faulty {
            rig,
            platform,
            channel,
        };
        key.arm(once(fault));
        let signed = key.get(&GetAssertion::new(RP, &[]));
        key.expect_met(&[fault]);
        assert_eq!(signed.auth_data, plain(sha256(RP.as_bytes()), UP, 0));
        assert!(signed.is_by(&made.public_key));
        let next = key.get(&GetAssertion::new(RP, &[])).parsed(0).counter;
        assert!(next > 2, "{next} is above all that was sent");
    }
}

/// Commands whose answers are the same each time, and the parameters.
fn repeatable() -> [(u8, Option<Value>); 2] {
    // getKeyAgreement: a map of one member.
    let key_agreement = cbor::map([(1, Value::from(2)), (2, Value::from(2))]);
    [(GET_INFO, None), (CLIENT_PIN, Some(key_agreement))]
}

/// The answers that carry CBOR, right and with a fault.
fn check_repeatable(place: Place, fault: Fault, check: fn(&[u8], &[u8])) {
    let mut key = Faulty::new(place);
    for (command, parameters) in repeatable() {
        let right = key.raw(command, parameters.as_ref());
        key.arm(once(fault));
        let wrong = key.raw(command, parameters.as_ref());
        key.expect_met(&[fault]);
        check(&right, &wrong);
        assert_eq!(key.raw(command, parameters.as_ref()), right);
    }
}

fn cbor_is_cut_at_its_end(place: Place) {
    check_repeatable(place, Fault::CborTruncated, |right, wrong| {
        assert_eq!(*wrong, right[..right.len() - 1]);
    });
    let (mut key, made) = with_credential(place);
    key.arm(once(Fault::CborTruncated));
    let get = GetAssertion::new(RP, &[&made.id]);
    let cut = key.raw(GET_ASSERTION, Some(&get.to_value()));
    assert_eq!(cut[0], 0);
    let value: Result<Value, _> = ciborium::from_reader(&cut[1..]);
    assert!(value.is_err());
    key.expect_met(&[Fault::CborTruncated]);
    check_right(&mut key, &made, 3);
}

fn cbor_grows_to_what_ctaphid_carries(place: Place) {
    check_repeatable(place, Fault::CborOversized, |right, wrong| {
        assert_eq!(wrong.len(), MAX_MESSAGE_LEN);
        let (right, wrong) = (cbor::parse(&right[1..]), cbor::parse(&wrong[1..]));
        let (right, wrong) = (right.as_map().expect("a map"), wrong.as_map());
        let wrong = wrong.expect("a map");
        assert_eq!(wrong[..right.len()], *right, "all that was there");
        assert_eq!(wrong.len(), right.len() + 1);
    });
    let (mut key, made) = with_credential(place);
    key.arm(once(Fault::CborOversized));
    let signed = key.get(&GetAssertion::new(RP, &[&made.id]));
    assert!(signed.is_by(&made.public_key));
    key.arm(once(Fault::CborOversized));
    assert_eq!(key.raw(SELECTION, None).len(), MAX_MESSAGE_LEN);
    key.expect_met(&[Fault::CborOversized, Fault::CborOversized]);
    check_right(&mut key, &made, 3);
}

fn cbor_is_not_canonical_and_says_the_same(place: Place) {
    check_repeatable(place, Fault::CborNonCanonical, |right, wrong| {
        assert_eq!(wrong[0], 0);
        assert_ne!(wrong, right);
        let wrong: Value = ciborium::from_reader(&wrong[1..]).expect("CBOR");
        let members = wrong.into_map().expect("a map");
        assert_eq!(cbor::map(members), cbor::parse(&right[1..]));
    });
    let (mut key, made) = with_credential(place);
    key.arm(once(Fault::CborNonCanonical));
    let signed = key.get(&GetAssertion::new(RP, &[&made.id]));
    assert!(signed.is_by(&made.public_key));
    assert_eq!(signed.auth_data, plain(sha256(RP.as_bytes()), UP, 2));
    let keys = signed.value.as_map().expect("a map").iter();
    let keys: Vec<_> = keys.map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, [4, 3, 2, 1].map(Value::from));
    key.expect_met(&[Fault::CborNonCanonical]);
    check_right(&mut key, &made, 3);
}

fn user_handle_is_another(place: Place) {
    let (mut key, made) = with_credential(place);
    key.arm(once(Fault::WrongUserHandle));
    let signed = key.get(&GetAssertion::new(RP, &[]));
    key.expect_met(&[Fault::WrongUserHandle]);
    let user = signed.member(4).expect("a user");
    let handle = cbor::bytes(cbor::member(&user, "id"));
    assert_eq!(handle.len(), 5);
    assert_ne!(handle, b"alice");
    assert!(signed.is_by(&made.public_key));
    let request = GetAssertion::new(RP, &[]);
    let right = key.platform.get(key.channel, &request).expect("right");
    assert_eq!(right.user_id.as_deref(), Some(b"alice".as_slice()));
}

fn credential_is_not_named(place: Place) {
    let (mut key, made) = with_credential(place);
    key.arm(once(Fault::MissingCredential));
    let signed = key.get(&GetAssertion::new(RP, &[&made.id]));
    key.expect_met(&[Fault::MissingCredential]);
    assert_eq!(signed.member(1), None);
    assert_eq!(signed.auth_data, plain(sha256(RP.as_bytes()), UP, 2));
    assert!(signed.is_by(&made.public_key));
    check_right(&mut key, &made, 3);
}

fn u2f_answers_are_wrong_too(place: Place) {
    let mut key = Faulty::new(place);
    let (challenge, application) = ([7; 32], sha256(RP.as_bytes()));
    let register = register_apdu(&challenge, &application);
    key.arm(once(Fault::BadSignature));
    let answer = key.platform.u2f_polled(key.channel, &register);
    key.expect_met(&[Fault::BadSignature]);
    let mut answer = answer.expect("a registration");
    *answer.last_mut().expect("bytes") ^= 1;
    let made = registered(&answer, &challenge, &application);

    let apdu = authenticate_apdu(Control::Enforce, &challenge, &application, &made.key_handle);
    for fault in [
        Fault::BadSignature,
        Fault::FlipUserPresent,
        Fault::ClearUserPresent,
    ] {
        key.arm(once(fault));
        let answer = key.platform.u2f_polled(key.channel, &apdu);
        key.expect_met(&[fault]);
        let answer = answer.expect("a signature");
        let (head, signature) = answer.split_at(5);
        let parts: [&[u8]; 3] = [&application, head, &challenge];
        let verified = made.public_key.signed(&parts, signature);
        assert_eq!(verified, fault != Fault::BadSignature);
        assert_eq!(head[0] == 1, fault == Fault::BadSignature);
    }
    let handle = (made.key_handle.as_slice(), &made.public_key);
    let platform = &mut key.platform;
    let right = platform.u2f_authenticate(key.channel, Control::Enforce, &application, handle);
    assert!(right.expect("right").user_present);
}
