//! The device against tables written from USB 2.0 chapter 9 and HID 1.11.

use super::*;

fn identity(fields: IdentityFields) -> Identity {
    Identity::new(fields).unwrap()
}

fn device() -> Device {
    Device::new(&identity(IdentityFields {
        serial: "SN1".to_owned(),
        ..Default::default()
    }))
}

fn configured() -> Device {
    let mut device = device();
    let set = setup(0x00, 9, 1, 0, 0);
    assert_eq!(device.control(set, &[]).effect, Effect::Configured(true));
    device
}

fn setup(request_type: u8, request: u8, value: u16, index: u16, length: u16) -> Setup {
    Setup {
        request_type,
        request,
        value,
        index,
        length,
    }
}

/// The answer to an IN request with room for 255 bytes.
fn get(
    device: &mut Device,
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
) -> Option<Vec<u8>> {
    match device
        .control(setup(request_type, request, value, index, 255), &[])
        .answer
    {
        Answer::Data(data) => Some(data.to_vec()),
        Answer::Done => panic!("no data stage"),
        Answer::Stall => None,
    }
}

/// Whether an OUT request is acknowledged.
fn set(
    device: &mut Device,
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
    data: &[u8],
) -> bool {
    let length = u16::try_from(data.len()).unwrap();
    match device
        .control(setup(request_type, request, value, index, length), data)
        .answer
    {
        Answer::Data(_) => panic!("data to the host"),
        Answer::Done => true,
        Answer::Stall => false,
    }
}

#[test]
fn setup_packet_is_little_endian_both_ways() {
    let bytes = [0x81, 0x06, 0x01, 0x22, 0x03, 0x04, 0x22, 0x01];
    let parsed = Setup::parse(&bytes);
    assert_eq!(parsed, setup(0x81, 6, 0x2201, 0x0403, 0x0122));
    assert_eq!(parsed.direction(), Direction::In);
    assert_eq!(parsed.emit(), bytes);
}

#[test]
fn descriptors_are_what_the_identity_says() {
    let mut device = Device::new(&identity(IdentityFields {
        vendor_id: 0xabcd,
        product_id: 0x1234,
        device_bcd: 0x0250,
        manufacturer: String::new(),
        product: "Ключ".to_owned(),
        serial: "7".to_owned(),
        interval_ms: 255,
    }));
    let descriptor = get(&mut device, 0x80, 6, 0x0100, 0).unwrap();
    assert_eq!(
        descriptor,
        [
            18, 1, 0, 2, 0, 0, 0, 64, 0xcd, 0xab, 0x34, 0x12, 0x50, 0x02, 0, 2, 3, 1
        ]
    );
    let configuration = get(&mut device, 0x80, 6, 0x0200, 0).unwrap();
    assert_eq!(configuration.len(), 41);
    assert_eq!(
        (configuration[33], configuration[40]),
        (255, 255),
        "bInterval"
    );
    assert_eq!(
        get(&mut device, 0x80, 6, 0x0301, 0x0409),
        None,
        "no manufacturer"
    );
    let product = get(&mut device, 0x80, 6, 0x0302, 0x0409).unwrap();
    assert_eq!(product, [10, 3, 0x1a, 4, 0x3b, 4, 0x4e, 4, 0x47, 4]);
    assert_eq!(
        get(&mut device, 0x80, 6, 0x0303, 0x0409).unwrap(),
        [4, 3, b'7', 0]
    );
}

/// Walks the configuration as a host does, by bLength and bDescriptorType.
#[test]
fn configuration_is_one_interface_with_two_endpoints() {
    let configuration = get(&mut device(), 0x80, 6, 0x0200, 0).unwrap();
    assert_eq!(
        usize::from(configuration[2]),
        configuration.len(),
        "wTotalLength"
    );
    let mut kinds = Vec::new();
    let mut rest = &configuration[..];
    while let Some(&length) = rest.first() {
        kinds.push(rest[1]);
        if rest[1] == 5 {
            assert_eq!(rest[3..7], [3, 64, 0, 5], "interrupt, 64 bytes, every 5 ms");
        }
        if rest[1] == 0x21 {
            assert_eq!(rest[..9], get(&mut device(), 0x81, 6, 0x2100, 0).unwrap());
            assert_eq!(usize::from(rest[7]), REPORT_DESCRIPTOR.len());
        }
        rest = &rest[usize::from(length)..];
    }
    assert_eq!(kinds, [2, 4, 0x21, 5, 5]);
}

