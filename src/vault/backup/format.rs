//! What is in a backup, a line of JSON (RFC 8259) each:
//!
//! ```text
//! {"format":"roamkey backup","version":1,"vault":"…","commit":9,"created":1795536000,"keys":1}
//! {"key":{"number":1,"id":"…","name":"work","serial":"…","created":1795536000,"profile":{…},"records":3}}
//! {"record":{"Master":{"hex":"…"}}}
//! {"record":{"Counter":{"ceiling":512}}}
//! …
//! {"end":{"keys":1,"records":3,"sha256":"…"}}
//! ```
//!
//! The first line has the vault's `authority` as well, a record's value in form; backups of roamkey
//! before schema 3 have none, and such a roamkey reads past it, so the version is the same.
//!
//! The hash is of all bytes before the last line, so that a text that was cut after it was
//! decrypted is noticed. Reading is bounded by the length of a line and the file itself.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
};

use roamkey_ctap::{AttestationAuthority, KeyState, Record};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{BackupError, json::Plain};
use crate::vault::{
    Damage, Identity, KeyId, StoredProfile, VaultError, VaultId,
    store::{Frozen, KeyNumber, MOST_KEYS, StoredKey, check_name},
};

/// The version of the format that this program writes.
pub(super) const VERSION: u64 = 1;
const FORMAT: &str = "roamkey backup";
/// The longest line, in bytes with its end.
const LONGEST_LINE: usize = 1 << 20;
/// Most lines fit into so many bytes.
const USUAL_LINE: usize = 16 << 10;
/// Bytes that are asked for at once.
const READ_LEN: usize = 64 << 10;
/// A key has fewer records than this.
const MOST_RECORDS: u64 = 1 << 20;
/// A USB string descriptor holds no more (USB 2.0 §9.6.7), in UTF-16 units.
const LONGEST_SERIAL: usize = 126;

/// What every version of the format begins with.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u64,
    vault: String,
    commit: u64,
    created: u64,
    keys: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authority: Option<Plain>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Key(KeyLine),
    Record(Plain),
    End(End),
}

#[derive(Serialize, Deserialize)]
struct KeyLine {
    number: u32,
    id: String,
    name: String,
    serial: String,
    created: u64,
    profile: StoredProfile,
    /// How many lines of records follow.
    records: u64,
}

#[derive(Serialize, Deserialize)]
struct End {
    keys: u64,
    records: u64,
    sha256: String,
}

/// What a whole backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) vault: VaultId,
    pub(super) commit: u64,
    pub(super) created: u64,
    pub(super) keys: u64,
    pub(super) records: u64,
    /// What issues the vault's attestation certificates; older backups have none.
    pub(super) authority: Option<AttestationAuthority>,
    /// Of all lines but the last.
    pub(super) sha256: [u8; 32],
}

/// Why lines were not written.
pub(super) enum WriteError {
    /// The keys cannot be read.
    Vault(VaultError),
    /// The output takes no more.
    Io(io::Error),
}

impl From<Damage> for WriteError {
    fn from(why: Damage) -> Self {
        Self::Vault(why.into())
    }
}

impl From<VaultError> for WriteError {
    fn from(why: VaultError) -> Self {
        Self::Vault(why)
    }
}

struct Lines<W> {
    output: W,
    hash: Sha256,
    line: Zeroizing<Vec<u8>>,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &impl Serialize) -> Result<(), WriteError> {
        self.line.clear();
        let written = serde_json::to_writer(&mut *self.line, line);
        self.line.push(b'\n');
        if written.is_err() || self.line.len() > LONGEST_LINE {
            let why = "a record is of no kind or length that a backup has".to_owned();
            return Err(WriteError::Vault(VaultError::Refused(why)));
        }
        self.hash.update(&*self.line);
        self.output.write_all(&self.line).map_err(WriteError::Io)
    }
}

