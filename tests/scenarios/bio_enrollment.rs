//! Enrolling fingers: samples, names, removal, who may do it, and what is durable of it.

use ciborium::Value;
use roamkey_ctap::{Change, Decision, Place as Stored, Record};

use crate::support::{
    bench::{Bench, PIN, RP},
    bio::{
        enrollment, named, of_finger, sample, sensor, sensor_bench, stored_fingers,
        subcommand as bio,
    },
    cbor,
    ctap2::{BIO_ENROLLMENT, BIO_ENROLLMENT_PREVIEW, MakeCredential, RESET, SELECTION, status},
    ctaphid::command,
    pin::{Protocol, Token, permission},
    rig::{Place, pin_scenarios},
    vault::Failure,
};

use Decision::{Approved, Denied, Unverified};

pin_scenarios!(
    finger_is_enrolled_named_and_removed,
    first_finger_is_enrolled_with_the_pin,
    sample_that_is_not_good_does_not_count,
    sensor_tells_of_itself_unasked,
    preview_is_the_same,
    wrong_request_has_its_status,
    wrong_member_of_a_request_has_its_status,
    every_change_needs_its_permission,
    full_key_takes_no_finger,
    enrollment_is_of_one_client_and_ends,
    finger_is_stored_whole_with_its_last_sample,
    failed_commit_enrolls_and_removes_nothing,
    reset_forgets_every_finger,
);

fn be(bench: &mut Bench) -> Token {
    bench.finger_token(permission::BE, None)
}

fn finger_is_enrolled_named_and_removed(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let mut token = be(&mut bench);
    let before = bench.fingers(&token).expect("one");
    let [(first, Some(name))] = before.as_slice() else {
        panic!("{before:?}");
    };
    assert_eq!(name, "Finger 1");
    let id = bench.enroll(&token);
    assert_eq!(id.len(), 16);
    let named_as = |name: &str| {
        vec![
            (first.clone(), Some("Finger 1".to_owned())),
            (id.clone(), Some(name.to_owned())),
        ]
    };
    assert_eq!(bench.fingers(&token), Ok(named_as("")));
    let long = "é".repeat(32);
    for name in ["Left thumb", &long, ""] {
        let params = named(&id, name);
        let outcome = bench.bio(bio::NAME, Some(&params), Some(&token));
        assert_eq!(outcome, Ok(Value::Null));
        bench.restart();
        token = be(&mut bench);
        assert_eq!(bench.fingers(&token), Ok(named_as(name)));
    }
    for id in [first, &id] {
        let params = of_finger(id);
        let removed = bench.bio(bio::REMOVE, Some(&params), Some(&token));
        assert_eq!(removed, Ok(Value::Null));
        let again = bench.bio(bio::REMOVE, Some(&params), Some(&token));
        assert_eq!(again, Err(status::INVALID_OPTION));
    }
    // The token lives on; only the finger is gone.
    assert_eq!(bench.fingers(&token), Err(status::INVALID_OPTION));
    assert_eq!(bench.option("uv"), Some(false));
    assert_eq!(stored_fingers(&bench.rig), None);
    let made = bench.make_approved(b"alice");
    assert_eq!(made.len(), 64, "nothing protects the key");
}

fn first_finger_is_enrolled_with_the_pin(place: Place, protocol: Protocol) {
    let mut options = sensor();
    options.profile.ctap.enrolled_fingerprints = 0;
    let mut bench = Bench::bare(place, protocol, options);
    // Nothing can give a token yet.
    let outcome = bench.bio(bio::BEGIN, None, None);
    assert_eq!(outcome, Err(status::PUAT_REQUIRED));
    bench.set_pin(PIN).expect("no PIN is set");
    let token = bench.token(permission::BE, None);
    assert_eq!(bench.fingers(&token), Err(status::INVALID_OPTION));
    bench.enroll(&token);
    assert_eq!(bench.option("bioEnroll"), Some(true));
    bench.restart();
    bench.finger_token(permission::CM, None);
}

