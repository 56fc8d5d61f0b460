//! Who may, as a table, and what the owner is told.

use super::*;

const LOOPBACK: &str = "127.0.0.1:50000";
const OTHER: &str = "192.0.2.1:50000";

/// What is found of a peer, and what comes of it under root, me and anyone.
type Case = (FindOwner, &'static str, [Result<(), Refused>; 3]);

async fn check(from: ImportFrom, find_owner: FindOwner, peer: &str) -> Result<(), Refused> {
    let local = "127.0.0.1:3240".parse().unwrap();
    Gate::told(from, find_owner, 1000)
        .check(peer.parse().unwrap(), local)
        .await
}

#[tokio::test]
async fn each_setting_allows_its_users() {
    use ImportFrom::{Anyone, Me, Root};
    let user = |uid| Err(Refused::User { uid, me: 1000 });
    let cases: [Case; 5] = [
        (|_, _| Some(0), LOOPBACK, [Ok(()), Ok(()), Ok(())]),
        (|_, _| Some(1000), LOOPBACK, [user(1000), Ok(()), Ok(())]),
        (
            |_, _| Some(1001),
            LOOPBACK,
            [user(1001), user(1001), Ok(())],
        ),
        (
            |_, _| None,
            LOOPBACK,
            [Err(Refused::Unknown), Err(Refused::Unknown), Ok(())],
        ),
        (|_, _| None, OTHER, [Ok(()), Ok(()), Ok(())]),
    ];
    for (index, (find_owner, peer, outcomes)) in cases.into_iter().enumerate() {
        for (from, outcome) in [Root, Me, Anyone].into_iter().zip(outcomes) {
            assert_eq!(
                check(from, find_owner, peer).await,
                outcome,
                "{index} {from}"
            );
        }
    }
}

#[tokio::test]
async fn user_of_this_machine_is_found_behind_its_other_addresses() {
    let refused = check(ImportFrom::Me, |_, _| Some(1001), OTHER).await;
    assert_eq!(
        refused,
        Err(Refused::User {
            uid: 1001,
            me: 1000
        })
    );
}

#[tokio::test]
async fn peer_and_local_are_looked_for_as_the_peer_sees_them() {
    let find: FindOwner = |own, remote| {
        assert_eq!((own.port(), remote.port()), (50000, 3240));
        Some(0)
    };
    assert_eq!(check(ImportFrom::Root, find, LOOPBACK).await, Ok(()));
}

#[test]
fn refusal_says_whose_it_was_and_what_changes_it() {
    let user = Refused::User {
        uid: 1001,
        me: 1000,
    }
    .to_string();
    assert!(user.contains("user 1001") && user.contains("--import-from anyone"));
    let me = Refused::User {
        uid: 1000,
        me: 1000,
    }
    .to_string();
    assert!(me.contains("user 1000") && me.contains("--import-from me"));
    let unknown = Refused::Unknown.to_string();
    assert!(unknown.contains("nobody") && unknown.contains("--import-from anyone"));
}

#[test]
fn default_is_me_where_it_can_be_checked() {
    let expected = match cfg!(target_os = "linux") {
        true => ImportFrom::Me,
        false => ImportFrom::Anyone,
    };
    assert_eq!(ImportFrom::default(), expected);
    assert!(ImportFrom::default().is_supported());
    assert_eq!(ImportFrom::Root.is_supported(), cfg!(target_os = "linux"));
    assert!(ImportFrom::Anyone.is_supported());
}
