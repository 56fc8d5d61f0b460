//! What is said before an import: OP_REQ_DEVLIST, OP_REQ_IMPORT and their replies. Big-endian.
//!
//! As strict as Linux's usbipd (tools/usb/usbip/src): the version must be 0x0111 and a
//! request's status 0. As lenient: what follows a bus id's NUL is ignored. Absent: OP_REQ_DEVINFO
//! and OP_REQ_CRYPKEY, which no server answers.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::usb::{CONFIGURATION_VALUE, Identity};

use super::urb::DevId;

/// Bytes of op_common, which begins every message.
pub const HEADER_LEN: usize = 8;
/// Bytes of a bus id on the wire, of which the last is NUL.
pub const BUS_ID_LEN: usize = 32;
/// Bytes of a device record, without its interfaces.
pub const RECORD_LEN: usize = 312;
/// USBIP_VERSION.
pub const VERSION: u16 = 0x0111;

const PATH_LEN: usize = 256;
const OP_REQ_IMPORT: u16 = 0x8003;
const OP_REP_IMPORT: u16 = 0x0003;
const OP_REQ_DEVLIST: u16 = 0x8005;
const OP_REP_DEVLIST: u16 = 0x0005;
/// USB_SPEED_FULL.
pub(crate) const FULL_SPEED: u32 = 2;

/// Names a device at a server: `1-1`, as Linux names the device at port 1 of bus 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BusId {
    /// Filled with NUL; at least the last byte is one.
    bytes: [u8; BUS_ID_LEN],
}

impl BusId {
    /// The `n`th key: `1-n`.
    #[must_use]
    pub fn nth(n: NonZeroU16) -> Self {
        let mut id = Self {
            bytes: [0; BUS_ID_LEN],
        };
        let text = format!("1-{n}");
        for (to, from) in id.bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        id
    }

    /// Reads the field of a message: up to its first NUL.
    ///
    /// # Errors
    ///
    /// There is no NUL, nothing before it, or a character that no bus id has.
    pub fn parse(field: &[u8; BUS_ID_LEN]) -> Result<Self, BusIdError> {
        let length = field
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(BusIdError::TooLong)?;
        let text = field.get(..length).unwrap_or_default();
        if text.is_empty() {
            return Err(BusIdError::Empty);
        }
        if !text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.:_".contains(byte))
        {
            return Err(BusIdError::Character);
        }
        let mut id = Self {
            bytes: [0; BUS_ID_LEN],
        };
        for (to, from) in id.bytes.iter_mut().zip(text) {
            *to = *from;
        }
        Ok(id)
    }

    /// The field of a message.
    #[must_use]
    pub fn emit(&self) -> [u8; BUS_ID_LEN] {
        self.bytes
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self
            .bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or_default();
        self.bytes
            .get(..length)
            .and_then(|text| str::from_utf8(text).ok())
            .unwrap_or_default()
    }

    /// The bus and the device number, if it has the form `bus-port`, each from 1 to 65535 and
    /// in its only spelling. Every exported device has it.
    #[must_use]
    pub fn devid(&self) -> Option<DevId> {
        let number = |text: &str| {
            let number = text.parse::<NonZeroU16>().ok()?;
            (number.to_string() == text).then_some(number.get())
        };
        let (bus, port) = self.as_str().split_once('-')?;
        Some(DevId::new(number(bus)?, number(port)?))
    }
}

impl fmt::Debug for BusId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusId({})", self.as_str())
    }
}

impl fmt::Display for BusId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for BusId {
    type Err = BusIdError;

    fn from_str(text: &str) -> Result<Self, BusIdError> {
        let mut field = [0; BUS_ID_LEN];
        field
            .get_mut(..text.len())
            .ok_or(BusIdError::TooLong)?
            .copy_from_slice(text.as_bytes());
        if text.bytes().any(|byte| byte == 0) {
            return Err(BusIdError::Character);
        }
        Self::parse(&field)
    }
}

/// Why something is no bus id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusIdError {
    /// It has no character.
    Empty,
    /// It has more than 31.
    TooLong,
    /// One is neither a letter, a digit, nor one of `-.:_`.
    Character,
}

impl fmt::Display for BusIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a bus id cannot be empty",
            Self::TooLong => "a bus id has at most 31 characters",
            Self::Character => "a bus id has only letters, digits and -.:_",
        })
    }
}

impl std::error::Error for BusIdError {}

/// Why an import failed, as its reply says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// ST_NA: the device is not for this host.
    NotAvailable,
    /// ST_DEV_BUSY: another host has the device.
    DeviceBusy,
    /// ST_NODEV: there is no such device.
    NoDevice,
}

impl Status {
    fn code(self) -> u32 {
        match self {
            Self::NotAvailable => 1,
            Self::DeviceBusy => 2,
            Self::NoDevice => 4,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAvailable => "it is not for this host",
            Self::DeviceBusy => "another host has it",
            Self::NoDevice => "there is no such device",
        })
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// OP_REQ_DEVLIST: which devices are there? Has no body.
    DevList,
    /// OP_REQ_IMPORT: attach the device whose bus id is the body.
    Import,
}

