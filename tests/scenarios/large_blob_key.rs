//! The extension largeBlobKey (CTAP 2.1 §12.3): who gets a key, and who is told of it.

use std::collections::BTreeSet;

use ciborium::Value;

use crate::support::{
    bench::{Bench, RP, of_profile},
    ctap2::{GetAssertion, MakeCredential, Registered, status},
    manage::user,
    pin::Protocol,
    rig::{Options, Place, pin_scenarios, scenarios},
};

const KEY: &str = "largeBlobKey";

scenarios!(
    key_is_told_to_those_who_ask,
    each_of_several_has_a_key_of_its_own,
    credential_without_a_key_tells_none,
    wrong_input_has_its_status_and_asks_nobody,
    profile_without_the_extension_ignores_it,
);

pin_scenarios!(
    management_tells_the_key,
    key_is_kept_where_the_account_is_renamed,
);

fn with_key(account: &[u8]) -> MakeCredential {
    MakeCredential::discoverable(RP, account).extension(KEY, true)
}

/// The key of a credential, as its registration tells it.
fn key_of(made: &Registered) -> Vec<u8> {
    // An output of the response alone: nothing of it is signed.
    assert_eq!(made.auth_data.extensions, Value::Null);
    let key = made.large_blob_key.clone().expect("a largeBlobKey");
    assert_eq!(key.len(), 32);
    key
}

fn key_is_told_to_those_who_ask(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    let made = bench.make(&with_key(b"alice")).expect("a credential");
    let key = key_of(&made);
    bench.restart();
    for list in [&[][..], &[made.id.as_slice()]] {
        let get = GetAssertion::new(RP, list);
        let unasked = bench.get(&get).expect("an assertion");
        assert_eq!(unasked.large_blob_key, None);
        for get in [get.clone(), get.silent()] {
            let asserted = bench.get(&get.extension(KEY, true)).expect("an assertion");
            asserted.verify(RP, &made.public_key);
            assert_eq!(asserted.auth_data.extensions, Value::Null);
            assert_eq!(asserted.large_blob_key.as_ref(), Some(&key));
        }
    }
    // The account's next credential has another one.
    let again = bench.make(&with_key(b"alice")).expect("a credential");
    assert_ne!(key_of(&again), key);
}

fn each_of_several_has_a_key_of_its_own(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    let mut keys = Vec::new();
    for account in [b"a", b"b", b"c"] {
        let made = bench.make(&with_key(account)).expect("a credential");
        keys.push(Some(key_of(&made)));
    }
    let none = MakeCredential::discoverable(RP, b"d");
    let none = bench.make(&none).expect("a credential");
    keys.push(none.large_blob_key);
    let different: BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), 4);
    let get = GetAssertion::new(RP, &[]).extension(KEY, true);
    let mut asserted = bench.get(&get).expect("an assertion");
    for at in [3, 2, 1, 0] {
        assert_eq!(asserted.large_blob_key, keys[at], "the newest first");
        if at > 0 {
            asserted = bench.get_next(&get).expect("another");
        }
    }
}

fn credential_without_a_key_tells_none(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    for rk in [true, false] {
        let mut make = MakeCredential::new(RP, b"alice");
        make.options.push(("rk", rk));
        let made = bench.make(&make).expect("a credential");
        assert_eq!(made.large_blob_key, None);
        let get = GetAssertion::new(RP, &[&made.id]).extension(KEY, true);
        let asserted = bench.get(&get).expect("an assertion");
        asserted.verify(RP, &made.public_key);
        assert_eq!(asserted.large_blob_key, None);
    }
}

fn wrong_input_has_its_status_and_asks_nobody(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::held());
    let invalid = status::INVALID_OPTION;
    let unexpected = status::CBOR_UNEXPECTED_TYPE;
    for (rk, value, expected) in [
        (None, Value::from(true), invalid),
        (Some(false), Value::from(true), invalid),
        (None, Value::from(false), invalid),
        (Some(true), Value::from(false), invalid),
        (Some(true), Value::from(1), unexpected),
        (Some(true), Value::Null, unexpected),
        (Some(true), Value::Bytes(vec![0; 32]), unexpected),
    ] {
        let mut make = MakeCredential::new(RP, b"alice").extension(KEY, value.clone());
        make.options.extend(rk.map(|rk| ("rk", rk)));
        let outcome = bench.make(&make).map(drop);
        assert_eq!(outcome, Err(expected), "{value:?}, rk: {rk:?}");
        assert_eq!(bench.rig.pending(), 0);
    }
    assert_eq!(bench.rig.vaults[0].commits(), 0, "none was made");
    let get = GetAssertion::new(RP, &[]);
    let outcome = bench.get(&get.clone().extension(KEY, false)).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS), "that comes first");
    let channel = bench.channel;
    let make = with_key(b"alice");
    bench.platform().start_make(channel, &make);
    bench.approve();
    let made = bench.platform().finish_make(channel, &make);
    made.expect("a credential");
    for (value, expected) in [
        (Value::from(false), invalid),
        (Value::from("true"), unexpected),
        (Value::from(1), unexpected),
    ] {
        for get in [get.clone(), get.clone().silent()] {
            let outcome = bench.get(&get.extension(KEY, value.clone())).map(drop);
            assert_eq!(outcome, Err(expected), "{value:?}");
            assert_eq!(bench.rig.pending(), 0);
        }
    }
}

fn profile_without_the_extension_ignores_it(place: Place) {
    for name in ["fido-2.1-pin", "tiny", "fido-2.0"] {
        let mut bench = Bench::bare(place, Protocol::Two, of_profile(name));
        for (rk, value) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut make = MakeCredential::new(RP, b"alice").extension(KEY, value);
            make.options.push(("rk", rk));
            let made = bench.make(&make).expect("a credential");
            assert_eq!(made.large_blob_key, None, "{name}");
            let get = GetAssertion::new(RP, &[&made.id]).extension(KEY, value);
            let asserted = bench.get(&get).expect("an assertion");
            assert_eq!(asserted.large_blob_key, None, "{name}");
        }
    }
}

fn management_tells_the_key(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let mut expected = Vec::new();
    for account in [b"a", b"b"] {
        let made = bench.make_uv(with_key(account));
        expected.push((made.id.clone(), Some(key_of(&made))));
    }
    let none = bench.make_uv(MakeCredential::discoverable(RP, b"c"));
    expected.push((none.id, None));
    bench.restart();
    let channel = bench.channel;
    let token = bench.cm();
    let managed = bench.platform().credentials(channel, &token, RP);
    let mut found: Vec<_> = managed
        .expect("credentials")
        .into_iter()
        .map(|managed| (managed.id, managed.large_blob_key))
        .collect();
    found.reverse();
    assert_eq!(found, expected, "the newest first");
}

fn key_is_kept_where_the_account_is_renamed(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let made = bench.make_uv(with_key(b"alice"));
    let key = key_of(&made);
    let channel = bench.channel;
    let token = bench.cm();
    let account = user(b"alice", &[("name", "Alice")]);
    let renamed = bench.platform().update(channel, &token, &made.id, account);
    renamed.expect("the account is known");
    bench.restart();
    let get = GetAssertion::new(RP, &[]).extension(KEY, true);
    let asserted = bench.get(&get).expect("an assertion");
    assert_eq!(asserted.large_blob_key, Some(key));
    // And gone with everything else.
    bench.reset();
    let outcome = bench.get(&get).map(drop);
    assert_eq!(outcome, Err(status::NO_CREDENTIALS));
}