fn sample_that_is_not_good_does_not_count(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let token = be(&mut bench);
    let first = bench.sample(&token, None, Unverified).expect("a sample");
    let (Some(id), sample::POOR_QUALITY, 4) = first else {
        panic!("{first:?}");
    };
    for (finger, expected) in [
        (Approved, (sample::GOOD, 3)),
        (Unverified, (sample::POOR_QUALITY, 3)),
        (Approved, (sample::GOOD, 2)),
        (Approved, (sample::GOOD, 1)),
        (Unverified, (sample::POOR_QUALITY, 1)),
    ] {
        let (none, status, left) = bench.sample(&token, Some(&id), finger).expect("a sample");
        assert_eq!((none, (status, left)), (None, expected));
    }
    // Nobody comes: the platform says how long it waits, and 30 s is the most.
    for (timeout_ms, waits_ms) in [(Some(2_000), 2_000), (Some(90_000), 30_000), (None, 30_000)] {
        let mut params = vec![(1, Value::from(id.clone()))];
        params.extend(timeout_ms.map(|ms: u64| (3, Value::from(ms))));
        let params = cbor::map(params);
        let begun_ms = bench.platform().host.now_ms();
        let value = bench.bio(bio::NEXT, Some(&params), Some(&token));
        let value = value.expect("a sample");
        let took_ms = bench.platform().host.now_ms() - begun_ms;
        assert!((waits_ms..waits_ms + 300).contains(&took_ms), "{took_ms}");
        let number = |key: i64| cbor::unsigned(cbor::member(&value, key));
        assert_eq!((number(5), number(6)), (sample::NO_USER_ACTIVITY, 1));
    }
    bench.rig.take_notices();
    assert_eq!(bench.uv_retries(), Ok(5), "an enrollment verifies nobody");
    let last = bench.sample(&token, Some(&id), Approved);
    assert_eq!(last, Ok((None, sample::GOOD, 0)));
    assert_eq!(bench.fingers(&token).map(|all| all.len()), Ok(2));
}

fn sensor_tells_of_itself_unasked(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let channel = bench.channel;
    let modality = cbor::map([(6, Value::from(true))]);
    for number in [BIO_ENROLLMENT, BIO_ENROLLMENT_PREVIEW] {
        let value = bench.platform().ctap2(channel, number, Some(&modality));
        assert_eq!(value, Ok(cbor::map([(1, Value::from(1))])));
        let parameters = cbor::map(enrollment(bio::SENSOR, None, None));
        let value = bench.platform().ctap2(channel, number, Some(&parameters));
        let expected = cbor::map([
            (2, Value::from(1)),
            (3, Value::from(4)),
            (8, Value::from(64)),
        ]);
        assert_eq!(value, Ok(expected));
        let parameters = cbor::map(enrollment(bio::CANCEL, None, None));
        let value = bench.platform().ctap2(channel, number, Some(&parameters));
        assert_eq!(value, Ok(Value::Null), "there is none to cancel");
    }
}

fn preview_is_the_same(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let token = be(&mut bench);
    let channel = bench.channel;
    let parameters = cbor::map(enrollment(bio::BEGIN, None, Some(&token)));
    bench
        .platform()
        .start(channel, BIO_ENROLLMENT_PREVIEW, Some(&parameters));
    bench.finger(Approved);
    let (value, _) = bench.platform().finish(channel).expect("a sample");
    let id = cbor::bytes(cbor::member(&value, 4));
    let next = bench.sample(&token, Some(&id), Approved);
    assert_eq!(next, Ok((None, sample::GOOD, 2)));
}

