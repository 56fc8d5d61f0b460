//! Which keys are on the server, and which of them a host has.
//!
//! A key has one host at a time. The host's [`Lease`] ends when its transport is dropped, which
//! wakes a host that waits for the same key: the old connection may still be dying when the new
//! one asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::limits::RELEASE_LIMIT;
use crate::usb::Identity;
use crate::{Attachments, Ended, Peer, Transport};

use super::attachment::Attachment;
use super::op::{BusId, FULL_SPEED, Record};
use super::room::Entered;
use super::session::Session;
use super::urb::DevId;

/// The keys on a server, or that are attached without one. Clones are handles to the same list.
#[derive(Clone)]
pub struct Exports(Arc<Mutex<State>>);

struct State {
    /// By device id, so that lists are in the order of ports.
    exports: BTreeMap<DevId, Export>,
    leases: u64,
    closed: bool,
}

struct Export {
    busid: BusId,
    identity: Identity,
    attachments: mpsc::Sender<Box<dyn Transport>>,
    lease: Option<CurrentLease>,
    released: Arc<Notify>,
}

struct CurrentLease {
    number: u64,
    end: oneshot::Sender<Ended>,
}

impl Default for Exports {
    fn default() -> Self {
        Self::new()
    }
}

impl Exports {
    /// No key yet, and no server: [`attach`](Self::attach) is the only way to one of them.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            exports: BTreeMap::new(),
            leases: 0,
            closed: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Puts a key on the list. Each host that imports it comes out of the [`Attachments`].
    ///
    /// # Errors
    ///
    /// The bus id does not name a port or is taken, or the server is gone.
    pub fn add(&self, busid: BusId, identity: Identity) -> Result<Attachments, AddError> {
        let devid = busid.devid().ok_or(AddError::NotAPort)?;
        let mut state = self.lock();
        if state.closed {
            return Err(AddError::ServerClosed);
        }
        if state.exports.contains_key(&devid) {
            return Err(AddError::Taken);
        }
        // One place: a lease is needed to fill it, and lasts as long as what fills it.
        let (attachments, receiver) = mpsc::channel(1);
        let released = Arc::new(Notify::new());
        state.exports.insert(
            devid,
            Export {
                busid,
                identity,
                attachments,
                lease: None,
                released,
            },
        );
        Ok(Attachments::handed(receiver))
    }

    /// Takes a key off the list and ends its session with [`Ended::Removed`]. False if it was
    /// not there.
    pub fn remove(&self, busid: &BusId) -> bool {
        let export = busid
            .devid()
            .and_then(|devid| self.lock().exports.remove(&devid));
        let found = export.is_some();
        if let Some(export) = export {
            export.end(Ended::Removed);
        }
        found
    }

    /// Takes all off, which ends their sessions with [`Ended::ServerClosed`], and takes no more.
    pub fn close(&self) {
        let exports = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.exports)
        };
        for export in exports.into_values() {
            export.end(Ended::ServerClosed);
        }
    }

    pub(super) fn records(&self) -> Vec<Record> {
        let state = self.lock();
        state
            .exports
            .iter()
            .map(|(devid, export)| export.record(*devid))
            .collect()
    }

    /// Gives a key to the host at the other end of a stream, which then sends URBs at once: for
    /// a host that needs no import. Waits a little for the host that has the key.
    ///
    /// # Errors
    ///
    /// There is no such key, or another host has it.
    pub async fn attach<S>(
        &self,
        busid: &BusId,
        stream: S,
        peer: Peer,
    ) -> Result<Attached, AttachError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let lease = self.lease(busid).await?;
        let attached = lease.attached();
        lease.hand_over(stream, peer, &[]);
        Ok(attached)
    }

    /// Gets a key for a host; waits a little for the one that has it.
    pub(crate) async fn lease(&self, busid: &BusId) -> Result<Lease, AttachError> {
        let devid = busid.devid().ok_or(AttachError::NoSuchKey)?;
        let deadline = Instant::now() + RELEASE_LIMIT;
        loop {
            let released = match self.try_lease(devid) {
                Ok(lease) => return Ok(lease),
                Err(Refusal::NoDevice) => return Err(AttachError::NoSuchKey),
                Err(Refusal::Busy(released)) => released,
            };
            if timeout_at(deadline, released.notified()).await.is_err() {
                return Err(AttachError::Busy);
            }
        }
    }

    fn try_lease(&self, devid: DevId) -> Result<Lease, Refusal> {
        let mut state = self.lock();
        state.leases += 1;
        let number = state.leases;
        let export = state.exports.get_mut(&devid).ok_or(Refusal::NoDevice)?;
        if export.lease.is_some() {
            return Err(Refusal::Busy(Arc::clone(&export.released)));
        }
        // The place is only taken while a transport waits that outlived its lease: never.
        let place = export
            .attachments
            .clone()
            .try_reserve_owned()
            .map_err(|_| Refusal::NoDevice)?;
        let (end, ended) = oneshot::channel();
        export.lease = Some(CurrentLease { number, end });
        Ok(Lease {
            record: export.record(devid),
            identity: export.identity.clone(),
            place,
            ended,
            hold: Hold {
                exports: self.clone(),
                devid,
                number,
                _entered: None,
            },
        })
    }

    fn release(&self, devid: DevId, number: u64) {
        let mut state = self.lock();
        let Some(export) = state.exports.get_mut(&devid) else {
            return;
        };
        // The key may have been removed and added again meanwhile.
        if export
            .lease
            .as_ref()
            .is_some_and(|lease| lease.number == number)
        {
            export.lease = None;
            export.released.notify_one();
        }
    }

    /// No code between lock and unlock can panic, so a poisoned list is still whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_list()
            .entries(state.exports.values().map(|export| export.busid))
            .finish()
    }
}