/// Writes all lines.
pub(super) fn write<W: Write>(
    vault: &Frozen,
    created: u64,
    output: W,
) -> Result<(W, Totals), WriteError> {
    let mut lines = Lines {
        output,
        hash: Sha256::new(),
        // All its room at once: bytes that moved would leave a copy behind.
        line: Zeroizing::new(Vec::with_capacity(USUAL_LINE)),
    };
    let keys = vault.keys.len() as u64;
    let authority = vault.authority.as_ref().map(|authority| {
        Plain::of(authority)
            .ok_or_else(|| VaultError::Refused("the vault's authority is no CBOR".to_owned()))
    });
    lines.write(&Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        vault: vault.vault.to_string(),
        commit: vault.commit,
        created,
        keys,
        authority: authority.transpose()?,
    })?;
    let mut records = 0;
    for (number, row) in &vault.keys {
        let key = vault.load(*number, row)?;
        // One that makes no key would be refused when it is read.
        KeyState::load(key.records.iter().cloned()).map_err(|why| Damage::Incomplete {
            key: key.identity.name.clone(),
            why: why.to_string(),
        })?;
        let count = key.records.len() as u64;
        lines.write(&Line::Key(KeyLine::of(*number, &key.identity, count)))?;
        for record in &key.records {
            let plain = Plain::of(record).ok_or_else(|| {
                VaultError::Refused("a record is of no kind that a backup has".to_owned())
            })?;
            lines.write(&Line::Record(plain))?;
        }
        records += count;
    }
    let sha256: [u8; 32] = lines.hash.clone().finalize().into();
    lines.write(&Line::End(End {
        keys,
        records,
        sha256: base16ct::lower::encode_string(&sha256),
    }))?;
    let totals = Totals {
        vault: vault.vault,
        commit: vault.commit,
        created,
        keys,
        records,
        authority: vault.authority.clone(),
        sha256,
    };
    Ok((lines.output, totals))
}

impl KeyLine {
    fn of(number: KeyNumber, identity: &Identity, records: u64) -> Self {
        Self {
            number: number.0,
            id: identity.id.to_string(),
            name: identity.name.clone(),
            serial: identity.serial.clone(),
            created: identity.created,
            profile: identity.profile.clone(),
            records,
        }
    }

    fn into_identity(self) -> Result<Identity, &'static str> {
        if !(1..=MOST_KEYS).contains(&self.number) || self.records > MOST_RECORDS {
            return Err("a number is too large");
        }
        if check_name(&self.name).is_err() {
            return Err("the key's name is none");
        }
        let serial = &self.serial;
        if serial.chars().any(char::is_control) || serial.encode_utf16().count() > LONGEST_SERIAL {
            return Err("the key's serial is none");
        }
        Ok(Identity {
            id: KeyId(sixteen(&self.id).ok_or("the key's id is none")?),
            name: self.name,
            serial: self.serial,
            created: self.created,
            profile: self.profile,
        })
    }
}

fn sixteen(digits: &str) -> Option<[u8; 16]> {
    base16ct::lower::decode_vec(digits).ok()?.try_into().ok()
}

/// Why lines were not read.
pub(super) enum ReadError {
    /// They are not a backup.
    Backup(BackupError),
    /// The input cannot be read.
    Io(io::Error),
    /// Who takes the keys does not want this one.
    Taker(VaultError),
}

impl From<BackupError> for ReadError {
    fn from(why: BackupError) -> Self {
        Self::Backup(why)
    }
}

/// Reads lines, none of them longer than a backup has.
struct LineReader<R> {
    input: R,
    buffer: Zeroizing<Vec<u8>>,
    /// What of the buffer is read and not taken yet.
    from: usize,
    to: usize,
    line: Zeroizing<Vec<u8>>,
    number: u64,
    hash: Sha256,
}

