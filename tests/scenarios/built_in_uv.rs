//! Built-in user verification: fingers at registrations and assertions, tokens by a finger, and
//! the way back to the PIN.

use ciborium::Value;
use roamkey_ctap::{Decision, Gesture, Operation};

use crate::support::{
    bench::{Bench, PIN, RP, WRONG},
    bio::{self, enrollment, sensor, sensor_bench},
    cbor,
    ctap2::{
        BIO_ENROLLMENT, CLIENT_PIN, GET_ASSERTION, GetAssertion, MAKE_CREDENTIAL, MakeCredential,
        Outcome, Registered, status,
    },
    ctaphid::command,
    large_blobs::array,
    manage::config,
    pin::{Protocol, permission, subcommand},
    rig::{Place, pin_scenarios},
    u2f::word,
};

use Decision::{Approved, Denied, Unverified};

pin_scenarios!(
    info_tells_of_the_sensor_and_its_fingers,
    finger_is_verification_and_touch_of_a_command,
    wrong_fingers_of_a_command_lead_to_the_pin,
    finger_that_is_not_put_on_costs_no_attempt,
    token_by_a_finger_saves_the_touch,
    presence_of_a_token_ends_after_30_s,
    token_by_a_finger_serves_management,
    wrong_request_for_a_token_has_its_status,
    wrong_fingers_block_tokens_until_the_pin,
    blocked_pin_blocks_fingers,
    always_uv_asks_for_a_finger,
    finger_protects_a_key_without_a_pin,
    option_uv_without_a_finger_is_refused,
    u2f_asks_for_a_touch,
);

fn uv(mut request: MakeCredential) -> MakeCredential {
    request.options.push(("uv", true));
    request
}

fn get_uv(ids: &[&[u8]]) -> GetAssertion {
    let mut request = GetAssertion::new(RP, ids);
    request.options.push(("uv", true));
    request
}

/// The options about fingers, in getInfo.
const OPTIONS: [&str; 5] = [
    "uv",
    "bioEnroll",
    "userVerificationMgmtPreview",
    "uvBioEnroll",
    "uvAcfg",
];

fn options(bench: &mut Bench) -> [Option<bool>; 5] {
    OPTIONS.map(|name| bench.option(name))
}

fn since_pin_entry(bench: &mut Bench) -> Option<u64> {
    cbor::member(&bench.info(), 0x17).map(|count| cbor::unsigned(Some(count)))
}

/// A registration that nobody is asked for.
fn make_untouched(bench: &mut Bench, request: &MakeCredential) -> Outcome<Registered> {
    let channel = bench.channel;
    bench.platform().start_make(channel, request);
    let made = bench.platform().finish_make_where(channel, request, false);
    assert_eq!(bench.rig.pending(), 0);
    made
}

/// A registration with option uv: how it ends, and what each finger was asked for.
fn make(bench: &mut Bench, fingers: &[Decision]) -> Result<(), u8> {
    let request = uv(MakeCredential::new(RP, b"alice")).to_value();
    bench
        .with_fingers(MAKE_CREDENTIAL, &request, fingers)
        .map(drop)
}

fn info_tells_of_the_sensor_and_its_fingers(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let all = Some(true);
    assert_eq!(options(&mut bench), [all; 5]);
    assert_eq!(bench.option("clientPin"), Some(false), "a finger is no PIN");
    let info = bench.info();
    let number = |key: i64| cbor::unsigned(cbor::member(&info, key));
    assert_eq!((number(0x11), number(0x12), number(0x17)), (3, 2, 0));
    bench.replug();
    let channel = bench.channel;
    let reset = crate::support::ctap2::RESET;
    bench.platform().start(channel, reset, None);
    assert_eq!(bench.approve().prompt.gesture, Gesture::Touch);
    bench.platform().finish(channel).expect("approved");
    let none = Some(false);
    assert_eq!(options(&mut bench), [none, none, none, all, all]);

    let mut bench = Bench::bare(place, protocol, Default::default());
    assert_eq!(options(&mut bench), [None; 5]);
    let info = bench.info();
    for member in [0x11, 0x12, 0x17] {
        assert_eq!(cbor::member(&info, member), None);
    }
    for number in [subcommand::GET_TOKEN_USING_UV, subcommand::GET_UV_RETRIES] {
        let outcome = bench.client_pin(vec![(2, Value::from(number))]);
        assert_eq!(outcome, Err(status::INVALID_SUBCOMMAND));
    }
    for number in [0x09, 0x40] {
        let parameters = cbor::map(enrollment(bio::subcommand::SENSOR, None, None));
        let channel = bench.channel;
        let outcome = bench.platform().ctap2(channel, number, Some(&parameters));
        assert_eq!(outcome, Err(status::INVALID_COMMAND));
    }
}

