//! Offsets as include/uapi/linux/uhid.h of Linux 6.1 has them, by its own compiler.

use super::*;
use crate::usb::IdentityFields;

/// What the kernel writes of a UHID_OUTPUT: the whole event.
pub(in super::super) fn output(data: &[u8], size: u16, rtype: u8) -> Vec<u8> {
    let mut event = vec![0xee; EVENT_LEN];
    event[..4].copy_from_slice(&UHID_OUTPUT.to_ne_bytes());
    event[4..4 + data.len()].copy_from_slice(data);
    event[4100..4102].copy_from_slice(&size.to_ne_bytes());
    event[4102] = rtype;
    event
}

/// A report as hidraw hands it on.
pub(in super::super) fn report(byte: u8) -> Vec<u8> {
    let data = [&[0][..], &[byte; 64]].concat();
    output(&data, 65, OUTPUT_REPORT)
}

/// An event with the number of a request, or with none.
pub(in super::super) fn plain(event: KernelEvent) -> Vec<u8> {
    let (kind, id) = match event {
        KernelEvent::Start => (UHID_START, 0),
        KernelEvent::Stop => (UHID_STOP, 0),
        KernelEvent::Open => (UHID_OPEN, 0),
        KernelEvent::Close => (UHID_CLOSE, 0),
        KernelEvent::GetReport(id) => (UHID_GET_REPORT, id),
        KernelEvent::SetReport(id) => (UHID_SET_REPORT, id),
        KernelEvent::Other => (7, 0),
        KernelEvent::Output(_) => panic!("has a function of its own"),
    };
    let mut bytes = vec![0; EVENT_LEN];
    bytes[..4].copy_from_slice(&kind.to_ne_bytes());
    bytes[4..8].copy_from_slice(&id.to_ne_bytes());
    bytes
}

fn identity(product: &str, serial: &str) -> Identity {
    Identity::new(IdentityFields {
        product: product.to_owned(),
        serial: serial.to_owned(),
        ..Default::default()
    })
    .unwrap()
}

#[test]
fn plain_events_are_read_whole_or_short() {
    for event in [
        KernelEvent::Start,
        KernelEvent::Stop,
        KernelEvent::Open,
        KernelEvent::Close,
        KernelEvent::GetReport(0x0102_0304),
        KernelEvent::SetReport(7),
        KernelEvent::Other,
    ] {
        let bytes = plain(event);
        assert_eq!(KernelEvent::parse(&bytes), event);
        assert_eq!(KernelEvent::parse(&bytes[..8]), event);
    }
    assert_eq!(KernelEvent::parse(&[]), KernelEvent::Other);
    // A short event ends in zeros.
    let short = UHID_GET_REPORT.to_ne_bytes();
    assert_eq!(KernelEvent::parse(&short), KernelEvent::GetReport(0));
}

#[test]
fn report_is_read_with_and_without_its_number() {
    let whole: [u8; 64] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let numbered = [&[0][..], &whole].concat();
    for (data, size) in [(&numbered[..], 65), (&whole[..], 64)] {
        let parsed = KernelEvent::parse(&output(data, size, OUTPUT_REPORT));
        assert_eq!(parsed, KernelEvent::Output(whole), "{size}");
    }
}

#[test]
fn short_report_is_filled_with_zeros() {
    let mut expected = [0; 64];
    expected[..2].copy_from_slice(&[7, 8]);
    for data in [&[0, 7, 8][..], &[7, 8]] {
        let size = u16::try_from(data.len()).unwrap();
        let parsed = KernelEvent::parse(&output(data, size, OUTPUT_REPORT));
        assert_eq!(parsed, KernelEvent::Output(expected));
    }
}

#[test]
fn what_is_no_report_of_ours_is_left_out() {
    let feature = 0;
    for event in [
        output(&[0; 65], 65, feature),
        output(&[0; 65], 0, OUTPUT_REPORT),
        output(&[0], 1, OUTPUT_REPORT),
        output(&[0; 66], 66, OUTPUT_REPORT),
        output(&[1; 65], 65, OUTPUT_REPORT),
        output(&[0; 65], 4096, OUTPUT_REPORT),
        output(&[0; 65], u16::MAX, OUTPUT_REPORT),
        report(1)[..4102].to_vec(),
        report(1)[..10].to_vec(),
    ] {
        assert_eq!(KernelEvent::parse(&event), KernelEvent::Other);
    }
}

#[test]
fn creation_has_its_fields_in_place() {
    let event = create(&identity("roamkey security key", "SN0001"));
    assert_eq!(event.len(), 280 + 34);
    assert_eq!(event[..4], 11_u32.to_ne_bytes());
    assert_eq!(event[4..24], *b"roamkey security key");
    assert!(event[24..196].iter().all(|&byte| byte == 0));
    assert_eq!(event[196..202], *b"SN0001");
    assert!(event[202..260].iter().all(|&byte| byte == 0));
    assert_eq!(event[260..262], 34_u16.to_ne_bytes());
    assert_eq!(event[262..264], 3_u16.to_ne_bytes(), "BUS_USB");
    assert_eq!(event[264..268], 0x1209_u32.to_ne_bytes());
    assert_eq!(event[268..272], 0x0001_u32.to_ne_bytes());
    assert_eq!(event[272..276], 0x0100_u32.to_ne_bytes());
    assert_eq!(event[276..280], [0; 4]);
    assert_eq!(event[280..], REPORT_DESCRIPTOR);
}

#[test]
fn long_strings_are_cut_between_characters() {
    let event = create(&identity(&"\u{20ac}".repeat(126), &"S".repeat(126)));
    // 127 bytes have room for 42 characters of three.
    assert_eq!(event[4..130], *"\u{20ac}".repeat(42).as_bytes());
    assert_eq!(event[130..132], [0, 0]);
    assert_eq!(event[196..259], [b'S'; 63]);
    assert_eq!(event[259], 0);
    assert_eq!(event.len(), 280 + 34);
}

#[test]
fn report_and_refusals_have_their_fields_in_place() {
    let event = input(&[9; 64]);
    assert_eq!(event[..4], 12_u32.to_ne_bytes());
    assert_eq!(event[4..6], 64_u16.to_ne_bytes());
    assert_eq!(event[6..], [9; 64]);
    for (event, kind) in [
        (get_report_refused(0x0102_0304), 10_u32),
        (set_report_refused(0x0102_0304), 14),
    ] {
        assert_eq!(event[..4], kind.to_ne_bytes());
        assert_eq!(event[4..8], 0x0102_0304_u32.to_ne_bytes());
        assert_eq!(event[8..], 5_u16.to_ne_bytes(), "EIO");
    }
}
