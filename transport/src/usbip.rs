//! USB/IP as its server: protocol 1.1.1, as in Linux's Documentation/usb/usbip_protocol.rst and
//! drivers/usb/usbip, and as usbip-win2 speaks it.
//!
//! Deliberately absent: the client's side (only the codecs go both ways, for host models), TLS
//! and authentication (USB/IP has none; see [`AllowList`] and [`ImportFrom`]), and the export of real devices.

pub mod op;
pub mod session;
pub mod urb;

mod allow;
mod attachment;
mod exports;
mod import_from;
mod room;
mod server;

pub use crate::Attachments;
pub use crate::limits::Limits;
pub use allow::AllowList;
pub use exports::{AddError, AttachError, Attached, Exports};
pub use import_from::ImportFrom;
pub use op::{BusId, BusIdError};
pub use server::{BindError, Server};

#[cfg(test)]
mod peer_crate_tests;
#[cfg(test)]
mod transcript;
