//! authenticatorConfig (CTAP 2.1 §6.11) and what it brings about: forceChangePin, a minimum PIN
//! length that rises, alwaysUv.

use ciborium::Value;

use crate::support::{
    bench::{Bench, PIN, RP, WRONG, of_profile},
    cbor,
    ctap2::{CONFIG, GetAssertion, MakeCredential, sha256, status},
    manage::{config, configuration},
    pin::{Protocol, permission},
    rig::{Options, Place, pin_scenarios},
    u2f::{Control, apdu, authenticate_apdu, register_apdu, word},
};

pin_scenarios!(
    pin_that_must_be_changed_gives_no_token,
    minimum_only_rises,
    pin_that_became_too_short_must_be_changed,
    minimum_counts_code_points,
    minimum_is_told_to_listed_rps_alone,
    configuration_without_a_pin_needs_no_token,
    always_uv_asks_people_for_a_pin,
    always_uv_without_a_pin_refuses_people,
    always_uv_outweighs_make_cred_uv_not_rqd,
    wrong_configuration_has_its_status,
    tiny_key_lists_one_rp,
);

const FORCE: (i64, Value) = (3, Value::Bool(true));

fn forced(bench: &mut Bench) -> Option<bool> {
    cbor::member(&bench.info(), 0x0c).map(|value| value.as_bool().expect("a boolean"))
}

fn minimum(bench: &mut Bench) -> u64 {
    cbor::unsigned(cbor::member(&bench.info(), 0x0d))
}

fn new_minimum(length: u64) -> Vec<(i64, Value)> {
    vec![(1, Value::from(length))]
}

fn pin_that_must_be_changed_gives_no_token(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    assert_eq!(forced(&mut bench), Some(false));
    let token = bench.token(permission::ACFG | permission::CM, None);
    let (channel, subcommand) = (bench.channel, config::SET_MIN_PIN_LENGTH);
    let params = cbor::map([FORCE]);
    let outcome = bench
        .platform()
        .configure(channel, Some(&token), subcommand, Some(params));
    assert_eq!(outcome, Ok(()));
    let outcome = bench.platform().metadata(channel, &token);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "the token is over");
    for again in [Bench::replug, Bench::restart] {
        assert_eq!(forced(&mut bench), Some(true));
        for permissions in [permission::CM, permission::ACFG] {
            let outcome = bench.try_token(PIN, permissions, None).map(drop);
            assert_eq!(outcome, Err(status::PIN_POLICY_VIOLATION));
        }
        let outcome = bench.legacy_token(PIN).map(drop);
        assert_eq!(outcome, Err(status::PIN_INVALID), "as older keys have it");
        assert_eq!(bench.retries(), Ok((8, false)), "the PIN was right");
        let outcome = bench.legacy_token(WRONG).map(drop);
        assert_eq!(outcome, Err(status::PIN_INVALID));
        assert_eq!(bench.retries(), Ok((7, false)));
        let outcome = bench.change_pin(PIN, PIN);
        assert_eq!(outcome, Err(status::PIN_POLICY_VIOLATION), "the same PIN");
        assert_eq!(bench.retries(), Ok((8, false)));
        again(&mut bench);
    }
    assert_eq!(bench.change_pin(PIN, "another"), Ok(()));
    assert_eq!(forced(&mut bench), Some(false));
    bench.legacy_token("another").expect("a token");
    bench.restart();
    assert_eq!(forced(&mut bench), Some(false));
}

fn minimum_only_rises(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    bench.set_pin("12345678").expect("no PIN is set");
    let violation = Err(status::PIN_POLICY_VIOLATION);
    for (length, expected, now) in [
        (4, Ok(()), 4),
        (3, violation, 4),
        (0, violation, 4),
        (6, Ok(()), 6),
        (6, Ok(()), 6),
        (5, violation, 6),
        (64, violation, 6),
        (256 + 7, violation, 6),
        (1 << 40, violation, 6),
        (8, Ok(()), 8),
    ] {
        let token = bench.try_token("12345678", permission::ACFG, None);
        let token = token.expect("a token");
        let (channel, subcommand) = (bench.channel, config::SET_MIN_PIN_LENGTH);
        let params = Some(cbor::map(new_minimum(length)));
        let outcome = bench
            .platform()
            .configure(channel, Some(&token), subcommand, params);
        assert_eq!(outcome, expected, "{length}");
        assert_eq!(minimum(&mut bench), now);
        assert_eq!(forced(&mut bench), Some(false), "eight are long enough");
    }
    let outcome = bench.change_pin("12345678", "1234567");
    assert_eq!(outcome, Err(status::PIN_POLICY_VIOLATION));
    bench.restart();
    assert_eq!(minimum(&mut bench), 8);
    bench.reset();
    assert_eq!(minimum(&mut bench), 4);
    assert_eq!(bench.set_pin(PIN), Ok(()));
}

