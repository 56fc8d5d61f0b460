use super::*;
use crate::hid::{Identity, KeepaliveStatus, READER_GONE_MS, READER_LEFT_MS};

const CBOR: u8 = 0x90;
const MSG: u8 = 0x83;
const INIT: u8 = 0x86;
const CANCEL: u8 = 0x91;
const PING: u8 = 0x81;
const KEEPALIVE: u8 = 0xbb;
const ERROR: u8 = 0xbf;
/// The channel before the first that the key gives.
const UNUSED: [u8; 4] = [0xff, 0xff, 0xff, 0xfe];

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn first_packet(channel: u8, command: u8, length: u16, data: &[u8]) -> Report {
    let mut report = [0; REPORT_LEN];
    report[3] = channel;
    report[4] = command;
    report[5..7].copy_from_slice(&length.to_be_bytes());
    report[7..7 + data.len()].copy_from_slice(data);
    report
}

/// A message cut into packets.
fn packets(channel: u8, command: u8, payload: &[u8]) -> Vec<Report> {
    let (head, rest) = payload.split_at(payload.len().min(57));
    let length = u16::try_from(payload.len()).unwrap();
    let mut packets = vec![first_packet(channel, command, length, head)];
    for (sequence, data) in rest.chunks(59).enumerate() {
        let mut report = [0; REPORT_LEN];
        report[3] = channel;
        report[4] = u8::try_from(sequence).unwrap();
        report[5..5 + data.len()].copy_from_slice(data);
        packets.push(report);
    }
    packets
}

/// The response of a command that went well, in so many bytes.
fn answer(length: usize) -> Vec<u8> {
    let bytes = (1..=u8::MAX).cycle();
    [0].into_iter().chain(bytes).take(length).collect()
}

fn keepalive(status: u8) -> Report {
    first_packet(1, KEEPALIVE, 1, &[status])
}

/// A key with two channels, 1 and 2, and a host that reads when it is told to.
struct Key {
    hid: Hid,
    filter: WireFilter,
}

impl Key {
    fn new() -> Self {
        let identity = Identity {
            version: [1, 2, 3],
            msg: true,
            cbor: true,
        };
        let mut key = Self {
            hid: Hid::new(identity, 0),
            filter: WireFilter::default(),
        };
        for channel in [1, 2] {
            let mut init = first_packet(0, INIT, 8, &[channel; 8]);
            init[..4].fill(0xff);
            assert_eq!(key.write(0, &init), None);
            assert_eq!(key.read()[0][18], channel);
        }
        key
    }

    fn write(&mut self, ms: u64, report: &Report) -> Option<Input> {
        self.filter.handle_time(at(ms));
        let input = self.hid.handle_report(at(ms), report);
        self.filter.handle_input(&mut self.hid, input.as_ref());
        input
    }

    /// A command on channel 1 that meets faults.
    fn begin(&mut self, ms: u64, command: u8, faults: &[Fault]) {
        let input = self.write(ms, &first_packet(1, command, 1, &[4]));
        assert!(matches!(input, Some(Input::Message { .. })), "{input:?}");
        for fault in faults {
            self.filter.arm(at(ms), *fault);
        }
    }

    fn respond(&mut self, ms: u64, response: &[u8]) {
        self.filter
            .respond(at(ms), &mut self.hid, response.to_vec());
    }

    fn read(&mut self) -> Vec<Report> {
        std::iter::from_fn(|| self.filter.poll_report(&mut self.hid)).collect()
    }

    /// What a host reads that always reads, and when.
    fn read_until(&mut self, end_ms: u64) -> Vec<(u64, Report)> {
        let mut all = Vec::new();
        let mut now_ms = self.filter.now.as_millis();
        loop {
            all.extend(self.read().into_iter().map(|report| (now_ms, report)));
            let hid = self.hid.poll_timeout().into_iter();
            let due = hid.chain(self.filter.poll_timeout()).min();
            match due.map(Instant::as_millis) {
                Some(due) if due <= end_ms => now_ms = due,
                _ => return all,
            }
            self.pass(now_ms);
        }
    }

    fn pass(&mut self, ms: u64) -> Option<Input> {
        self.filter.handle_timeout(at(ms), &mut self.hid);
        let input = self.hid.handle_timeout(at(ms));
        self.filter.handle_input(&mut self.hid, input.as_ref());
        input
    }

