//! The vault's thread: applies the change sets of all keys, several in one durable commit, and
//! gets the vault going again after a failure.
//!
//! After a failure nobody knows what is on the disk. The vault is fenced, every set that was on
//! its way is answered with an error, and the next request has it opened again from what can be
//! read. If it was the syncing that failed, what can be read may be in memory only (the kernel
//! forgets a page that it failed to write), so everything is written to a new file first.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use roamkey_ctap::{ChangeSet, KeyState};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{
    KeyVault, Pending, VaultError,
    anchor::Anchor,
    error::Damage,
    file::{Lock, Medium},
    guard::guarded,
    open::OpenVault,
    seal::{SealingKey, VaultId},
    store::{KeyNumber, Locked, Store},
};

/// Sets that share a commit at most.
const MOST_SETS: usize = 256;
/// How long a vault that could not be opened again is left alone.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);
/// How long nothing must have been asked before what can wait is done.
const IDLE: Duration = Duration::from_millis(500);
/// In a quiet moment a file is compacted that is longer than this many times what is in it, and
/// this many bytes. It may be twice as long only because it has grown: redb doubles it.
const SPARE: (u64, u64) = (2, 768 << 10);
/// And between commits one that is longer than this.
const VERY_SPARSE: (u64, u64) = (4, 2 << 20);
/// It is compacted again when it has grown by a quarter and this, in bytes.
const GROWTH: u64 = 256 << 10;

type Answer<T> = oneshot::Sender<Result<T, VaultError>>;

/// A set on its way.
struct Commit {
    number: KeyNumber,
    set: ChangeSet,
    answer: Answer<()>,
    /// Tells the key's end that it has something on its way.
    _ticket: Arc<()>,
}

/// What is done with the vault between commits.
type Work = Box<dyn FnOnce(&mut Served) + Send>;

enum Request {
    Commit(Commit),
    Work(Work),
}

/// A served vault: keys commit to it, and what a person wants is done between commits.
#[derive(Clone)]
pub struct Vault {
    requests: mpsc::Sender<Request>,
}

/// The end of a served vault.
pub struct VaultThread(JoinHandle<()>);

impl VaultThread {
    /// Waits until the vault is closed, which it is once every [`Vault`] and every key of it is
    /// dropped.
    pub fn join(self) {
        if self.0.join().is_err() {
            warn!("the vault's thread ended early");
        }
    }
}

impl OpenVault {
    /// Serves the vault from a thread of its own.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn serve(self) -> Result<(Vault, VaultThread), VaultError> {
        let (vault, worker) = self.worker();
        let thread = thread::Builder::new()
            .name("vault".to_owned())
            .spawn(move || worker.run())
            .map_err(|why| VaultError::system("the vault's thread does not start", why))?;
        Ok((vault, VaultThread(thread)))
    }

    /// What serves the vault, for a caller with a thread of its own.
    pub fn worker(self) -> (Vault, VaultWorker) {
        let (requests, received) = mpsc::channel();
        let worker = VaultWorker {
            served: Served::new(self),
            received,
            next: None,
        };
        (Vault { requests }, worker)
    }
}

impl Vault {
    /// The part of one key.
    pub fn key(&self, number: KeyNumber) -> StoredKeyVault {
        StoredKeyVault {
            vault: self.clone(),
            number,
            ticket: Arc::default(),
        }
    }

    /// Does something with the vault between commits.
    pub(crate) fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, VaultError> + Send + 'static,
    ) -> Pending<Result<T, VaultError>> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |served| {
            // Who asked may be gone.
            let _ = answer.send(served.with_store(work));
        });
        self.send(Request::Work(work), answered)
    }

    fn send<T: Send + 'static>(
        &self,
        request: Request,
        answered: oneshot::Receiver<Result<T, VaultError>>,
    ) -> Pending<Result<T, VaultError>> {
        let sent = self.requests.send(request);
        Box::pin(async move {
            sent.map_err(|_| VaultError::Closed)?;
            answered.await.unwrap_or(Err(VaultError::Closed))
        })
    }
}

/// One key's part of a served vault. It has one set on its way at most, so that no key keeps
/// another waiting for more than one.
pub struct StoredKeyVault {
    vault: Vault,
    number: KeyNumber,
    ticket: Arc<()>,
}

impl KeyVault for StoredKeyVault {
    fn commit(&mut self, set: ChangeSet) -> Pending<Result<(), VaultError>> {
        if Arc::strong_count(&self.ticket) > 1 {
            let why = "the key has a change on its way already".to_owned();
            return Box::pin(async { Err(VaultError::Refused(why)) });
        }
        let (answer, answered) = oneshot::channel();
        let commit = Commit {
            number: self.number,
            set,
            answer,
            _ticket: Arc::clone(&self.ticket),
        };
        self.vault.send(Request::Commit(commit), answered)
    }

