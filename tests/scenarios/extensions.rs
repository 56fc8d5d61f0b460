//! hmac-secret (CTAP 2.1 §12.5), hmac-secret-mc (CTAP 2.2 §12.8) and credBlob (CTAP 2.1 §12.2).

use ciborium::Value;

use crate::support::{
    bench::{Bench, RP, of_profile},
    cbor,
    ctap2::{GetAssertion, MakeCredential, Outcome, Registered, status},
    pin::{Protocol, Shared, permission},
    rig::{Options, Place, pin_scenarios},
};

const SALT: [u8; 32] = [0x11; 32];
const OTHER_SALT: [u8; 32] = [0x22; 32];

pin_scenarios!(
    secret_depends_on_credential_salt_and_verification,
    each_of_several_gives_its_own_secret,
    secret_works_without_a_pin_and_after_a_restart,
    wrong_salts_have_their_status,
    secret_needs_a_person,
    secret_at_registration_is_that_of_assertions,
    secret_at_registration_wants_hmac_secret,
    key_without_prf_gives_no_secret,
    blob_is_stored_with_what_is_stored,
    wrong_extension_inputs_have_their_status,
);

fn agree(bench: &mut Bench) -> Shared {
    let (channel, protocol) = (bench.channel, bench.protocol);
    bench.platform().agree(channel, protocol)
}

fn with_prf(rp: &'static str, account: &[u8], rk: bool) -> MakeCredential {
    let mut request = MakeCredential::new(rp, account).extension("hmac-secret", true);
    request.options.push(("rk", rk));
    request
}

/// The secrets of a credential for salts.
fn secret(bench: &mut Bench, made: &Registered, salts: &[u8], uv: bool) -> Vec<u8> {
    let shared = agree(bench);
    let get = GetAssertion::new(RP, &[&made.id]).extension("hmac-secret", shared.salts(salts));
    let get = if uv { get.with(&bench.uv()) } else { get };
    let asserted = bench.get(&get).expect("an assertion");
    asserted.verify(RP, &made.public_key);
    assert_eq!(asserted.auth_data.user_verified, uv);
    let opened = shared.open(asserted.auth_data.extension("hmac-secret"));
    assert_eq!(opened.len(), salts.len(), "one secret for each salt");
    opened
}

fn secret_depends_on_credential_salt_and_verification(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let mut seen = Vec::new();
    for (account, rk) in [(b"alice", true), (b"bobby", false)] {
        let made = bench.make_uv(with_prf(RP, account, rk));
        let offered = made.auth_data.extension("hmac-secret");
        assert_eq!(offered, Some(Value::from(true)));
        for uv in [false, true] {
            let one = secret(&mut bench, &made, &SALT, uv);
            assert_eq!(secret(&mut bench, &made, &SALT, uv), one, "always the same");
            let two = secret(&mut bench, &made, &OTHER_SALT, uv);
            let both = secret(&mut bench, &made, &[SALT, OTHER_SALT].concat(), uv);
            assert_eq!(both, [one.as_slice(), &two].concat());
            let turned = secret(&mut bench, &made, &[OTHER_SALT, SALT].concat(), uv);
            assert_eq!(turned, [two.as_slice(), &one].concat());
            // The protocol is how it travels, not what it is.
            bench.protocol = protocol.other();
            assert_eq!(secret(&mut bench, &made, &SALT, uv), one);
            bench.protocol = protocol;
            seen.extend([one, two]);
        }
    }
    let mut different = seen.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), seen.len(), "no two are the same");
}

