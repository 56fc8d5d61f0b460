//! Who is at the server: connections at their request, which give way to one another, and how
//! many keys each address has.
//!
//! A client asks as soon as it is connected, so one that is silent is no client, or is far away
//! and slow: whoever opens many such connections keeps nobody else out.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

use crate::limits::Limits;

/// What counts as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin(IpAddr);

impl Origin {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            // A host on IPv6 has a whole /64 (RFC 4291 §2.5.1).
            IpAddr::V6(address) => {
                let host = u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !host))
            }
        })
    }
}

/// Whether a connection has made its request. Clones are of the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<AtomicBool>);

impl Asked {
    pub(super) fn is_made(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Guest {
    from: Origin,
    since: Instant,
    asked: Asked,
    task: AbortHandle,
}

/// The connections that are not imported, the oldest first.
pub(super) struct Room {
    guests: VecDeque<Guest>,
    limits: Limits,
}

impl Room {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            guests: VecDeque::new(),
            limits,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.guests.len() >= self.limits.requests
    }

    /// Takes a new one in. Where its address has too many, the oldest of them gives way.
    pub(super) fn take(&mut self, from: Origin, asked: Asked, task: AbortHandle) {
        if self.count(from) >= self.limits.requests_per_address {
            self.end_one_of(from);
        }
        self.guests.push_back(Guest {
            from,
            since: Instant::now(),
            asked,
            task,
        });
    }

    /// Ends one of the address that has the most. False where all of them may stay yet.
    pub(super) fn make_room(&mut self) -> bool {
        let origins = self.guests.iter().map(|guest| guest.from);
        match origins.max_by_key(|from| self.count(*from)) {
            Some(from) => self.end_one_of(from),
            None => true,
        }
    }

    /// A connection is over, or imported.
    pub(super) fn free(&mut self, id: Id) {
        self.guests.retain(|guest| guest.task.id() != id);
    }

    fn count(&self, from: Origin) -> usize {
        let same = self.guests.iter().filter(|guest| guest.from == from);
        same.count()
    }

    /// First those that have not asked; never one that is new.
    fn end_one_of(&mut self, from: Origin) -> bool {
        let grace = self.limits.grace;
        let may_end = |guest: &Guest| guest.from == from && guest.since.elapsed() >= grace;
        let silent = |guest: &Guest| may_end(guest) && !guest.asked.0.load(Ordering::Relaxed);
        let found = self.guests.iter().position(silent);
        let found = found.or_else(|| self.guests.iter().position(may_end));
        let Some(guest) = found.and_then(|index| self.guests.remove(index)) else {
            return false;
        };
        guest.task.abort();
        true
    }
}

/// How many keys each address has. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<BTreeMap<Origin, usize>>>);

impl Sessions {
    /// One more; `None` where the address has `most` of them.
    pub(super) fn enter(&self, from: Origin, most: usize) -> Option<Entered> {
        let mut sessions = self.lock();
        let count = sessions.get(&from).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        sessions.insert(from, count + 1);
        Some(Entered {
            sessions: self.clone(),
            from,
        })
    }

    /// No code between lock and unlock can panic, so a poisoned map is still whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Origin, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session of an address, until this is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    sessions: Sessions,
    from: Origin,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock();
        match sessions.get(&self.from).copied() {
            Some(count @ 2..) => sessions.insert(self.from, count - 1),
            Some(_) | None => sessions.remove(&self.from),
        };
    }
}

#[cfg(test)]
mod tests;
