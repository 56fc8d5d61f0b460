//! Faults of the reports that carry an answer: what a host sees, byte for byte, and that the next
//! operation works.

mod random;

use roamkey_ctap::{Decision, Fault, FaultRule, Withdrawn};

use crate::support::{
    ctap2::{
        GET_INFO, GET_NEXT_ASSERTION, GetAssertion, MakeCredential, Outcome, SELECTION, status,
    },
    ctaphid::{BROADCAST, Channel, Keepalive, Platform, command, error, first_packet, packets},
    host::Report,
    rig::{Options, Place, Rig, virtual_scenarios},
    u2f::apdu,
};

virtual_scenarios!(
    long_answer_is_wrong_in_just_one_way,
    answer_of_one_report_is_wrong_in_just_one_way,
    answer_of_u2f_is_wrong_as_any,
    late_answer_has_keepalives_before_it_and_leaves_others_alone,
    late_answer_ends_with_init,
    answer_that_trickles_is_whole,
    command_without_keepalives_is_answered,
    endless_keepalives_end_when_the_client_ends_them,
    endless_keepalives_end_with_the_program,
    unplugged_after_init_works_when_plugged_in_again,
    unplugged_between_packets_works_when_plugged_in_again,
    unplugged_during_a_touch_does_nothing,
    unplugged_before_the_answer_has_done_it,
    cancelled_or_failed_command_is_not_unplugged,
    fault_is_met_as_often_as_it_is_armed,
    power_ends_every_fault,
);

pub(super) fn rule(fault: Fault, remaining: Option<u32>) -> FaultRule {
    FaultRule {
        fault,
        remaining,
        command: None,
        rp_id: None,
    }
}

fn arm(rig: &Rig, fault: Fault) {
    rig.world().arm(0, rule(fault, Some(1)));
}

/// Every report that comes within the time, and when.
fn timed(platform: &mut Platform, ms: u64) -> Vec<(u64, Report)> {
    let begun_ms = platform.host.now_ms();
    let mut all = Vec::new();
    loop {
        let passed_ms = platform.host.now_ms() - begun_ms;
        let Some(report) = platform.host.read(ms.saturating_sub(passed_ms)) else {
            return all;
        };
        all.push((platform.host.now_ms() - begun_ms, report));
    }
}

/// The same without the times.
pub(super) fn reports(platform: &mut Platform, ms: u64) -> Vec<Report> {
    let timed = timed(platform, ms);
    timed.into_iter().map(|(_, report)| report).collect()
}

/// The reports that answer a message.
fn exchange(platform: &mut Platform, channel: Channel, command: u8, payload: &[u8]) -> Vec<Report> {
    platform.send(channel, command, payload);
    reports(platform, 1_000)
}

/// INIT and the next operation work, and nothing is left over.
fn expect_normal(platform: &mut Platform, channel: Channel) {
    platform.expect_silence(1_000);
    assert_eq!(platform.init_on(channel).channel, channel);
    platform.info(channel).expect("getInfo");
    let another = platform.init();
    platform.info(another).expect("getInfo of another client");
    platform.expect_silence(60_000);
}

fn expect_unplugged(rig: &Rig, mut platform: Platform) -> Platform {
    assert!(platform.host.is_gone_within(1_000), "it is unplugged");
    drop(platform);
    assert_eq!(rig.world().next_timeout(0), None, "no power, nothing to do");
    let mut platform = rig.attach();
    let channel = platform.init();
    expect_normal(&mut platform, channel);
    platform
}

/// What a fault makes of an answer's reports.
type Alter = fn(&mut Vec<Report>);

/// Runs a command without a fault and with it, and compares what the host reads.
fn compare(place: Place, command: u8, payload: &[u8], cases: &[(Fault, Alter)]) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for (fault, alter) in cases {
        let mut expected = exchange(&mut platform, channel, command, payload);
        alter(&mut expected);
        arm(&rig, *fault);
        let got = exchange(&mut platform, channel, command, payload);
        assert_eq!(got, expected, "{fault:?}");
        expect_normal(&mut platform, channel);
    }
}

