//! Our codec against the `usbip` crate's, at random: commands both ways, replies as bytes.
//!
//! Its reader sizes buffers from the wire and asserts on what it reads, so it only gets
//! commands with a checked direction and a bounded length.

use proptest::prelude::*;
use usbip::UsbDevice;
use usbip::usbip_protocol::{UsbIpCommand, UsbIpHeaderBasic, UsbIpResponse};

use super::op::{self, BUS_ID_LEN, BusId, Record, Request};
use super::urb::{
    Basic, Command, DevId, HEADER_LEN, NOT_ISO, Reply, SeqNum, Status, Submit, Unlink,
};
use crate::usb::{Direction, Identity, IdentityFields};

fn basic() -> impl Strategy<Value = Basic> {
    (any::<u32>(), any::<u32>(), any::<bool>(), any::<u32>()).prop_map(
        |(seqnum, devid, is_in, ep)| Basic {
            seqnum: SeqNum(seqnum),
            devid: DevId(devid),
            direction: if is_in { Direction::In } else { Direction::Out },
            ep,
        },
    )
}

fn submit() -> impl Strategy<Value = (Submit, Vec<u8>)> {
    let words = (any::<u32>(), any::<u32>(), any::<u32>());
    let packets = prop_oneof![Just(0), Just(NOT_ISO)];
    let data = prop::collection::vec(any::<u8>(), 0..200);
    (basic(), words, packets, any::<[u8; 8]>(), data).prop_map(
        |(basic, (transfer_flags, start_frame, interval), number_of_packets, setup, data)| {
            let transfer_buffer_length = u32::try_from(data.len()).unwrap();
            let data = if basic.direction == Direction::Out {
                data
            } else {
                Vec::new()
            };
            let submit = Submit {
                basic,
                transfer_flags,
                transfer_buffer_length,
                start_frame,
                number_of_packets,
                interval,
                setup,
            };
            (submit, data)
        },
    )
}

fn theirs_basic(command: u32, basic: &Basic) -> UsbIpHeaderBasic {
    UsbIpHeaderBasic {
        command,
        seqnum: basic.seqnum.0,
        devid: basic.devid.0,
        direction: match basic.direction {
            Direction::Out => 0,
            Direction::In => 1,
        },
        ep: basic.ep,
    }
}

