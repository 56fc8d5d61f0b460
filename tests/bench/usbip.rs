//! Latency of a key over loopback USB/IP, beside its floor in the same run (`cargo bench`).
//!
//! A key, its server and a host run in one runtime. The host parks one IN URB, as Linux does. The
//! floor of an operation is a bare TCP echo of the same sequential round trips with the same
//! frames (OUT packets + IN packets - 1), plus a bare signature, plus a bare key generation for
//! makeCredential. Real operations and their floor take turns, since these machines are noisy:
//! only the ratio says anything.

// A benchmark talks to stdout, and what breaks it should break loudly.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs
)]

mod floor;
#[allow(dead_code, reason = "each benchmark uses its part")]
mod host;

use std::time::{Duration, Instant};

use host::{Exchange, Host};

/// Rounds of operations and floor in turn.
const ROUNDS: usize = 20;
/// Operations in a round.
const PER_ROUND: usize = 100;
/// Operations before anything counts.
const WARM_UP: usize = 200;

/// What an operation's floor has beside its round trips.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    None,
    Signature,
    SignatureAndKey,
}

struct Row {
    name: &'static str,
    round_trips: usize,
    real: Vec<Duration>,
    floor: Vec<Duration>,
}

fn percentile(samples: &mut [Duration], percent: usize) -> f64 {
    samples.sort_unstable();
    let at = (samples.len() - 1) * percent / 100;
    samples[at].as_secs_f64() * 1e6
}

fn print(rows: Vec<Row>) {
    println!();
    println!("            round     operation us       floor us        ratio");
    println!("operation   trips    p50      p99      p50      p99    p50   p99");
    for mut row in rows {
        let [real50, real99] = [50, 99].map(|p| percentile(&mut row.real, p));
        let [floor50, floor99] = [50, 99].map(|p| percentile(&mut row.floor, p));
        println!(
            "{:14} {:2} {real50:8.1} {real99:8.1} {floor50:8.1} {floor99:8.1}  {:5.2} {:5.2}",
            row.name,
            row.round_trips,
            real50 / floor50,
            real99 / floor99,
        );
    }
}

/// Times one operation and its floor in turn.
async fn measure(
    host: &mut Host,
    echo: &mut floor::Echo,
    name: &'static str,
    work: Work,
    command: u8,
    payload: &[u8],
) -> Row {
    for _ in 0..WARM_UP {
        let done = host.transact(command, payload).await;
        echo.run(&done.exchanges).await;
    }
    let (mut real, mut floor, mut round_trips) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // A DER signature's length varies, and with it now and then the number of packets.
        let mut done: Vec<Vec<Exchange>> = Vec::new();
        for _ in 0..PER_ROUND {
            let transaction = host.transact(command, payload).await;
            real.push(transaction.elapsed);
            done.push(transaction.exchanges);
        }
        for exchanges in done {
            let start = Instant::now();
            echo.run(&exchanges).await;
            floor::work(work);
            floor.push(start.elapsed());
            round_trips.push(exchanges.len());
        }
    }
    println!("{name}: done");
    round_trips.sort_unstable();
    Row {
        name,
        round_trips: round_trips[round_trips.len() / 2],
        real,
        floor,
    }
}

/// getInfo of one key while another generates RSA keys without a pause, beside getInfo while that
/// one rests: what work of one key costs the others.
async fn measure_beside_work(host: &mut Host) -> Row {
    let mut other = Host::attach().await;
    let request = host::make_rsa_passkey();
    let (mut real, mut floor) = (Vec::new(), Vec::new());
    let round_trips = host.transact(host::CBOR, &[0x04]).await.exchanges.len();
    for _ in 0..ROUNDS {
        for _ in 0..PER_ROUND {
            floor.push(host.transact(host::CBOR, &[0x04]).await.elapsed);
        }
        let generating = request.clone();
        let generation = tokio::spawn(async move {
            let made = other.transact(host::CBOR, &generating).await;
            assert_eq!(made.payload.first(), Some(&0), "makeCredential failed");
            other
        });
        while !generation.is_finished() {
            real.push(host.transact(host::CBOR, &[0x04]).await.elapsed);
        }
        other = generation.await.unwrap();
    }
    Row {
        name: "beside RSA",
        round_trips,
        real,
        floor,
    }
}

async fn run() {
    let mut host = Host::attach().await;
    let mut echo = floor::Echo::start().await;
    let credential = host.register().await;
    let assertion = host::get_assertion(&credential);
    let operations: [(&str, Work, u8, Vec<u8>); 4] = [
        ("PING", Work::None, host::PING, vec![0; 57]),
        ("getInfo", Work::None, host::CBOR, vec![0x04]),
        (
            "makeCredential",
            Work::SignatureAndKey,
            host::CBOR,
            host::make_credential(),
        ),
        ("getAssertion", Work::Signature, host::CBOR, assertion),
    ];
    let mut rows = Vec::new();
    for (name, work, command, payload) in operations {
        let row = measure(&mut host, &mut echo, name, work, command, &payload).await;
        rows.push(row);
    }
    // Its floor is getInfo of the same key while nothing is generated.
    rows.push(measure_beside_work(&mut host).await);
    print(rows);
}

fn main() {
    // `cargo test --benches` runs this too, and wants no figures.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::spawn(run()).await.unwrap() });
}
