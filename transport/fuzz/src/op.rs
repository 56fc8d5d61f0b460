//! What is said before an import: parsed and emitted again, and read by the `usbip` crate as well.
//!
//! Input: op_common, a bus id, then numbers for device records. Deliberately absent: who may
//! import what, which is the server's.

use roamkey_transport::{
    usb::{Identity, IdentityFields},
    usbip::{
        BusId,
        op::{self, BUS_ID_LEN, HEADER_LEN, RECORD_LEN, Record, Request, Status},
        urb::DevId,
    },
};
use usbip::usbip_protocol::UsbIpCommand;

use crate::peer;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((header, rest)) = data.split_first_chunk::<HEADER_LEN>() else {
        return;
    };
    let request = Request::parse(header);
    if let Ok(request) = request {
        assert_eq!(request.emit(), *header, "{request:?}");
    }
    let Some((field, numbers)) = rest.split_first_chunk::<BUS_ID_LEN>() else {
        return;
    };
    match request {
        Ok(Request::DevList) => {
            let theirs = UsbIpCommand::OpReqDevlist { status: 0 };
            assert_eq!(peer::read(header), theirs);
        }
        Ok(Request::Import) => {
            let theirs = UsbIpCommand::OpReqImport {
                status: 0,
                busid: *field,
            };
            assert_eq!(peer::read(&data[..HEADER_LEN + BUS_ID_LEN]), theirs);
        }
        Err(_) => {}
    }
    let busid = bus_id(field);
    records(busid, numbers);
}

fn bus_id(field: &[u8; BUS_ID_LEN]) -> Option<BusId> {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.:_".contains(byte);
    let fits = (1..BUS_ID_LEN).contains(&text.len()) && text.iter().all(good);
    let busid = BusId::parse(field);
    assert_eq!(busid.is_ok(), fits, "{busid:?} of {text:02x?}");
    let busid = busid.ok()?;
    assert_eq!(busid.as_str().as_bytes(), text);
    let emitted = busid.emit();
    assert!(emitted.starts_with(text));
    assert!(emitted[text.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(BusId::parse(&emitted), Ok(busid));
    assert_eq!(busid.as_str().parse(), Ok(busid));
    if let Some(devid) = busid.devid() {
        let spelled = format!("{}-{}", devid.busnum(), devid.devnum());
        assert_eq!(busid.as_str(), spelled);
    }
    Some(busid)
}

/// Emits records of any numbers: the layout is that of Linux's struct usbip_usb_device.
fn records(busid: Option<BusId>, numbers: &[u8]) {
    let Some(busid) = busid else { return };
    let (chunks, _) = numbers.as_chunks::<10>();
    let records: Vec<Record> = chunks.iter().map(|number| record(busid, number)).collect();
    let mut list = Vec::new();
    op::emit_devlist(&records, &mut list);
    assert_eq!(list.len(), 12 + records.len() * (RECORD_LEN + 4));
    assert_eq!(list[..8], [0x01, 0x11, 0, 5, 0, 0, 0, 0]);
    for (record, at) in records.iter().zip((12..).step_by(RECORD_LEN + 4)) {
        let mut import = Vec::new();
        op::emit_import(Ok(record), &mut import);
        assert_eq!(import.len(), HEADER_LEN + RECORD_LEN);
        assert_eq!(import[HEADER_LEN..], list[at..at + RECORD_LEN]);
        let word = |at: usize| import[HEADER_LEN + at..][..4].to_vec();
        assert_eq!(import[HEADER_LEN + 256..][..BUS_ID_LEN], busid.emit());
        assert_eq!(word(288), record.devid.busnum().to_be_bytes());
        assert_eq!(word(292), record.devid.devnum().to_be_bytes());
        let ids = [record.vendor_id, record.product_id].map(u16::to_be_bytes);
        assert_eq!(word(300), ids.concat());
    }
    for status in [Status::NotAvailable, Status::DeviceBusy, Status::NoDevice] {
        let mut refusal = Vec::new();
        op::emit_import(Err(status), &mut refusal);
        assert_eq!(refusal.len(), HEADER_LEN);
        assert_ne!(refusal[4..], [0; 4]);
    }
}

fn record(busid: BusId, number: &[u8; 10]) -> Record {
    let [v0, v1, p0, p1, d0, d1, devid @ ..] = *number;
    let fields = IdentityFields {
        vendor_id: u16::from_be_bytes([v0, v1]),
        product_id: u16::from_be_bytes([p0, p1]),
        device_bcd: u16::from_be_bytes([d0, d1]),
        ..IdentityFields::default()
    };
    let identity = Identity::new(fields).expect("numbers fit");
    Record::new(busid, DevId(u32::from_be_bytes(devid)), &identity)
}
