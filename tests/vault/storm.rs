//! Keys on a disk that loses, tears and reorders what was not synced, fails, and loses its power
//! at any operation: what was acknowledged is there, no counter is lower or repeated, no PIN
//! attempt comes back, and the keys go on.
//!
//! All of it runs in virtual time and on one thread: the vault is the product's own, on
//! [`Disk`]. `ROAMKEY_STORM_RUNS=10000` makes it longer.

use std::time::{Duration, Instant};

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use roamkey::{
    presence::{Broker, Policy},
    profile::Profile,
    vault::{LockedVault, OpenVault, VaultId, unlock::Unlock},
};

use super::{
    served::{CREATED, Directory, default_profile},
    storm_model::Walk,
};
use crate::support::{
    carrier::World,
    disk::{Disk, Fault},
    inline::in_thread,
    seed::TestSeed,
};

const KEYS: usize = 2;
const RUNS: usize = 300;
const VARIABLE: &str = "ROAMKEY_STORM_RUNS";
/// Power cuts in one run.
const LIVES: usize = 4;
/// Requests between two power cuts at most.
const STEPS: usize = 15;

/// The keys of a vault in virtual time.
fn world(open: OpenVault, rng: &mut ChaCha20Rng) -> World {
    let keys = in_thread(open, KEYS);
    let rngs = (0..KEYS).map(|_| {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        rand_chacha::rand_core::SeedableRng::from_seed(seed)
    });
    let broker = Broker::new(Policy::auto());
    let rngs = rngs.collect();
    World::new(&Profile::default(), rngs, keys, &broker, 0)
}

/// A disk with a new vault of keys on it.
fn prepared(unlock: &Unlock, rng: ChaCha20Rng) -> Disk {
    let disk = Disk::new(rng);
    let vault = VaultId::from([7; 16]);
    let open = OpenVault::create_on(disk.medium(), vault, unlock, CREATED);
    let mut open = open.expect("a new vault");
    for number in 0..KEYS {
        let name = format!("key {number}");
        let made = open
            .store_mut()
            .add_key(&name, default_profile(), CREATED, &Default::default());
        made.expect("a key");
    }
    disk
}

fn plan(rng: &mut ChaCha20Rng) -> (u64, Fault) {
    let after = u64::from(rng.next_u32() % 150);
    let fault = match rng.next_u32() % 8 {
        0..=3 => Fault::PowerCut,
        4 => Fault::Sync,
        5 => Fault::Write,
        6 => Fault::Everything(1 + rng.next_u32() % 3),
        _ => Fault::Everything(1 + rng.next_u32() % 60),
    };
    (after, fault)
}

/// What came of all runs.
#[derive(Default)]
struct Figures {
    cuts: usize,
    faults: u64,
    answered: u64,
    doubts: u64,
}

fn run(base: &Disk, unlock: &Unlock, seed: TestSeed, number: usize, figures: &mut Figures) {
    let mut rng = seed.rng("storm", number);
    let disk = base.fork(seed.rng("disk", number));
    let mut walk = Walk::new(KEYS, seed.rng("walk", number));
    for _ in 0..LIVES {
        // Whatever was lost, there is a whole vault to open.
        let locked = LockedVault::open_on(disk.medium()).expect("a vault");
        let open = locked.unlock(unlock).expect("a whole vault");
        let keys = world(open, &mut rng);
        walk.attach(&keys);
        walk.check();
        let (after, fault) = plan(&mut rng);
        disk.plan(after, fault);
        let mut steps = 0;
        while steps < STEPS && disk.has_power() {
            walk.step(&|| disk.has_power());
            steps += 1;
        }
        walk.detach();
        drop(keys);
        figures.faults += disk.take_faults();
        disk.restore_power();
        figures.cuts += 1;
    }
    let locked = LockedVault::open_on(disk.medium()).expect("a vault");
    let open = locked.unlock(unlock).expect("a whole vault");
    let keys = world(open, &mut rng);
    walk.attach(&keys);
    walk.check();
    walk.detach();
    figures.answered += walk.answered;
    figures.doubts += walk.doubts;
}

#[test]
fn acknowledged_changes_survive_the_disk() {
    let runs = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().expect("a number of runs"),
        Err(_) => RUNS,
    };
    let seed = TestSeed::new();
    let directory = Directory::new("storm");
    let unlock = Unlock::KeyFile(directory.file("key"));
    let base = prepared(&unlock, seed.rng("base", 0));
    let mut figures = Figures::default();
    let (start, mut told) = (Instant::now(), Instant::now());
    for number in 0..runs {
        println!("run {number}");
        run(&base, &unlock, seed, number, &mut figures);
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            println!("{} of {runs} runs", number + 1);
        }
    }
    let Figures {
        cuts,
        faults,
        answered,
        doubts,
    } = figures;
    println!(
        "{runs} runs in {:.1} s: {cuts} power cuts, {faults} faults, {answered} answers, {doubts} \
         requests in doubt",
        start.elapsed().as_secs_f64()
    );
    assert!(
        faults > 0 && answered > 0 && doubts > 0,
        "a storm does harm"
    );
}
