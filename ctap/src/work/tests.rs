use rand_core::SeedableRng;

use super::*;
use crate::{
    Change, Decision, Device, Event, Instant, KeyState, Profile, crypto::PublicKey, status::Status,
};

fn work(seed: u8) -> Work {
    Work::generate(Algorithm::Rs256, &mut Rng::from_seed([seed; 32]))
}

fn public_key(work: Work) -> PublicKey {
    let key = work.run().into_key();
    key.expect("a key").public_key()
}

#[test]
fn work_is_a_function_of_what_was_drawn_for_it() {
    let one = public_key(work(1));
    assert_eq!(public_key(work(1)), one);
    assert_ne!(public_key(work(2)), one);
}

#[test]
fn work_shows_nothing_of_its_seed_or_its_key() {
    assert_eq!(format!("{:?}", work(1)), "Work(Rs256)");
    assert_eq!(format!("{:?}", work(1).run()), "WorkDone(..)");
}

/// A device that waits for an RSA key; the work's id, and the work.
fn waiting() -> (Device, WorkId, Work) {
    let mut rng = Rng::from_seed([3; 32]);
    let created = KeyState::create(&mut rng, 1_735_689_600, &Profile::default());
    let records = created.into_iter().filter_map(|change| match change {
        Change::Put(record) => Some(record),
        Change::Delete(_) => None,
    });
    let state = KeyState::load(records).expect("a whole key");
    let mut device = Device::new(Profile::default(), state, rng);
    let now = Instant::from_millis(0);
    device.handle_power(now, true);
    let mut init = [0; 64];
    init[..7].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x86, 0, 8]);
    device.handle_report(now, &init);
    let granted = device.poll_report().expect("INIT's answer");
    let channel = &granted[15..19];
    // makeCredential: clientDataHash, rp, user, and RS256 alone.
    let mut message = b"\x01\xa4\x01\x58\x20".to_vec();
    message.extend([1; 32]);
    message.extend(b"\x02\xa1\x62id\x6bexample.com\x03\xa1\x62id\x41\x01");
    message.extend(b"\x04\x81\xa2\x63alg\x39\x01\x00\x64type\x6apublic-key");
    let (first, rest) = message.split_at(57);
    let length = u8::try_from(message.len()).expect("a short message");
    for (head, data) in [(&[0x90, 0, length][..], first), (&[0], rest)] {
        let mut report = [channel, head, data].concat();
        report.resize(64, 0);
        device.handle_report(now, &report.try_into().expect("a report"));
    }
    let Some(Event::PresenceNeeded { id, .. }) = device.poll_event() else {
        panic!("a touch is asked for");
    };
    device.handle_decision(now, id, Decision::Approved);
    let Some(Event::Work { id, work }) = device.poll_event() else {
        panic!("work is to be done");
    };
    assert!(device.poll_event().is_none());
    (device, id, work)
}

/// The status in the next answer; `None` while keepalives come.
fn answered(device: &mut Device) -> Option<u8> {
    while let Some(report) = device.poll_report() {
        if report[4] == 0x90 {
            return Some(report[7]);
        }
    }
    None
}

#[test]
fn work_that_could_not_be_done_answers_an_error() {
    let (mut device, id, _) = waiting();
    device.handle_work_done(Instant::from_millis(10), id, WorkDone::failed());
    assert_eq!(answered(&mut device), Some(Status::Other as u8));
    assert!(device.poll_event().is_none(), "nothing is stored");
}

#[test]
fn answer_to_no_work_does_nothing() {
    let (mut device, id, work) = waiting();
    let now = Instant::from_millis(10);
    device.handle_work_done(now, WorkId(id.0 + 1), WorkDone::failed());
    assert_eq!(answered(&mut device), None);
    device.handle_work_done(now, id, work.run());
    assert!(matches!(device.poll_event(), Some(Event::Commit { .. })));
    // Told once more: the command waits for its commit now.
    device.handle_work_done(now, id, WorkDone::failed());
    assert_eq!(answered(&mut device), None);
}
