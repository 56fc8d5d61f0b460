//! Requests and replies byte by byte, and bus ids good and bad.

use super::*;
use crate::usb::IdentityFields;

fn field(text: &[u8]) -> [u8; BUS_ID_LEN] {
    let mut field = [0; BUS_ID_LEN];
    field[..text.len()].copy_from_slice(text);
    field
}

#[test]
fn requests_are_read_and_written() {
    let devlist = [1, 0x11, 0x80, 5, 0, 0, 0, 0];
    assert_eq!(Request::parse(&devlist), Ok(Request::DevList));
    assert_eq!(Request::DevList.emit(), devlist);
    let import = [1, 0x11, 0x80, 3, 0, 0, 0, 0];
    assert_eq!(Request::parse(&import), Ok(Request::Import));
    assert_eq!(Request::Import.emit(), import);
}

#[test]
fn wrong_version_code_and_status_are_refused() {
    for (bytes, error) in [
        ([1, 0x10, 0x80, 5, 0, 0, 0, 0], OpError::Version(0x0110)),
        ([0, 0, 0, 1, 0, 0, 0, 1], OpError::Version(0)), // a URB before the import
        ([1, 0x11, 0x80, 2, 0, 0, 0, 0], OpError::Code(0x8002)),
        ([1, 0x11, 0, 5, 0, 0, 0, 0], OpError::Code(5)), // a reply
        ([1, 0x11, 0x80, 3, 0, 0, 0, 1], OpError::Status(1)),
        (*b"GET / HT", OpError::Version(0x4745)),
    ] {
        assert_eq!(Request::parse(&bytes), Err(error));
    }
}

#[test]
fn bus_id_is_checked_and_what_follows_its_nul_is_not() {
    let mut dirty = field(b"1-1");
    dirty[4..].fill(0xee);
    assert_eq!(BusId::parse(&dirty).unwrap(), "1-1".parse().unwrap());
    assert_eq!(BusId::parse(&dirty).unwrap().emit(), field(b"1-1"));
    for (bytes, error) in [
        (field(b""), BusIdError::Empty),
        ([b'1'; BUS_ID_LEN], BusIdError::TooLong),
        (field(b"1/1"), BusIdError::Character),
        (field(b"1 1"), BusIdError::Character),
        (field(b"\xff\xfe"), BusIdError::Character),
        (field(b"1\n"), BusIdError::Character),
    ] {
        assert_eq!(BusId::parse(&bytes), Err(error));
    }
    let longest = "1".repeat(31);
    assert_eq!(longest.parse::<BusId>().unwrap().as_str(), longest);
    assert_eq!("1".repeat(32).parse::<BusId>(), Err(BusIdError::TooLong));
    assert_eq!("1".repeat(33).parse::<BusId>(), Err(BusIdError::TooLong));
    assert_eq!("1-1\0x".parse::<BusId>(), Err(BusIdError::Character));
    assert_eq!("".parse::<BusId>(), Err(BusIdError::Empty));
}

#[test]
fn only_ports_have_a_devid() {
    let devid = |text: &str| text.parse::<BusId>().unwrap().devid();
    assert_eq!(devid("1-1"), Some(DevId(0x0001_0001)));
    assert_eq!(devid("65535-65535"), Some(DevId(0xffff_ffff)));
    assert_eq!(BusId::nth(NonZeroU16::MAX).as_str(), "1-65535");
    for text in [
        "1", "1-", "-1", "0-1", "1-0", "01-1", "1-01", "1-1.2", "1-65536", "1-1-1", "a-b",
    ] {
        assert_eq!(devid(text), None, "{text}");
    }
}

#[test]
fn failed_import_is_its_header_only() {
    let mut bytes = Vec::new();
    emit_import(Err(Status::DeviceBusy), &mut bytes);
    assert_eq!(bytes, [1, 0x11, 0, 3, 0, 0, 0, 2]);
    bytes.clear();
    emit_import(Err(Status::NoDevice), &mut bytes);
    assert_eq!(bytes, [1, 0x11, 0, 3, 0, 0, 0, 4]);
}

#[test]
fn list_has_interfaces_and_import_has_none() {
    let identity = Identity::new(IdentityFields::default()).unwrap();
    let records = [1, 2].map(|n| {
        let busid = BusId::nth(NonZeroU16::new(n).unwrap());
        Record::new(busid, busid.devid().unwrap(), &identity)
    });
    let mut list = Vec::new();
    emit_devlist(&records, &mut list);
    assert_eq!(list.len(), 12 + 2 * (RECORD_LEN + 4));
    assert_eq!(list[..12], [1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(list[12 + RECORD_LEN..][..4], [3, 0, 0, 0]);
    let mut import = Vec::new();
    emit_import(Ok(&records[1]), &mut import);
    assert_eq!(import.len(), 8 + RECORD_LEN);
    assert_eq!(import[8..], list[12 + RECORD_LEN + 4..][..RECORD_LEN]);
    assert!(import[8..].starts_with(b"/sys/devices/roamkey/1-2\0"));
    assert_eq!(
        import[8 + 256 + 32..][..12],
        [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]
    );
    assert_eq!(
        import[8 + 300..],
        [0x12, 0x09, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1]
    );
}
