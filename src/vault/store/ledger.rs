//! What a vault knows of itself: how many commits there were, which keys it has, and a sum over
//! all records by which one that is missing, swapped or older than it should be is noticed.
//!
//! The sum is an XOR of keyed hashes, one for each record, and is itself sealed: who does not
//! have the data key can neither compute a record's part nor see the sum (Bellare, Guérin,
//! Rogaway: XOR MACs; Clarke et al.: incremental multiset hashes).

use std::{collections::BTreeMap, fmt};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use roamkey_ctap::AttestationAuthority;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::snapshot::SnapshotEntry;
use crate::vault::{
    record::{Address, KeyId, Stored, from_padded_bytes, to_padded_bytes},
    seal::{NONCE_LEN, Sealer, SealingKey, TAG_LEN, VaultId},
};

/// Where a key is in its vault: its bus id is `1-` and this number. From 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyNumber(pub u32);

impl fmt::Display for KeyNumber {
    /// As a bus id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1-{}", self.0)
    }
}

/// A row of the records' table: the key's number, and 16 bytes that tell nobody without the data
/// key which record of the key it is.
pub(crate) type RowKey = [u8; 20];

/// Stands for a record without showing it; a table of them tells which record is not the last
/// that was written.
pub(crate) type Witness = [u8; 16];

/// The XOR of all records' parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum([u8; 16]);

impl Sum {
    /// Puts a part in, or takes it out.
    pub(crate) fn toggle(&mut self, part: Self) {
        for (to, from) in self.0.iter_mut().zip(part.0) {
            *to ^= from;
        }
    }
}

/// Stands for what lies in the file in clear.
pub(crate) type Digest = [u8; 16];

/// What kind of row is sealed: bound to it, so that none serves as another.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Header = 0,
    Key = 1,
    Record = 2,
    Anchor = 3,
    Snapshot = 4,
}

/// All that is derived from the data key.
pub(crate) struct Seals {
    vault: VaultId,
    sealer: Sealer,
    places: Hmac<Sha256>,
    parts: Hmac<Sha256>,
    nonces: ChaCha20Rng,
}

impl Seals {
    /// # Errors
    /// The operating system has no randomness to give.
    pub(crate) fn new(vault: VaultId, data_key: &SealingKey) -> Result<Self, getrandom::Error> {
        let derive = |info: &[u8]| SealingKey::derive(data_key.as_bytes(), vault.as_bytes(), info);
        let seed = SealingKey::random()?;
        Ok(Self {
            vault,
            sealer: Sealer::new(&derive(b"roamkey vault seal v1")),
            places: keyed(&derive(b"roamkey vault places v1")),
            parts: keyed(&derive(b"roamkey vault sums v1")),
            nonces: ChaCha20Rng::from_seed(*seed.as_bytes()),
        })
    }

    pub(crate) fn vault(&self) -> VaultId {
        self.vault
    }

    /// The same keys for another thread, with a source of nonces of its own.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub(crate) fn another(&self) -> Result<Self, getrandom::Error> {
        let seed = SealingKey::random()?;
        Ok(Self {
            vault: self.vault,
            sealer: self.sealer.clone(),
            places: self.places.clone(),
            parts: self.parts.clone(),
            nonces: ChaCha20Rng::from_seed(*seed.as_bytes()),
        })
    }

    /// The row of a key's record.
    pub(crate) fn row_key(&self, number: KeyNumber, key: KeyId, address: Address) -> RowKey {
        let (kind, id) = address.to_bytes();
        let mut mac = self.places.clone();
        mac.update(&key.0);
        mac.update(&kind);
        mac.update(id.as_ref().map_or(&[], |id| id.as_slice()));
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let mut row = [0; 20];
        let bytes = number.0.to_be_bytes().into_iter().chain(digest);
        for (to, from) in row.iter_mut().zip(bytes) {
            *to = from;
        }
        row
    }

    /// A record as it lies in the file. What it is bound to does not name the key's number, so a
    /// snapshot keeps it as it is.
    pub(crate) fn seal_record(
        &mut self,
        key: KeyId,
        row: &RowKey,
        record: &Stored,
    ) -> Option<Vec<u8>> {
        Some(self.seal(Kind::Record, &record_binding(key, row), &record.to_bytes()?))
    }

    /// Opens what [`Self::seal_record`] sealed.
    pub(crate) fn open_record(&self, key: KeyId, row: &RowKey, sealed: &[u8]) -> Option<Stored> {
        let plain = self.open(Kind::Record, &record_binding(key, row), sealed)?;
        Stored::from_bytes(&plain)
    }

    /// Seals a row that is no record.
    pub(crate) fn seal_value(
        &mut self,
        kind: Kind,
        number: u32,
        value: &impl Serialize,
    ) -> Option<Vec<u8>> {
        Some(self.seal(kind, &number.to_be_bytes(), &to_padded_bytes(value)?))
    }

    /// Opens what [`Self::seal_value`] sealed.
    pub(crate) fn open_value<T: DeserializeOwned>(
        &self,
        kind: Kind,
        number: u32,
        sealed: &[u8],
    ) -> Option<T> {
        let plain = self.open(kind, &number.to_be_bytes(), sealed)?;
        from_padded_bytes(&plain)
    }

    fn seal(&mut self, kind: Kind, bound_to: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        self.nonces.fill_bytes(&mut nonce);
        self.sealer
            .seal(&nonce, plain, &self.binding(kind, bound_to))
    }

    fn open(&self, kind: Kind, bound_to: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let plain = self.sealer.open(sealed, &self.binding(kind, bound_to))?;
        Some(Zeroizing::new(plain))
    }

    fn binding(&self, kind: Kind, bound_to: &[u8]) -> Vec<u8> {
        [&[kind as u8], self.vault.as_bytes().as_slice(), bound_to].concat()
    }

    /// A row's part of the sum, and its witness. A sealed text is told from every other by its
    /// nonce and its tag.
    pub(crate) fn part(&self, kind: Kind, row: &[u8], sealed: &[u8]) -> (Sum, Witness) {
        let mut mac = self.parts.clone();
        mac.update(&[kind as u8]);
        mac.update(row);
        mac.update(sealed.get(..NONCE_LEN).unwrap_or_default());
        mac.update(
            sealed
                .len()
                .checked_sub(TAG_LEN)
                .and_then(|at| sealed.get(at..))
                .unwrap_or_default(),
        );
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let (part, witness) = digest.split_at(16);
        let sixteen = |half: &[u8]| half.try_into().unwrap_or_default();
        (Sum(sixteen(part)), sixteen(witness))
    }

    /// A hash that only this vault makes, of what lies in the file in clear.
    pub(crate) fn digest_clear(&self, rows: impl IntoIterator<Item = Vec<u8>>) -> Digest {
        let mut mac = self.parts.clone();
        mac.update(b"clear");
        for row in rows {
            mac.update(&(row.len() as u64).to_be_bytes());
            mac.update(&row);
        }
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

fn record_binding(key: KeyId, row: &RowKey) -> [u8; 32] {
    let mut bound = [0; 32];
    let address = row.iter().skip(4);
    for (to, from) in bound.iter_mut().zip(key.0.iter().chain(address)) {
        *to = *from;
    }
    bound
}

/// HMAC pads a key with zeros to a block, so a whole block stands for the 32 bytes.
fn keyed(key: &SealingKey) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key.as_bytes()) {
        *to = *from;
    }
    Hmac::new((&*block).into())
}

