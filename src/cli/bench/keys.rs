//! `roamkey bench keys`: many keys in one process, attached by this one.
//!
//! What a key costs while nobody uses it: memory, and the processor time of all. Then some of them
//! work at once: whether each gets its turn, and what an operation costs the server.

use std::{
    io,
    num::NonZeroU16,
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use super::{
    Failure, Section,
    ctaphid::Request,
    host::Host,
    machine::{processor_time, resident},
    progress::Progress,
    samples::{Percentiles, Samples, ratio, rounded},
    scratch::Scratch,
    server::{Server, Way},
};
use crate::cli::{descriptors, table::facts};

/// How many keys work at once.
const WORKING: usize = 100;
/// How many are attached at a time: fewer than wait for a server's answer at most.
const ATTACHING: usize = 16;
/// A server that has just attached them still puts things away.
const SETTLE: Duration = Duration::from_secs(1);
/// Files that a process has open beside its connections.
const OTHER_FILES: u64 = 128;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) keys: u16,
    /// Of each key that works.
    pub(super) operations: u32,
    pub(super) idle: Duration,
}

#[derive(Debug, Serialize)]
struct Row {
    row: &'static str,
    keys: u16,
    /// Until the server was ready, and until all were attached.
    ready_ms: f64,
    attached_ms: f64,
    memory_of_one_bytes: Option<u64>,
    memory_bytes: Option<u64>,
    memory_per_key_bytes: Option<u64>,
    idle_s: u64,
    idle_cpu_percent: Option<f64>,
    working_keys: usize,
    operations: usize,
    #[serde(flatten)]
    latency: Percentiles,
    ratio_p99_p50: f64,
    operations_per_s: f64,
    cpu_per_operation_us: Option<f64>,
}

/// Starts servers, attaches, waits, and lets keys work.
pub(super) async fn measure(
    wanted: Wanted,
    directory: Option<&Path>,
    progress: &Progress,
) -> Result<Section, Failure> {
    descriptors::raise(u64::from(wanted.keys) + OTHER_FILES)?;
    let scratch = Scratch::new(directory, "keys")?;
    let failed = |why: io::Error| Failure::failed("keys", why);

    progress.begin("keys: a server with one key", 1);
    let one = server(1, &scratch).await?;
    let hosts = attach(&one, 1, progress).await.map_err(failed)?;
    sleep(SETTLE).await;
    let memory_of_one = resident(one.process());
    drop((hosts, one));

    let keys = wanted.keys;
    progress.begin(format!("keys: a server with {keys}"), u64::from(keys));
    let server = server(keys, &scratch).await?;
    let start = Instant::now();
    let hosts = attach(&server, keys, progress).await.map_err(failed)?;
    let attached = start.elapsed();
    sleep(SETTLE).await;
    let memory = resident(server.process());
    let idle = idle(&server, wanted.idle, progress).await.map_err(failed)?;
    let work = work(&server, hosts, wanted.operations, progress);
    let work = work.await.map_err(failed)?;
    let others = u64::from(keys) - 1;
    let more = memory.zip(memory_of_one);
    let more = more.map(|(all, one)| all.saturating_sub(one));
    let latency = work.samples.percentiles();
    let row = Row {
        row: "keys",
        keys,
        ready_ms: ms(server.took),
        attached_ms: ms(attached),
        memory_of_one_bytes: memory_of_one,
        memory_bytes: memory,
        memory_per_key_bytes: more.and_then(|more| more.checked_div(others)),
        idle_s: wanted.idle.as_secs(),
        idle_cpu_percent: idle,
        working_keys: work.keys,
        operations: work.samples.len(),
        ratio_p99_p50: ratio(latency.p99_us, latency.p50_us),
        latency,
        operations_per_s: work.rate,
        cpu_per_operation_us: work.cpu_us,
    };
    // The hosts are gone with their work; the server before its directory.
    drop((server, scratch));
    let mut section = Section::new("Many keys in one process", text(&row));
    section.row(&row)?;
    Ok(section)
}

fn text(row: &Row) -> String {
    let unknown = || "not measured here, only on Linux".to_owned();
    let kib = |bytes: u64| format!("{:.1} KiB", rounded(bytes_as_f64(bytes) / 1024.0, 1));
    let latency = row.latency;
    facts(&[
        ("keys exported and attached", row.keys.to_string()),
        ("server ready after", format!("{:.0} ms", row.ready_ms)),
        ("all attached after", format!("{:.0} ms", row.attached_ms)),
        (
            "memory of the server",
            row.memory_bytes.map_or_else(unknown, kib),
        ),
        (
            "memory of one with one key",
            row.memory_of_one_bytes.map_or_else(unknown, kib),
        ),
        (
            "memory for each key more",
            row.memory_per_key_bytes.map_or_else(unknown, kib),
        ),
        (
            "processor time while idle",
            row.idle_cpu_percent
                .map_or_else(unknown, |percent| format!("{percent:.2} %")),
        ),
        ("keys that worked at once", row.working_keys.to_string()),
        (
            "getAssertion p50, p99, max",
            format!(
                "{:.0} us, {:.0} us, {:.0} us",
                latency.p50_us, latency.p99_us, latency.max_us
            ),
        ),
        ("p99 to p50", format!("{:.2}", row.ratio_p99_p50)),
        (
            "operations a second",
            format!("{:.0}", row.operations_per_s),
        ),
        (
            "server's processor time each",
            row.cpu_per_operation_us
                .map_or_else(unknown, |us| format!("{us:.0} us")),
        ),
    ])
}

