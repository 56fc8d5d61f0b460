//! Every signature algorithm that a profile can name: chosen, registered, asserted with, managed.

use ciborium::Value;
use roamkey_ctap::Algorithm;

use crate::support::{
    bench::{Bench, PIN, RP},
    cbor,
    ctap2::{GetAssertion, MAKE_CREDENTIAL, MakeCredential, Registered, status},
    ctaphid::command,
    manage::{management, of_rp, subcommand},
    pin::{Protocol, permission},
    rig::{Options, Place, scenarios, virtual_scenarios},
};

scenarios!(
    every_algorithm_registers_and_asserts,
    sites_order_decides_among_all,
    algorithm_that_the_profile_lacks_is_unsupported,
);

virtual_scenarios!(
    every_algorithm_survives_a_restart,
    longest_registration_fits_a_message,
    longest_managed_credential_fits_a_message,
);

/// The longest message of CTAPHID (CTAP 2.1 §11.2.4).
const MAX_MESSAGE_LEN: usize = 7609;

/// A key with every algorithm.
fn with_all() -> Options {
    let mut options = Options::default();
    options.profile.ctap.algorithms = Algorithm::ALL.into();
    options
}

fn numbers() -> Vec<i64> {
    let all = Algorithm::ALL.iter();
    all.map(|algorithm| algorithm.cose().into()).collect()
}

fn request(account: &[u8], rk: bool, algorithms: &[i64]) -> MakeCredential {
    let mut request = MakeCredential::new(RP, account);
    request.options.push(("rk", rk));
    request.algorithms = algorithms.to_vec();
    request
}

/// Asserts with a credential by its id; and without it, if it is discoverable.
fn assert_with(bench: &mut Bench, made: &Registered, rk: bool) {
    let by_id = GetAssertion::new(RP, &[&made.id]);
    let asserted = bench.get(&by_id).expect("an assertion");
    asserted.verify(RP, &made.public_key);
    assert_eq!(asserted.id, made.id);
    assert!(asserted.auth_data.counter > made.counter);
    assert_eq!(asserted.user_id.is_some(), rk, "the account of a passkey");
    let found = bench.get(&GetAssertion::new(RP, &[]));
    if rk {
        found.expect("an assertion").verify(RP, &made.public_key);
    } else {
        assert_eq!(found.map(drop), Err(status::NO_CREDENTIALS));
    }
}

fn every_algorithm_registers_and_asserts(place: Place) {
    for rk in [false, true] {
        let mut bench = Bench::bare(place, Protocol::Two, with_all());
        for number in numbers() {
            // The account's last passkey is replaced, whatever it signs with.
            let made = bench.make(&request(b"alice", rk, &[number]));
            let made = made.unwrap_or_else(|status| panic!("{number}: {status:#04x}"));
            assert_eq!(made.public_key.algorithm(), number);
            assert_with(&mut bench, &made, rk);
        }
        let stored = bench.rig.vaults[0].credentials();
        assert_eq!(stored, 1, "one passkey, or the one RS256 key");
    }
}

fn every_algorithm_survives_a_restart(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, with_all());
    for number in numbers() {
        for rk in [false, true] {
            let made = bench.make(&request(b"alice", rk, &[number]));
            let made = made.expect("a credential");
            bench.restart();
            let get = GetAssertion::new(RP, &[&made.id]);
            let asserted = bench.get(&get).expect("an assertion");
            asserted.verify(RP, &made.public_key);
            assert!(asserted.auth_data.counter > made.counter);
        }
    }
}

fn sites_order_decides_among_all(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, with_all());
    let listed = cbor::member(&bench.info(), 0x0a).expect("algorithms");
    let listed = listed.into_array().expect("a list");
    let listed: Vec<_> = listed
        .iter()
        .map(|entry| cbor::member(entry, "alg"))
        .collect();
    let expected: Vec<_> = numbers()
        .into_iter()
        .map(|n| Some(Value::from(n)))
        .collect();
    assert_eq!(listed, expected, "getInfo has the profile's order");
    let mut wanted = numbers();
    for _ in 0..wanted.len() {
        wanted.rotate_left(1);
        let made = bench.make(&request(b"alice", true, &wanted));
        let made = made.expect("a credential");
        assert_eq!(Some(&made.public_key.algorithm()), wanted.first());
    }
}

