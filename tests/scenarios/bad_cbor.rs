//! Wrong CBOR: the status of each kind of mistake.

use ciborium::Value;

use crate::support::{
    bench::of_profile,
    cbor,
    ctap2::{
        GET_ASSERTION, GET_INFO, GET_NEXT_ASSERTION, GetAssertion, MAKE_CREDENTIAL, MakeCredential,
        RESET, SELECTION, status,
    },
    ctaphid::{Channel, MAX_MESSAGE_LEN, Platform, command},
    rig::{Options, Place, scenarios},
};

const RP: &str = "example.com";

scenarios!(
    bytes_that_are_not_canonical_are_invalid_cbor,
    member_of_another_type_is_an_unexpected_type,
    member_that_is_missing_is_a_missing_parameter,
    unknown_command_is_an_invalid_command,
    unknown_members_are_left_alone,
    options_as_firefox_orders_them_are_taken,
    value_of_a_wrong_length_or_range_has_its_status,
    request_longer_than_the_profile_takes_is_too_large,
);

/// A request with parameters as bytes.
fn payload(command: u8, parameters: &[u8]) -> Vec<u8> {
    [&[command], parameters].concat()
}

/// Every case has the status, asks nobody, and leaves a key that works.
fn expect(place: Place, expected: u8, cases: &[(&str, Vec<u8>)]) {
    let rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for (name, payload) in cases {
        let status = platform.raw_status(channel, payload);
        assert_eq!(status, expected, "{name}: {payload:02x?}");
        assert_eq!(rig.pending(), 0, "{name} asks nobody");
    }
    platform.info(channel).expect("the key works on");
    let answer = platform.call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
}

fn map_with(key: i64, value: Value) -> Value {
    let Value::Map(mut members) = MakeCredential::new(RP, b"alice").to_value() else {
        panic!("a map");
    };
    members.retain(|(name, _)| *name != Value::from(key));
    cbor::map(members.into_iter().chain([(Value::from(key), value)]))
}

fn get_with(key: i64, value: Value) -> Value {
    let Value::Map(mut members) = GetAssertion::new(RP, &[]).to_value() else {
        panic!("a map");
    };
    members.retain(|(name, _)| *name != Value::from(key));
    cbor::map(members.into_iter().chain([(Value::from(key), value)]))
}

fn options_as_firefox_orders_them_are_taken(place: Place) {
    let rig = place.rig_with(of_profile("bio"));
    let mut platform = rig.attach();
    let channel = platform.init();
    let mut make = MakeCredential::new(RP, b"alice");
    make.options = vec![("uv", true)];
    let made = platform.make(channel, &make).expect("a credential");
    let get = GetAssertion::new(RP, &[&made.id]);
    let Value::Map(mut members) = get.to_value() else {
        panic!("a map");
    };
    let options = ["uv", "up"].map(|name| (Value::from(name), Value::from(true)));
    members.push((5.into(), Value::Map(options.to_vec())));
    let mut parameters = Vec::new();
    ciborium::into_writer(&Value::Map(members), &mut parameters).expect("CBOR");
    let up = parameters.windows(3).position(|part| part == b"\x62up");
    let uv = parameters.windows(3).position(|part| part == b"\x62uv");
    assert!(uv < up, "as Firefox writes it");
    let answer = platform.raw_status(channel, &payload(GET_ASSERTION, &parameters));
    assert_eq!(answer, 0);
}