fn finger_is_verification_and_touch_of_a_command(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    let request = uv(MakeCredential::discoverable(RP, b"alice"));
    bench.platform().start_make(channel, &request);
    let asked = bench.finger(Approved);
    assert_eq!(asked.prompt.operation, Operation::Register);
    assert_eq!(asked.prompt.rp_id.as_deref(), Some(RP));
    let made = bench.platform().finish_make(channel, &request);
    let made = made.expect("a credential");
    assert!(made.auth_data.user_verified && made.auth_data.user_present);

    for (silent, ids) in [(false, vec![]), (true, vec![made.id.as_slice()])] {
        let mut request = get_uv(&ids);
        if silent {
            request = request.silent();
        }
        bench.platform().start_get(channel, &request);
        let asked = bench.finger(Approved);
        assert_eq!(asked.prompt.operation, Operation::Authenticate);
        assert_eq!(asked.prompt.account.as_deref(), Some("alice"));
        let asserted = bench.platform().finish_get(channel, &request);
        let asserted = asserted.expect("an assertion");
        assert!(asserted.auth_data.user_verified);
        assert_eq!(asserted.auth_data.user_present, !silent);
        asserted.verify(RP, &made.public_key);
    }

    let mut again = request.clone();
    again.exclude_list = vec![made.id];
    bench.platform().start_make(channel, &again);
    let asked = bench.finger(Approved);
    assert_eq!(asked.prompt.operation, Operation::RegisterExcluded);
    let outcome = bench.platform().finish_make(channel, &again).map(drop);
    assert_eq!(outcome, Err(status::CREDENTIAL_EXCLUDED));
    // Whether there are credentials is told after the finger.
    let elsewhere = GetAssertion {
        rp_id: "example.org",
        ..get_uv(&[])
    };
    let outcome = bench.with_fingers(GET_ASSERTION, &elsewhere.to_value(), &[Approved]);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
    assert_eq!(bench.uv_retries(), Ok(5));
}

fn wrong_fingers_of_a_command_lead_to_the_pin(place: Place, protocol: Protocol) {
    for with_pin in [true, false] {
        let mut bench = sensor_bench(place, protocol);
        if with_pin {
            bench.set_pin(PIN).expect("no PIN is set");
        }
        let failed = |other| {
            if with_pin {
                status::PUAT_REQUIRED
            } else {
                other
            }
        };
        assert_eq!(make(&mut bench, &[Unverified, Approved]), Ok(()));
        assert_eq!(bench.uv_retries(), Ok(5), "the right one restores all");
        assert_eq!(since_pin_entry(&mut bench), Some(2));
        let wrong = [Unverified; 3];
        let outcome = make(&mut bench, &wrong);
        assert_eq!(outcome, Err(failed(status::OPERATION_DENIED)));
        assert_eq!(bench.uv_retries(), Ok(2));
        let request = get_uv(&[]).to_value();
        let outcome = bench.with_fingers(GET_ASSERTION, &request, &wrong[..2]);
        assert_eq!(outcome, Err(failed(status::PIN_BLOCKED)));
        assert_eq!(bench.uv_retries(), Ok(0));
        bench.restart();
        assert_eq!(make(&mut bench, &[]), Err(failed(status::PIN_BLOCKED)));
        assert_eq!(since_pin_entry(&mut bench), Some(7));
        if with_pin {
            bench.token(permission::CM, None);
            assert_eq!(bench.uv_retries(), Ok(5));
            assert_eq!(since_pin_entry(&mut bench), Some(0));
            assert_eq!(make(&mut bench, &[Approved]), Ok(()));
        }
    }
}

