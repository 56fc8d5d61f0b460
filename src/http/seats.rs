//! Which connections a listener has, and which gives way when there are too many.
//!
//! One on which nothing is being done gives way to a new one, first those that never showed who
//! they are: whoever opens many connections keeps nobody else out.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::task::{AbortHandle, Id};

/// What is known of a connection while it lasts. Clones are of the same one.
#[derive(Clone, Default)]
pub(crate) struct Presence(Arc<State>);

#[derive(Default)]
struct State {
    known: AtomicBool,
    busy: AtomicUsize,
}

impl Presence {
    /// The guard let it through.
    pub(crate) fn is_known(&self) {
        self.0.known.store(true, Ordering::Relaxed);
    }

    /// A request is being answered while this is kept.
    pub(crate) fn busy(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.0))
    }

    fn is_busy(&self) -> bool {
        self.0.busy.load(Ordering::Relaxed) > 0
    }
}

/// A request that is being answered.
pub(crate) struct Busy(Arc<State>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Seat {
    task: AbortHandle,
    presence: Presence,
}

/// The connections of a listener, the oldest first.
pub(super) struct Seats {
    seats: VecDeque<Seat>,
    most: usize,
}

impl Seats {
    pub(super) fn new(most: usize) -> Self {
        Self {
            seats: VecDeque::new(),
            most,
        }
    }

    /// Makes room for one more, if need be by ending another. False where all are busy.
    pub(super) fn make_room(&mut self) -> bool {
        if self.seats.len() < self.most {
            return true;
        }
        let idle = |seat: &Seat| !seat.presence.is_busy();
        let unknown = |seat: &Seat| idle(seat) && !seat.presence.0.known.load(Ordering::Relaxed);
        let found = self.seats.iter().position(unknown);
        let found = found.or_else(|| self.seats.iter().position(idle));
        let Some(seat) = found.and_then(|index| self.seats.remove(index)) else {
            return false;
        };
        seat.task.abort();
        true
    }

    pub(super) fn take(&mut self, task: AbortHandle, presence: Presence) {
        self.seats.push_back(Seat { task, presence });
    }

    /// A connection is over.
    pub(super) fn free(&mut self, id: Id) {
        self.seats.retain(|seat| seat.task.id() != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seated(seats: &mut Seats) -> (Presence, tokio::task::JoinHandle<()>) {
        let task = tokio::spawn(std::future::pending());
        let presence = Presence::default();
        seats.take(task.abort_handle(), presence.clone());
        (presence, task)
    }

    #[tokio::test]
    async fn full_seats_give_that_of_the_oldest_unknown_idle_one() {
        let mut seats = Seats::new(3);
        let (busy, _busy_task) = seated(&mut seats).await;
        let _answering = busy.busy();
        let (known, _known_task) = seated(&mut seats).await;
        known.is_known();
        let (_, unknown_task) = seated(&mut seats).await;
        assert!(seats.make_room());
        assert!(unknown_task.await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn seats_that_are_all_busy_have_no_room_until_one_is_idle() {
        let mut seats = Seats::new(1);
        let (presence, task) = seated(&mut seats).await;
        let answering = presence.busy();
        assert!(!seats.make_room());
        drop(answering);
        assert!(seats.make_room());
        assert!(task.await.unwrap_err().is_cancelled());
    }
}
