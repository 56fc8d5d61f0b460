//! authenticatorLargeBlobs (CTAP 2.1 §6.10): the array, its fragments, and what becomes of them
//! when something goes wrong. What a PIN has to do with it is in `large_blob_token`, what becomes
//! durable in `large_blob_vault`.

use ciborium::Value;

use crate::support::{
    bench::{Bench, of_profile},
    cbor,
    ctap2::{GET_INFO, LARGE_BLOBS, MakeCredential, SELECTION, status},
    ctaphid::{Channel, Platform, command},
    large_blobs::{INITIAL, array, set},
    pin::Protocol,
    rig::{Options, Place, Rig, scenarios},
};

/// maxSerializedLargeBlobArray of the default profile.
const CAPACITY: usize = 16_384;
/// The longest fragment of the default profile, and of a key with [`small_messages`].
const FRAGMENT: usize = 7609 - 64;
const SMALL_FRAGMENT: usize = 1200 - 64;

scenarios!(
    new_key_has_the_initial_array,
    array_is_written_and_read_in_fragments,
    capacity_is_exact,
    array_of_another_hash_changes_nothing,
    fragment_that_is_not_the_next_is_refused,
    refused_fragment_leaves_those_before_it,
    first_fragment_begins_anew,
    another_command_ends_a_write,
    write_belongs_to_its_channel,
    wrong_request_has_its_status,
    key_without_large_blobs_has_no_such_command,
);

fn small_messages() -> Options {
    let mut options = Options::default();
    options.profile.ctap.max_msg_size = 1200;
    options
}

fn open(rig: &Rig) -> (Platform, Channel) {
    let mut platform = rig.attach();
    let channel = platform.init();
    (platform, channel)
}

fn read(platform: &mut Platform, channel: Channel) -> Vec<u8> {
    platform.read_all_blobs(channel, SMALL_FRAGMENT)
}

fn new_key_has_the_initial_array(place: Place) {
    let mut bench = Bench::bare(place, Protocol::Two, Options::default());
    assert_eq!(bench.option("largeBlobs"), Some(true));
    let most = cbor::unsigned(cbor::member(&bench.info(), 0x0b));
    assert_eq!(most, CAPACITY as u64);
    let channel = bench.channel;
    let platform = bench.platform();
    for (offset, count, expected) in [
        (0, FRAGMENT, Ok(&INITIAL[..])),
        (0, 17, Ok(&INITIAL)),
        (0, 16, Ok(&INITIAL[..16])),
        (1, 1, Ok(&INITIAL[1..2])),
        (3, 100, Ok(&INITIAL[3..])),
        (0, 0, Ok(&[])),
        (17, 0, Ok(&[])),
        (17, 100, Ok(&[])),
        (18, 0, Err(status::INVALID_PARAMETER)),
        (18, 100, Err(status::INVALID_PARAMETER)),
        (0, FRAGMENT + 1, Err(status::INVALID_LENGTH)),
        (17, FRAGMENT + 1, Err(status::INVALID_LENGTH)),
        (18, FRAGMENT + 1, Err(status::INVALID_LENGTH)),
        (0, 1 << 40, Err(status::INVALID_LENGTH)),
        (1 << 40, 1, Err(status::INVALID_PARAMETER)),
    ] {
        let found = platform.read_blobs(channel, offset, count);
        assert_eq!(
            found.as_deref(),
            expected.as_ref().copied(),
            "{count} at {offset}"
        );
    }
}

fn array_is_written_and_read_in_fragments(place: Place) {
    for (options, fragment) in [
        (Options::default(), FRAGMENT),
        (small_messages(), SMALL_FRAGMENT),
    ] {
        let mut bench = Bench::bare(place, Protocol::Two, options);
        for (length, part, seed) in [
            (5_000, fragment, 1),
            (5_000, 1_000, 2),
            // A fragment that is full, and the last byte alone.
            (fragment + 1, fragment, 3),
            (fragment, fragment, 4),
            (2 * fragment, fragment, 5),
            // A shorter array leaves nothing of the longer one.
            (18, 5, 6),
            (17, 17, 7),
        ] {
            let whole = array(length, seed);
            let channel = bench.channel;
            let platform = bench.platform();
            let written = platform.write_all_blobs(channel, &whole, part, None);
            assert_eq!(written, Ok(()), "{length} in parts of {part}");
            for part in [part, fragment] {
                assert_eq!(platform.read_all_blobs(channel, part), whole);
            }
            bench.replug();
            let channel = bench.channel;
            assert_eq!(read(bench.platform(), channel), whole);
            bench.restart();
            let channel = bench.channel;
            assert_eq!(read(bench.platform(), channel), whole);
        }
    }
}