fn finger_that_is_not_put_on_costs_no_attempt(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    let commands = [
        (
            MAKE_CREDENTIAL,
            uv(MakeCredential::new(RP, b"a")).to_value(),
        ),
        (GET_ASSERTION, get_uv(&[]).to_value()),
        (
            CLIENT_PIN,
            cbor::map(bench.by_finger(permission::CM, None).1),
        ),
    ];
    for (number, request) in commands {
        let denied = bench.with_fingers(number, &request, &[Denied]);
        assert_eq!(denied, Err(status::OPERATION_DENIED));
        bench.platform().start(channel, number, Some(&request));
        bench.asked();
        bench.platform().send(channel, command::CANCEL, &[]);
        let cancelled = bench.platform().finish(channel).map(drop);
        assert_eq!(cancelled, Err(status::KEEPALIVE_CANCEL));
        let late = bench.with_fingers(number, &request, &[]);
        assert_eq!(late, Err(status::USER_ACTION_TIMEOUT));
        bench.rig.take_notices();
        assert_eq!(bench.uv_retries(), Ok(5));
    }
    assert_eq!(bench.rig.vaults[0].commits(), 0);
}

fn token_by_a_finger_saves_the_touch(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    let (_, members) = bench.by_finger(permission::MC, Some(RP));
    let parameters = cbor::map(members);
    bench
        .platform()
        .start(channel, CLIENT_PIN, Some(&parameters));
    let asked = bench.finger(Approved);
    assert_eq!(asked.prompt.operation, Operation::Verify);
    assert_eq!(asked.prompt.rp_id.as_deref(), Some(RP));
    bench.platform().finish(channel).expect("a token");

    let token = bench.finger_token(permission::MC | permission::GA, Some(RP));
    let request = MakeCredential::discoverable(RP, b"alice").with(&token);
    let made = make_untouched(&mut bench, &request).expect("a credential");
    assert!(made.auth_data.user_verified && made.auth_data.user_present);
    // It is used up, as after any touch.
    let outcome = bench.make(&request).map(drop);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));

    let token = bench.finger_token(permission::MC | permission::GA, Some(RP));
    let get = GetAssertion::new(RP, &[]).with(&token);
    let silent = bench.get(&get.clone().silent()).expect("an assertion");
    assert!(!silent.auth_data.user_present, "nobody is to be told");
    let asserted = bench.get(&get).expect("nobody is asked");
    assert!(asserted.auth_data.user_present && asserted.auth_data.user_verified);
    asserted.verify(RP, &made.public_key);
    assert_eq!(bench.get(&get).map(drop), Err(status::PIN_AUTH_INVALID));

    let token = bench.finger_token(permission::MC, Some(RP));
    let mut again = MakeCredential::discoverable(RP, b"alice").with(&token);
    again.exclude_list = vec![made.id];
    let outcome = bench.make(&again).map(drop);
    assert_eq!(outcome, Err(status::CREDENTIAL_EXCLUDED));
    // A PIN is no touch.
    bench.set_pin(PIN).expect("no PIN is set");
    let token = bench.uv();
    let request = MakeCredential::new(RP, b"bob").with(&token);
    bench.platform().start_make(channel, &request);
    assert_eq!(bench.approve().prompt.gesture, Gesture::Touch);
    let made = bench.platform().finish_make(channel, &request);
    made.expect("a credential");
}

fn presence_of_a_token_ends_after_30_s(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    let token = bench.finger_token(permission::MC, Some(RP));
    let request = MakeCredential::discoverable(RP, b"alice").with(&token);
    make_untouched(&mut bench, &request).expect("a credential");
    let token = bench.finger_token(permission::GA, Some(RP));
    let get = GetAssertion::new(RP, &[]).with(&token);
    // A use lets the token live on; the touch is over.
    bench.get(&get.clone().silent()).expect("an assertion");
    bench.pass(30_000);
    bench.platform().start_get(channel, &get);
    assert_eq!(bench.approve().prompt.gesture, Gesture::Touch);
    let asserted = bench.platform().finish_get(channel, &get);
    assert!(asserted.expect("an assertion").auth_data.user_verified);
}

fn token_by_a_finger_serves_management(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    let all = permission::CM | permission::BE | permission::LBW | permission::ACFG;
    let token = bench.finger_token(all, None);
    let platform = bench.platform();
    assert_eq!(platform.metadata(channel, &token), Ok((0, 1_000)));
    let toggled = platform.configure(channel, Some(&token), config::TOGGLE_ALWAYS_UV, None);
    assert_eq!(toggled, Ok(()));
    let whole = array(100, 1);
    let written = platform.write_blobs(channel, &whole, 0, Some(100), Some(&token));
    assert_eq!(written, Ok(()));
    assert_eq!(bench.fingers(&token).map(|all| all.len()), Ok(1));
}

