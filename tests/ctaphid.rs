//! CTAPHID as a host meets it: messages of every length, channels, locks and errors.

use crate::support::{
    ctaphid::{Channel, MAX_MESSAGE_LEN, Message, command, error, first_packet, next_packet},
    rig::{Place, scenarios},
};

scenarios!(ping_of_each_length_comes_back,);

fn bytes(length: usize) -> Vec<u8> {
    (0..=u8::MAX)
        .cycle()
        .skip(length % 7)
        .take(length)
        .collect()
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
