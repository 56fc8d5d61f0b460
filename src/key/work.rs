//! Slow work ([`roamkey_ctap::Work`]) off the key's task, on tokio's threads for what blocks.
//!
//! All keys of the process share its cores: work of many keys takes turns, so that one core is left
//! for the keys that answer and for the vault. Deliberately absent: what the work is, and that a
//! key has one piece at a time, which the state machine sees to.

use std::{future::pending, num::NonZero, sync::LazyLock, thread::available_parallelism};

use roamkey_ctap::{Work, WorkDone, WorkId};
use tokio::{sync::Semaphore, task::spawn_blocking};
use tracing::error;

use crate::vault::Pending;

/// How many pieces of work run at a time in the process.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, NonZero::get);
    Semaphore::new(cores.saturating_sub(1).max(1))
});

/// The piece of work that a key waits for.
#[derive(Default)]
pub(super) struct Working(Option<(WorkId, Pending<WorkDone>)>);

impl Working {
    pub(super) fn begin(&mut self, id: WorkId, work: Work) {
        self.0 = Some((id, Box::pin(run(work))));
    }

    /// What came of it; never, while there is none. Cancel-safe.
    pub(super) async fn done(&mut self) -> (WorkId, WorkDone) {
        let Some((id, work)) = &mut self.0 else {
            return pending().await;
        };
        let done = (*id, work.as_mut().await);
        self.0 = None;
        done
    }
}

async fn run(work: Work) -> WorkDone {
    // Nobody closes it.
    let Ok(turn) = TURNS.acquire().await else {
        return WorkDone::failed();
    };
    // The thread keeps its turn though the key be gone meanwhile.
    let running = spawn_blocking(move || {
        let done = work.run();
        drop(turn);
        done
    });
    running.await.unwrap_or_else(|why| {
        error!(%why, "a key's work was lost");
        WorkDone::failed()
    })
}