/// HID 1.11 §6.2.2: main items end a run of global and local ones.
#[test]
fn report_descriptor_says_fido_and_64_bytes_each_way() {
    let mut rest = &REPORT_DESCRIPTOR[..];
    let (mut page, mut usages, mut bits, mut fields) = (0, Vec::new(), (0, 0), Vec::new());
    while let Some((&prefix, after)) = rest.split_first() {
        let size = [0, 1, 2, 4][usize::from(prefix & 3)];
        let (data, after) = after.split_at(size);
        rest = after;
        let value = data
            .iter()
            .rev()
            .fold(0_u32, |value, &byte| value << 8 | u32::from(byte));
        match prefix & 0xfc {
            0x04 => page = value,
            0x08 => usages.push(value),
            0x74 => bits.0 = value,
            0x94 => bits.1 = value,
            main @ (0x80 | 0x90) => fields.push((main, bits.0 * bits.1)),
            0x84 => panic!("report id"),
            _ => {}
        }
    }
    assert_eq!(page, 0xf1d0);
    assert_eq!(usages, [1, 0x20, 0x21]);
    assert_eq!(fields, [(0x80, 512), (0x90, 512)]);
}

#[test]
fn probes_of_what_is_not_there_stall() {
    let mut device = configured();
    for (what, request_type, request, value, index) in [
        ("device qualifier", 0x80, 6, 0x0600, 0),
        ("other-speed configuration", 0x80, 6, 0x0700, 0),
        ("BOS", 0x80, 6, 0x0f00, 0),
        ("OTG", 0x80, 6, 0x0900, 0),
        ("debug", 0x80, 6, 0x0a00, 0),
        ("Microsoft OS string", 0x80, 6, 0x03ee, 0),
        ("string 4", 0x80, 6, 0x0304, 0x409),
        ("string 255", 0x80, 6, 0x03ff, 0x409),
        ("configuration 1", 0x80, 6, 0x0201, 0),
        ("device descriptor 1", 0x80, 6, 0x0101, 0),
        ("report descriptor of interface 1", 0x81, 6, 0x2200, 1),
        ("physical descriptor", 0x81, 6, 0x2300, 0),
        ("report descriptor of the device", 0x80, 6, 0x2200, 0),
        ("SYNCH_FRAME", 0x82, 12, 0, 0x81),
        ("status of interface 1", 0x81, 0, 0, 1),
        ("status of endpoint 2", 0x82, 0, 0, 0x82),
        ("setting of interface 1", 0x81, 10, 0, 1),
        ("Microsoft OS descriptor", 0xc0, 1, 0, 4),
        ("unknown standard request", 0x80, 2, 0, 0),
        ("output report", 0xa1, 1, 0x0200, 0),
        ("feature report", 0xa1, 1, 0x0300, 0),
        ("input report with an id", 0xa1, 1, 0x0101, 0),
        ("class request to interface 1", 0xa1, 2, 0, 1),
        ("class request to an endpoint", 0xa2, 2, 0, 0),
        ("reserved type", 0xe0, 0, 0, 0),
    ] {
        assert_eq!(
            get(&mut device, request_type, request, value, index),
            None,
            "{what}"
        );
    }
    for (what, request_type, request, value, index) in [
        ("configuration 2", 0x00, 9, 2, 0),
        ("remote wakeup on", 0x00, 3, 1, 0),
        ("remote wakeup off", 0x00, 1, 1, 0),
        ("test mode", 0x00, 3, 2, 0x0100),
        ("alternate setting 1", 0x01, 11, 1, 0),
        ("interface 1", 0x01, 11, 0, 1),
        ("halt of endpoint 0", 0x02, 3, 0, 0),
        ("halt of endpoint 2", 0x02, 3, 0, 2),
        ("unhalt of endpoint 2", 0x02, 1, 0, 0x82),
        ("SET_DESCRIPTOR", 0x00, 7, 0x0100, 0),
        ("protocol 2", 0x21, 0x0b, 2, 0),
        ("report without data", 0x21, 9, 0x0200, 0),
        ("unknown class request", 0x21, 0x0c, 0, 0),
        ("vendor request", 0x40, 1, 0, 0),
        ("port reset, for hubs", 0x23, 3, 4, 1),
    ] {
        assert!(
            !set(&mut device, request_type, request, value, index, &[]),
            "{what}"
        );
    }
    assert!(
        !set(&mut device, 0x21, 9, 0x0100, 0, &[0; 64]),
        "input report from the host"
    );
    assert!(
        !set(&mut device, 0x21, 9, 0x0300, 0, &[0; 64]),
        "feature report"
    );
    assert!(
        !set(&mut device, 0x21, 9, 0x0200, 0, &[0; 65]),
        "report of 65 bytes"
    );
}

