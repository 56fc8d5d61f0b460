//! The file: one read for each event, one write for each answer.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::UhidError;
use super::codec::{EVENT_LEN, KernelEvent, create, input};
use super::machine::Machine;
use crate::pace::Pace;
use crate::usb::Identity;
use crate::{Ended, Event, Peer, REPORT_LEN, Transport};

const PATH: &str = "/dev/uhid";

/// A key as a HID device of this machine. Dropping it unplugs it.
pub struct UhidTransport {
    /// Closing it is UHID_DESTROY.
    file: AsyncFd<File>,
    machine: Machine,
    pace: Pace,
    buffer: Box<[u8; EVENT_LEN]>,
    over: Option<Ended>,
}

/// Makes a HID device of this machine. Needs a tokio runtime with I/O and time.
///
/// # Errors
///
/// The kernel has no uhid, this user may not use it, or it takes no device; the error says what
/// to do.
pub fn plug(identity: &Identity) -> Result<UhidTransport, UhidError> {
    let transport = UhidTransport::new(open(PATH.as_ref())?, identity)?;
    tracing::info!(serial = identity.fields().serial, "plugged in");
    Ok(transport)
}

fn open(path: &Path) -> Result<File, UhidError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(file.into()),
        // Where udev made the node for a module that is not there, its driver is missing.
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Err(UhidError::Missing),
        Err(Errno::ACCESS | Errno::PERM) => Err(UhidError::NotAllowed),
        Err(error) => Err(UhidError::Io(error.into())),
    }
}

/// Lets the runtime watch the file.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types whose descriptor may change; a File keeps its own"
)]
fn watched(file: File) -> io::Result<AsyncFd<File>> {
    AsyncFd::new(file)
}

impl UhidTransport {
    fn new(file: File, identity: &Identity) -> Result<Self, UhidError> {
        let interval = Duration::from_millis(identity.fields().interval_ms.into());
        let transport = Self {
            file: watched(file)?,
            machine: Machine::default(),
            pace: Pace::new(interval),
            buffer: Box::new([0; EVENT_LEN]),
            over: None,
        };
        transport.write(&create(identity))?;
        Ok(transport)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Ended>> {
        loop {
            if self.pace.poll_over(cx).is_ready() && self.machine.is_open() {
                return Poll::Ready(Ok(Event::ReportWanted));
            }
            if let Some(event) = self.machine.poll_event() {
                if matches!(event, Event::Report(_)) {
                    self.pace.heard();
                }
                return Poll::Ready(Ok(event));
            }
            let event = ready!(self.poll_read(cx)).map_err(|error| Ended::Io(error.kind()))?;
            if let Some(reply) = self.machine.handle(event)? {
                self.write(&reply)
                    .map_err(|error| Ended::Io(error.kind()))?;
            }
        }
    }

    /// One event.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<KernelEvent>> {
        loop {
            let mut ready = ready!(self.file.poll_read_ready(cx))?;
            match ready.try_io(|file| file.get_ref().read(&mut self.buffer[..])) {
                Ok(Ok(0)) => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Ok(Ok(count)) => {
                    let event = self.buffer.get(..count).unwrap_or_default();
                    return Poll::Ready(Ok(KernelEvent::parse(event)));
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }

    /// The kernel takes an event whole and at once, or refuses it.
    fn write(&self, event: &[u8]) -> io::Result<()> {
        loop {
            match self.file.get_ref().write(event) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Transport for UhidTransport {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Ended>> {
        if let Some(ended) = self.over {
            return Poll::Ready(Err(ended));
        }
        let event = ready!(self.poll_next(cx));
        if let Err(ended) = event {
            self.over = Some(ended);
        }
        Poll::Ready(event)
    }

    fn wants_report(&self) -> bool {
        self.over.is_none() && self.pace.allows() && self.machine.is_open()
    }

    /// The report leaves at once: nothing is gained by waiting.
    fn send_report(&mut self, report: &[u8; REPORT_LEN]) -> bool {
        if !self.wants_report() {
            return false;
        }
        match self.write(&input(report)) {
            Ok(()) => self.pace.sent(),
            Err(error) => self.over = Some(Ended::Io(error.kind())),
        }
        self.over.is_none()
    }

    fn peer(&self) -> Peer {
        Peer::Uhid
    }
}

impl fmt::Debug for UhidTransport {
    /// Leaves out the bytes that were read: they may carry what must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UhidTransport")
    }
}

#[cfg(test)]
mod tests;
