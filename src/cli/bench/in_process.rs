//! `roamkey bench in-process`: what an operation costs without sockets, beside a bare signature.
//!
//! Twice: the state machine alone, and a whole key as a Rust test rig has it, with its driver, its
//! journal, the broker of touches and a host in memory, both on one thread. Then as many keys at
//! once as there are cores, each on a thread of its own, with one broker and one journal.

use std::{
    io,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use roamkey_ctap::{
    Change, ChangeSet, Decision, Device, Event, Instant as KeyTime, KeyState,
    Profile as CtapProfile,
};
use roamkey_transport::memory::{self, MemoryHost};
use serde::Serialize;

use super::{
    Failure, Section,
    ctaphid::{BROADCAST, Request, Response, channel_of, credential_id_of},
    figure,
    floor::{Crypto, Work},
    machine::cores,
    progress::Progress,
    samples::{Percentiles, Samples, ratio, rounded},
    table_of,
};
use crate::{
    cli::access::now,
    key::{Key, Seed},
    presence::{Broker, Policy},
    profile::Profile,
    vault::Memory,
};

/// Operations in a round; then their floor has its turn.
const PER_ROUND: usize = 100;

/// The state machine of a key with nothing around it: touches are given and sets are durable at
/// once.
pub(super) struct Machine {
    device: Device,
    channel: [u8; 4],
    /// What would have been stored.
    pub(super) stored: Vec<ChangeSet>,
}

impl Machine {
    /// With a new key.
    fn new() -> io::Result<Self> {
        let profile = CtapProfile::default();
        let mut seed = Seed::random().map_err(io::Error::other)?;
        let records = KeyState::create(seed.rng(), now(), &profile).into_iter();
        let records = records.filter_map(|change| match change {
            Change::Put(record) => Some(record),
            Change::Delete(_) => None,
        });
        let state = KeyState::load(records).map_err(io::Error::other)?;
        Self::with(profile, state, seed)
    }

    /// With a key that remembers this.
    pub(super) fn with(profile: CtapProfile, state: KeyState, seed: Seed) -> io::Result<Self> {
        let mut machine = Self {
            device: Device::new(profile, state, seed.into_rng()),
            channel: BROADCAST,
            stored: Vec::new(),
        };
        machine.device.handle_power(NOW, true);
        machine.channel = channel_of(&machine.transact(&Request::init())?)?;
        Ok(machine)
    }

    pub(super) fn transact(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        for packet in request.packets(self.channel) {
            self.device.handle_report(NOW, &packet);
            while let Some(event) = self.device.poll_event() {
                self.handle_event(event);
            }
        }
        let mut response = Response::to(request);
        while let Some(report) = self.device.poll_report() {
            if let Some(payload) = response.take(&report)? {
                return Ok(payload);
            }
        }
        Err(io::Error::other("the key did not answer"))
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::PresenceNeeded { id, .. } => {
                self.device.handle_decision(NOW, id, Decision::Approved);
            }
            Event::Commit { id, set } => {
                self.stored.push(set);
                self.device.handle_committed(NOW, id, Ok(()));
            }
            Event::Work { id, work } => self.device.handle_work_done(NOW, id, work.run()),
            Event::PresenceWithdrawn { .. }
            | Event::Wink
            | Event::FaultMet { .. }
            | Event::Unplug => {}
        }
    }
}

/// Time stands still: nothing is waited for.
const NOW: KeyTime = KeyTime::from_millis(0);

/// A whole key and its host on one thread.
struct Rig {
    runtime: tokio::runtime::Runtime,
    host: MemoryHost,
    channel: [u8; 4],
}

impl Rig {
    fn start(broker: &Broker, name: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let profile = Profile::default();
        let mut seed = Seed::random().map_err(io::Error::other)?;
        let vault = Box::new(Memory::create(&mut seed, now(), &profile.ctap));
        let opened = Key::open(&profile, seed, vault, broker.seat(name));
        let mut key = runtime.block_on(opened).map_err(io::Error::other)?;
        let (transport, host) = memory::pair();
        runtime.spawn(async move {
            // As `roamkey run` has it: what happens on the wire is noted.
            let _handle = key.handle();
            key.serve(Box::new(transport)).await
        });
        let mut rig = Self {
            runtime,
            host,
            channel: BROADCAST,
        };
        rig.channel = channel_of(&rig.transact(&Request::init())?)?;
        Ok(rig)
    }

