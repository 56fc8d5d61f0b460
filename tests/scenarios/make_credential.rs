//! authenticatorMakeCredential: both kinds of credential, lists, limits, options.

use ciborium::Value;
use roamkey::profile::Profile;
use roamkey_ctap::{Decision, Operation};

use crate::support::{
    cbor,
    ctap2::{GetAssertion, MakeCredential, status},
    ctaphid::{Channel, Platform},
    rig::{Options, Place, scenarios},
};

const RP: &str = "example.com";

scenarios!(
    credential_of_each_kind_registers_and_signs,
    attestation_none_is_given_where_it_is_wanted_first,
    excluded_credential_is_refused_after_a_touch,
    same_account_again_replaces_the_credential,
    full_key_refuses_discoverable_credentials_only,
    options_that_do_not_fit_are_refused_before_a_touch,
    algorithm_is_the_first_that_the_key_has,
    empty_pin_uv_auth_param_waits_for_a_touch,
    info_tells_what_the_key_does,
);

fn remaining(platform: &mut Platform, channel: Channel) -> u64 {
    let info = platform.info(channel).expect("getInfo");
    cbor::unsigned(cbor::member(&info, 0x14))
}

fn credential_of_each_kind_registers_and_signs(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let room = remaining(&mut platform, channel);

    let derived = MakeCredential::new(RP, b"alice");
    let derived = platform.make(channel, &derived).expect("a credential");
    assert_eq!(derived.format, "packed");
    assert_eq!(remaining(&mut platform, channel), room, "nothing is stored");
    let by_list = GetAssertion::new(RP, &[&derived.id]);
    let asserted = platform.get(channel, &by_list).expect("an assertion");
    asserted.verify(RP, &derived.public_key);
    assert_eq!(asserted.id, derived.id);
    assert_eq!(asserted.user_id, None, "the key does not know the account");
    assert!(asserted.auth_data.user_present);
    // It cannot be discovered.
    let anyone = GetAssertion::new(RP, &[]);
    let outcome = platform.get(channel, &anyone).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));

    let stored = MakeCredential::discoverable(RP, b"bob");
    let stored = platform.make(channel, &stored).expect("a credential");
    assert_eq!(remaining(&mut platform, channel), room - 1);
    for allow_list in [&[][..], &[stored.id.as_slice()]] {
        let request = GetAssertion::new(RP, allow_list);
        let asserted = platform.get(channel, &request).expect("an assertion");
        asserted.verify(RP, &stored.public_key);
        assert_eq!(asserted.id, stored.id);
        assert_eq!(asserted.user_id.as_deref(), Some(b"bob".as_slice()));
        assert_eq!(asserted.number_of_credentials, None, "there is one");
    }
    // Each signs with a key of its own.
    assert_ne!(derived.public_key, stored.public_key);
}

fn attestation_none_is_given_where_it_is_wanted_first(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for (formats, expected) in [
        (vec!["none"], "none"),
        (vec!["none", "packed"], "none"),
        (vec!["packed", "none"], "packed"),
        (vec!["tpm", "none"], "none"),
        (vec!["tpm"], "packed"),
    ] {
        let mut request = MakeCredential::new(RP, b"alice");
        request.formats = formats;
        let made = platform.make(channel, &request).expect("a credential");
        assert_eq!(made.format, expected, "{:?}", request.formats);
        let request = GetAssertion::new(RP, &[&made.id]);
        let asserted = platform.get(channel, &request).expect("an assertion");
        asserted.verify(RP, &made.public_key);
    }
}

fn excluded_credential_is_refused_after_a_touch(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let mut ids = Vec::new();
    for rk in [false, true] {
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("rk", rk));
        platform.start_make(channel, &request);
        rig.approve(&mut platform);
        let made = platform.finish_make(channel, &request);
        ids.push(made.expect("a credential").id);
    }
    for id in &ids {
        let mut request = MakeCredential::discoverable(RP, b"bob");
        request.exclude_list = vec![vec![7; 64], vec![1, 2, 3], id.clone()];
        let answers = [
            (Decision::Approved, status::CREDENTIAL_EXCLUDED),
            (Decision::Denied, status::OPERATION_DENIED),
        ];
        for (decision, status) in answers {
            platform.start_make(channel, &request);
            let asked = rig.wait_asked(&mut platform);
            assert_eq!(asked.prompt.operation, Operation::RegisterExcluded);
            rig.decide(&asked, decision);
            let outcome = platform.finish_make(channel, &request).map(drop);
            assert_eq!(outcome, Err(status));
        }
    }
    assert_eq!(rig.vaults[0].credentials(), 1, "nothing new is stored");
    // Another site's list says nothing about this one's credentials.
    let mut request = MakeCredential::new("example.org", b"alice");
    request.exclude_list = ids;
    platform.start_make(channel, &request);
    let asked = rig.approve(&mut platform);
    assert_eq!(asked.prompt.operation, Operation::Register);
    platform
        .finish_make(channel, &request)
        .expect("a credential");
}

