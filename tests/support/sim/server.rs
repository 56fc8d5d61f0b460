//! The product in a world: keys on a server, with people who answer their touches.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use roamkey::{
    key::{Key, KeyHandle, Port, Seed},
    presence::{Broker, Notice, Policy, RequestId, Touch},
    profile::Profile,
};
use roamkey_ctap::Decision;
use roamkey_transport::{
    Peer,
    usbip::{BusId, Exports},
};
use tokio::{task::JoinHandle, time::sleep};

use super::{
    World, chance,
    net::{self, Stream, below},
    vault::{Depot, Slow, Stock},
};

/// Failed commits in a thousand, where vaults fail.
const FAILURES: usize = 60;

/// A server while it has power.
pub(crate) struct Server {
    pub(crate) exports: Exports,
    pub(crate) broker: Broker,
    pub(crate) keys: Vec<KeyHandle>,
    failed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a key is called, and where it is plugged in.
pub(crate) fn busid(key: usize) -> BusId {
    let port = u16::try_from(key + 1).ok().and_then(NonZero::new);
    BusId::nth(port.expect("a port"))
}

fn port(exports: &Exports, key: usize) -> Port {
    let identity = Profile::default().usb_identity("SIM");
    let identity = identity.expect("an identity");
    let hosts = exports.add(busid(key), identity).expect("a free port");
    let exports = exports.clone();
    let pull = Box::new(move || {
        exports.remove(&busid(key));
    });
    Port { hosts, pull }
}

impl World {
    /// Power comes: every key is read from what is durable.
    pub(crate) async fn start(&self, depot: &Depot, stock: &Stock) {
        let exports = Exports::new();
        let broker = Broker::new(Policy::new(Touch::Ask, []));
        let failed = Arc::<AtomicU64>::default();
        let mut server = Server {
            exports,
            broker,
            keys: Vec::new(),
            failed,
            tasks: Vec::new(),
        };
        for (index, inner) in depot.open(self.climate.keys, stock).into_iter().enumerate() {
            let slow = Slow {
                inner,
                rng: self.rng("vault"),
                failures: if self.climate.vault_faults && self.faults_on.get() {
                    FAILURES
                } else {
                    0
                },
                failed: Arc::clone(&server.failed),
                broken: false,
            };
            let seed = Seed::from_bytes(self.seed.bytes("key", self.next_number()));
            let seat = server.broker.seat(&index.to_string());
            let key = Key::open(&Profile::default(), seed, Box::new(slow), seat).await;
            let mut key = match key {
                Ok(key) => key,
                Err(why) => self.fail(format!("key {index} cannot be read: {why}")),
            };
            let handle = key.handle();
            server.tasks.push(self.spawn(key.work()));
            handle.plug(port(&server.exports, index)).await;
            server.keys.push(handle);
        }
        let person = person(self.clone(), server.broker.clone());
        server.tasks.push(self.spawn(person));
        self.note("the server has power");
        *self.server.borrow_mut() = Some(server);
    }

    fn next_number(&self) -> usize {
        usize::try_from(self.tape.digest().1).expect("a number")
    }

    /// Power goes: whatever ran is no more when this returns, or it would write to a disk that has
    /// power again.
    pub(crate) async fn power_off(&self) {
        let Some(server) = self.server.borrow_mut().take() else {
            return;
        };
        self.note("the server has no power");
        for task in &server.tasks {
            task.abort();
        }
        let failed = server.failed.load(Ordering::Relaxed);
        self.count(|figures| figures.vault_faults += failed);
        server.exports.close();
        drop(server.keys);
        for task in server.tasks {
            let _ = task.await; // cancelled, or over before
        }
    }

    /// A connection to the server, if it has power.
    pub(crate) fn connect(&self) -> Option<Stream> {
        let number = u32::try_from(self.next_number()).expect("a number");
        let rngs = (self.rng("up"), self.rng("down"));
        let (theirs, ours) = net::connection(number, self.climate.weather, rngs, &self.tape);
        let exports = self.server.borrow().as_ref()?.exports.clone();
        let served = async move { exports.serve(theirs, Peer::Local).await };
        let task = self.spawn(served);
        let mut server = self.server.borrow_mut();
        let tasks = &mut server.as_mut()?.tasks;
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
        Some(ours)
    }

    /// Pulls a key out and plugs it in again some time later.
    pub(crate) async fn replug(&self, key: usize, wait: Duration) {
        let server = self.server.borrow().as_ref().map(|server| {
            let handle = server.keys[key].clone();
            (handle, server.exports.clone())
        });
        let Some((handle, exports)) = server else {
            return;
        };
        self.note(format!("key {key} is pulled out"));
        if !handle.unplug().await {
            return;
        }
        sleep(wait).await;
        // The server may have lost its power meanwhile.
        let same = self.server.borrow().is_some();
        if same && !handle.is_plugged() && exports_is_open(&exports) {
            self.note(format!("key {key} is plugged in"));
            handle.plug(port(&exports, key)).await;
            self.count(|figures| figures.replugs += 1);
        }
    }

    /// Everything ends as when a person stops the server.
    pub(crate) async fn stop(&self) {
        let Some(server) = self.server.borrow_mut().take() else {
            return;
        };
        for key in &server.keys {
            key.stop().await;
        }
        for key in &server.keys {
            key.gone().await;
        }
        if !server.broker.pending().is_empty() {
            self.fail("a touch is waited for by no key");
        }
        server.exports.close();
        server.broker.close();
        let failed = server.failed.load(Ordering::Relaxed);
        self.count(|figures| figures.vault_faults += failed);
    }
}

/// A list that was closed takes no key.
fn exports_is_open(exports: &Exports) -> bool {
    let spare = busid(100);
    let identity = Profile::default()
        .usb_identity("SPARE")
        .expect("an identity");
    let open = exports.add(spare, identity).is_ok();
    exports.remove(&spare);
    open
}

/// People who see what is asked, and touch keys or not.
async fn person(world: World, broker: Broker) {
    let mut notices = broker.notices();
    let mut rng = world.rng("person");
    while let Some(notice) = notices.recv().await {
        let Notice::Asked { id, key, prompt } = notice else {
            continue;
        };
        let key: usize = key.parse().expect("a number");
        world.note(format!("key {key} asks for {:?}", prompt.operation));
        let mood = if chance(&mut rng, world.climate.moody) {
            below(&mut rng, 10)
        } else {
            0
        };
        let (decision, most_ms) = match mood {
            0 => (Some(Decision::Approved), 300),
            1..=3 => (Some(Decision::Approved), 3_000),
            4..=6 => (Some(Decision::Denied), 800),
            7 => (Some(Decision::Approved), 29_000),
            _ => (None, 1),
        };
        let wait = below(&mut rng, most_ms);
        let Some(decision) = decision else { continue };
        let (broker, other) = (broker.clone(), world.clone());
        world.spawn(async move {
            sleep(Duration::from_millis(u64::try_from(wait).expect("64 bits"))).await;
            answer(&other, &broker, (id, key), decision);
        });
    }
}

fn answer(world: &World, broker: &Broker, (id, key): (RequestId, usize), decision: Decision) {
    if !broker.decide(id, decision) {
        return;
    }
    world.note(format!("somebody answers key {key}: {decision:?}"));
    world.count(|figures| figures.touches += 1);
    let counts = match decision {
        Decision::Approved => &world.given,
        _ => &world.refused,
    };
    counts[key].set(counts[key].get() + 1);
}
