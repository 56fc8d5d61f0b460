//! A USB device without I/O: a full-speed HID security key, as its host sees it.
//!
//! Serves USB 2.0 chapter 9, HID 1.11 §7 and the HID part of CTAP 2.1 (§11.2.8). One
//! configuration, one interface, one interrupt endpoint each way. Deliberately absent: other
//! speeds (so no device qualifier), BOS (bcdUSB is 2.00), alternate settings, remote wakeup,
//! Microsoft OS descriptors, vendor requests.

mod descriptor;
mod device;
mod identity;
mod setup;

pub use descriptor::{CONFIGURATION_VALUE, INTERRUPT_ENDPOINT, REPORT_DESCRIPTOR};
pub use device::{Answer, Control, Device, Effect};
pub use identity::{Identity, IdentityError, IdentityFields};
pub use setup::{SETUP_LEN, Setup};

/// Which way a transfer's data goes. USB/IP gives it the numbers 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Host to device.
    Out,
    /// Device to host.
    In,
}

#[cfg(test)]
mod tests;