fn capacity_is_exact(place: Place) {
    let mut least = Options::default();
    least.profile.ctap.max_serialized_large_blob_array = 1024;
    for (options, capacity) in [(Options::default(), CAPACITY), (least, 1024)] {
        let rig = place.rig_with(options);
        let (mut platform, channel) = open(&rig);
        let fits = array(capacity, 1);
        let written = platform.write_all_blobs(channel, &fits, FRAGMENT, None);
        assert_eq!(written, Ok(()));
        for (length, expected) in [
            (capacity + 1, status::LARGE_BLOB_STORAGE_FULL),
            (1 << 17, status::LARGE_BLOB_STORAGE_FULL),
            (1 << 40, status::LARGE_BLOB_STORAGE_FULL),
            (16, status::INVALID_PARAMETER),
            (1, status::INVALID_PARAMETER),
            (0, status::INVALID_PARAMETER),
        ] {
            let refused = platform.write_blobs(channel, &[0x80], 0, Some(length), None);
            assert_eq!(refused, Err(expected), "{length}");
        }
        // No byte more than was announced.
        let start = &fits[..1000];
        assert_eq!(
            platform.write_blobs(channel, start, 0, Some(1001), None),
            Ok(())
        );
        let refused = platform.write_blobs(channel, &[1, 2], 1000, None, None);
        assert_eq!(refused, Err(status::INVALID_PARAMETER));
        let refused = platform.write_blobs(channel, start, 0, Some(999), None);
        assert_eq!(refused, Err(status::INVALID_PARAMETER));
        assert_eq!(read(&mut platform, channel), fits);
    }
}

fn array_of_another_hash_changes_nothing(place: Place) {
    let rig = place.rig();
    let (mut platform, channel) = open(&rig);
    let before = array(100, 1);
    let written = platform.write_all_blobs(channel, &before, 100, None);
    assert_eq!(written, Ok(()));
    let commits = rig.vaults[0].commits();
    for at in [0, 83, 84, 99] {
        for part in [100, 99, 50] {
            let mut spoilt = array(100, 2);
            spoilt[at] ^= 1;
            let outcome = platform.write_all_blobs(channel, &spoilt, part, None);
            assert_eq!(outcome, Err(status::INTEGRITY_FAILURE), "byte {at}");
            // It is over: neither more nor the same again goes on.
            for (bytes, offset) in [(&[][..], 100), (&spoilt[50..], 50)] {
                let outcome = platform.write_blobs(channel, bytes, offset, None, None);
                assert_eq!(outcome, Err(status::INVALID_SEQ));
            }
        }
    }
    assert_eq!(read(&mut platform, channel), before);
    assert_eq!(rig.vaults[0].commits(), commits, "nothing was stored");
}

fn fragment_that_is_not_the_next_is_refused(place: Place) {
    let rig = place.rig();
    let (mut platform, channel) = open(&rig);
    let whole = array(300, 1);
    let outcome = platform.write_blobs(channel, &whole[100..], 100, None, None);
    assert_eq!(outcome, Err(status::INVALID_SEQ), "nothing has begun");
    let begun = platform.write_blobs(channel, &whole[..100], 0, Some(300), None);
    assert_eq!(begun, Ok(()));
    for offset in [1, 99, 101, 200, 300, 301, 1 << 33, 1_u64 << 40] {
        let members = vec![(2, Value::from(&whole[100..200])), (3, Value::from(offset))];
        let outcome = platform.large_blobs(channel, members);
        assert_eq!(outcome, Err(status::INVALID_SEQ), "{offset}");
    }
    for (part, offset) in [(&whole[100..200], 100), (&whole[200..], 200)] {
        let written = platform.write_blobs(channel, part, offset, None, None);
        assert_eq!(written, Ok(()));
    }
    assert_eq!(read(&mut platform, channel), whole);
    let outcome = platform.write_blobs(channel, &[], 300, None, None);
    assert_eq!(outcome, Err(status::INVALID_SEQ), "it is whole");
}

