use tokio::task::JoinHandle;
use tokio::time::advance;

use super::*;

const FLOOD: &str = "192.0.2.1";
const OTHER: &str = "192.0.2.2";

fn limits() -> Limits {
    Limits {
        requests_per_address: 2,
        requests: 4,
        ..Limits::default()
    }
}

fn origin(address: &str) -> Origin {
    Origin::of(address.parse().unwrap())
}

/// A connection that waits for ever.
fn enter(room: &mut Room, address: &str) -> (Asked, JoinHandle<()>) {
    let task = tokio::spawn(std::future::pending());
    let asked = Asked::default();
    room.take(origin(address), asked.clone(), task.abort_handle());
    (asked, task)
}

async fn is_ended(task: JoinHandle<()>) -> bool {
    tokio::task::yield_now().await;
    task.is_finished()
}

#[tokio::test(start_paused = true)]
async fn oldest_silent_connection_of_the_address_gives_way_and_none_that_asked() {
    let mut room = Room::new(limits());
    let (_, other) = enter(&mut room, OTHER);
    let (asked, imports) = enter(&mut room, FLOOD);
    asked.is_made();
    let (_, silent) = enter(&mut room, FLOOD);
    advance(limits().grace).await;
    enter(&mut room, FLOOD);
    assert!(is_ended(silent).await);
    assert!(!imports.is_finished() && !other.is_finished());
    // Where all have asked, the oldest of them.
    let mut room = Room::new(limits());
    let tasks = [enter(&mut room, FLOOD), enter(&mut room, FLOOD)];
    let [oldest, newer] = tasks.map(|(asked, task)| {
        asked.is_made();
        task
    });
    advance(limits().grace).await;
    enter(&mut room, FLOOD);
    assert!(is_ended(oldest).await);
    assert!(!newer.is_finished());
}

#[tokio::test(start_paused = true)]
async fn new_connections_are_left_in_peace_for_a_moment() {
    let mut room = Room::new(limits());
    let tasks: Vec<_> = (0..4).map(|_| enter(&mut room, FLOOD).1).collect();
    assert!(room.is_full());
    advance(limits().grace - std::time::Duration::from_millis(1)).await;
    assert!(!room.make_room());
    tokio::task::yield_now().await;
    assert!(tasks.iter().all(|task| !task.is_finished()));
    advance(std::time::Duration::from_millis(1)).await;
    assert!(room.make_room());
    tokio::task::yield_now().await;
    let ended: Vec<_> = tasks.iter().map(JoinHandle::is_finished).collect();
    assert_eq!(ended, [true, false, false, false]);
    assert!(!room.is_full());
}

#[tokio::test(start_paused = true)]
async fn place_of_a_connection_that_is_over_is_free() {
    let mut room = Room::new(limits());
    let tasks: Vec<_> = (0..3).map(|_| enter(&mut room, OTHER).1).collect();
    assert!(!room.is_full(), "at the bound less one");
    let (_, last) = enter(&mut room, OTHER);
    assert!(room.is_full(), "at the bound");
    room.free(last.id());
    assert!(!room.is_full());
    drop(tasks);
}

#[test]
fn addresses_of_one_host_are_one() {
    assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
    assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::2"));
    assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
}

#[test]
fn sessions_of_an_address_are_bounded_and_forgotten() {
    let sessions = Sessions::default();
    let first = sessions.enter(origin(FLOOD), 2).unwrap();
    let second = sessions.enter(origin(FLOOD), 2).unwrap();
    assert!(sessions.enter(origin(FLOOD), 2).is_none());
    let other = sessions.enter(origin(OTHER), 2).unwrap();
    drop(first);
    let third = sessions.enter(origin(FLOOD), 2).unwrap();
    assert!(sessions.enter(origin(FLOOD), 2).is_none());
    drop((second, third, other));
    assert!(sessions.lock().is_empty(), "nothing is kept of who is gone");
}
