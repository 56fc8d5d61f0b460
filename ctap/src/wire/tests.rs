use ciborium::cbor;

use super::{
    make_credential::{Response, Statement},
    *,
};
use crate::{
    credential::{Algorithm, CredentialId, RpIdHash},
    crypto::{PrivateKey, PublicKey, Rng, Secret},
    profile::Profile,
};

fn encoded(value: &Value) -> Vec<u8> {
    cbor::emit(value)
}

/// Parses a command whose parameters are `value`, which must be in canonical order.
fn parsed(command: u8, value: &Value) -> Result<Request, Status> {
    let mut payload = vec![command];
    payload.extend(encoded(value));
    Request::parse(&payload)
}

/// A whole makeCredential with the member `key` replaced, or removed where `value` is `None`.
fn make_credential_with(key: u64, value: Option<Value>) -> Value {
    let hash = Value::Bytes(vec![1; 32]);
    let id = Value::Bytes(vec![7]);
    let whole = cbor!({
        1 => hash,
        2 => { "id" => "example.com" },
        3 => { "id" => id },
        4 => [ { "alg" => -7, "type" => "public-key" } ],
    });
    let mut members = whole.unwrap().into_map().unwrap();
    members.retain(|(name, _)| *name != Value::from(key));
    members.extend(value.map(|value| (Value::from(key), value)));
    members.sort_by_key(|(name, _)| name.as_integer());
    Value::Map(members)
}

fn status_of(key: u64, value: Option<Value>) -> Status {
    match parsed(1, &make_credential_with(key, value)) {
        Ok(_) => Status::Ok,
        Err(status) => status,
    }
}

#[test]
fn canonical_forms_only_are_accepted() {
    let good: [&[u8]; 14] = [
        b"\xa0",
        b"\x17",
        b"\x18\x18",
        b"\x19\x01\x00",
        b"\x1a\x00\x01\x00\x00",
        b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\x62\xc3\xa9",
        b"\xf5",
        b"\xf6",
        b"\xfa\x00\x00\x00\x00",
        b"\xa3\x01\x00\x20\x00\x61a\x00",
        b"\x81\x81\x81\x81\x00",
        // As Firefox sends options.
        b"\xa1\x05\xa2\x62uv\xf5\x62up\xf5",
        b"\xa1\x05\xa3\x62rk\xf5\x62uv\xf5\x62up\xf5",
    ];
    for bytes in good {
        assert_eq!(strict::check(bytes), Ok(()), "{bytes:02x?}");
    }
    let bad: [&[u8]; 26] = [
        b"",
        b"\xa0\x00",
        b"\x18\x17",
        b"\x19\x00\xff",
        b"\x1a\x00\x00\xff\xff",
        b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\x1c",
        b"\x1f",
        b"\x38\x17",
        b"\x58\x01\x00",
        b"\x5f\x41\x00\xff",
        b"\x7f\xff",
        b"\x9f\xff",
        b"\xbf\xff",
        b"\x61\xff",
        b"\x42\x00",
        b"\xc0\x60",
        b"\xf8\x20",
        b"\xe0",
        b"\xff",
        b"\xa2\x02\x00\x01\x00",
        b"\xa2\x01\x00\x01\x00",
        b"\xa2\x61a\x00\x01\x00",
        b"\xa2\x62aa\x00\x61b\x00",
        b"\xa1\x80\x00",
        b"\x81\x81\x81\x81\x80",
    ];
    for bytes in bad {
        assert_eq!(strict::check(bytes), Err(strict::Malformed), "{bytes:02x?}");
    }
}

#[test]
fn declared_length_beyond_the_input_is_refused_before_any_work() {
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        let mut bytes = vec![head];
        bytes.extend(u64::MAX.to_be_bytes());
        assert_eq!(strict::check(&bytes), Err(strict::Malformed));
    }
}

