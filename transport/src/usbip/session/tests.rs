//! Sessions with hosts good and bad, in virtual time: there is none.

mod bad_input;
mod random;

use super::*;
use crate::usb::IdentityFields;
use crate::usbip::transcript::{self, Line};
use crate::usbip::urb::{Basic, NOT_ISO};

const DEVID: DevId = DevId(0x0001_0001);

fn identity() -> Identity {
    Identity::new(IdentityFields {
        serial: "SN0001".to_owned(),
        ..Default::default()
    })
    .unwrap()
}

fn fresh() -> Session {
    Session::new(&identity(), DEVID)
}

/// A session that the host configured, with nothing left to tell.
fn configured() -> Session {
    let mut session = fresh();
    send(&mut session, &control(1, [0x00, 9, 1, 0, 0, 0, 0, 0], 0));
    assert_eq!(events(&mut session), [Event::PowerOn]);
    assert_eq!(output(&mut session), ret(1, Status::OK, 0));
    session
}

fn send(session: &mut Session, bytes: &[u8]) {
    assert_eq!(session.handle_bytes(bytes), bytes.len());
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event().unwrap()).collect()
}

fn violation(session: &mut Session) -> Violation {
    loop {
        match session.poll_event() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no violation"),
            Err(violation) => return violation,
        }
    }
}

fn output(session: &mut Session) -> Vec<u8> {
    let output = session.output().to_vec();
    session.sent(output.len());
    output
}

fn submit(seqnum: u32, direction: Direction, ep: u32, length: u32) -> Submit {
    Submit {
        basic: Basic {
            seqnum: SeqNum(seqnum),
            devid: DEVID,
            direction,
            ep,
        },
        transfer_flags: 0,
        transfer_buffer_length: length,
        start_frame: 0,
        number_of_packets: 0,
        interval: 0,
        setup: [0; 8],
    }
}

fn emit(submit: Submit) -> Vec<u8> {
    Command::Submit(submit).emit().to_vec()
}

fn control(seqnum: u32, setup: [u8; 8], length: u32) -> Vec<u8> {
    let direction = Setup::parse(&setup).direction();
    emit(Submit {
        setup,
        ..submit(seqnum, direction, 0, length)
    })
}

fn interrupt_in(seqnum: u32) -> Vec<u8> {
    emit(submit(seqnum, Direction::In, 1, 64))
}

fn interrupt_out(seqnum: u32, data: &[u8]) -> Vec<u8> {
    [
        emit(submit(
            seqnum,
            Direction::Out,
            1,
            u32::try_from(data.len()).unwrap(),
        )),
        data.to_vec(),
    ]
    .concat()
}

fn unlink(seqnum: u32, target: u32) -> Vec<u8> {
    let basic = Basic {
        seqnum: SeqNum(seqnum),
        devid: DEVID,
        direction: Direction::Out,
        ep: 0,
    };
    Command::Unlink(Unlink {
        basic,
        unlink_seqnum: SeqNum(target),
    })
    .emit()
    .to_vec()
}

fn ret(seqnum: u32, status: Status, actual_length: u32) -> Vec<u8> {
    Reply::Submit {
        seqnum: SeqNum(seqnum),
        status,
        actual_length,
    }
    .emit()
    .to_vec()
}

fn ret_in(seqnum: u32, report: [u8; 64]) -> Vec<u8> {
    [ret(seqnum, Status::OK, 64), report.to_vec()].concat()
}

fn ret_unlink(seqnum: u32, status: Status) -> Vec<u8> {
    Reply::Unlink {
        seqnum: SeqNum(seqnum),
        status,
    }
    .emit()
    .to_vec()
}

/// Plays a transcript behind its import; returns what the host did.
fn play(text: &str) -> Vec<Event> {
    let mut session = fresh();
    let mut happened = Vec::new();
    let mut got = Vec::new();
    for line in transcript::parse(text).into_iter().skip(2) {
        match line {
            Line::Client(bytes) => {
                assert_eq!(got, [0; 0], "the transcript expects less");
                send(&mut session, &bytes);
                happened.extend(events(&mut session));
                got = output(&mut session);
            }
            Line::Report(report) => {
                assert!(session.send_report(&report));
                got.extend(output(&mut session));
            }
            Line::Server(bytes) => assert_eq!(std::mem::take(&mut got), bytes),
        }
    }
    happened
}

