use super::*;
use crate::limits::JOURNAL_NAME_LEN;

fn entry(followed: Option<Followed>) -> u64 {
    match followed {
        Some(Followed::Entry(entry)) => entry.sequence,
        other => panic!("an entry, not {other:?}"),
    }
}

#[tokio::test]
async fn follower_reads_what_came_and_what_comes() {
    let journal = Journal::new();
    journal.record("1-1", Event::Plugged);
    let mut follower = journal.follow_after(0);
    assert_eq!(entry(follower.next().await), 1);
    assert_eq!(follower.try_next(), None);
    let waiting = tokio::spawn(async move { follower.next().await });
    journal.record("1-1", Event::Unplugged);
    assert_eq!(entry(waiting.await.unwrap()), 2);
}

#[tokio::test]
async fn slow_follower_learns_what_it_missed() {
    let journal = Journal::new();
    let mut follower = journal.follow();
    for _ in 0..JOURNAL_KEPT + 5 {
        journal.record("1-1", Event::Wink);
    }
    assert_eq!(follower.next().await, Some(Followed::Missed(5)));
    assert_eq!(entry(follower.next().await), 6);
    let (kept, missed) = journal.since(0);
    assert!(missed);
    assert_eq!(kept.len(), JOURNAL_KEPT);
    assert!(!journal.since(5).1);
}

#[tokio::test]
async fn closed_journal_ends_its_followers_after_the_last_entry() {
    let journal = Journal::new();
    let mut follower = journal.follow();
    journal.record("1-1", Event::Wink);
    journal.close();
    assert_eq!(entry(follower.next().await), 1);
    assert_eq!(follower.next().await, None);
}

#[test]
fn entry_in_json_has_its_event_beside_its_number() {
    let journal = Journal::new();
    journal.record("1-1", Event::Attach { peer: "x".into() });
    let (entries, _) = journal.since(0);
    let json = entries[0].to_json();
    assert_eq!(json["event"], "attach");
    assert_eq!(json["sequence"], 1);
    let back: Entry = serde_json::from_value(json).unwrap();
    assert_eq!(back, *entries[0]);
}

#[test]
fn names_that_a_host_sends_are_cut_off() {
    let journal = Journal::new();
    let name = |length: usize| Some("é".repeat(length / 2));
    for length in [JOURNAL_NAME_LEN, JOURNAL_NAME_LEN + 2] {
        let prompt = roamkey_ctap::Prompt {
            operation: roamkey_ctap::Operation::Authenticate,
            rp_id: name(length),
            rp_id_hash: None,
            account: name(length),
            gesture: roamkey_ctap::Gesture::Touch,
        };
        journal.record("1-1", prompt_event(1, &prompt, TouchState::Asked, None));
    }
    for entry in journal.since(0).0 {
        let Event::Touch { rp, account, .. } = &entry.event else {
            panic!("{entry:?}");
        };
        assert_eq!(*rp, name(JOURNAL_NAME_LEN));
        assert_eq!(*account, name(JOURNAL_NAME_LEN));
    }
}