fn each_of_several_gives_its_own_secret(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let made: Vec<_> = [b"a", b"b", b"c"]
        .map(|account| bench.make_uv(with_prf(RP, account, true)))
        .into();
    for uv in [false, true] {
        let alone: Vec<_> = made
            .iter()
            .map(|made| secret(&mut bench, made, &SALT, uv))
            .collect();
        let shared = agree(&mut bench);
        let get = GetAssertion::new(RP, &[]).extension("hmac-secret", shared.salts(&SALT));
        let get = if uv { get.with(&bench.uv()) } else { get };
        let mut asserted = bench.get(&get).expect("an assertion");
        for at in [2, 1, 0] {
            assert_eq!(asserted.id, made[at].id, "the newest first");
            let output = asserted.auth_data.extension("hmac-secret");
            assert_eq!(shared.open(output), alone[at]);
            if at > 0 {
                asserted = bench.get_next(&get).expect("another");
            }
        }
    }
}

fn secret_works_without_a_pin_and_after_a_restart(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    for rk in [false, true] {
        let made = bench.make(&with_prf(RP, b"alice", rk));
        let made = made.expect("a credential");
        let before = secret(&mut bench, &made, &SALT, false);
        bench.restart();
        assert_eq!(secret(&mut bench, &made, &SALT, false), before);
    }
    // One that was registered without the extension has a secret all the same.
    let made = bench.make(&MakeCredential::new(RP, b"bob"));
    let made = made.expect("a credential");
    assert_eq!(made.auth_data.extension("hmac-secret"), None);
    secret(&mut bench, &made, &SALT, false);
}

/// Salts in a request that is not right, and the status it has.
fn wrong_salts(shared: &Shared) -> Vec<(&'static str, Value, u8)> {
    let right = shared.salts(&SALT);
    let with = |key: i64, value: Option<Value>| {
        let mut members = right.as_map().expect("a map").clone();
        members.retain(|(name, _)| *name != Value::from(key));
        members.extend(value.map(|value| (Value::from(key), value)));
        cbor::map(members)
    };
    let mut auth = cbor::bytes(cbor::member(&right, 3));
    auth[0] ^= 1;
    let mut off = shared.key_agreement.as_map().expect("a map").clone();
    off.retain(|(name, _)| *name != Value::from(-3));
    off.push((Value::from(-3), Value::from(vec![1; 32])));
    let length = |count: usize| shared.salts(&vec![7; count]);
    let missing = status::MISSING_PARAMETER;
    let invalid = status::INVALID_PARAMETER;
    let unexpected = status::CBOR_UNEXPECTED_TYPE;
    let text = || Some(Value::from("text"));
    vec![
        (
            "saltAuth",
            with(3, Some(Value::from(auth))),
            status::PIN_AUTH_INVALID,
        ),
        (
            "saltAuth of no bytes",
            with(3, Some(Value::Bytes(Vec::new()))),
            status::PIN_AUTH_INVALID,
        ),
        ("16 bytes", length(16), status::INVALID_LENGTH),
        ("48 bytes", length(48), status::INVALID_LENGTH),
        ("80 bytes", length(80), status::INVALID_LENGTH),
        ("96 bytes", length(96), status::INVALID_LENGTH),
        (
            "not whole blocks",
            shared.sealed_salts(vec![7; 33]),
            status::INVALID_LENGTH,
        ),
        (
            "nothing",
            shared.sealed_salts(Vec::new()),
            status::INVALID_LENGTH,
        ),
        ("off the curve", with(1, Some(cbor::map(off))), invalid),
        ("protocol 3", with(4, Some(Value::from(3))), invalid),
        ("no key", with(1, None), missing),
        ("no salts", with(2, None), missing),
        ("no saltAuth", with(3, None), missing),
        ("a key of another type", with(1, text()), unexpected),
        ("salts of another type", with(2, text()), unexpected),
        ("saltAuth of another type", with(3, text()), unexpected),
        ("a protocol of another type", with(4, text()), unexpected),
        ("another type", Value::from(true), unexpected),
    ]
}

