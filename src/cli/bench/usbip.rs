//! `roamkey bench usbip`: latency of one key over USB/IP on loopback, beside its floor.
//!
//! The key, its server, a host and an echo run in one runtime. The host parks one IN URB, as Linux
//! does. The floor of an operation is a bare TCP echo of the same sequential round trips with the
//! same frames, plus a bare signature, plus a bare key generation for makeCredential, plus a bare
//! sync for what is durable. The frame that parks the next URB is one of them: no answer to it is
//! awaited, but it is on the wire when the next operation begins, and costs 2 us there. Operations
//! and their floor take turns, since machines are noisy: the ratio says more than either.

use std::{io, net::SocketAddr, num::NonZeroU16, path::Path, time::Instant};

use roamkey_transport::usbip::{AllowList, BusId, Server};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::{
    Failure, Section,
    ctaphid::Request,
    figure,
    floor::{Crypto, Disk, Echo, Exchange, Work},
    host::Host,
    progress::Progress,
    samples::{Percentiles, Samples, ratio},
    scratch::{Scratch, is_in_memory},
    table_of,
};
use crate::{
    cli::access::now,
    key::{Key, KeyHandle, Seed},
    presence::{Broker, Policy},
    profile::Profile,
    vault::{
        KeyNumber, KeyVault, Memory, OpenVault, StoredProfile, Vault, VaultThread, unlock::Unlock,
    },
};

/// Operations in a round; then their floor has its turn.
const PER_ROUND: usize = 100;
/// RSA keys take 75 to 200 ms each.
const MOST_RSA_KEYS: usize = 20;

/// An operation over USB/IP.
#[derive(Debug, Serialize)]
struct Row {
    row: &'static str,
    operation: &'static str,
    operations: usize,
    round_trips: usize,
    #[serde(flatten)]
    real: Percentiles,
    floor: Percentiles,
    ratio_p50: f64,
    ratio_p99: f64,
}

impl Row {
    fn new(operation: &'static str, round_trips: usize, real: &Samples, floor: &Samples) -> Self {
        let (operations, real, floor) = (real.len(), real.percentiles(), floor.percentiles());
        Self {
            row: "usbip",
            operation,
            operations,
            round_trips,
            ratio_p50: ratio(real.p50_us, floor.p50_us),
            ratio_p99: ratio(real.p99_us, floor.p99_us),
            real,
            floor,
        }
    }

    fn cells(&self) -> Vec<String> {
        let (real, floor) = (self.real, self.floor);
        let mut cells = vec![self.operation.to_owned()];
        let figures = [real.p50_us, real.p90_us, real.p99_us, real.max_us];
        let figures = figures.into_iter().chain([floor.p50_us, floor.p99_us]);
        cells.extend(figures.map(figure));
        cells.extend([self.ratio_p50, self.ratio_p99].map(|ratio| format!("{ratio:5.2}")));
        cells
    }
}

/// What one record costs on this disk.
#[derive(Debug, Serialize)]
struct DiskRow {
    row: &'static str,
    /// Whether the directory is in memory, where a sync costs nothing.
    in_memory: bool,
    sync: Percentiles,
    redb_commit: Percentiles,
}

/// Measures each kind of operation so many times.
pub(super) async fn measure(
    operations: Option<u32>,
    directory: Option<&Path>,
    progress: &Progress,
) -> Result<Section, Failure> {
    // Here and not in the task: it has to go where that is never asked again.
    let scratch = Scratch::new(directory, "usbip")?;
    let path = scratch.path().to_owned();
    let progress = progress.clone();
    // A task of the runtime, as the key is one.
    let task = tokio::spawn(async move { measure_in(operations, &path, &progress).await });
    let measured = task.await.map_err(io::Error::other);
    let (rows, disk) = measured
        .and_then(|measured| measured)
        .map_err(|why| Failure::failed("usbip", why))?;
    drop(scratch);
    let columns = [
        "OPERATION",
        "   p50",
        "   p90",
        "   p99",
        "   MAX",
        " FLOOR",
        "   p99",
        "RATIO",
        "  p99",
    ];
    let mut text = table_of(&columns, rows.iter().map(Row::cells));
    text.push_str(&format!(
        "\nA record on this disk, p50: a bare sync {:.1}, a bare redb commit {:.1}.{}",
        disk.sync.p50_us,
        disk.redb_commit.p50_us,
        match disk.in_memory {
            true => "\nIt is in memory, where a sync costs nothing: --directory names a disk.",
            false => "",
        }
    ));
    let mut section = Section::new(
        "One key over USB/IP on loopback, in us (FLOOR and RATIO of p50, then of p99)",
        text,
    );
    for row in &rows {
        section.row(row)?;
    }
    section.row(&disk)?;
    Ok(section)
}