    /// An exchange of reports without a fault, and nothing that was left of one with.
    fn expect_normal(&mut self, ms: u64) {
        assert_eq!(self.read(), [] as [Report; 0]);
        let init = self.write(ms, &first_packet(1, INIT, 8, &[7; 8]));
        assert_eq!(init, None);
        let reply = self.read();
        assert_eq!((reply.len(), reply[0][4], reply[0][18]), (1, INIT, 1));
        self.begin(ms, CBOR, &[]);
        self.respond(ms, &answer(200));
        assert_eq!(self.read(), packets(1, CBOR, &answer(200)));
        assert!(!self.filter.poll_unplug());
        let timeouts = (self.hid.poll_timeout(), self.filter.poll_timeout());
        assert_eq!(timeouts, (None, None));
    }
}

/// What the host reads of an answer that meets faults.
fn altered(command: u8, faults: &[Fault], response: &[u8]) -> Vec<Report> {
    let mut key = Key::new();
    key.begin(0, command, faults);
    key.respond(0, response);
    let reports = key.read();
    key.expect_normal(1);
    reports
}

#[test]
fn answer_without_a_fault_is_as_it_was() {
    for length in [1, 57, 58, 116, 117, 7_609] {
        let reports = altered(CBOR, &[], &answer(length));
        assert_eq!(reports, packets(1, CBOR, &answer(length)));
    }
}

#[test]
fn lost_report_is_the_last() {
    for length in [1, 57, 58, 300] {
        for command in [CBOR, MSG] {
            let mut expected = packets(1, command, &answer(length));
            expected.pop();
            let reports = altered(command, &[Fault::DropReport], &answer(length));
            assert_eq!(reports, expected, "{length}");
        }
    }
}

#[test]
fn first_report_comes_twice() {
    for length in [1, 300] {
        let mut expected = packets(1, CBOR, &answer(length));
        expected.insert(0, expected[0]);
        let reports = altered(CBOR, &[Fault::DuplicateReport], &answer(length));
        assert_eq!(reports, expected);
    }
}

#[test]
fn flipped_bit_is_in_the_last_byte_of_the_message() {
    for length in [1, 2, 56, 57, 58, 59, 115, 116, 117, 7_609] {
        let mut response = answer(length);
        *response.last_mut().unwrap() ^= 1;
        let reports = altered(CBOR, &[Fault::CorruptReport], &answer(length));
        assert_eq!(reports, packets(1, CBOR, &response), "{length}");
    }
}

#[test]
fn neighbours_change_places() {
    let whole = packets(1, CBOR, &answer(300));
    let reports = altered(CBOR, &[Fault::ReorderReports], &answer(300));
    assert_eq!(reports[..3], [whole[0], whole[2], whole[1]]);
    assert_eq!(reports[3..], whole[3..]);
    let whole = packets(1, CBOR, &answer(100));
    let reports = altered(CBOR, &[Fault::ReorderReports], &answer(100));
    assert_eq!(reports, [whole[1], whole[0]]);
    let whole = packets(1, CBOR, &answer(10));
    let reports = altered(CBOR, &[Fault::ReorderReports], &answer(10));
    assert_eq!(reports, [whole[0], keepalive(1)]);
}

#[test]
fn sequence_number_is_one_too_high() {
    let mut expected = packets(1, CBOR, &answer(300));
    expected[1][4] = 1;
    let reports = altered(CBOR, &[Fault::WrongSequence], &answer(300));
    assert_eq!(reports, expected);
    let mut stray = [0; REPORT_LEN];
    stray[3] = 1;
    let whole = packets(1, CBOR, &answer(10));
    let reports = altered(CBOR, &[Fault::WrongSequence], &answer(10));
    assert_eq!(reports, [stray, whole[0]]);
}

#[test]
fn answer_on_a_channel_that_nobody_has() {
    let mut expected = packets(1, CBOR, &answer(300));
    for report in &mut expected {
        report[..4].copy_from_slice(&UNUSED);
    }
    let reports = altered(CBOR, &[Fault::WrongChannel], &answer(300));
    assert_eq!(reports, expected);
}

#[test]
fn several_faults_of_one_answer_all_show() {
    let every = [
        Fault::WrongChannel,
        Fault::DropReport,
        Fault::DuplicateReport,
        Fault::ReorderReports,
        Fault::WrongSequence,
        Fault::CorruptReport,
    ];
    for length in [1, 58, 117, 300] {
        let mut expected = packets(1, CBOR, &answer(length)).len();
        // One more for the stray packet or keepalive of the shortest.
        expected += usize::from(length == 1);
        let reports = altered(CBOR, &every, &answer(length));
        assert_eq!(reports.len(), expected);
        assert_eq!(reports[0], reports[1]);
        assert!(reports.iter().all(|report| report[..4] == UNUSED));
    }
}

