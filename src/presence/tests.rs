use roamkey_ctap::{Operation, RpIdHash};

use super::*;

fn prompt(rp_id: Option<&str>) -> Prompt {
    Prompt {
        operation: Operation::Authenticate,
        rp_id: rp_id.map(str::to_owned),
        rp_id_hash: rp_id.map(RpIdHash::of),
        account: None,
        gesture: roamkey_ctap::Gesture::Touch,
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