/// Parameters of getAssertion, which begin with the rpId under key 1.
#[rustfmt::skip] // one case a line
const NOT_CANONICAL: &[(&str, &[u8])] = &[
    ("nothing", &[]),
    ("key that is not minimal", &[0xa1, 0x18, 0x01, 0x61, b'a']),
    ("length that is not minimal", &[0xa1, 0x01, 0x78, 0x01, b'a']),
    ("length in two bytes that fits one", &[0xa1, 0x01, 0x79, 0, 1, b'a']),
    ("map head that is not minimal", &[0xb8, 0x01, 0x01, 0x61, b'a']),
    ("integer in four bytes that fits two", &[0xa1, 0x01, 0x1a, 0, 0, 1, 0]),
    ("integer in eight bytes that fits four", &[0xa1, 1, 0x1b, 0, 0, 0, 0, 1, 0, 0, 0]),
    ("map without end", &[0xbf, 0x01, 0x61, b'a', 0xff]),
    ("text without end", &[0xa1, 0x01, 0x7f, 0x61, b'a', 0xff]),
    ("bytes without end", &[0xa1, 0x01, 0x5f, 0x41, 0, 0xff]),
    ("array without end", &[0xa1, 0x01, 0x9f, 0xff]),
    ("break alone", &[0xff]),
    ("same key twice", &[0xa2, 0x01, 0x61, b'a', 0x01, 0x61, b'a']),
    ("keys out of order", &[0xa2, 0x02, 0x61, b'a', 0x01, 0x61, b'a']),
    ("text keys out of order", &[0xa1, 5, 0xa2, 0x62, b'u', b'p', 0xf5, 0x62, b'r', b'k', 0xf5]),
    ("up behind uv and in front", &[0xa1, 5, 0xa3, 0x62, b'u', b'p', 0xf5, 0x62, b'u', b'v', 0xf5,
        0x62, b'u', b'p', 0xf5]),
    ("more behind uv and up", &[0xa1, 5, 0xa3, 0x62, b'u', b'v', 0xf5, 0x62, b'u', b'p', 0xf5,
        0x62, b'u', b'v', 0xf5]),
    ("uv and up of no other map", &[0xa2, 0x62, b'u', b'v', 0xf5, 0x62, b'u', b'p', 0xf5]),
    ("longer key first", &[0xa1, 5, 0xa2, 0x63, b'a', b'a', b'a', 0xf5, 0x62, b'z', b'z', 0xf5]),
    ("text key before an integer", &[0xa2, 0x61, b'a', 0, 0x01, 0x61, b'a']),
    ("array as a key", &[0xa1, 0x80, 0x00]),
    ("text that is not UTF-8", &[0xa1, 0x01, 0x62, 0xc3, 0x28]),
    ("surrogate in text", &[0xa1, 0x01, 0x63, 0xed, 0xa0, 0x80]),
    ("tag", &[0xa1, 0x01, 0xc0, 0x61, b'a']),
    ("reserved head", &[0xa1, 0x01, 0x1c]),
    ("simple value", &[0xa1, 0x01, 0xf8, 0x20]),
    ("bytes of 2^32", &[0xa1, 1, 0x5b, 0, 0, 0, 1, 0, 0, 0, 0]),
    ("bytes of 2^64 - 1", &[0xa1, 1, 0x5b, 255, 255, 255, 255, 255, 255, 255, 255]),
    ("text of 2^64 - 1", &[0xa1, 1, 0x7b, 255, 255, 255, 255, 255, 255, 255, 255]),
    ("array of 2^64 - 1", &[0xa1, 1, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255]),
    ("map of 2^64 - 1", &[0xbb, 255, 255, 255, 255, 255, 255, 255, 255]),
    ("map of 2^32 - 1", &[0xba, 255, 255, 255, 255, 0, 0]),
];

/// Arrays and maps `depth` deep, as bytes of CBOR.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x81; depth - 1];
    bytes.push(0x80);
    bytes
}

fn bytes_that_are_not_canonical_are_invalid_cbor(place: Place) {
    let good = cbor::emit(&GetAssertion::new(RP, &[]).to_value());
    let make = cbor::emit(&MakeCredential::new(RP, b"alice").to_value());
    let get = |parts: &[&[u8]]| payload(GET_ASSERTION, &parts.concat());
    let with_trailing = |command, parameters: &[u8]| {
        let name = "a byte behind the parameters";
        (name, payload(command, &[parameters, &[0]].concat()))
    };
    let mut cases = vec![
        with_trailing(GET_ASSERTION, &good),
        with_trailing(MAKE_CREDENTIAL, &make),
        with_trailing(GET_INFO, &[]),
        with_trailing(RESET, &[]),
        with_trailing(GET_NEXT_ASSERTION, &[]),
        with_trailing(SELECTION, &[]),
        ("cut", get(&[&good[..good.len() - 1]])),
        ("cut after the map's head", get(&[&good[..1]])),
        ("tag around the map", get(&[&[0xd9, 0xd9, 0xf7], &good])),
        ("five levels", get(&[&[0xa1, 0x01], &nested(4)])),
        ("a thousand levels", get(&[&[0x81; 1000]])),
    ];
    let table = NOT_CANONICAL.iter();
    cases.extend(table.map(|(name, parameters)| (*name, get(&[parameters]))));
    expect(place, status::INVALID_CBOR, &cases);
}

