//! struct uhid_event of include/uapi/linux/uhid.h, both ways. Packed, in the processor's byte
//! order. What follows the end of a short event is zeros, on both sides.

use crate::REPORT_LEN;
use crate::usb::{Identity, REPORT_DESCRIPTOR};

/// Bytes of an event: its type, UHID_CREATE2 as the longest, and what aligns the dev_flags of
/// UHID_START.
pub(super) const EVENT_LEN: usize = 4 + 276 + 4096 + 4;

const UHID_START: u32 = 2;
const UHID_STOP: u32 = 3;
const UHID_OPEN: u32 = 4;
const UHID_CLOSE: u32 = 5;
const UHID_OUTPUT: u32 = 6;
const UHID_GET_REPORT: u32 = 9;
const UHID_GET_REPORT_REPLY: u32 = 10;
const UHID_CREATE2: u32 = 11;
const UHID_INPUT2: u32 = 12;
const UHID_SET_REPORT: u32 = 13;
const UHID_SET_REPORT_REPLY: u32 = 14;

/// Bytes of the data of UHID_OUTPUT, which its size and kind follow: UHID_DATA_MAX.
const DATA_LEN: usize = 4096;
/// UHID_OUTPUT_REPORT of enum uhid_report_type.
const OUTPUT_REPORT: u8 = 1;
/// BUS_USB of include/uapi/linux/input.h.
const BUS_USB: u16 = 3;
/// EIO. The kernel tells programs so whatever the number is, if it is not 0.
const EIO: u16 = 5;

const NAME_LEN: usize = 128;
const PHYS_LEN: usize = 64;
const UNIQ_LEN: usize = 64;

/// What the kernel says.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum KernelEvent {
    /// A driver has the device.
    Start,
    /// The driver let go of it.
    Stop,
    /// The first program opened it.
    Open,
    /// The last program closed it.
    Close,
    /// A program sent a report.
    Output([u8; REPORT_LEN]),
    /// A program asks for a report by the control pipe and waits; the reply needs the number.
    GetReport(u32),
    /// A program sends a report by the control pipe and waits; the reply needs the number.
    SetReport(u32),
    /// Nothing that concerns us, or a report that is none of ours.
    Other,
}

impl KernelEvent {
    /// Reads what one read gave.
    pub(super) fn parse(event: &[u8]) -> Self {
        match u32_at(event, 0) {
            UHID_START => Self::Start,
            UHID_STOP => Self::Stop,
            UHID_OPEN => Self::Open,
            UHID_CLOSE => Self::Close,
            UHID_OUTPUT => parse_output(event).map_or(Self::Other, Self::Output),
            UHID_GET_REPORT => Self::GetReport(u32_at(event, 4)),
            UHID_SET_REPORT => Self::SetReport(u32_at(event, 4)),
            _ => Self::Other,
        }
    }
}

/// The report of a UHID_OUTPUT. hidraw hands on what a program wrote: the number of the report,
/// which is 0 for a device without numbers, and its data. 64 bytes are a report without that
/// byte. A shorter one is filled with zeros, as on USB; a longer one is none of ours.
fn parse_output(event: &[u8]) -> Option<[u8; REPORT_LEN]> {
    let size = usize::from(u16_at(event, 4 + DATA_LEN));
    if byte_at(event, 4 + DATA_LEN + 2) != OUTPUT_REPORT {
        return None;
    }
    let written = event.get(4..4 + size)?;
    let data = match written {
        [0, data @ ..] if size != REPORT_LEN => data,
        _ => written,
    };
    let mut report = [0; REPORT_LEN];
    let filled = report.get_mut(..data.len())?;
    filled.copy_from_slice(data);
    (!data.is_empty()).then_some(report)
}

fn byte_at(event: &[u8], at: usize) -> u8 {
    event.get(at).copied().unwrap_or_default()
}

fn u16_at(event: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([byte_at(event, at), byte_at(event, at + 1)])
}

fn u32_at(event: &[u8], at: usize) -> u32 {
    let byte = |offset| byte_at(event, at + offset);
    u32::from_ne_bytes([byte(0), byte(1), byte(2), byte(3)])
}

/// UHID_CREATE2. Strings that are too long are cut.
pub(super) fn create(identity: &Identity) -> Vec<u8> {
    let fields = identity.fields();
    let mut event = UHID_CREATE2.to_ne_bytes().to_vec();
    text(&mut event, &fields.product, NAME_LEN);
    text(&mut event, "", PHYS_LEN);
    text(&mut event, &fields.serial, UNIQ_LEN);
    let descriptor_len = u16::try_from(REPORT_DESCRIPTOR.len()).unwrap_or(u16::MAX); // it is 34
    event.extend(descriptor_len.to_ne_bytes());
    event.extend(BUS_USB.to_ne_bytes());
    event.extend(u32::from(fields.vendor_id).to_ne_bytes());
    event.extend(u32::from(fields.product_id).to_ne_bytes());
    event.extend(u32::from(fields.device_bcd).to_ne_bytes());
    event.extend(0_u32.to_ne_bytes()); // country
    event.extend(REPORT_DESCRIPTOR);
    event
}

/// A field of so many bytes, of which the last is NUL.
fn text(event: &mut Vec<u8>, text: &str, length: usize) {
    let end = event.len() + length;
    let kept = text.floor_char_boundary(length - 1);
    event.extend(text.bytes().take(kept));
    event.resize(end, 0);
}

/// UHID_INPUT2: a report for the programs that have the device open.
pub(super) fn input(report: &[u8; REPORT_LEN]) -> [u8; 6 + REPORT_LEN] {
    const SIZE: u16 = 64;
    const { assert!(SIZE as usize == REPORT_LEN) };
    let mut event = [0; 6 + REPORT_LEN];
    let fields = UHID_INPUT2.to_ne_bytes().into_iter();
    let fields = fields.chain(SIZE.to_ne_bytes()).chain(*report);
    for (to, from) in event.iter_mut().zip(fields) {
        *to = from;
    }
    event
}

/// UHID_GET_REPORT_REPLY that says no. Its size and data are zeros.
pub(super) fn get_report_refused(id: u32) -> [u8; 10] {
    refused(UHID_GET_REPORT_REPLY, id)
}

/// UHID_SET_REPORT_REPLY that says no.
pub(super) fn set_report_refused(id: u32) -> [u8; 10] {
    refused(UHID_SET_REPORT_REPLY, id)
}

fn refused(kind: u32, id: u32) -> [u8; 10] {
    let [k0, k1, k2, k3] = kind.to_ne_bytes();
    let [i0, i1, i2, i3] = id.to_ne_bytes();
    let [e0, e1] = EIO.to_ne_bytes();
    [k0, k1, k2, k3, i0, i1, i2, i3, e0, e1]
}

#[cfg(test)]
pub(super) mod tests;
