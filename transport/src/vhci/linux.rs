//! The sysfs files of vhci_hcd, and the socket that the kernel gets.

mod socket;
mod status;

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use tracing::{debug, info};

use super::{Port, VhciError};
use crate::Peer;
use crate::usbip::{Attached, BusId, Exports};
use status::{PortStatus, parse};

/// The first controller, whose files are for the ports of all.
const SYSFS: &str = "/sys/devices/platform/vhci_hcd.0";
/// The most that a kernel can be built with (USBIP_VHCI_NR_HCS).
const CONTROLLERS_LIMIT: u16 = 128;

/// Attaches a key to this machine's USB. Needs a tokio runtime with I/O and time.
///
/// # Errors
///
/// There is no such key, another host has it, or the kernel does not take it; the error says
/// what to do.
pub async fn attach(exports: &Exports, busid: &BusId) -> Result<Port, VhciError> {
    let vhci = Vhci::system();
    attach_with(exports, busid, |socket, attached| {
        vhci.hand_over(socket, attached)
    })
    .await
}

/// Hands a connected stream socket to the kernel, which sends URBs into it. The kernel keeps it;
/// the caller's descriptor may be closed.
///
/// # Errors
///
/// The kernel does not take it; the error says what to do.
pub fn hand_over(socket: impl AsFd, attached: Attached) -> Result<Port, VhciError> {
    Vhci::system().hand_over(socket.as_fd(), attached)
}

/// Detaches whatever is at a port.
///
/// # Errors
///
/// Nothing is there, or this process may not.
pub fn detach(number: u16) -> Result<(), VhciError> {
    Vhci::system().detach(number)
}

/// How many ports are free for full-speed devices, by the files of the first controller, which
/// are in this directory.
///
/// # Errors
///
/// They cannot be read.
pub fn free_ports(sysfs: &Path) -> Result<usize, VhciError> {
    let vhci = Vhci {
        sysfs: sysfs.to_owned(),
    };
    let free = vhci.status()?.iter().filter(|port| port.is_free()).count();
    Ok(free)
}

/// The USB devices at ports of full speed, by the files of the first controller, which are in
/// this directory: the port and what this machine calls the device.
///
/// # Errors
///
/// They cannot be read.
pub fn devices(sysfs: &Path) -> Result<Vec<(u16, String)>, VhciError> {
    let vhci = Vhci {
        sysfs: sysfs.to_owned(),
    };
    let ports = vhci.status()?.into_iter();
    let named = ports.filter_map(|port| Some((port.number, port.device()?.to_owned())));
    Ok(named.collect())
}

/// Detaches whatever is at a port, by the files in this directory.
///
/// # Errors
///
/// Nothing is there, or this process may not.
pub fn detach_in(sysfs: &Path, number: u16) -> Result<(), VhciError> {
    let vhci = Vhci {
        sysfs: sysfs.to_owned(),
    };
    vhci.detach(number)
}

pub(super) fn detach_port(port: &Port) -> Result<(), VhciError> {
    Vhci::system().detach_port(port)
}

async fn attach_with(
    exports: &Exports,
    busid: &BusId,
    hand_over: impl Fn(BorrowedFd<'_>, Attached) -> Result<Port, VhciError>,
) -> Result<Port, VhciError> {
    let lease = exports.lease(busid).await?;
    let attached = lease.attached();
    let (ours, kernels) = socket::unix_pair()?;
    let refusal = match hand_over(kernels.as_fd(), attached) {
        Ok(port) => {
            info!(%busid, port = port.number, "attached to this machine");
            lease.hand_over(ours, Peer::Vhci(port.number), &[]);
            return Ok(port);
        }
        Err(VhciError::Io(_, error)) => error,
        Err(other) => return Err(other),
    };
    debug!(%refusal, "the kernel takes no UNIX socket; trying TCP");
    let (ours, kernels) = socket::tcp_pair().await?;
    let port = hand_over(kernels.as_fd(), attached)?;
    info!(%busid, port = port.number, "attached to this machine over TCP");
    lease.hand_over(ours, Peer::Vhci(port.number), &[]);
    Ok(port)
}

/// Where the files are.
struct Vhci {
    sysfs: PathBuf,
}

impl Vhci {
    fn system() -> Self {
        Self {
            sysfs: SYSFS.into(),
        }
    }

    fn hand_over(&self, socket: BorrowedFd<'_>, attached: Attached) -> Result<Port, VhciError> {
        let sockfd = socket.as_raw_fd();
        let Attached { devid, speed } = attached;
        let ports = self.status()?;
        let free = ports.iter().filter(|port| port.is_free());
        let attach = |number: u16| {
            let text = format!("{number} {sockfd} {} {speed}", devid.0);
            write_file(&self.sysfs.join("attach"), &text)
        };
        let number = first_taken(free.map(|port| port.number), attach)?;
        Ok(Port { number, devid })
    }

    fn detach(&self, number: u16) -> Result<(), VhciError> {
        let written = write_file(&self.sysfs.join("detach"), &number.to_string());
        written.map_err(|error| match error.raw_os_error() {
            Some(EINVAL) => VhciError::NotAttached(number),
            _ => failure("vhci-hcd does not detach it", error),
        })
    }

    fn detach_port(&self, port: &Port) -> Result<(), VhciError> {
        let is_ours =
            |status: &PortStatus| status.number == port.number && status.may_have(port.devid);
        if !self.status()?.iter().any(is_ours) {
            return Ok(());
        }
        match self.detach(port.number) {
            Err(VhciError::NotAttached(_)) => Ok(()), // it went meanwhile
            other => other,
        }
    }

    /// The ports of every controller that full-speed devices can have.
    fn status(&self) -> Result<Vec<PortStatus>, VhciError> {
        let mut ports = Vec::new();
        for controller in 0..CONTROLLERS_LIMIT {
            let name = match controller {
                0 => "status".to_owned(),
                _ => format!("status.{controller}"),
            };
            match fs::read_to_string(self.sysfs.join(name)) {
                Ok(text) => ports.extend(parse(&text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && controller > 0 => break,
                Err(error) => return Err(failure("the status of vhci-hcd cannot be read", error)),
            }
        }
        Ok(ports)
    }
}

/// Takes the first port that is still free; programs do not wait for one another.
fn first_taken(
    free: impl Iterator<Item = u16>,
    mut attach: impl FnMut(u16) -> io::Result<()>,
) -> Result<u16, VhciError> {
    for number in free {
        match attach(number) {
            Ok(()) => return Ok(number),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                debug!(number, "another program was faster");
            }
            Err(error) => return Err(failure("vhci-hcd does not take the key", error)),
        }
    }
    Err(VhciError::NoFreePort)
}

/// One call: the kernel reads one text from each.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Invalid argument, for which std has a kind that other numbers share.
const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();

fn failure(what: &'static str, error: io::Error) -> VhciError {
    if error.kind() == io::ErrorKind::NotFound {
        let read = |path: &str| fs::read_to_string(path).ok();
        return missing(read);
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return VhciError::NotRoot;
    }
    VhciError::Io(what, error)
}

/// What is missing where the files are not there.
fn missing(read: impl Fn(&str) -> Option<String>) -> VhciError {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    // A container may see neither: then nothing is known.
    match read(&format!("/lib/modules/{release}/modules.dep")) {
        Some(modules) if !modules.contains("/vhci-hcd.ko") => {
            VhciError::NoModule(release.to_owned())
        }
        Some(_) | None => VhciError::NotLoaded,
    }
}

#[cfg(test)]
mod tests;
