//! Whole sessions of hostile bytes, split anywhere, into [`Session`].
//!
//! A model reads the same stream with framing of its own and holds the output against it: every
//! command is answered once and in order, but for interrupt-IN transfers, which wait for a report,
//! are unlinked, or end with the endpoint; and the split of the stream changes nothing.
//!
//! Input: a byte for each of three steps (how many bytes arrive together), one that says how many
//! reports the key has ready at each event, then the stream. Deliberately absent: what the import
//! says before a session (`op`).

use std::collections::VecDeque;

use roamkey_transport::{
    Event, REPORT_LEN,
    limits::{OUTPUT_LIMIT, PARKED_LIMIT},
    usb::{Direction, Identity, IdentityFields},
    usbip::{
        session::{Session, Violation},
        urb::DevId,
    },
};

/// Twice what a session holds back at: one command's answer may go over.
const OUTPUT_BOUND: usize = 2 * OUTPUT_LIMIT;
const DEVID: u32 = 0x0001_0001;
const ECONNRESET: i32 = -104;

/// A command of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Command {
    seqnum: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Submit {
        direction: Direction,
        ep: u32,
        /// Bytes that the host has room for, or sent.
        length: u32,
        setup: [u8; 8],
    },
    Unlink {
        target: u32,
    },
}

impl Kind {
    fn may_wait(self) -> bool {
        matches!(
            self,
            Self::Submit {
                direction: Direction::In,
                ep: 1,
                ..
            }
        )
    }
}

/// What the model reads in a stream.
struct Framed {
    commands: VecDeque<Command>,
    /// Whether the stream, if nobody hangs up before, ends between two commands.
    whole: bool,
    /// Whether a header ends the session by itself.
    broken: bool,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[4 * at..4 * at + 4].try_into().expect("four bytes"))
}

/// Framing after Linux's Documentation/usb/usbip_protocol.rst.
fn frame(mut rest: &[u8]) -> Framed {
    let mut framed = Framed {
        commands: VecDeque::new(),
        whole: true,
        broken: false,
    };
    while !rest.is_empty() {
        framed.whole = false;
        let Some((header, behind)) = rest.split_at_checked(48) else {
            return framed;
        };
        let (command, direction, devid) = (word(header, 0), word(header, 3), word(header, 2));
        let (ep, length, packets) = (word(header, 4), word(header, 6), word(header, 8));
        framed.broken = true;
        if !matches!(command, 1 | 2) || direction > 1 || devid != DEVID {
            return framed;
        }
        let seqnum = word(header, 1);
        if command == 2 {
            framed.broken = false;
            let target = word(header, 5);
            let kind = Kind::Unlink { target };
            framed.commands.push_back(Command { seqnum, kind });
            (rest, framed.whole) = (behind, true);
            continue;
        }
        let is_in = direction == 1;
        let payload = if is_in { 0 } else { length };
        let packets = if ep <= 1 || packets == u32::MAX {
            0
        } else {
            packets
        };
        if payload > 0xffff || packets > 1024 {
            return framed;
        }
        framed.broken = false;
        let kind = Kind::Submit {
            direction: if is_in { Direction::In } else { Direction::Out },
            ep,
            length,
            setup: header[40..].try_into().expect("eight bytes"),
        };
        // A payload that is no report's, and what follows it, is skipped: answered before it came.
        let (payload, packets) = (payload as usize, 16 * packets as usize);
        let kept = if payload <= REPORT_LEN { payload } else { 0 };
        if behind.len() < kept {
            return framed;
        }
        framed.commands.push_back(Command { seqnum, kind });
        let Some(after) = behind.get(payload + packets..) else {
            return framed;
        };
        (rest, framed.whole) = (after, true);
    }
    framed
}

/// What a session did with a stream.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    output: Vec<u8>,
    /// How often the host was heard of, in each way.
    events: Vec<Event>,
    violation: Option<Violation>,
    wants_report: bool,
    within_command: bool,
}

fn fresh() -> Session {
    let identity = Identity::new(IdentityFields::default()).expect("the default fits");
    Session::new(&identity, DevId(DEVID))
}

fn drain(session: &mut Session, output: &mut Vec<u8>) {
    let count = session.output().len();
    assert!(count < OUTPUT_BOUND, "{count} bytes of output wait");
    output.extend(session.output());
    session.sent(count);
    assert!(session.output().is_empty() && !session.is_throttled());
}

/// Feeds a stream in steps. `ready` has two bits for each of four events, round and round: how many
/// reports the key has then.
fn feed(stream: &[u8], steps: &[usize], ready: u8) -> Run {
    let mut session = fresh();
    let mut run = Run {
        output: Vec::new(),
        events: Vec::new(),
        violation: None,
        wants_report: false,
        within_command: false,
    };
    let mut rest = stream;
    let mut steps = steps.iter().cycle();
    while !rest.is_empty() && run.violation.is_none() {
        let step = steps.next().copied().unwrap_or(1).clamp(1, rest.len());
        let taken = session.handle_bytes(&rest[..step]);
        assert!(taken > 0, "no room, and nothing to wait for");
        rest = &rest[taken..];
        take(&mut session, &mut run, ready);
    }
    run.wants_report = session.wants_report();
    run.within_command = session.is_within_command();
    run
}

