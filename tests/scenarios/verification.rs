//! User verification at registrations and assertions: options, what is told after it, touch
//! probes, algorithms, and the profiles that differ.

use ciborium::Value;
use roamkey_ctap::{Decision, Operation};

use crate::support::{
    bench::{Bench, PIN, RP, of_profile},
    cbor,
    ctap2::{
        CLIENT_PIN, CONFIG, CREDENTIAL_MANAGEMENT, GET_INFO, GetAssertion, MakeCredential, status,
    },
    ctaphid::{Message, command},
    pin::{Protocol, permission, subcommand},
    rig::{Options, Place, pin_scenarios, virtual_scenarios},
};

pin_scenarios!(
    pin_makes_registration_need_it,
    every_algorithm_registers_and_signs,
    names_are_told_of_several_and_to_the_verified,
    empty_param_answers_after_a_touch,
    touch_probe_stores_nothing,
    touch_that_was_denied_or_cancelled_spends_nothing,
    verification_is_not_required_where_the_profile_says_so,
    tokens_for_management_alone,
    key_of_2018_has_getpintoken_alone,
    passkey_provider_tells_of_copies,
    tiny_key_refuses_what_is_too_much,
);

virtual_scenarios!(u2f_only_key_has_no_ctap2);

fn pin_makes_registration_need_it(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    for rk in [false, true] {
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("rk", rk));
        let made = bench.make(&request).expect("no PIN is set");
        assert!(!made.auth_data.user_verified);
    }
    bench.set_pin(PIN).expect("no PIN is set");
    for rk in [false, true] {
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("rk", rk));
        let outcome = bench.make(&request).map(drop);
        assert_eq!(outcome, Err(status::PUAT_REQUIRED));
        let token = bench.uv();
        let mut verified = request.with(&token);
        // The param outweighs the option.
        verified.options.push(("uv", true));
        let made = bench.make(&verified).expect("a credential");
        assert!(made.auth_data.user_verified);
        let model = cbor::member(&bench.info(), 3).and_then(|aaguid| aaguid.into_bytes().ok());
        assert_eq!(made.auth_data.aaguid, model, "as getInfo says");
        let get = GetAssertion::new(RP, &[&made.id]);
        let asserted = bench.get(&get).expect("a touch is enough");
        assert!(!asserted.auth_data.user_verified);
        let mut get = get.with(&bench.uv());
        get.options.push(("uv", true));
        let asserted = bench.get(&get).expect("an assertion");
        assert!(asserted.auth_data.user_verified);
        asserted.verify(RP, &made.public_key);
    }
}

fn every_algorithm_registers_and_signs(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let all = [-7, -8, -35, -47];
    for start in 0..4 {
        for rk in [false, true] {
            let mut request = MakeCredential::new(RP, b"alice");
            request.options.push(("rk", rk));
            // The site's order decides, whatever stands before that no key has.
            request.algorithms = vec![-65_535, -37];
            request
                .algorithms
                .extend((0..4).map(|n| all[(start + n) % 4]));
            let made = bench.make_uv(request);
            assert_eq!(made.public_key.algorithm(), all[start]);
            bench.restart();
            for silent in [false, true] {
                let get = GetAssertion::new(RP, &[&made.id]);
                let get = if silent { get.silent() } else { get };
                let asserted = bench.get(&get).expect("an assertion");
                asserted.verify(RP, &made.public_key);
            }
            if rk {
                let (channel, token) = (bench.channel, bench.cm());
                let managed = bench.platform().credential(channel, Some((&token, RP)));
                assert_eq!(managed.expect("it").public_key, made.public_key);
            }
        }
    }
    let token = bench.uv();
    for unknown in [vec![], vec![-37], vec![-48, -65_535, 0, 7, i64::MIN]] {
        let mut request = MakeCredential::new(RP, b"alice").with(&token);
        request.algorithms = unknown;
        let outcome = bench.make(&request).map(drop);
        assert_eq!(outcome, Err(status::UNSUPPORTED_ALGORITHM));
    }
}

