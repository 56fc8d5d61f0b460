//! authenticatorReset: when it is allowed, what it erases, what it keeps.

use roamkey_ctap::Operation;

use crate::support::{
    cbor,
    ctap2::{GetAssertion, MakeCredential, RESET, sha256, status},
    rig::{Place, scenarios, virtual_scenarios},
    u2f::{Control, authenticate_apdu, word},
};

const RP: &str = "example.com";

scenarios!(
    reset_erases_credentials_and_keeps_the_counter,
    reset_asks_for_a_touch
);

virtual_scenarios!(reset_is_allowed_for_10_s_after_power_on);

fn reset_erases_credentials_and_keeps_the_counter(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let application = sha256(RP.as_bytes());
    let room = cbor::member(&platform.info(channel).expect("getInfo"), 0x14);
    let stored = MakeCredential::discoverable(RP, b"alice");
    let stored = platform.make(channel, &stored).expect("a credential");
    let derived = MakeCredential::new(RP, b"bob");
    let derived = platform.make(channel, &derived).expect("a credential");
    let u2f = platform.u2f_register(channel, &[1; 32], &application);
    let used = GetAssertion::new(RP, &[&derived.id]);
    let used = platform.get(channel, &used).expect("an assertion");
    let counter = used.auth_data.counter;

    drop(platform);
    let mut platform = rig.attach();
    let channel = platform.init();
    platform
        .ctap2(channel, RESET, None)
        .expect("power came just now");

    for list in [&[][..], &[&stored.id], &[&derived.id], &[&u2f.key_handle]] {
        let list: Vec<&[u8]> = list.iter().map(|id| id.as_slice()).collect();
        let outcome = platform.get(channel, &GetAssertion::new(RP, &list));
        assert_eq!(outcome.map(drop), Err(status::NO_CREDENTIALS));
    }
    for handle in [&stored.id, &derived.id, &u2f.key_handle] {
        let apdu = authenticate_apdu(Control::CheckOnly, &[1; 32], &application, handle);
        assert_eq!(platform.u2f(channel, &apdu), Err(word::WRONG_DATA));
    }
    assert_eq!(rig.vaults[0].credentials(), 0);
    let info = platform.info(channel).expect("getInfo");
    assert_eq!(cbor::member(&info, 0x14), room);

    // The key works on, its counter above what it was, its attestation the same.
    let new = MakeCredential::new(RP, b"bob");
    let new = platform.make(channel, &new).expect("a credential");
    assert!(new.counter > counter, "{} after {counter}", new.counter);
    let again = platform.u2f_register(channel, &[1; 32], &application);
    assert_eq!(again.certificate, u2f.certificate);
}

fn reset_asks_for_a_touch(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, RESET, None);
    let asked = rig.wait_asked(&mut platform);
    assert_eq!(asked.prompt.operation, Operation::Reset);
    assert_eq!(rig.vaults[0].commits(), 0, "nothing is erased before it");
    rig.decide(&asked, roamkey_ctap::Decision::Approved);
    platform.finish(channel).expect("erased");
    assert_eq!(rig.vaults[0].commits(), 1);
}

fn reset_is_allowed_for_10_s_after_power_on(place: Place) {
    let rig = place.rig();
    for (wait_ms, expected) in [
        (9_900, Ok(())),
        (10_001, Err(status::NOT_ALLOWED)),
        (3_600_000, Err(status::NOT_ALLOWED)),
    ] {
        // Attaching again is power-on again.
        let mut platform = rig.attach();
        let channel = platform.init();
        platform.expect_silence(wait_ms);
        let outcome = platform.ctap2(channel, RESET, None);
        assert_eq!(outcome.map(drop), expected, "after {wait_ms} ms");
    }
}