#[test]
fn state_requests_answer_what_was_set() {
    let mut device = device();
    assert_eq!(
        get(&mut device, 0x80, 8, 0, 0).unwrap(),
        [0],
        "not configured"
    );
    assert_eq!(get(&mut device, 0x81, 10, 0, 0), None, "no interface yet");
    assert_eq!(get(&mut device, 0x81, 0, 0, 0), None);
    assert_eq!(get(&mut device, 0x82, 0, 0, 0x81), None, "no endpoint yet");
    assert_eq!(
        get(&mut device, 0x82, 0, 0, 0).unwrap(),
        [0, 0],
        "but endpoint 0"
    );
    assert!(
        !set(&mut device, 0x21, 9, 0x0200, 0, &[0; 64]),
        "no report yet"
    );
    assert!(set(&mut device, 0x00, 5, 9, 0, &[]), "SET_ADDRESS");
    assert!(set(&mut device, 0x00, 9, 1, 0, &[]));
    assert_eq!(get(&mut device, 0x80, 8, 0, 0).unwrap(), [1]);
    assert_eq!(
        get(&mut device, 0x80, 0, 0, 0).unwrap(),
        [0, 0],
        "bus-powered"
    );
    assert!(set(&mut device, 0x01, 11, 0, 0, &[]));
    assert_eq!(get(&mut device, 0x81, 10, 0, 0).unwrap(), [0]);
    assert_eq!(get(&mut device, 0x81, 0, 0, 0).unwrap(), [0, 0]);
    assert!(set(&mut device, 0x21, 0x0a, 0x7d00, 0, &[]), "SET_IDLE");
    assert_eq!(get(&mut device, 0xa1, 2, 0, 0).unwrap(), [0x7d]);
    assert_eq!(
        get(&mut device, 0xa1, 3, 0, 0).unwrap(),
        [1],
        "report protocol"
    );
    assert!(set(&mut device, 0x21, 0x0b, 0, 0, &[]), "SET_PROTOCOL");
    assert_eq!(get(&mut device, 0xa1, 3, 0, 0).unwrap(), [0]);
    assert_eq!(get(&mut device, 0xa1, 1, 0x0100, 0).unwrap(), [0; 64]);
}

#[test]
fn halt_is_seen_in_the_status_and_cleared_by_three_ways() {
    let mut device = configured();
    let clear: [fn(&mut Device) -> bool; 3] = [
        |device| set(device, 0x02, 1, 0, 0x81, &[]) && set(device, 0x02, 1, 0, 0x01, &[]),
        |device| set(device, 0x01, 11, 0, 0, &[]),
        |device| set(device, 0x00, 9, 1, 0, &[]),
    ];
    for clear in clear {
        for address in [0x81, 0x01] {
            assert!(set(&mut device, 0x02, 3, 0, address, &[]));
            assert_eq!(get(&mut device, 0x82, 0, 0, address).unwrap(), [1, 0]);
        }
        assert!(!device.open_endpoint(Direction::In).0);
        assert!(!device.open_endpoint(Direction::Out).0);
        assert!(clear(&mut device));
        assert_eq!(get(&mut device, 0x82, 0, 0, 0x81).unwrap(), [0, 0]);
        assert!(device.open_endpoint(Direction::In).0);
        assert!(device.open_endpoint(Direction::Out).0);
    }
}

#[test]
fn data_stage_that_is_not_as_long_as_said_stalls() {
    let mut device = configured();
    let set = setup(0x21, 9, 0x0200, 0, 64);
    assert_eq!(device.control(set, &[0; 63]).answer, Answer::Stall);
    assert_eq!(
        device.control(set, &[0; 64]).effect,
        Effect::Report([0; 64])
    );
}

#[test]
fn identity_that_fits_no_descriptor_is_refused() {
    let check = |fields| Identity::new(fields).unwrap_err();
    let base = IdentityFields::default;
    let long = "x".repeat(127);
    for (error, fields) in [
        (
            IdentityError::ZeroInterval,
            IdentityFields {
                interval_ms: 0,
                ..base()
            },
        ),
        (
            IdentityError::TooLong { field: "product" },
            IdentityFields {
                product: long.clone(),
                ..base()
            },
        ),
        (
            // Two UTF-16 units each.
            IdentityError::TooLong {
                field: "manufacturer",
            },
            IdentityFields {
                manufacturer: "🔑".repeat(64),
                ..base()
            },
        ),
        (
            IdentityError::TooLong { field: "serial" },
            IdentityFields {
                serial: long,
                ..base()
            },
        ),
        (
            IdentityError::ControlCharacter { field: "product" },
            IdentityFields {
                product: "a\0b".to_owned(),
                ..base()
            },
        ),
        (
            IdentityError::SerialCharacter,
            IdentityFields {
                serial: "1,2".to_owned(),
                ..base()
            },
        ),
        (
            IdentityError::SerialCharacter,
            IdentityFields {
                serial: "ü".to_owned(),
                ..base()
            },
        ),
    ] {
        assert_eq!(check(fields), error);
    }
    let longest = identity(IdentityFields {
        product: "🔑".repeat(63),
        ..base()
    });
    let product = get(&mut Device::new(&longest), 0x80, 6, 0x0302, 0).unwrap();
    assert_eq!((product.len(), product[0]), (254, 254));
}