/// A key's row: who it is, and what all its records amount to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) id: KeyId,
    /// How many records it has.
    pub(crate) records: u64,
    /// How many bytes they take in the file, with what belongs to each; schema 1 did not count.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// The sum of their parts.
    pub(crate) sum: Sum,
}

/// What a record takes in the file beside its sealed text: its row, and its witness under the
/// same row. In bytes.
const RECORD_OVERHEAD: u64 = 20 + 20 + 16;

/// What a sealed record takes in the file, in bytes.
pub(crate) fn bytes_of(sealed: &[u8]) -> u64 {
    u64::try_from(sealed.len())
        .unwrap_or(u64::MAX)
        .saturating_add(RECORD_OVERHEAD)
}

impl KeyRow {
    pub(crate) fn new(id: KeyId) -> Self {
        Self {
            id,
            records: 0,
            bytes: 0,
            sum: Sum::default(),
        }
    }
}

/// The sealed head of a vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// How many commits there were.
    pub(crate) commit: u64,
    /// The sum of the parts of the keys' and snapshots' rows.
    pub(crate) sum: Sum,
    /// What the ways to unlock amount to; schema 1 had none.
    #[serde(default)]
    pub(crate) unlocks: Option<Digest>,
    /// What issues the keys' attestation certificates; schema 2 had none.
    #[serde(default)]
    pub(crate) authority: Option<AttestationAuthority>,
}

/// What is in memory of a vault's own rows.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) commit: u64,
    pub(crate) sum: Sum,
    /// `None` while the file is of schema 1.
    pub(crate) unlocks: Option<Digest>,
    /// `None` while the file is of schema 2.
    pub(crate) authority: Option<AttestationAuthority>,
    pub(crate) keys: BTreeMap<KeyNumber, Entry>,
    pub(crate) snapshots: BTreeMap<u32, SnapshotEntry>,
}

/// A key's row, and its part of the ledger's sum.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) row: KeyRow,
    pub(crate) part: Sum,
}

/// What a transaction makes of a ledger, once it is durable.
pub(crate) struct Written {
    pub(crate) commit: u64,
    pub(crate) sum: Sum,
    pub(crate) unlocks: Digest,
    pub(crate) authority: Option<AttestationAuthority>,
    /// `None` for a key that is gone.
    pub(crate) keys: Vec<(KeyNumber, Option<Entry>)>,
    /// `None` for a snapshot that is gone.
    pub(crate) snapshots: Vec<(u32, Option<SnapshotEntry>)>,
}

impl Ledger {
    /// How many bytes all records take.
    pub(crate) fn live_bytes(&self) -> u64 {
        let keys = self.keys.values().map(|entry| entry.row.bytes);
        let snapshots = self.snapshots.values().map(SnapshotEntry::bytes);
        keys.chain(snapshots).fold(0, u64::saturating_add)
    }

    pub(crate) fn take_over(&mut self, written: Written) {
        self.commit = written.commit;
        self.sum = written.sum;
        self.unlocks = Some(written.unlocks);
        self.authority = written.authority;
        for (number, entry) in written.keys {
            match entry {
                Some(entry) => self.keys.insert(number, entry),
                None => self.keys.remove(&number),
            };
        }
        for (number, entry) in written.snapshots {
            match entry {
                Some(entry) => self.snapshots.insert(number, entry),
                None => self.snapshots.remove(&number),
            };
        }
    }
}