fn same_account_again_replaces_the_credential(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = MakeCredential::discoverable(RP, b"alice");
    let old = platform.make(channel, &request).expect("a credential");
    let room = remaining(&mut platform, channel);
    let new = platform.make(channel, &request).expect("a credential");
    assert_ne!(old.id, new.id);
    assert_eq!(remaining(&mut platform, channel), room);
    assert_eq!(rig.vaults[0].credentials(), 1);

    let outcome = platform.get(channel, &GetAssertion::new(RP, &[&old.id]));
    assert_eq!(outcome.map(drop), Err(status::NO_CREDENTIALS));
    let found = platform.get(channel, &GetAssertion::new(RP, &[]));
    let found = found.expect("an assertion");
    assert_eq!(found.id, new.id);
    assert_eq!(found.number_of_credentials, None);
    found.verify(RP, &new.public_key);

    // Another site's account of that id, and another account of this site, are others.
    for (rp, user) in [("example.org", b"alice".as_slice()), (RP, b"bob")] {
        let request = MakeCredential::discoverable(rp, user);
        platform.make(channel, &request).expect("a credential");
    }
    assert_eq!(rig.vaults[0].credentials(), 3);
}

fn full_key_refuses_discoverable_credentials_only(place: Place) {
    let mut profile = Profile::default();
    profile.ctap.max_discoverable_credentials = 2;
    let rig = place.rig_with(Options {
        profile,
        ..Options::default()
    });
    let mut platform = rig.attach();
    let channel = platform.init();
    for (user, room) in [(b"a", 2), (b"b", 1)] {
        assert_eq!(remaining(&mut platform, channel), room);
        let request = MakeCredential::discoverable(RP, user);
        platform.make(channel, &request).expect("a credential");
    }
    assert_eq!(remaining(&mut platform, channel), 0);
    let third = MakeCredential::discoverable(RP, b"c");
    let outcome = platform.make(channel, &third).map(drop);
    assert_eq!(outcome, Err(status::KEY_STORE_FULL));
    let again = MakeCredential::discoverable(RP, b"b");
    platform.make(channel, &again).expect("it replaces one");
    let derived = MakeCredential::new(RP, b"c");
    platform.make(channel, &derived).expect("it takes no room");
    assert_eq!(remaining(&mut platform, channel), 0);
}

fn options_that_do_not_fit_are_refused_before_a_touch(place: Place) {
    let rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let base = MakeCredential::new(RP, b"alice");
    let with_option = |name, value| {
        let mut request = base.clone();
        request.options.push((name, value));
        request
    };
    let with_user = |id: &[u8]| MakeCredential::new(RP, id);
    let with_algorithms = |algorithms: &[i64]| {
        let mut request = base.clone();
        request.algorithms = algorithms.to_vec();
        request
    };
    let with_member = |key, value| {
        let mut request = base.clone();
        request.more.push((key, value));
        request
    };
    let too_many = {
        let mut request = base.clone();
        request.exclude_list = vec![vec![1]; 65];
        request
    };
    let cases = [
        (with_option("up", false), status::INVALID_OPTION),
        (with_option("uv", true), status::INVALID_OPTION),
        (with_user(&[]), status::INVALID_LENGTH),
        (with_user(&[1; 65]), status::INVALID_LENGTH),
        (with_algorithms(&[]), status::UNSUPPORTED_ALGORITHM),
        (with_algorithms(&[-48, -37]), status::UNSUPPORTED_ALGORITHM),
        (with_member(10, Value::from(1)), status::INVALID_PARAMETER),
        (too_many, status::LIMIT_EXCEEDED),
    ];
    for (number, (request, expected)) in cases.into_iter().enumerate() {
        let outcome = platform.make(channel, &request).map(drop);
        assert_eq!(outcome, Err(expected), "case {number}");
        assert_eq!(rig.pending(), 0, "case {number} asks nobody");
    }
}

