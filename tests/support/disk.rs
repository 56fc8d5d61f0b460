//! A disk that loses, tears and reorders what was not synced, fails when it is told to, and has
//! its power cut at any operation.
//!
//! What a sync that failed leaves behind is as on Linux: it can be read, a later sync does not
//! write it again, and after a power cut it is there or not.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use redb::StorageBackend;
use roamkey::vault::{Activity, Backend, Medium, VaultError};

/// What a disk writes whole or not at all, in bytes.
const SECTOR_LEN: usize = 512;

/// What the disk is to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Power goes: nothing works until [`Disk::restore_power`].
    PowerCut,
    /// A sync fails once.
    Sync,
    /// Writing fails once, as on a disk that is full.
    Write,
    /// Everything fails for this many operations.
    Everything(u32),
}

enum Pending {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

#[derive(Default)]
struct File {
    /// What can be read.
    current: Vec<u8>,
    /// What is on the disk for sure.
    durable: Vec<u8>,
    /// What was done since.
    pending: Vec<Pending>,
    /// What a failed sync may have left out, for good.
    limbo: Vec<Pending>,
}

impl File {
    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply(&mut self.durable, &change, |_| true);
        }
    }

    /// Some of what was not synced reached the disk, in whatever order.
    fn lose(&mut self, rng: &mut ChaCha20Rng) {
        let mut changes: Vec<_> = self.limbo.drain(..).chain(self.pending.drain(..)).collect();
        // An order in which the disk may have done it.
        for index in (1..changes.len()).rev() {
            changes.swap(index, below(rng, index + 1));
        }
        for change in &changes {
            match below(rng, 3) {
                0 => {}
                1 => apply(&mut self.durable, change, |_| true),
                _ => {
                    let (start, end) = (below(rng, 16), below(rng, 17));
                    let kept = |sector: usize| (start..end).contains(&(sector % 16));
                    apply(&mut self.durable, change, kept);
                }
            }
        }
        self.current.clone_from(&self.durable);
    }
}

/// Does a change, as far as `keeps` says of its sectors.
fn apply(bytes: &mut Vec<u8>, change: &Pending, keeps: impl Fn(usize) -> bool) {
    match change {
        Pending::Length(length) => {
            if keeps(0) {
                bytes.resize(*length, 0);
            }
        }
        Pending::Write { offset, data } => {
            for (sector, part) in data.chunks(SECTOR_LEN).enumerate() {
                let start = offset + sector * SECTOR_LEN;
                // What lies behind the end of the file has no place.
                let room = bytes.len().saturating_sub(start).min(part.len());
                if keeps(sector) && room > 0 {
                    bytes[start..start + room].copy_from_slice(&part[..room]);
                }
            }
        }
    }
}

fn below(rng: &mut ChaCha20Rng, bound: usize) -> usize {
    usize::try_from(rng.next_u32()).expect("a number") % bound
}

struct Inner {
    files: BTreeMap<u64, Arc<Mutex<File>>>,
    names: BTreeMap<&'static str, u64>,
    next: u64,
    rng: ChaCha20Rng,
    has_power: bool,
    operations: u64,
    fault: Option<(u64, Fault)>,
    faults: u64,
}

impl Inner {
    /// Counts an operation, and fails it if its time has come.
    fn operate(&mut self, kind: Fault) -> io::Result<()> {
        if !self.has_power {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        let Some((at, fault)) = self.fault else {
            return Ok(());
        };
        if self.operations < at {
            return Ok(());
        }
        let left = match fault {
            Fault::PowerCut => {
                self.has_power = false;
                None
            }
            Fault::Everything(count) if count > 1 => Some((at, Fault::Everything(count - 1))),
            Fault::Everything(_) => None,
            Fault::Sync | Fault::Write if fault == kind => None,
            Fault::Sync | Fault::Write => return Ok(()), // it waits for its kind
        };
        self.fault = left;
        self.faults += 1;
        Err(io::Error::new(
            io::ErrorKind::StorageFull,
            "the test wants it to fail",
        ))
    }

    fn file(&mut self, name: &'static str) -> Option<Arc<Mutex<File>>> {
        let number = self.names.get(name)?;
        self.files.get(number).cloned()
    }

    fn create(&mut self, name: &'static str) -> Arc<Mutex<File>> {
        self.next += 1;
        let file = Arc::<Mutex<File>>::default();
        self.files.insert(self.next, Arc::clone(&file));
        self.names.insert(name, self.next);
        file
    }
}

const VAULT: &str = "vault";
const FRESH: &str = "fresh";
const COPY: &str = "copy";

/// A disk with a vault on it; clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    pub(crate) fn new(rng: ChaCha20Rng) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            next: 0,
            rng,
            has_power: true,
            operations: 0,
            fault: None,
            faults: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics inside the disk")
    }

    /// What is done wrong once this many more operations were done.
    pub(crate) fn plan(&self, after: u64, fault: Fault) {
        let mut inner = self.lock();
        let at = inner.operations + after;
        inner.fault = Some((at, fault));
    }

    /// Its power goes now: nothing is written any more.
    pub(crate) fn cut_power(&self) {
        self.lock().has_power = false;
    }

    pub(crate) fn has_power(&self) -> bool {
        self.lock().has_power
    }

    /// How many faults there were since somebody asked.
    pub(crate) fn take_faults(&self) -> u64 {
        std::mem::take(&mut self.lock().faults)
    }

    /// Another disk with the same on it.
    pub(crate) fn fork(&self, rng: ChaCha20Rng) -> Self {
        let inner = self.lock();
        let files = inner.files.iter().map(|(number, file)| {
            let file = file.lock().expect("no test panics inside a file");
            assert!(file.pending.is_empty() && file.limbo.is_empty(), "at rest");
            let copy = File {
                current: file.current.clone(),
                durable: file.durable.clone(),
                ..File::default()
            };
            (*number, Arc::new(Mutex::new(copy)))
        });
        let files = files.collect();
        let copy = Self::new(rng);
        let mut other = copy.lock();
        other.files = files;
        other.names = inner.names.clone();
        other.next = inner.next;
        drop(other);
        copy
    }

    /// Power comes back, and only what reached the disk is there. Nothing is planned any more.
    pub(crate) fn restore_power(&self) {
        let mut inner = self.lock();
        inner.has_power = true;
        inner.fault = None;
        let files: Vec<_> = inner.files.values().cloned().collect();
        for file in files {
            let mut file = file.lock().expect("no test panics inside a file");
            file.lose(&mut inner.rng);
        }
    }

    /// For the vault.
    pub(crate) fn medium(&self) -> Box<dyn Medium> {
        Box::new(DiskMedium {
            disk: self.clone(),
            activity: Arc::default(),
            length: None,
        })
    }
}