fn names_are_told_of_several_and_to_the_verified(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let register = |bench: &mut Bench, account: &[u8], names: (Option<_>, Option<_>)| {
        let mut request = MakeCredential::discoverable(RP, account);
        (request.user_name, request.display_name) = names;
        bench.make_uv(request).id
    };
    let one = register(&mut bench, b"one", (Some("one@example.com"), Some("One")));
    let get = GetAssertion::new(RP, &[]);
    let nothing = (None, None);
    for uv in [false, true] {
        let get = if uv {
            get.clone().with(&bench.uv())
        } else {
            get.clone()
        };
        let alone = bench.get(&get).expect("an assertion");
        assert_eq!(alone.user_id.as_deref(), Some(b"one".as_slice()));
        assert_eq!(alone.user_names, nothing, "there is nothing to choose");
    }
    register(&mut bench, b"two", (None, Some("Two")));
    for uv in [false, true] {
        let get = if uv {
            get.clone().with(&bench.uv())
        } else {
            get.clone()
        };
        let first = bench.get(&get).expect("an assertion");
        let second = bench.get_next(&get).expect("another");
        let owned = |name: &str| Some(name.to_owned());
        let told = [
            (None, owned("Two")),
            (owned("one@example.com"), owned("One")),
        ];
        let expected = if uv {
            told
        } else {
            [nothing.clone(), nothing.clone()]
        };
        assert_eq!(first.auth_data.user_verified, uv);
        assert_eq!(second.auth_data.user_verified, uv);
        assert_eq!([first.user_names, second.user_names], expected);
    }
    // A list names one, so there is nothing to choose either.
    let listed = GetAssertion::new(RP, &[&one]).with(&bench.uv());
    let listed = bench.get(&listed).expect("an assertion");
    assert_eq!(listed.user_names, nothing);
}

fn empty_param_answers_after_a_touch(place: Place, protocol: Protocol) {
    for (pin, expected) in [(false, status::PIN_NOT_SET), (true, status::PIN_INVALID)] {
        let mut bench = Bench::bare(place, protocol, Options::held());
        if pin {
            bench.set_pin(PIN).expect("no PIN is set");
        }
        let channel = bench.channel;
        let number = Value::from(protocol.number());
        for protocol in [None, Some(number), Some(Value::from(99))] {
            let members = |param, number| {
                let mut members = vec![(param, Value::Bytes(Vec::new()))];
                members.extend(protocol.clone().map(|protocol| (number, protocol)));
                members
            };
            let mut make = MakeCredential::discoverable(RP, b"alice");
            make.more = members(8, 9);
            bench.platform().start_make(channel, &make);
            assert_eq!(bench.approve().prompt.operation, Operation::Select);
            let outcome = bench.platform().finish_make(channel, &make).map(drop);
            assert_eq!(outcome, Err(expected));
            let mut get = GetAssertion::new(RP, &[]);
            get.more = members(6, 7);
            bench.platform().start_get(channel, &get);
            assert_eq!(bench.approve().prompt.operation, Operation::Select);
            let outcome = bench.platform().finish_get(channel, &get).map(drop);
            assert_eq!(outcome, Err(expected));
        }
        assert_eq!(bench.rig.vaults[0].credentials(), 0);
    }
}

fn touch_probe_stores_nothing(place: Place, protocol: Protocol) {
    for pin in [false, true] {
        let mut bench = Bench::bare(place, protocol, Options::held());
        if pin {
            bench.set_pin(PIN).expect("no PIN is set");
        }
        let channel = bench.channel;
        for rp in [".dummy", "make.me.blink"] {
            let mut request = MakeCredential::new(rp, &[1]);
            if pin {
                request = request.with(&bench.token(permission::MC, Some(rp)));
            }
            bench.platform().start_make(channel, &request);
            let asked = bench.approve();
            assert_eq!(asked.prompt.operation, Operation::Select);
            assert_eq!(asked.prompt.account, None);
            let made = bench.platform().finish_make(channel, &request);
            made.expect("a credential that is thrown away");
        }
        assert_eq!(bench.rig.vaults[0].credentials(), 0);
    }
}