fn algorithm_is_the_first_that_the_key_has(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let mut request = MakeCredential::discoverable(RP, b"alice");
    request.options.extend([("up", true), ("uv", false)]);
    for (wanted, first) in [([-37, -7, -8], -7), ([-48, -8, -7], -8)] {
        request.algorithms = wanted.to_vec();
        let made = platform.make(channel, &request).expect("a credential");
        assert_eq!(made.public_key.algorithm(), first);
    }
}

fn empty_pin_uv_auth_param_waits_for_a_touch(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let mut request = MakeCredential::new(".dummy", b"x");
    request.more.push((8, Value::Bytes(Vec::new())));
    platform.start_make(channel, &request);
    let asked = rig.approve(&mut platform);
    assert_eq!(asked.prompt.operation, Operation::Select);
    let outcome = platform.finish_make(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::PIN_NOT_SET));

    let mut request = GetAssertion::new(".dummy", &[]);
    request.more.push((6, Value::Bytes(Vec::new())));
    platform.start_get(channel, &request);
    let asked = rig.approve(&mut platform);
    assert_eq!(asked.prompt.operation, Operation::Select);
    let outcome = platform.finish_get(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::PIN_NOT_SET));
}

fn info_tells_what_the_key_does(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let info = platform.info(channel).expect("getInfo");
    let versions = ["U2F_V2", "FIDO_2_0", "FIDO_2_1", "FIDO_2_3"].map(Value::from);
    assert_eq!(cbor::member(&info, 1), Some(Value::Array(versions.into())));
    assert_eq!(cbor::bytes(cbor::member(&info, 3)).len(), 16);
    let options = cbor::member(&info, 4).expect("options");
    let expected = [
        ("alwaysUv", false),
        ("authnrCfg", true),
        ("clientPin", false),
        ("credMgmt", true),
        ("credentialMgmtPreview", true),
        ("largeBlobs", true),
        ("makeCredUvNotRqd", false),
        ("perCredMgmtRO", true),
        ("pinUvAuthToken", true),
        ("plat", false),
        ("rk", true),
        ("setMinPINLength", true),
        ("up", true),
    ];
    let expected = expected.map(|(name, value)| (name, Value::from(value)));
    assert_eq!(options, cbor::map(expected), "these and no others");
    let extensions = [
        "credBlob",
        "credProtect",
        "hmac-secret",
        "hmac-secret-mc",
        "largeBlobKey",
        "minPinLength",
        "pinComplexityPolicy",
        "thirdPartyPayment",
    ];
    let extensions = Value::Array(extensions.map(Value::from).into());
    assert_eq!(cbor::member(&info, 2), Some(extensions));
    let protocols = Value::Array(vec![Value::from(2), Value::from(1)]);
    assert_eq!(cbor::member(&info, 6), Some(protocols));
    let rest = [
        (0x0b, 16_384),
        (0x0d, 4),
        (0x0f, 32),
        (0x10, 8),
        (0x14, 1_000),
        (0x1d, 63),
    ];
    for (key, value) in rest {
        assert_eq!(cbor::unsigned(cbor::member(&info, key)), value, "{key:#x}");
    }
    assert_eq!(cbor::member(&info, 0x0c), Some(Value::from(false)));
    assert_eq!(cbor::unsigned(cbor::member(&info, 5)), 7609);
    assert_eq!(cbor::unsigned(cbor::member(&info, 7)), 64);
    assert_eq!(cbor::unsigned(cbor::member(&info, 8)), 64);
    let usb = Value::Array(vec![Value::from("usb")]);
    assert_eq!(cbor::member(&info, 9), Some(usb.clone()));
    let formats = Value::Array(["packed", "none"].map(Value::from).into());
    let commands = Value::Array([2, 3, 4].map(Value::from).into());
    for (key, value) in [
        (0x16, Some(formats)),
        (0x18, Some(Value::from(false))),
        (0x1a, Some(usb)),
        (0x1b, Some(Value::from(false))),
        (0x1f, Some(commands)),
        // No sensor, and no persistent token yet.
        (0x11, None),
        (0x12, None),
        (0x17, None),
        (0x19, None),
        (0x1e, None),
    ] {
        assert_eq!(cbor::member(&info, key), value, "{key:#x}");
    }
    let algorithms = [-7, -8, -35, -47, -36, -257].map(|number| {
        cbor::map([
            ("alg", Value::from(number)),
            ("type", Value::from("public-key")),
        ])
    });
    let algorithms = Value::Array(algorithms.into());
    assert_eq!(cbor::member(&info, 10), Some(algorithms));
    // The same after a replug.
    drop(platform);
    let mut platform = rig.attach();
    let channel = platform.init();
    assert_eq!(platform.info(channel), Ok(info));
}