    fn transact(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let (host, channel) = (&mut self.host, self.channel);
        self.runtime.block_on(async {
            for packet in request.packets(channel) {
                let sent = host.send_report(&packet).await;
                sent.map_err(io::Error::other)?;
            }
            let mut response = Response::to(request);
            loop {
                let report = host.recv_report().await.map_err(io::Error::other)?;
                if let Some(payload) = response.take(&report)? {
                    return Ok(payload);
                }
            }
        })
    }
}

/// An operation without sockets.
#[derive(Debug, Serialize)]
struct Row {
    row: &'static str,
    operation: &'static str,
    level: &'static str,
    operations: usize,
    #[serde(flatten)]
    real: Percentiles,
    floor: Percentiles,
    over_floor_p50_us: f64,
}

/// As many keys as threads.
#[derive(Debug, Serialize)]
struct ScalingRow {
    row: &'static str,
    threads: usize,
    operations: usize,
    assertions_per_s: f64,
    assertions_scaling: f64,
    bare_signatures_per_s: f64,
    bare_signatures_scaling: f64,
}

/// Measures each kind of operation so many times, on threads of its own.
pub(super) async fn measure(operations: u32, progress: &Progress) -> Result<Section, Failure> {
    let operations = usize::try_from(operations).unwrap_or(1);
    let progress = progress.clone();
    let measured = tokio::task::spawn_blocking(move || measure_here(operations, &progress)).await;
    let (rows, scaling) = measured
        .map_err(io::Error::other)
        .and_then(|measured| measured)
        .map_err(|why| Failure::failed("in-process", why))?;
    let columns = [
        "OPERATION",
        "OF",
        "   p50",
        "   p90",
        "   p99",
        "   MAX",
        " FLOOR",
        "  OVER",
    ];
    let cells = rows.iter().map(|row| {
        let mut cells = vec![row.operation.to_owned(), row.level.to_owned()];
        let real = row.real;
        let figures = [real.p50_us, real.p90_us, real.p99_us, real.max_us];
        let figures = figures.into_iter();
        let floor = [row.floor.p50_us, row.over_floor_p50_us];
        cells.extend(figures.chain(floor).map(figure));
        cells
    });
    let first = table_of(&columns, cells);
    let columns = [
        "THREADS",
        "getAssertion/s",
        "TIMES",
        "bare signatures/s",
        "TIMES",
    ];
    let cells = scaling.iter().map(|row| {
        vec![
            row.threads.to_string(),
            format!("{:.0}", row.assertions_per_s),
            format!("{:.2}", row.assertions_scaling),
            format!("{:.0}", row.bare_signatures_per_s),
            format!("{:.2}", row.bare_signatures_scaling),
        ]
    });
    let text = format!("{first}\n\n{}", table_of(&columns, cells));
    let mut section = Section::new(
        "Without sockets, in us (FLOOR is its p50, OVER how much more an operation's is)",
        text,
    );
    for row in &rows {
        section.row(row)?;
    }
    for row in &scaling {
        section.row(row)?;
    }
    Ok(section)
}

fn measure_here(operations: usize, progress: &Progress) -> io::Result<(Vec<Row>, Vec<ScalingRow>)> {
    let mut rows = Vec::new();
    let mut machine = Machine::new()?;
    for (name, work, request) in list(|request| machine.transact(request))? {
        let transact = |request: &Request| {
            machine.stored.clear();
            machine.transact(request)
        };
        let timed = time(
            name,
            "state machine",
            work,
            &request,
            operations,
            progress,
            transact,
        );
        rows.push(timed?);
    }
    let broker = Broker::new(Policy::auto());
    let mut rig = Rig::start(&broker, "1-1")?;
    for (name, work, request) in list(|request| rig.transact(request))? {
        let transact = |request: &Request| rig.transact(request);
        let timed = time(name, "key", work, &request, operations, progress, transact);
        rows.push(timed?);
    }
    drop(rig);
    Ok((rows, scale(operations, progress)?))
}

