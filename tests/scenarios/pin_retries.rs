//! Wrong PINs: how many, what each is answered, and what is durable when.

use crate::support::{
    bench::{Bench, PIN, WRONG},
    cbor,
    ctap2::{CLIENT_PIN, Outcome, status},
    ctaphid::command,
    pin::{Protocol, padded, permission},
    rig::{Place, pin_scenarios},
    vault::Failure,
};

pin_scenarios!(
    wrong_pins_lock_until_a_replug_and_then_for_good,
    right_pin_restores_all_attempts,
    wrong_pins_of_both_protocols_count_together,
    wrong_pin_and_power_on_renew_the_key_agreement,
    attempt_is_lost_before_the_pin_is_compared,
    attempt_comes_back_only_once_that_is_durable,
    attempt_whose_loss_is_not_stored_compares_nothing,
    attempt_whose_return_is_not_stored_gives_no_token,
    cancel_and_init_give_no_attempt_back,
);

/// What a PIN is tried with.
#[derive(Clone, Copy, Debug)]
enum Way {
    LegacyToken,
    Token,
    Change,
}

const WAYS: [Way; 3] = [Way::LegacyToken, Way::Token, Way::Change];

impl Way {
    fn attempt(self, bench: &mut Bench, pin: &str) -> Outcome<()> {
        match self {
            Self::LegacyToken => bench.legacy_token(pin).map(drop),
            Self::Token => bench.try_token(pin, permission::CM, None).map(drop),
            Self::Change => bench.change_pin(pin, PIN),
        }
    }
}

fn wrong_pins_lock_until_a_replug_and_then_for_good(place: Place, protocol: Protocol) {
    for way in WAYS {
        let mut bench = Bench::new(place, protocol);
        let invalid = Err(status::PIN_INVALID);
        let locked = Err(status::PIN_AUTH_BLOCKED);
        let blocked = Err(status::PIN_BLOCKED);
        for (left, expected) in [(7, invalid), (6, invalid), (5, locked)] {
            assert_eq!(way.attempt(&mut bench, WRONG), expected, "{way:?}: {left}");
            assert_eq!(bench.retries(), Ok((left, left == 5)), "{way:?}");
        }
        for pin in [WRONG, PIN] {
            for way in WAYS {
                assert_eq!(way.attempt(&mut bench, pin), locked, "{way:?}");
                assert_eq!(bench.retries(), Ok((5, true)), "no attempt counts");
            }
        }
        bench.replug();
        assert_eq!(bench.retries(), Ok((5, false)));
        for (left, expected) in [(4, invalid), (3, invalid), (2, locked)] {
            assert_eq!(way.attempt(&mut bench, WRONG), expected, "{way:?}: {left}");
        }
        bench.restart();
        assert_eq!(bench.retries(), Ok((2, false)));
        assert_eq!(way.attempt(&mut bench, WRONG), invalid);
        assert_eq!(way.attempt(&mut bench, WRONG), blocked);
        for _ in 0..2 {
            for way in WAYS {
                assert_eq!(way.attempt(&mut bench, PIN), blocked, "{way:?}");
            }
            assert_eq!(bench.retries(), Ok((0, false)));
            bench.replug();
            assert_eq!(way.attempt(&mut bench, PIN), blocked);
            bench.restart();
        }
        assert_eq!(bench.set_pin("another"), Err(status::PIN_AUTH_INVALID));
        bench.reset();
        assert_eq!(bench.set_pin(PIN), Ok(()), "only a reset helps");
        assert_eq!(way.attempt(&mut bench, PIN), Ok(()));
    }
}

fn right_pin_restores_all_attempts(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    for way in WAYS {
        for left in [7, 6] {
            let outcome = way.attempt(&mut bench, WRONG);
            assert_eq!(outcome, Err(status::PIN_INVALID), "not three in a row");
            assert_eq!(bench.retries(), Ok((left, false)));
        }
        assert_eq!(way.attempt(&mut bench, PIN), Ok(()));
        assert_eq!(bench.retries(), Ok((8, false)));
        assert_eq!(bench.rig.vaults[0].pin_retries(), None, "all of them");
    }
}

fn wrong_pins_of_both_protocols_count_together(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let expected = [
        status::PIN_INVALID,
        status::PIN_INVALID,
        status::PIN_AUTH_BLOCKED,
    ];
    for expected in expected {
        bench.protocol = bench.protocol.other();
        let outcome = bench.legacy_token(WRONG).map(drop);
        assert_eq!(outcome, Err(expected));
    }
    assert_eq!(bench.retries(), Ok((5, true)));
}

fn wrong_pin_and_power_on_renew_the_key_agreement(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let channel = bench.channel;
    let old = bench.platform().agree(channel, protocol);
    let outcome = bench.client_pin(old.token(WRONG, permission::CM, None));
    assert_eq!(outcome, Err(status::PIN_INVALID));
    // Under the old secret the right PIN is a wrong one, and a change is no change at all.
    let outcome = bench.client_pin(old.change_pin(PIN, &padded("another")));
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    assert_eq!(bench.retries(), Ok((7, false)));
    let outcome = bench.client_pin(old.token(PIN, permission::CM, None));
    assert_eq!(outcome, Err(status::PIN_INVALID));
    assert_eq!(bench.retries(), Ok((6, false)));
    let new = bench.platform().agree(channel, protocol);
    assert_ne!(new.key_agreement, old.key_agreement);
    let outcome = bench.client_pin(new.token(PIN, permission::CM, None));
    outcome.expect("the PIN");

    let old = bench.platform().agree(channel, protocol);
    bench.replug();
    let outcome = bench.client_pin(old.change_pin(PIN, &padded("another")));
    assert_eq!(outcome, Err(status::PIN_AUTH_INVALID));
    let outcome = bench.client_pin(old.pin_token(PIN));
    assert_eq!(outcome, Err(status::PIN_INVALID));
    bench.legacy_token(PIN).expect("the PIN");
}

