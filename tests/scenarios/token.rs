//! pinUvAuthToken: what it permits, for whom, and for how long (CTAP 2.1 §6.5.5.7, §6.5.2.1).

use ciborium::Value;

use crate::support::{
    bench::{Bench, PIN, RP, WRONG},
    cbor,
    ctap2::{
        CONFIG, CREDENTIAL_MANAGEMENT, GET_ASSERTION, GetAssertion, LARGE_BLOBS, MAKE_CREDENTIAL,
        MakeCredential, Outcome, status,
    },
    large_blobs,
    manage::{config, configuration, management, subcommand as manage},
    pin::{Protocol, Token, permission},
    rig::{Place, pin_scenarios},
};

const OTHER_RP: &str = "example.org";

pin_scenarios!(
    each_command_needs_its_permission,
    permissions_are_checked_before_the_pin,
    getpintoken_permits_what_it_always_did,
    token_is_for_its_rp_alone,
    touch_spends_a_token_and_silence_does_not,
    new_token_ends_the_old_one,
    changed_pin_ends_the_token,
    token_serves_its_own_protocol_alone,
    param_is_for_one_message,
    param_wants_a_protocol_that_there_is,
    unused_token_ends_after_30_s,
    used_token_ends_after_10_minutes,
    power_cycle_ends_a_token_and_a_new_program_does_not,
);

/// A command that needs a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Make,
    Get,
    Manage,
    Configure,
    WriteBlobs,
}

pub(super) const USES: [(Use, u64); 5] = [
    (Use::Make, permission::MC),
    (Use::Get, permission::GA),
    (Use::Manage, permission::CM),
    (Use::Configure, permission::ACFG),
    (Use::WriteBlobs, permission::LBW),
];

impl Use {
    pub(super) fn run(self, bench: &mut Bench, token: &Token) -> Outcome<()> {
        let channel = bench.channel;
        match self {
            Self::Make => {
                let request = MakeCredential::new(RP, b"another").with(token);
                bench.make(&request).map(drop)
            }
            Self::Get => bench.get(&GetAssertion::new(RP, &[]).with(token)).map(drop),
            Self::Manage => bench.platform().metadata(channel, token).map(drop),
            Self::Configure => {
                let subcommand = config::SET_MIN_PIN_LENGTH;
                bench
                    .platform()
                    .configure(channel, Some(token), subcommand, None)
            }
            Self::WriteBlobs => {
                let length = Some(large_blobs::INITIAL.len());
                bench
                    .platform()
                    .write_blobs(channel, &large_blobs::INITIAL, 0, length, Some(token))
            }
        }
    }

    /// The command and its parameters with a pinUvAuthParam and a pinUvAuthProtocol as they are.
    fn raw(self, param: Option<&[u8]>, protocol: Option<u64>) -> (u8, Value) {
        let (command, value, keys) = match self {
            Self::Make => {
                let value = MakeCredential::new(RP, b"another").to_value();
                (MAKE_CREDENTIAL, value, (8, 9))
            }
            Self::Get => (GET_ASSERTION, GetAssertion::new(RP, &[]).to_value(), (6, 7)),
            Self::Manage => {
                let value = management(manage::METADATA, None, None);
                (CREDENTIAL_MANAGEMENT, value, (4, 3))
            }
            Self::Configure => {
                let value = configuration(config::SET_MIN_PIN_LENGTH, None, None);
                (CONFIG, value, (4, 3))
            }
            Self::WriteBlobs => {
                let array = &large_blobs::INITIAL;
                let members = large_blobs::set(array, 0, Some(array.len()), None);
                (LARGE_BLOBS, cbor::map(members), (5, 6))
            }
        };
        let mut members = value.into_map().expect("a map");
        members.extend(param.map(|param| (Value::from(keys.0), Value::from(param))));
        members.extend(protocol.map(|number| (Value::from(keys.1), Value::from(number))));
        (command, cbor::map(members))
    }
}

/// A key with a PIN and a discoverable credential at [`RP`].
fn registered(place: Place, protocol: Protocol) -> Bench {
    let mut bench = Bench::new(place, protocol);
    bench.make_uv(MakeCredential::discoverable(RP, b"alice"));
    bench
}