fn member_of_another_type_is_an_unexpected_type(place: Place) {
    let make = |key, value| payload(MAKE_CREDENTIAL, &cbor::emit(&map_with(key, value)));
    let get = |key, value| payload(GET_ASSERTION, &cbor::emit(&get_with(key, value)));
    let text = || Value::from("text");
    let entity = |name: &str, value: Value| cbor::map([(name, value)]);
    let list = |value: Value| Value::Array(vec![value]);
    let cases = [
        ("clientDataHash", make(1, text())),
        ("rp", make(2, text())),
        ("rp.id", make(2, entity("id", Value::from(1)))),
        ("user", make(3, Value::Array(Vec::new()))),
        ("user.id", make(3, entity("id", text()))),
        ("pubKeyCredParams", make(4, text())),
        ("pubKeyCredParams[0]", make(4, list(text()))),
        (
            "alg",
            make(4, list(cbor::map([("alg", text()), ("type", text())]))),
        ),
        ("excludeList", make(5, text())),
        ("excludeList[0]", make(5, list(Value::from(1)))),
        (
            "excludeList[0].id",
            make(5, list(cbor::map([("id", text()), ("type", text())]))),
        ),
        ("extensions", make(6, text())),
        ("options", make(7, Value::Array(Vec::new()))),
        ("rk", make(7, entity("rk", Value::from(1)))),
        ("pinUvAuthParam", make(8, text())),
        ("pinUvAuthProtocol", make(9, text())),
        ("negative pinUvAuthProtocol", make(9, Value::from(-1))),
        ("enterpriseAttestation", make(10, text())),
        ("attestationFormatsPreference", make(11, text())),
        ("rpId", get(1, Value::from(1))),
        ("clientDataHash of an assertion", get(2, text())),
        ("allowList", get(3, text())),
        ("extensions of an assertion", get(4, text())),
        ("options of an assertion", get(5, text())),
        ("up", get(5, entity("up", text()))),
        ("up is null", get(5, entity("up", Value::Null))),
        ("pinUvAuthParam of an assertion", get(6, text())),
        ("pinUvAuthProtocol of an assertion", get(7, text())),
        ("parameters are a list", payload(GET_ASSERTION, &[0x80])),
        ("parameters are a number", payload(MAKE_CREDENTIAL, &[0x00])),
        (
            "parameters are a float",
            payload(MAKE_CREDENTIAL, &[0xf9, 0, 0]),
        ),
    ];
    expect(place, status::CBOR_UNEXPECTED_TYPE, &cases);
}

fn member_that_is_missing_is_a_missing_parameter(place: Place) {
    let without = |value: Value, key: i64| {
        let Value::Map(mut members) = value else {
            panic!("a map");
        };
        members.retain(|(name, _)| *name != Value::from(key));
        cbor::emit(&Value::Map(members))
    };
    let make = |value| payload(MAKE_CREDENTIAL, &cbor::emit(&value));
    let mut cases = vec![
        ("an empty map", payload(GET_ASSERTION, &[0xa0])),
        (
            "an empty map of a registration",
            payload(MAKE_CREDENTIAL, &[0xa0]),
        ),
        (
            "rp.id",
            make(map_with(2, cbor::map([("name", Value::from("n"))]))),
        ),
        (
            "user.id",
            make(map_with(3, cbor::map([("name", Value::from("n"))]))),
        ),
        (
            "type of a parameter",
            make(map_with(
                4,
                Value::Array(vec![cbor::map([("alg", Value::from(-7))])]),
            )),
        ),
        (
            "alg of a parameter",
            make(map_with(
                4,
                Value::Array(vec![cbor::map([("type", Value::from("public-key"))])]),
            )),
        ),
        (
            "id of a descriptor",
            make(map_with(
                5,
                Value::Array(vec![cbor::map([("type", Value::from("public-key"))])]),
            )),
        ),
    ];
    for key in [1, 2, 3, 4] {
        let request = MakeCredential::new(RP, b"alice").to_value();
        cases.push((
            "makeCredential",
            payload(MAKE_CREDENTIAL, &without(request, key)),
        ));
    }
    for key in [1, 2] {
        let request = GetAssertion::new(RP, &[]).to_value();
        cases.push((
            "getAssertion",
            payload(GET_ASSERTION, &without(request, key)),
        ));
    }
    expect(place, status::MISSING_PARAMETER, &cases);
}

fn unknown_command_is_an_invalid_command(place: Place) {
    let known = [1, 2, 4, 6, 7, 8, 10, 11, 12, 13, 0x41];
    let unknown = (0x00..=0xff_u8).filter(|command| !known.contains(command));
    let cases: Vec<_> = unknown
        .flat_map(|command| [("bare", vec![command]), ("with a map", vec![command, 0xa0])])
        .collect();
    assert_eq!(cases.len(), 490);
    expect(place, status::INVALID_COMMAND, &cases);
}

