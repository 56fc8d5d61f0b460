//! Attaches a key to this machine's USB through Linux's vhci_hcd, without `usbip` and without a
//! listener: the kernel is handed one end of a socket pair and sends URBs into it.
//!
//! As in drivers/usb/usbip/vhci_sysfs.c and tools/usb/usbip: what to attach is written as text
//! into a file in sysfs, by root. Deliberately absent: /var/run/vhci_hcd, where `usbip port`
//! looks for who is at the other end, kernels before 4.13, whose status has no hubs, and
//! SuperSpeed.

use std::fmt;
use std::io;

use crate::usbip::AttachError;
use crate::usbip::urb::DevId;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{attach, detach};
#[cfg(target_os = "linux")]
pub use linux::{attach, detach, detach_in, devices, free_ports, hand_over};

/// A port of vhci_hcd with a key. Dropping it leaves the key attached: that ends with the key's
/// session, or with [`detach`](Self::detach).
#[derive(Debug, PartialEq, Eq)]
pub struct Port {
    number: u16,
    /// What the kernel was told to call the device.
    devid: DevId,
}

impl Port {
    /// What vhci_hcd calls it, counted across its controllers.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Unplugs the key from this machine. If its session is over already, and the port perhaps
    /// another program's, nothing happens.
    ///
    /// # Errors
    ///
    /// This process may not, or not any more.
    pub fn detach(self) -> Result<(), VhciError> {
        #[cfg(target_os = "linux")]
        let detached = linux::detach_port(&self);
        #[cfg(not(target_os = "linux"))]
        let detached = detach(self.number);
        detached
    }
}

/// Why a key is not attached or detached. The text says what to do.
#[derive(Debug)]
pub enum VhciError {
    /// This is not Linux.
    NotLinux,
    /// The module is there and not loaded, as far as can be seen.
    NotLoaded,
    /// This kernel, by its release, has no such module.
    NoModule(String),
    /// Only root may.
    NotRoot,
    /// Other devices have all ports.
    NoFreePort,
    /// No device is at this port.
    NotAttached(u16),
    /// The key cannot be had.
    Key(AttachError),
    /// Anything else; the first says what failed.
    Io(&'static str, io::Error),
}

impl From<AttachError> for VhciError {
    fn from(error: AttachError) -> Self {
        Self::Key(error)
    }
}

impl fmt::Display for VhciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinux => f.write_str(
                "only Linux has vhci-hcd; on Windows attach with usbip-win2: usbip.exe attach -r \
                 127.0.0.1 -b BUSID",
            ),
            Self::NotLoaded => f.write_str("vhci-hcd is not loaded: sudo modprobe vhci-hcd"),
            Self::NoModule(release) => write!(
                f,
                "this kernel ({release}) comes without vhci-hcd. On Ubuntu: sudo apt-get install \
                 linux-modules-extra-{release} && sudo modprobe vhci-hcd. Debian's -cloud- \
                 kernels have none: install linux-image-amd64 and boot it, or use --backend uhid"
            ),
            Self::NotRoot => f.write_str(
                "only root may attach a device to this machine's USB: run it with sudo, or use \
                 --backend uhid, which a udev rule opens to you",
            ),
            Self::NoFreePort => f.write_str(
                "all ports of vhci-hcd are taken: `usbip port` lists them, `sudo usbip detach -p \
                 N` frees one",
            ),
            Self::NotAttached(number) => write!(f, "no device is at vhci port {number}"),
            Self::Key(error) => write!(f, "{error}"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for VhciError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotLinux
            | Self::NotLoaded
            | Self::NoModule(_)
            | Self::NotRoot
            | Self::NoFreePort
            | Self::NotAttached(_) => None,
            Self::Key(error) => Some(error),
            Self::Io(_, error) => Some(error),
        }
    }
}