fn each_command_needs_its_permission(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let all = USES.iter().fold(0, |all, (_, permission)| all | permission);
    for (command, needed) in USES {
        for wanted in [needed, all, all & !needed] {
            // Bound to no RP, for what is about the whole key; bound at first use otherwise.
            let unbound = wanted & (permission::MC | permission::GA) == 0;
            let rp = (!unbound).then_some(RP);
            let token = bench.token(wanted, rp);
            let whole = command == Use::Manage && rp.is_some();
            let right = wanted & needed != 0 && !whole;
            let expected = if right {
                Ok(())
            } else {
                Err(status::PIN_AUTH_INVALID)
            };
            let outcome = command.run(&mut bench, &token);
            assert_eq!(outcome, expected, "{command:?} with {wanted:#x}");
        }
    }
}

fn permissions_are_checked_before_the_pin(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let unauthorized = status::UNAUTHORIZED_PERMISSION;
    let missing = status::MISSING_PARAMETER;
    for (permissions, rp, expected) in [
        (0, None, status::INVALID_PARAMETER),
        (0, Some(RP), status::INVALID_PARAMETER),
        (permission::BE, None, unauthorized),
        (permission::PCMR | permission::MC, Some(RP), unauthorized),
        (0x80, None, unauthorized),
        (0x100, None, unauthorized),
        (0x101, Some(RP), unauthorized),
        (permission::MC | permission::BE, Some(RP), unauthorized),
        (permission::CM | permission::PCMR, None, unauthorized),
        (u64::MAX >> 1, Some(RP), unauthorized),
        (permission::MC, None, missing),
        (permission::GA, None, missing),
        (permission::CM | permission::GA, None, missing),
    ] {
        for pin in [WRONG, PIN] {
            let outcome = bench.try_token(pin, permissions, rp).map(drop);
            assert_eq!(outcome, Err(expected), "{permissions:#x} for {rp:?}");
        }
    }
    assert_eq!(bench.retries(), Ok((8, false)), "no PIN was compared");
}

fn getpintoken_permits_what_it_always_did(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let channel = bench.channel;
    for (command, needed) in USES {
        let token = bench.legacy_token(PIN).expect("a token");
        let old = needed & (permission::MC | permission::GA) != 0;
        let expected = if old {
            Ok(())
        } else {
            Err(status::PIN_AUTH_INVALID)
        };
        assert_eq!(command.run(&mut bench, &token), expected, "{command:?}");
    }
    // Bound to no RP until it is used.
    bench.make_uv(MakeCredential::discoverable(OTHER_RP, b"alice"));
    for (first, second) in [(RP, OTHER_RP), (OTHER_RP, RP)] {
        let token = bench.legacy_token(PIN).expect("a token");
        for (rp, expected) in [
            (first, Ok(())),
            (second, Err(status::PIN_AUTH_INVALID)),
            (first, Ok(())),
        ] {
            let request = GetAssertion::new(rp, &[]).silent().with(&token);
            assert_eq!(bench.get(&request).map(drop), expected, "{rp}");
        }
    }
    // It has no permissions to choose.
    for (key, value) in [(9, Value::from(permission::MC)), (10, Value::from(RP))] {
        let shared = bench.platform().agree(channel, protocol);
        let mut members = shared.pin_token(PIN);
        members.push((key, value));
        let outcome = bench.client_pin(members);
        assert_eq!(outcome, Err(status::INVALID_PARAMETER), "{key}");
    }
}

fn token_is_for_its_rp_alone(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let stored = bench.make_uv(MakeCredential::discoverable(OTHER_RP, b"bob"));
    let token = bench.uv();
    let make = MakeCredential::new(OTHER_RP, b"carol").with(&token);
    assert_eq!(bench.make(&make).map(drop), Err(status::PIN_AUTH_INVALID));
    for list in [&[][..], &[stored.id.as_slice()]] {
        let get = GetAssertion::new(OTHER_RP, list).with(&token);
        assert_eq!(bench.get(&get).map(drop), Err(status::PIN_AUTH_INVALID));
        let silent = GetAssertion::new(OTHER_RP, list).silent().with(&token);
        assert_eq!(bench.get(&silent).map(drop), Err(status::PIN_AUTH_INVALID));
    }
    // A wrong use spends nothing.
    let asserted = bench.get(&GetAssertion::new(RP, &[]).with(&token));
    assert!(asserted.expect("an assertion").auth_data.user_verified);
}