#[test]
fn late_answer_has_keepalives_before_it() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::DelayReport(120)]);
    key.respond(10, &answer(100));
    let mut expected = vec![(50, keepalive(1)), (100, keepalive(1))];
    let whole = packets(1, CBOR, &answer(100));
    expected.extend(whole.into_iter().map(|report| (130, report)));
    assert_eq!(key.read_until(129), expected[..2]);
    // The key is busy until then, as with any command.
    key.write(129, &first_packet(2, PING, 1, &[1]));
    assert_eq!(key.read(), [first_packet(2, ERROR, 1, &[6])]);
    assert_eq!(key.read_until(10_000), expected[2..]);
    key.expect_normal(10_000);
}

#[test]
fn late_answer_of_u2f_comes_without_keepalives() {
    let mut key = Key::new();
    key.begin(0, MSG, &[Fault::DelayReport(120)]);
    key.respond(0, &[0x90, 0]);
    let expected = [(120, first_packet(1, MSG, 2, &[0x90, 0]))];
    assert_eq!(key.read_until(10_000), expected);
    key.expect_normal(10_000);
}

#[test]
fn late_answer_that_init_aborts_never_comes() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::DelayReport(1_000)]);
    key.respond(0, &answer(100));
    let init = key.write(500, &first_packet(1, INIT, 8, &[7; 8]));
    assert_eq!(init, Some(Input::Aborted));
    assert_eq!(key.read()[0][4], INIT);
    assert_eq!(key.read_until(10_000), []);
    key.expect_normal(10_000);
}

#[test]
fn late_answer_is_given_up_when_nobody_reads() {
    let mut key = Key::new();
    for command in [CBOR, MSG] {
        key.begin(0, command, &[Fault::DelayReport(u32::MAX)]);
        key.respond(0, &answer(100));
        key.hid.handle_reader(at(100), false);
        assert_eq!(key.pass(99 + READER_LEFT_MS), None);
        let gone = key.pass(100 + READER_LEFT_MS);
        assert_eq!(gone, Some(Input::Aborted));
        key.expect_normal(1_000);
    }
    // Nor when the host never began to.
    key.begin(0, CBOR, &[Fault::EndlessKeepalives]);
    key.respond(0, &answer(100));
    key.pass(50);
    assert_eq!(key.pass(50 + READER_GONE_MS), Some(Input::Aborted));
    key.expect_normal(10_000);
}

#[test]
fn trickling_reports_leave_one_by_one_and_others_pass() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::SlowTrickle(300)]);
    key.respond(10, &answer(150));
    let whole = packets(1, CBOR, &answer(150));
    key.filter.handle_time(at(10));
    assert_eq!(key.read_until(309), [(10, whole[0])]);
    key.write(309, &first_packet(2, INIT, 8, &[3; 8]));
    key.write(309, &first_packet(2, PING, 1, &[1]));
    let others = key.read();
    assert_eq!((others.len(), others[0][4]), (2, INIT));
    assert_eq!(others[1], first_packet(2, ERROR, 1, &[6]));
    assert_eq!(key.read_until(609), [(310, whole[1])]);
    // Its own client asks too early. What waited here could keep others from being answered.
    key.write(609, &first_packet(1, PING, 1, &[1]));
    assert_eq!(key.read(), [first_packet(1, ERROR, 1, &[6])]);
    for _ in 0..100 {
        key.write(609, &first_packet(1, PING, 1, &[1]));
    }
    assert_eq!(key.read().len(), 63);
    assert_eq!(key.read_until(909), [(610, whole[2])]);
    assert_eq!(key.read_until(10_000), []);
    key.expect_normal(10_000);
}

#[test]
fn trickle_that_init_aborts_is_over() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::SlowTrickle(300)]);
    key.respond(0, &answer(150));
    assert_eq!(key.read().len(), 1);
    key.write(100, &first_packet(1, INIT, 8, &[7; 8]));
    let reply = key.read();
    assert_eq!((reply.len(), reply[0][4]), (1, INIT));
    key.expect_normal(100);
}

#[test]
fn swallowed_keepalives_leave_the_answer_alone() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::NoKeepalives]);
    key.hid.set_status(at(0), KeepaliveStatus::UpNeeded);
    assert_eq!(key.read_until(400), []);
    key.write(400, &first_packet(2, INIT, 8, &[3; 8]));
    assert_eq!(key.read()[0][4], INIT);
    key.respond(410, &answer(100));
    assert_eq!(key.read(), packets(1, CBOR, &answer(100)));
    key.expect_normal(410);
}