async fn server(keys: u16, scratch: &Scratch) -> Result<Server, Failure> {
    let keys = keys.to_string();
    let args = ["--ephemeral", "--touch", "auto", "--keys", &keys];
    Server::start(Way::Guarded, args, scratch).await
}

/// Attaches all keys of a server, some at a time.
async fn attach(server: &Server, keys: u16, progress: &Progress) -> io::Result<Vec<Host>> {
    let address = server.address;
    let mut numbers = (1..=keys).filter_map(NonZeroU16::new);
    let mut attaching = JoinSet::new();
    for number in numbers.by_ref().take(ATTACHING) {
        attaching.spawn(Host::attach(address, number));
    }
    let mut hosts = Vec::new();
    while let Some(attached) = attaching.join_next().await {
        hosts.push(attached.map_err(io::Error::other)??);
        progress.advance(1)?;
        if let Some(number) = numbers.next() {
            attaching.spawn(Host::attach(address, number));
        }
    }
    Ok(hosts)
}

/// The share of one core that the server uses while nobody uses it, in percent.
async fn idle(server: &Server, idle: Duration, progress: &Progress) -> io::Result<Option<f64>> {
    progress.begin("keys: nobody uses them", idle.as_secs());
    let (start, before) = (Instant::now(), processor_time(server.process()));
    while start.elapsed() < idle {
        sleep(Duration::from_secs(1)).await;
        progress.advance(1)?;
    }
    let used = processor_time(server.process()).zip(before);
    let used = used.map(|(after, before)| after.saturating_sub(before));
    let share = used.map(|used| used.as_secs_f64() / start.elapsed().as_secs_f64());
    Ok(share.map(|share| rounded(share * 100.0, 2)))
}

/// What came of keys that worked at once.
struct Worked {
    keys: usize,
    samples: Samples,
    rate: f64,
    cpu_us: Option<f64>,
}

async fn work(
    server: &Server,
    hosts: Vec<Host>,
    operations: u32,
    progress: &Progress,
) -> io::Result<Worked> {
    let mut hosts: Vec<_> = hosts.into_iter().map(Some).collect();
    // Those that only wait stay attached.
    let working: Vec<_> = hosts
        .iter_mut()
        .take(WORKING)
        .filter_map(Option::take)
        .collect();
    let keys = working.len();
    let mut ready = JoinSet::new();
    for mut host in working {
        ready.spawn(async move {
            let credential = host.register().await?;
            let request = Request::get_assertion(&credential)?;
            host.transact(&request).await?;
            Ok::<_, io::Error>((host, request))
        });
    }
    let mut prepared = Vec::new();
    while let Some(host) = ready.join_next().await {
        prepared.push(host.map_err(io::Error::other)??);
    }
    let steps = u64::try_from(keys).unwrap_or(u64::MAX);
    let what = format!("keys: {keys} work at once");
    progress.begin(what, steps.saturating_mul(u64::from(operations)));
    let before = processor_time(server.process());
    let start = Instant::now();
    let mut running = JoinSet::new();
    for (mut host, request) in prepared {
        let progress = progress.clone();
        running.spawn(async move {
            let mut samples = Samples::default();
            for _ in 0..operations {
                samples.push(host.transact(&request).await?.elapsed);
                progress.advance(1)?;
            }
            Ok::<_, io::Error>((host, samples))
        });
    }
    let (mut samples, mut worked) = (Samples::default(), Vec::new());
    while let Some(done) = running.join_next().await {
        let (host, own) = done.map_err(io::Error::other)??;
        samples.append(own);
        worked.push(host);
    }
    let elapsed = start.elapsed().as_secs_f64();
    let used = processor_time(server.process()).zip(before);
    let done = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let cpu = used.map(|(after, before)| after.saturating_sub(before).as_secs_f64() * 1e6);
    Ok(Worked {
        keys,
        samples,
        rate: rounded(f64::from(done) / elapsed, 1),
        cpu_us: cpu.map(|us| rounded(us / f64::from(done), 1)),
    })
}

fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3, 1)
}

/// To three digits or more: as far as a figure in KiB shows.
fn bytes_as_f64(bytes: u64) -> f64 {
    let kibibytes = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
    let rest = u32::try_from(bytes % 1024).unwrap_or(0);
    f64::from(kibibytes) * 1024.0 + f64::from(rest)
}