/// Why a header is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpError {
    /// It speaks another version of the protocol.
    Version(u16),
    /// It asks for something else; URBs before an import look like this too.
    Code(u16),
    /// Its status is not 0.
    Status(u32),
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(
                    f,
                    "USB/IP version {version:#06x}; this server speaks {VERSION:#06x}"
                )
            }
            Self::Code(code) => write!(f, "unknown operation {code:#06x}"),
            Self::Status(status) => write!(f, "a request with status {status}"),
        }
    }
}

impl std::error::Error for OpError {}

impl Request {
    /// Reads op_common of a client.
    ///
    /// # Errors
    ///
    /// It is no request that a server answers.
    pub fn parse(header: &[u8; HEADER_LEN]) -> Result<Self, OpError> {
        let [v0, v1, c0, c1, s0, s1, s2, s3] = *header;
        let version = u16::from_be_bytes([v0, v1]);
        if version != VERSION {
            return Err(OpError::Version(version));
        }
        let request = match u16::from_be_bytes([c0, c1]) {
            OP_REQ_DEVLIST => Self::DevList,
            OP_REQ_IMPORT => Self::Import,
            other => return Err(OpError::Code(other)),
        };
        match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => Ok(request),
            status => Err(OpError::Status(status)),
        }
    }

    /// op_common, for a host.
    #[must_use]
    pub fn emit(self) -> [u8; HEADER_LEN] {
        let code = match self {
            Self::DevList => OP_REQ_DEVLIST,
            Self::Import => OP_REQ_IMPORT,
        };
        common(code, 0)
    }
}

fn common(code: u16, status: u32) -> [u8; HEADER_LEN] {
    let [v0, v1] = VERSION.to_be_bytes();
    let [c0, c1] = code.to_be_bytes();
    let [s0, s1, s2, s3] = status.to_be_bytes();
    [v0, v1, c0, c1, s0, s1, s2, s3]
}

/// struct usbip_usb_device: what a server says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Names it.
    pub busid: BusId,
    /// Names it in URBs.
    pub devid: DevId,
    /// idVendor.
    pub vendor_id: u16,
    /// idProduct.
    pub product_id: u16,
    /// bcdDevice.
    pub device_bcd: u16,
}

impl Record {
    /// The record of a key.
    #[must_use]
    pub fn new(busid: BusId, devid: DevId, identity: &Identity) -> Self {
        let fields = identity.fields();
        Self {
            busid,
            devid,
            vendor_id: fields.vendor_id,
            product_id: fields.product_id,
            device_bcd: fields.device_bcd,
        }
    }

    /// The sysfs path that a Linux server would give. Nothing looks there.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/sys/devices/roamkey/{}", self.busid)
    }

    fn emit(&self, to: &mut Vec<u8>) {
        /// Of bDeviceClass (each interface has its own), bDeviceSubClass, bDeviceProtocol,
        /// bConfigurationValue, bNumConfigurations and bNumInterfaces.
        const REST: [u8; 6] = [0, 0, 0, CONFIGURATION_VALUE, 1, 1];
        let mut path = self.path().into_bytes();
        path.resize(PATH_LEN, 0); // it has at most 21 + 31 bytes
        to.extend_from_slice(&path);
        to.extend_from_slice(&self.busid.emit());
        to.extend_from_slice(&self.devid.busnum().to_be_bytes());
        to.extend_from_slice(&self.devid.devnum().to_be_bytes());
        to.extend_from_slice(&FULL_SPEED.to_be_bytes());
        to.extend_from_slice(&self.vendor_id.to_be_bytes());
        to.extend_from_slice(&self.product_id.to_be_bytes());
        to.extend_from_slice(&self.device_bcd.to_be_bytes());
        to.extend_from_slice(&REST);
    }
}

/// OP_REP_DEVLIST. Each record is followed by its only interface's.
pub fn emit_devlist(records: &[Record], to: &mut Vec<u8>) {
    /// bInterfaceClass HID, bInterfaceSubClass, bInterfaceProtocol, padding.
    const INTERFACE: [u8; 4] = [3, 0, 0, 0];
    to.extend_from_slice(&common(OP_REP_DEVLIST, 0));
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX); // devids are 32 bits
    to.extend_from_slice(&count.to_be_bytes());
    for record in records {
        record.emit(to);
        to.extend_from_slice(&INTERFACE);
    }
}

/// OP_REP_IMPORT: the record, without interfaces, or only why not.
pub fn emit_import(outcome: Result<&Record, Status>, to: &mut Vec<u8>) {
    match outcome {
        Ok(record) => {
            to.extend_from_slice(&common(OP_REP_IMPORT, 0));
            record.emit(to);
        }
        Err(status) => to.extend_from_slice(&common(OP_REP_IMPORT, status.code())),
    }
}

#[cfg(test)]
mod tests;
