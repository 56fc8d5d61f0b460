use super::*;

const IDENTITY: Identity = Identity {
    version: [1, 2, 3],
    msg: true,
    cbor: true,
};

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// An initialization packet.
fn init(channel: u32, command: u8, length: u16, data: &[u8]) -> [u8; REPORT_LEN] {
    let mut report = [0; REPORT_LEN];
    report[..4].copy_from_slice(&channel.to_be_bytes());
    report[4] = command | 0x80;
    report[5..7].copy_from_slice(&length.to_be_bytes());
    report[7..7 + data.len()].copy_from_slice(data);
    report
}

fn continuation(channel: u32, sequence: u8) -> [u8; REPORT_LEN] {
    let mut report = [0xaa; REPORT_LEN];
    report[..4].copy_from_slice(&channel.to_be_bytes());
    report[4] = sequence;
    report
}

/// A key with two channels, 1 and 2.
fn hid() -> Hid {
    let mut hid = Hid::new(IDENTITY, 0);
    for channel in [1_u8, 2] {
        let nonce = [channel; 8];
        hid.handle_report(at(0), &init(0xffff_ffff, command::INIT, 8, &nonce));
        let reply = hid.poll_report().unwrap();
        assert_eq!(reply[7..15], nonce);
        assert_eq!(reply[15..19], [0, 0, 0, channel]);
        assert_eq!(reply[19..24], [2, 1, 2, 3, 0x05]);
    }
    hid
}

/// The only report that is queued: its channel, command and first data byte.
fn only(hid: &mut Hid) -> (u8, u8, u8) {
    let report = hid.poll_report().expect("a report");
    assert_eq!(hid.poll_report(), None);
    (report[3], report[4], report[7])
}

/// Sends a CBOR command of one byte on the channel.
fn begin_cbor(hid: &mut Hid, channel: u32) {
    let input = hid.handle_report(at(0), &init(channel, command::CBOR, 1, &[4]));
    assert!(matches!(input, Some(Input::Message { .. })));
}

#[test]
fn message_of_full_length_is_assembled_and_cut_again() {
    let mut hid = hid();
    let length = u16::try_from(MAX_MESSAGE_LEN).unwrap();
    hid.handle_report(at(0), &init(1, command::PING, length, &[0xaa; 57]));
    for sequence in 0..=127 {
        assert_eq!(hid.poll_report(), None);
        hid.handle_report(at(0), &continuation(1, sequence));
    }
    let first = hid.poll_report().unwrap();
    assert_eq!(first[4], command::PING | 0x80);
    assert_eq!(first[5..7], length.to_be_bytes());
    for sequence in 0..=127 {
        let packet = hid.poll_report().unwrap();
        assert_eq!(packet[4], sequence);
        assert_eq!(packet[5..], [0xaa; 59]);
    }
    assert_eq!(hid.poll_report(), None);
}

#[test]
fn each_fault_has_its_error() {
    let error = command::ERROR | 0x80;
    let cases: [(u32, u8, u16, HidError); 12] = [
        (1, 0x3c, 0, HidError::InvalidCommand),
        (1, command::KEEPALIVE, 1, HidError::InvalidCommand),
        (1, command::ERROR, 1, HidError::InvalidCommand),
        (1, command::PING, 7610, HidError::InvalidLength),
        (1, command::CBOR, 0, HidError::InvalidLength),
        (1, command::WINK, 1, HidError::InvalidLength),
        (1, command::LOCK, 2, HidError::InvalidLength),
        (1, command::INIT, 7, HidError::InvalidLength),
        (0, command::PING, 1, HidError::InvalidChannel),
        (3, command::PING, 1, HidError::InvalidChannel),
        (3, command::INIT, 8, HidError::InvalidChannel),
        (0xffff_ffff, command::PING, 1, HidError::InvalidChannel),
    ];
    for (channel, command, length, expected) in cases {
        let mut hid = hid();
        let input = hid.handle_report(at(0), &init(channel, command, length, &[]));
        assert_eq!(input, None);
        let reply = hid.poll_report().unwrap();
        assert_eq!(reply[..4], channel.to_be_bytes(), "{command:#x}");
        assert_eq!(
            (reply[4], reply[7]),
            (error, expected as u8),
            "{command:#x}"
        );
        assert_eq!(hid.poll_report(), None);
    }
    let mut hid = hid();
    hid.handle_report(at(0), &init(1, command::LOCK, 1, &[11]));
    assert_eq!(only(&mut hid), (1, error, HidError::InvalidParameter as u8));
}

