//! Waiting for a person: keepalives, time-outs, refusals, a program that is gone.

use roamkey::presence::{Notice, Touch};
use roamkey_ctap::{Decision, Operation, Withdrawn};

use crate::support::{
    ctap2::{GET_INFO, MakeCredential, RESET, SELECTION, status},
    ctaphid::command,
    rig::{Options, Place, scenarios, virtual_scenarios},
};

scenarios!(
    selection_asks_for_a_touch_and_nothing_else,
    denied_touch_answers_operation_denied,
    policy_that_denies_answers_operation_denied,
    other_sites_than_the_named_are_denied,
    detach_during_a_touch_withdraws_it,
    automatic_touch_still_shows_as_a_keepalive,
);

virtual_scenarios!(
    keepalives_come_every_50_ms_until_the_answer,
    touch_that_nobody_gives_times_out_after_30_s,
    program_gone_in_mid_touch_leaves_the_key_to_the_next,
    reopening_at_once_keeps_the_touch,
    program_that_reads_on_is_not_taken_for_gone,
);

fn selection_asks_for_a_touch_and_nothing_else(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let asked = rig.approve(&mut platform);
    assert_eq!(asked.key, "1-1");
    assert_eq!(asked.prompt.operation, Operation::Select);
    assert_eq!(asked.prompt.rp_id, None);
    let (value, _) = platform.finish(channel).expect("approved");
    assert!(value.is_null(), "no value");
    assert_eq!(rig.vaults[0].commits(), 0, "nothing is stored");
}

fn denied_touch_answers_operation_denied(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = MakeCredential::discoverable("example.com", b"alice");
    platform.start_make(channel, &request);
    let asked = rig.wait_asked(&mut platform);
    assert_eq!(asked.prompt.operation, Operation::Register);
    assert_eq!(asked.prompt.rp_id.as_deref(), Some("example.com"));
    assert_eq!(asked.prompt.account.as_deref(), Some("alice"));
    rig.decide(&asked, Decision::Denied);
    let outcome = platform.finish_make(channel, &request);
    assert_eq!(outcome.map(drop), Err(status::OPERATION_DENIED));
    for command in [SELECTION, RESET] {
        platform.start(channel, command, None);
        let asked = rig.wait_asked(&mut platform);
        rig.decide(&asked, Decision::Denied);
        let outcome = platform.finish(channel).map(drop);
        assert_eq!(outcome, Err(status::OPERATION_DENIED));
    }
    assert_eq!(rig.vaults[0].commits(), 0, "nothing is stored");
}

fn policy_that_denies_answers_operation_denied(place: Place) {
    let rig = place.rig_with(Options {
        touch: Touch::Deny,
        ..Options::default()
    });
    let mut platform = rig.attach();
    let channel = platform.init();
    let request = MakeCredential::new("example.com", b"alice");
    let outcome = platform.make(channel, &request);
    assert_eq!(outcome.map(drop), Err(status::OPERATION_DENIED));
}

fn other_sites_than_the_named_are_denied(place: Place) {
    let mut rig = place.rig_with(Options {
        rp_ids: vec!["example.com", "example.org"],
        ..Options::default()
    });
    let mut platform = rig.attach();
    let channel = platform.init();
    for rp_id in ["example.com", "example.org"] {
        let request = MakeCredential::new(rp_id, b"alice");
        platform.make(channel, &request).expect("a named site");
    }
    rig.take_notices();
    let request = MakeCredential::new("example.net", b"alice");
    let outcome = platform.make(channel, &request);
    assert_eq!(outcome.map(drop), Err(status::OPERATION_DENIED));
    let refused = rig.take_notices().into_iter().any(|notice| {
        matches!(
            notice,
            Notice::Answered {
                decision: Decision::Denied,
                refusal: Some(_),
                ..
            }
        )
    });
    assert!(refused, "the refusal says why");
}

fn detach_during_a_touch_withdraws_it(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    drop(platform);
    let mut platform = rig.attach();
    let reason = rig.wait_withdrawn(&mut platform, &asked);
    assert_eq!(reason, Withdrawn::HostGone);
    let channel = platform.init();
    let answer = platform.call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
}

fn automatic_touch_still_shows_as_a_keepalive(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let (_, keepalives) = platform.finish(channel).expect("approved");
    let statuses: Vec<u8> = keepalives
        .iter()
        .map(|keepalive| keepalive.status)
        .collect();
    assert!(statuses.contains(&2), "clients count touches: {statuses:?}");
    platform.start(channel, GET_INFO, None);
    let (_, keepalives) = platform.finish(channel).expect("getInfo");
    let touches = keepalives.iter().filter(|keepalive| keepalive.status == 2);
    assert_eq!(touches.count(), 0, "getInfo wants no touch");
}

fn keepalives_come_every_50_ms_until_the_answer(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let begun_ms = platform.host.now_ms();
    platform.start(channel, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    let held_ms = 1_000;
    platform.idle(held_ms - (platform.host.now_ms() - begun_ms));
    rig.decide(&asked, Decision::Approved);
    let (_, keepalives) = platform.finish(channel).expect("approved");
    assert!(keepalives.iter().all(|keepalive| keepalive.status == 2));
    let times: Vec<u64> = keepalives.iter().map(|k| k.at_ms - begun_ms).collect();
    let expected: Vec<u64> = (0..=held_ms).step_by(50).collect();
    assert_eq!(times, expected, "at once, then every 50 ms");
    platform.expect_silence(60_000);
    // No other command has keepalives, and none comes without one.
    let answer = platform.call(channel, command::PING, &[0; 500]);
    assert!(answer.keepalives.is_empty());
    platform.expect_silence(60_000);
}

fn touch_that_nobody_gives_times_out_after_30_s(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let begun_ms = platform.host.now_ms();
    let request = MakeCredential::new("example.com", b"alice");
    platform.start_make(channel, &request);
    let outcome = platform.finish_make(channel, &request);
    assert_eq!(outcome.map(drop), Err(status::USER_ACTION_TIMEOUT));
    assert_eq!(platform.host.now_ms() - begun_ms, 30_000);
    let asked = rig.wait_asked(&mut platform);
    let reason = rig.wait_withdrawn(&mut platform, &asked);
    assert_eq!(reason, Withdrawn::TimedOut);
    platform.expect_silence(60_000);
}

fn program_gone_in_mid_touch_leaves_the_key_to_the_next(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    platform.idle(320);
    platform.close();
    rig.world().pass(40);
    assert_eq!(rig.pending(), 1, "a read that timed out is no gone program");
    rig.world().pass(20);
    assert_eq!(
        rig.pending(),
        0,
        "nobody is asked for a program that is gone"
    );
    // Ctrl-C and the same command again.
    platform.reopen();
    let reason = rig.wait_withdrawn(&mut platform, &asked);
    assert_eq!(reason, Withdrawn::HostGone);
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    rig.decide(&asked, Decision::Approved);
    platform.finish(channel).expect("the key is free");
}

fn reopening_at_once_keeps_the_touch(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    rig.wait_asked(&mut platform);
    platform.close();
    rig.world().pass(5);
    platform.reopen();
    platform.idle(5_000);
    assert_eq!(rig.pending(), 1);
}

fn program_that_reads_on_is_not_taken_for_gone(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    platform.idle(29_000);
    rig.decide(&asked, Decision::Approved);
    platform.finish(channel).expect("approved after 29 s");
}
