//! authenticatorClientPIN: setting and changing a PIN, and what a PIN has to be.

use ciborium::Value;

use crate::support::{
    bench::{Bench, PIN, WRONG},
    cbor,
    ctap2::status,
    pin::{Protocol, padded, permission, subcommand},
    rig::{Options, Place, pin_scenarios},
};

pin_scenarios!(
    pin_is_set_once_and_changed_by_who_knows_it,
    new_pin_is_held_against_the_rules,
    changed_pin_is_held_against_the_rules,
    altered_pin_command_is_refused,
    pin_commands_want_their_parameters,
    parameters_of_other_types_are_unexpected,
    unknown_parameters_and_subcommands,
    key_agreement_off_the_curve_is_refused,
    pin_outlives_a_restart_and_ends_with_a_reset,
);

fn pin_is_set_once_and_changed_by_who_knows_it(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    assert_eq!(bench.option("clientPin"), Some(false));
    assert_eq!(bench.retries(), Err(status::PIN_NOT_SET));
    let outcome = bench.change_pin(PIN, "another");
    assert_eq!(outcome, Err(status::PIN_NOT_SET));
    let outcome = bench.legacy_token(PIN).map(drop);
    assert_eq!(outcome, Err(status::PIN_NOT_SET));
    let outcome = bench.try_token(PIN, permission::CM, None).map(drop);
    assert_eq!(outcome, Err(status::PIN_NOT_SET));

    assert_eq!(bench.set_pin(PIN), Ok(()));
    assert_eq!(bench.option("clientPin"), Some(true));
    assert_eq!(bench.retries(), Ok((8, false)));
    assert_eq!(bench.set_pin(WRONG), Err(status::PIN_AUTH_INVALID));

    assert_eq!(bench.change_pin(WRONG, "another"), Err(status::PIN_INVALID));
    assert_eq!(bench.retries(), Ok((7, false)));
    assert_eq!(bench.change_pin(PIN, "another"), Ok(()));
    assert_eq!(bench.retries(), Ok((8, false)));
    let outcome = bench.legacy_token(PIN).map(drop);
    assert_eq!(outcome, Err(status::PIN_INVALID));
    bench.legacy_token("another").expect("the new PIN");
    // Nobody has to change anything, so the same PIN again is a change.
    assert_eq!(bench.change_pin("another", "another"), Ok(()));
}

/// Padded PINs and what comes of them; the last one is taken.
fn candidates() -> Vec<(&'static str, Vec<u8>, Result<(), u8>)> {
    let violation = Err(status::PIN_POLICY_VIOLATION);
    let wrong_length = Err(status::INVALID_PARAMETER);
    let cut = |text: &str, length: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(length, 0);
        bytes
    };
    let mut broken = padded("1234");
    broken[2] = 0xc3;
    let mut surrogate = padded("12345678");
    surrogate[..3].copy_from_slice(&[0xed, 0xa0, 0x80]);
    vec![
        ("no PIN", vec![0; 64], violation),
        ("three characters", padded("123"), violation),
        (
            "three in six bytes",
            padded("\u{e9}\u{e9}\u{e9}"),
            violation,
        ),
        (
            "three in twelve bytes",
            padded("\u{1f511}\u{1f512}\u{1f513}"),
            violation,
        ),
        ("64 bytes", padded(&"a".repeat(64)), violation),
        ("not UTF-8", broken, violation),
        ("a surrogate", surrogate, violation),
        ("padded to 16", cut("1234", 16), wrong_length),
        ("padded to 48", cut("1234", 48), wrong_length),
        ("padded to 80", cut("1234", 80), wrong_length),
        ("padded to 128", cut("1234", 128), wrong_length),
        (
            "two in eight bytes",
            padded("\u{1f511}\u{1f512}"),
            violation,
        ),
        ("63 bytes", padded(&"a".repeat(63)), Ok(())),
    ]
}

fn new_pin_is_held_against_the_rules(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    let channel = bench.channel;
    for (name, padded, expected) in candidates() {
        let shared = bench.platform().agree(channel, protocol);
        let outcome = bench.client_pin(shared.set_pin(&padded)).map(drop);
        assert_eq!(outcome, expected, "{name}");
        assert_eq!(bench.option("clientPin"), Some(expected.is_ok()), "{name}");
    }
    bench.legacy_token(&"a".repeat(63)).expect("63 bytes");
    // Four code points are four, however many bytes they are.
    for pin in [
        "1234",
        "\u{e9}\u{e9}\u{e9}\u{e9}",
        "\u{1f511}\u{1f512}\u{1f513}\u{1f510}",
    ] {
        bench.reset();
        assert_eq!(bench.set_pin(pin), Ok(()), "{pin}");
        bench.legacy_token(pin).expect("the PIN");
    }
}

