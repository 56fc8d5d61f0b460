//! Where keys are plugged in.

use std::net::SocketAddr;

use roamkey_transport::{
    Attachments,
    usb::Identity,
    usbip::{BusId, Exports},
    vhci::VhciError,
};

use super::RigError;
use crate::key::Port;

/// The kernel keeps 31 reports for /dev/uhid and drops what overflows, without a word: a request
/// has to fit, with room for what another program sends meanwhile.
const UHID_MAX_MSG_SIZE: u16 = 1_200;

/// Where keys are plugged in.
pub enum Backend {
    /// A USB/IP server's list. Who serves it is the caller's to say: nobody need listen.
    UsbIp {
        /// The list.
        exports: Exports,
        /// Where hosts connect, if anywhere.
        listen: Option<SocketAddr>,
        /// Whether this machine attaches each key by itself (Linux, as root).
        attach: bool,
    },
    /// The kernel's /dev/uhid (Linux).
    Uhid,
    /// Hosts in this process, by [`super::Rig::connect`].
    Memory,
    /// Nowhere: the keys are only looked at and changed.
    Nowhere,
}

impl Backend {
    /// Hosts in this process.
    pub fn memory() -> Self {
        Self::Memory
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::UsbIp { .. } => "usbip",
            Self::Uhid => "uhid",
            Self::Memory => "memory",
            Self::Nowhere => "none",
        }
    }

    pub(crate) fn listen(&self) -> Option<SocketAddr> {
        match self {
            Self::UsbIp { listen, .. } => *listen,
            Self::Uhid | Self::Memory | Self::Nowhere => None,
        }
    }

    /// The longest CTAP2 request that reaches a key here, in bytes, whatever its profile says.
    pub(super) fn max_msg_size(&self) -> u16 {
        match self {
            Self::Uhid => UHID_MAX_MSG_SIZE,
            Self::UsbIp { .. } | Self::Memory | Self::Nowhere => u16::MAX,
        }
    }

    /// A place for a key; `None` where it is plugged in only when a host connects.
    pub(super) fn port(&self, bus_id: &str, usb: &Identity) -> Result<Option<Port>, RigError> {
        match self {
            Self::UsbIp { exports, .. } => {
                let bus_id: BusId = bus_id.parse().map_err(RigError::failed)?;
                let hosts = exports.add(bus_id, usb.clone());
                let hosts = hosts.map_err(RigError::failed)?;
                let exports = exports.clone();
                let pull = Box::new(move || {
                    // The server may have ended first.
                    exports.remove(&bus_id);
                });
                Ok(Some(Port { hosts, pull }))
            }
            Self::Uhid => {
                let transport = roamkey_transport::uhid::plug(usb).map_err(RigError::failed)?;
                let hosts = Attachments::once(Box::new(transport));
                let pull = Box::new(|| ());
                Ok(Some(Port { hosts, pull }))
            }
            Self::Memory | Self::Nowhere => Ok(None),
        }
    }

    /// Gives a key that is plugged in to this machine's own kernel, where that is wanted.
    pub(super) async fn attach(&self, bus_id: &str, now: bool) -> Result<(), RigError> {
        match self {
            Self::UsbIp {
                exports, attach, ..
            } if *attach || now => {
                let bus_id: BusId = bus_id.parse().map_err(RigError::failed)?;
                let attached = roamkey_transport::vhci::attach(exports, &bus_id).await;
                attached.map(|_| ()).map_err(|why| match why {
                    VhciError::NotRoot => RigError::forbidden(why),
                    VhciError::NotLinux
                    | VhciError::NotLoaded
                    | VhciError::NoModule(_)
                    | VhciError::NoFreePort
                    | VhciError::NotAttached(_)
                    | VhciError::Key(_)
                    | VhciError::Io(..) => RigError::failed(why),
                })
            }
            Self::UsbIp { .. } => Ok(()),
            Self::Uhid | Self::Memory | Self::Nowhere if now => Err(not_on_usbip()),
            Self::Uhid | Self::Memory | Self::Nowhere => Ok(()),
        }
    }
}

pub(super) fn not_on_usbip() -> RigError {
    RigError::conflict("these keys are not on USB/IP: a plugged one is attached already")
}
