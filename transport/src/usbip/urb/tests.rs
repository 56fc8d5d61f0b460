//! Headers byte by byte; the peer crate's tests compare them at random.

use super::*;

const SUBMIT: [u8; 48] = [
    0, 0, 0, 1, // command
    0, 0, 0x0d, 0x05, // seqnum
    0, 1, 0, 2, // devid
    0, 0, 0, 1, // direction
    0, 0, 0, 1, // ep
    0, 0, 2, 0, // transfer_flags
    0, 0, 0, 0x40, // transfer_buffer_length
    0, 0, 0, 3, // start_frame
    0xff, 0xff, 0xff, 0xff, // number_of_packets
    0, 0, 0, 4, // interval
    0x80, 6, 0, 1, 5, 6, 18, 0, // setup
];

#[test]
fn submit_is_read_and_written() {
    let submit = Submit {
        basic: Basic {
            seqnum: SeqNum(0xd05),
            devid: DevId::new(1, 2),
            direction: Direction::In,
            ep: 1,
        },
        transfer_flags: 0x200,
        transfer_buffer_length: 64,
        start_frame: 3,
        number_of_packets: NOT_ISO,
        interval: 4,
        setup: [0x80, 6, 0, 1, 5, 6, 18, 0],
    };
    assert_eq!(Command::parse(&SUBMIT), Ok(Command::Submit(submit)));
    assert_eq!(Command::Submit(submit).emit(), SUBMIT);
    assert_eq!(submit.iso_packets(), 0);
}

#[test]
fn unlink_is_read_whatever_its_padding_holds() {
    let mut bytes = SUBMIT;
    bytes[3] = 2;
    let Ok(Command::Unlink(unlink)) = Command::parse(&bytes) else {
        panic!("no unlink")
    };
    assert_eq!(unlink.unlink_seqnum, SeqNum(0x200));
    bytes[24..].fill(0);
    assert_eq!(Command::Unlink(unlink).emit(), bytes);
}

#[test]
fn replies_leave_out_devid_direction_endpoint_and_packets() {
    let reply = Reply::Submit {
        seqnum: SeqNum(7),
        status: Status::STALL,
        actual_length: 0,
    };
    let mut expected = [0; 48];
    expected[3] = 3;
    expected[7] = 7;
    expected[20..24].copy_from_slice(&[0xff, 0xff, 0xff, 0xe0]);
    assert_eq!(reply.emit(), expected);
    assert_eq!(Reply::parse(&expected), Ok(reply));

    let reply = Reply::Unlink {
        seqnum: SeqNum(7),
        status: Status::UNLINKED,
    };
    expected[3] = 4;
    expected[23] = 0x98; // -104
    assert_eq!(reply.emit(), expected);
    assert_eq!(Reply::parse(&expected), Ok(reply));
}

#[test]
fn wrong_command_or_direction_is_named() {
    let mut bytes = SUBMIT;
    bytes[15] = 2;
    assert_eq!(Command::parse(&bytes), Err(UrbError::Direction(2)));
    bytes[3] = 3;
    assert_eq!(Command::parse(&bytes), Err(UrbError::Command(3)));
    bytes[3] = 1;
    assert_eq!(Reply::parse(&bytes), Err(UrbError::Command(1)));
}

#[test]
fn devid_is_bus_and_device() {
    let devid = DevId::new(3, 0x1234);
    assert_eq!(
        (devid.0, devid.busnum(), devid.devnum()),
        (0x0003_1234, 3, 0x1234)
    );
}
