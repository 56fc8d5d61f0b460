//! What is durable of large blobs: the whole array or nothing of it, whenever power goes.

use roamkey_ctap::{Change, Record};

use crate::support::{
    bench::Bench,
    cbor,
    ctap2::{LARGE_BLOBS, RESET, status},
    ctaphid::{Channel, Platform, command},
    large_blobs::{INITIAL, array, set},
    pin::Protocol,
    rig::{Options, Place, Rig, scenarios, virtual_scenarios},
    vault::Failure,
};

/// maxSerializedLargeBlobArray of the default profile.
const CAPACITY: usize = 16_384;
/// Its longest fragment: an array of [`CAPACITY`] takes two of these and a third.
const FRAGMENT: usize = 7609 - 64;

scenarios!(reset_brings_the_initial_array_back);

virtual_scenarios!(
    power_cycle_between_fragments_ends_a_write,
    whole_array_is_one_change_that_comes_before_the_answer,
    power_loss_leaves_the_old_array_or_the_new_one,
    failed_commit_leaves_what_is_durable,
    failed_reset_keeps_what_is_durable,
);

fn bench(place: Place) -> Bench {
    Bench::bare(place, Protocol::Two, Options::default())
}

fn read(bench: &mut Bench) -> Vec<u8> {
    let channel = bench.channel;
    bench.platform().read_all_blobs(channel, FRAGMENT)
}

fn write(bench: &mut Bench, whole: &[u8], fragment: usize) -> Result<(), u8> {
    let channel = bench.channel;
    bench
        .platform()
        .write_all_blobs(channel, whole, fragment, None)
}

/// Writes all but the last fragment of an array of [`CAPACITY`].
fn write_most(platform: &mut Platform, channel: Channel, whole: &[u8]) {
    for offset in [0, FRAGMENT] {
        let length = (offset == 0).then_some(whole.len());
        let part = &whole[offset..offset + FRAGMENT];
        let written = platform.write_blobs(channel, part, offset, length, None);
        assert_eq!(written, Ok(()));
    }
}

/// Sends the last fragment of an array of [`CAPACITY`] and waits for no answer.
fn send_last(platform: &mut Platform, channel: Channel, whole: &[u8]) {
    let offset = 2 * FRAGMENT;
    let parameters = cbor::map(set(&whole[offset..], offset, None, None));
    platform.start(channel, LARGE_BLOBS, Some(&parameters));
}

/// The array that is durable, if one was ever written.
fn stored(rig: &Rig) -> Option<Vec<u8>> {
    let mut records = rig.vaults[0].records().into_iter();
    records.find_map(|record| match record {
        Record::LargeBlobs(array) => Some(array),
        _ => None,
    })
}

fn reset_brings_the_initial_array_back(place: Place) {
    let mut bench = bench(place);
    assert_eq!(write(&mut bench, &array(CAPACITY, 1), FRAGMENT), Ok(()));
    bench.reset();
    assert_eq!(read(&mut bench), INITIAL);
    bench.restart();
    assert_eq!(read(&mut bench), INITIAL);
    assert_eq!(stored(&bench.rig), None);
}

fn power_cycle_between_fragments_ends_a_write(place: Place) {
    let mut bench = bench(place);
    let (before, after) = (array(100, 1), array(CAPACITY, 2));
    assert_eq!(write(&mut bench, &before, 100), Ok(()));
    for again in [Bench::replug, Bench::restart] {
        let channel = bench.channel;
        write_most(bench.platform(), channel, &after);
        again(&mut bench);
        let channel = bench.channel;
        send_last(bench.platform(), channel, &after);
        let outcome = bench.platform().finish(channel).map(drop);
        assert_eq!(outcome, Err(status::INVALID_SEQ));
        assert_eq!(read(&mut bench), before);
    }
}

fn whole_array_is_one_change_that_comes_before_the_answer(place: Place) {
    let rig = place.rig();
    let vault = rig.vaults[0].clone();
    let mut platform = rig.attach();
    let channel = platform.init();
    let whole = array(CAPACITY, 1);
    vault.hold_commits();
    write_most(&mut platform, channel, &whole);
    assert_eq!(vault.commits(), 0, "nothing is stored, and nothing waits");
    send_last(&mut platform, channel, &whole);
    rig.wait_until(&mut platform, |_| vault.is_committing());
    for _ in 0..3 {
        let message = platform.recv(channel, 20_000).expect("a keepalive");
        assert_eq!(message.command, command::KEEPALIVE, "no answer yet");
    }
    vault.release_commit();
    platform.finish(channel).expect("it is durable");
    let changes: Vec<_> = vault.sets().into_iter().flatten().collect();
    let expected = Change::Put(Record::LargeBlobs(whole.clone()));
    assert!(changes == [expected], "the array, once and whole");
    assert_eq!(platform.read_all_blobs(channel, FRAGMENT), whole);
}

fn power_loss_leaves_the_old_array_or_the_new_one(place: Place) {
    for durable in [false, true] {
        let mut bench = bench(place);
        let vault = bench.rig.vaults[0].clone();
        let (before, after) = (array(9_000, 1), array(CAPACITY, 2));
        assert_eq!(write(&mut bench, &before, FRAGMENT), Ok(()));
        vault.hold_commits();
        let channel = bench.channel;
        let platform = bench.platform();
        write_most(platform, channel, &after);
        send_last(platform, channel, &after);
        platform.idle(100);
        assert!(vault.is_committing());
        assert_eq!(stored(&bench.rig), Some(before.clone()));
        bench.unplug();
        if durable {
            vault.release_commit();
        } else {
            vault.lose_commit();
        }
        bench.restart();
        let expected = if durable { after } else { before };
        assert_eq!(read(&mut bench), expected);
    }
}

fn failed_commit_leaves_what_is_durable(place: Place) {
    for failure in [Failure::NotStored, Failure::Stored] {
        let mut bench = bench(place);
        let (before, after) = (array(200, 1), array(300, 2));
        assert_eq!(write(&mut bench, &before, 200), Ok(()));
        bench.rig.vaults[0].fail_next(failure);
        assert_eq!(write(&mut bench, &after, 100), Err(status::OTHER));
        bench.pass(100);
        let expected = match failure {
            Failure::NotStored => &before,
            Failure::Stored => &after,
        };
        assert_eq!(read(&mut bench), *expected);
        assert_eq!(write(&mut bench, &after, 100), Ok(()), "the key works on");
        assert_eq!(read(&mut bench), after);
    }
}

fn failed_reset_keeps_what_is_durable(place: Place) {
    for failure in [Failure::NotStored, Failure::Stored] {
        let mut bench = bench(place);
        let whole = array(200, 1);
        assert_eq!(write(&mut bench, &whole, 200), Ok(()));
        bench.replug();
        bench.rig.vaults[0].fail_next(failure);
        let channel = bench.channel;
        let outcome = bench.platform().ctap2(channel, RESET, None);
        assert_eq!(outcome, Err(status::OTHER));
        bench.pass(100);
        let expected = match failure {
            Failure::NotStored => whole.as_slice(),
            Failure::Stored => &INITIAL,
        };
        assert_eq!(read(&mut bench), expected);
    }
}
