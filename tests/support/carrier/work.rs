//! A key's slow work in virtual time: it takes as long as is said here, or until the test lets go.

use roamkey_ctap::{Instant, Work, WorkDone, WorkId};

/// How long a piece takes.
pub(crate) const WORK_MS: u64 = 320;

/// Where the work of one key is done.
#[derive(Default)]
pub(super) struct Workshop {
    at_it: Option<(WorkId, Work, Instant)>,
    held: bool,
    begun: usize,
}

impl Workshop {
    pub(super) fn begin(&mut self, now: Instant, id: WorkId, work: Work) {
        assert!(
            self.at_it.is_none(),
            "a key has one piece of work at a time"
        );
        self.at_it = Some((id, work, now.after_ms(WORK_MS)));
        self.begun += 1;
    }

    /// When the piece is done by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        let (_, _, due) = self.at_it.as_ref().filter(|_| !self.held)?;
        Some(*due)
    }

    /// What came of it.
    pub(super) fn take_done(&mut self, now: Instant) -> Option<(WorkId, WorkDone)> {
        let (id, work, _) = self
            .at_it
            .take_if(|(_, _, due)| !self.held && now >= *due)?;
        Some((id, work.run()))
    }

    /// Whether pieces wait until they are let go.
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    pub(super) fn is_busy(&self) -> bool {
        self.at_it.is_some()
    }

    /// How many pieces were begun so far.
    pub(super) fn begun(&self) -> usize {
        self.begun
    }
}