fn touch_that_was_denied_or_cancelled_spends_nothing(place: Place, protocol: Protocol) {
    let mut bench = Bench::held(place, protocol);
    let channel = bench.channel;
    let token = bench.uv();
    let request = MakeCredential::new(RP, b"alice").with(&token);
    bench.platform().start_make(channel, &request);
    let asked = bench.asked();
    bench.rig.decide(&asked, Decision::Denied);
    let outcome = bench.platform().finish_make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED));
    bench.platform().start_make(channel, &request);
    bench.asked();
    bench.platform().send(channel, command::CANCEL, &[]);
    let outcome = bench.platform().finish_make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    bench.platform().start_make(channel, &request);
    bench.approve();
    let made = bench.platform().finish_make(channel, &request);
    made.expect("the token still serves");
}

fn verification_is_not_required_where_the_profile_says_so(place: Place, protocol: Protocol) {
    let mut bench = Bench::of_profile(place, protocol, "uv-not-required");
    let made = bench.make(&MakeCredential::new(RP, b"alice"));
    let made = made.expect("it is not required");
    assert!(!made.auth_data.user_verified);
    let stored = MakeCredential::discoverable(RP, b"alice");
    let outcome = bench.make(&stored).map(drop);
    assert_eq!(outcome, Err(status::PUAT_REQUIRED), "that is stored");
    bench.make_uv(stored);
    // A wrong token is no missing one.
    let wrong = bench.token(permission::GA, Some(RP));
    let request = MakeCredential::new(RP, b"alice").with(&wrong);
    let outcome = bench.make(&request).map(drop);
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
}

fn tokens_for_management_alone(place: Place, protocol: Protocol) {
    let mut options = Options::default();
    options.profile.ctap.no_mc_ga_permissions_with_client_pin = true;
    let mut bench = Bench::bare(place, protocol, options);
    let made = bench.make(&MakeCredential::discoverable(RP, b"alice"));
    made.expect("no PIN is set");
    bench.set_pin(PIN).expect("no PIN is set");
    assert_eq!(bench.option("noMcGaPermissionsWithClientPin"), Some(true));
    for permissions in [
        permission::MC,
        permission::GA,
        permission::GA | permission::CM,
    ] {
        let outcome = bench.try_token(PIN, permissions, Some(RP)).map(drop);
        assert_eq!(outcome, Err(status::UNAUTHORIZED_PERMISSION));
    }
    let outcome = bench.legacy_token(PIN).map(drop);
    assert_eq!(outcome, Err(status::UNAUTHORIZED_PERMISSION));
    let (channel, token) = (bench.channel, bench.cm());
    assert_eq!(bench.platform().metadata(channel, &token), Ok((1, 999)));
    let outcome = bench.make(&MakeCredential::new(RP, b"bob")).map(drop);
    assert_eq!(outcome, Err(status::OPERATION_DENIED), "no token helps");
    bench
        .get(&GetAssertion::new(RP, &[]))
        .expect("a touch is enough");
}

fn key_of_2018_has_getpintoken_alone(place: Place, protocol: Protocol) {
    if protocol == Protocol::Two {
        let mut bench = Bench::bare(place, protocol, of_profile("fido-2.0"));
        let members = vec![
            (1, Value::from(2)),
            (2, Value::from(subcommand::GET_KEY_AGREEMENT)),
        ];
        let outcome = bench.client_pin(members);
        assert_eq!(outcome, Err(status::INVALID_PARAMETER), "no protocol two");
        return;
    }
    let mut bench = Bench::of_profile(place, protocol, "fido-2.0");
    let channel = bench.channel;
    let outcome = bench.try_token(PIN, permission::MC, Some(RP)).map(drop);
    assert_eq!(outcome, Err(status::INVALID_SUBCOMMAND));
    let outcome = bench.make(&MakeCredential::new(RP, b"alice")).map(drop);
    assert_eq!(outcome, Err(status::PUAT_REQUIRED));
    let token = bench.legacy_token(PIN).expect("a token");
    let request = MakeCredential::discoverable(RP, b"alice").with(&token);
    let made = bench.make(&request).expect("a credential");
    assert!(made.auth_data.user_verified);
    let token = bench.legacy_token(PIN).expect("a token");
    let get = GetAssertion::new(RP, &[]).with(&token);
    assert!(
        bench
            .get(&get)
            .expect("an assertion")
            .auth_data
            .user_verified
    );
    let empty = cbor::map::<i64>([]);
    for command in [CREDENTIAL_MANAGEMENT, 0x41, CONFIG] {
        for parameters in [None, Some(&empty)] {
            let outcome = bench.platform().ctap2(channel, command, parameters);
            assert_eq!(outcome, Err(status::INVALID_COMMAND), "{command:#x}");
        }
    }
}

