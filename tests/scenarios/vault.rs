//! Commits: failures, and what happens while one is under way.

use crate::support::{
    ctap2::{Asserted, GetAssertion, MakeCredential, RESET, status},
    ctaphid::{Channel, Platform, command},
    rig::{Place, scenarios},
    u2f::{apdu, register_apdu},
    vault::Failure,
};

const RP: &str = "example.com";
/// SW_UNKNOWN.
const U2F_UNKNOWN: u16 = 0x6f00;

scenarios!(
    failed_commit_answers_an_error_and_the_key_recovers,
    failed_lease_never_lowers_a_counter,
    failed_reset_keeps_what_is_durable,
    detach_during_a_commit_keeps_what_it_stores,
    request_behind_a_commit_waits_for_it,
    request_behind_a_commit_can_be_cancelled,
    init_during_a_commit_detaches_the_answer,
    cancel_during_a_commit_is_ignored,
);

/// An assertion as soon as the key has read its vault again.
fn get_once_read(platform: &mut Platform, channel: Channel, request: &GetAssertion) -> Asserted {
    for _ in 0..200 {
        match platform.get(channel, request) {
            Err(status::OTHER) => platform.idle(5),
            other => return other.expect("an assertion"),
        }
    }
    panic!("the key does not recover");
}

fn failed_commit_answers_an_error_and_the_key_recovers(place: Place) {
    for failure in [Failure::NotStored, Failure::Stored] {
        let rig = place.rig();
        let vault = rig.vaults[0].clone();
        let mut platform = rig.attach();
        let channel = platform.init();
        let before = MakeCredential::discoverable(RP, b"before");
        let before = platform.make(channel, &before).expect("a credential");

        vault.fail_next(failure);
        vault.hold_loads();
        let request = MakeCredential::discoverable("example.org", b"alice");
        let outcome = platform.make(channel, &request).map(drop);
        assert_eq!(outcome, Err(status::OTHER));
        // Until the vault is read again nothing is decided, and the key still talks.
        platform.info(channel).expect("getInfo decides nothing");
        let answer = platform.call(channel, command::PING, &[1]);
        assert_eq!(answer.message.payload, [1]);
        let outcome = platform.make(channel, &request).map(drop);
        assert_eq!(outcome, Err(status::OTHER));
        let get = GetAssertion::new(RP, &[&before.id]);
        let outcome = platform.get(channel, &get).map(drop);
        assert_eq!(outcome, Err(status::OTHER));
        let register = register_apdu(&[1; 32], &[2; 32]);
        assert_eq!(platform.u2f(channel, &register), Err(U2F_UNKNOWN));
        let version = platform.u2f(channel, &apdu(3, 0, &[]));
        version.expect("the version decides nothing");

        vault.release_load();
        let after = get_once_read(&mut platform, channel, &get);
        after.verify(RP, &before.public_key);
        assert!(after.auth_data.counter > before.counter);
        let stored = platform.get(channel, &GetAssertion::new("example.org", &[]));
        match failure {
            Failure::NotStored => assert_eq!(stored.map(drop), Err(status::NO_CREDENTIALS)),
            Failure::Stored => drop(stored.expect("it is durable after all")),
        }
    }
}

fn failed_lease_never_lowers_a_counter(place: Place) {
    for failure in [Failure::NotStored, Failure::Stored] {
        let mut rig = place.rig();
        let mut platform = rig.attach();
        let channel = platform.init();
        let made = MakeCredential::new(RP, b"alice");
        let made = platform.make(channel, &made).expect("a credential");
        let get = GetAssertion::new(RP, &[&made.id]);
        let mut last = made.counter;
        drop(platform);
        for _ in 0..3 {
            // After a restart the first signature needs a lease.
            rig.restart();
            let mut platform = rig.attach();
            let channel = platform.init();
            rig.vaults[0].fail_next(failure);
            let outcome = platform.get(channel, &get).map(drop);
            assert_eq!(outcome, Err(status::OTHER));
            let signed = get_once_read(&mut platform, channel, &get);
            signed.verify(RP, &made.public_key);
            assert!(signed.auth_data.counter > last);
            last = signed.auth_data.counter;
        }
    }
}

fn failed_reset_keeps_what_is_durable(place: Place) {
    for failure in [Failure::NotStored, Failure::Stored] {
        failed_reset(place, failure);
    }
}

