//! CTAPHID messages: every length, faults, time-outs, wink.

use roamkey::{presence::Notice, profile::Profile};
use roamkey_ctap::Version;

use crate::support::{
    cbor,
    ctap2::MakeCredential,
    ctaphid::{
        BROADCAST, Channel, MAX_MESSAGE_LEN, Message, command, error, first_packet, next_packet,
        packets,
    },
    rig::{Options, Place, scenarios, virtual_scenarios},
};

scenarios!(
    ping_of_each_length_comes_back,
    fifty_opens_and_closes_leave_a_key_that_works,
    each_fault_has_its_error_code,
    stray_continuation_is_ignored,
    lost_step_ends_the_message_and_the_next_one_works,
    wink_reaches_the_person,
    init_tells_what_the_key_is,
    key_without_u2f_says_so_and_refuses_msg,
    flood_that_nobody_reads_is_bounded_and_survived,
    input_in_single_bytes_is_understood,
);

virtual_scenarios!(
    message_that_stalls_times_out_unasked,
    message_that_comes_slowly_is_served,
);

fn bytes(length: usize) -> Vec<u8> {
    let all = (0..=u8::MAX).cycle();
    all.skip(length % 7).take(length).collect()
}

fn ping_of_each_length_comes_back(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for length in [0, 1, 57, 58, 1024, MAX_MESSAGE_LEN] {
        let payload = bytes(length);
        let answer = platform.call(channel, command::PING, &payload);
        assert_eq!(answer.message.command, command::PING);
        assert!(answer.message.payload == payload, "{length} bytes");
        assert!(answer.keepalives.is_empty());
    }
}

fn fifty_opens_and_closes_leave_a_key_that_works(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    for round in 0..50 {
        if round > 0 {
            platform.reopen();
        }
        let channel = platform.init();
        let payload = bytes(round * 7);
        let answer = platform.call(channel, command::PING, &payload);
        assert_eq!(answer.message.payload, payload, "open {round}");
        if round % 5 == 0 {
            // A program that ends before it read what it asked for.
            platform.send(channel, command::PING, &bytes(500));
        }
        platform.close();
    }
}

fn init_tells_what_the_key_is(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let response = platform.init_on(channel);
    assert_eq!(response.channel, channel, "INIT on a channel keeps it");
    assert_eq!(response.version, [0, 1, 0]);
    // CAPABILITY_WINK and CAPABILITY_CBOR; CAPABILITY_NMSG is off, since U2F is served.
    assert_eq!(response.capabilities, 0x05);
}

fn each_fault_has_its_error_code(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for unknown in [0x02, 0x05, 0x20, 0x40, 0x7e] {
        platform.expect_error(channel, unknown, &[1], error::INVALID_COMMAND);
    }
    platform.expect_error(channel, command::LOCK, &[11], error::INVALID_PARAMETER);
    platform.expect_error(channel, command::LOCK, &[1, 0], error::INVALID_LENGTH);
    platform.expect_error(channel, command::LOCK, &[], error::INVALID_LENGTH);
    platform.expect_error(channel, command::MSG, &[], error::INVALID_LENGTH);
    platform.expect_error(channel, command::WINK, &[1], error::INVALID_LENGTH);
    platform.expect_error(channel, command::CBOR, &[], error::INVALID_LENGTH);
    platform.expect_error(BROADCAST, command::INIT, &[7; 7], error::INVALID_LENGTH);
    platform.expect_error(BROADCAST, command::INIT, &[9; 9], error::INVALID_LENGTH);
    let nobody = Channel(0);
    platform.expect_error(nobody, command::INIT, &[8; 8], error::INVALID_CHANNEL);
    for command in [command::PING, command::CBOR, command::MSG] {
        platform.expect_error(BROADCAST, command, &[4], error::INVALID_CHANNEL);
        platform.expect_error(Channel(0), command, &[4], error::INVALID_CHANNEL);
        let never_given = Channel(channel.0 ^ 0x0101_0101);
        platform.expect_error(never_given, command, &[4], error::INVALID_CHANNEL);
    }
    let too_long = u16::try_from(MAX_MESSAGE_LEN + 1).unwrap();
    for length in [too_long, u16::MAX] {
        platform.write(&first_packet(channel, command::PING, length, &[0; 57]));
        let message = platform.answer(channel).message;
        assert_eq!(message, Message::error(error::INVALID_LENGTH));
    }
    let answer = platform.call(channel, command::PING, b"still here");
    assert_eq!(answer.message.payload, b"still here");
}

fn key_without_u2f_says_so_and_refuses_msg(place: Place) {
    let mut profile = Profile::default();
    profile.ctap.versions = [Version::Fido20].into();
    let rig = place.rig_with(Options {
        profile,
        ..Options::default()
    });
    let mut platform = rig.attach();
    let channel = platform.init();
    // CAPABILITY_NMSG beside the other two.
    assert_eq!(platform.init_on(channel).capabilities, 0x0d);
    platform.expect_error(channel, command::MSG, &[0; 9], error::INVALID_COMMAND);
    let info = platform.info(channel).expect("getInfo");
    let versions = cbor::member(&info, 1).and_then(|versions| versions.into_array().ok());
    assert_eq!(versions.map(|versions| versions.len()), Some(1));
}