impl Export {
    fn record(&self, devid: DevId) -> Record {
        Record::new(self.busid, devid, &self.identity)
    }

    /// Ends its session, and wakes who waits for it, to be told that it is gone.
    fn end(self, why: Ended) {
        if let Some(lease) = self.lease {
            let _ = lease.end.send(why); // the transport may be gone already
        }
        self.released.notify_waiters();
    }
}

enum Refusal {
    NoDevice,
    Busy(Arc<Notify>),
}

/// A host's hold on a key, before it is a transport.
pub(crate) struct Lease {
    pub(super) record: Record,
    identity: Identity,
    /// Where the transport goes.
    place: mpsc::OwnedPermit<Box<dyn Transport>>,
    /// Says when the attachment has to end.
    ended: oneshot::Receiver<Ended>,
    hold: Hold,
}

impl Lease {
    pub(crate) fn attached(&self) -> Attached {
        Attached {
            devid: self.record.devid,
            speed: FULL_SPEED,
        }
    }

    /// Counts among the sessions of an address.
    pub(super) fn count(&mut self, entered: Entered) {
        self.hold._entered = Some(entered);
    }

    /// Gives the stream to the key's task. The greeting is the first thing that leaves, when the
    /// task polls.
    pub(crate) fn hand_over<S>(self, stream: S, peer: Peer, greeting: &[u8])
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut session = Session::new(&self.identity, self.record.devid);
        session.greet(greeting);
        let interval = Duration::from_millis(self.identity.fields().interval_ms.into());
        let hold = Some(self.hold);
        let attachment = Attachment::new(stream, session, interval, peer, self.ended, hold);
        self.place.send(Box::new(attachment));
    }
}

/// What a host has to know of a key that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Names the key in URBs.
    pub devid: DevId,
    /// As USB/IP numbers speeds: 2 is full speed.
    pub speed: u32,
}

/// Frees the key when dropped.
pub(super) struct Hold {
    exports: Exports,
    devid: DevId,
    number: u64,
    /// Where the host's address has a bound.
    _entered: Option<Entered>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.exports.release(self.devid, self.number);
    }
}

/// Why a key is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The bus id is not of the form `bus-port`.
    NotAPort,
    /// Another key has it.
    Taken,
    /// The server is gone.
    ServerClosed,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPort => "a key's bus id has the form bus-port, like 1-1",
            Self::Taken => "another key has this bus id",
            Self::ServerClosed => "the USB/IP server was shut down",
        })
    }
}

impl std::error::Error for AddError {}

/// Why a host does not get a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// No key has this bus id.
    NoSuchKey,
    /// Another host has it.
    Busy,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchKey => "no key has this bus id",
            Self::Busy => "another host has the key; detach it there first",
        })
    }
}

impl std::error::Error for AttachError {}

#[cfg(test)]
mod tests;
