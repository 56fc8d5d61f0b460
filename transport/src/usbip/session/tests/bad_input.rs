//! Hosts that ask for what makes no sense: a stall, an error or the end of that session.

use super::*;

#[test]
fn seqnum_of_a_waiting_transfer_ends_the_session() {
    let mut session = configured();
    send(&mut session, &[interrupt_in(5), interrupt_in(5)].concat());
    assert_eq!(violation(&mut session), Violation::SeqNumReused(SeqNum(5)));
    let mut session = configured();
    send(
        &mut session,
        &[interrupt_in(5), interrupt_out(5, &[0; 64])].concat(),
    );
    assert_eq!(violation(&mut session), Violation::SeqNumReused(SeqNum(5)));
}

#[test]
fn too_long_out_transfer_stalls_and_the_next_is_read() {
    for length in [65, 4096, 0xffff] {
        let mut session = configured();
        let bytes = [
            interrupt_out(2, &vec![0xaa; length]),
            interrupt_out(3, &[1; 64]),
        ]
        .concat();
        let mut got = Vec::new();
        for chunk in bytes.chunks(1000) {
            send(&mut session, chunk);
            got.extend(events(&mut session));
        }
        assert_eq!(got, [Event::Report([1; 64])]);
        let expected = [ret(2, Status::STALL, 0), ret(3, Status::OK, 64)].concat();
        assert_eq!(output(&mut session), expected);
    }
}

#[test]
fn absurd_lengths_end_the_session_before_anything_is_kept() {
    for length in [0x1_0000, 0x7fff_ffff, 0xffff_ffff] {
        for ep in [0, 1, 2] {
            let mut session = configured();
            send(&mut session, &emit(submit(2, Direction::Out, ep, length)));
            assert_eq!(violation(&mut session), Violation::TransferLength(length));
        }
    }
}

#[test]
fn room_for_less_than_a_report_overflows_and_keeps_the_report() {
    let mut session = configured();
    for length in [0, 1, 63] {
        send(&mut session, &emit(submit(2, Direction::In, 1, length)));
        assert_eq!(events(&mut session), []);
        assert_eq!(output(&mut session), ret(2, Status::OVERFLOW, 0));
        assert!(!session.wants_report());
    }
    for length in [65, 4096, 0xffff_ffff] {
        send(&mut session, &emit(submit(2, Direction::In, 1, length)));
        assert_eq!(events(&mut session), [Event::ReportWanted]);
        assert!(session.send_report(&[1; 64]));
        assert_eq!(output(&mut session), ret_in(2, [1; 64]));
    }
}

#[test]
fn unknown_endpoints_stall() {
    let mut session = configured();
    for ep in [2, 15, 16, 0x81, 0xffff_ffff] {
        send(&mut session, &emit(submit(2, Direction::In, ep, 64)));
        send(
            &mut session,
            &[emit(submit(3, Direction::Out, ep, 2)), vec![0; 2]].concat(),
        );
        assert_eq!(events(&mut session), []);
        let expected = [ret(2, Status::STALL, 0), ret(3, Status::STALL, 0)].concat();
        assert_eq!(output(&mut session), expected, "endpoint {ep}");
    }
}

#[test]
fn isochronous_transfer_stalls_and_its_descriptors_are_skipped() {
    let mut session = configured();
    let iso = Submit {
        number_of_packets: 3,
        ..submit(2, Direction::Out, 4, 100)
    };
    let descriptors = [0xff; 48];
    send(
        &mut session,
        &[emit(iso), vec![0xff; 100], descriptors.to_vec()].concat(),
    );
    send(&mut session, &interrupt_in(3));
    assert_eq!(events(&mut session), [Event::ReportWanted]);
    assert_eq!(output(&mut session), ret(2, Status::STALL, 0));

    let iso = Submit {
        number_of_packets: 1025,
        ..submit(4, Direction::In, 4, 100)
    };
    send(&mut session, &emit(iso));
    assert_eq!(violation(&mut session), Violation::IsoPackets(1025));
}