fn pin_that_became_too_short_must_be_changed(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    assert_eq!(bench.set_min_pin_length(new_minimum(6)), Ok(()));
    assert_eq!((minimum(&mut bench), forced(&mut bench)), (6, Some(true)));
    let outcome = bench.try_token(PIN, permission::CM, None).map(drop);
    assert_eq!(outcome, Err(status::PIN_POLICY_VIOLATION));
    for new in [PIN, "12345"] {
        let outcome = bench.change_pin(PIN, new);
        assert_eq!(outcome, Err(status::PIN_POLICY_VIOLATION), "{new}");
    }
    assert_eq!(bench.change_pin(PIN, "123456"), Ok(()));
    assert_eq!(forced(&mut bench), Some(false));
    bench
        .try_token("123456", permission::CM, None)
        .expect("a token");
}

fn minimum_counts_code_points(place: Place, protocol: Protocol) {
    let four = "\u{1f511}\u{1f512}\u{1f513}\u{1f510}";
    let mut bench = Bench::bare(place, protocol, Options::default());
    bench.set_pin(four).expect("no PIN is set");
    for (length, must) in [(4, false), (5, true)] {
        let token = bench.try_token(four, permission::ACFG, None);
        let token = token.expect("a token");
        let (channel, subcommand) = (bench.channel, config::SET_MIN_PIN_LENGTH);
        let params = Some(cbor::map(new_minimum(length)));
        let outcome = bench
            .platform()
            .configure(channel, Some(&token), subcommand, params);
        assert_eq!(outcome, Ok(()));
        assert_eq!(forced(&mut bench), Some(must), "16 bytes are four");
    }
}

/// What a registration at a site says of the minimum.
fn told(bench: &mut Bench, rp: &'static str, asked: bool) -> Option<u64> {
    let token = bench.token(permission::MC, Some(rp));
    let request = MakeCredential::new(rp, b"alice").extension("minPinLength", asked);
    let made = bench.make(&request.with(&token)).expect("a credential");
    let told = made.auth_data.extension("minPinLength");
    told.map(|length| cbor::unsigned(Some(length)))
}

fn list(rp_ids: &[&str]) -> (i64, Value) {
    let rp_ids = rp_ids.iter().map(|id| Value::from(*id));
    (2, Value::Array(rp_ids.collect()))
}

fn minimum_is_told_to_listed_rps_alone(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    assert_eq!(told(&mut bench, RP, true), None, "nobody is listed");
    let outcome = bench.set_min_pin_length(vec![list(&[RP, "example.net"])]);
    assert_eq!(outcome, Ok(()));
    bench.restart();
    for (rp, asked, expected) in [
        (RP, true, Some(4)),
        (RP, false, None),
        ("example.net", true, Some(4)),
        ("example.org", true, None),
        ("EXAMPLE.com", true, None),
    ] {
        assert_eq!(told(&mut bench, rp, asked), expected, "{rp}: {asked}");
    }
    // A new list takes the place of the old; no list changes nothing.
    let eight = ["a", "b", "c", "d", "e", "f", "g", "example.org"];
    assert_eq!(bench.set_min_pin_length(vec![list(&eight)]), Ok(()));
    assert_eq!(bench.set_min_pin_length(new_minimum(4)), Ok(()));
    assert_eq!(told(&mut bench, "example.org", true), Some(4));
    assert_eq!(told(&mut bench, RP, true), None);
    let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let outcome = bench.set_min_pin_length(vec![list(&nine)]);
    assert_eq!(outcome, Err(status::KEY_STORE_FULL));
    assert_eq!(
        told(&mut bench, "example.org", true),
        Some(4),
        "the old list"
    );
    assert_eq!(bench.set_min_pin_length(vec![list(&[])]), Ok(()));
    assert_eq!(told(&mut bench, "example.org", true), None);
    assert_eq!(bench.set_min_pin_length(vec![list(&[RP])]), Ok(()));
    bench.reset();
    bench.set_pin(PIN).expect("no PIN is set");
    assert_eq!(told(&mut bench, RP, true), None, "a reset forgets the list");
}