fn take(session: &mut Session, run: &mut Run, ready: u8) {
    loop {
        match session.poll_event() {
            Ok(Some(event)) => {
                let turn = 2 * (run.events.len() % 4);
                let reports = (ready >> turn) & 3;
                run.events.push(event);
                for number in 0..reports {
                    let wanted = session.wants_report();
                    assert_eq!(session.send_report(&[number; REPORT_LEN]), wanted);
                }
                assert!(session.output().len() < OUTPUT_BOUND);
            }
            Ok(None) => {
                let throttled = session.is_throttled();
                drain(session, &mut run.output);
                if !throttled {
                    return;
                }
            }
            Err(violation) => {
                run.violation = Some(violation);
                drain(session, &mut run.output);
                return;
            }
        }
    }
}

/// Holds the output against the commands; what is left of these waits for a report.
fn check(framed: &mut Framed, run: &Run) {
    let commands = &mut framed.commands;
    let mut rest = &run.output[..];
    while !rest.is_empty() {
        let (header, behind) = rest.split_at_checked(48).expect("a whole header");
        rest = behind;
        let (kind, seqnum) = (word(header, 0), word(header, 1));
        let status = word(header, 5).cast_signed();
        assert!(matches!(kind, 3 | 4), "an answer of kind {kind}");
        let is_it = |command: &Command| {
            let unlink = matches!(command.kind, Kind::Unlink { .. });
            command.seqnum == seqnum && unlink == (kind == 4)
        };
        let at = commands.iter().position(is_it);
        let at = at.unwrap_or_else(|| panic!("an answer to nothing, or a second: {seqnum}"));
        let before = commands.range(..at);
        let mut late = before.filter(|command| !command.kind.may_wait());
        assert_eq!(late.next(), None, "{seqnum} overtook it");
        let command = commands.remove(at).expect("found");
        match command.kind {
            Kind::Submit { .. } => {
                let actual = word(header, 6);
                rest = check_submit(command.kind, status, actual, rest);
            }
            Kind::Unlink { target } => check_unlink(commands, at, target, status),
        }
    }
}

fn check_submit(kind: Kind, status: i32, actual: u32, rest: &[u8]) -> &[u8] {
    let Kind::Submit {
        direction,
        ep,
        length,
        setup,
    } = kind
    else {
        return rest;
    };
    assert!(actual <= length, "{actual} bytes where {length} have room");
    assert!(status == 0 || actual == 0, "data with an error");
    assert!(ep <= 1 || status != 0, "an endpoint that is not there");
    if direction == Direction::Out {
        return rest;
    }
    let w_length = u32::from(u16::from_le_bytes([setup[6], setup[7]]));
    assert!(ep != 0 || actual <= w_length, "more than wLength");
    assert!(ep != 1 || status != 0 || actual as usize == REPORT_LEN);
    rest.get(actual as usize..).expect("the data that is told")
}

/// An unlink takes back what waits before it, which then has no answer; else that has one already.
fn check_unlink(commands: &mut VecDeque<Command>, at: usize, target: u32, status: i32) {
    let waits = |command: &Command| command.seqnum == target && command.kind.may_wait();
    let waiting = commands.range(..at).position(waits);
    match waiting {
        Some(waiting) => {
            assert_eq!(status, ECONNRESET, "{target} waits");
            commands.remove(waiting);
        }
        None => assert_eq!(status, 0, "{target} does not wait"),
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some(([a, b, c, ready], stream)) = data.split_first_chunk::<4>() else {
        return;
    };
    let steps = [a, b, c].map(|step| usize::from(*step) + 1);
    let whole = feed(stream, &[usize::MAX], *ready);
    let split = feed(stream, &steps, *ready);
    assert_eq!(whole.output, split.output, "the split changed the output");
    assert_eq!(whole.events, split.events, "the split changed the events");
    assert_eq!(whole.violation, split.violation);

    let mut framed = frame(stream);
    check(&mut framed, &whole);
    let waiting = framed.commands.iter();
    if whole.violation.is_none() {
        assert!(!framed.broken, "a broken header was taken");
        assert_eq!(whole.within_command, !framed.whole);
        assert_eq!(split.within_command, !framed.whole);
        let waiting: Vec<_> = waiting.filter(|command| !command.kind.may_wait()).collect();
        assert!(waiting.is_empty(), "not answered: {waiting:?}");
        assert!(framed.commands.len() <= PARKED_LIMIT);
        assert_eq!(whole.wants_report, !framed.commands.is_empty());
    } else {
        let reused = matches!(whole.violation, Some(Violation::SeqNumReused(_)));
        assert!(framed.broken || reused, "{:?}", whole.violation);
    }
}
