//! Where there is no vhci_hcd.

use super::{Port, VhciError};
use crate::usbip::{BusId, Exports};

/// Attaches a key to this machine's USB. Only Linux can.
///
/// # Errors
///
/// [`VhciError::NotLinux`].
pub async fn attach(_exports: &Exports, _busid: &BusId) -> Result<Port, VhciError> {
    Err(VhciError::NotLinux)
}

/// Detaches what is at a port. Only Linux can.
///
/// # Errors
///
/// [`VhciError::NotLinux`].
pub fn detach(_number: u16) -> Result<(), VhciError> {
    Err(VhciError::NotLinux)
}