#[test]
fn linux_transcript_gets_every_answer() {
    let happened = play(transcript::LINUX);
    assert!(
        matches!(
            happened[..],
            [
                Event::PowerOn,
                Event::ReportWanted,
                Event::Report(_),
                Event::ReportWanted,
                Event::ReportUnwanted,
                Event::ReportWanted,
                Event::Report(_),
                Event::ReportWanted,
                Event::ReportUnwanted,
                Event::ReportUnwanted,
            ]
        ),
        "{happened:?}"
    );
}

#[test]
fn usbip_win2_transcript_gets_every_answer() {
    let happened = play(transcript::WIN2);
    assert!(
        matches!(
            happened[..],
            [
                Event::PowerOn,
                Event::ReportWanted,
                Event::Report(_),
                Event::ReportUnwanted,
                Event::ReportWanted
            ]
        ),
        "{happened:?}"
    );
}

#[test]
fn parked_transfers_are_answered_in_order() {
    let mut session = configured();
    for seqnum in [30, 10, 20] {
        send(&mut session, &interrupt_in(seqnum));
    }
    assert_eq!(events(&mut session), [Event::ReportWanted]);
    assert!(session.output().is_empty(), "nothing is invented for them");
    let mut expected = Vec::new();
    for (seqnum, byte) in [(30, 1), (10, 2), (20, 3)] {
        assert!(session.wants_report());
        assert!(session.send_report(&[byte; 64]));
        expected.extend(ret_in(seqnum, [byte; 64]));
    }
    assert!(!session.wants_report());
    assert!(!session.send_report(&[4; 64]));
    assert_eq!(output(&mut session), expected);
}

#[test]
fn unlinked_transfer_is_never_answered() {
    let mut session = configured();
    send(
        &mut session,
        &[interrupt_in(5), interrupt_in(6), unlink(7, 5)].concat(),
    );
    assert_eq!(events(&mut session), [Event::ReportWanted]);
    assert_eq!(output(&mut session), ret_unlink(7, Status::UNLINKED));
    assert!(session.send_report(&[9; 64]));
    assert_eq!(output(&mut session), ret_in(6, [9; 64]));
    assert!(!session.wants_report());
    // Its number is free again.
    send(&mut session, &[unlink(8, 5), interrupt_in(5)].concat());
    let again = [Event::ReportUnwanted, Event::ReportWanted];
    assert_eq!(events(&mut session), again);
    assert_eq!(output(&mut session), ret_unlink(8, Status::OK));
}

#[test]
fn unlink_of_a_queued_answer_says_answered() {
    let mut session = configured();
    send(&mut session, &interrupt_in(5));
    events(&mut session);
    assert!(session.send_report(&[1; 64]));
    send(&mut session, &unlink(6, 5));
    assert_eq!(events(&mut session), [Event::ReportUnwanted]);
    let expected = [ret_in(5, [1; 64]), ret_unlink(6, Status::OK)].concat();
    assert_eq!(output(&mut session), expected);
}

#[test]
fn transfers_beyond_the_bound_get_no_memory() {
    let mut session = configured();
    for seqnum in 0..32 {
        send(&mut session, &interrupt_in(100 + seqnum));
    }
    assert_eq!(events(&mut session), [Event::ReportWanted]);
    send(&mut session, &interrupt_in(200));
    assert_eq!(events(&mut session), []);
    assert_eq!(output(&mut session), ret(200, Status::NO_MEMORY, 0));
    assert!(session.send_report(&[0; 64]));
    assert_eq!(output(&mut session), ret_in(100, [0; 64]));
}

#[test]
fn out_transfers_become_reports_of_64_bytes() {
    let mut session = configured();
    let mut padded = [0; 64];
    padded[..3].copy_from_slice(&[7, 8, 9]);
    for (data, expected) in [
        (&[3; 64][..], vec![Event::Report([3; 64])]),
        (&[7, 8, 9][..], vec![Event::Report(padded)]),
        (&[][..], vec![]),
    ] {
        send(&mut session, &interrupt_out(2, data));
        assert_eq!(events(&mut session), expected);
        let length = u32::try_from(data.len()).unwrap();
        assert_eq!(output(&mut session), ret(2, Status::OK, length));
    }
}