#[test]
fn msg_on_a_key_without_u2f_is_an_invalid_command() {
    let identity = Identity {
        msg: false,
        ..IDENTITY
    };
    let mut hid = Hid::new(identity, 0);
    hid.handle_report(at(0), &init(0xffff_ffff, command::INIT, 8, &[0; 8]));
    assert_eq!(hid.poll_report().unwrap()[23], 0x05 | CAPABILITY_NMSG);
    hid.handle_report(at(0), &init(1, command::MSG, 4, &[0; 4]));
    assert_eq!(
        hid.poll_report().unwrap()[7],
        HidError::InvalidCommand as u8
    );
}

#[test]
fn unfinished_message_times_out_unasked() {
    let mut hid = hid();
    hid.handle_report(at(10), &init(1, command::PING, 100, &[]));
    assert_eq!(hid.poll_timeout(), Some(at(510)));
    hid.handle_timeout(at(509));
    assert_eq!(hid.poll_report(), None);
    hid.handle_timeout(at(510));
    let timeout = HidError::MessageTimeout as u8;
    assert_eq!(only(&mut hid), (1, command::ERROR | 0x80, timeout));
    assert_eq!(hid.poll_timeout(), None);
    // What comes late belongs to nothing.
    hid.handle_report(at(511), &continuation(1, 0));
    assert_eq!(hid.poll_report(), None);
}

#[test]
fn wrong_sequence_ends_the_message() {
    let mut hid = hid();
    hid.handle_report(at(0), &init(1, command::PING, 200, &[]));
    hid.handle_report(at(0), &continuation(2, 0));
    hid.handle_report(at(0), &continuation(1, 0));
    assert_eq!(hid.poll_report(), None);
    hid.handle_report(at(0), &continuation(1, 2));
    let error = (1, command::ERROR | 0x80, HidError::InvalidSequence as u8);
    assert_eq!(only(&mut hid), error);
    hid.handle_report(at(0), &init(1, command::PING, 200, &[]));
    hid.handle_report(at(0), &init(1, command::PING, 1, &[7]));
    assert_eq!(only(&mut hid), error);
    hid.handle_report(at(0), &init(1, command::PING, 1, &[7]));
    assert_eq!(only(&mut hid), (1, command::PING | 0x80, 7));
}

#[test]
fn other_channels_are_busy_until_the_response_has_left() {
    let mut hid = hid();
    let busy = (2, command::ERROR | 0x80, HidError::ChannelBusy as u8);
    begin_cbor(&mut hid, 1);
    hid.handle_report(at(0), &init(2, command::PING, 1, &[1]));
    assert_eq!(only(&mut hid), busy);
    hid.respond(vec![0; 60]);
    hid.handle_report(at(0), &init(2, command::PING, 1, &[1]));
    let reports: Vec<_> = std::iter::from_fn(|| hid.poll_report()).collect();
    let heads: Vec<_> = reports.iter().map(|r| (r[3], r[4])).collect();
    assert_eq!(heads, [(1, 0x90), (1, 0), (2, 0xbf)]);
    hid.handle_report(at(0), &init(2, command::PING, 1, &[1]));
    assert_eq!(only(&mut hid), (2, command::PING | 0x80, 1));
}

#[test]
fn init_on_a_busy_channel_drops_what_was_queued() {
    let mut hid = hid();
    begin_cbor(&mut hid, 1);
    hid.set_status(at(0), KeepaliveStatus::UpNeeded);
    let input = hid.handle_report(at(0), &init(1, command::INIT, 8, &[9; 8]));
    assert_eq!(input, Some(Input::Aborted));
    let reply = hid.poll_report().unwrap();
    assert_eq!((reply[4], reply[18]), (command::INIT | 0x80, 1));
    hid.respond(vec![0]);
    assert_eq!(hid.poll_report(), None);
    assert_eq!(hid.poll_timeout(), None);
}

#[test]
fn cancel_reaches_the_channels_own_cbor_command_only() {
    let mut hid = hid();
    let cancel = |channel| init(channel, command::CANCEL, 0, &[]);
    assert_eq!(hid.handle_report(at(0), &cancel(1)), None);
    begin_cbor(&mut hid, 1);
    assert_eq!(hid.handle_report(at(0), &cancel(2)), None);
    assert_eq!(hid.handle_report(at(0), &cancel(1)), Some(Input::Cancel));
    assert_eq!(hid.poll_report(), None);
}