fn touch_spends_a_token_and_silence_does_not(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let make = MakeCredential::new(RP, b"bob");
    let get = GetAssertion::new(RP, &[]);
    for spends_by_making in [true, false] {
        let permissions = permission::MC | permission::GA | permission::ACFG | permission::LBW;
        let token = bench.token(permissions, Some(RP));
        for _ in 0..3 {
            let silent = get.clone().silent().with(&token);
            let asserted = bench.get(&silent).expect("an assertion");
            assert!(asserted.auth_data.user_verified);
            assert!(!asserted.auth_data.user_present);
        }
        if spends_by_making {
            bench
                .make(&make.clone().with(&token))
                .expect("a credential");
        } else {
            bench.get(&get.clone().with(&token)).expect("an assertion");
        }
        for (command, permission) in USES {
            if permissions & permission != 0 {
                let outcome = command.run(&mut bench, &token);
                let expected = if permission == permission::LBW {
                    Ok(())
                } else {
                    Err(status::PIN_AUTH_INVALID)
                };
                assert_eq!(outcome, expected, "{command:?}");
            }
        }
        let silent = get.clone().silent().with(&token);
        let outcome = bench.get(&silent).map(drop);
        assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    }
}

fn new_token_ends_the_old_one(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    for other in [protocol, protocol.other()] {
        let old = bench.cm();
        bench.protocol = other;
        let new = bench.cm();
        assert_ne!(old.secret, new.secret);
        let outcome = Use::Manage.run(&mut bench, &old);
        assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
        assert_eq!(Use::Manage.run(&mut bench, &new), Ok(()));
        bench.protocol = protocol;
    }
    // A wrong PIN gives no token and ends none.
    let token = bench.cm();
    let outcome = bench.legacy_token(WRONG).map(drop);
    assert_eq!(outcome, Err(status::PIN_INVALID));
    assert_eq!(Use::Manage.run(&mut bench, &token), Ok(()));
}

fn changed_pin_ends_the_token(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let token = bench.cm();
    assert_eq!(bench.change_pin(PIN, "another"), Ok(()));
    let outcome = Use::Manage.run(&mut bench, &token);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
}

fn token_serves_its_own_protocol_alone(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    for (command, needed) in USES {
        let mine = needed & (permission::MC | permission::GA) != 0;
        let token = bench.token(needed, mine.then_some(RP));
        let other = token.under_the_other_protocol();
        let outcome = command.run(&mut bench, &other);
        assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "{command:?}");
        assert_eq!(command.run(&mut bench, &token), Ok(()), "{command:?}");
    }
}

fn param_is_for_one_message(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let channel = bench.channel;
    let number = Some(u64::from(protocol.number()));
    let token = bench.uv();
    let right = token.param(&MakeCredential::new(RP, b"another").client_data_hash());
    let mut flipped = right.clone();
    flipped[0] ^= 1;
    let long = [right.as_slice(), &[0]].concat();
    for param in [&flipped[..], &right[..8], &right[..right.len() - 1], &long] {
        let (command, value) = Use::Make.raw(Some(param), number);
        let outcome = bench.platform().ctap2(channel, command, Some(&value));
        assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "{param:02x?}");
    }
    // One that was right for another message is none for this.
    let (command, value) = Use::Get.raw(Some(&right), number);
    let outcome = bench.platform().ctap2(channel, command, Some(&value));
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    let token = bench.token(permission::CM | permission::ACFG, None);
    let metadata = token.param(&[manage::METADATA]);
    for command in [Use::Manage, Use::Configure] {
        let (byte, value) = command.raw(Some(&metadata), number);
        let outcome = bench.platform().ctap2(channel, byte, Some(&value));
        let right = command == Use::Manage;
        let expected = if right {
            Ok(())
        } else {
            Err(status::PIN_AUTH_INVALID)
        };
        assert_eq!(outcome.map(drop), expected, "{command:?}");
    }
    // Nor is one of a token that is over.
    let token = bench.uv();
    let replayed = MakeCredential::new(RP, b"another").with(&token);
    bench.make(&replayed).expect("a credential");
    let outcome = bench.make(&replayed).map(drop);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "replayed");
    let outcome = bench.get(&GetAssertion::new(RP, &[]).with(&token));
    assert_eq!(outcome.map(drop), Err(status::PIN_AUTH_INVALID));
}

