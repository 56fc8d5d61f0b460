//! The descriptors of the key: USB 2.0 §9.6, HID 1.11 §6.2, CTAP 2.1 §11.2.8.2.
//!
//! Every byte is written out with its field's name; nothing is computed but what depends on
//! the [`Identity`].

use super::Identity;
use crate::REPORT_LEN;

/// bConfigurationValue of the only configuration.
pub const CONFIGURATION_VALUE: u8 = 1;
/// The number of the interrupt endpoints, one for each direction.
pub const INTERRUPT_ENDPOINT: u8 = 1;

/// bEndpointAddress of the interrupt-IN endpoint.
pub(super) const ENDPOINT_IN: u8 = 0x80 | INTERRUPT_ENDPOINT;
/// bEndpointAddress of the interrupt-OUT endpoint.
pub(super) const ENDPOINT_OUT: u8 = INTERRUPT_ENDPOINT;

/// bDescriptorType values that the device answers (USB 2.0 table 9-5, HID 1.11 §7.1).
pub(super) mod kind {
    pub(crate) const DEVICE: u8 = 0x01;
    pub(crate) const CONFIGURATION: u8 = 0x02;
    pub(crate) const STRING: u8 = 0x03;
    pub(crate) const INTERFACE: u8 = 0x04;
    pub(crate) const ENDPOINT: u8 = 0x05;
    pub(crate) const HID: u8 = 0x21;
    pub(crate) const REPORT: u8 = 0x22;
}

/// String index of the manufacturer.
const MANUFACTURER: u8 = 1;
/// String index of the product.
const PRODUCT: u8 = 2;
/// String index of the serial number.
const SERIAL: u8 = 3;

const REPORT_LEN_U8: u8 = 64;
const _: () = assert!(REPORT_LEN_U8 as usize == REPORT_LEN);

/// The report descriptor: 64 bytes each way, without a report id. Hosts find a security key by
/// its usage page.
#[rustfmt::skip] // one item a line
pub const REPORT_DESCRIPTOR: [u8; 34] = [
    0x06, 0xd0, 0xf1, // Usage Page (FIDO Alliance, 0xF1D0)
    0x09, 0x01, // Usage (U2F/CTAP authenticator device)
    0xa1, 0x01, // Collection (Application)
    0x09, 0x20, //   Usage (Data In)
    0x15, 0x00, //   Logical Minimum (0)
    0x26, 0xff, 0x00, //   Logical Maximum (255)
    0x75, 0x08, //   Report Size (8 bits)
    0x95, REPORT_LEN_U8, //   Report Count
    0x81, 0x02, //   Input (Data, Variable, Absolute)
    0x09, 0x21, //   Usage (Data Out)
    0x15, 0x00, //   Logical Minimum (0)
    0x26, 0xff, 0x00, //   Logical Maximum (255)
    0x75, 0x08, //   Report Size (8 bits)
    0x95, REPORT_LEN_U8, //   Report Count
    0x91, 0x02, //   Output (Data, Variable, Absolute)
    0xc0, // End Collection
];
const REPORT_DESCRIPTOR_LEN_U8: u8 = 34;
const _: () = assert!(REPORT_DESCRIPTOR_LEN_U8 as usize == REPORT_DESCRIPTOR.len());

/// The HID descriptor (HID 1.11 §6.2.1); it also stands inside the configuration.
pub(super) const HID_DESCRIPTOR: [u8; 9] = [
    9, // bLength
    kind::HID,
    0x11,
    0x01, // bcdHID 1.11
    0,    // bCountryCode: none
    1,    // bNumDescriptors
    kind::REPORT,
    REPORT_DESCRIPTOR_LEN_U8,
    0, // wDescriptorLength
];

const CONFIGURATION_LEN: usize = 41;
const CONFIGURATION_LEN_U8: u8 = 41;
const _: () = assert!(CONFIGURATION_LEN_U8 as usize == CONFIGURATION_LEN);