fn passkey_provider_tells_of_copies(place: Place, protocol: Protocol) {
    let mut bench = Bench::of_profile(place, protocol, "passkey-provider");
    for rk in [false, true] {
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("rk", rk));
        let made = bench.make_uv(request);
        assert_eq!(made.auth_data.backup, (true, true));
        assert_eq!(made.counter, 0);
        for _ in 0..2 {
            for silent in [false, true] {
                let get = GetAssertion::new(RP, &[&made.id]);
                let get = if silent { get.silent() } else { get };
                let asserted = bench.get(&get).expect("an assertion");
                asserted.verify(RP, &made.public_key);
                assert_eq!(asserted.auth_data.backup, (true, true));
                assert_eq!(asserted.auth_data.counter, 0);
            }
            bench.restart();
        }
    }
    let mut bench = Bench::new(place, protocol);
    let made = bench.make_uv(MakeCredential::new(RP, b"alice"));
    assert_eq!(made.auth_data.backup, (false, false), "unlike others");
}

fn tiny_key_refuses_what_is_too_much(place: Place, protocol: Protocol) {
    let mut bench = Bench::of_profile(place, protocol, "tiny");
    let made = bench.make_uv(MakeCredential::new(RP, b"alice"));
    let two: [&[u8]; 2] = [&[1; 64], &made.id];
    bench
        .get(&GetAssertion::new(RP, &two))
        .expect("it is the second");
    let three: [&[u8]; 3] = [&made.id, &[1; 64], &[2; 64]];
    let get = GetAssertion::new(RP, &three);
    assert_eq!(bench.get(&get).map(drop), Err(status::LIMIT_EXCEEDED));
    let get = get.silent();
    assert_eq!(bench.get(&get).map(drop), Err(status::LIMIT_EXCEEDED));
    let mut make = MakeCredential::new(RP, b"bob").with(&bench.uv());
    make.exclude_list = three.map(<[u8]>::to_vec).into();
    assert_eq!(bench.make(&make).map(drop), Err(status::LIMIT_EXCEEDED));
    make.exclude_list.clear();
    make.more.push((0x7f, Value::from(vec![0; 1024])));
    assert_eq!(bench.make(&make).map(drop), Err(status::REQUEST_TOO_LARGE));
}

fn u2f_only_key_has_no_ctap2(place: Place) {
    let rig = place.rig_with(of_profile("u2f-only"));
    let mut platform = rig.attach();
    let channel = platform.init();
    // CAPABILITY_WINK alone: neither CBOR (0x04) nor NMSG (0x08).
    assert_eq!(platform.init_on(channel).capabilities, 0x01);
    for byte in [GET_INFO, CLIENT_PIN, 0x01] {
        let answer = platform.call(channel, command::CBOR, &[byte]);
        assert_eq!(answer.message, Message::error(0x01), "{byte:#x}");
        assert!(answer.keepalives.is_empty());
    }
    let application = [5; 32];
    let made = platform.u2f_register(channel, &[1; 32], &application);
    let key = (made.key_handle.as_slice(), &made.public_key);
    let control = crate::support::u2f::Control::Enforce;
    let signed = platform.u2f_authenticate(channel, control, &application, key);
    assert!(signed.expect("an authentication").user_present);
}