fn wrong_request_has_its_status(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let token = be(&mut bench);
    let id = bench.fingers(&token).expect("one").remove(0).0;
    let stranger = [7; 16];
    let long = "x".repeat(65);
    let rename = |id: &[u8], name: &str| Some(named(id, name));
    for (subcommand, params, expected) in [
        (bio::NEXT, None, status::MISSING_PARAMETER),
        (
            bio::NEXT,
            Some(cbor::map([(3, 1.into())])),
            status::MISSING_PARAMETER,
        ),
        (
            bio::NEXT,
            Some(of_finger(&stranger)),
            status::INVALID_OPTION,
        ),
        (bio::NEXT, Some(of_finger(&id)), status::INVALID_OPTION),
        (bio::NEXT, Some(of_finger(&[1])), status::INVALID_OPTION),
        (bio::NAME, None, status::MISSING_PARAMETER),
        (bio::NAME, Some(of_finger(&id)), status::MISSING_PARAMETER),
        (
            bio::NAME,
            Some(cbor::map([(2, "x".into())])),
            status::MISSING_PARAMETER,
        ),
        (bio::NAME, rename(&stranger, "x"), status::INVALID_OPTION),
        (bio::NAME, rename(&id, &long), status::INVALID_LENGTH),
        (bio::REMOVE, None, status::MISSING_PARAMETER),
        (
            bio::REMOVE,
            Some(of_finger(&stranger)),
            status::INVALID_OPTION,
        ),
        (bio::REMOVE, Some(of_finger(&[])), status::INVALID_OPTION),
        (
            bio::REMOVE,
            Some(cbor::map([(1, "x".into())])),
            status::CBOR_UNEXPECTED_TYPE,
        ),
        (
            bio::NAME,
            Some(cbor::map([(2, 1.into())])),
            status::CBOR_UNEXPECTED_TYPE,
        ),
        (
            bio::BEGIN,
            Some(cbor::map([(3, "x".into())])),
            status::CBOR_UNEXPECTED_TYPE,
        ),
        (
            bio::BEGIN,
            Some(Value::from(7)),
            status::CBOR_UNEXPECTED_TYPE,
        ),
        (0, None, status::INVALID_SUBCOMMAND),
        (8, None, status::INVALID_SUBCOMMAND),
    ] {
        let outcome = bench.bio(subcommand, params.as_ref(), Some(&token));
        assert_eq!(outcome, Err(expected), "{subcommand}: {params:?}");
    }
    assert_eq!(bench.rig.pending(), 0, "nobody is asked");
}

fn wrong_member_of_a_request_has_its_status(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let token = be(&mut bench);
    let all = enrollment(bio::ENUMERATE, None, Some(&token));
    for (key, value, expected) in [
        (1, None, status::MISSING_PARAMETER),
        (1, Some(Value::from(2)), status::INVALID_PARAMETER),
        (1, Some(Value::from(300)), status::INVALID_PARAMETER),
        (1, Some(Value::from("1")), status::CBOR_UNEXPECTED_TYPE),
        (2, None, status::MISSING_PARAMETER),
        (2, Some(Value::from(-1)), status::CBOR_UNEXPECTED_TYPE),
        (4, None, status::MISSING_PARAMETER),
        (4, Some(Value::from(3)), status::INVALID_PARAMETER),
        (5, None, status::PUAT_REQUIRED),
        (5, Some(Value::from(vec![0; 32])), status::PIN_AUTH_INVALID),
        (5, Some(Value::from(vec![0; 0])), status::PIN_AUTH_INVALID),
        (6, Some(Value::from(1)), status::CBOR_UNEXPECTED_TYPE),
    ] {
        let mut members = all.clone();
        members.retain(|(name, _)| *name != key);
        members.extend(value.clone().map(|value| (key, value)));
        let channel = bench.channel;
        let parameters = cbor::map(members);
        let outcome = bench
            .platform()
            .ctap2(channel, BIO_ENROLLMENT, Some(&parameters));
        assert_eq!(outcome, Err(expected), "{key}: {value:?}");
    }
}

