//! Attempts of built-in verification and power that goes: what is durable when.

use roamkey_ctap::{Decision, UvState};

use crate::support::{
    bench::Bench,
    bio::{sensor_bench, stored_uv},
    cbor,
    ctap2::{CLIENT_PIN, status},
    ctaphid::command,
    pin::{Protocol, permission},
    rig::{Place, pin_scenarios},
    vault::Failure,
};

use Decision::{Approved, Unverified};

pin_scenarios!(
    attempt_is_lost_before_the_finger_is_compared,
    attempt_comes_back_only_once_that_is_durable,
    attempt_whose_loss_is_not_stored_compares_nothing,
    attempt_whose_return_is_not_stored_gives_no_token,
    cancel_gives_no_attempt_back,
);

fn uv(retries: u8, since_pin_entry: u32) -> Option<UvState> {
    Some(UvState {
        retries,
        since_pin_entry,
    })
}

/// A finger for a token, whose first or second commit waits.
fn start_held(bench: &mut Bench, finger: Decision) {
    let (_, members) = bench.by_finger(permission::CM, None);
    let channel = bench.channel;
    let parameters = cbor::map(members);
    bench
        .platform()
        .start(channel, CLIENT_PIN, Some(&parameters));
    bench.finger(finger);
    let vault = bench.rig.vaults[0].clone();
    let platform = bench.platform();
    let end = platform.host.now_ms() + 5_000;
    while !vault.is_committing() {
        assert!(platform.host.now_ms() < end, "nothing is committed");
        platform.idle(5);
    }
    for _ in 0..5 {
        let message = platform.recv(channel, 1_000).expect("a keepalive");
        assert_eq!(message.command, command::KEEPALIVE, "no answer yet");
    }
}

fn token(bench: &mut Bench, finger: Decision) -> Result<(), u8> {
    let token = bench.try_finger_token(permission::CM, None, &[finger]);
    token.map(drop)
}

/// What getUVRetries answers while the key reads its vault again.
fn retries_once_read(bench: &mut Bench) -> u64 {
    for _ in 0..200 {
        match bench.uv_retries() {
            Err(status::OTHER) => bench.platform().idle(5),
            other => return other.expect("there is a sensor"),
        }
    }
    panic!("the key does not recover");
}

fn attempt_is_lost_before_the_finger_is_compared(place: Place, protocol: Protocol) {
    for finger in [Approved, Unverified] {
        for stored in [true, false] {
            let mut bench = sensor_bench(place, protocol);
            let vault = bench.rig.vaults[0].clone();
            vault.hold_commits();
            start_held(&mut bench, finger);
            assert_eq!(stored_uv(&bench.rig), None, "not durable, so no answer");
            bench.unplug();
            if stored {
                vault.release_commit();
            } else {
                vault.lose_commit();
            }
            bench.restart();
            let left = if stored { 4 } else { 5 };
            assert_eq!(bench.uv_retries(), Ok(left), "the same for any finger");
            // Once it is answered, it is durable.
            let outcome = token(&mut bench, Unverified);
            assert_eq!(outcome, Err(status::UV_INVALID));
            bench.restart();
            assert_eq!(bench.uv_retries(), Ok(left - 1));
        }
    }
}

fn attempt_comes_back_only_once_that_is_durable(place: Place, protocol: Protocol) {
    for stored in [false, true] {
        let mut bench = sensor_bench(place, protocol);
        let vault = bench.rig.vaults[0].clone();
        vault.hold_second_commit();
        start_held(&mut bench, Approved);
        assert_eq!(stored_uv(&bench.rig), uv(4, 1), "the loss is durable");
        bench.unplug();
        if stored {
            vault.release_commit();
        } else {
            vault.lose_commit();
        }
        bench.restart();
        let left = if stored { 5 } else { 4 };
        assert_eq!(bench.uv_retries(), Ok(left));
    }
    // And when nothing fails, the answer waits for it.
    let mut bench = sensor_bench(place, protocol);
    let vault = bench.rig.vaults[0].clone();
    vault.hold_second_commit();
    start_held(&mut bench, Approved);
    vault.release_commit();
    let channel = bench.channel;
    bench.platform().finish(channel).expect("a token");
    assert_eq!(stored_uv(&bench.rig), uv(5, 1));
}

fn attempt_whose_loss_is_not_stored_compares_nothing(place: Place, protocol: Protocol) {
    for (failure, left) in [(Failure::NotStored, 5), (Failure::Stored, 4)] {
        for finger in [Approved, Unverified] {
            let mut bench = sensor_bench(place, protocol);
            bench.rig.vaults[0].fail_next(failure);
            let outcome = token(&mut bench, finger);
            assert_eq!(outcome, Err(status::OTHER), "the same for any finger");
            assert_eq!(retries_once_read(&mut bench), left);
            assert_eq!(token(&mut bench, Approved), Ok(()));
        }
    }
}

fn attempt_whose_return_is_not_stored_gives_no_token(place: Place, protocol: Protocol) {
    for (failure, left) in [(Failure::NotStored, 4), (Failure::Stored, 5)] {
        let mut bench = sensor_bench(place, protocol);
        bench.rig.vaults[0].fail_second(failure);
        let outcome = token(&mut bench, Approved);
        assert_eq!(outcome, Err(status::OTHER));
        assert_eq!(retries_once_read(&mut bench), left);
        assert_eq!(token(&mut bench, Approved), Ok(()));
        assert_eq!(bench.uv_retries(), Ok(5));
    }
}

fn cancel_gives_no_attempt_back(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let vault = bench.rig.vaults[0].clone();
    let channel = bench.channel;
    vault.hold_commits();
    start_held(&mut bench, Unverified);
    bench.platform().send(channel, command::CANCEL, &[]);
    vault.release_commit();
    let outcome = bench.platform().finish(channel).map(drop);
    assert_eq!(outcome, Err(status::UV_INVALID), "there is no way back");
    vault.hold_commits();
    start_held(&mut bench, Unverified);
    bench.platform().init_on(channel);
    vault.release_commit();
    assert_eq!(bench.uv_retries(), Ok(3));
}
