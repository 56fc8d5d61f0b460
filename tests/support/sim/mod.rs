//! A simulator: keys, their vault and several hosts in virtual time, from one seed.
//!
//! It runs the product's own asynchronous parts (keys' tasks, the server's side of connections,
//! the broker, the vault) on one thread, on which time passes only while nobody can go on. Hosts,
//! programs, people, networks and disks are models that do what real ones may, at any moment, and
//! check everything that they get. The same seed gives the same world, byte for byte.
//!
//! Absent: RSA, whose work goes to threads of its own.

pub(crate) mod credentials;
pub(crate) mod hid;
pub(crate) mod hostile;
pub(crate) mod model;
pub(crate) mod net;
pub(crate) mod others;
mod pins;
pub(crate) mod programs;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod steps;
pub(crate) mod tape;
pub(crate) mod urbs;
pub(crate) mod vault;

use std::{
    cell::{Cell, RefCell},
    future::Future,
    ops::AddAssign,
    panic::AssertUnwindSafe,
    rc::Rc,
    time::Duration,
};

use futures_util::FutureExt;
use rand_chacha::ChaCha20Rng;
use tokio::{
    sync::Notify,
    task::{JoinHandle, spawn_local},
    time::sleep,
};

use crate::support::seed::TestSeed;
use model::Model;
use net::{Weather, below};
use server::Server;
use tape::Tape;

/// What a world, or all of them, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) worlds: u64,
    pub(crate) sessions: u64,
    pub(crate) hostile: u64,
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) cancelled: u64,
    pub(crate) timed_out: u64,
    /// Requests whose session or channel ended before their answer.
    pub(crate) cut: u64,
    pub(crate) busy: u64,
    pub(crate) power_cuts: u64,
    pub(crate) vault_faults: u64,
    pub(crate) replugs: u64,
    pub(crate) touches: u64,
    pub(crate) unlinks: u64,
    pub(crate) virtual_ms: u64,
    pub(crate) bytes: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.sessions += other.sessions;
        self.hostile += other.hostile;
        self.requests += other.requests;
        self.answered += other.answered;
        self.cancelled += other.cancelled;
        self.timed_out += other.timed_out;
        self.cut += other.cut;
        self.busy += other.busy;
        self.power_cuts += other.power_cuts;
        self.vault_faults += other.vault_faults;
        self.replugs += other.replugs;
        self.touches += other.touches;
        self.unlinks += other.unlinks;
        self.virtual_ms += other.virtual_ms;
        self.bytes += other.bytes;
    }
}

/// What is the same for the whole life of a world.
pub(crate) struct Climate {
    pub(crate) keys: usize,
    pub(crate) weather: Weather,
    /// Whether hosts, people and vaults do what they should, so that answers can be told.
    pub(crate) vault_faults: bool,
    pub(crate) on_disk: bool,
    /// How many of a hundred requests somebody disturbs.
    pub(crate) disturbed: usize,
    /// How many of a hundred touches are not simply given.
    pub(crate) moody: usize,
}

pub(crate) struct Inner {
    pub(crate) seed: TestSeed,
    pub(crate) climate: Climate,
    pub(crate) tape: Tape,
    pub(crate) models: Vec<RefCell<Model>>,
    /// Touches that were given, by key.
    pub(crate) given: Vec<Cell<u64>>,
    pub(crate) refused: Vec<Cell<u64>>,
    pub(crate) server: RefCell<Option<Server>>,
    pub(crate) figures: RefCell<Figures>,
    /// Whether vaults fail now.
    pub(crate) faults_on: Cell<bool>,
    failure: RefCell<Option<String>>,
    failed: Notify,
    live: Cell<usize>,
    purposes: Cell<usize>,
}

/// Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct World(pub(crate) Rc<Inner>);

impl std::ops::Deref for World {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl World {
    pub(crate) fn new(seed: TestSeed, climate: Climate) -> Self {
        let keys = climate.keys;
        Self(Rc::new(Inner {
            seed,
            tape: Tape::new(),
            models: (0..keys).map(|_| RefCell::new(Model::new())).collect(),
            given: (0..keys).map(|_| Cell::new(0)).collect(),
            refused: (0..keys).map(|_| Cell::new(0)).collect(),
            server: RefCell::new(None),
            figures: RefCell::default(),
            faults_on: Cell::new(true),
            failure: RefCell::new(None),
            failed: Notify::new(),
            live: Cell::new(0),
            purposes: Cell::new(0),
            climate,
        }))
    }

    /// A generator that nobody else has. Asked for in an order that is the world's own.
    pub(crate) fn rng(&self, purpose: &str) -> ChaCha20Rng {
        let number = self.purposes.get();
        self.purposes.set(number + 1);
        self.seed.rng(purpose, number)
    }

    pub(crate) fn note(&self, text: impl AsRef<str>) {
        self.tape.note(text.as_ref());
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Figures)) {
        count(&mut self.figures.borrow_mut());
    }

    /// The world is not as it must be.
    pub(crate) fn fail(&self, why: impl AsRef<str>) -> ! {
        panic!("{}", why.as_ref());
    }

    /// Ends the world, from where a panic would end more.
    pub(crate) fn report(&self, why: String) {
        self.failure.borrow_mut().get_or_insert(why);
        self.failed.notify_one();
    }

    /// Whether an answer may be that the vault has failed.
    pub(crate) fn may_fail(&self) -> bool {
        self.faults_on.get() && (self.climate.vault_faults || self.climate.on_disk)
    }

    /// A task of this world; a panic in it is the world's.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
        let live = Live::new(self.clone());
        let world = self.clone();
        spawn_local(async move {
            let _live = live;
            world.guard(task).await;
        })
    }

    /// A panic in this is the world's.
    pub(crate) async fn guard(&self, task: impl Future<Output = ()>) {
        if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
            self.report(text.unwrap_or_else(|| "a panic".to_owned()));
            std::future::pending().await
        }
    }

    /// Why the world has failed, once it has.
    pub(crate) async fn failure(&self) -> String {
        loop {
            if let Some(why) = self.failure.borrow().clone() {
                return why;
            }
            self.failed.notified().await;
        }
    }

    /// Tasks that have not ended.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }
}

/// Counts a task while it is there, however it ends.
struct Live(World);

impl Live {
    fn new(world: World) -> Self {
        world.live.set(world.live.get() + 1);
        Self(world)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.set(self.0.live.get() - 1);
    }
}

/// Lets some time pass.
pub(crate) async fn pause(rng: &mut ChaCha20Rng, most_ms: usize) {
    let ms = u64::try_from(below(rng, most_ms + 1)).expect("64 bits");
    sleep(Duration::from_millis(ms)).await;
}

/// Whether something happens that happens in so many of a hundred cases.
pub(crate) fn chance(rng: &mut ChaCha20Rng, percent: usize) -> bool {
    below(rng, 100) < percent
}