fn failed_reset(place: Place, failure: Failure) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let made = MakeCredential::discoverable(RP, b"alice");
    let made = platform.make(channel, &made).expect("a credential");
    drop(platform);
    let mut platform = rig.attach();
    let channel = platform.init();
    rig.vaults[0].fail_next(failure);
    let outcome = platform.ctap2(channel, RESET, None);
    assert_eq!(outcome, Err(status::OTHER));
    drop(platform);
    let mut platform = rig.attach();
    let channel = platform.init();
    let found = platform.get(channel, &GetAssertion::new(RP, &[]));
    match failure {
        Failure::NotStored => found.expect("an assertion").verify(RP, &made.public_key),
        Failure::Stored => assert_eq!(found.map(drop), Err(status::NO_CREDENTIALS)),
    }
}

fn detach_during_a_commit_keeps_what_it_stores(place: Place) {
    let rig = place.rig();
    let vault = rig.vaults[0].clone();
    let mut platform = rig.attach();
    let channel = platform.init();
    vault.hold_commits();
    let request = MakeCredential::discoverable(RP, b"alice");
    platform.start_make(channel, &request);
    rig.wait_until(&mut platform, |_| vault.is_committing());
    drop(platform);
    // The next host finds the key as soon as the old one is gone, commit or not.
    let mut platform = rig.attach();
    let channel = platform.init();
    vault.release_commit();
    let found = platform.get(channel, &GetAssertion::new(RP, &[]));
    let found = found.expect("it was stored");
    assert_eq!(found.user_id.as_deref(), Some(b"alice".as_slice()));
}

fn request_behind_a_commit_waits_for_it(place: Place) {
    let rig = place.rig();
    let vault = rig.vaults[0].clone();
    let mut platform = rig.attach();
    let channel = platform.init();
    vault.hold_commits();
    let request = MakeCredential::discoverable(RP, b"alice");
    platform.start_make(channel, &request);
    rig.wait_until(&mut platform, |_| vault.is_committing());
    drop(platform);
    let mut platform = rig.attach();
    let channel = platform.init();
    let get = GetAssertion::new(RP, &[]);
    platform.start_get(channel, &get);
    let mut keepalives = 0;
    while keepalives < 3 {
        let message = platform.recv(channel, 20_000).expect("a keepalive");
        assert_eq!(message.command, command::KEEPALIVE, "no answer yet");
        assert_eq!(message.payload, [1], "processing");
        keepalives += 1;
    }
    vault.release_commit();
    platform.finish_get(channel, &get).expect("it was stored");
}

fn request_behind_a_commit_can_be_cancelled(place: Place) {
    let rig = place.rig();
    let vault = rig.vaults[0].clone();
    let mut platform = rig.attach();
    let (one, two) = (platform.init(), platform.init());
    vault.hold_commits();
    let request = MakeCredential::discoverable(RP, b"alice");
    platform.start_make(one, &request);
    rig.wait_until(&mut platform, |_| vault.is_committing());
    platform.init_on(one);
    let get = GetAssertion::new(RP, &[]);
    platform.start_get(two, &get);
    platform.send(two, command::CANCEL, &[]);
    let outcome = platform.finish_get(two, &get).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    vault.release_commit();
    platform.get(two, &get).expect("it was stored");
}

fn init_during_a_commit_detaches_the_answer(place: Place) {
    let rig = place.rig();
    let vault = rig.vaults[0].clone();
    let mut platform = rig.attach();
    let channel = platform.init();
    vault.hold_commits();
    let request = MakeCredential::discoverable(RP, b"alice");
    platform.start_make(channel, &request);
    rig.wait_until(&mut platform, |_| vault.is_committing());
    platform.init_on(channel);
    let answer = platform.call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
    assert!(vault.is_committing());
    vault.release_commit();
    let found = platform.get(channel, &GetAssertion::new(RP, &[]));
    found.expect("it was stored");
    assert_eq!(vault.credentials(), 1);
}

fn cancel_during_a_commit_is_ignored(place: Place) {
    let rig = place.rig();
    let vault = rig.vaults[0].clone();
    let mut platform = rig.attach();
    let channel = platform.init();
    vault.hold_commits();
    let request = MakeCredential::discoverable(RP, b"alice");
    platform.start_make(channel, &request);
    rig.wait_until(&mut platform, |_| vault.is_committing());
    platform.send(channel, command::CANCEL, &[]);
    platform.idle(60);
    vault.release_commit();
    platform
        .finish_make(channel, &request)
        .expect("it was stored");
}