fn changed_pin_is_held_against_the_rules(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    for (name, padded, expected) in candidates() {
        let shared = bench.platform().agree(channel, protocol);
        let outcome = bench.client_pin(shared.change_pin(PIN, &padded)).map(drop);
        assert_eq!(outcome, expected, "{name}");
        // The old PIN was right, so no attempt is lost.
        assert_eq!(bench.retries(), Ok((8, false)), "{name}");
    }
    let outcome = bench.legacy_token(PIN).map(drop);
    assert_eq!(outcome, Err(status::PIN_INVALID));
}

/// What is done to a byte string on its way.
type Alter = fn(&mut Vec<u8>);

fn altered_pin_command_is_refused(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    let channel = bench.channel;
    let altered = |members: &[(i64, Value)], key: i64, change: Alter| {
        let mut members = members.to_vec();
        let (_, value) = members
            .iter_mut()
            .find(|(name, _)| *name == key)
            .expect("a member");
        let mut bytes = value.as_bytes().expect("bytes").clone();
        change(&mut bytes);
        *value = Value::from(bytes);
        members
    };
    let changes: [(i64, Alter); 5] = [
        (4, |param| param[0] ^= 1),
        (4, |param| param.truncate(8)),
        (4, Vec::clear),
        (4, |param| param.push(0)),
        (5, |pin| pin[20] ^= 1),
    ];
    for (key, change) in changes {
        let shared = bench.platform().agree(channel, protocol);
        let members = altered(&shared.set_pin(&padded(PIN)), key, change);
        let outcome = bench.client_pin(members).map(drop);
        assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "{key}");
    }
    assert_eq!(bench.option("clientPin"), Some(false));
    bench.set_pin(PIN).expect("no PIN is set");
    for (key, change) in changes.into_iter().chain([(6, changes[0].1)]) {
        let shared = bench.platform().agree(channel, protocol);
        let members = altered(&shared.change_pin(PIN, &padded("another")), key, change);
        let outcome = bench.client_pin(members).map(drop);
        assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "{key}");
        assert_eq!(bench.retries(), Ok((8, false)), "no PIN was compared");
    }
}

fn pin_commands_want_their_parameters(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let shared = bench.platform().agree(channel, protocol);
    let token = shared.token(PIN, permission::CM, None);
    let commands = [
        shared.set_pin(&padded(PIN)),
        shared.change_pin(PIN, &padded("another")),
        shared.pin_token(PIN),
        token,
        shared.members(subcommand::GET_KEY_AGREEMENT)[..2].to_vec(),
    ];
    for members in commands {
        for (missing, _) in &members {
            let mut members = members.clone();
            members.retain(|(key, _)| key != missing);
            let outcome = bench.client_pin(members.clone());
            let expected = Err(status::MISSING_PARAMETER);
            assert_eq!(outcome, expected, "without {missing}: {members:?}");
        }
        for number in [0_u64, 3, 255, 1 << 40] {
            let mut members = members.clone();
            members[0].1 = Value::from(number);
            let outcome = bench.client_pin(members);
            assert_eq!(outcome, Err(status::INVALID_PARAMETER), "protocol {number}");
        }
    }
    assert_eq!(bench.retries(), Ok((8, false)), "no PIN was compared");
}

fn parameters_of_other_types_are_unexpected(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let shared = bench.platform().agree(channel, protocol);
    let members = shared.change_pin(PIN, &padded("another"));
    let wrong = [
        (1, Value::from("1")),
        (1, Value::from(-1)),
        (2, Value::from("4")),
        (3, Value::from("key")),
        (3, Value::Array(Vec::new())),
        (4, Value::from("param")),
        (5, Value::from("pin")),
        (6, Value::from(1)),
        (9, Value::from("all")),
        (9, Value::from(-1)),
        (10, Value::from(vec![1])),
    ];
    for (key, value) in wrong {
        let mut members = members.clone();
        members.retain(|(name, _)| *name != key);
        members.push((key, value.clone()));
        let outcome = bench.client_pin(members);
        assert_eq!(
            outcome,
            Err(status::CBOR_UNEXPECTED_TYPE),
            "{key}: {value:?}"
        );
    }
    for (label, value) in [(1, "kty"), (-1, "crv"), (-2, "x"), (-3, "y")] {
        let mut coordinates = shared.key_agreement.as_map().expect("a map").clone();
        coordinates.retain(|(name, _)| *name != Value::from(label));
        let mut members = members.clone();
        members[2].1 = cbor::map(coordinates.clone());
        let outcome = bench.client_pin(members.clone());
        assert_eq!(outcome, Err(status::MISSING_PARAMETER), "no {value}");
        coordinates.push((Value::from(label), Value::from(value)));
        members[2].1 = cbor::map(coordinates);
        let outcome = bench.client_pin(members);
        assert_eq!(outcome, Err(status::CBOR_UNEXPECTED_TYPE), "{value}");
    }
    assert_eq!(bench.retries(), Ok((8, false)), "no PIN was compared");
}

