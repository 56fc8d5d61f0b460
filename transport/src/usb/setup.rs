//! The eight bytes that begin a control transfer (USB 2.0 §9.3), little-endian.

use super::Direction;

/// Bytes in a setup packet.
pub const SETUP_LEN: usize = 8;

/// A setup packet. Every eight bytes are one; whether it makes sense is the device's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// bmRequestType: direction, type and recipient.
    pub request_type: u8,
    /// bRequest.
    pub request: u8,
    /// wValue.
    pub value: u16,
    /// wIndex.
    pub index: u16,
    /// wLength: the size of the data stage, or for IN its limit.
    pub length: u16,
}

impl Setup {
    /// Reads the eight bytes.
    #[must_use]
    pub fn parse(bytes: &[u8; SETUP_LEN]) -> Self {
        let [request_type, request, v0, v1, i0, i1, l0, l1] = *bytes;
        Self {
            request_type,
            request,
            value: u16::from_le_bytes([v0, v1]),
            index: u16::from_le_bytes([i0, i1]),
            length: u16::from_le_bytes([l0, l1]),
        }
    }

    /// The eight bytes.
    #[must_use]
    pub fn emit(&self) -> [u8; SETUP_LEN] {
        let [v0, v1] = self.value.to_le_bytes();
        let [i0, i1] = self.index.to_le_bytes();
        let [l0, l1] = self.length.to_le_bytes();
        [self.request_type, self.request, v0, v1, i0, i1, l0, l1]
    }

    /// Which way the data stage goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        if self.request_type & 0x80 == 0 {
            Direction::Out
        } else {
            Direction::In
        }
    }
}