/// The last byte of a message in its reports.
fn last_byte(reports: &mut [Report]) -> &mut u8 {
    let length = usize::from(u16::from_be_bytes([reports[0][5], reports[0][6]]));
    let at = match length {
        0..=57 => 6 + length,
        _ => 5 + (length - 58) % 59,
    };
    let last = reports.last_mut().expect("a report");
    assert!(last[at + 1..].iter().all(|byte| *byte == 0), "padding");
    &mut last[at]
}

fn lose_last(reports: &mut Vec<Report>) {
    reports.pop();
}

fn first_twice(reports: &mut Vec<Report>) {
    reports.insert(0, reports[0]);
}

fn flip_last(reports: &mut [Report]) {
    *last_byte(reports) ^= 1;
}

fn long_answer_is_wrong_in_just_one_way(place: Place) {
    let cases: [(Fault, Alter); 5] = [
        (Fault::DropReport, lose_last),
        (Fault::DuplicateReport, first_twice),
        (Fault::CorruptReport, |reports| flip_last(reports)),
        (Fault::ReorderReports, |reports| reports.swap(1, 2)),
        (Fault::WrongSequence, |reports| reports[1][4] = 1),
    ];
    compare(place, command::CBOR, &[GET_INFO], &cases);
}

/// A stray report of the channel that `reports` are for.
fn stray(reports: &[Report], head: &[u8]) -> Report {
    let mut stray = [0; 64];
    stray[..4].copy_from_slice(&reports[0][..4]);
    stray[4..4 + head.len()].copy_from_slice(head);
    stray
}

fn answer_of_one_report_is_wrong_in_just_one_way(place: Place) {
    let cases: [(Fault, Alter); 5] = [
        (Fault::DropReport, lose_last),
        (Fault::DuplicateReport, first_twice),
        (Fault::CorruptReport, |reports| flip_last(reports)),
        (Fault::ReorderReports, |reports| {
            reports.push(stray(reports, &[0xbb, 0, 1, 1]));
        }),
        (Fault::WrongSequence, |reports| {
            reports.insert(0, stray(reports, &[0]));
        }),
    ];
    compare(place, command::CBOR, &[GET_NEXT_ASSERTION], &cases);
}

fn answer_of_u2f_is_wrong_as_any(place: Place) {
    let cases: [(Fault, Alter); 3] = [
        (Fault::DropReport, lose_last),
        (Fault::DuplicateReport, first_twice),
        (Fault::CorruptReport, |reports| flip_last(reports)),
    ];
    compare(place, command::MSG, &apdu(0x03, 0, &[]), &cases);
}

fn late_answer_has_keepalives_before_it_and_leaves_others_alone(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let (channel, other) = (platform.init(), platform.init());
    arm(&rig, Fault::DelayReport(220));
    let begun_ms = platform.host.now_ms();
    platform.start(channel, GET_INFO, None);
    platform.idle(170);
    // Others find the key as busy as with any command.
    platform.expect_error(other, command::PING, &[1], error::CHANNEL_BUSY);
    assert_eq!(platform.init_on(other).channel, other);
    let (_, keepalives) = platform.finish(channel).expect("getInfo");
    assert_eq!(platform.host.now_ms() - begun_ms, 220);
    let keepalives: Vec<_> = keepalives
        .iter()
        .map(|Keepalive { at_ms, status }| (at_ms - begun_ms, *status))
        .collect();
    assert_eq!(keepalives, [(50, 1), (100, 1), (150, 1), (200, 1)]);
    for channel in [channel, other] {
        expect_normal(&mut platform, channel);
    }
}

fn late_answer_ends_with_init(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    arm(&rig, Fault::DelayReport(60_000));
    platform.start(channel, GET_INFO, None);
    platform.idle(1_000);
    // The client is busy with its own.
    platform.send(channel, command::PING, &[1]);
    assert_eq!(
        platform.answer(channel).message.payload,
        [error::CHANNEL_BUSY]
    );
    assert_eq!(platform.init_on(channel).channel, channel);
    expect_normal(&mut platform, channel);
}

