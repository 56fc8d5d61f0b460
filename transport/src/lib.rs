//! Carries 64-byte CTAPHID reports between a key and the host that attached it.
//!
//! Layers of USB/IP, the lowest last, and beside them what else carries reports:
//!
//! | module | what it does | what it does not know |
//! | --- | --- | --- |
//! | [`usbip::Server`], [`usbip::Exports`] | sockets, time limits, who may attach, one host for each key | what a URB is |
//! | [`usbip::session`] | URBs in, answers out: parked IN URBs, unlink | sockets, time |
//! | [`usbip::op`], [`usbip::urb`] | bytes of USB/IP, both ways | what they mean |
//! | [`usb`] | the device: descriptors, control pipe, HID class | USB/IP |
//! | [`vhci`] | gives the kernel of this machine the other end of a session | what a URB is |
//! | [`uhid`] | the key as a HID device of this machine | USB |
//! | [`memory`] | a host in the same process, without USB | all of the above |
//!
//! What crosses to the key is [`Transport`]: reports, power, and whether the host waits for a
//! report. CTAPHID itself (channels, packets, keepalives) is `roamkey-ctap`; neither crate
//! knows the other.

pub mod limits;
pub mod memory;
pub mod uhid;
pub mod usb;
pub mod usbip;
pub mod vhci;

mod attachments;
mod half_open;
mod pace;

use std::fmt;
use std::net::SocketAddr;
use std::task::{Context, Poll};

pub use attachments::Attachments;
pub use half_open::watch_over;

/// Bytes in one report, in both directions (CTAP 2.1 §11.2.4).
pub const REPORT_LEN: usize = 64;

/// What the host did.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The host configured the device: power-on, and the moment from which the reset window
    /// counts. Comes once in an attachment, before every other event.
    PowerOn,
    /// The host sent a report.
    Report([u8; REPORT_LEN]),
    /// The host began to wait for a report; before, it waited for none, or had been given as many
    /// as the transport lets through at once.
    ReportWanted,
    /// The host waits for a report no longer: it took back its last wait, as Linux does when the
    /// last program closes the device.
    ReportUnwanted,
}

impl fmt::Debug for Event {
    /// Leaves out the bytes: a report may carry what must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerOn => "PowerOn",
            Self::Report(_) => "Report(..)",
            Self::ReportWanted => "ReportWanted",
            Self::ReportUnwanted => "ReportUnwanted",
        })
    }
}

/// One attachment of a key to a host, from the import to its end. Dropping it ends it and lets
/// the next host attach.
///
/// ```no_run
/// # use roamkey_transport::{Ended, Event, Transport};
/// # use std::future::poll_fn;
/// # trait Device { fn handle(&mut self, event: Event); fn poll_report(&mut self) -> Option<[u8; 64]>; }
/// # async fn attached(t: &mut dyn Transport, device: &mut dyn Device) -> Ended {
/// loop {
///     match poll_fn(|cx| t.poll_event(cx)).await {
///         Ok(event) => device.handle(event),
///         Err(ended) => return ended, // the key is without power
///     }
///     while t.wants_report() {
///         let Some(report) = device.poll_report() else { break };
///         t.send_report(&report);
///     }
/// }
/// # }
/// ```
pub trait Transport: Send {
    /// The next thing that the host did.
    ///
    /// Writes what is queued once nothing that was read is left to report, so that an
    /// acknowledgement and the report that it provokes leave together: a caller that answers
    /// each event before it polls again gets that for nothing. Cancel-safe: an event is lost
    /// only if a `Ready` is thrown away.
    ///
    /// # Errors
    ///
    /// The attachment is over, which is power-off. Every later call says the same.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Ended>>;

    /// Whether the host waits for a report now, and may be given one.
    fn wants_report(&self) -> bool;

    /// Queues a report, which leaves with the next [`poll_event`](Self::poll_event). Returns
    /// whether it was taken: false, and nothing happens, when the host waits for none.
    fn send_report(&mut self, report: &[u8; REPORT_LEN]) -> bool;

    /// Lets what is queued leave now, as far as that takes no waiting: for a caller that has
    /// something slow to do before it polls again. What fails shows at the next
    /// [`poll_event`](Self::poll_event).
    fn flush(&mut self) {}

    /// Who attached the key.
    fn peer(&self) -> Peer;
}

/// Who attached a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A host in this process.
    Memory,
    /// A USB/IP client.
    Tcp(SocketAddr),
    /// This machine's USB, at a port of vhci_hcd.
    Vhci(u16),
    /// This machine's HID, without USB.
    Uhid,
    /// Who has the other end of a stream that this process was given or made.
    Local,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("this process"),
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Vhci(port) => write!(f, "this machine, vhci port {port}"),
            Self::Uhid => f.write_str("this machine, uhid"),
            Self::Local => f.write_str("a local stream"),
        }
    }
}

/// Why an attachment is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The host closed the connection: it detached, or its program ended.
    PeerClosed,
    /// The host broke the protocol.
    Violation(usbip::session::Violation),
    /// The connection failed, or the keepalive found the host gone.
    Io(std::io::ErrorKind),
    /// The host did not read its answers within the time limit.
    SlowReader,
    /// The key was taken off the server.
    Removed,
    /// The server was shut down.
    ServerClosed,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerClosed => f.write_str("the host detached"),
            Self::Violation(violation) => {
                write!(f, "the host broke the USB/IP protocol: {violation}")
            }
            Self::Io(kind) => write!(f, "the connection failed: {kind}"),
            Self::SlowReader => f.write_str("the host did not read its answers"),
            Self::Removed => f.write_str("the key was removed"),
            Self::ServerClosed => f.write_str("the server was shut down"),
        }
    }
}

impl std::error::Error for Ended {}
