//! Takes a vault that an older version wrote to the schema of this one, in one durable commit.
//! Whoever calls has kept a copy.
//!
//! | schema | what it brought |
//! | --- | --- |
//! | 1 | sealed records, their sum, and a witness for each |
//! | 2 | the header answers for the ways to unlock; keys know how many bytes they take |
//! | 3 | the authority behind attestation certificates; fingers, built-in verification, persistent tokens and issued attestations as records of keys |

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
        let write = self.db.begin_write()?;
        super::put_ballast(&write)?;
        write.commit()?;
        let authority = match &self.ledger.authority {
            Some(authority) => authority.clone(),
            None => {
                let slots = self.slots()?;
                let created = slots.iter().map(|slot| slot.created).min();
                super::new_authority(created.unwrap_or(0))?
            }
        };
        self.write(|transaction| {
            transaction.set_authority(authority);
            // What the header lacks, every commit writes.
            transaction.count_bytes()?;
            transaction.put_format()
        })?;
        self.schema = SCHEMA;
        Ok(())
    }
}