#[test]
fn number_of_packets_means_nothing_on_our_endpoints() {
    let mut session = configured();
    for packets in [0, 1, 77, 1 << 31, NOT_ISO] {
        let transfer = Submit {
            number_of_packets: packets,
            ..submit(2, Direction::In, 1, 64)
        };
        send(&mut session, &emit(transfer));
        assert_eq!(events(&mut session), [Event::ReportWanted]);
        assert!(session.send_report(&[1; 64]));
        assert_eq!(output(&mut session), ret_in(2, [1; 64]));
    }
}

#[test]
fn another_devid_ends_the_session() {
    let other = DevId(0x0001_0002);
    for command in [
        Command::Submit(Submit {
            basic: Basic {
                devid: other,
                ..submit(2, Direction::In, 1, 64).basic
            },
            ..submit(2, Direction::In, 1, 64)
        }),
        Command::Unlink(Unlink {
            basic: Basic {
                devid: other,
                ..submit(2, Direction::In, 1, 64).basic
            },
            unlink_seqnum: SeqNum(1),
        }),
    ] {
        let mut session = configured();
        send(&mut session, &command.emit());
        assert_eq!(violation(&mut session), Violation::DevId(other));
        assert_eq!(violation(&mut session), Violation::DevId(other));
    }
}

#[test]
fn unknown_commands_and_directions_end_the_session() {
    for command in [0, 3, 4, 5, 0x0111_8003, 0xffff_ffff_u32] {
        let mut session = configured();
        let mut bytes = interrupt_in(2);
        bytes[..4].copy_from_slice(&command.to_be_bytes());
        send(&mut session, &bytes);
        assert_eq!(
            violation(&mut session),
            Violation::Header(UrbError::Command(command))
        );
    }
    let mut session = configured();
    let mut bytes = interrupt_in(2);
    bytes[12..16].copy_from_slice(&2_u32.to_be_bytes());
    send(&mut session, &bytes);
    assert_eq!(
        violation(&mut session),
        Violation::Header(UrbError::Direction(2))
    );
}

#[test]
fn control_transfer_against_its_own_direction_stalls() {
    let mut session = configured();
    // GET_DESCRIPTOR with data to the device.
    let get = Submit {
        setup: [0x80, 6, 0, 1, 0, 0, 18, 0],
        ..submit(2, Direction::Out, 0, 18)
    };
    send(&mut session, &[emit(get), vec![0; 18]].concat());
    // SET_REPORT with data from the device.
    let set = Submit {
        setup: [0x21, 9, 0, 2, 0, 0, 64, 0],
        ..submit(3, Direction::In, 0, 64)
    };
    send(&mut session, &emit(set));
    // SET_REPORT with less data than it says, and with more than a report.
    let short = Submit {
        setup: [0x21, 9, 0, 2, 0, 0, 64, 0],
        ..submit(4, Direction::Out, 0, 63)
    };
    send(&mut session, &[emit(short), vec![0; 63]].concat());
    let long = Submit {
        setup: [0x21, 9, 0, 2, 0, 0, 65, 0],
        ..submit(5, Direction::Out, 0, 65)
    };
    send(&mut session, &[emit(long), vec![0; 65]].concat());
    assert_eq!(events(&mut session), []);
    let expected: Vec<_> = (2..=5)
        .flat_map(|seqnum| ret(seqnum, Status::STALL, 0))
        .collect();
    assert_eq!(output(&mut session), expected);
}

#[test]
fn input_waits_while_output_is_full() {
    let mut session = configured();
    let request = control(9, [0x80, 6, 2, 3, 9, 4, 255, 0], 255);
    let mut sent = 0;
    // A host that asks and never takes an answer is not read on.
    while session.handle_bytes(&request) == request.len() {
        events(&mut session);
        sent += 1;
        assert!(sent < 1000);
    }
    assert!(session.is_throttled());
    assert!(
        session.output().len() < OUTPUT_LIMIT + 512,
        "{}",
        session.output().len()
    );
    // Once it does, it gets one answer for each, in order.
    let mut received = 0;
    while !session.output().is_empty() {
        received += output(&mut session).len();
        events(&mut session);
    }
    let answer = 48 + 42;
    assert_eq!(received, sent * answer);
    assert!(session.space().len() >= request.len());
}