/// Sends an attempt and waits until its commit is held.
fn start_held(bench: &mut Bench, pin: &str) {
    let (channel, protocol) = (bench.channel, bench.protocol);
    let vault = bench.rig.vaults[0].clone();
    let shared = bench.platform().agree(channel, protocol);
    let members = cbor::map(shared.token(pin, permission::CM, None));
    let platform = bench.platform();
    platform.start(channel, CLIENT_PIN, Some(&members));
    let end = platform.host.now_ms() + 5_000;
    while !vault.is_committing() {
        assert!(platform.host.now_ms() < end, "nothing is committed");
        platform.idle(5);
    }
    // Long after, there is no answer: only keepalives that say "processing".
    for _ in 0..5 {
        let message = platform.recv(channel, 1_000).expect("a keepalive");
        assert_eq!(message.command, command::KEEPALIVE, "no answer yet");
        assert_eq!(message.payload, [1], "processing");
    }
}

fn attempt_is_lost_before_the_pin_is_compared(place: Place, protocol: Protocol) {
    for pin in [WRONG, PIN] {
        let mut bench = Bench::new(place, protocol);
        let vault = bench.rig.vaults[0].clone();
        vault.hold_commits();
        start_held(&mut bench, pin);
        assert_eq!(vault.pin_retries(), None, "not durable yet, so no answer");
        // Power goes. What was on its way becomes durable or does not; nobody learned anything.
        bench.unplug();
        vault.release_commit();
        assert_eq!(vault.pin_retries(), Some(7));
        bench.restart();
        assert_eq!(bench.retries(), Ok((7, false)));

        // Once it is answered, it is durable.
        assert_eq!(
            bench.legacy_token(WRONG).map(drop),
            Err(status::PIN_INVALID)
        );
        assert_eq!(vault.pin_retries(), Some(6));
        bench.restart();
        assert_eq!(bench.retries(), Ok((6, false)));
    }
}

fn attempt_comes_back_only_once_that_is_durable(place: Place, protocol: Protocol) {
    for stored in [false, true] {
        let mut bench = Bench::new(place, protocol);
        let vault = bench.rig.vaults[0].clone();
        vault.hold_second_commit();
        start_held(&mut bench, PIN);
        assert_eq!(vault.pin_retries(), Some(7), "the loss is durable");
        bench.unplug();
        if stored {
            vault.release_commit();
        } else {
            vault.lose_commit();
        }
        bench.restart();
        let left = if stored { 8 } else { 7 };
        assert_eq!(bench.retries(), Ok((left, false)));
    }
    // And when nothing fails, the answer waits for it.
    let mut bench = Bench::new(place, protocol);
    let vault = bench.rig.vaults[0].clone();
    vault.hold_second_commit();
    start_held(&mut bench, PIN);
    vault.release_commit();
    let channel = bench.channel;
    bench.platform().finish(channel).expect("a token");
    assert_eq!(vault.pin_retries(), None);
}

/// What an attempt answers while the key reads its vault again.
fn retries_once_read(bench: &mut Bench) -> (u64, bool) {
    for _ in 0..200 {
        match bench.retries() {
            Err(status::OTHER) => bench.platform().idle(5),
            other => return other.expect("a PIN is set"),
        }
    }
    panic!("the key does not recover");
}

fn attempt_whose_loss_is_not_stored_compares_nothing(place: Place, protocol: Protocol) {
    for failure in [Failure::NotStored, Failure::Stored] {
        for pin in [WRONG, PIN] {
            let mut bench = Bench::new(place, protocol);
            let vault = bench.rig.vaults[0].clone();
            vault.fail_next(failure);
            let outcome = bench.legacy_token(pin).map(drop);
            assert_eq!(outcome, Err(status::OTHER), "the same for any PIN");
            let left = match failure {
                Failure::NotStored => 8,
                Failure::Stored => 7,
            };
            assert_eq!(retries_once_read(&mut bench), (left, false));
            bench.legacy_token(PIN).expect("the PIN");
        }
    }
}

fn attempt_whose_return_is_not_stored_gives_no_token(place: Place, protocol: Protocol) {
    for failure in [Failure::NotStored, Failure::Stored] {
        let mut bench = Bench::new(place, protocol);
        let vault = bench.rig.vaults[0].clone();
        vault.fail_second(failure);
        let outcome = bench.legacy_token(PIN).map(drop);
        assert_eq!(outcome, Err(status::OTHER));
        let left = match failure {
            Failure::NotStored => 7,
            Failure::Stored => 8,
        };
        assert_eq!(retries_once_read(&mut bench), (left, false));
        bench.legacy_token(PIN).expect("the PIN");
        assert_eq!(bench.retries(), Ok((8, false)));
    }
}

fn cancel_and_init_give_no_attempt_back(place: Place, protocol: Protocol) {
    let mut bench = Bench::new(place, protocol);
    let vault = bench.rig.vaults[0].clone();
    let channel = bench.channel;
    vault.hold_commits();
    start_held(&mut bench, WRONG);
    bench.platform().send(channel, command::CANCEL, &[]);
    vault.release_commit();
    let outcome = bench.platform().finish(channel).map(drop);
    assert_eq!(outcome, Err(status::PIN_INVALID), "there is no way back");
    assert_eq!(bench.retries(), Ok((7, false)));
    vault.hold_commits();
    start_held(&mut bench, WRONG);
    bench.platform().init_on(channel);
    vault.release_commit();
    assert_eq!(bench.retries(), Ok((6, false)));
}