fn tiny_key_lists_one_rp(place: Place, protocol: Protocol) {
    let mut bench = Bench::of_profile(place, protocol, "tiny");
    let outcome = bench.set_min_pin_length(vec![list(&[RP, "example.net"])]);
    assert_eq!(outcome, Err(status::KEY_STORE_FULL));
    assert_eq!(bench.set_min_pin_length(vec![list(&[RP])]), Ok(()));
    assert_eq!(told(&mut bench, RP, true), Some(4));
}

fn configuration_without_a_pin_needs_no_token(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    let channel = bench.channel;
    let set = |bench: &mut Bench, members| {
        let params = Some(cbor::map(members));
        let subcommand = config::SET_MIN_PIN_LENGTH;
        bench
            .platform()
            .configure(channel, None, subcommand, params)
    };
    let outcome = set(&mut bench, vec![FORCE]);
    assert_eq!(outcome, Err(status::PIN_NOT_SET));
    assert_eq!(forced(&mut bench), Some(false));
    assert_eq!(set(&mut bench, new_minimum(6)), Ok(()));
    assert_eq!(minimum(&mut bench), 6);
    assert_eq!(bench.set_pin(PIN), Err(status::PIN_POLICY_VIOLATION));
    assert_eq!(bench.set_pin("123456"), Ok(()));
    let outcome = set(&mut bench, new_minimum(7));
    assert_eq!(outcome, Err(status::PUAT_REQUIRED));
}

fn toggle(bench: &mut Bench) {
    let outcome = bench.configure(config::TOGGLE_ALWAYS_UV, None);
    assert_eq!(outcome, Ok(()));
}

fn versions(bench: &mut Bench) -> Vec<String> {
    let versions = cbor::member(&bench.info(), 1).and_then(|value| value.into_array().ok());
    let versions = versions.expect("versions").into_iter();
    versions.map(|version| cbor::text(Some(version))).collect()
}

fn always_uv_asks_people_for_a_pin(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let made = bench.make_uv(MakeCredential::new(RP, b"alice"));
    let application = sha256(RP.as_bytes());
    let channel = bench.channel;
    let u2f = bench
        .platform()
        .u2f_register(channel, &[1; 32], &application);
    let get = GetAssertion::new(RP, &[&made.id]);
    bench.get(&get).expect("a touch is enough");
    assert_eq!(bench.option("alwaysUv"), Some(false));

    let outcome = bench
        .platform()
        .configure(channel, None, config::TOGGLE_ALWAYS_UV, None);
    assert_eq!(outcome, Err(status::PUAT_REQUIRED));
    assert_eq!(bench.option("alwaysUv"), Some(false));
    toggle(&mut bench);
    bench.restart();
    let channel = bench.channel;
    assert_eq!(bench.option("alwaysUv"), Some(true));
    assert_eq!(bench.option("makeCredUvNotRqd"), Some(false));
    assert_eq!(versions(&mut bench), ["FIDO_2_0", "FIDO_2_1", "FIDO_2_3"]);
    assert_eq!(bench.get(&get).map(drop), Err(status::PUAT_REQUIRED));
    let make = MakeCredential::new(RP, b"bob");
    assert_eq!(bench.make(&make).map(drop), Err(status::PUAT_REQUIRED));
    let silent = bench.get(&get.clone().silent()).expect("nobody is there");
    assert!(!silent.auth_data.user_verified);
    let token = bench.uv();
    let asserted = bench.get(&get.clone().with(&token)).expect("verified");
    assert!(asserted.auth_data.user_verified);

    let refused = Err(word::COMMAND_NOT_ALLOWED);
    let platform = bench.platform();
    let register = register_apdu(&[1; 32], &application);
    assert_eq!(platform.u2f(channel, &register), refused);
    for control in [Control::CheckOnly, Control::Enforce, Control::DontEnforce] {
        let handle = &u2f.key_handle;
        let apdu = authenticate_apdu(control, &[1; 32], &application, handle);
        assert_eq!(platform.u2f(channel, &apdu), refused);
    }
    let version = platform.u2f(channel, &apdu(3, 0, &[]));
    assert_eq!(version, Ok(b"U2F_V2".to_vec()));

    toggle(&mut bench);
    assert_eq!(bench.option("alwaysUv"), Some(false));
    assert_eq!(
        versions(&mut bench),
        ["U2F_V2", "FIDO_2_0", "FIDO_2_1", "FIDO_2_3"]
    );
    bench.get(&get).expect("a touch is enough");
    bench
        .platform()
        .u2f_register(channel, &[1; 32], &application);
    toggle(&mut bench);
    bench.reset();
    assert_eq!(bench.option("alwaysUv"), Some(false), "as the profile says");
}