impl<R: Read> LineReader<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            buffer: Zeroizing::new(vec![0; READ_LEN]),
            from: 0,
            to: 0,
            line: Zeroizing::new(Vec::with_capacity(USUAL_LINE)),
            number: 0,
            hash: Sha256::new(),
        }
    }

    fn wrong(&self, why: &'static str) -> ReadError {
        let number = self.number;
        BackupError::Line { number, why }.into()
    }

    /// Makes sure that something is in the buffer, unless the input has ended.
    fn fill(&mut self) -> Result<&[u8], ReadError> {
        while self.from == self.to {
            match self.input.read(&mut self.buffer) {
                Ok(0) => return Ok(&[]),
                Ok(read) => (self.from, self.to) = (0, read),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(ReadError::Io(why)),
            }
        }
        Ok(self.buffer.get(self.from..self.to).unwrap_or_default())
    }

    /// Puts the next line into `line`; an input that ends within one is not whole.
    fn next(&mut self) -> Result<(), ReadError> {
        self.line.clear();
        self.number += 1;
        loop {
            let read = self.fill()?;
            if read.is_empty() {
                return Err(BackupError::Incomplete.into());
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(read.len(), |end| end + 1);
            if self.line.len() + taken > LONGEST_LINE {
                return Err(self.wrong("it is longer than 1 MiB"));
            }
            let part = self.buffer.get(self.from..self.from + taken);
            self.line.extend_from_slice(part.unwrap_or_default());
            self.from += taken;
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// The line as this; it counts for the hash.
    fn parse<T: DeserializeOwned>(&mut self, why: &'static str) -> Result<T, ReadError> {
        self.hash.update(&*self.line);
        self.parse_last(why)
    }

    /// The line as this. serde's words may quote what stands in it, so they are not passed on.
    fn parse_last<T: DeserializeOwned>(&self, why: &'static str) -> Result<T, ReadError> {
        serde_json::from_slice(&self.line).map_err(|_| self.wrong(why))
    }
}

/// Reads all lines, and hands each key over when it is whole and is one.
pub(super) fn read(
    input: impl Read,
    mut take: impl FnMut(KeyNumber, StoredKey) -> Result<(), VaultError>,
) -> Result<Totals, ReadError> {
    let mut lines = LineReader::new(input);
    let header = read_header(&mut lines)?;
    let wrong = |why| BackupError::Line { number: 1, why };
    let vault = sixteen(&header.vault).ok_or_else(|| wrong("the vault's id is none"))?;
    if header.keys > u64::from(MOST_KEYS) {
        return Err(wrong("it has more keys than a vault").into());
    }
    let authority = header.authority.map(|plain| {
        let why = "its authority is none that this roamkey knows";
        plain.to().ok_or_else(|| wrong(why))
    });
    let mut totals = Totals {
        vault: VaultId::from(vault),
        commit: header.commit,
        created: header.created,
        keys: header.keys,
        records: 0,
        authority: authority.transpose()?,
        sha256: [0; 32],
    };
    let (mut numbers, mut names, mut ids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..header.keys {
        let (number, key) = read_key(&mut lines)?;
        let identity = &key.identity;
        let new = numbers.insert(number)
            && names.insert(identity.name.clone())
            && ids.insert(identity.id);
        if !new {
            return Err(lines.wrong("a key is there twice"));
        }
        totals.records += key.records.len() as u64;
        take(number, key).map_err(ReadError::Taker)?;
    }
    totals.sha256 = lines.hash.clone().finalize().into();
    lines.next()?;
    let Line::End(end) = lines.parse_last("the end is wanted here")? else {
        return Err(lines.wrong("the end is wanted here"));
    };
    let sha256 = base16ct::lower::encode_string(&totals.sha256);
    if (end.keys, end.records, end.sha256) != (totals.keys, totals.records, sha256) {
        return Err(BackupError::Incomplete.into());
    }
    if !lines.fill()?.is_empty() {
        return Err(lines.wrong("something stands behind the end"));
    }
    Ok(totals)
}

fn read_header<R: Read>(lines: &mut LineReader<R>) -> Result<Header, ReadError> {
    lines.next().map_err(|why| match why {
        ReadError::Backup(_) => ReadError::Backup(BackupError::NotABackup),
        other @ (ReadError::Io(_) | ReadError::Taker(_)) => other,
    })?;
    let head: Head = serde_json::from_slice(&lines.line).map_err(|_| BackupError::NotABackup)?;
    if head.format != FORMAT {
        return Err(BackupError::NotABackup.into());
    }
    if head.version != VERSION {
        let version = head.version;
        return Err(BackupError::Newer { version }.into());
    }
    lines.parse("it does not say of which vault it is")
}

fn read_key<R: Read>(lines: &mut LineReader<R>) -> Result<(KeyNumber, StoredKey), ReadError> {
    lines.next()?;
    let Line::Key(line) = lines.parse("a key is wanted here")? else {
        return Err(lines.wrong("a key is wanted here"));
    };
    let (number, count) = (KeyNumber(line.number), line.records);
    let identity = line.into_identity().map_err(|why| lines.wrong(why))?;
    let mut records = Vec::new();
    let mut places = BTreeSet::new();
    for _ in 0..count {
        lines.next()?;
        let Line::Record(plain) = lines.parse("a record is wanted here")? else {
            return Err(lines.wrong("a record is wanted here"));
        };
        let record: Record = plain
            .to()
            .ok_or_else(|| lines.wrong("it is no record that this roamkey knows"))?;
        if !places.insert(record.place()) {
            return Err(lines.wrong("a record is there twice"));
        }
        records.push(record);
    }
    KeyState::load(records.iter().cloned()).map_err(|why| BackupError::Key {
        name: identity.name.clone(),
        why: why.to_string(),
    })?;
    Ok((number, StoredKey { identity, records }))
}
