//! An open redb file that is not closed by a thread that panics.

use std::{
    mem,
    ops::{Deref, DerefMut},
    thread,
};

use redb::Database;

/// Closing a file reads and writes it. Where a damaged page has made redb panic, that would panic
/// again, and a second panic ends the process; so the file is left open then.
pub(super) struct Handle(Option<Database>);

impl Handle {
    pub(super) fn new(db: Database) -> Self {
        Self(Some(db))
    }
}

#[expect(
    clippy::expect_used,
    reason = "nothing but the destructor takes it out"
)]
impl Deref for Handle {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("open until it is dropped")
    }
}

#[expect(
    clippy::expect_used,
    reason = "nothing but the destructor takes it out"
)]
impl DerefMut for Handle {
    fn deref_mut(&mut self) -> &mut Database {
        self.0.as_mut().expect("open until it is dropped")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if thread::panicking() {
            mem::forget(self.0.take());
        }
    }
}
