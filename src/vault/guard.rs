//! Reads a file that may be damaged.
//!
//! redb trusts the pages of a file that was closed well, and panics (4.6) where one does not hold
//! what it should. A damaged vault is not a mistake in the program: a person is told so, and how
//! to get at a backup.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

use super::Damage;

thread_local! {
    /// Whether this thread is in [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Whether the last panic in there was redb's.
    static REDB: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; where redb panics in it, the file's structure is damaged. Nothing that `work` has
/// changed is used after that.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Damage> {
    keep_quiet();
    let outer = GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    match outcome {
        Ok(done) => Ok(done),
        Err(_) if REDB.take() => Err(Damage::Structure),
        Err(ours) => panic::resume_unwind(ours),
    }
}

/// A panic of redb's in [`guarded`] is told in our words; every other is as it was.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let file = info.location().map_or("", panic::Location::file);
            // A panic that follows while the first unwinds is not another reason.
            let redb = GUARDED.get() && (REDB.get() || file.contains("redb-"));
            REDB.set(redb);
            if redb {
                tracing::debug!(%info, "the vault's file made redb panic");
            } else {
                usual(info);
            }
        }));
    });
}
