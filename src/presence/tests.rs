use roamkey_ctap::{Gesture, Operation, RpIdHash};

use super::*;

fn prompt(rp_id: Option<&str>) -> Prompt {
    Prompt {
        operation: Operation::Authenticate,
        rp_id: rp_id.map(str::to_owned),
        rp_id_hash: rp_id.map(RpIdHash::of),
        account: None,
        gesture: Gesture::Touch,
    }
}

/// U2F names a site by its hash alone.
fn u2f_prompt(rp_id: &str) -> Prompt {
    Prompt {
        rp_id: None,
        ..prompt(Some(rp_id))
    }
}

#[test]
fn named_sites_only_are_approved() {
    let mut policy = Policy::new(Touch::Auto, ["good.example", "also.example"]);
    for site in ["good.example", "also.example"] {
        assert_eq!(policy.judge(&prompt(Some(site))), Verdict::Approve);
        assert_eq!(policy.judge(&u2f_prompt(site)), Verdict::Approve);
    }
    for refused in [prompt(Some("bad.example")), u2f_prompt("sub.good.example")] {
        assert!(matches!(policy.judge(&refused), Verdict::Deny(_)));
    }
    assert_eq!(policy.judge(&prompt(None)), Verdict::Approve);
}

#[test]
fn foreign_site_is_refused_before_a_person_is_asked() {
    let mut policy = Policy::new(Touch::Ask, ["good.example"]);
    assert_eq!(policy.judge(&prompt(Some("good.example"))), Verdict::Ask);
    assert!(matches!(
        policy.judge(&prompt(Some("bad.example"))),
        Verdict::Deny(_)
    ));
}

#[tokio::test]
async fn answer_reaches_the_key_that_asked() {
    let broker = Broker::new(Policy::new(Touch::Ask, []));
    let (mut one, mut two) = (broker.seat("1-1"), broker.seat("1-2"));
    assert_eq!(one.ask(PresenceId(11), &prompt(None)), None);
    assert_eq!(two.ask(PresenceId(22), &prompt(None)), None);
    let [first, second] = broker.pending().try_into().unwrap();
    assert!(broker.decide(second, Decision::Denied));
    assert_eq!(two.decision().await, (PresenceId(22), Decision::Denied));
    assert_eq!(broker.pending(), [first]);
    assert!(!broker.decide(second, Decision::Approved));
    assert!(broker.decide(first, Decision::Approved));
    assert_eq!(one.decision().await, (PresenceId(11), Decision::Approved));
}

#[test]
fn withdrawn_request_is_off_the_list_and_told_once() {
    let broker = Broker::new(Policy::new(Touch::Ask, []));
    let mut notices = broker.notices();
    let mut seat = broker.seat("1-1");
    seat.ask(PresenceId(1), &prompt(Some("example.com")));
    let [id] = broker.pending().try_into().unwrap();
    seat.withdraw(PresenceId(2), Withdrawn::Cancelled);
    assert_eq!(broker.pending(), [id]);
    seat.withdraw(PresenceId(1), Withdrawn::Cancelled);
    seat.withdraw(PresenceId(1), Withdrawn::Cancelled);
    assert_eq!(broker.pending(), []);
    assert!(!broker.decide(id, Decision::Approved));
    assert!(matches!(notices.try_recv(), Ok(Notice::Asked { .. })));
    assert!(matches!(
        notices.try_recv(),
        Ok(Notice::Withdrawn {
            reason: Withdrawn::Cancelled,
            ..
        })
    ));
    assert!(notices.try_recv().is_err());
}

#[test]
fn audience_that_does_not_read_costs_no_memory_and_stops_nobody() {
    let broker = Broker::new(Policy::auto());
    let mut notices = broker.notices();
    let mut seat = broker.seat("1-1");
    for n in 0..10_000 {
        let decision = seat.ask(PresenceId(n), &prompt(None));
        assert_eq!(decision, Some(Decision::Approved));
    }
    let told = std::iter::from_fn(|| notices.try_recv().ok()).count();
    assert_eq!(told, NOTICES);
}

fn finger_prompt() -> Prompt {
    Prompt {
        gesture: Gesture::Finger,
        ..prompt(Some("good.example"))
    }
}

#[test]
fn finger_is_what_the_policy_says_and_a_touch_is_anybodys() {
    let wait = Duration::from_secs(1);
    let (pass, fail) = (Decision::Approved, Decision::Unverified);
    for (touch, verify, expected) in [
        (Touch::Auto, Verify::Pass, Verdict::Approve),
        (Touch::Auto, Verify::Fail, Verdict::Unverified),
        (Touch::Auto, Verify::Ask, Verdict::Ask),
        (Touch::Delay(wait), Verify::Pass, Verdict::After(wait, pass)),
        (Touch::Delay(wait), Verify::Fail, Verdict::After(wait, fail)),
        (Touch::Delay(wait), Verify::Ask, Verdict::Ask),
        (Touch::Ask, Verify::Fail, Verdict::Ask),
    ] {
        let mut policy = Policy {
            verify,
            ..Policy::new(touch, [])
        };
        assert_eq!(policy.judge(&finger_prompt()), expected, "{verify:?}");
        let touched = Policy::new(touch, []).judge(&prompt(None));
        assert_eq!(policy.judge(&prompt(None)), touched, "{verify:?}");
    }
}