async fn measure_in(
    operations: Option<u32>,
    directory: &Path,
    progress: &Progress,
) -> io::Result<(Vec<Row>, DiskRow)> {
    let operations = |default| usize::try_from(operations.unwrap_or(default)).unwrap_or(1);
    let local = Local::start(volatile_vault()).await?;
    let measured = measure_volatile(&local, operations(2_000), progress).await;
    // Whatever came of it, nothing may go on behind it.
    local.end().await;
    let mut rows = measured?;
    let stored = Stored::create(directory)?;
    let mut disk = Disk::new(directory)?;
    let durable = operations(500);
    let measured = measure_durable(&stored, &mut disk, durable, progress).await;
    stored.close().await;
    rows.push(measured?);
    Ok((rows, disk_row(disk, durable, directory)?))
}

/// A key in memory.
async fn measure_volatile(
    local: &Local,
    operations: usize,
    progress: &Progress,
) -> io::Result<Vec<Row>> {
    let mut bench = Bench::start(local, progress).await?;
    let credential = bench.host.register().await?;
    let make = Request::make_credential()?;
    let get = Request::get_assertion(&credential)?;
    let list = [
        ("PING", Work::None, Request::ping()),
        ("getInfo", Work::None, Request::info()),
        ("makeCredential", Work::SignatureAndKey, make),
        ("getAssertion", Work::Signature, get),
    ];
    let mut rows = Vec::new();
    for (name, work, request) in list {
        rows.push(
            bench
                .measure(name, work, &request, operations, None)
                .await?,
        );
    }
    let other = Local::start(volatile_vault()).await?;
    let measured = bench.measure_beside_rsa(&other, operations).await;
    other.end().await;
    rows.push(measured?);
    Ok(rows)
}

/// A key in a vault.
async fn measure_durable(
    stored: &Stored,
    disk: &mut Disk,
    operations: usize,
    progress: &Progress,
) -> io::Result<Row> {
    let local = Local::start(Box::new(stored.vault.key(KeyNumber(1)))).await?;
    let passkey = Request::make_passkey(0)?;
    let measured = async {
        let mut bench = Bench::start(&local, progress).await?;
        let work = Work::SignatureAndKey;
        let measured = bench.measure("durable passkey", work, &passkey, operations, Some(disk));
        measured.await
    };
    let measured = measured.await;
    local.end().await;
    measured
}

fn disk_row(mut disk: Disk, operations: usize, directory: &Path) -> io::Result<DiskRow> {
    let (mut syncs, mut commits) = (Samples::default(), Samples::default());
    for _ in 0..operations {
        syncs.push(disk.sync()?);
        commits.push(disk.commit()?);
    }
    Ok(DiskRow {
        row: "disk",
        in_memory: is_in_memory(directory),
        sync: syncs.percentiles(),
        redb_commit: commits.percentiles(),
    })
}

/// A host with what its operations are compared with.
struct Bench<'a> {
    host: Host,
    echo: Echo,
    crypto: Crypto,
    progress: &'a Progress,
}

impl<'a> Bench<'a> {
    async fn start(local: &Local, progress: &'a Progress) -> io::Result<Self> {
        Ok(Self {
            host: local.attach().await?,
            echo: Echo::start().await?,
            crypto: Crypto::new()?,
            progress,
        })
    }

    /// Times one operation and its floor in turn; with a disk, the floor has a sync as well.
    async fn measure(
        &mut self,
        name: &'static str,
        work: Work,
        request: &Request,
        operations: usize,
        mut disk: Option<&mut Disk>,
    ) -> io::Result<Row> {
        self.progress
            .begin(format!("usbip: {name}"), as_u64(operations));
        for _ in 0..operations.min(PER_ROUND) {
            let done = self.host.transact(request).await?;
            self.echo.run(&done.exchanges).await?;
            self.echo.park().await?;
        }
        let (mut real, mut floor) = (Samples::default(), Samples::default());
        let mut round_trips = Vec::new();
        while real.len() < operations {
            // A DER signature's length varies, and with it now and then the number of packets.
            let mut done: Vec<Vec<Exchange>> = Vec::new();
            for _ in 0..PER_ROUND.min(operations - real.len()) {
                let transaction = self.host.transact(request).await?;
                real.push(transaction.elapsed);
                done.push(transaction.exchanges);
            }
            for exchanges in done {
                let start = Instant::now();
                self.echo.run(&exchanges).await?;
                self.crypto.run(work);
                let mut elapsed = start.elapsed();
                if let Some(disk) = &mut disk {
                    elapsed += disk.sync()?;
                }
                floor.push(elapsed);
                self.echo.park().await?;
                round_trips.push(exchanges.len());
                self.progress.advance(1)?;
            }
        }
        Ok(Row::new(name, median(round_trips), &real, &floor))
    }

