//! Hosts that do anything at all, in any split of the stream.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Piece {
    Random(Vec<u8>),
    Transfer(Submit, Vec<u8>),
    Unlink(u32, u32),
    Report,
}

fn piece() -> impl Strategy<Value = Piece> {
    let submit = (
        0..6_u32,
        any::<bool>(),
        prop_oneof![Just(0), Just(1), 0..20_u32],
        0..200_u32,
    )
        .prop_flat_map(|(seqnum, is_in, ep, length)| {
            let direction = if is_in { Direction::In } else { Direction::Out };
            let setup = prop_oneof![
                any::<[u8; 8]>(),
                (
                    any::<u8>(),
                    0..13_u8,
                    any::<u8>(),
                    0..7_u8,
                    any::<bool>(),
                    any::<u8>()
                )
                    .prop_map(|(t, r, low, high, ep, length)| [
                        t & 0xa3,
                        r,
                        low & 3,
                        high,
                        if ep { 0x81 } else { 0 },
                        0,
                        length,
                        0
                    ]),
            ];
            let packets = prop_oneof![Just(0), Just(NOT_ISO), 0..3_u32];
            (setup, packets).prop_map(move |(setup, number_of_packets)| {
                let transfer = submit(seqnum, direction, ep, length);
                let size = if is_in { 0 } else { length };
                let iso = if ep > 1 && number_of_packets != NOT_ISO {
                    number_of_packets
                } else {
                    0
                };
                let payload = vec![0x5a; usize::try_from(size + 16 * iso).unwrap()];
                Piece::Transfer(
                    Submit {
                        setup,
                        number_of_packets,
                        ..transfer
                    },
                    payload,
                )
            })
        });
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..120).prop_map(Piece::Random),
        12 => submit,
        3 => (100..110_u32, 0..6_u32).prop_map(|(seqnum, target)| Piece::Unlink(seqnum, target)),
        4 => Just(Piece::Report),
    ]
}

/// Runs bytes through a session in steps of the given sizes; returns the output and how it
/// ended. A report is sent at each step if one is wanted.
fn run(bytes: &[u8], steps: &[usize], reports: bool) -> (Vec<u8>, Option<Violation>) {
    let mut session = fresh();
    let mut all = Vec::new();
    let mut rest = bytes;
    let mut steps = steps.iter().cycle();
    while !rest.is_empty() {
        let step = steps.next().copied().unwrap_or(1).clamp(1, rest.len());
        let taken = session.handle_bytes(&rest[..step]);
        rest = &rest[taken..];
        loop {
            match session.poll_event() {
                Ok(Some(_)) => {
                    while reports && session.wants_report() {
                        assert!(session.send_report(&[1; 64]));
                    }
                }
                Ok(None) => break,
                Err(violation) => {
                    all.extend(output(&mut session));
                    return (all, Some(violation));
                }
            }
            assert!(session.output().len() < 2 * OUTPUT_LIMIT);
        }
        all.extend(output(&mut session));
    }
    (all, None)
}

proptest! {
    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        steps in prop::collection::vec(1..300_usize, 1..10),
    ) {
        run(&bytes, &steps, true);
    }

    #[test]
    fn split_of_the_stream_changes_nothing(
        pieces in prop::collection::vec(piece(), 0..60),
        steps in prop::collection::vec(1..300_usize, 1..10),
    ) {
        let mut bytes = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Random(random) => bytes.extend(random),
                Piece::Transfer(transfer, payload) => {
                    bytes.extend(emit(*transfer));
                    bytes.extend(payload);
                }
                Piece::Unlink(seqnum, target) => bytes.extend(unlink(*seqnum, *target)),
                Piece::Report => {}
            }
        }
        prop_assert_eq!(run(&bytes, &steps, true), run(&bytes, &[usize::MAX], true));
    }

    /// Whatever a well-framed host does: each command is answered at most once, only those that
    /// wait are not, and no answer comes after -ECONNRESET.
    #[test]
    fn each_command_gets_one_answer(pieces in prop::collection::vec(piece(), 0..80)) {
        let mut session = configured();
        let mut next = 1000;
        let mut awaited = Vec::new();
        let mut bytes = Vec::new();
        for piece in pieces {
            next += 1; // a fresh number for each
            match piece {
                Piece::Random(_) => {}
                Piece::Transfer(mut transfer, payload) => {
                    transfer.basic.seqnum = SeqNum(next);
                    awaited.push((next, transfer.basic.direction));
                    send(&mut session, &[emit(transfer), payload].concat());
                }
                Piece::Unlink(_, back) => {
                    awaited.push((next, Direction::Out));
                    send(&mut session, &unlink(next, next - 1 - back));
                }
                Piece::Report => { session.send_report(&[1; 64]); }
            }
            while session.poll_event().unwrap().is_some() {}
            bytes.extend(output(&mut session));
        }
        let mut answered = Vec::new();
        let mut unlinked = 0;
        let mut rest = &bytes[..];
        while let Some((header, after)) = rest.split_first_chunk::<48>() {
            rest = after;
            match Reply::parse(header).unwrap() {
                Reply::Submit { seqnum, actual_length, .. } => {
                    answered.push(seqnum.0);
                    // As a host does: whether data follows is known from the request.
                    if awaited.contains(&(seqnum.0, Direction::In)) {
                        rest = &rest[usize::try_from(actual_length).unwrap()..];
                    }
                }
                Reply::Unlink { seqnum, status } => {
                    answered.push(seqnum.0);
                    unlinked += usize::from(status == Status::UNLINKED);
                }
            }
        }
        prop_assert!(rest.is_empty());
        let count = answered.len();
        answered.sort_unstable();
        answered.dedup();
        prop_assert_eq!(answered.len(), count, "an answer came twice");
        let missing: Vec<_> =
            awaited.iter().map(|(number, _)| number).filter(|n| !answered.contains(n)).collect();
        prop_assert_eq!(missing.len(), session.parked.len() + unlinked);
        prop_assert!(session.parked.iter().all(|seqnum| missing.contains(&&seqnum.0)));
    }
}