fn param_wants_a_protocol_that_there_is(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    for (command, _) in USES {
        let channel = bench.channel;
        for (number, expected) in [
            (None, status::MISSING_PARAMETER),
            (Some(0), status::INVALID_PARAMETER),
            (Some(3), status::INVALID_PARAMETER),
            (Some(u64::from(u32::MAX)), status::INVALID_PARAMETER),
        ] {
            let (byte, value) = command.raw(Some(&[0; 32]), number);
            let outcome = bench.platform().ctap2(channel, byte, Some(&value));
            assert_eq!(outcome, Err(expected), "{command:?}, protocol {number:?}");
        }
        // No token at all is in use.
        let number = Some(u64::from(protocol.number()));
        bench.replug();
        let channel = bench.channel;
        for param in [[0; 16].as_slice(), &[0; 32]] {
            let (byte, value) = command.raw(Some(param), number);
            let outcome = bench.platform().ctap2(channel, byte, Some(&value));
            assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "{command:?}");
        }
        let (byte, value) = command.raw(None, number);
        let outcome = bench
            .platform()
            .ctap2(channel, byte, Some(&value))
            .map(drop);
        let expected = if command == Use::Get {
            Ok(())
        } else {
            Err(status::PUAT_REQUIRED)
        };
        assert_eq!(outcome, expected, "{command:?} without a token");
    }
}

/// A silent assertion with the token, `ms` after it was given.
fn silent_at(bench: &mut Bench, token: &Token, given: u64, ms: u64) -> Outcome<()> {
    let now = bench.rig.world().now_ms();
    bench.pass((given + ms).saturating_sub(now));
    let request = GetAssertion::new(RP, &[]).silent().with(token);
    bench.get(&request).map(drop)
}

fn unused_token_ends_after_30_s(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let over = Err(status::PIN_AUTH_INVALID);
    for (ms, expected) in [(29_900, Ok(())), (30_000, over), (600_000, over)] {
        let token = bench.uv();
        let given = bench.rig.world().now_ms();
        assert_eq!(silent_at(&mut bench, &token, given, ms), expected, "{ms}");
    }
    // A use that was refused is none.
    let token = bench.uv();
    let given = bench.rig.world().now_ms();
    bench.pass(20_000);
    let other = token.under_the_other_protocol();
    let outcome = Use::Get.run(&mut bench, &other);
    assert_eq!(outcome, over);
    assert_eq!(silent_at(&mut bench, &token, given, 30_000), over);
}

fn used_token_ends_after_10_minutes(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let token = bench.uv();
    let given = bench.rig.world().now_ms();
    for ms in [1_000, 29_000, 31_000, 300_000, 599_900] {
        assert_eq!(silent_at(&mut bench, &token, given, ms), Ok(()), "{ms}");
    }
    let outcome = silent_at(&mut bench, &token, given, 600_000);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "used or not");
}

fn power_cycle_ends_a_token_and_a_new_program_does_not(place: Place, protocol: Protocol) {
    let mut bench = registered(place, protocol);
    let token = bench.cm();
    bench.platform().close();
    bench.platform().reopen();
    bench.channel = bench.platform().init();
    assert_eq!(Use::Manage.run(&mut bench, &token), Ok(()));
    bench.replug();
    let outcome = Use::Manage.run(&mut bench, &token);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    let token = bench.cm();
    bench.restart();
    let outcome = Use::Manage.run(&mut bench, &token);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    let token = bench.cm();
    bench.reset();
    assert_eq!(bench.set_pin(PIN), Ok(()));
    let outcome = Use::Manage.run(&mut bench, &token);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
}