#[test]
fn descriptor_is_cut_to_the_room_of_both_lengths() {
    let mut session = fresh();
    for (w_length, room, expected) in [
        (18, 18, 18),
        (8, 64, 8),
        (64, 64, 18),
        (18, 5, 5),
        (0, 0, 0),
    ] {
        let setup = Setup {
            request_type: 0x80,
            request: 6,
            value: 0x0100,
            index: 0,
            length: w_length,
        };
        send(&mut session, &control(2, setup.emit(), room));
        assert_eq!(events(&mut session), []);
        let output = output(&mut session);
        assert_eq!(output[..48], ret(2, Status::OK, expected));
        assert_eq!(output.len(), 48 + usize::try_from(expected).unwrap());
    }
}

#[test]
fn set_report_is_a_report() {
    let mut session = configured();
    let set = Submit {
        setup: [0x21, 9, 0, 2, 0, 0, 64, 0],
        ..submit(4, Direction::Out, 0, 64)
    };
    send(&mut session, &[emit(set), vec![5; 64]].concat());
    assert_eq!(events(&mut session), [Event::Report([5; 64])]);
    assert_eq!(output(&mut session), ret(4, Status::OK, 64));
}

#[test]
fn host_without_set_configuration_powers_on_by_its_first_transfer() {
    for (transfer, event) in [
        (interrupt_in(2), Event::ReportWanted),
        (interrupt_out(2, &[1; 64]), Event::Report([1; 64])),
    ] {
        let mut session = fresh();
        send(&mut session, &transfer);
        assert_eq!(events(&mut session), [Event::PowerOn, event]);
        send(&mut session, &control(3, [0x80, 8, 0, 0, 0, 0, 1, 0], 1));
        assert_eq!(events(&mut session), []);
        assert!(
            output(&mut session).ends_with(&[1]),
            "GET_CONFIGURATION agrees"
        );
    }
}

#[test]
fn power_on_comes_once_and_a_new_configuration_ends_what_waits() {
    let mut session = configured();
    send(&mut session, &interrupt_in(2));
    send(&mut session, &control(3, [0, 9, 1, 0, 0, 0, 0, 0], 0));
    assert_eq!(events(&mut session), [Event::ReportWanted]);
    let expected = [ret(3, Status::OK, 0), ret(2, Status::SHUTDOWN, 0)].concat();
    assert_eq!(output(&mut session), expected);
    assert!(!session.wants_report());
    // Configuration 0 takes the endpoints away.
    send(&mut session, &control(4, [0, 9, 0, 0, 0, 0, 0, 0], 0));
    send(&mut session, &interrupt_in(5));
    assert_eq!(events(&mut session), []);
    let expected = [ret(4, Status::OK, 0), ret(5, Status::STALL, 0)].concat();
    assert_eq!(output(&mut session), expected);
}

#[test]
fn halted_endpoint_stalls_until_cleared() {
    let mut session = configured();
    send(&mut session, &interrupt_in(2));
    events(&mut session);
    let set_halt = |index| [0x02, 3, 0, 0, index, 0, 0, 0];
    let clear_halt = |index| [0x02, 1, 0, 0, index, 0, 0, 0];
    send(&mut session, &control(3, set_halt(0x81), 0));
    send(&mut session, &control(4, set_halt(0x01), 0));
    send(
        &mut session,
        &[interrupt_in(5), interrupt_out(6, &[1; 64])].concat(),
    );
    assert_eq!(events(&mut session), []);
    let expected = [
        ret(3, Status::OK, 0),
        ret(2, Status::STALL, 0),
        ret(4, Status::OK, 0),
        ret(5, Status::STALL, 0),
        ret(6, Status::STALL, 0),
    ];
    assert_eq!(output(&mut session), expected.concat());
    send(&mut session, &control(7, clear_halt(0x81), 0));
    send(&mut session, &control(8, clear_halt(0x01), 0));
    send(
        &mut session,
        &[interrupt_in(9), interrupt_out(10, &[1; 64])].concat(),
    );
    assert_eq!(
        events(&mut session),
        [Event::ReportWanted, Event::Report([1; 64])]
    );
}