fn every_change_needs_its_permission(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let others = permission::CM | permission::LBW | permission::ACFG;
    let token = bench.finger_token(others, None);
    let id = stored_fingers(&bench.rig).expect("one")[0].id;
    for (subcommand, params) in [
        (bio::BEGIN, None),
        (bio::NEXT, Some(of_finger(&id))),
        (bio::ENUMERATE, None),
        (bio::NAME, Some(named(&id, "x"))),
        (bio::REMOVE, Some(of_finger(&id))),
    ] {
        let outcome = bench.bio(subcommand, params.as_ref(), Some(&token));
        assert_eq!(outcome, Err(status::PIN_AUTH_INVALID), "{subcommand}");
        let outcome = bench.bio(subcommand, params.as_ref(), None);
        assert_eq!(outcome, Err(status::PUAT_REQUIRED), "{subcommand}");
        let outcome = bench.bio(subcommand, None, None);
        assert_eq!(outcome, Err(status::PUAT_REQUIRED), "{subcommand}");
    }
    // A key without the sensor gives no such permission.
    let mut bench = Bench::new(place, protocol);
    let outcome = bench.try_token(PIN, permission::BE, None).map(drop);
    assert_eq!(outcome, Err(status::UNAUTHORIZED_PERMISSION));
}

fn full_key_takes_no_finger(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let token = be(&mut bench);
    let ids: Vec<_> = (0..4).map(|_| bench.enroll(&token)).collect();
    let full = bench.bio(bio::BEGIN, None, Some(&token));
    assert_eq!(full, Err(status::FP_DATABASE_FULL));
    let params = of_finger(&ids[2]);
    let removed = bench.bio(bio::REMOVE, Some(&params), Some(&token));
    assert_eq!(removed, Ok(Value::Null));
    bench.enroll(&token);
}

fn enrollment_is_of_one_client_and_ends(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let token = be(&mut bench);
    let begin = |bench: &mut Bench| {
        let first = bench.sample(&token, None, Approved);
        first.expect("a sample").0.expect("a templateId")
    };
    let next =
        |bench: &mut Bench, id: &[u8]| bench.bio(bio::NEXT, Some(&of_finger(id)), Some(&token));
    let gone = Err(status::INVALID_OPTION);
    // The platform's own word, and a new one that takes its place.
    let id = begin(&mut bench);
    assert_eq!(bench.bio(bio::CANCEL, None, None), Ok(Value::Null));
    assert_eq!(next(&mut bench, &id), gone);
    let id = begin(&mut bench);
    begin(&mut bench);
    assert_eq!(next(&mut bench, &id), gone);
    // A person's no.
    let id = begin(&mut bench);
    let denied = bench.sample(&token, Some(&id), Denied);
    assert_eq!(denied, Err(status::OPERATION_DENIED));
    assert_eq!(next(&mut bench, &id), gone);
    // CANCEL takes back one sample.
    let id = begin(&mut bench);
    let channel = bench.channel;
    let parameters = cbor::map(enrollment(bio::NEXT, Some(&of_finger(&id)), Some(&token)));
    bench
        .platform()
        .start(channel, BIO_ENROLLMENT, Some(&parameters));
    bench.asked();
    bench.platform().send(channel, command::CANCEL, &[]);
    let cancelled = bench.platform().finish(channel).map(drop);
    assert_eq!(cancelled, Err(status::KEEPALIVE_CANCEL));
    bench.option("uv");
    let after = bench.sample(&token, Some(&id), Approved);
    assert_eq!(after, Ok((None, sample::GOOD, 2)), "looking ends nothing");
    // Another client has no part in it.
    let other = bench.platform().init();
    let mine = std::mem::replace(&mut bench.channel, other);
    assert_eq!(next(&mut bench, &id), gone);
    assert_eq!(bench.bio(bio::CANCEL, None, None), Ok(Value::Null));
    bench.channel = mine;
    let after = bench.sample(&token, Some(&id), Approved);
    assert_eq!(after, Ok((None, sample::GOOD, 1)));
    // A touch for something else ends it, and so does a power cycle.
    bench.platform().start(mine, SELECTION, None);
    bench.approve();
    bench.platform().finish(mine).expect("approved");
    assert_eq!(next(&mut bench, &id), gone);
    let id = begin(&mut bench);
    bench.replug();
    let token = be(&mut bench);
    let outcome = bench.bio(bio::NEXT, Some(&of_finger(&id)), Some(&token));
    assert_eq!(outcome, gone);
    assert_eq!(stored_fingers(&bench.rig).map(|all| all.len()), Some(1));
}

