//! Takes a vault that an older version wrote to the schema of this one, in one durable commit.
//! Whoever calls has kept a copy.
//!
//! | schema | what it brought |
//! | --- | --- |
//! | 1 | sealed records, their sum, and a witness for each |
//! | 2 | the header answers for the ways to unlock, and for snapshots |

use super::{SCHEMA, Store};
use crate::vault::VaultError;

impl Store {
    /// The schema of the file.
    pub(crate) fn schema(&self) -> u32 {
        self.schema
    }

    /// Brings the file to [`SCHEMA`].
    ///
    /// # Errors
    /// It cannot be written; then it is what it was.
    pub(crate) fn migrate(&mut self) -> Result<(), VaultError> {
        // Schema 2 adds to the header alone, and every commit writes a whole one.
        self.write(|transaction| transaction.put_format())?;
        self.schema = SCHEMA;
        Ok(())
    }
}
