//! Where there is no uhid.

use std::convert::Infallible;
use std::task::{Context, Poll};

use super::UhidError;
use crate::usb::Identity;
use crate::{Ended, Event, Peer, REPORT_LEN, Transport};

/// A key as a HID device of this machine. There is none: only Linux has uhid.
#[derive(Debug)]
pub struct UhidTransport(Infallible);

/// Makes a HID device of this machine. Only Linux can.
///
/// # Errors
///
/// [`UhidError::NotLinux`].
pub fn plug(_identity: &Identity) -> Result<UhidTransport, UhidError> {
    Err(UhidError::NotLinux)
}

impl Transport for UhidTransport {
    fn poll_event(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Event, Ended>> {
        match self.0 {}
    }

    fn wants_report(&self) -> bool {
        match self.0 {}
    }

    fn send_report(&mut self, _report: &[u8; REPORT_LEN]) -> bool {
        match self.0 {}
    }

    fn peer(&self) -> Peer {
        match self.0 {}
    }
}