/// An enrollment that lacks one sample; its id.
fn almost(bench: &mut Bench, token: &Token) -> Vec<u8> {
    let first = bench.sample(token, None, Approved).expect("a sample");
    let id = first.0.expect("a templateId");
    for _ in 0..2 {
        bench.sample(token, Some(&id), Approved).expect("a sample");
    }
    id
}

fn finger_is_stored_whole_with_its_last_sample(place: Place, protocol: Protocol) {
    for stored in [true, false] {
        let mut bench = sensor_bench(place, protocol);
        let token = be(&mut bench);
        let vault = bench.rig.vaults[0].clone();
        let before = vault.commits();
        let id = almost(&mut bench, &token);
        assert_eq!(vault.commits(), before, "samples are in memory");
        vault.hold_commits();
        let channel = bench.channel;
        let parameters = cbor::map(enrollment(bio::NEXT, Some(&of_finger(&id)), Some(&token)));
        bench
            .platform()
            .start(channel, BIO_ENROLLMENT, Some(&parameters));
        bench.finger(Approved);
        while !vault.is_committing() {
            bench.platform().idle(5);
        }
        let set = vault.sets().pop().expect("a set");
        let changes: Vec<_> = set.into_iter().collect();
        let [Change::Put(Record::Fingerprints(fingers))] = changes.as_slice() else {
            panic!("one record, whole");
        };
        assert_eq!(fingers.len(), 2);
        bench.unplug();
        if stored {
            vault.release_commit();
        } else {
            vault.lose_commit();
        }
        bench.restart();
        let token = be(&mut bench);
        let known = bench.fingers(&token).expect("fingers");
        assert_eq!(known.len(), if stored { 2 } else { 1 });
        assert_eq!(known.iter().any(|(known, _)| *known == id), stored);
        let outcome = bench.bio(bio::NEXT, Some(&of_finger(&id)), Some(&token));
        assert_eq!(outcome, Err(status::INVALID_OPTION));
    }
}

fn failed_commit_enrolls_and_removes_nothing(place: Place, protocol: Protocol) {
    for (failure, enrolled) in [(Failure::NotStored, 1), (Failure::Stored, 2)] {
        let mut bench = sensor_bench(place, protocol);
        let token = be(&mut bench);
        let id = almost(&mut bench, &token);
        bench.rig.vaults[0].fail_next(failure);
        let last = bench.sample(&token, Some(&id), Approved);
        assert_eq!(last, Err(status::OTHER));
        bench.restart();
        let token = be(&mut bench);
        let known = bench.fingers(&token).expect("fingers");
        assert_eq!(known.len(), enrolled);
        let params = of_finger(&known[0].0);
        bench.rig.vaults[0].fail_next(failure);
        let removed = bench.bio(bio::REMOVE, Some(&params), Some(&token));
        assert_eq!(removed, Err(status::OTHER));
        bench.restart();
        let left = stored_fingers(&bench.rig).map_or(0, |all| all.len());
        assert_eq!(left, 1, "one stays, or the one that was left is removed");
    }
}

fn reset_forgets_every_finger(place: Place, protocol: Protocol) {
    let mut bench = sensor_bench(place, protocol);
    let token = bench.try_finger_token(permission::BE, None, &[Unverified]);
    assert_eq!(token.map(drop), Err(status::UV_INVALID));
    bench.replug();
    let channel = bench.channel;
    bench.platform().start(channel, RESET, None);
    bench.approve();
    bench.platform().finish(channel).expect("approved");
    let records = bench.rig.vaults[0].records();
    let mut places = records.iter().map(Record::place);
    assert!(!places.any(|place| matches!(place, Stored::Fingerprints | Stored::Uv)));
    assert_eq!(bench.uv_retries(), Ok(5));
    let request = MakeCredential::new(RP, b"alice");
    bench.platform().start_make(channel, &request);
    bench.approve();
    let made = bench.platform().finish_make(channel, &request);
    made.expect("nothing protects the key");
}
