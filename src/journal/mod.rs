//! What happens to the keys of a process, numbered and kept for a while.
//!
//! Whoever follows reads from the same bounded list at a pace of its own: a slow reader holds up
//! nobody, and is told how much it missed. Deliberately absent: anything secret.

mod event;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::watch;

use crate::limits::JOURNAL_KEPT;
pub use event::{Entry, Event, TouchState, prompt_event};
pub(crate) use event::{KINDS, gesture_name, operation_name};

struct Shared {
    kept: Mutex<Kept>,
    /// The number of the newest entry, and whether it is the last.
    head: watch::Sender<Head>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    last: u64,
}

#[derive(Clone, Copy, Default)]
struct Head {
    last: u64,
    closed: bool,
}

/// The list. Clones are handles to the same one.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}

impl Journal {
    /// An empty one; entries are numbered from 1.
    pub fn new() -> Self {
        let (head, _) = watch::channel(Head::default());
        Self(Arc::new(Shared {
            kept: Mutex::default(),
            head,
        }))
    }

    /// Adds an entry of now about `key`.
    pub fn record(&self, key: &str, mut event: Event) {
        event.cut_names();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at = since.map_or(0, |since| since.as_millis());
        let mut kept = self.lock();
        kept.last += 1;
        let last = kept.last;
        if kept.entries.len() >= JOURNAL_KEPT {
            kept.entries.pop_front();
        }
        kept.entries.push_back(Arc::new(Entry {
            sequence: last,
            at: u64::try_from(at).unwrap_or(u64::MAX),
            key: key.to_owned(),
            event,
        }));
        // Under the lock, so that the head never goes back. Nobody is told where nobody follows:
        // who begins to meanwhile looks at the list before it waits.
        if self.0.head.receiver_count() > 0 {
            self.0.head.send_modify(|head| head.last = last);
        }
    }

    /// The number of the newest entry; 0 before the first.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    /// Entries with a number above `after`, the oldest first, and whether some before them are no
    /// longer kept.
    pub fn since(&self, after: u64) -> (Vec<Arc<Entry>>, bool) {
        let kept = self.lock();
        let oldest = kept
            .entries
            .front()
            .map_or(kept.last, |entry| entry.sequence - 1);
        let newer = kept.entries.iter().filter(|entry| entry.sequence > after);
        (newer.cloned().collect(), after < oldest)
    }

    /// Follows from the next entry on.
    pub fn follow(&self) -> Follower {
        self.follow_after(self.last())
    }

    /// Follows from the entry after this one on.
    pub fn follow_after(&self, sequence: u64) -> Follower {
        Follower {
            journal: self.clone(),
            head: self.0.head.subscribe(),
            seen: sequence,
        }
    }

    /// No entry comes any more: followers end once they have read all.
    pub fn close(&self) {
        self.0.head.send_modify(|head| head.closed = true);
    }

    /// No code between lock and unlock can panic, so a poisoned list is still whole.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry after `seen`, or how far the list begins behind it.
    fn next_after(&self, seen: u64) -> Option<Followed> {
        let kept = self.lock();
        let oldest = kept.entries.front()?.sequence;
        if kept.last <= seen {
            return None;
        }
        if seen + 1 < oldest {
            return Some(Followed::Missed(oldest - 1 - seen));
        }
        let index = usize::try_from(seen + 1 - oldest).ok()?;
        kept.entries.get(index).cloned().map(Followed::Entry)
    }
}

/// What a follower reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    /// The next entry.
    Entry(Arc<Entry>),
    /// So many entries were dropped before they were read.
    Missed(u64),
}

/// A reader of a [`Journal`].
pub struct Follower {
    journal: Journal,
    head: watch::Receiver<Head>,
    seen: u64,
}

impl Follower {
    /// What is there already; `None` where nothing is.
    pub fn try_next(&mut self) -> Option<Followed> {
        let next = self.journal.next_after(self.seen)?;
        self.seen = match &next {
            Followed::Entry(entry) => entry.sequence,
            Followed::Missed(count) => self.seen.saturating_add(*count),
        };
        Some(next)
    }

    /// Waits for the next; `None` once the journal is closed and all is read. Cancel-safe.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            let closed = self.head.borrow_and_update().closed;
            if let Some(next) = self.try_next() {
                return Some(next);
            }
            if closed || self.head.changed().await.is_err() {
                return None;
            }
        }
    }
}