fn flood_that_nobody_reads_is_bounded_and_survived(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.close();
    for number in 0..1_000_u64 {
        let nonce = number.to_be_bytes();
        platform.write(&first_packet(BROADCAST, command::INIT, 8, &nonce));
        platform.write(&first_packet(channel, command::PING, 57, &[1; 57]));
    }
    platform.reopen();
    let fresh = platform.init();
    let answer = platform.call(fresh, command::PING, &[2]);
    assert_eq!(answer.message.payload, [2]);
    // What the flood left is little, and the rest of it was dropped.
    let mut left = 0;
    while platform.recv(channel, 1).is_some() {
        left += 1;
    }
    assert!(left <= 64, "{left} answers were kept");
}

fn input_in_single_bytes_is_understood(place: Place) {
    let rig = place.rig_with(Options {
        single_bytes: true,
        ..Options::default()
    });
    let mut platform = rig.attach();
    let channel = platform.init();
    let answer = platform.call(channel, command::PING, &bytes(300));
    assert_eq!(answer.message.payload, bytes(300));
    let request = MakeCredential::new("example.com", b"alice");
    platform.make(channel, &request).expect("a credential");
    platform.close();
    platform.reopen();
    platform.init();
}

fn stray_continuation_is_ignored(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let (one, two) = (platform.init(), platform.init());
    platform.write(&next_packet(one, 0, &[1; 59]));
    platform.write(&next_packet(Channel(0x1234_5678), 3, &[1; 59]));
    let payload = bytes(200);
    let message = packets(one, command::PING, &payload);
    for packet in &message {
        platform.write(packet);
        if packet != &message[3] {
            // Another channel's strays do not disturb a message under way.
            platform.write(&next_packet(two, 0, &[2; 59]));
        }
    }
    assert_eq!(platform.answer(one).message.payload, payload);
    // Behind the end of a message there is no message either.
    platform.write(&next_packet(one, 3, &[1; 59]));
    let answer = platform.call(one, command::PING, b"next");
    assert_eq!(answer.message.payload, b"next");
}

fn lost_step_ends_the_message_and_the_next_one_works(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let sequence_error = Message::error(error::INVALID_SEQUENCE);

    // A packet is missing.
    platform.write(&first_packet(channel, command::PING, 200, &[1; 57]));
    platform.write(&next_packet(channel, 1, &[2; 59]));
    assert_eq!(platform.answer(channel).message, sequence_error);
    // A packet comes twice.
    platform.write(&first_packet(channel, command::PING, 200, &[1; 57]));
    platform.write(&next_packet(channel, 0, &[2; 59]));
    platform.write(&next_packet(channel, 0, &[2; 59]));
    assert_eq!(platform.answer(channel).message, sequence_error);
    // A message begins inside another.
    platform.write(&first_packet(channel, command::PING, 200, &[1; 57]));
    platform.write(&first_packet(channel, command::PING, 1, &[1]));
    assert_eq!(platform.answer(channel).message, sequence_error);

    let answer = platform.call(channel, command::PING, &bytes(300));
    assert_eq!(answer.message.payload, bytes(300));
}

fn wink_reaches_the_person(place: Place) {
    let mut rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let answer = platform.call(channel, command::WINK, &[]);
    let expected = Message {
        command: command::WINK,
        payload: Vec::new(),
    };
    assert_eq!(answer.message, expected);
    if place.virtual_time {
        assert_eq!(rig.world().winks(0), 1);
    } else {
        let key = rig.wait_notice(&mut platform, |notice| match notice {
            Notice::Wink { key } => Some(key),
            _ => None,
        });
        assert_eq!(key, "1-1");
    }
}

fn message_that_stalls_times_out_unasked(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let (stalled, other) = (platform.init(), platform.init());
    platform.write(&first_packet(stalled, command::PING, 200, &[1; 57]));
    platform.expect_error(other, command::PING, &[1], error::CHANNEL_BUSY);
    platform.expect_silence(499);
    let message = platform.recv(stalled, 1).expect("an error after 500 ms");
    assert_eq!(message, Message::error(error::MESSAGE_TIMEOUT));
    // What comes too late is a stray.
    platform.write(&next_packet(stalled, 0, &[2; 59]));
    platform.expect_silence(5_000);
    for channel in [stalled, other] {
        let answer = platform.call(channel, command::PING, &[7]);
        assert_eq!(answer.message.payload, [7]);
    }
}

fn message_that_comes_slowly_is_served(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    let payload = bytes(400);
    for packet in packets(channel, command::PING, &payload) {
        platform.expect_silence(400);
        platform.write(&packet);
    }
    assert_eq!(platform.answer(channel).message.payload, payload);
}