fn wrong_salts_have_their_status(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let made = bench.make_uv(with_prf(RP, b"alice", true));
    let shared = agree(&mut bench);
    for (name, salts, expected) in wrong_salts(&shared) {
        let get = GetAssertion::new(RP, &[&made.id]).extension("hmac-secret", salts.clone());
        let outcome = bench.get(&get).map(drop);
        assert_eq!(outcome, Err(expected), "{name}");
        let token = bench.uv();
        let make = with_prf(RP, b"bob", true).extension("hmac-secret-mc", salts);
        let outcome = bench.make(&make.with(&token)).map(drop);
        assert_eq!(outcome, Err(expected), "{name} at registration");
    }
    assert_eq!(bench.rig.vaults[0].credentials(), 1, "none was stored");
    // Without a protocol it is the first.
    let members = shared.salts(&SALT).into_map().expect("a map");
    let members = members
        .into_iter()
        .filter(|(key, _)| *key != Value::from(4));
    let get = GetAssertion::new(RP, &[&made.id]).extension("hmac-secret", cbor::map(members));
    let outcome = bench.get(&get).map(drop);
    match protocol {
        Protocol::One => assert_eq!(outcome, Ok(())),
        Protocol::Two => assert_eq!(outcome, Err(status::PIN_AUTH_INVALID)),
    }
}

fn secret_needs_a_person(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let made = bench.make_uv(with_prf(RP, b"alice", true));
    let shared = agree(&mut bench);
    for uv in [false, true] {
        let get = GetAssertion::new(RP, &[&made.id]).extension("hmac-secret", shared.salts(&SALT));
        let get = if uv { get.with(&bench.uv()) } else { get };
        let outcome = bench.get(&get.silent()).map(drop);
        assert_eq!(outcome, Err(status::UNSUPPORTED_OPTION));
    }
}

fn secret_at_registration_is_that_of_assertions(place: Place, protocol: Protocol) {
    let mut bench = Bench::with(place, protocol, of_profile("uv-not-required"));
    let both = [SALT, OTHER_SALT].concat();
    for rk in [false, true] {
        for uv in [false, true] {
            // A discoverable credential is not made without verification.
            if rk && !uv {
                continue;
            }
            for salts in [SALT.as_slice(), &both] {
                let shared = agree(&mut bench);
                let make = with_prf(RP, b"alice", rk);
                let make = make.extension("hmac-secret-mc", shared.salts(salts));
                let make = if uv { make.with(&bench.uv()) } else { make };
                let made = bench.make(&make).expect("a credential");
                assert_eq!(made.auth_data.user_verified, uv);
                let early = shared.open(made.auth_data.extension("hmac-secret-mc"));
                assert_eq!(early, secret(&mut bench, &made, salts, uv));
                assert_ne!(early, secret(&mut bench, &made, salts, !uv));
            }
        }
    }
}

fn secret_at_registration_wants_hmac_secret(place: Place, protocol: Protocol) {
    let mut bench = Bench::bare(place, protocol, Options::default());
    let shared = agree(&mut bench);
    for wanted in [None, Some(false)] {
        let make = MakeCredential::new(RP, b"alice");
        let mut make = make.extension("hmac-secret-mc", shared.salts(&SALT));
        if let Some(wanted) = wanted {
            make = make.extension("hmac-secret", wanted);
        }
        let made = bench.make(&make).expect("a credential");
        assert_eq!(made.auth_data.extensions, Value::Null, "{wanted:?}");
    }
}

fn key_without_prf_gives_no_secret(place: Place, protocol: Protocol) {
    // This key has protocol one alone.
    if protocol == Protocol::Two {
        return;
    }
    let mut bench = Bench::with(place, protocol, of_profile("no-prf"));
    let shared = agree(&mut bench);
    let token = bench
        .legacy_token(crate::support::bench::PIN)
        .expect("a token");
    let make = with_prf(RP, b"alice", true).extension("hmac-secret-mc", shared.salts(&SALT));
    let made = bench.make(&make.with(&token)).expect("a credential");
    assert_eq!(made.auth_data.extensions, Value::Null);
    let get = GetAssertion::new(RP, &[]).extension("hmac-secret", shared.salts(&SALT));
    let asserted = bench.get(&get).expect("an assertion");
    assert_eq!(asserted.auth_data.extensions, Value::Null);
}