#[test]
fn each_mistake_has_its_status() {
    assert_eq!(status_of(9, None), Status::Ok);
    for key in 1..=4 {
        assert_eq!(status_of(key, None), Status::MissingParameter, "{key}");
        let wrong = Value::from(true);
        assert_eq!(status_of(key, Some(wrong)), Status::CborUnexpectedType);
    }
    let optional = [5, 6, 7, 8, 9, 0x0a, 0x0b];
    for key in optional {
        let wrong = Value::from("wrong");
        assert_eq!(status_of(key, Some(wrong)), Status::CborUnexpectedType);
    }
    let table = [
        (1, Value::Bytes(vec![0; 31]), Status::InvalidLength),
        (2, cbor!({}).unwrap(), Status::MissingParameter),
        (2, cbor!({ "id" => 1 }).unwrap(), Status::CborUnexpectedType),
        (
            3,
            cbor!({ "id" => "text" }).unwrap(),
            Status::CborUnexpectedType,
        ),
        (
            4,
            cbor!([ { "alg" => -7 } ]).unwrap(),
            Status::MissingParameter,
        ),
        (
            4,
            cbor!([ { "type" => "public-key" } ]).unwrap(),
            Status::MissingParameter,
        ),
        (4, cbor!([7]).unwrap(), Status::CborUnexpectedType),
        (
            4,
            cbor!([ { "alg" => "x", "type" => "public-key" } ]).unwrap(),
            Status::CborUnexpectedType,
        ),
        (
            5,
            cbor!([ { "type" => "public-key" } ]).unwrap(),
            Status::MissingParameter,
        ),
        (7, cbor!({ "rk" => 1 }).unwrap(), Status::CborUnexpectedType),
        (7, cbor!({ "other" => 1 }).unwrap(), Status::Ok),
        (0x40, Value::from("unknown"), Status::Ok),
    ];
    for (key, value, status) in table {
        assert_eq!(
            status_of(key, Some(value.clone())),
            status,
            "{key} {value:?}"
        );
    }
}

#[test]
fn parameters_that_are_no_map_or_not_wanted_are_refused() {
    let status = |payload: &[u8]| Request::parse(payload).err();
    assert_eq!(status(&[]), Some(Status::InvalidCommand));
    assert_eq!(status(&[0x42]), Some(Status::InvalidCommand));
    assert_eq!(status(&[1]), Some(Status::InvalidCbor));
    assert_eq!(status(&[1, 0x80]), Some(Status::CborUnexpectedType));
    assert_eq!(status(&[1, 0xa0]), Some(Status::MissingParameter));
    assert_eq!(status(&[1, 0xa0, 0]), Some(Status::InvalidCbor));
    assert_eq!(status(&[2, 0xa0]), Some(Status::MissingParameter));
    assert_eq!(
        status(&[0x0c, 0xa0]),
        None,
        "what goes together is not looked at"
    );
    for command in [4, 7, 8, 0x0b] {
        assert_eq!(status(&[command]), None);
        assert_eq!(status(&[command, 0xa0]), Some(Status::InvalidCbor));
    }
}

#[test]
fn descriptors_of_another_type_name_no_credential() {
    let id = Value::Bytes(vec![1]);
    let other = Value::Bytes(vec![2]);
    let list = cbor!([
        { "id" => id, "type" => "public-key" },
        { "id" => other, "type" => "other" },
    ]);
    assert_eq!(credential_ids(list.unwrap()), Ok(vec![vec![1], vec![]]));
}

#[test]
fn responses_are_canonical() {
    let profile = Profile::default();
    let info = get_info::Response {
        profile: &profile,
        pin_is_set: true,
        uv_enabled: false,
        uv_count_since_last_pin_entry: 0,
        always_uv: false,
        min_pin_length: 4,
        force_pin_change: false,
        remaining_discoverable_credentials: 5,
        enterprise_attestation: true,
        pin_complexity_policy: true,
        long_touch_for_reset: Some(true),
        identifiers: Some([vec![1; 32], vec![2; 32]]),
    };
    assert_eq!(strict::check(&info.emit()), Ok(()));
    for statement in [
        Statement::None,
        Statement::Packed {
            algorithm: -7,
            signature: vec![0; 70],
            x5c: Vec::new(),
        },
        Statement::Packed {
            algorithm: -7,
            signature: vec![0; 70],
            x5c: vec![vec![0x30; 400], vec![0x30; 300]],
        },
    ] {
        let response = Response {
            auth_data: vec![0; 37],
            statement,
            enterprise: true,
            large_blob_key: Some(Secret::from_bytes(&[7; 32])),
        };
        assert_eq!(strict::check(&response.emit()), Ok(()));
    }
}