    /// getInfo of this key while another generates RSA keys without a pause; its floor is getInfo
    /// while that one rests: what work of one key costs the others.
    async fn measure_beside_rsa(&mut self, rsa: &Local, operations: usize) -> io::Result<Row> {
        let name = "getInfo beside RSA";
        let rounds = (operations / PER_ROUND).clamp(1, MOST_RSA_KEYS);
        self.progress
            .begin(format!("usbip: {name}"), as_u64(rounds));
        let mut other = rsa.attach().await?;
        let (rsa, info) = (Request::make_rsa_passkey()?, Request::info());
        let (mut real, mut floor) = (Samples::default(), Samples::default());
        let mut round_trips = Vec::new();
        for _ in 0..rounds {
            for _ in 0..PER_ROUND.min(operations) {
                let done = self.host.transact(&info).await?;
                floor.push(done.elapsed);
                round_trips.push(done.exchanges.len());
            }
            let rsa = rsa.clone();
            let generation = tokio::spawn(async move {
                other.transact(&rsa).await?;
                Ok::<_, io::Error>(other)
            });
            // One at least, however fast the key was found.
            loop {
                real.push(self.host.transact(&info).await?.elapsed);
                if generation.is_finished() {
                    break;
                }
            }
            other = generation.await.map_err(io::Error::other)??;
            self.progress.advance(1)?;
        }
        Ok(Row::new(name, median(round_trips), &real, &floor))
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn median(mut counts: Vec<usize>) -> usize {
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or(0)
}

fn volatile_vault() -> Box<dyn KeyVault> {
    let mut seed = Seed::from_bytes([1; 32]);
    let profile = Profile::default();
    Box::new(Memory::create(&mut seed, now(), &profile.ctap))
}

/// A key on a server of this runtime.
struct Local {
    address: SocketAddr,
    key: KeyHandle,
    server: JoinHandle<()>,
}

impl Local {
    async fn start(vault: Box<dyn KeyVault>) -> io::Result<Self> {
        let profile = &Profile::default();
        let first = BusId::nth(NonZeroU16::MIN);
        let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), AllowList::loopback());
        let server = server.map_err(io::Error::other)?;
        let address = server.local_addr()?;
        let identity = profile.usb_identity("BENCH").map_err(io::Error::other)?;
        let hosts = server.exports().add(first, identity);
        let hosts = hosts.map_err(io::Error::other)?;
        let broker = Broker::new(Policy::auto());
        let seed = Seed::random().map_err(io::Error::other)?;
        let key = Key::open(profile, seed, vault, broker.seat(first.as_str())).await;
        let mut key = key.map_err(io::Error::other)?;
        // As `roamkey run` has it: what happens on the wire is noted.
        let handle = key.handle();
        tokio::spawn(key.run(hosts));
        let server = tokio::spawn(async move {
            // It ends by an error or not at all, and a host that waits for it finds out.
            let _ = server.run().await;
        });
        Ok(Self {
            address,
            key: handle,
            server,
        })
    }

    async fn attach(&self) -> io::Result<Host> {
        Host::attach(self.address, NonZeroU16::MIN).await
    }

    async fn end(self) {
        self.key.stop().await;
        self.key.gone().await;
        self.server.abort();
    }
}

/// A vault with one key, in a directory.
struct Stored {
    vault: Vault,
    thread: VaultThread,
}

impl Stored {
    fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join("vault.redb");
        let with = Unlock::KeyFile(directory.join("vault.key"));
        let open = OpenVault::create_in(&path, &directory.join("seen"), &with, now());
        let mut open = open.map_err(io::Error::other)?;
        let profile = StoredProfile {
            name: "default".to_owned(),
            text: None,
        };
        let like = Profile::default().ctap;
        let added = open.store_mut().add_key("bench", profile, now(), &like);
        added.map_err(io::Error::other)?;
        let (vault, thread) = open.serve().map_err(io::Error::other)?;
        Ok(Self { vault, thread })
    }

    async fn close(self) {
        drop(self.vault);
        // It waits for what is on its way to the disk.
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
    }
}
