//! The persistent token, which only reads, and the two identifiers that getInfo tells whoever has
//! it (CTAP 2.2 §6.4, §6.5.5.7).

use crate::support::{
    bench::{Bench, PIN, RP, WRONG, of_profile},
    cbor,
    ctap2::{CLIENT_PIN, GetAssertion, LARGE_BLOBS, MakeCredential, status},
    large_blobs,
    manage::{config, user},
    pin::{Protocol, Token, identifier, permission},
    rig::{Options, Place, pin_scenarios},
};

const NEW_PIN: &str = "97531";

pin_scenarios!(
    token_reads_and_nothing_else,
    token_is_the_same_each_time_and_leaves_the_other_alone,
    token_survives_power_and_restart,
    token_ends_with_the_pin_and_with_a_reset,
    token_stands_alone_and_only_where_it_is_offered,
    token_that_is_not_durable_is_not_given,
    identifiers_are_told_to_who_has_the_token,
    identifiers_are_others_after_a_reset,
    store_state_follows_what_is_stored,
);

/// A key with a PIN and one passkey, and its persistent token.
fn reading(place: Place, protocol: Protocol) -> (Bench, Token, Vec<u8>) {
    let mut bench = Bench::new(place, protocol);
    let made = bench.make_uv(MakeCredential::discoverable(RP, b"alice"));
    let token = bench.token(permission::PCMR, None);
    (bench, token, made.id)
}

fn token_reads_and_nothing_else(place: Place, protocol: Protocol) {
    let (mut bench, token, id) = reading(place, protocol);
    let channel = bench.channel;
    let other = token.under_the_other_protocol();
    for token in [&token, &other] {
        let platform = bench.platform();
        assert_eq!(platform.metadata(channel, token), Ok((1, 999)));
        assert_eq!(platform.rps(channel, token), Ok(vec![RP.to_owned()]));
        let found = platform.credentials(channel, token, RP).expect("one");
        assert_eq!(found[0].id, id);
    }
    let invalid = Err(status::PIN_AUTH_INVALID);
    let platform = bench.platform();
    assert_eq!(platform.delete(channel, &token, &id).map(drop), invalid);
    let account = user(b"alice", &[("name", "other")]);
    let outcome = platform.update(channel, &token, &id, account);
    assert_eq!(outcome.map(drop), invalid);
    let toggle = config::TOGGLE_ALWAYS_UV;
    let outcome = platform.configure(channel, Some(&token), toggle, None);
    assert_eq!(outcome, invalid);
    let request = MakeCredential::new(RP, b"bob").with(&token);
    assert_eq!(platform.make(channel, &request).map(drop), invalid);
    let request = GetAssertion::new(RP, &[&id]).with(&token);
    assert_eq!(platform.get(channel, &request).map(drop), invalid);
    let request = cbor::map(large_blobs::set(&[0x80; 17], 0, Some(17), Some(&token)));
    let outcome = platform.ctap2(channel, LARGE_BLOBS, Some(&request));
    assert_eq!(outcome.map(drop), invalid);
    // What is no token at all reads nothing.
    let wrong = Token {
        secret: vec![1; 32],
        ..token
    };
    assert_eq!(bench.platform().metadata(channel, &wrong), Err(0x33));
}

fn token_is_the_same_each_time_and_leaves_the_other_alone(place: Place, protocol: Protocol) {
    let (mut bench, token, _) = reading(place, protocol);
    let channel = bench.channel;
    let manager = bench.cm();
    let again = bench.token(permission::PCMR, None);
    assert_eq!(again.secret, token.secret);
    assert_eq!(again.secret.len(), 32);
    assert!(bench.platform().metadata(channel, &manager).is_ok());
    // Nor does another token end it, nor the time that ends those.
    bench.cm();
    bench.pass(3_600_000);
    assert!(bench.platform().metadata(channel, &token).is_ok());
    assert_eq!(bench.platform().metadata(channel, &manager), Err(0x33));
}

fn token_survives_power_and_restart(place: Place, protocol: Protocol) {
    let (mut bench, token, _) = reading(place, protocol);
    bench.replug();
    let channel = bench.channel;
    assert_eq!(bench.platform().metadata(channel, &token), Ok((1, 999)));
    bench.restart();
    let channel = bench.channel;
    assert_eq!(bench.platform().metadata(channel, &token), Ok((1, 999)));
    assert_eq!(bench.token(permission::PCMR, None).secret, token.secret);
}

fn token_ends_with_the_pin_and_with_a_reset(place: Place, protocol: Protocol) {
    let (mut bench, token, _) = reading(place, protocol);
    let channel = bench.channel;
    let wrong = bench.change_pin(WRONG, NEW_PIN);
    assert_eq!(wrong, Err(status::PIN_INVALID));
    assert!(bench.platform().metadata(channel, &token).is_ok());
    bench.change_pin(PIN, NEW_PIN).expect("changed");
    assert_eq!(bench.platform().metadata(channel, &token), Err(0x33));
    assert_eq!(cbor::member(&bench.info(), 0x19), None);
    let next = bench
        .try_token(NEW_PIN, permission::PCMR, None)
        .expect("a token");
    assert_ne!(next.secret, token.secret);
    bench.reset();
    let channel = bench.channel;
    assert_eq!(bench.platform().metadata(channel, &next), Err(0x33));
    bench.set_pin(PIN).expect("a PIN");
    assert_eq!(bench.platform().metadata(channel, &next), Err(0x33));
}