struct OpenFile {
    disk: Disk,
    file: Arc<Mutex<File>>,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenFile")
    }
}

impl OpenFile {
    fn operate(&self, kind: Fault) -> io::Result<MutexGuard<'_, File>> {
        self.disk.lock().operate(kind)?;
        Ok(self.file.lock().expect("no test panics inside a file"))
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        let file = self.operate(Fault::PowerCut)?;
        Ok(u64::try_from(file.current.len()).expect("a length"))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = self.operate(Fault::PowerCut)?;
        let start = usize::try_from(offset).expect("an offset");
        match file.current.get(start..start + out.len()) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut file = self.operate(Fault::Write)?;
        let length = usize::try_from(len).expect("a length");
        file.current.resize(length, 0);
        file.pending.push(Pending::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.operate(Fault::Sync) {
            Ok(mut file) => {
                file.sync();
                Ok(())
            }
            Err(why) => {
                let mut file = self.file.lock().expect("no test panics inside a file");
                let pending: Vec<_> = file.pending.drain(..).collect();
                file.limbo.extend(pending);
                Err(why)
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut file = self.operate(Fault::Write)?;
        let start = usize::try_from(offset).expect("an offset");
        let end = start + data.len();
        if file.current.len() < end {
            file.current.resize(end, 0);
            file.pending.push(Pending::Length(end));
        }
        file.current[start..end].copy_from_slice(data);
        file.pending.push(Pending::Write {
            offset: start,
            data: data.to_vec(),
        });
        Ok(())
    }
}

struct DiskMedium {
    disk: Disk,
    activity: Arc<Activity>,
    length: Option<Arc<Mutex<File>>>,
}

impl DiskMedium {
    fn backend(&mut self, file: Arc<Mutex<File>>) -> Backend {
        self.activity = Arc::default();
        self.length = Some(Arc::clone(&file));
        let file = OpenFile {
            disk: self.disk.clone(),
            file,
        };
        Backend::new(file, Arc::clone(&self.activity))
    }

    fn operate(&self) -> Result<(), VaultError> {
        let operated = self.disk.lock().operate(Fault::Write);
        operated.map_err(|why| VaultError::System {
            what: "the disk".to_owned(),
            why: why.to_string(),
        })
    }
}

impl Medium for DiskMedium {
    fn open(&mut self) -> Result<Backend, VaultError> {
        self.operate()?;
        let file = self.disk.lock().file(VAULT);
        let file = file.ok_or_else(|| VaultError::NotFound(VAULT.into()))?;
        Ok(self.backend(file))
    }

    fn open_fresh(&mut self) -> Result<Backend, VaultError> {
        self.operate()?;
        let file = self.disk.lock().create(FRESH);
        Ok(self.backend(file))
    }

    fn open_copy(&mut self, _schema: u32) -> Result<Backend, VaultError> {
        self.operate()?;
        let file = self.disk.lock().create(COPY);
        let disk = self.disk.clone();
        Ok(Backend::new(OpenFile { disk, file }, Arc::default()))
    }

    fn adopt_fresh(&mut self) -> Result<(), VaultError> {
        let before = self.operate();
        let mut inner = self.disk.lock();
        let lost = before.is_err() && below(&mut inner.rng, 2) == 0;
        if !lost
            && let Some(number) = inner.names.remove(FRESH)
            && let Some(old) = inner.names.insert(VAULT, number)
        {
            inner.files.remove(&old);
        }
        drop(inner);
        before
    }

    fn check_place(&self) -> Result<(), VaultError> {
        self.operate()
    }

    fn length(&self) -> u64 {
        let length = self.length.as_ref().map_or(0, |file| {
            file.lock()
                .expect("no test panics inside a file")
                .current
                .len()
        });
        u64::try_from(length).expect("a length")
    }

    fn path(&self) -> &Path {
        Path::new("a disk of the test's own")
    }

    fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}