/// What is measured, with a credential of this key's.
fn list(
    mut transact: impl FnMut(&Request) -> io::Result<Vec<u8>>,
) -> io::Result<[(&'static str, Work, Request); 4]> {
    let make = Request::make_credential()?;
    let credential = credential_id_of(&transact(&make)?)?;
    let assertion = Request::get_assertion(&credential)?;
    Ok([
        ("PING", Work::None, Request::ping()),
        ("getInfo", Work::None, Request::info()),
        ("makeCredential", Work::SignatureAndKey, make),
        ("getAssertion", Work::Signature, assertion),
    ])
}

/// Times one operation and its floor in turn.
fn time(
    operation: &'static str,
    level: &'static str,
    work: Work,
    request: &Request,
    operations: usize,
    progress: &Progress,
    mut transact: impl FnMut(&Request) -> io::Result<Vec<u8>>,
) -> io::Result<Row> {
    let steps = u64::try_from(operations).unwrap_or(u64::MAX);
    progress.begin(format!("in-process: {operation}, {level}"), steps);
    let crypto = Crypto::new()?;
    for _ in 0..operations.min(PER_ROUND) {
        transact(request)?;
        crypto.run(work);
    }
    let (mut real, mut floor) = (Samples::default(), Samples::default());
    while real.len() < operations {
        let round = PER_ROUND.min(operations - real.len());
        for _ in 0..round {
            let start = Instant::now();
            transact(request)?;
            real.push(start.elapsed());
        }
        for _ in 0..round {
            let start = Instant::now();
            crypto.run(work);
            floor.push(start.elapsed());
        }
        progress.advance(u64::try_from(round).unwrap_or(u64::MAX))?;
    }
    let (real, floor) = (real.percentiles(), floor.percentiles());
    Ok(Row {
        row: "in-process",
        operation,
        level,
        operations,
        over_floor_p50_us: rounded(real.p50_us - floor.p50_us, 3),
        real,
        floor,
    })
}

/// How much more several threads do than one.
fn scale(operations: usize, progress: &Progress) -> io::Result<Vec<ScalingRow>> {
    let cores = cores();
    let mut counts: Vec<_> = (0..usize::BITS).map(|bit| 1_usize << bit).collect();
    counts.retain(|count| *count < cores);
    counts.push(cores);
    let steps = u64::try_from(counts.len()).unwrap_or(u64::MAX);
    progress.begin("in-process: getAssertion on all cores", steps);
    let mut rows: Vec<ScalingRow> = Vec::new();
    for threads in counts {
        let assertions = rate(threads, operations, assertions)?;
        let signatures = rate(threads, operations, signatures)?;
        let first = rows.first();
        let times = |rate, first: Option<f64>| ratio(rate, first.unwrap_or(rate));
        rows.push(ScalingRow {
            row: "in-process-scaling",
            threads,
            operations,
            assertions_scaling: times(assertions, first.map(|row| row.assertions_per_s)),
            bare_signatures_scaling: times(signatures, first.map(|row| row.bare_signatures_per_s)),
            assertions_per_s: assertions,
            bare_signatures_per_s: signatures,
        });
        progress.advance(1)?;
    }
    Ok(rows)
}

/// What a thread does at once, once it is ready.
type Job = Box<dyn FnMut() -> io::Result<()>>;

fn assertions(broker: &Broker, number: usize) -> io::Result<Job> {
    let mut rig = Rig::start(broker, &format!("1-{}", number + 1))?;
    let made = rig.transact(&Request::make_credential()?)?;
    let request = Request::get_assertion(&credential_id_of(&made)?)?;
    Ok(Box::new(move || rig.transact(&request).map(drop)))
}

fn signatures(_broker: &Broker, _number: usize) -> io::Result<Job> {
    let crypto = Crypto::new()?;
    Ok(Box::new(move || {
        crypto.run(Work::Signature);
        Ok(())
    }))
}

/// How often in a second so many threads do together what each does so many times.
fn rate(
    threads: usize,
    operations: usize,
    prepare: fn(&Broker, usize) -> io::Result<Job>,
) -> io::Result<f64> {
    let broker = Broker::new(Policy::auto());
    let barrier = Arc::new(Barrier::new(threads));
    let running: Vec<_> = (0..threads)
        .map(|number| {
            let (broker, barrier) = (broker.clone(), Arc::clone(&barrier));
            thread::spawn(move || {
                let job = prepare(&broker, number);
                // Whoever could not be prepared holds up nobody.
                barrier.wait();
                let start = Instant::now();
                let mut job = job?;
                for _ in 0..operations {
                    job()?;
                }
                Ok::<_, io::Error>(start.elapsed())
            })
        })
        .collect();
    let mut longest = Duration::ZERO;
    for thread in running {
        let elapsed = thread.join();
        let elapsed = elapsed.map_err(|_| io::Error::other("a thread was lost"))??;
        longest = longest.max(elapsed);
    }
    let done = u32::try_from(threads.saturating_mul(operations)).unwrap_or(u32::MAX);
    Ok(rounded(f64::from(done) / longest.as_secs_f64(), 1))
}
