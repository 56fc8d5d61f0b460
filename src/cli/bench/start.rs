//! `roamkey bench start`: from the start of `roamkey run` to the line that says it is ready, with
//! passkeys in its vault and a key file; beside the start of the same program for `--version`.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::process::Command;

use super::{
    Failure, Section,
    ctaphid::Request,
    figure,
    in_process::Machine,
    progress::Progress,
    samples::{Percentiles, Samples, rounded},
    scratch::Scratch,
    server::{Server, Way, this_program},
    table_of,
};
use crate::{
    cli::access::now,
    key::Seed,
    profile::Profile,
    vault::{OpenVault, StoredProfile, unlock::Unlock},
};

#[derive(Debug, Serialize)]
struct Row {
    row: &'static str,
    passkeys: u32,
    starts: usize,
    #[serde(flatten)]
    real: Percentiles,
    floor: Percentiles,
    over_floor_p50_us: f64,
}

/// Starts a server so many times.
pub(super) async fn measure(
    starts: u32,
    passkeys: u32,
    directory: Option<&Path>,
    progress: &Progress,
) -> Result<Section, Failure> {
    let scratch = Scratch::new(directory, "start")?;
    progress.begin(format!("start: {passkeys} passkeys"), u64::from(passkeys));
    let vault = scratch.path().join("vault.redb");
    let (path, told) = (vault.clone(), progress.clone());
    let filled = tokio::task::spawn_blocking(move || fill(&path, passkeys, &told)).await;
    let filled = filled.map_err(io::Error::other).and_then(|filled| filled);
    let key_file = filled.map_err(|why| Failure::failed("start", why))?;
    let args: [OsString; 6] = [
        "--vault".into(),
        vault.into(),
        "--key-file".into(),
        key_file.into(),
        "--touch".into(),
        "deny".into(),
    ];
    let failed = |why: io::Error| Failure::failed("start", why);
    progress.begin("start: roamkey run", u64::from(starts));
    let (mut real, mut floor) = (Samples::default(), Samples::default());
    // What is read first is not on the disk any more.
    let first = Server::start(Way::Bare, &args, &scratch).await?;
    first.end().await;
    for _ in 0..starts {
        let server = Server::start(Way::Bare, &args, &scratch).await?;
        real.push(server.took);
        server.end().await;
        floor.push(bare().await.map_err(failed)?);
        progress.advance(1).map_err(failed)?;
    }
    drop(scratch);
    let (starts, real, floor) = (real.len(), real.percentiles(), floor.percentiles());
    let row = Row {
        row: "start",
        passkeys,
        starts,
        over_floor_p50_us: rounded(real.p50_us - floor.p50_us, 3),
        real,
        floor,
    };
    let cells = |name: &str, of: Percentiles| {
        let mut cells = vec![name.to_owned()];
        let ms = [of.p50_us, of.p90_us, of.p99_us, of.max_us].map(|us| us / 1e3);
        cells.extend(ms.map(figure));
        cells
    };
    let rows = [
        cells("roamkey run, ready", real),
        cells("roamkey --version", floor),
    ];
    let text = table_of(&["START", "   p50", "   p90", "   p99", "   MAX"], rows);
    let title = format!("Start with {passkeys} passkeys and a key file, in milliseconds");
    let mut section = Section::new(title, text);
    section.row(&row)?;
    Ok(section)
}

/// What the start of this program costs before it does anything.
async fn bare() -> io::Result<Duration> {
    let mut command = Command::new(this_program()?);
    command.arg("--version").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let ended = command.kill_on_drop(true).status().await?;
    match ended.success() {
        true => Ok(start.elapsed()),
        false => Err(io::Error::other(format!("--version ended with {ended}"))),
    }
}

/// Makes a vault with a key that has made so many passkeys, in one transaction; its key file.
fn fill(path: &Path, passkeys: u32, progress: &Progress) -> io::Result<PathBuf> {
    let key_file = path.with_extension("key");
    let seen = path.with_extension("seen");
    let with = Unlock::KeyFile(key_file.clone());
    let open = OpenVault::create_in(path, &seen, &with, now());
    let mut open = open.map_err(io::Error::other)?;
    let mut profile = Profile::default();
    let name = StoredProfile {
        name: "default".to_owned(),
        text: None,
    };
    let added = open
        .store_mut()
        .add_key("bench", name, now(), &profile.ctap);
    let number = added.map_err(io::Error::other)?;
    let state = open.store().key_state(number).map_err(io::Error::other)?;
    // More than the profile has room for do no harm to a key that only starts.
    let ctap = &mut profile.ctap;
    ctap.max_discoverable_credentials = ctap.max_discoverable_credentials.max(passkeys);
    let seed = Seed::random().map_err(io::Error::other)?;
    let mut machine = Machine::with(profile.ctap, state, seed)?;
    for account in 0..passkeys {
        machine.transact(&Request::make_passkey(account)?)?;
        progress.advance(1)?;
    }
    let sets = std::mem::take(&mut machine.stored);
    let all = sets.into_iter().flatten().collect();
    let changed = open.store_mut().change_key(number, all);
    changed.map_err(io::Error::other)?;
    open.close();
    Ok(key_file)
}