#[test]
fn script_says_what_a_finger_is_or_leaves_it_to_the_policy() {
    let script = "approve verified=false, approve verified=true, approve, \
                  wait 2 s then approve verified=false, approve verified=false";
    let wait = Duration::from_secs(2);
    for (verify, unsaid) in [
        (Verify::Pass, Verdict::Approve),
        (Verify::Fail, Verdict::Unverified),
        (Verify::Ask, Verdict::Ask),
    ] {
        let mut policy = Policy {
            verify,
            script: parse_script(script).unwrap().into(),
            ..Policy::new(Touch::Deny, [])
        };
        for expected in [
            Verdict::Unverified,
            Verdict::Approve,
            unsaid,
            Verdict::After(wait, Decision::Unverified),
        ] {
            assert_eq!(policy.judge(&finger_prompt()), expected, "{verify:?}");
        }
        assert_eq!(policy.judge(&prompt(None)), Verdict::Approve, "a touch");
    }
}

#[tokio::test]
async fn wrong_finger_reaches_a_key_that_asks_for_one() {
    let broker = Broker::new(Policy::new(Touch::Ask, []));
    let mut seat = broker.seat("1-1");
    for (asked, expected) in [
        (finger_prompt(), Decision::Unverified),
        (prompt(None), Decision::Approved),
    ] {
        assert_eq!(seat.ask(PresenceId(1), &asked), None);
        let [id] = broker.pending().try_into().unwrap();
        assert!(broker.decide(id, Decision::Unverified));
        assert_eq!(seat.decision().await, (PresenceId(1), expected));
    }
}

fn long_prompt() -> Prompt {
    Prompt {
        operation: Operation::Reset,
        gesture: Gesture::LongTouch,
        ..prompt(None)
    }
}

#[tokio::test(start_paused = true)]
async fn long_touch_is_given_once_it_has_lasted() {
    let wait = Duration::from_secs(3);
    for (touch, lasts) in [
        (Touch::Auto, LONG_TOUCH),
        (Touch::Delay(wait), wait + LONG_TOUCH),
        (Touch::Ask, wait + LONG_TOUCH),
    ] {
        let broker = Broker::new(Policy::new(touch, []));
        let mut seat = broker.seat("1-1");
        let begun = Instant::now();
        assert_eq!(seat.ask(PresenceId(1), &long_prompt()), None);
        let [id] = broker.pending().try_into().unwrap();
        if touch == Touch::Ask {
            let early = tokio::time::timeout(wait, seat.decision()).await;
            assert!(early.is_err(), "nobody touches it");
            assert!(broker.decide(id, Decision::Approved));
            // Who says it twice does not begin anew.
            let early = tokio::time::timeout(Duration::from_secs(9), seat.decision()).await;
            assert!(early.is_err(), "it has not lasted");
            assert_eq!(broker.pending(), [id], "it can still be refused");
            assert!(broker.decide(id, Decision::Approved));
        }
        let answer = seat.decision().await;
        assert_eq!(answer, (PresenceId(1), Decision::Approved));
        assert_eq!(begun.elapsed(), lasts, "{touch:?}");
        assert_eq!(broker.pending(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn long_touch_is_refused_at_once_and_ends_when_withdrawn() {
    let broker = Broker::new(Policy::new(Touch::Ask, []));
    let mut seat = broker.seat("1-1");
    let begun = Instant::now();
    assert_eq!(seat.ask(PresenceId(1), &long_prompt()), None);
    let [id] = broker.pending().try_into().unwrap();
    assert!(broker.decide(id, Decision::Approved));
    assert!(broker.decide(id, Decision::Denied));
    assert_eq!(seat.decision().await, (PresenceId(1), Decision::Denied));
    assert_eq!(begun.elapsed(), Duration::ZERO);

    assert_eq!(seat.ask(PresenceId(2), &long_prompt()), None);
    let [id] = broker.pending().try_into().unwrap();
    assert!(broker.decide(id, Decision::Approved));
    seat.withdraw(PresenceId(2), Withdrawn::Cancelled);
    assert_eq!(broker.pending(), []);
    let late = tokio::time::timeout(LONG_TOUCH * 2, seat.decision()).await;
    assert!(late.is_err(), "nothing is answered");
}

#[test]
fn requests_are_never_more_than_keys_and_go_with_them() {
    let broker = Broker::new(Policy::new(Touch::Ask, []));
    let mut seats = ["1-1", "1-2"].map(|key| broker.seat(key));
    for presence in 0..1_000 {
        for seat in &mut seats {
            assert_eq!(seat.ask(PresenceId(presence), &prompt(None)), None);
        }
        assert_eq!(broker.pending().len(), 2);
    }
    let [first, second] = seats;
    drop(first);
    let left: Vec<_> = broker.waiting().into_iter().map(|one| one.key).collect();
    assert_eq!(left, ["1-2"]);
    drop(second);
    assert_eq!(broker.pending(), []);
}

#[tokio::test(start_paused = true)]
async fn long_touch_that_is_approved_again_and_again_is_one() {
    let broker = Broker::new(Policy::new(Touch::Ask, []));
    let mut seat = broker.seat("1-1");
    let long = Prompt {
        gesture: Gesture::LongTouch,
        ..prompt(None)
    };
    assert_eq!(seat.ask(PresenceId(1), &long), None);
    let [id] = broker.pending().try_into().unwrap();
    for _ in 0..1_000 {
        assert!(broker.decide(id, Decision::Approved));
    }
    assert_eq!(seat.answers.len(), 1);
    let begun = Instant::now();
    assert_eq!(seat.decision().await, (PresenceId(1), Decision::Approved));
    assert_eq!(begun.elapsed(), LONG_TOUCH);
}
