//! What CTAP 2.2 and 2.3 added to authenticatorConfig: enterprise attestation enabled, PINs that are
//! too simple, a reset that takes a long touch (CTAP 2.3 §6.4, §6.6, §6.11), and maxPINLength.

use ciborium::Value;
use roamkey_ctap::{Gesture, Operation, Profile};

use crate::support::{
    bench::{Bench, PIN, RP},
    cbor,
    ctap2::{MakeCredential, Outcome, RESET, status},
    manage::config,
    pin::{Protocol, permission},
    rig::{Options, Place, pin_scenarios},
};

const STRONG: &str = "83519";

pin_scenarios!(
    enterprise_attestation_is_enabled_until_a_reset,
    simple_pins_are_refused_once_the_policy_is_on,
    policy_forces_a_change_of_a_pin_nobody_judged,
    policy_is_told_to_sites_that_may_know,
    policy_of_a_profile_holds_from_the_beginning,
    reset_takes_a_long_touch_once_that_is_enabled,
    settings_want_a_token_once_there_is_a_pin,
    settings_that_are_not_offered_are_refused,
    longest_pin_is_the_profiles,
);

fn bench(place: Place, protocol: Protocol, change: fn(&mut Profile)) -> Bench {
    let mut options = Options::default();
    change(&mut options.profile.ctap);
    Bench::bare(place, protocol, options)
}

fn member(bench: &mut Bench, key: u8) -> Option<Value> {
    cbor::member(&bench.info(), key)
}

/// Without a token, which a key without a PIN wants none of.
fn configure(bench: &mut Bench, subcommand: u8, params: Option<Value>) -> Outcome<()> {
    let channel = bench.channel;
    bench
        .platform()
        .configure(channel, None, subcommand, params)
}

fn policy(on: bool) -> Option<Value> {
    Some(cbor::map([(4, Value::from(on))]))
}

fn enterprise_attestation_is_enabled_until_a_reset(place: Place, protocol: Protocol) {
    let mut bench = bench(place, protocol, |p| p.enterprise_attestation = Some(false));
    assert_eq!(bench.option("ep"), Some(false));
    let mut request = MakeCredential::new(RP, b"alice");
    request.more.push((0x0a, Value::from(2)));
    let refused = Err(status::INVALID_PARAMETER);
    assert_eq!(bench.make(&request).map(drop), refused);
    // A second time it changes nothing.
    for _ in 0..2 {
        assert_eq!(
            configure(&mut bench, config::ENTERPRISE_ATTESTATION, None),
            Ok(())
        );
        assert_eq!(bench.option("ep"), Some(true));
    }
    bench.make(&request).expect("it is enabled");
    bench.restart();
    assert_eq!(bench.option("ep"), Some(true));
    bench.reset();
    assert_eq!(bench.option("ep"), Some(false));
    assert_eq!(bench.make(&request).map(drop), refused);
}

fn simple_pins_are_refused_once_the_policy_is_on(place: Place, protocol: Protocol) {
    let mut bench = bench(place, protocol, |_| ());
    assert_eq!(member(&mut bench, 0x1b), Some(Value::from(false)));
    let number = config::SET_MIN_PIN_LENGTH;
    assert_eq!(configure(&mut bench, number, policy(false)), Ok(()));
    assert_eq!(member(&mut bench, 0x1b), Some(Value::from(false)));
    assert_eq!(configure(&mut bench, number, policy(true)), Ok(()));
    // There is no way back but a reset.
    assert_eq!(configure(&mut bench, number, policy(false)), Ok(()));
    bench.restart();
    assert_eq!(member(&mut bench, 0x1b), Some(Value::from(true)));
    for simple in [
        "1111",
        "123456",
        "9876",
        "abcdef",
        "zyxw",
        "12121212",
        "\u{e9}\u{e9}\u{e9}\u{e9}",
    ] {
        let outcome = bench.set_pin(simple);
        assert_eq!(outcome, Err(status::PIN_POLICY_VIOLATION), "{simple}");
    }
    bench.set_pin(STRONG).expect("not simple");
    let outcome = bench.change_pin(STRONG, "1234");
    assert_eq!(outcome, Err(status::PIN_POLICY_VIOLATION));
    bench.change_pin(STRONG, "1223334").expect("not simple");
    bench.reset();
    assert_eq!(member(&mut bench, 0x1b), Some(Value::from(false)));
    bench.set_pin("1111").expect("nobody minds");
}

fn policy_forces_a_change_of_a_pin_nobody_judged(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let number = config::SET_MIN_PIN_LENGTH;
    bench.configure(number, policy(true)).expect("the policy");
    assert_eq!(member(&mut bench, 0x0c), Some(Value::from(true)));
    let refused = bench.try_token(PIN, permission::CM, None).map(drop);
    assert_eq!(refused, Err(status::PIN_POLICY_VIOLATION));
    bench.change_pin(PIN, STRONG).expect("changed");
    assert_eq!(member(&mut bench, 0x0c), Some(Value::from(false)));
    assert!(bench.try_token(STRONG, permission::CM, None).is_ok());
}