fn algorithm_that_the_profile_lacks_is_unsupported(place: Place) {
    // ML-DSA is switched on by a profile; the rest no key has: ES256 with SHA-1, PS256, ML-DSA-87.
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    for lacking in [-48, -49, -65_535, -37, -50] {
        let outcome = bench.make(&request(b"alice", false, &[lacking])).map(drop);
        assert_eq!(outcome, Err(status::UNSUPPORTED_ALGORITHM), "{lacking}");
        let made = bench.make(&request(b"alice", false, &[lacking, -36]));
        assert_eq!(made.expect("a credential").public_key.algorithm(), -36);
    }
    for only in Algorithm::ALL {
        let mut options = with_all();
        options.profile.ctap.algorithms = vec![only];
        let mut bench = Bench::bare(place, Protocol::Two, options);
        let others = Algorithm::ALL.into_iter().filter(|other| *other != only);
        let others: Vec<i64> = others.map(|other| other.cose().into()).collect();
        let outcome = bench.make(&request(b"alice", false, &others)).map(drop);
        assert_eq!(outcome, Err(status::UNSUPPORTED_ALGORITHM), "{only:?}");
    }
}

/// Everything that a registration can say, with the longest key and signature there are.
fn longest(account: &[u8]) -> MakeCredential {
    let mut request = request(account, true, &[-49]);
    request.user_name =
        Some("a name of sixty-four bytes, as long as a key keeps it, and no longer");
    request.display_name = request.user_name;
    request
        .extension("credProtect", 2)
        .extension("hmac-secret", true)
        .extension("credBlob", Value::from(vec![7; 32]))
        .extension("largeBlobKey", true)
        .extension("minPinLength", true)
}

fn longest_registration_fits_a_message(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, with_all());
    let request = longest(b"alice");
    let channel = bench.channel;
    let payload = [vec![MAKE_CREDENTIAL], cbor::emit(&request.to_value())].concat();
    let answer = bench.platform().call(channel, command::CBOR, &payload);
    let payload = answer.message.payload;
    assert_eq!(payload.first(), Some(&0));
    let length = payload.len();
    assert!((1952 + 3309..MAX_MESSAGE_LEN).contains(&length), "{length}");
    // Again, with everything in it verified.
    let made = bench.make(&request).expect("a credential");
    assert_eq!(made.public_key.algorithm(), -49);
    let get = GetAssertion::new(RP, &[&made.id]);
    let asserted = bench.get(&get).expect("an assertion");
    asserted.verify(RP, &made.public_key);
}

fn longest_managed_credential_fits_a_message(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, with_all());
    let accounts = [[b'a'; 64], [b'b'; 64]];
    let made = accounts.map(|account| bench.make(&longest(&account)).expect("a credential"));
    bench.set_pin(PIN).expect("no PIN is set");
    let token = bench.token(permission::CM, None);
    let channel = bench.channel;
    let params = management(subcommand::CREDENTIALS, Some(&of_rp(RP)), Some(&token));
    let payload = [vec![0x0a], cbor::emit(&params)].concat();
    let answer = bench.platform().call(channel, command::CBOR, &payload);
    let length = answer.message.payload.len();
    assert!((1952..MAX_MESSAGE_LEN).contains(&length), "{length}");
    let first = bench.platform().credential(channel, Some((&token, RP)));
    let first = first.expect("the newest");
    assert_eq!((first.total, &first.id), (Some(2), &made[1].id));
    assert_eq!(first.public_key, made[1].public_key);
    let second = bench.platform().credential(channel, None);
    let second = second.expect("the other");
    assert_eq!(second.public_key, made[0].public_key);
}
