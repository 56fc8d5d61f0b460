//! A whole world from its number, and many of them.

use std::{
    panic,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant as Wall},
};

use rand_chacha::{ChaCha20Rng, rand_core::Rng as _};
use tokio::{task::LocalSet, time::sleep};

use super::{
    Climate, Figures, World, chance, hostile,
    net::{Weather, below},
    pause, session,
    vault::{Depot, MOST_KEYS, Stock},
};
use crate::support::{disk::Fault, seed::TestSeed};

/// No world lasts as long, in virtual time.
const WORLD_LIMIT: Duration = Duration::from_secs(3_600);

/// What came of a world: figures, and a digest of all that happened.
pub(crate) type Told = Result<(Figures, [u8; 32]), String>;

fn climate(rng: &mut ChaCha20Rng) -> Climate {
    let keys = [1, 1, 1, 2, 2, 2, 3, MOST_KEYS][below(rng, 8)];
    let weather = match below(rng, 4) {
        0 => Weather {
            latency: (0, 0),
            room: 1 << 16,
            cuts: false,
        },
        1 => Weather {
            latency: (0, 2),
            room: 1 << 14,
            cuts: true,
        },
        2 => Weather {
            latency: (1, 20),
            room: 4_096,
            cuts: true,
        },
        _ => Weather {
            latency: (0, 60),
            room: 1_024,
            cuts: true,
        },
    };
    Climate {
        keys,
        weather,
        vault_faults: chance(rng, 25),
        on_disk: chance(rng, 20),
        disturbed: [0, 10, 30][below(rng, 3)],
        moody: [0, 10, 40][below(rng, 3)],
    }
}

/// Lives through the world with this number.
pub(crate) fn world(seed: TestSeed, number: usize, stock: &Stock) -> Told {
    let seed = TestSeed::derived(seed.bytes("world", number));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut rng = seed.rng("climate", 0);
        let world = World::new(seed, climate(&mut rng));
        let depot = if world.climate.on_disk {
            Depot::Disk(stock.disk.fork(seed.rng("disk", 0)))
        } else {
            let keys = stock.memory.iter().take(world.climate.keys);
            Depot::Memory(keys.map(crate::support::vault::TestVault::fork).collect())
        };
        let failed = tokio::select! {
            biased;
            why = world.failure() => Some(why),
            () = world.guard(world.whole(rng, depot, stock)) => None,
            () = sleep(WORLD_LIMIT) => Some("the world does not end".to_owned()),
        };
        if let Some(why) = failed {
            return Err(format!("{}\n{why}", world.tape.last()));
        }
        let mut figures = *world.figures.borrow();
        figures.worlds = 1;
        figures.virtual_ms = world.tape.now_ms();
        let (digest, _, bytes) = world.tape.digest();
        figures.bytes = bytes;
        Ok((figures, digest))
    })
}

impl World {
    /// From the first power-on to the last task's end.
    async fn whole(&self, mut rng: ChaCha20Rng, depot: Depot, stock: &Stock) {
        self.start(&depot, stock).await;
        let mut hosts = Vec::new();
        for number in 0..1 + below(&mut rng, 4) {
            hosts.push(self.spawn(session::host(self.clone(), number)));
        }
        for number in 0..[0, 0, 1, 2][below(&mut rng, 4)] {
            hosts.push(self.spawn(hostile::host(self.clone(), number)));
        }
        let cuts = [0, 0, 0, 1, 2][below(&mut rng, 5)];
        let over = async {
            for host in hosts {
                let _ = host.await;
            }
        };
        let mut fate = self.rng("fate");
        tokio::join!(
            over,
            self.fates(&depot, stock, cuts, &mut fate),
            self.replugs()
        );
        if self.climate.vault_faults || self.climate.on_disk {
            self.faults_on.set(false);
            self.cut_power(&depot, stock, Duration::ZERO).await;
        }
        let world = self.clone();
        let looked = self.spawn(async move { session::last_look(&world).await });
        let _ = looked.await;
        self.stop().await;
        // Vanished peers are found, and connections that ask for nothing.
        sleep(Duration::from_secs(120)).await;
        if self.live() != 0 {
            self.report(format!("{} tasks never end", self.live()));
            sleep(WORLD_LIMIT).await;
        }
    }