fn token_stands_alone_and_only_where_it_is_offered(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    for others in [permission::CM, permission::MC, permission::ACFG, 0x80] {
        let outcome = bench.try_token(PIN, permission::PCMR | others, Some(RP));
        assert_eq!(outcome.map(drop), Err(status::UNAUTHORIZED_PERMISSION));
    }
    // An RP id says nothing about it.
    bench.token(permission::PCMR, Some(RP));
    assert_eq!(bench.retries(), Ok((8, false)));
    let mut options = Options::default();
    options.profile.ctap.per_cred_mgmt_ro = false;
    for options in [options, of_profile("tiny"), of_profile("fido-2.1-pin")] {
        let mut bench = Bench::with(place, protocol, options);
        assert_eq!(bench.option("perCredMgmtRO"), None);
        let outcome = bench.try_token(PIN, permission::PCMR, None);
        assert_eq!(outcome.map(drop), Err(status::UNAUTHORIZED_PERMISSION));
    }
}

fn token_that_is_not_durable_is_not_given(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let shared = bench.platform().agree(channel, protocol);
    let request = cbor::map(shared.token(PIN, permission::PCMR, None));
    // The attempt, its return, and the token.
    let vault = bench.rig.vaults[0].clone();
    vault.hold_third_commit();
    let platform = bench.platform();
    platform.start(channel, CLIENT_PIN, Some(&request));
    let end = platform.host.now_ms() + 5_000;
    while !vault.is_committing() {
        assert!(platform.host.now_ms() < end, "nothing is committed");
        platform.idle(5);
    }
    bench.unplug();
    vault.lose_commit();
    bench.restart();
    assert_eq!(cbor::member(&bench.info(), 0x19), None, "there is none");
    let token = bench.token(permission::PCMR, None);
    let channel = bench.channel;
    assert!(bench.platform().metadata(channel, &token).is_ok());
}

/// encIdentifier and encCredStoreState of one getInfo, as they are.
fn sealed(bench: &mut Bench) -> [Vec<u8>; 2] {
    let info = bench.info();
    [0x19, 0x1e].map(|key| cbor::bytes(cbor::member(&info, key)))
}

fn opened(bench: &mut Bench, token: &Token) -> [Vec<u8>; 2] {
    let [device, store] = sealed(bench);
    [
        identifier("encIdentifier", &device, token),
        identifier("encCredStoreState", &store, token),
    ]
}

fn identifiers_are_told_to_who_has_the_token(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let info = bench.info();
    assert_eq!(cbor::member(&info, 0x19), None);
    assert_eq!(cbor::member(&info, 0x1e), None);
    let token = bench.token(permission::PCMR, None);
    let (first, second) = (sealed(&mut bench), sealed(&mut bench));
    for (one, other) in first.iter().zip(&second) {
        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one[..16], other[..16], "a fresh iv");
        assert_ne!(one[16..], other[16..]);
    }
    let told = opened(&mut bench, &token);
    assert_eq!(opened(&mut bench, &token), told);
    assert_ne!(told[0], told[1]);
    bench.replug();
    assert_eq!(opened(&mut bench, &token), told);
    bench.restart();
    assert_eq!(opened(&mut bench, &token), told);
    // A new token of a new PIN hides the same.
    bench.change_pin(PIN, NEW_PIN).expect("changed");
    let token = bench.try_token(NEW_PIN, permission::PCMR, None);
    assert_eq!(opened(&mut bench, &token.expect("a token")), told);
}

fn identifiers_are_others_after_a_reset(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let token = bench.token(permission::PCMR, None);
    let before = opened(&mut bench, &token);
    bench.reset();
    assert_eq!(cbor::member(&bench.info(), 0x19), None);
    bench.set_pin(PIN).expect("a PIN");
    let token = bench.token(permission::PCMR, None);
    let after = opened(&mut bench, &token);
    assert!(before[0] != after[0] && before[1] != after[1]);
}

fn store_state_follows_what_is_stored(place: Place, protocol: Protocol) {
    let (mut bench, token, id) = reading(place, protocol);
    let mut seen = Vec::new();
    let mut is_new = |bench: &mut Bench, what: &str| {
        let [_, state] = opened(bench, &token);
        let new = !seen.contains(&state);
        assert!(new, "{what}");
        seen.push(state);
    };
    is_new(&mut bench, "at first");
    let state = opened(&mut bench, &token)[1].clone();
    // What is used, or not stored, or stored and not listed, changes nothing that is told.
    let uv = bench.uv();
    bench
        .get(&GetAssertion::new(RP, &[&id]).with(&uv))
        .expect("an assertion");
    bench.make_uv(MakeCredential::new(RP, b"derived"));
    bench.restart();
    assert_eq!(opened(&mut bench, &token)[1], state);

    let other = bench.make_uv(MakeCredential::discoverable("example.org", b"bob"));
    is_new(&mut bench, "another credential");
    let manager = bench.cm();
    let channel = bench.channel;
    for name in ["one", "two"] {
        let account = user(b"alice", &[("name", name)]);
        let platform = bench.platform();
        platform
            .update(channel, &manager, &id, account)
            .expect("renamed");
        is_new(&mut bench, name);
    }
    bench
        .platform()
        .delete(channel, &manager, &other.id)
        .expect("deleted");
    is_new(&mut bench, "one less");
    // A restart computes the same from what is stored.
    let state = opened(&mut bench, &token)[1].clone();
    bench.restart();
    assert_eq!(opened(&mut bench, &token)[1], state);
}
