use rand_core::SeedableRng as _;

use super::{
    presence::{LATCH_MS, POLL_GAP_MS, Poll},
    *,
};
use crate::state::Change;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// A latch whose prompt 1 for request 1…1 was shown at 0.
fn armed() -> Latch {
    let mut latch = Latch::default();
    assert_eq!(latch.poll(at(0), &[1; 32]), Poll::Ask);
    latch.arm(at(0), PresenceId(1), [1; 32]);
    latch
}

#[test]
fn equal_polls_keep_one_prompt_alive() {
    let mut latch = armed();
    for ms in (500..60_000).step_by(500) {
        assert_eq!(latch.poll(at(ms), &[1; 32]), Poll::Pending);
        assert_eq!(latch.poll_timeout(), Some(at(ms + POLL_GAP_MS)));
    }
}

#[test]
fn approval_serves_one_poll_within_its_time() {
    let mut latch = armed();
    latch.handle_decision(at(100), PresenceId(1), Decision::Approved);
    assert_eq!(latch.poll_timeout(), None);
    assert_eq!(latch.poll(at(100 + LATCH_MS - 1), &[1; 32]), Poll::Approved);
    assert_eq!(latch.poll(at(100 + LATCH_MS), &[1; 32]), Poll::Ask);

    let mut late = armed();
    late.handle_decision(at(100), PresenceId(1), Decision::Approved);
    assert_eq!(late.poll(at(100 + LATCH_MS), &[1; 32]), Poll::Ask);
}

#[test]
fn approval_serves_no_other_request() {
    let mut latch = armed();
    assert_eq!(latch.poll(at(10), &[2; 32]), Poll::Pending);
    latch.handle_decision(at(100), PresenceId(1), Decision::Approved);
    assert_eq!(latch.poll(at(200), &[2; 32]), Poll::Ask);
}

#[test]
fn denial_holds_until_the_polls_stop() {
    let mut latch = armed();
    latch.handle_decision(at(100), PresenceId(1), Decision::Denied);
    latch.handle_decision(at(100), PresenceId(1), Decision::Approved);
    for ms in (200..30_000).step_by(200) {
        assert_eq!(latch.poll(at(ms), &[1; 32]), Poll::Pending);
    }
    assert_eq!(latch.poll(at(29_800 + POLL_GAP_MS), &[1; 32]), Poll::Ask);
}

#[test]
fn decision_on_another_prompt_changes_nothing() {
    let mut latch = armed();
    latch.handle_decision(at(1), PresenceId(2), Decision::Approved);
    assert_eq!(latch.poll(at(2), &[1; 32]), Poll::Pending);
}

/// Found by fuzzing: the first prompt stayed on the owner's screen for good.
#[test]
fn poll_after_the_gap_and_before_its_timer_withdraws_the_prompt() {
    let mut rng = Rng::from_seed([7; 32]);
    let profile = Profile::default();
    let set = KeyState::create(&mut rng, 1_700_000_000, &profile);
    let records = set.into_iter().filter_map(|change| match change {
        Change::Put(record) => Some(record),
        Change::Delete(_) => None,
    });
    let state = KeyState::load(records).unwrap();
    let mut authenticator = Authenticator::new(profile, state, rng);
    authenticator.handle_power(Some(at(0)));
    let register = [[0, 1, 0, 0, 0, 0, 64].as_slice(), &[3; 64], &[0, 0]].concat();

    for ms in [1, 1 + POLL_GAP_MS] {
        let payload = register.clone();
        authenticator.handle_message(at(ms), Client(1), MessageKind::Msg, payload);
        assert_eq!(authenticator.poll_response(), Some(vec![0x69, 0x85]));
    }
    let mut asked = Vec::new();
    while let Some(event) = authenticator.poll_event() {
        if let Event::PresenceNeeded { id, .. } = event {
            asked.push(id);
        } else if let Event::PresenceWithdrawn { id, .. } = event {
            asked.retain(|asked| *asked != id);
        }
    }
    assert_eq!(asked.len(), 1, "one prompt is alive");
}