fn answer_that_trickles_is_whole(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let expected = exchange(&mut platform, channel, command::CBOR, &[GET_INFO]);
    assert!(expected.len() > 2);
    arm(&rig, Fault::SlowTrickle(300));
    platform.start(channel, GET_INFO, None);
    let got = timed(&mut platform, 10_000);
    let times = got.iter().map(|(at_ms, _)| *at_ms);
    let wanted = (0..).step_by(300).take(expected.len());
    assert!(times.eq(wanted), "{got:?}");
    assert!(got.iter().map(|(_, report)| report).eq(&expected));
    expect_normal(&mut platform, channel);
    // A client that starts over is not answered twice.
    arm(&rig, Fault::SlowTrickle(300));
    platform.start(channel, GET_INFO, None);
    assert_eq!(reports(&mut platform, 400), expected[..2]);
    assert_eq!(platform.init_on(channel).channel, channel);
    expect_normal(&mut platform, channel);
}

fn command_without_keepalives_is_answered(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    arm(&rig, Fault::NoKeepalives);
    platform.start(channel, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    platform.expect_silence(20_000);
    rig.decide(&asked, Decision::Approved);
    let (_, keepalives) = platform.finish(channel).expect("approved");
    assert_eq!(keepalives, []);
    expect_normal(&mut platform, channel);
    // The next has its keepalives again.
    platform.start(channel, SELECTION, None);
    rig.approve(&mut platform);
    let (_, keepalives) = platform.finish(channel).expect("approved");
    assert!(!keepalives.is_empty());
}

fn endless_keepalives_end_when_the_client_ends_them(place: Place) {
    let rig = place.rig();
    for cancels in [true, false] {
        let mut platform = rig.attach();
        let channel = platform.init();
        arm(&rig, Fault::EndlessKeepalives);
        platform.start(channel, GET_INFO, None);
        let got = timed(&mut platform, 60_000);
        let times = got.iter().map(|(at_ms, _)| *at_ms);
        assert!(times.eq((50..=60_000).step_by(50)));
        let keepalive = first_packet(channel, command::KEEPALIVE, 1, &[1]);
        assert!(got.iter().all(|(_, report)| *report == keepalive));
        if cancels {
            platform.send(channel, command::CANCEL, &[]);
        } else {
            platform.init_on(channel);
        }
        expect_normal(&mut platform, channel);
        // Power ends them, too.
        arm(&rig, Fault::EndlessKeepalives);
        platform.start(channel, GET_INFO, None);
        platform.idle(500);
        drop(platform);
        assert_eq!(rig.world().next_timeout(0), None);
        let mut platform = rig.attach();
        let channel = platform.init();
        expect_normal(&mut platform, channel);
    }
}

fn endless_keepalives_end_with_the_program(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    arm(&rig, Fault::EndlessKeepalives);
    platform.start(channel, GET_INFO, None);
    platform.idle(500);
    platform.close();
    rig.world().pass(60);
    platform.reopen();
    let channel = platform.init();
    platform.info(channel).expect("the key is not busy");
    expect_normal(&mut platform, channel);
}

fn unplugged_after_init_works_when_plugged_in_again(place: Place) {
    let rig = place.rig();
    arm(&rig, Fault::UnplugAfterInit);
    let mut platform = rig.attach();
    let channel = platform.init();
    assert_ne!(channel, BROADCAST, "INIT is answered");
    expect_unplugged(&rig, platform);
}

fn unplugged_between_packets_works_when_plugged_in_again(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    arm(&rig, Fault::UnplugBetweenPackets);
    // What fits one packet does not meet it.
    platform.info(channel).expect("getInfo");
    let message = packets(channel, command::PING, &[1; 58]);
    platform.write(&message[0]);
    expect_unplugged(&rig, platform);
}

fn register(platform: &mut Platform, channel: Channel) {
    let request = MakeCredential::discoverable("example.com", b"alice");
    platform.start_make(channel, &request);
}

/// Whether there is a credential.
fn credential(platform: &mut Platform) -> Outcome<()> {
    let channel = platform.init();
    let request = GetAssertion::new("example.com", &[]).silent();
    platform.get(channel, &request).map(drop)
}

fn unplugged_during_a_touch_does_nothing(place: Place) {
    for held in [true, false] {
        let options = if held {
            Options::held()
        } else {
            Options::default()
        };
        let mut rig = place.rig_with(options);
        let mut platform = rig.attach();
        let channel = platform.init();
        arm(&rig, Fault::UnplugDuringTouch);
        platform.info(channel).expect("no touch, no unplugging");
        arm(&rig, Fault::UnplugDuringTouch);
        register(&mut platform, channel);
        let announcement = first_packet(channel, command::KEEPALIVE, 1, &[2]);
        assert_eq!(reports(&mut platform, 1_000), [announcement]);
        let mut platform = expect_unplugged(&rig, platform);
        if held {
            let asked = rig.wait_asked(&mut platform);
            let reason = rig.wait_withdrawn(&mut platform, &asked);
            assert_eq!(reason, Withdrawn::HostGone);
        }
        let outcome = credential(&mut platform);
        assert_eq!(outcome, Err(status::NO_CREDENTIALS), "never touched");
    }
    // A host that reads nothing is not waited for.
    let rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.close();
    arm(&rig, Fault::UnplugDuringTouch);
    register(&mut platform, channel);
    rig.world().pass(50);
    expect_unplugged(&rig, platform);
}

fn unplugged_before_the_answer_has_done_it(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    arm(&rig, Fault::UnplugBeforeAnswer);
    register(&mut platform, channel);
    let announcement = first_packet(channel, command::KEEPALIVE, 1, &[2]);
    let got = reports(&mut platform, 1_000);
    assert!(got.iter().all(|report| *report == announcement), "{got:?}");
    let mut platform = expect_unplugged(&rig, platform);
    assert_eq!(credential(&mut platform), Ok(()));
}

fn cancelled_or_failed_command_is_not_unplugged(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for fault in [Fault::UnplugBeforeAnswer, Fault::UnplugDuringTouch] {
        arm(&rig, fault);
        let outcome = credential(&mut platform);
        assert_eq!(outcome, Err(status::NO_CREDENTIALS));
        expect_normal(&mut platform, channel);
    }
    arm(&rig, Fault::UnplugBeforeAnswer);
    platform.start(channel, SELECTION, None);
    rig.wait_asked(&mut platform);
    platform.send(channel, command::CANCEL, &[]);
    let outcome = platform.finish(channel).map(drop);
    assert_eq!(outcome, Err(status::KEEPALIVE_CANCEL));
    expect_normal(&mut platform, channel);
    arm(&rig, Fault::UnplugBeforeAnswer);
    platform.start(channel, SELECTION, None);
    rig.wait_asked(&mut platform);
    platform.init_on(channel);
    expect_normal(&mut platform, channel);
}

fn fault_is_met_as_often_as_it_is_armed(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    rig.world().arm(0, rule(Fault::DropReport, Some(2)));
    rig.world().arm(0, rule(Fault::NoKeepalives, None));
    let lost = [GET_NEXT_ASSERTION];
    for left in [0, 0, 1, 1] {
        let got = exchange(&mut platform, channel, command::CBOR, &lost);
        assert_eq!(got.len(), left);
        // What no authenticator answers meets none.
        let got = exchange(&mut platform, channel, command::PING, &[1; 100]);
        assert_eq!(got.len(), 2);
    }
    rig.world().disarm_all(0);
    expect_normal(&mut platform, channel);
}

fn power_ends_every_fault(place: Place) {
    let rig = place.rig();
    for fault in [Fault::DelayReport(60_000), Fault::SlowTrickle(60_000)] {
        let mut platform = rig.attach();
        let channel = platform.init();
        arm(&rig, fault);
        platform.start(channel, GET_INFO, None);
        platform.host.read(1_000);
        drop(platform);
        assert_eq!(rig.world().next_timeout(0), None, "{fault:?}");
        let mut platform = rig.attach();
        let channel = platform.init();
        expect_normal(&mut platform, channel);
    }
}