fn policy_is_told_to_sites_that_may_know(place: Place, protocol: Protocol) {
    let mut bench = bench(place, protocol, |_| ());
    let listed = cbor::map([(2, Value::Array(vec![Value::from(RP)]))]);
    let number = config::SET_MIN_PIN_LENGTH;
    assert_eq!(configure(&mut bench, number, Some(listed)), Ok(()));
    for expected in [false, true] {
        for (rp, told) in [(RP, true), ("example.org", false)] {
            let request = MakeCredential::new(rp, b"alice");
            let request = request.extension("pinComplexityPolicy", true);
            let made = bench.make(&request).expect("a credential");
            let output = cbor::map([("pinComplexityPolicy", Value::from(expected))]);
            assert_eq!(
                made.auth_data.extensions,
                if told { output } else { Value::Null },
                "{rp}"
            );
        }
        assert_eq!(configure(&mut bench, number, policy(true)), Ok(()));
    }
    let request = MakeCredential::new(RP, b"alice").extension("pinComplexityPolicy", 1);
    let outcome = bench.make(&request).map(drop);
    assert_eq!(outcome, Err(status::CBOR_UNEXPECTED_TYPE));
}

fn policy_of_a_profile_holds_from_the_beginning(place: Place, protocol: Protocol) {
    let mut bench = bench(place, protocol, |p| {
        p.pin_complexity_policy = Some(true);
        p.long_touch_for_reset = Some(true);
    });
    assert_eq!(member(&mut bench, 0x1b), Some(Value::from(true)));
    assert_eq!(member(&mut bench, 0x18), Some(Value::from(true)));
    assert_eq!(bench.set_pin("1111"), Err(status::PIN_POLICY_VIOLATION));
    bench.reset();
    assert_eq!(member(&mut bench, 0x1b), Some(Value::from(true)));
    assert_eq!(member(&mut bench, 0x18), Some(Value::from(true)));
}

fn reset_takes_a_long_touch_once_that_is_enabled(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::held());
    assert_eq!(member(&mut bench, 0x18), Some(Value::from(false)));
    for expected in [Gesture::Touch, Gesture::LongTouch, Gesture::Touch] {
        bench.replug();
        let channel = bench.channel;
        bench.platform().start(channel, RESET, None);
        let asked = bench.approve();
        assert_eq!(asked.prompt.operation, Operation::Reset);
        assert_eq!(asked.prompt.gesture, expected);
        bench.platform().finish(channel).expect("a reset");
        assert_eq!(member(&mut bench, 0x18), Some(Value::from(false)));
        if expected == Gesture::Touch {
            let number = config::LONG_TOUCH_FOR_RESET;
            assert_eq!(configure(&mut bench, number, None), Ok(()));
            assert_eq!(member(&mut bench, 0x18), Some(Value::from(true)));
        }
    }
}

fn settings_want_a_token_once_there_is_a_pin(place: Place, protocol: Protocol) {
    let mut options = Options::default();
    options.profile.ctap.enterprise_attestation = Some(false);
    let mut bench = Bench::with(place, protocol, options);
    for number in [config::ENTERPRISE_ATTESTATION, config::LONG_TOUCH_FOR_RESET] {
        let outcome = configure(&mut bench, number, None);
        assert_eq!(outcome, Err(status::PUAT_REQUIRED), "{number}");
        let wrong = bench.cm();
        let channel = bench.channel;
        let outcome = bench
            .platform()
            .configure(channel, Some(&wrong), number, None);
        assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "{number}");
        bench.configure(number, None).expect("with the right token");
    }
    assert_eq!(bench.option("ep"), Some(true));
    assert_eq!(member(&mut bench, 0x18), Some(Value::from(true)));
}

fn settings_that_are_not_offered_are_refused(place: Place, protocol: Protocol) {
    let mut bench = bench(place, protocol, |p| {
        p.long_touch_for_reset = None;
        p.pin_complexity_policy = None;
    });
    let refused = Err(status::INVALID_PARAMETER);
    for number in [config::ENTERPRISE_ATTESTATION, config::LONG_TOUCH_FOR_RESET] {
        assert_eq!(configure(&mut bench, number, None), refused, "{number}");
    }
    for on in [true, false] {
        let outcome = configure(&mut bench, config::SET_MIN_PIN_LENGTH, policy(on));
        assert_eq!(outcome, refused);
    }
    assert_eq!(bench.option("ep"), None);
    assert_eq!(member(&mut bench, 0x18), None);
    assert_eq!(member(&mut bench, 0x1b), None);
}

fn longest_pin_is_the_profiles(place: Place, protocol: Protocol) {
    let mut bench = bench(place, protocol, |p| p.max_pin_length = 8);
    assert_eq!(member(&mut bench, 0x1d), Some(Value::from(8)));
    let outcome = bench.set_pin("123456789");
    assert_eq!(outcome, Err(status::PIN_POLICY_VIOLATION));
    // Characters, not bytes.
    bench
        .set_pin("\u{e4}\u{f6}\u{fc}\u{df}\u{e4}\u{f6}\u{fc}\u{df}")
        .expect("eight");
    let minimum = |length: u8| Some(cbor::map([(1, Value::from(length))]));
    let token = bench.try_token(
        "\u{e4}\u{f6}\u{fc}\u{df}\u{e4}\u{f6}\u{fc}\u{df}",
        permission::ACFG,
        None,
    );
    let token = token.expect("a token");
    let channel = bench.channel;
    for (length, expected) in [(9, Err(status::PIN_POLICY_VIOLATION)), (8, Ok(()))] {
        let platform = bench.platform();
        let number = config::SET_MIN_PIN_LENGTH;
        let outcome = platform.configure(channel, Some(&token), number, minimum(length));
        assert_eq!(outcome, expected, "{length}");
    }
}