fn theirs_submit(submit: &Submit, data: &[u8]) -> UsbIpCommand {
    UsbIpCommand::UsbIpCmdSubmit {
        header: theirs_basic(1, &submit.basic),
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

/// Reads a command with their reader, which has to use all of it.
fn read(bytes: &[u8]) -> UsbIpCommand {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut rest = bytes;
    let command = runtime
        .block_on(UsbIpCommand::read_from_socket(&mut rest))
        .unwrap();
    assert!(rest.is_empty());
    command
}

fn parse(bytes: &[u8]) -> Command {
    Command::parse(bytes.first_chunk::<HEADER_LEN>().unwrap()).unwrap()
}

proptest! {
    #[test]
    fn submit_reads_the_same_both_ways((submit, data) in submit()) {
        let theirs = theirs_submit(&submit, &data);
        let ours = [&Command::Submit(submit).emit()[..], &data].concat();
        prop_assert_eq!(theirs.to_bytes(), ours.clone());
        prop_assert_eq!(parse(&theirs.to_bytes()), Command::Submit(submit));
        prop_assert_eq!(read(&ours), theirs);
    }

    #[test]
    fn unlink_reads_the_same_both_ways(basic in basic(), target in any::<u32>()) {
        let header = theirs_basic(2, &basic);
        let theirs = UsbIpCommand::UsbIpCmdUnlink { header, unlink_seqnum: target };
        let ours = Command::Unlink(Unlink { basic, unlink_seqnum: SeqNum(target) });
        prop_assert_eq!(&theirs.to_bytes()[..], &ours.emit()[..]);
        prop_assert_eq!(parse(&theirs.to_bytes()), ours);
        prop_assert_eq!(read(&ours.emit()), theirs);
    }

    #[test]
    fn requests_read_the_same_both_ways(text in "[0-9a-zA-Z.:_-]{1,31}") {
        let busid: BusId = text.parse().unwrap();
        let theirs = UsbIpCommand::OpReqImport { status: 0, busid: busid.emit() };
        let ours = [&Request::Import.emit()[..], &busid.emit()].concat();
        prop_assert_eq!(theirs.to_bytes(), ours.clone());
        prop_assert_eq!(read(&ours), theirs.clone());
        let bytes = theirs.to_bytes();
        prop_assert_eq!(Request::parse(bytes.first_chunk().unwrap()), Ok(Request::Import));
        let field: &[u8; BUS_ID_LEN] = bytes[8..].first_chunk().unwrap();
        prop_assert_eq!(BusId::parse(field), Ok(busid));

        let theirs = UsbIpCommand::OpReqDevlist { status: 0 };
        prop_assert_eq!(&theirs.to_bytes()[..], &Request::DevList.emit()[..]);
        prop_assert_eq!(read(&Request::DevList.emit()), theirs);
    }

    #[test]
    fn ret_submit_bytes_are_equal(
        seqnum in any::<u32>(),
        status in any::<i32>(),
        data in prop::collection::vec(any::<u8>(), 0..256),
        is_in in any::<bool>(),
    ) {
        let actual_length = u32::try_from(data.len()).unwrap();
        // Their header has a direction, which decides about the data; ours is always 0.
        let theirs = UsbIpResponse::UsbIpRetSubmit {
            header: UsbIpHeaderBasic {
                command: 3, seqnum, devid: 0, direction: u32::from(is_in), ep: 0,
            },
            status: status.cast_unsigned(),
            actual_length,
            start_frame: 0,
            number_of_packets: 0,
            error_count: 0,
            transfer_buffer: if is_in { data.clone() } else { Vec::new() },
            iso_packet_descriptor: Vec::new(),
        };
        let mut theirs = theirs.to_bytes();
        theirs[15] = 0;
        let reply = Reply::Submit { seqnum: SeqNum(seqnum), status: Status(status), actual_length };
        let ours = [&reply.emit()[..], if is_in { &data } else { &[] }].concat();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn ret_unlink_bytes_are_equal(seqnum in any::<u32>(), status in any::<i32>()) {
        let theirs = UsbIpResponse::UsbIpRetUnlink {
            header: UsbIpHeaderBasic { command: 4, seqnum, devid: 0, direction: 0, ep: 0 },
            status: status.cast_unsigned(),
        };
        let ours = Reply::Unlink { seqnum: SeqNum(seqnum), status: Status(status) };
        prop_assert_eq!(theirs.to_bytes(), ours.emit());
    }

    #[test]
    fn device_records_are_equal(
        ports in prop::collection::vec((1..=u16::MAX, 1..=u16::MAX), 0..4),
        ids in any::<(u16, u16, u16)>(),
    ) {
        let (vendor_id, product_id, device_bcd) = ids;
        let fields = IdentityFields { vendor_id, product_id, device_bcd, ..Default::default() };
        let identity = Identity::new(fields).unwrap();
        let records: Vec<Record> = ports
            .iter()
            .map(|(bus, port)| {
                let busid: BusId = format!("{bus}-{port}").parse().unwrap();
                Record::new(busid, busid.devid().unwrap(), &identity)
            })
            .collect();
        let devices: Vec<UsbDevice> = records.iter().map(theirs_device).collect();
        let mut ours = Vec::new();
        op::emit_devlist(&records, &mut ours);
        prop_assert_eq!(ours, UsbIpResponse::op_rep_devlist(&devices).to_bytes());
        for (record, device) in records.iter().zip(&devices) {
            let mut ours = Vec::new();
            op::emit_import(Ok(record), &mut ours);
            prop_assert_eq!(ours, UsbIpResponse::op_rep_import_success(device).to_bytes());
        }
    }
}

fn theirs_device(record: &Record) -> UsbDevice {
    let mut device = UsbDevice::new(record.devid.devnum()).with_interface(
        3,
        0,
        0,
        None,
        Vec::new(),
        std::sync::Arc::new(std::sync::Mutex::new(Box::new(NoHandler))),
    );
    device.path = record.path();
    device.bus_id = record.busid.to_string();
    device.bus_num = record.devid.busnum();
    device.dev_num = record.devid.devnum();
    device.speed = 2;
    device.vendor_id = record.vendor_id;
    device.product_id = record.product_id;
    // Their version has three parts but goes out as two bytes.
    let [major, minor] = record.device_bcd.to_be_bytes();
    device.device_bcd.major = major;
    device.device_bcd.minor = minor;
    device
}

#[derive(Debug)]
struct NoHandler;

impl usbip::UsbInterfaceHandler for NoHandler {
    fn get_class_specific_descriptor(&self) -> Vec<u8> {
        Vec::new()
    }

    fn handle_urb(
        &mut self,
        _: &usbip::UsbInterface,
        _: usbip::UsbEndpoint,
        _: u32,
        _: usbip::SetupPacket,
        _: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
