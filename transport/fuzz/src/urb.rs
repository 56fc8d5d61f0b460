//! The headers that follow an import: parsed and emitted again, and read by the `usbip` crate as
//! well.
//!
//! Input: a header, then a payload. Deliberately absent: what a session does about them
//! (`session`), and isochronous packet descriptors, which our codec only counts.

use roamkey_transport::{
    usb::Direction,
    usbip::urb::{Command, HEADER_LEN, NOT_ISO, Reply, Submit, UrbError},
};
use usbip::usbip_protocol::{UsbIpCommand, UsbIpHeaderBasic};

use crate::peer;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((header, payload)) = data.split_first_chunk::<HEADER_LEN>() else {
        return;
    };
    match Command::parse(header) {
        Ok(command) => {
            let emitted = command.emit();
            assert_eq!(Command::parse(&emitted), Ok(command));
            check(command, header, &emitted, payload);
        }
        Err(UrbError::Command(code)) => assert!(code != 1 && code != 2, "refused: {code}"),
        Err(UrbError::Direction(code)) => assert!(code > 1, "refused: {code}"),
    }
    match Reply::parse(header) {
        Ok(reply) => {
            let emitted = reply.emit();
            assert_eq!(Reply::parse(&emitted), Ok(reply));
            // Command, seqnum and status are as they came; a server's other words are 0.
            assert_eq!(emitted[..8], header[..8]);
            assert_eq!(emitted[20..24], header[20..24]);
            assert_eq!(emitted[8..20], [0; 12]);
        }
        Err(why) => assert_eq!(why, UrbError::Command(word(header, 0))),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[4 * at..4 * at + 4].try_into().expect("four bytes"))
}

fn check(command: Command, header: &[u8], emitted: &[u8], payload: &[u8]) {
    match command {
        Command::Submit(submit) => {
            assert_eq!(emitted, header, "every word has a meaning");
            let iso = submit.number_of_packets != 0 && submit.number_of_packets != NOT_ISO;
            let length = submit.transfer_buffer_length as usize;
            let data = match submit.basic.direction {
                Direction::In => Some(&[][..]),
                Direction::Out => payload.get(..length),
            };
            if let Some(data) = data.filter(|_| !iso) {
                let theirs = peer::read(&[header, data].concat());
                assert_eq!(theirs, theirs_submit(&submit, data));
            }
        }
        Command::Unlink(unlink) => {
            assert_eq!(emitted[..24], header[..24], "the words that have a meaning");
            let theirs = UsbIpCommand::UsbIpCmdUnlink {
                header: basic(emitted),
                unlink_seqnum: unlink.unlink_seqnum.0,
            };
            assert_eq!(peer::read(emitted), theirs);
        }
    }
}

fn basic(header: &[u8]) -> UsbIpHeaderBasic {
    UsbIpHeaderBasic {
        command: word(header, 0),
        seqnum: word(header, 1),
        devid: word(header, 2),
        direction: word(header, 3),
        ep: word(header, 4),
    }
}

fn theirs_submit(submit: &Submit, data: &[u8]) -> UsbIpCommand {
    UsbIpCommand::UsbIpCmdSubmit {
        header: basic(&Command::Submit(*submit).emit()),
        transfer_flags: submit.transfer_flags,
        transfer_buffer_length: submit.transfer_buffer_length,
        start_frame: submit.start_frame,
        number_of_packets: submit.number_of_packets,
        interval: submit.interval,
        setup: submit.setup,
        data: data.to_vec(),
        iso_packet_descriptor: Vec::new(),
    }
}