#[test]
fn endless_keepalives_end_with_cancel_or_init() {
    for command in [CBOR, MSG] {
        for end in [CANCEL, INIT] {
            let mut key = Key::new();
            key.begin(0, command, &[Fault::EndlessKeepalives]);
            key.respond(0, &answer(100));
            let times: Vec<_> = (50..=60_000).step_by(50).collect();
            let expected: Vec<_> = times.into_iter().map(|ms| (ms, keepalive(1))).collect();
            assert_eq!(key.read_until(60_000), expected);
            let nonce = [7; 8];
            let (length, data): (u16, &[u8]) = if end == INIT { (8, &nonce) } else { (0, &[]) };
            let input = key.write(60_000, &first_packet(1, end, length, data));
            let expected = if end == INIT {
                Input::Aborted
            } else {
                Input::Cancel
            };
            assert_eq!(input, Some(expected));
            let replies = key.read_until(90_000);
            assert_eq!(replies.len(), usize::from(end == INIT));
            key.expect_normal(90_000);
        }
    }
}

#[test]
fn cancel_before_an_answer_that_is_swallowed_is_followed_by_silence() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::EndlessKeepalives]);
    let input = key.write(10, &first_packet(1, CANCEL, 0, &[]));
    assert_eq!(input, Some(Input::Cancel));
    key.respond(10, &[0x2d]);
    assert_eq!(key.read_until(10_000), []);
    key.expect_normal(10_000);
}

#[test]
fn unplugged_key_is_silent_until_power_comes() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::UnplugBeforeAnswer]);
    key.respond(10, &answer(100));
    assert!(key.filter.poll_timeout().is_some(), "an event is due");
    assert!(key.filter.poll_unplug() && !key.filter.poll_unplug());
    key.filter.handle_power(false);
    key.write(20, &first_packet(2, INIT, 8, &[3; 8]));
    assert_eq!(key.read(), [] as [Report; 0]);
    key.filter.handle_power(true);
    assert_eq!(key.read()[0][4], INIT);
    key.hid.give_up();
    key.expect_normal(30);
}

#[test]
fn command_that_fails_is_not_unplugged() {
    let cases: [(u8, &[u8], bool); 5] = [
        (CBOR, &[0], true),
        (CBOR, &[0x2e], false),
        (MSG, &[1, 2, 0x90, 0], true),
        (MSG, &[0x69, 0x85], true),
        (MSG, &[0x6a, 0x80], false),
    ];
    for (command, response, unplugged) in cases {
        let mut key = Key::new();
        key.begin(0, command, &[Fault::UnplugBeforeAnswer]);
        key.respond(0, response);
        assert_eq!(key.filter.poll_unplug(), unplugged, "{response:02x?}");
        let left = packets(1, command, response);
        assert_eq!(key.read(), if unplugged { Vec::new() } else { left });
    }
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::UnplugBeforeAnswer]);
    key.write(0, &first_packet(1, CANCEL, 0, &[]));
    key.respond(0, &answer(5));
    assert_eq!(key.read(), packets(1, CBOR, &answer(5)));
}

#[test]
fn touch_ends_when_its_keepalive_was_taken() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::UnplugDuringTouch]);
    key.pass(50);
    assert_eq!(key.read(), [keepalive(1)]);
    key.hid.set_status(at(60), KeepaliveStatus::UpNeeded);
    key.filter.handle_touch_wanted(at(60));
    assert!(key.filter.ends_touch() && !key.filter.poll_unplug());
    assert_eq!(key.read(), [keepalive(2)]);
    assert!(key.filter.poll_unplug());
    // A host that reads nothing is not waited for.
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::UnplugDuringTouch]);
    key.filter.handle_touch_wanted(at(60));
    key.pass(109);
    assert!(!key.filter.poll_unplug());
    assert_eq!(key.filter.poll_timeout(), Some(at(110)));
    key.pass(110);
    assert!(key.filter.poll_unplug());
}

#[test]
fn touch_that_is_cancelled_first_is_no_unplugging() {
    let mut key = Key::new();
    key.begin(0, CBOR, &[Fault::UnplugDuringTouch]);
    key.filter.handle_touch_wanted(at(0));
    key.write(10, &first_packet(1, CANCEL, 0, &[]));
    key.respond(10, &[0x2d]);
    assert!(!key.filter.ends_touch());
    assert_eq!(key.read_until(1_000), [(10, packets(1, CBOR, &[0x2d])[0])]);
    key.expect_normal(1_000);
}

#[test]
fn host_that_never_reads_gets_no_more_than_one_answer() {
    let mut key = Key::new();
    let faults = [
        Fault::DuplicateReport,
        Fault::ReorderReports,
        Fault::SlowTrickle(1),
    ];
    key.begin(0, CBOR, &faults);
    key.respond(0, &answer(300));
    for ms in 1..1_000 {
        key.write(ms, &first_packet(1, CBOR, 1, &[4]));
        key.write(ms, &first_packet(2, CBOR, 1, &[4]));
        key.respond(ms, &answer(300));
        key.pass(ms);
    }
    let reports = key.read_until(100_000).len();
    assert!(reports <= 7 + 64, "{reports}");
    key.expect_normal(100_000);
}