    async fn cut_power(&self, depot: &Depot, stock: &Stock, down: Duration) {
        if let Depot::Disk(disk) = depot {
            disk.cut_power();
        }
        self.power_off().await;
        if let Depot::Disk(disk) = depot {
            disk.restore_power();
            let faults = disk.take_faults();
            self.count(|figures| figures.vault_faults += faults);
        }
        self.count(|figures| figures.power_cuts += 1);
        sleep(down).await;
        self.start(depot, stock).await;
    }

    /// Power cuts, and what disks do.
    async fn fates(&self, depot: &Depot, stock: &Stock, cuts: usize, rng: &mut ChaCha20Rng) {
        for _ in 0..cuts {
            plan(depot, rng);
            let mut wait = below(rng, 15_000);
            while wait > 0 {
                let step = wait.min(100);
                sleep(Duration::from_millis(u64::try_from(step).expect("64 bits"))).await;
                wait -= step;
                if matches!(depot, Depot::Disk(disk) if !disk.has_power()) {
                    break;
                }
            }
            let down = below(rng, 700);
            let down = Duration::from_millis(u64::try_from(down).expect("64 bits"));
            self.cut_power(depot, stock, down).await;
        }
    }

    async fn replugs(&self) {
        let mut rng = self.rng("replugs");
        for _ in 0..[0, 0, 0, 1, 3][below(&mut rng, 5)] {
            pause(&mut rng, 8_000).await;
            let key = below(&mut rng, self.climate.keys);
            let wait = u64::from(rng.next_u32() % 1_500);
            self.replug(key, Duration::from_millis(wait)).await;
        }
    }
}

/// What a disk will do wrong before the next power cut.
fn plan(depot: &Depot, rng: &mut ChaCha20Rng) {
    let Depot::Disk(disk) = depot else { return };
    let fault = match rng.next_u32() % 8 {
        0..=3 => Fault::PowerCut,
        4 => Fault::Sync,
        5 => Fault::Write,
        6 => Fault::Everything(1 + rng.next_u32() % 3),
        _ => Fault::Everything(1 + rng.next_u32() % 60),
    };
    disk.plan(u64::from(rng.next_u32() % 300), fault);
}

/// What stopped a run.
struct Failed {
    number: usize,
    why: String,
}

/// Lives through worlds, one after the other on each core, until there were so many sessions.
pub(crate) fn worlds(seed: TestSeed, sessions: u64, key_file: PathBuf) -> Figures {
    let start = Wall::now();
    let stock = Stock::new(key_file);
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let total = Mutex::new(Figures::default());
    let failed = Mutex::new(None::<Failed>);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) && done.load(Ordering::Relaxed) < sessions {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        match guarded(seed, number, &stock) {
                            Ok((figures, _)) => {
                                done.fetch_add(figures.sessions, Ordering::Relaxed);
                                *total.lock().expect("figures") += figures;
                            }
                            Err(why) => {
                                stop.store(true, Ordering::Relaxed);
                                let mut failed = failed.lock().expect("a failure");
                                failed.get_or_insert(Failed { number, why });
                            }
                        }
                    }
                })
            })
            .collect();
        let mut told = Wall::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(50));
            if told.elapsed() > Duration::from_secs(10) {
                told = Wall::now();
                let worlds = next.load(Ordering::Relaxed);
                let done = done.load(Ordering::Relaxed);
                println!("{done} of {sessions} sessions, {worlds} worlds");
            }
        }
    });
    if let Some(Failed { number, why }) = failed.into_inner().expect("a failure") {
        let after = done.load(Ordering::Relaxed);
        panic!(
            "world {number}, after {after} sessions:\n{why}\n\nonly this world again:\n  {} cargo \
             test --test tests simulation -- --nocapture",
            seed.variables(number)
        );
    }
    let total = total.into_inner().expect("figures");
    println!("{total:#?}\nin {:.1} s", start.elapsed().as_secs_f64());
    total
}

/// A panic outside of a world's tasks is a failure, too.
fn guarded(seed: TestSeed, number: usize, stock: &Stock) -> Told {
    let told = panic::catch_unwind(panic::AssertUnwindSafe(|| world(seed, number, stock)));
    told.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
        Err(text.unwrap_or_else(|| "a panic".to_owned()))
    })
}