    fn load(&mut self) -> Pending<Result<KeyState, VaultError>> {
        let number = self.number;
        self.vault.work(move |store| store.key_state(number))
    }
}

/// Deals with what is asked of a served vault.
pub struct VaultWorker {
    served: Served,
    received: mpsc::Receiver<Request>,
    /// What came behind sets that were taken together.
    next: Option<Request>,
}

impl VaultWorker {
    /// Works until every [`Vault`] and every key of it is dropped.
    pub fn run(mut self) {
        loop {
            let request = match self.next.take() {
                Some(request) => request,
                None if self.served.has_chores() => match self.received.recv_timeout(IDLE) {
                    Ok(request) => request,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        self.served.do_chores();
                        continue;
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                },
                None => match self.received.recv() {
                    Ok(request) => request,
                    Err(mpsc::RecvError) => break,
                },
            };
            self.handle(request);
        }
        self.served.do_chores();
    }

    /// Does what has been asked by now.
    pub fn run_pending(&mut self) {
        while let Some(request) = self.next.take().or_else(|| self.received.try_recv().ok()) {
            self.handle(request);
        }
    }

    /// A vault that has failed is opened again at the next request, however soon that comes: for
    /// tests whose time is not the clock's.
    pub fn reopen_at_once(&mut self) {
        self.served.reopen_pause = Duration::ZERO;
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Work(work) => work(&mut self.served),
            Request::Commit(first) => {
                let mut commits = vec![first];
                while commits.len() < MOST_SETS {
                    match self.received.try_recv() {
                        Ok(Request::Commit(commit)) => commits.push(commit),
                        Ok(other @ Request::Work(_)) => {
                            self.next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                self.served.commit(commits);
            }
        }
    }
}

/// Whether the vault can be used.
enum Condition {
    Open(Box<Store>),
    Fenced {
        why: VaultError,
        /// When it was last tried to open it again.
        tried: Option<Instant>,
        /// What can be read may not be on the disk.
        rewrite: bool,
    },
}

/// The vault in its thread.
struct Served {
    condition: Condition,
    medium: Box<dyn Medium>,
    data_key: SealingKey,
    vault: VaultId,
    anchor: Option<Anchor>,
    _lock: Option<Lock>,
    /// Every commit up to this one may have been answered with success.
    acknowledged: u64,
    compacted: Option<Compacted>,
    reopen_pause: Duration,
}

impl Served {
    fn new(open: OpenVault) -> Self {
        Self {
            acknowledged: open.store.commits(),
            vault: open.store.vault(),
            condition: Condition::Open(Box::new(open.store)),
            medium: open.medium,
            data_key: open.data_key,
            anchor: open.anchor,
            _lock: open.lock,
            compacted: None,
            reopen_pause: REOPEN_PAUSE,
        }
    }

    /// One durable commit for all the sets. A set that cannot apply is refused alone.
    fn commit(&mut self, commits: Vec<Commit>) {
        let (sets, answers): (Vec<_>, Vec<_>) = commits
            .into_iter()
            .map(|commit| ((commit.number, commit.set), (commit.answer, commit._ticket)))
            .unzip();
        let outcome = self.with_store(|store| {
            store.write(|transaction| {
                let outcomes = sets.into_iter().map(|(number, set)| {
                    if !transaction.has_key(number) {
                        let gone = format!("key 1-{} is no longer in the vault", number.0);
                        return Ok(Err(VaultError::Unknown(gone)));
                    }
                    transaction.apply(number, set).map(Ok)
                });
                outcomes.collect::<Result<Vec<_>, _>>()
            })
        });
        match outcome {
            Ok(outcomes) => {
                for ((answer, ticket), outcome) in answers.into_iter().zip(outcomes) {
                    drop(ticket);
                    // A key that is gone wants no answer.
                    let _ = answer.send(outcome);
                }
            }
            Err(why) => {
                for (answer, ticket) in answers {
                    drop(ticket);
                    let _ = answer.send(Err(why.clone()));
                }
            }
        }
        self.compact_if_sparse(VERY_SPARSE);
    }

    /// Does something with the vault, opening it again first where it has failed. When `Ok` is
    /// returned, what was written is durable and where it will be found again.
    fn with_store<T>(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        self.open_again()?;
        let Condition::Open(store) = &mut self.condition else {
            return Err(VaultError::Closed);
        };
        let outcome = match guarded(|| work(store)) {
            Ok(outcome) => outcome,
            Err(damage) => Err(damage.into()),
        };
        let changed = store.commits() != self.acknowledged;
        let outcome = match outcome {
            Ok(done) if changed => self.medium.check_place().map(|()| done),
            other => other,
        };
        match &outcome {
            Ok(_) => self.acknowledged = self.acknowledged.max(store.commits()),
            Err(
                why @ (VaultError::System { .. }
                | VaultError::Fenced(_)
                | VaultError::Damaged(Damage::Structure)),
            ) => {
                let why = why.clone();
                self.fence(why);
            }
            Err(_) => {}
        }
        outcome
    }

    /// Nothing is read or written until the vault has been opened again.
    fn fence(&mut self, why: VaultError) {
        let rewrite = self.medium.activity().sync_failed();
        warn!(%why, "the vault has failed: what was on its way is answered with an error");
        let fenced = Condition::Fenced {
            why,
            tried: None,
            rewrite,
        };
        let failed = std::mem::replace(&mut self.condition, fenced);
        if guarded(|| drop(failed)).is_err() {
            warn!("the vault's file could not be closed well");
        }
    }

    /// Opens the vault again, if it has failed and was left alone for a while.
    fn open_again(&mut self) -> Result<(), VaultError> {
        let Condition::Fenced {
            why,
            tried,
            rewrite,
        } = &mut self.condition
        else {
            return Ok(());
        };
        if tried.is_some_and(|tried| tried.elapsed() < self.reopen_pause) {
            return Err(why.clone());
        }
        let mut rewrite_done = !*rewrite;
        let reopened = guarded(|| self.reopened(&mut rewrite_done));
        match reopened.unwrap_or_else(|damage| Err(damage.into())) {
            Ok(store) => {
                info!("the vault is open again");
                self.condition = Condition::Open(Box::new(store));
                Ok(())
            }
            Err(error) => {
                self.condition = Condition::Fenced {
                    why: error.clone(),
                    tried: Some(Instant::now()),
                    rewrite: !rewrite_done || self.medium.activity().sync_failed(),
                };
                Err(error)
            }
        }
    }

    fn reopened(&mut self, rewrite_done: &mut bool) -> Result<Store, VaultError> {
        let mut store = self.read_again()?;
        if !*rewrite_done {
            let fresh = self.medium.open_fresh()?;
            store.copy_to(fresh)?;
            drop(store);
            self.medium.adopt_fresh()?;
            *rewrite_done = true;
            store = self.read_again()?;
        }
        Ok(store)
    }

    /// The vault as it can be read now; it holds every commit that was answered with success.
    fn read_again(&mut self) -> Result<Store, VaultError> {
        let backend = self.medium.open()?;
        let locked = Locked::open(backend, self.medium.path())?;
        if locked.vault() != self.vault {
            let path = self.medium.path().display();
            return Err(VaultError::Fenced(format!("{path} is another vault now")));
        }
        let store = locked.unlock(&self.data_key)?;
        if store.commits() < self.acknowledged {
            return Err(VaultError::OlderCopy {
                commit: store.commits(),
                seen: self.acknowledged,
            });
        }
        Ok(store)
    }

    /// Whether something waits for a quiet moment.
    fn has_chores(&self) -> bool {
        let Condition::Open(store) = &self.condition else {
            return false;
        };
        let anchor = self.anchor.as_ref();
        anchor.is_some_and(|anchor| anchor.is_behind(store)) || self.is_sparse(store, SPARE)
    }

    fn do_chores(&mut self) {
        if let (Condition::Open(store), Some(anchor)) = (&mut self.condition, &mut self.anchor) {
            anchor.note(store);
        }
        self.compact_if_sparse(SPARE);
    }

    /// Whether the file is so much longer than what is in it that compacting is worth its while.
    fn is_sparse(&self, store: &Store, (times, more): (u64, u64)) -> bool {
        let (length, live) = (self.medium.length(), store.live_bytes());
        let last = self.compacted;
        length > live.saturating_mul(times).saturating_add(more)
            && last.is_none_or(|last| last.is_worth_more(length, live))
    }

    /// Gives back the space that deleted records have left, once there is much of it.
    fn compact_if_sparse(&mut self, limit: (u64, u64)) {
        let Condition::Open(store) = &self.condition else {
            return;
        };
        if !self.is_sparse(store, limit) {
            return;
        }
        let live = store.live_bytes();
        let Condition::Open(store) = &mut self.condition else {
            return;
        };
        match store.compact() {
            Ok(true) => {
                let length = self.medium.length();
                self.compacted = Some(Compacted { length, live });
            }
            Ok(false) => {}
            Err(why) => self.fence(why),
        }
    }
}

/// What compacting led to the last time.
#[derive(Clone, Copy)]
struct Compacted {
    length: u64,
    live: u64,
}

impl Compacted {
    /// Whether so much has changed that the next time may lead further.
    fn is_worth_more(self, length: u64, live: u64) -> bool {
        length
            > self
                .length
                .saturating_add(self.length / 4)
                .saturating_add(GROWTH)
            || live < self.live / 2
    }
}