/// The device descriptor (USB 2.0 §9.6.1).
pub(super) fn device(identity: &Identity) -> [u8; 18] {
    let fields = identity.fields();
    let [vendor_0, vendor_1] = fields.vendor_id.to_le_bytes();
    let [product_0, product_1] = fields.product_id.to_le_bytes();
    let [bcd_0, bcd_1] = fields.device_bcd.to_le_bytes();
    let index = |index: u8, text: &str| if text.is_empty() { 0 } else { index };
    [
        18, // bLength
        kind::DEVICE,
        0x00,
        0x02, // bcdUSB 2.00: from 2.01 on, hosts ask for a BOS descriptor
        0,    // bDeviceClass: each interface has its own
        0,    // bDeviceSubClass
        0,    // bDeviceProtocol
        64,   // bMaxPacketSize0
        vendor_0,
        vendor_1,
        product_0,
        product_1,
        bcd_0,
        bcd_1,
        index(MANUFACTURER, &fields.manufacturer),
        index(PRODUCT, &fields.product),
        index(SERIAL, &fields.serial),
        1, // bNumConfigurations
    ]
}

/// The configuration with its interface, HID and endpoint descriptors (USB 2.0 §9.6.3).
pub(super) fn configuration(identity: &Identity) -> [u8; CONFIGURATION_LEN] {
    let interval = identity.fields().interval_ms;
    let [h0, h1, h2, h3, h4, h5, h6, h7, h8] = HID_DESCRIPTOR;
    [
        // Configuration.
        9, // bLength
        kind::CONFIGURATION,
        CONFIGURATION_LEN_U8,
        0, // wTotalLength
        1, // bNumInterfaces
        CONFIGURATION_VALUE,
        0,    // iConfiguration
        0x80, // bmAttributes: bus-powered, no remote wakeup
        50,   // bMaxPower: 100 mA
        // Interface (§9.6.5).
        9, // bLength
        kind::INTERFACE,
        0,    // bInterfaceNumber
        0,    // bAlternateSetting
        2,    // bNumEndpoints
        0x03, // bInterfaceClass: HID
        0,    // bInterfaceSubClass: no boot interface
        0,    // bInterfaceProtocol
        0,    // iInterface
        // HID.
        h0,
        h1,
        h2,
        h3,
        h4,
        h5,
        h6,
        h7,
        h8,
        // Endpoint IN (§9.6.6).
        7, // bLength
        kind::ENDPOINT,
        ENDPOINT_IN,
        0x03, // bmAttributes: interrupt
        REPORT_LEN_U8,
        0, // wMaxPacketSize
        interval,
        // Endpoint OUT.
        7, // bLength
        kind::ENDPOINT,
        ENDPOINT_OUT,
        0x03, // bmAttributes: interrupt
        REPORT_LEN_U8,
        0, // wMaxPacketSize
        interval,
    ]
}

/// The string descriptors (USB 2.0 §9.6.7), made once.
#[derive(Clone, Debug)]
pub(super) struct Strings {
    manufacturer: Vec<u8>,
    product: Vec<u8>,
    serial: Vec<u8>,
}

impl Strings {
    pub(super) fn new(identity: &Identity) -> Self {
        let fields = identity.fields();
        Self {
            manufacturer: string(&fields.manufacturer),
            product: string(&fields.product),
            serial: string(&fields.serial),
        }
    }

    /// The descriptor at an index. None for one that the device descriptor does not name, so
    /// also for 0xEE, Microsoft's probe for OS descriptors.
    pub(super) fn at(&self, index: u8) -> Option<&[u8]> {
        /// Which languages there are: English (United States).
        const LANGUAGES: [u8; 4] = [4, kind::STRING, 0x09, 0x04];
        let text = match index {
            0 => return Some(&LANGUAGES),
            MANUFACTURER => &self.manufacturer,
            PRODUCT => &self.product,
            SERIAL => &self.serial,
            _ => return None,
        };
        (text.len() > 2).then_some(text.as_slice())
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut descriptor = vec![0, kind::STRING];
    descriptor.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    let length = u8::try_from(descriptor.len()).unwrap_or(u8::MAX); // `Identity` saw to it
    if let Some(first) = descriptor.first_mut() {
        *first = length;
    }
    descriptor
}