/// What assertions say of the blob.
fn blob(bench: &mut Bench, made: &Registered, wanted: bool) -> Outcome<Option<Value>> {
    let get = GetAssertion::new(RP, &[&made.id]).extension("credBlob", wanted);
    let get = get.with(&bench.uv());
    Ok(bench.get(&get)?.auth_data.extension("credBlob"))
}

fn blob_is_stored_with_what_is_stored(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    for (rk, length, stored) in [
        (true, 1, true),
        (true, 32, true),
        (true, 33, false),
        (true, 1000, false),
        (false, 1, false),
        (false, 32, false),
    ] {
        let bytes = vec![0xb1; length];
        let mut make = MakeCredential::new(RP, b"alice").extension("credBlob", bytes.clone());
        make.options.push(("rk", rk));
        let made = bench.make_uv(make);
        let told = made.auth_data.extension("credBlob");
        assert_eq!(told, Some(Value::from(stored)), "{length} bytes, rk: {rk}");
        let expected = if stored { bytes } else { Vec::new() };
        bench.restart();
        let read = blob(&mut bench, &made, true);
        assert_eq!(read, Ok(Some(Value::from(expected))), "{length}, rk: {rk}");
        assert_eq!(blob(&mut bench, &made, false), Ok(None), "nobody asked");
        // Silence is no reason to keep it back.
        let silent = GetAssertion::new(RP, &[&made.id]).silent();
        let silent = bench.get(&silent.extension("credBlob", true));
        let silent = silent.expect("an assertion").auth_data;
        assert!(silent.extension("credBlob").is_some());
    }
    // With each of several, its own.
    bench.reset();
    bench
        .set_pin(crate::support::bench::PIN)
        .expect("no PIN is set");
    for account in [b"a", b"b"] {
        let make = MakeCredential::discoverable(RP, account);
        bench.make_uv(make.extension("credBlob", account.to_vec()));
    }
    let get = GetAssertion::new(RP, &[]).extension("credBlob", true);
    let first = bench.get(&get).expect("an assertion");
    let second = bench.get_next(&get).expect("another");
    for (asserted, account) in [(first, b"b"), (second, b"a")] {
        let blob = asserted.auth_data.extension("credBlob");
        assert_eq!(blob, Some(Value::from(account.to_vec())));
    }
}

fn wrong_extension_inputs_have_their_status(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let unexpected = Err(status::CBOR_UNEXPECTED_TYPE);
    let text = || Value::from("text");
    for (name, value) in [
        ("credBlob", text()),
        ("credBlob", Value::from(true)),
        ("hmac-secret", text()),
        ("hmac-secret", Value::from(1)),
        ("minPinLength", text()),
        ("hmac-secret-mc", text()),
    ] {
        let make = MakeCredential::new(RP, b"alice").extension(name, value);
        let token = bench.token(permission::MC, Some(RP));
        assert_eq!(
            bench.make(&make.with(&token)).map(drop),
            unexpected,
            "{name}"
        );
    }
    for (name, value) in [("credBlob", text()), ("credBlob", Value::from(vec![1]))] {
        let get = GetAssertion::new(RP, &[]).extension(name, value);
        assert_eq!(bench.get(&get).map(drop), unexpected, "{name}");
    }
    // Unknown ones are ignored, and those of the other command.
    let make = MakeCredential::new(RP, b"alice")
        .extension("largeBlob", true)
        .extension("uvm", true)
        .extension("zz", Value::Null);
    let made = bench.make_uv(make);
    assert_eq!(made.auth_data.extensions, Value::Null);
    let get = GetAssertion::new(RP, &[&made.id])
        .extension("credProtect", 3)
        .extension("minPinLength", true)
        .extension("zz", Value::Null);
    let asserted = bench.get(&get).expect("an assertion");
    assert_eq!(asserted.auth_data.extensions, Value::Null);
}