#[test]
fn each_member_of_bio_enrollment_has_its_type() {
    let params = |key, value: &Value| {
        let params = Value::Map(vec![(Value::from(key), value.clone())]);
        Value::Map(vec![(Value::from(3), params)])
    };
    let plain = |key, value: &Value| Value::Map(vec![(Value::from(key), value.clone())]);
    let (text, null) = (Value::from("text"), Value::Null);
    for command in [0x09, 0x40] {
        let unexpected = |value| {
            let status = parsed(command, &value).err();
            assert_eq!(status, Some(Status::CborUnexpectedType), "{value:?}");
        };
        (1..=6).for_each(|key| unexpected(plain(key, &text)));
        for wrong in [&null, &Value::from(-1)] {
            (1..=3).for_each(|key| unexpected(params(key, wrong)));
        }
        assert!(parsed(command, &Value::Map(Vec::new())).is_ok());
        // Unknown members are left alone.
        assert!(parsed(command, &plain(9, &text)).is_ok());
        assert!(parsed(command, &params(9, &text)).is_ok());
    }
}

#[test]
fn bio_enrollment_authenticates_what_came() {
    let id = Value::Bytes(vec![7; 2]);
    let whole = cbor!({ 1 => 1, 2 => 5, 3 => { 1 => id, 2 => "x" } }).unwrap();
    let Ok(Request::BioEnrollment(request)) = parsed(0x09, &whole) else {
        panic!("it is whole");
    };
    assert_eq!(request.message, b"\x01\x05\xa2\x01\x42\x07\x07\x02\x61x");
    let bare = cbor!({ 1 => 1, 2 => 4 }).unwrap();
    let Ok(Request::BioEnrollment(request)) = parsed(0x09, &bare) else {
        panic!("it is whole");
    };
    assert_eq!(request.message, b"\x01\x04");
}

#[test]
fn info_of_a_sensor_is_canonical() {
    let profile = Profile {
        built_in_uv: true,
        bio_enroll: true,
        enterprise_attestation: Some(false),
        ..Profile::default()
    };
    let info = get_info::Response {
        profile: &profile,
        pin_is_set: false,
        uv_enabled: true,
        uv_count_since_last_pin_entry: 300,
        always_uv: false,
        min_pin_length: 4,
        force_pin_change: false,
        remaining_discoverable_credentials: 5,
        enterprise_attestation: false,
        pin_complexity_policy: false,
        long_touch_for_reset: None,
        identifiers: None,
    };
    assert_eq!(strict::check(&info.emit()), Ok(()));
}

#[test]
fn each_member_of_large_blobs_has_its_type() {
    let text = Value::from("text");
    for key in 1..=6 {
        let wrong = Value::Map(vec![(Value::from(key), text.clone())]);
        let status = parsed(0x0c, &wrong).err();
        assert_eq!(status, Some(Status::CborUnexpectedType), "{key}");
    }
    for key in [1, 3, 4, 6] {
        let negative = Value::Map(vec![(Value::from(key), Value::from(-1))]);
        let status = parsed(0x0c, &negative).err();
        assert_eq!(status, Some(Status::CborUnexpectedType), "{key}");
    }
    assert_eq!(large_blobs::emit(&[1, 2]), b"\xa1\x01\x42\x01\x02");
}