fn value_of_a_wrong_length_or_range_has_its_status(place: Place) {
    let make = |key, value| payload(MAKE_CREDENTIAL, &cbor::emit(&map_with(key, value)));
    let get = |key, value| payload(GET_ASSERTION, &cbor::emit(&get_with(key, value)));
    let lengths = [
        (
            "clientDataHash of 31 bytes",
            make(1, Value::Bytes(vec![0; 31])),
        ),
        (
            "clientDataHash of 33 bytes",
            make(1, Value::Bytes(vec![0; 33])),
        ),
        (
            "clientDataHash of no bytes",
            get(2, Value::Bytes(Vec::new())),
        ),
    ];
    expect(place, status::INVALID_LENGTH, &lengths);
    // A pinUvAuthParam of a protocol that is not offered, and one without its protocol.
    let param = Value::Bytes(vec![0; 16]);
    expect(
        place,
        status::MISSING_PARAMETER,
        &[
            ("no protocol", make(8, param.clone())),
            ("no protocol", get(6, param)),
        ],
    );
    let unknown_protocol = |value| {
        let parameters = MakeCredential::new(RP, b"alice").to_value();
        let members = parameters.into_map().expect("a map");
        let more = [
            (Value::from(8), Value::Bytes(vec![0; 16])),
            (Value::from(9), value),
        ];
        payload(
            MAKE_CREDENTIAL,
            &cbor::emit(&cbor::map(members.into_iter().chain(more))),
        )
    };
    expect(
        place,
        status::INVALID_PARAMETER,
        &[
            ("protocol 0", unknown_protocol(Value::from(0))),
            ("protocol 3", unknown_protocol(Value::from(3))),
            ("protocol 2^63 - 1", unknown_protocol(Value::from(i64::MAX))),
            ("protocol 2^64 - 1", unknown_protocol(Value::from(u64::MAX))),
        ],
    );
    let longest = vec![0x18; MAX_MESSAGE_LEN];
    expect(
        place,
        status::INVALID_COMMAND,
        &[("the longest message", longest)],
    );
}

fn request_longer_than_the_profile_takes_is_too_large(place: Place) {
    let mut options = Options::default();
    options.profile.ctap.max_msg_size = 1_200;
    let rig = place.rig_with(options);
    let mut platform = rig.attach();
    let channel = platform.init();
    let info = platform.info(channel).expect("getInfo");
    assert_eq!(cbor::unsigned(cbor::member(&info, 5)), 1_200);
    let of_length = |length: usize| {
        let request = |padding: usize| {
            let padding = Value::Bytes(vec![0; padding]);
            payload(MAKE_CREDENTIAL, &cbor::emit(&map_with(0x7f, padding)))
        };
        let overhead = request(1_000).len() - 1_000;
        request(length - overhead)
    };
    assert_eq!(platform.raw_status(channel, &of_length(1_200)), 0);
    let status = platform.raw_status(channel, &of_length(1_201));
    assert_eq!(status, status::REQUEST_TOO_LARGE);
    // U2F and CTAPHID have their own limit.
    let answer = platform.call(channel, command::PING, &[1; 7000]);
    assert_eq!(answer.message.payload, [1; 7000]);
}

fn register(platform: &mut Platform, channel: Channel, value: &Value) -> u8 {
    platform.raw_status(channel, &payload(MAKE_CREDENTIAL, &cbor::emit(value)))
}

fn unknown_members_are_left_alone(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let unknown_options = cbor::map([("zz", Value::from(true)), ("rk", Value::from(false))]);
    let extensions = cbor::map([("credBlob", Value::Bytes(vec![1])), ("other", Value::Null)]);
    let foreign = cbor::map([
        ("alg", Value::from(-7)),
        ("type", Value::from("something-else")),
    ]);
    let es256 = cbor::map([
        ("alg", Value::from(-7)),
        ("type", Value::from("public-key")),
    ]);
    let user = cbor::map([
        ("id", Value::Bytes(vec![1])),
        ("icon", Value::from("https://example.com/icon.png")),
        ("displayName", Value::from("Álice")),
    ]);
    for value in [
        map_with(0x7f, Value::from("later revisions")),
        map_with(-1, Value::Null),
        map_with(7, unknown_options),
        map_with(6, extensions),
        map_with(4, Value::Array(vec![foreign, es256])),
        map_with(3, user),
    ] {
        assert_eq!(register(&mut platform, channel, &value), 0, "{value:?}");
    }
    // Four levels are allowed: the map, and three more inside.
    let deep = Value::Array(vec![Value::Array(vec![Value::Array(Vec::new())])]);
    assert_eq!(register(&mut platform, channel, &map_with(0x7f, deep)), 0);
}