fn wrong_request_for_a_token_has_its_status(place: Place, protocol: Protocol) {
    let mut options = sensor();
    options.profile.ctap.no_mc_ga_permissions_with_client_pin = true;
    options.profile.ctap.cred_mgmt = false;
    let mut bench = Bench::bare(place, protocol, options);
    // A member is taken away, or another in its place.
    let mut check = |key: i64, value: Option<Value>, expected| {
        let (_, mut members) = bench.by_finger(permission::MC, Some(RP));
        members.retain(|(name, _)| *name != key);
        members.extend(value.map(|value| (key, value)));
        let outcome = bench.with_fingers(CLIENT_PIN, &cbor::map(members), &[]);
        assert_eq!(outcome, Err(expected));
    };
    for missing in [1, 3, 9, 10] {
        check(missing, None, status::MISSING_PARAMETER);
    }
    for (key, value, expected) in [
        (1, Value::from(3), status::INVALID_PARAMETER),
        (1, Value::from("1"), status::CBOR_UNEXPECTED_TYPE),
        (9, Value::from(0), status::INVALID_PARAMETER),
        (9, Value::from(-1), status::CBOR_UNEXPECTED_TYPE),
        (
            9,
            Value::from(permission::CM),
            status::UNAUTHORIZED_PERMISSION,
        ),
        (9, Value::from(0x80), status::UNAUTHORIZED_PERMISSION),
        (9, Value::from(0x101), status::UNAUTHORIZED_PERMISSION),
        (10, Value::from(7), status::CBOR_UNEXPECTED_TYPE),
    ] {
        check(key, Some(value), expected);
    }
    // What a PIN may not open a finger may.
    bench.finger_token(permission::MC | permission::GA, Some(RP));
    bench.set_pin(PIN).expect("no PIN is set");
    let outcome = bench.try_token(PIN, permission::MC, Some(RP)).map(drop);
    assert_eq!(outcome, Err(status::UNAUTHORIZED_PERMISSION));
    bench.token(permission::BE, None);
}

fn wrong_fingers_block_tokens_until_the_pin(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    bench.set_pin(PIN).expect("no PIN is set");
    let token = |bench: &mut Bench, fingers: &[Decision]| {
        let token = bench.try_finger_token(permission::CM, None, fingers);
        token.map(drop)
    };
    for left in (1..5).rev() {
        let outcome = token(&mut bench, &[Unverified]);
        assert_eq!(outcome, Err(status::UV_INVALID));
        assert_eq!(bench.uv_retries(), Ok(left));
    }
    assert_eq!(token(&mut bench, &[Unverified]), Err(status::UV_BLOCKED));
    bench.restart();
    assert_eq!(bench.uv_retries(), Ok(0));
    assert_eq!(token(&mut bench, &[]), Err(status::UV_BLOCKED));
    assert_eq!(since_pin_entry(&mut bench), Some(5));
    let wrong = bench.try_token(WRONG, permission::CM, None).map(drop);
    assert_eq!(wrong, Err(status::PIN_INVALID));
    assert_eq!(bench.uv_retries(), Ok(0));
    assert_eq!(bench.change_pin(PIN, "9753"), Ok(()));
    assert_eq!(bench.uv_retries(), Ok(5));
    assert_eq!(since_pin_entry(&mut bench), Some(0));
    assert_eq!(token(&mut bench, &[Approved]), Ok(()));
}

fn blocked_pin_blocks_fingers(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    bench.set_pin(PIN).expect("no PIN is set");
    for attempt in 0..8 {
        assert_eq!(bench.uv_retries(), Ok(5), "{attempt}");
        if attempt % 3 == 0 {
            bench.replug();
        }
        bench
            .legacy_token(WRONG)
            .map(drop)
            .expect_err("it is wrong");
    }
    assert_eq!(bench.retries().map(|(left, _)| left), Ok(0));
    assert_eq!(bench.uv_retries(), Ok(0));
    let outcome = bench.try_finger_token(permission::CM, None, &[]).map(drop);
    assert_eq!(outcome, Err(status::UV_BLOCKED));
    assert_eq!(make(&mut bench, &[]), Err(status::PUAT_REQUIRED));
}

