use super::*;

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
    for _ in 0..KEPT + 5 {
        journal.record("1-1", Event::Wink);
    }
    assert_eq!(follower.next().await, Some(Followed::Missed(5)));
    assert_eq!(entry(follower.next().await), 6);
    let (kept, missed) = journal.since(0);
    assert!(missed);
    assert_eq!(kept.len(), KEPT);
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