fn always_uv_without_a_pin_refuses_people(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    let channel = bench.channel;
    let made = bench.make(&MakeCredential::new(RP, b"alice"));
    let get = GetAssertion::new(RP, &[&made.expect("a credential").id]);
    let toggle_bare = |bench: &mut Bench| {
        let subcommand = config::TOGGLE_ALWAYS_UV;
        bench.platform().configure(channel, None, subcommand, None)
    };
    for (now, expected) in [(true, Err(status::PUAT_REQUIRED)), (false, Ok(()))] {
        assert_eq!(toggle_bare(&mut bench), Ok(()));
        assert_eq!(bench.option("alwaysUv"), Some(now));
        for rk in [false, true] {
            let mut make = MakeCredential::new(RP, b"bob");
            make.options.push(("rk", rk));
            assert_eq!(bench.make(&make).map(drop), expected);
        }
        assert_eq!(bench.get(&get).map(drop), expected);
        bench.get(&get.clone().silent()).expect("nobody is there");
    }
}

fn always_uv_outweighs_make_cred_uv_not_rqd(place: Place, protocol: Protocol) {
    let options = of_profile("uv-not-required");
    let mut bench = Bench::with(place, protocol, options);
    let make = MakeCredential::new(RP, b"alice");
    assert_eq!(bench.option("makeCredUvNotRqd"), Some(true));
    bench.make(&make).expect("it is not required");
    toggle(&mut bench);
    assert_eq!(bench.option("makeCredUvNotRqd"), Some(false));
    assert_eq!(bench.make(&make).map(drop), Err(status::PUAT_REQUIRED));
}

fn wrong_configuration_has_its_status(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    for subcommand in [0, config::ENTERPRISE_ATTESTATION, 5, 0x7f, config::VENDOR] {
        let outcome = bench.configure(subcommand, None);
        assert_eq!(outcome, Err(status::INVALID_PARAMETER), "{subcommand}");
    }
    let token = bench.token(permission::ACFG, None);
    let number = config::SET_MIN_PIN_LENGTH;
    let wrong = [
        (1, Value::from("6")),
        (1, Value::from(-1)),
        (2, Value::from(RP)),
        (2, Value::Array(vec![Value::from(1)])),
        (3, Value::from(1)),
        (4, Value::from(1)),
    ];
    let wrong = wrong.map(|member| configuration(number, Some(&cbor::map([member])), Some(&token)));
    let text = |key: i64| {
        let mut members = configuration(number, None, Some(&token))
            .into_map()
            .expect("a map");
        members.retain(|(name, _)| *name != Value::from(key));
        members.push((Value::from(key), Value::from("text")));
        cbor::map(members)
    };
    let cases = wrong.into_iter().chain([1, 2, 3, 4].map(text));
    let channel = bench.channel;
    for value in cases {
        let outcome = bench.platform().ctap2(channel, CONFIG, Some(&value));
        assert_eq!(outcome, Err(status::CBOR_UNEXPECTED_TYPE), "{value:?}");
    }
    let empty = cbor::map::<i64>([]);
    let outcome = bench.platform().ctap2(channel, CONFIG, Some(&empty));
    assert_eq!(outcome, Err(status::MISSING_PARAMETER), "no subcommand");
    let unknown = vec![(0x7f, Value::Null), (1, Value::from(4))];
    assert_eq!(bench.set_min_pin_length(unknown), Ok(()));
    assert_eq!((minimum(&mut bench), forced(&mut bench)), (4, Some(false)));
}