fn unknown_parameters_and_subcommands(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let unknown = [
        0,
        subcommand::GET_TOKEN_USING_UV,
        subcommand::GET_UV_RETRIES,
        8,
        10,
        255,
    ];
    for number in unknown {
        let shared = bench.platform().agree(channel, protocol);
        let outcome = bench.client_pin(shared.members(number));
        assert_eq!(outcome, Err(status::INVALID_SUBCOMMAND), "{number}");
    }
    let shared = bench.platform().agree(channel, protocol);
    let mut members = shared.token(PIN, permission::CM, None);
    members.extend([(0x7f, Value::Null), (-1, Value::from("later"))]);
    bench.client_pin(members).expect("unknown ones are ignored");
    // getPINRetries looks at its number alone.
    let members = vec![
        (1, Value::from(99)),
        (2, Value::from(subcommand::GET_PIN_RETRIES)),
    ];
    bench.client_pin(members).expect("it needs no protocol");
}

fn key_agreement_off_the_curve_is_refused(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let shared = bench.platform().agree(channel, protocol);
    let with = |label: i64, change: fn(&mut Vec<u8>)| {
        let mut key = shared.key_agreement.as_map().expect("a map").clone();
        for (name, value) in &mut key {
            if *name == Value::from(label) {
                let mut bytes = value.as_bytes().expect("bytes").clone();
                change(&mut bytes);
                *value = Value::from(bytes);
            }
        }
        cbor::map(key)
    };
    let set = |label: i64, number: i64| {
        let mut key = shared.key_agreement.as_map().expect("a map").clone();
        key.retain(|(name, _)| *name != Value::from(label));
        key.push((Value::from(label), Value::from(number)));
        cbor::map(key)
    };
    let zero = crate::support::pin::cose_key(&[0; 32], &[0; 32]);
    let keys = [
        ("off the curve", with(-3, |y| y[31] ^= 1)),
        ("the origin", zero),
        ("x beyond the field", with(-2, |x| x.fill(0xff))),
        ("x of 31 bytes", with(-2, |x| x.truncate(31))),
        ("x of 33 bytes", with(-2, |x| x.insert(0, 0))),
        ("y of no bytes", with(-3, Vec::clear)),
        ("another type", set(1, 1)),
        ("another curve", set(-1, 2)),
    ];
    for (name, key) in keys {
        let mut members = shared.token(PIN, permission::CM, None);
        members[2].1 = key.clone();
        let outcome = bench.client_pin(members);
        assert_eq!(outcome, Err(status::INVALID_PARAMETER), "{name}");
        let mut members = shared.change_pin(PIN, &padded("another"));
        members[2].1 = key;
        let outcome = bench.client_pin(members);
        assert_eq!(outcome, Err(status::INVALID_PARAMETER), "{name}");
    }
    assert_eq!(bench.retries(), Ok((8, false)), "no PIN was compared");
}

fn pin_outlives_a_restart_and_ends_with_a_reset(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    assert_eq!(
        bench.legacy_token(WRONG).map(drop),
        Err(status::PIN_INVALID)
    );
    bench.restart();
    assert_eq!(bench.option("clientPin"), Some(true));
    assert_eq!(bench.retries(), Ok((7, false)));
    bench.legacy_token(PIN).expect("the PIN");
    assert_eq!(
        bench.legacy_token(WRONG).map(drop),
        Err(status::PIN_INVALID)
    );
    bench.reset();
    assert_eq!(bench.option("clientPin"), Some(false));
    assert_eq!(bench.retries(), Err(status::PIN_NOT_SET));
    assert_eq!(bench.set_pin(WRONG), Ok(()));
    assert_eq!(bench.retries(), Ok((8, false)));
}