fn refused_fragment_leaves_those_before_it(place: Place) {
    let rig = place.rig();
    let (mut platform, channel) = open(&rig);
    let whole = array(300, 1);
    let begun = platform.write_blobs(channel, &whole[..100], 0, Some(300), None);
    assert_eq!(begun, Ok(()));
    let part = &whole[100..];
    let invalid = status::INVALID_PARAMETER;
    for (name, members, expected) in [
        ("a length", set(part, 100, Some(300), None), invalid),
        ("too much", set(&array(201, 1), 100, None, None), invalid),
        (
            "too long",
            set(&[0; FRAGMENT + 1], 100, None, None),
            status::INVALID_LENGTH,
        ),
        ("a bad start", set(part, 0, None, None), invalid),
        ("a start too short", set(part, 0, Some(16), None), invalid),
        (
            "a start too long",
            set(part, 0, Some(CAPACITY + 1), None),
            status::LARGE_BLOB_STORAGE_FULL,
        ),
    ] {
        let outcome = platform.large_blobs(channel, members);
        assert_eq!(outcome, Err(expected), "{name}");
    }
    // Reading is the same command, and an empty fragment adds nothing.
    assert_eq!(read(&mut platform, channel), INITIAL);
    assert_eq!(platform.write_blobs(channel, &[], 100, None, None), Ok(()));
    assert_eq!(platform.write_blobs(channel, part, 100, None, None), Ok(()));
    assert_eq!(read(&mut platform, channel), whole);
}

fn first_fragment_begins_anew(place: Place) {
    let rig = place.rig();
    let (mut platform, channel) = open(&rig);
    let (old, new) = (array(300, 1), array(200, 2));
    let begun = platform.write_blobs(channel, &old[..250], 0, Some(300), None);
    assert_eq!(begun, Ok(()));
    let begun = platform.write_blobs(channel, &new[..50], 0, Some(200), None);
    assert_eq!(begun, Ok(()));
    let outcome = platform.write_blobs(channel, &old[250..], 250, None, None);
    assert_eq!(outcome, Err(status::INVALID_SEQ));
    let outcome = platform.write_blobs(channel, &new[50..], 50, None, None);
    assert_eq!(outcome, Ok(()));
    assert_eq!(read(&mut platform, channel), new);
    // One that is refused for what it holds has ended what was before it all the same.
    let begun = platform.write_blobs(channel, &old[..250], 0, Some(300), None);
    assert_eq!(begun, Ok(()));
    let refused = platform.write_blobs(channel, &new[..18], 0, Some(17), None);
    assert_eq!(refused, Err(status::INVALID_PARAMETER));
    for offset in [18, 250] {
        let outcome = platform.write_blobs(channel, &old[250..], offset, None, None);
        assert_eq!(outcome, Err(status::INVALID_SEQ));
    }
    // An empty one begins, too.
    assert_eq!(
        platform.write_blobs(channel, &[], 0, Some(300), None),
        Ok(())
    );
    let written = platform.write_all_blobs(channel, &old, 300, None);
    assert_eq!(written, Ok(()));
    assert_eq!(read(&mut platform, channel), old);
}

fn another_command_ends_a_write(place: Place) {
    let rig = place.rig();
    let (mut platform, channel) = open(&rig);
    let whole = array(100, 1);
    for between in [GET_INFO, SELECTION] {
        let begun = platform.write_blobs(channel, &whole[..50], 0, Some(100), None);
        assert_eq!(begun, Ok(()));
        // CTAPHID's own commands are none of the authenticator's.
        platform.call(channel, command::PING, &[1]);
        assert_eq!(
            platform.write_blobs(channel, &whole[50..60], 50, None, None),
            Ok(())
        );
        platform.ctap2(channel, between, None).expect("it works");
        let outcome = platform.write_blobs(channel, &whole[60..], 60, None, None);
        assert_eq!(outcome, Err(status::INVALID_SEQ));
    }
    assert_eq!(read(&mut platform, channel), INITIAL);
}

