//! authenticatorGetNextAssertion: several accounts of one site.

use std::collections::BTreeSet;

use crate::support::{
    ctap2::{GET_NEXT_ASSERTION, GetAssertion, MakeCredential, Registered, SELECTION, status},
    ctaphid::{Channel, Platform, command},
    rig::{Place, scenarios, virtual_scenarios},
};

const RP: &str = "example.com";
const USERS: [&[u8]; 4] = [b"alice", b"bob", b"carol", b"dave"];

scenarios!(
    several_accounts_come_newest_first,
    next_without_a_first_is_not_allowed,
    another_channel_is_not_allowed_to_go_on,
    another_command_ends_it,
    replug_ends_it,
    silent_enumeration_tells_no_touch,
    credential_replaced_by_another_client_is_not_an_error_of_the_key,
);

virtual_scenarios!(next_must_come_within_30_s);

fn register_all(platform: &mut Platform, channel: Channel) -> Vec<Registered> {
    let made = USERS.iter().map(|user| {
        let request = MakeCredential::discoverable(RP, user);
        platform.make(channel, &request).expect("a credential")
    });
    made.collect()
}

fn several_accounts_come_newest_first(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let made = register_all(&mut platform, channel);
    let request = GetAssertion::new(RP, &[]);
    for _ in 0..2 {
        let first = platform.get(channel, &request).expect("an assertion");
        assert_eq!(first.number_of_credentials, Some(4));
        let mut found = vec![first];
        for _ in 1..USERS.len() {
            let next = platform.get_next(channel, &request).expect("one more");
            assert_eq!(next.number_of_credentials, None);
            assert!(next.keepalives.iter().all(|k| k.status != 2), "no touch");
            found.push(next);
        }
        for ((asserted, made), user) in found.iter().zip(made.iter().rev()).zip(USERS.iter().rev())
        {
            assert_eq!(asserted.id, made.id, "the newest first");
            assert_eq!(asserted.user_id.as_deref(), Some(*user));
            assert!(asserted.auth_data.user_present);
            asserted.verify(RP, &made.public_key);
        }
        let ids: BTreeSet<_> = found.iter().map(|asserted| &asserted.id).collect();
        assert_eq!(ids.len(), USERS.len());
        let outcome = platform.get_next(channel, &request).map(drop);
        assert_eq!(outcome, Err(status::NOT_ALLOWED), "there are no more");
    }
}

fn next_without_a_first_is_not_allowed(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let outcome = platform.ctap2(channel, GET_NEXT_ASSERTION, None);
    assert_eq!(outcome, Err(status::NOT_ALLOWED));
}

fn another_channel_is_not_allowed_to_go_on(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let (one, two) = (platform.init(), platform.init());
    register_all(&mut platform, one);
    let request = GetAssertion::new(RP, &[]);
    platform.get(one, &request).expect("an assertion");
    let outcome = platform.get_next(two, &request).map(drop);
    assert_eq!(outcome, Err(status::NOT_ALLOWED));
}

fn another_command_ends_it(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    register_all(&mut platform, channel);
    let request = GetAssertion::new(RP, &[]);
    platform.get(channel, &request).expect("an assertion");
    // CTAPHID's own commands are none of the authenticator's.
    platform.call(channel, command::PING, &[1]);
    platform.get_next(channel, &request).expect("one more");
    platform.ctap2(channel, SELECTION, None).expect("approved");
    let outcome = platform.get_next(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::NOT_ALLOWED));
}

fn replug_ends_it(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    register_all(&mut platform, channel);
    let request = GetAssertion::new(RP, &[]);
    platform.get(channel, &request).expect("an assertion");
    drop(platform);
    let mut platform = rig.attach();
    let channel = platform.init();
    let outcome = platform.get_next(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::NOT_ALLOWED));
}

fn silent_enumeration_tells_no_touch(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let made = register_all(&mut platform, channel);
    let request = GetAssertion::new(RP, &[]).silent();
    let first = platform.get(channel, &request).expect("an assertion");
    let next = platform.get_next(channel, &request).expect("one more");
    for (asserted, made) in [(first, &made[3]), (next, &made[2])] {
        assert!(!asserted.auth_data.user_present);
        asserted.verify(RP, &made.public_key);
    }
}

fn credential_replaced_by_another_client_is_not_an_error_of_the_key(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let (one, two) = (platform.init(), platform.init());
    let made = register_all(&mut platform, one);
    let request = GetAssertion::new(RP, &[]);
    platform.get(one, &request).expect("an assertion");
    // The account that would be next is registered anew meanwhile.
    let again = MakeCredential::discoverable(RP, USERS[2]);
    platform.make(two, &again).expect("a credential");
    match platform.get_next(one, &request) {
        Ok(next) => {
            assert_ne!(next.id, made[2].id, "it is gone");
            let known = made.iter().find(|made| made.id == next.id);
            next.verify(RP, &known.expect("one of ours").public_key);
        }
        Err(status) => assert_eq!(status, status::NOT_ALLOWED, "the enumeration is over"),
    }
}

fn next_must_come_within_30_s(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    register_all(&mut platform, channel);
    let request = GetAssertion::new(RP, &[]);
    platform.get(channel, &request).expect("an assertion");
    for _ in 0..2 {
        // The time counts from the one before.
        platform.expect_silence(29_900);
        platform.get_next(channel, &request).expect("one more");
    }
    platform.expect_silence(30_100);
    let outcome = platform.get_next(channel, &request).map(drop);
    assert_eq!(outcome, Err(status::NOT_ALLOWED));
}