#[test]
fn keepalives_come_every_50_ms_and_one_at_most_waits() {
    let mut hid = hid();
    begin_cbor(&mut hid, 1);
    assert_eq!(hid.poll_timeout(), Some(at(50)));
    hid.handle_timeout(at(50));
    assert_eq!(only(&mut hid), (1, 0xbb, 1));
    assert_eq!(hid.poll_timeout(), Some(at(100)));
    hid.set_status(at(60), KeepaliveStatus::UpNeeded);
    hid.handle_timeout(at(110));
    hid.handle_timeout(at(160));
    assert_eq!(only(&mut hid), (1, 0xbb, 2));
    hid.respond(vec![0]);
    assert_eq!(only(&mut hid), (1, 0x90, 0));
    assert_eq!(hid.poll_timeout(), None);
}

#[test]
fn touch_is_given_up_when_nobody_reads_keepalives() {
    let mut hid = hid();
    begin_cbor(&mut hid, 1);
    hid.set_status(at(100), KeepaliveStatus::UpNeeded);
    assert_eq!(hid.poll_timeout(), Some(at(100 + READER_GONE_MS)));
    assert_eq!(hid.handle_timeout(at(2_099)), None);
    assert_eq!(hid.handle_timeout(at(2_100)), Some(Input::Aborted));
    assert_eq!(hid.poll_report(), None);
    // Storage that takes its time is no such wait.
    begin_cbor(&mut hid, 1);
    hid.handle_timeout(at(50));
    assert_eq!(hid.handle_timeout(at(60_000)), None);
    assert_eq!(hid.poll_timeout(), None);
}

#[test]
fn touch_is_given_up_soon_after_the_reader_left() {
    let mut hid = hid();
    begin_cbor(&mut hid, 1);
    hid.set_status(at(0), KeepaliveStatus::UpNeeded);
    hid.poll_report();
    // A host whose read timed out begins the next at once.
    hid.handle_reader(at(20), false);
    hid.handle_reader(at(25), true);
    assert_eq!(hid.handle_timeout(at(20 + READER_LEFT_MS)), None);
    hid.poll_report();
    hid.handle_reader(at(80), false);
    assert_eq!(
        hid.poll_timeout(),
        Some(at(80 + READER_LEFT_MS).min(at(120)))
    );
    assert_eq!(hid.handle_timeout(at(79 + READER_LEFT_MS)), None);
    let gone = hid.handle_timeout(at(80 + READER_LEFT_MS));
    assert_eq!(gone, Some(Input::Aborted));
    assert_eq!(hid.poll_report(), None);
}

#[test]
fn lock_keeps_others_out_until_it_ends() {
    let mut hid = hid();
    hid.handle_report(at(0), &init(1, command::LOCK, 1, &[2]));
    assert_eq!(only(&mut hid), (1, command::LOCK | 0x80, 0));
    let ping = |channel| init(channel, command::PING, 1, &[5]);
    hid.handle_report(at(1_999), &ping(2));
    let busy = (2, command::ERROR | 0x80, HidError::ChannelBusy as u8);
    assert_eq!(only(&mut hid), busy);
    hid.handle_report(at(1_999), &ping(1));
    assert_eq!(only(&mut hid), (1, command::PING | 0x80, 5));
    hid.handle_report(at(2_000), &ping(2));
    assert_eq!(only(&mut hid), (2, command::PING | 0x80, 5));
    hid.handle_report(at(3_000), &init(1, command::LOCK, 1, &[10]));
    hid.poll_report();
    hid.handle_report(at(3_000), &init(1, command::LOCK, 1, &[0]));
    hid.poll_report();
    hid.handle_report(at(3_000), &ping(2));
    assert_eq!(only(&mut hid), (2, command::PING | 0x80, 5));
}

#[test]
fn host_that_never_reads_is_not_buffered_without_end() {
    let mut hid = hid();
    for _ in 0..10_000 {
        hid.handle_report(at(0), &init(0xffff_ffff, command::INIT, 8, &[0; 8]));
        hid.handle_report(at(0), &init(1, 0x3c, 0, &[]));
        hid.handle_report(at(0), &init(1, command::PING, 1, &[0]));
    }
    let queued = std::iter::from_fn(|| hid.poll_report()).count();
    assert_eq!(queued, MAX_QUEUED);
    // And the key still works.
    hid.handle_report(at(0), &init(1, command::PING, 1, &[3]));
    assert_eq!(only(&mut hid), (1, command::PING | 0x80, 3));
}
