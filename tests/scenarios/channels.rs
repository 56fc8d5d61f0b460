//! Several clients at once: busy channels, resynchronisation, locks.

use roamkey_ctap::{Decision, Withdrawn};

use crate::support::{
    ctap2::{SELECTION, status},
    ctaphid::{BROADCAST, Channel, Message, command, error, first_packet, next_packet, packets},
    rig::{Place, scenarios, virtual_scenarios},
};

scenarios!(
    init_on_a_channel_in_mid_message_starts_it_over,
    init_drops_what_was_queued_for_its_channel,
    init_on_a_channel_with_a_held_request_withdraws_it,
    other_channels_are_told_busy_during_a_held_touch,
    half_a_message_keeps_other_channels_out,
    lock_keeps_other_channels_out_until_it_is_released,
    cancel_ends_a_held_request,
    cancel_of_nothing_is_answered_by_nothing,
);

virtual_scenarios!(lock_ends_by_itself);

fn init_on_a_channel_in_mid_message_starts_it_over(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.write(&first_packet(channel, command::PING, 200, &[1; 57]));
    let response = platform.init_on(channel);
    assert_eq!(response.channel, channel);
    platform.write(&next_packet(channel, 0, &[1; 59]));
    let answer = platform.call(channel, command::PING, &[1, 2, 3]);
    assert_eq!(answer.message.payload, [1, 2, 3]);
}

fn init_drops_what_was_queued_for_its_channel(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    // Nobody reads, so the answer to the PING is still there when INIT comes.
    platform.close();
    for packet in packets(channel, command::PING, &[1; 500]) {
        platform.write(&packet);
    }
    platform.write(&first_packet(channel, command::INIT, 8, b"resync!!"));
    platform.reopen();
    let message = platform.recv(channel, 10_000).expect("INIT is answered");
    assert_eq!(message.command, command::INIT);
    assert_eq!(message.payload[..8], *b"resync!!");
    let answer = platform.call(channel, command::PING, &[2]);
    assert_eq!(answer.message.payload, [2], "what was dropped stays away");
}

fn init_on_a_channel_with_a_held_request_withdraws_it(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    platform.start(channel, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    platform.init_on(channel);
    let reason = rig.wait_withdrawn(&mut platform, &asked);
    assert_eq!(reason, Withdrawn::HostGone);
    // The request's answer never comes: the next thing on the channel is the next answer.
    let answer = platform.call(channel, command::PING, &[9]);
    assert_eq!(answer.message.payload, [9]);
}

fn other_channels_are_told_busy_during_a_held_touch(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let (one, two) = (platform.init(), platform.init());
    platform.start(one, SELECTION, None);
    let asked = rig.wait_asked(&mut platform);
    for command in [command::PING, command::CBOR, command::MSG, command::WINK] {
        platform.send(two, command, &[4]);
        let message = platform.recv(two, 10_000).expect("an answer");
        assert_eq!(message, Message::error(error::CHANNEL_BUSY));
    }
    // Also on a channel that was never given out: the key is busy, whoever asks.
    let stranger = Channel(one.0 ^ 0x0101_0101);
    platform.expect_error(stranger, command::PING, &[4], error::CHANNEL_BUSY);
    // INIT is served on the broadcast channel and on the idle one.
    let three = platform.init();
    platform.init_on(two);
    platform.expect_error(three, command::PING, &[4], error::CHANNEL_BUSY);
    // A CANCEL of somebody else's request does nothing.
    platform.send(two, command::CANCEL, &[]);
    assert_eq!(rig.pending(), 1);
    rig.decide(&asked, Decision::Approved);
    let (_, keepalives) = platform.finish(one).expect("approved");
    assert!(keepalives.iter().any(|keepalive| keepalive.status == 2));
    for channel in [one, two, three] {
        let answer = platform.call(channel, command::PING, &[5]);
        assert_eq!(answer.message.payload, [5]);
    }
}

fn half_a_message_keeps_other_channels_out(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let (one, two) = (platform.init(), platform.init());
    platform.write(&first_packet(one, command::PING, 100, &[1; 57]));
    platform.write(&first_packet(two, command::PING, 1, &[1]));
    platform.write(&next_packet(one, 0, &[1; 43]));
    let message = platform.answer(two).message;
    assert_eq!(message, Message::error(error::CHANNEL_BUSY));
    assert_eq!(platform.answer(one).message.payload, [1; 100]);
}

fn lock_keeps_other_channels_out_until_it_is_released(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let (one, two) = (platform.init(), platform.init());
    let locked = Message {
        command: command::LOCK,
        payload: Vec::new(),
    };
    assert_eq!(platform.call(one, command::LOCK, &[10]).message, locked);
    for command in [command::PING, command::LOCK] {
        platform.expect_error(two, command, &[0], error::CHANNEL_BUSY);
    }
    platform.init();
    let answer = platform.call(one, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
    assert_eq!(platform.call(one, command::LOCK, &[0]).message, locked);
    let answer = platform.call(two, command::PING, &[2]);
    assert_eq!(answer.message.payload, [2]);
}

fn lock_ends_by_itself(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let (one, two) = (platform.init(), platform.init());
    platform.call(one, command::LOCK, &[3]);
    platform.expect_silence(2_999);
    platform.expect_error(two, command::PING, &[0], error::CHANNEL_BUSY);
    platform.expect_silence(1);
    let answer = platform.call(two, command::PING, &[2]);
    assert_eq!(answer.message.payload, [2]);
    // Power-off ends it as well.
    platform.call(one, command::LOCK, &[10]);
    drop(platform);
    let mut platform = rig.attach();
    let channel = platform.init();
    let answer = platform.call(channel, command::PING, &[3]);
    assert_eq!(answer.message.payload, [3]);
}

fn cancel_ends_a_held_request(place: Place) {
    let mut rig = place.held_rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for _ in 0..3 {
        platform.start(channel, SELECTION, None);
        let asked = rig.wait_asked(&mut platform);
        platform.send(channel, command::CANCEL, &[]);
        let status = platform.finish(channel).map(drop);
        assert_eq!(status, Err(status::KEEPALIVE_CANCEL));
        let reason = rig.wait_withdrawn(&mut platform, &asked);
        assert_eq!(reason, Withdrawn::Cancelled);
    }
}

fn cancel_of_nothing_is_answered_by_nothing(place: Place) {
    let rig = place.rig();
    let mut platform = rig.attach();
    let channel = platform.init();
    for on in [
        channel,
        BROADCAST,
        Channel(0),
        Channel(channel.0 ^ 0x0101_0101),
    ] {
        platform.send(on, command::CANCEL, &[]);
    }
    // The first thing that comes is the answer to what is sent next.
    let answer = platform.call(channel, command::PING, &[1]);
    assert_eq!(answer.message.payload, [1]);
    platform.expect_silence(if place.virtual_time { 60_000 } else { 100 });
}