fn write_belongs_to_its_channel(place: Place) {
    let rig = place.rig();
    let (mut platform, one) = open(&rig);
    let two = platform.init();
    let (mine, yours) = (array(100, 1), array(100, 2));
    let begun = platform.write_blobs(one, &mine[..50], 0, Some(100), None);
    assert_eq!(begun, Ok(()));
    let outcome = platform.write_blobs(two, &mine[50..], 50, None, None);
    assert_eq!(outcome, Err(status::INVALID_SEQ));
    // What another channel does leaves it alone.
    platform.info(two).expect("getInfo");
    let made = MakeCredential::discoverable("example.com", b"alice");
    platform.make(two, &made).expect("a credential");
    let refused = platform.write_blobs(two, &yours, 0, Some(16), None);
    assert_eq!(refused, Err(status::INVALID_PARAMETER));
    let written = platform.write_all_blobs(two, &yours, 100, None);
    assert_eq!(written, Ok(()));
    assert_eq!(
        platform.write_blobs(one, &mine[50..], 50, None, None),
        Ok(())
    );
    assert_eq!(read(&mut platform, two), mine);
}

/// A member of a request that is right, but for a text under another key.
fn member(key: i64) -> (i64, Value) {
    let value = match key {
        1 => Value::from(1),
        2 => Value::from(array(100, 1)),
        3 => Value::from(0),
        4 => Value::from(100),
        5 => Value::Bytes(vec![0; 32]),
        6 => Value::from(2),
        _ => Value::Null,
    };
    (key, value)
}

#[rustfmt::skip] // one case a line
const WRONG_TOGETHER: [(&str, &[i64]); 11] = [
    ("nothing", &[]),
    ("an offset alone", &[3]),
    ("get without an offset", &[1]),
    ("set without an offset", &[2, 4]),
    ("get and set", &[1, 2, 3]),
    ("get and set and length", &[1, 2, 3, 4]),
    ("get with a length", &[1, 3, 4]),
    ("get with a param", &[1, 3, 5]),
    ("get with a protocol", &[1, 3, 6]),
    ("get with both", &[1, 3, 5, 6]),
    ("set without a length", &[2, 3]),
];

fn wrong_request_has_its_status(place: Place) {
    let rig = place.rig();
    let (mut platform, channel) = open(&rig);
    for (name, keys) in WRONG_TOGETHER {
        let members = keys.iter().map(|key| member(*key)).collect();
        let outcome = platform.large_blobs(channel, members);
        assert_eq!(outcome, Err(status::INVALID_PARAMETER), "{name}");
    }
    let unexpected = status::CBOR_UNEXPECTED_TYPE;
    for wrong in [Value::from("text"), Value::from(-1), Value::from(true)] {
        for key in 1..=6 {
            let others: &[i64] = if key == 1 { &[3] } else { &[2, 3, 4, 5, 6] };
            let others = others.iter().filter(|other| **other != key);
            let mut members: Vec<_> = others.map(|key| member(*key)).collect();
            members.push((key, wrong.clone()));
            let outcome = platform.large_blobs(channel, members);
            assert_eq!(outcome, Err(unexpected), "{key} is {wrong:?}");
        }
    }
    for (parameters, expected) in [
        (&[][..], status::INVALID_CBOR),
        (&[0xa2, 0x01, 0x01, 0x03, 0x00, 0x00], status::INVALID_CBOR),
        (&[0xa2, 0x03, 0x00, 0x01, 0x01], status::INVALID_CBOR),
        (&[0x80], unexpected),
    ] {
        let payload = [&[LARGE_BLOBS], parameters].concat();
        assert_eq!(platform.raw_status(channel, &payload), expected);
    }
    // Without a PIN a param is not looked at; unknown members never are.
    let members = [2, 3, 4, 5, 6, 0x7f].map(member).into();
    assert_eq!(platform.large_blobs(channel, members), Ok(Value::Null));
    assert_eq!(read(&mut platform, channel), array(100, 1));
}

fn key_without_large_blobs_has_no_such_command(place: Place) {
    for name in ["fido-2.0", "fido-2.1-pin", "no-prf", "tiny"] {
        let mut bench = Bench::bare(place, Protocol::Two, of_profile(name));
        assert_eq!(bench.option("largeBlobs"), None, "{name}");
        assert_eq!(cbor::member(&bench.info(), 0x0b), None, "{name}");
        let channel = bench.channel;
        let platform = bench.platform();
        let outcome = platform.read_blobs(channel, 0, 17);
        assert_eq!(outcome, Err(status::INVALID_COMMAND), "{name}");
        let outcome = platform.write_blobs(channel, &INITIAL, 0, Some(17), None);
        assert_eq!(outcome, Err(status::INVALID_COMMAND), "{name}");
    }
}
