//! Signature counters over uses and restarts, and reproducible runs.

use crate::support::{
    ctap2::{GetAssertion, MakeCredential, RESET, SELECTION, sha256, status},
    ctaphid::command,
    rig::{Options, Place, Rig, scenarios, virtual_scenarios},
    seed::TestSeed,
    u2f::{Control, apdu},
};

const RP: &str = "example.com";

scenarios!(
    counters_rise_over_uses_and_restarts,
    credentials_survive_a_restart
);

virtual_scenarios!(
    same_seed_and_inputs_give_the_same_bytes,
    long_use_renews_the_lease
);

fn counters_rise_over_uses_and_restarts(place: Place) {
    let mut rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let application = sha256(RP.as_bytes());
    let stored = MakeCredential::discoverable(RP, b"alice");
    let stored = platform.make(channel, &stored).expect("a credential");
    let derived = MakeCredential::new(RP, b"bob");
    let derived = platform.make(channel, &derived).expect("a credential");
    let u2f = platform.u2f_register(channel, &[1; 32], &application);
    drop(platform);
    let (mut last_stored, mut last_shared) = (stored.counter, derived.counter);
    for _ in 0..4 {
        let mut platform = rig.attach();
        let channel = platform.init();
        for _ in 0..3 {
            let get = GetAssertion::new(RP, &[&stored.id]);
            let signed = platform.get(channel, &get).expect("an assertion");
            signed.verify(RP, &stored.public_key);
            assert!(signed.auth_data.counter > last_stored);
            last_stored = signed.auth_data.counter;

            let get = GetAssertion::new(RP, &[&derived.id]).silent();
            let signed = platform.get(channel, &get).expect("an assertion");
            signed.verify(RP, &derived.public_key);
            assert!(signed.auth_data.counter > last_shared);
            last_shared = signed.auth_data.counter;

            let key = (u2f.key_handle.as_slice(), &u2f.public_key);
            let signed = platform.u2f_authenticate(channel, Control::Enforce, &application, key);
            let counter = signed.expect("a signature").counter;
            assert!(counter > last_shared);
            last_shared = counter;
        }
        drop(platform);
        rig.restart();
    }
}

fn credentials_survive_a_restart(place: Place) {
    let mut rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let mut made = Vec::new();
    for user in [b"a", b"b", b"c"] {
        let request = MakeCredential::discoverable(RP, user);
        made.push(platform.make(channel, &request).expect("a credential"));
    }
    let info = platform.info(channel);
    drop(platform);
    rig.restart();
    let mut platform = rig.attach();
    let channel = platform.init();
    assert_eq!(platform.info(channel), info);
    let request = GetAssertion::new(RP, &[]);
    let mut asserted = platform.get(channel, &request).expect("an assertion");
    assert_eq!(asserted.number_of_credentials, Some(3));
    for made in made.iter().rev() {
        assert_eq!(asserted.id, made.id, "the newest first, as before");
        asserted.verify(RP, &made.public_key);
        match platform.get_next(channel, &request) {
            Ok(next) => asserted = next,
            Err(status) => assert_eq!(status, status::NOT_ALLOWED),
        }
    }
}

/// A little of everything; what the host was sent meanwhile.
fn transcript(place: Place, seed: TestSeed) -> Vec<u8> {
    let mut rig: Rig = place.rig_with(Options {
        seed: Some(seed),
        ..Options::held()
    });
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.ctap2(channel, 0x04, None).expect("getInfo");
    for rk in [false, true] {
        let mut request = MakeCredential::new(RP, b"alice");
        request.options.push(("rk", rk));
        platform.start_make(channel, &request);
        platform.idle(330);
        rig.approve(&mut platform);
        let made = platform.finish_make(channel, &request);
        let made = made.expect("a credential");
        let get = GetAssertion::new(RP, &[&made.id]).silent();
        platform.get(channel, &get).expect("an assertion");
    }
    platform.start(channel, SELECTION, None);
    platform.send(channel, command::CANCEL, &[]);
    let outcome = platform.finish(channel).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    drop(platform);
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, RESET, None);
    rig.take_notices();
    platform.idle(100);
    platform.send(channel, command::CANCEL, &[]);
    platform.finish(channel).expect_err("cancelled");
    let version = platform.u2f(channel, &apdu(3, 0, &[]));
    version.expect("a version");
    drop(platform);
    rig.world().sent(0)
}

fn same_seed_and_inputs_give_the_same_bytes(place: Place) {
    let one = transcript(place, TestSeed::fixed(1));
    assert!(one.len() > 4_000, "{} bytes", one.len());
    assert!(one == transcript(place, TestSeed::fixed(1)));
    assert!(one != transcript(place, TestSeed::fixed(2)));
}

fn long_use_renews_the_lease(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let made = MakeCredential::new(RP, b"alice");
    let made = platform.make(channel, &made).expect("a credential");
    let get = GetAssertion::new(RP, &[&made.id]).silent();
    let before = rig.vaults[0].commits();
    for use_number in 1..=600 {
        let signed = platform.get(channel, &get).expect("an assertion");
        assert_eq!(signed.auth_data.counter, made.counter + use_number);
    }
    let writes = rig.vaults[0].commits() - before;
    assert!((2..=3).contains(&writes), "{writes} writes for 600 values");
}
