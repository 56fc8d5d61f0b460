//! A host in the same process: what tests and Rust test rigs attach a key to.
//!
//! It behaves like a program that keeps one read pending, as one does through Linux's hidraw:
//! the key may send one report, and the next once the host took it. There is no USB here, no
//! enumeration and no unlink; [`crate::usbip::session`] has those.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::limits::{TO_HOST_LIMIT, TO_KEY_LIMIT};
use crate::{Ended, Event, Peer, REPORT_LEN, Transport};

/// A key's end and a host's end. The attachment is on from the start: the first event is
/// [`Event::PowerOn`].
#[must_use]
pub fn pair() -> (MemoryTransport, MemoryHost) {
    let link = Arc::new(Mutex::new(Link {
        to_key: VecDeque::with_capacity(TO_KEY_LIMIT),
        to_host: VecDeque::with_capacity(TO_HOST_LIMIT),
        open: true,
        key_waker: None,
        host_waker: None,
    }));
    let transport = MemoryTransport {
        link: Arc::clone(&link),
        powered: false,
        wanted: false,
    };
    (transport, MemoryHost { link })
}

#[derive(Debug)]
struct Link {
    to_key: VecDeque<[u8; REPORT_LEN]>,
    to_host: VecDeque<[u8; REPORT_LEN]>,
    open: bool,
    key_waker: Option<Waker>,
    host_waker: Option<Waker>,
}

impl Link {
    fn close(&mut self) {
        self.open = false;
        self.wake_key();
        self.wake_host();
    }

    fn wake_key(&mut self) {
        if let Some(waker) = self.key_waker.take() {
            waker.wake();
        }
    }

    fn wake_host(&mut self) {
        if let Some(waker) = self.host_waker.take() {
            waker.wake();
        }
    }
}

/// No code between lock and unlock can panic, so a poisoned link is still whole.
fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key's end. Dropping it tells the host that the device is gone.
#[derive(Debug)]
pub struct MemoryTransport {
    link: Arc<Mutex<Link>>,
    powered: bool,
    /// Whether the key was told that the host waits.
    wanted: bool,
}

impl Transport for MemoryTransport {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Ended>> {
        let mut link = lock(&self.link);
        if !self.powered {
            self.powered = true;
            return Poll::Ready(Ok(Event::PowerOn));
        }
        if let Some(report) = link.to_key.pop_front() {
            link.wake_host();
            return Poll::Ready(Ok(Event::Report(report)));
        }
        if !link.open {
            return Poll::Ready(Err(Ended::PeerClosed));
        }
        let wants = link.to_host.len() < TO_HOST_LIMIT;
        if wants && !self.wanted {
            self.wanted = true;
            return Poll::Ready(Ok(Event::ReportWanted));
        }
        link.key_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wants_report(&self) -> bool {
        let link = lock(&self.link);
        link.open && link.to_host.len() < TO_HOST_LIMIT
    }

    fn send_report(&mut self, report: &[u8; REPORT_LEN]) -> bool {
        let mut link = lock(&self.link);
        if !link.open || link.to_host.len() >= TO_HOST_LIMIT {
            return false;
        }
        link.to_host.push_back(*report);
        link.wake_host();
        self.wanted = link.to_host.len() < TO_HOST_LIMIT;
        true
    }

    fn peer(&self) -> Peer {
        Peer::Memory
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        lock(&self.link).close();
    }
}

/// The host's end. Dropping it is power-off, after the reports that it already sent.
#[derive(Debug)]
pub struct MemoryHost {
    link: Arc<Mutex<Link>>,
}

/// The key's end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceGone;

impl std::fmt::Display for DeviceGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the key was unplugged")
    }
}

impl std::error::Error for DeviceGone {}

impl MemoryHost {
    /// Sends a report; waits while the key has too many unread.
    ///
    /// # Errors
    ///
    /// The key is gone; the report was not sent.
    pub async fn send_report(&mut self, report: &[u8; REPORT_LEN]) -> Result<(), DeviceGone> {
        poll_fn(|cx| {
            let mut link = lock(&self.link);
            if !link.open {
                return Poll::Ready(Err(DeviceGone));
            }
            if link.to_key.len() >= TO_KEY_LIMIT {
                link.host_waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            link.to_key.push_back(*report);
            link.wake_key();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// The next report from the key. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The key is gone and every report that it sent was taken.
    pub async fn recv_report(&mut self) -> Result<[u8; REPORT_LEN], DeviceGone> {
        poll_fn(|cx| {
            let mut link = lock(&self.link);
            if let Some(report) = link.to_host.pop_front() {
                link.wake_key();
                return Poll::Ready(Ok(report));
            }
            if !link.open {
                return Poll::Ready(Err(DeviceGone));
            }
            link.host_waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for MemoryHost {
    fn drop(&mut self) {
        lock(&self.link).close();
    }
}

#[cfg(test)]
mod tests;
