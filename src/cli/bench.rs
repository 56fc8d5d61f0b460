//! `roamkey bench`: what keys cost on this machine, beside what nothing can be faster than.
//!
//! With `--format json` one object a line. The first is of the machine: `row` is `machine`, and
//! `date`, `cores`, `cpu`, `kernel`, `version`, `build` (`release` or `debug`) and `workers`. The
//! others, by `row`:
//!
//! - `usbip`, one for each `operation`: how many `operations` there were, `round_trips` of each,
//!   `p50_us`, `p90_us`, `p99_us`, `max_us`, the same of its `floor`, `ratio_p50`, `ratio_p99`.
//! - `disk`: percentiles of a bare `sync` of a record and a bare `redb_commit` of one, and whether
//!   the disk is `in_memory`.
//! - `in-process`, one for each `operation` and `level` (`state machine`, `key`): `operations`,
//!   percentiles, those of its `floor`, `over_floor_p50_us`.
//! - `in-process-scaling`: `threads`, `operations` of each, `assertions_per_s` and
//!   `bare_signatures_per_s` of all, and either's `_scaling`: how many times that of one thread.
//! - `keys`: `keys`, `ready_ms`, `attached_ms`, `memory_bytes`, `memory_of_one_bytes`,
//!   `memory_per_key_bytes`, `idle_s`, `idle_cpu_percent`, `working_keys`, `operations` of them
//!   all, percentiles, `ratio_p99_p50`, `operations_per_s`, `cpu_per_operation_us`. What only Linux
//!   tells is `null` elsewhere.
//! - `start`: `passkeys`, `starts`, percentiles, those of its `floor`, `over_floor_p50_us`.
//!
//! Deliberately absent: aims. What is fast enough, the reader decides.

mod ctaphid;
mod floor;
mod host;
mod in_process;
mod keys;
mod machine;
mod progress;
mod samples;
mod scratch;
mod server;
mod start;
mod usbip;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    pin::pin,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    Failure, Format,
    run::end_signal,
    table::{Fit, Table, wrapped},
};
use machine::Machine;
use progress::Progress;

/// How long what is under way may take to end where nobody waits for it any more.
const END_LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// What to measure [default: everything].
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// How many keys one server exports, in `keys`; 100 of them work at once.
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    keys: u16,
    /// How often each operation is done; in `keys` by each key that works, in `start` how many
    /// starts [default: 2000, what is durable 500, in `keys` 50, in `start` 20].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    operations: Option<u32>,
    /// How many passkeys the vault has, in `start`.
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(0..=100_000))]
    passkeys: u32,
    /// How long keys are left alone, in `keys`.
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    idle: u64,
    /// Threads of the runtime in which hosts run, in `usbip` the key and the floor as well
    /// [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    workers: Option<u16>,
    /// Where vaults are made for the measurement and removed again: on the disk that is meant
    /// [default: where the system keeps temporary files].
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// How stdout speaks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Latency of one key over USB/IP on loopback, beside bare round trips, a bare signature and a
    /// bare sync.
    Usbip,
    /// The same without sockets, and on all cores.
    InProcess,
    /// Memory, idle processor time and fairness of many keys in one process.
    Keys,
    /// How long a server with a vault takes until it is ready.
    Start,
}

/// What came of a scenario.
struct Section {
    title: String,
    text: String,
    rows: Vec<Value>,
}

impl Section {
    fn new(title: impl Into<String>, text: String) -> Self {
        Self {
            title: title.into(),
            text,
            rows: Vec::new(),
        }
    }

    /// The same for programs.
    fn row(&mut self, row: &impl Serialize) -> Result<(), Failure> {
        let row = serde_json::to_value(row);
        let row = row.map_err(|why| Failure::failed("a row of figures", why))?;
        self.rows.push(row);
        Ok(())
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let workers = args.workers.map_or_else(machine::cores, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|why| Failure::failed("the runtime does not start", why))?;
    // On this thread: servers die with the one that starts them (PR_SET_PDEATHSIG).
    let result = runtime.block_on(measure(args, workers));
    // What still runs is given up.
    runtime.shutdown_background();
    result
}

async fn measure(args: &Args, workers: usize) -> Result<(), Failure> {
    let ended = end_signal()?;
    let progress = Progress::new();
    let mut measuring = pin!(measure_all(args, workers, &progress));
    let result = tokio::select! {
        result = &mut measuring => result,
        () = ended => {
            progress.stop();
            // What is under way puts its things away.
            let _ = timeout(END_LIMIT, measuring).await;
            Err(Failure::Failed("interrupted before it was done".to_owned()))
        }
    };
    progress.clear();
    result
}

async fn measure_all(args: &Args, workers: usize, progress: &Progress) -> Result<(), Failure> {
    let machine = Machine::this(workers);
    if machine.build == "debug" {
        tracing::warn!(
            "this is a debug build, many times slower than what people run: its figures say \
             nothing (cargo build --release)"
        );
    }
    match args.format {
        Format::Text => print(&wrapped(&machine.line()))?,
        Format::Json => {
            let row = serde_json::to_string(&machine);
            print(&row.map_err(|why| Failure::failed("a row of figures", why))?)?;
        }
    }
    for scenario in Scenario::value_variants() {
        if args.scenarios.is_empty() || args.scenarios.contains(scenario) {
            let section = measure_one(*scenario, args, progress).await?;
            progress.clear();
            match args.format {
                Format::Text => print(&format!("\n{}\n\n{}", section.title, section.text))?,
                Format::Json => section.rows.iter().try_for_each(print)?,
            }
        }
    }
    Ok(())
}

async fn measure_one(
    scenario: Scenario,
    args: &Args,
    progress: &Progress,
) -> Result<Section, Failure> {
    let directory = args.directory.as_deref();
    match scenario {
        Scenario::Usbip => usbip::measure(args.operations, directory, progress).await,
        Scenario::InProcess => {
            in_process::measure(args.operations.unwrap_or(2_000), progress).await
        }
        Scenario::Keys => {
            let wanted = keys::Wanted {
                keys: args.keys,
                operations: args.operations.unwrap_or(50),
                idle: Duration::from_secs(args.idle),
            };
            keys::measure(wanted, directory, progress).await
        }
        Scenario::Start => {
            let starts = args.operations.unwrap_or(20);
            start::measure(starts, args.passkeys, directory, progress).await
        }
    }
}

fn print(text: &(impl std::fmt::Display + ?Sized)) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|why| Failure::failed("stdout cannot be written", why))
}

/// A table whose figures stand right.
fn table_of(columns: &[&'static str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let columns: Vec<_> = columns.iter().map(|title| (*title, Fit::Whole)).collect();
    let mut table = Table::new(&columns);
    for row in rows {
        table.row(row);
    }
    table.to_string()
}

/// A figure as wide as others in its column.
fn figure(value: f64) -> String {
    match value.abs() >= 1_000.0 {
        true => format!("{value:6.0}"),
        false => format!("{value:6.1}"),
    }
}