fn always_uv_asks_for_a_finger(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    let token = bench.finger_token(permission::ACFG, None);
    let toggled = bench
        .platform()
        .configure(channel, Some(&token), config::TOGGLE_ALWAYS_UV, None);
    assert_eq!(toggled, Ok(()));
    let request = MakeCredential::new(RP, b"alice");
    bench.platform().start_make(channel, &request);
    bench.finger(Approved);
    let made = bench.platform().finish_make(channel, &request);
    let made = made.expect("a credential");
    assert!(made.auth_data.user_verified);
    let get = GetAssertion::new(RP, &[&made.id]);
    bench.platform().start_get(channel, &get);
    bench.finger(Approved);
    let asserted = bench.platform().finish_get(channel, &get);
    assert!(asserted.expect("an assertion").auth_data.user_verified);
    let silent = bench.get(&get.silent()).expect("nobody is asked");
    assert!(!silent.auth_data.user_verified);
}

fn finger_protects_a_key_without_a_pin(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    assert_eq!(bench.retries(), Err(status::PIN_NOT_SET));
    let request = MakeCredential::new(RP, b"alice");
    let outcome = bench.make(&request).map(drop);
    assert_eq!(outcome, Err(status::PUAT_REQUIRED));
    let platform = bench.platform();
    let toggled = platform.configure(channel, None, config::TOGGLE_ALWAYS_UV, None);
    assert_eq!(toggled, Err(status::PUAT_REQUIRED));
    let written = platform.write_blobs(channel, &array(100, 1), 0, Some(100), None);
    assert_eq!(written, Err(status::PUAT_REQUIRED));
    let mut probe = MakeCredential::new(RP, b"alice");
    probe.more.push((8, Value::from(Vec::<u8>::new())));
    probe.more.push((9, Value::from(protocol.number())));
    platform.start_make(channel, &probe);
    assert_eq!(bench.approve().prompt.gesture, Gesture::Touch);
    let outcome = bench.platform().finish_make(channel, &probe).map(drop);
    assert_eq!(outcome, Err(status::PIN_INVALID));
    assert_eq!(bench.set_pin(PIN), Ok(()));
    assert_eq!(bench.option("clientPin"), Some(true));
}

fn option_uv_without_a_finger_is_refused(place: Place, protocol: Protocol) {
    let mut options = sensor();
    options.profile.ctap.enrolled_fingerprints = 0;
    let mut bench = Bench::bare(place, protocol, options);
    assert_eq!(make(&mut bench, &[]), Err(status::INVALID_OPTION));
    let outcome = bench.get(&get_uv(&[])).map(drop);
    assert_eq!(outcome, Err(status::INVALID_OPTION));
    let outcome = bench.try_finger_token(permission::CM, None, &[]).map(drop);
    assert_eq!(outcome, Err(status::NOT_ALLOWED));
    assert_eq!(bench.uv_retries(), Ok(5));
    // A token outweighs the option.
    bench.set_pin(PIN).expect("no PIN is set");
    let (channel, token) = (bench.channel, bench.uv());
    let request = uv(MakeCredential::new(RP, b"alice")).with(&token);
    bench.platform().start_make(channel, &request);
    assert_eq!(bench.approve().prompt.gesture, Gesture::Touch);
    let made = bench.platform().finish_make(channel, &request);
    assert!(made.expect("a credential").auth_data.user_verified);
    let token = bench.token(permission::CM, None);
    let parameters = cbor::map(enrollment(bio::subcommand::ENUMERATE, None, Some(&token)));
    let outcome = bench.with_fingers(BIO_ENROLLMENT, &parameters, &[]);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "no permission");
}

fn u2f_asks_for_a_touch(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    let apdu = crate::support::u2f::register_apdu(&[7; 32], &[8; 32]);
    let outcome = bench.platform().u2f(channel, &apdu);
    assert_eq!(outcome, Err(word::CONDITIONS_NOT_SATISFIED));
    let asked = bench.asked();
    assert_eq!(asked.prompt.gesture, Gesture::Touch);
    // Any finger gives it.
    bench.rig.decide(&asked, Unverified);
    let response = bench.platform().u2f(channel, &apdu);
    response.expect("a registration");
    assert_eq!(bench.uv_retries(), Ok(5));
}
