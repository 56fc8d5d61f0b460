//! A key as a HID device of this machine, made by Linux's uhid: no USB, no network, and no root
//! where a udev rule opens /dev/uhid.
//!
//! Serves Documentation/hid/uhid.rst. One open file is one device; a read gives one event, a
//! write takes one. The device says that it is on the USB bus, without which libfido2 does not
//! look at it. Deliberately absent: feature reports and everything else by GET_REPORT and
//! SET_REPORT, which are answered with an error at once, or a program would wait for 5 s.
//!
//! **What the reader has to keep up with.** The kernel keeps [`QUEUE_LEN`] events that were not
//! read and drops the rest without telling either side. A program writes the reports of a long
//! request one after the other and waits for nothing, about as fast as they can be read, so what
//! counts is how soon the key's task runs after the first. Between two reads nothing is done here
//! but to hand the report on. All the same only a message of fewer reports than that is sure to
//! arrive whole on a busy machine; the longest is 129. A key that is plugged in here does well to
//! promise no longer ones (maxMsgSize).
//!
//! The other way, a program's queue in hidraw drops what overflows; the pace of a bus
//! (`pace`) keeps it from that.

use std::fmt;
use std::io;

#[cfg(target_os = "linux")]
mod codec;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod machine;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{UhidTransport, plug};
#[cfg(target_os = "linux")]
pub use linux::{UhidTransport, plug};

/// How many events wait at most to be read: UHID_BUFSIZE less one, as in every ring.
pub const QUEUE_LEN: usize = 31;

/// Why a key is not plugged in. The text says what to do.
#[derive(Debug)]
pub enum UhidError {
    /// This is not Linux.
    NotLinux,
    /// There is no /dev/uhid, or nothing behind it.
    Missing,
    /// This user may not open /dev/uhid.
    NotAllowed,
    /// Anything else.
    Io(io::Error),
}

impl From<io::Error> for UhidError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for UhidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinux => f.write_str("only Linux has uhid"),
            Self::Missing => f.write_str(
                "there is no /dev/uhid: sudo modprobe uhid. If that finds no module, on Ubuntu's \
                 cloud images and hosted CI first: sudo apt-get install \
                 linux-modules-extra-$(uname -r)",
            ),
            Self::NotAllowed => f.write_str(
                "this user may not open /dev/uhid: install scripts/udev/70-roamkey.rules, which \
                 says how, or run it with sudo",
            ),
            Self::Io(error) => write!(f, "/dev/uhid: {error}"),
        }
    }
}

impl std::error::Error for UhidError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotLinux | Self::Missing | Self::NotAllowed => None,
            Self::Io(error) => Some(error),
        }
    }
}