/// WebAuthn §6.1: 32 bytes of hash, flags, counter; then AAGUID, length, id and key.
#[test]
fn authenticator_data_has_its_fields_in_their_places() {
    let key = PrivateKey::random(
        Algorithm::Es256,
        &mut <Rng as rand_core::SeedableRng>::from_seed([3; 32]),
    );
    let public_key = key.public_key();
    let PublicKey::Ec2 { x, y } = &public_key else {
        panic!("a P-256 key has two coordinates");
    };
    let id = CredentialId::from_slice(&[9; 64]).unwrap();
    let mut auth_data = AuthData {
        rp_id_hash: &RpIdHash([5; 32]),
        flags: Flags {
            user_present: true,
            ..Flags::default()
        },
        extensions: &extension::Outputs::default(),
        sign_count: 0x0102_0304,
        attested: Some(Attested {
            aaguid: &[6; 16],
            id: &id,
            algorithm: Algorithm::Es256,
            public_key: &public_key,
        }),
    };
    let bytes = auth_data.emit();
    assert_eq!(bytes[..32], [5; 32]);
    assert_eq!(bytes[32..37], [0x41, 1, 2, 3, 4]);
    for (flipped, flags) in [
        ((true, false, false, false), 0x40),
        ((false, true, false, false), 0x45),
        ((false, false, true, false), 0x01),
        ((false, false, false, true), 0xc1),
    ] {
        let (user_present, user_verified, attested, extensions) = flipped;
        auth_data.flags.flipped = Flipped {
            user_present,
            user_verified,
            attested,
            extensions,
        };
        let mut expected = bytes.clone();
        expected[32] = flags;
        assert_eq!(auth_data.emit(), expected, "that flag alone");
    }
    assert_eq!(bytes[37..53], [6; 16]);
    assert_eq!(bytes[53..55], [0, 64]);
    assert_eq!(bytes[55..119], [9; 64]);
    // RFC 9053 §7.1.1: {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
    assert_eq!(
        bytes[119..129],
        *b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20"
    );
    assert_eq!(bytes[129..161], *x);
    assert_eq!(bytes[161..164], *b"\x22\x58\x20");
    assert_eq!(bytes[164..], *y);
}

/// RFC 9053 §7 and RFC 8812 §3.1, with the numbers of the IANA COSE registry.
#[test]
fn each_algorithms_key_has_its_cose_form() {
    let ec2 = |length: usize| PublicKey::Ec2 {
        x: vec![0xaa; length],
        y: vec![0xbb; length],
    };
    let okp = PublicKey::Okp { x: vec![0xaa; 32] };
    let rsa = PublicKey::Rsa {
        n: vec![0xaa; 256],
        e: vec![1, 0, 1],
    };
    let akp = |length: usize| PublicKey::Akp {
        public: vec![0xaa; length],
    };
    let table: [(Algorithm, PublicKey, &[u8], &[u8]); 8] = [
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
        (
            Algorithm::Es256,
            ec2(32),
            b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20",
            b"\x22\x58\x20",
        ),
        // {1: 2, 3: -35, -1: 2, -2: x, -3: y}
        (
            Algorithm::Es384,
            ec2(48),
            b"\xa5\x01\x02\x03\x38\x22\x20\x02\x21\x58\x30",
            b"\x22\x58\x30",
        ),
        // {1: 2, 3: -47, -1: 8, -2: x, -3: y}
        (
            Algorithm::Es256k,
            ec2(32),
            b"\xa5\x01\x02\x03\x38\x2e\x20\x08\x21\x58\x20",
            b"\x22\x58\x20",
        ),
        // {1: 1, 3: -8, -1: 6, -2: x}
        (
            Algorithm::EdDsa,
            okp,
            b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20",
            b"",
        ),
        // {1: 2, 3: -36, -1: 3, -2: x, -3: y}
        (
            Algorithm::Es512,
            ec2(66),
            b"\xa5\x01\x02\x03\x38\x23\x20\x03\x21\x58\x42",
            b"\x22\x58\x42",
        ),
        // {1: 3, 3: -257, -1: n, -2: e}
        (
            Algorithm::Rs256,
            rsa,
            b"\xa4\x01\x03\x03\x39\x01\x00\x20\x59\x01\x00",
            b"\x21\x43",
        ),
        // {1: 7, 3: -48, -1: pub}
        (
            Algorithm::MlDsa44,
            akp(1312),
            b"\xa3\x01\x07\x03\x38\x2f\x20\x59\x05\x20",
            b"",
        ),
        // {1: 7, 3: -49, -1: pub}
        (
            Algorithm::MlDsa65,
            akp(1952),
            b"\xa3\x01\x07\x03\x38\x30\x20\x59\x07\xa0",
            b"",
        ),
    ];
    for (algorithm, key, head, middle) in table {
        let (x, y) = match &key {
            PublicKey::Ec2 { x, y } => (x.as_slice(), y.as_slice()),
            PublicKey::Okp { x } | PublicKey::Akp { public: x } => (x.as_slice(), [].as_slice()),
            PublicKey::Rsa { n, e } => (n.as_slice(), e.as_slice()),
        };
        let bytes = cbor::emit(&auth_data::cose_key(algorithm, &key));
        assert_eq!(bytes, [head, x, middle, y].concat(), "{algorithm:?}");
    }
}
