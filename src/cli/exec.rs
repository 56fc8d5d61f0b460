//! `roamkey exec`: a command that has keys of its own on this machine, while it runs.
//!
//! Makes keys that live in memory, waits until the system has them, runs the command with the
//! control plane's place in its environment, takes the keys away, and ends as the command did.
//! Where the machine gives no such devices the next best place is taken, and the last line says
//! so. Deliberately absent: stored keys, which are `run`'s.

pub(super) mod alone;
mod args;
mod command;
mod fronts;
pub(super) mod guard;
pub(super) mod inside;
mod nodes;
mod place;
#[cfg(target_os = "linux")]
mod private;
mod recorder;
mod remains;
mod report;
#[cfg(target_os = "linux")]
mod user;

use std::{
    ffi::OsStr,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
};

pub(super) use args::Args;
use command::{Ended, Signals};
use fronts::Fronts;
use place::{Place, ReadyKey, Settled, settle};
use recorder::Recorder;
use remains::Remains;
pub(super) use remains::clear as clear_remains;
use report::{End, ReportFile, Run, now_ms};
use serde_json::json;
use zeroize::Zeroizing;

use super::Failure;
use crate::{
    control::{self, Control},
    rig::Contact,
};

/// What roamkey itself cannot do, as env(1) and timeout(1) say it.
pub(super) const FAILED: u8 = 125;
/// The command cannot be run.
const CANNOT_RUN: u8 = 126;
/// There is no such command.
const NOT_FOUND: u8 = 127;

pub(super) fn run(args: &Args) -> ExitCode {
    let status = begin(args).unwrap_or_else(|why| {
        let (Failure::Usage(text) | Failure::Failed(text)) = why;
        say(&text);
        FAILED
    });
    ExitCode::from(status)
}

/// A line on stderr.
fn say(text: &str) {
    // Nothing is left to do where stderr is gone.
    let _ = writeln!(io::stderr(), "roamkey exec: {text}");
}

fn begin(args: &Args) -> Result<u8, Failure> {
    command::check(args)?;
    let report = ReportFile::wanted(args.report.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| Failure::failed("the runtime does not start", why))?;
    // On this thread: the command dies with the one that starts it (PR_SET_PDEATHSIG).
    let result = runtime.block_on(serve(args, report));
    runtime.shutdown_background();
    result
}

async fn serve(args: &Args, report: Option<ReportFile>) -> Result<u8, Failure> {
    // Before anything is there: a signal from here on takes it away again.
    let mut signals = Signals::listen()?;
    let session = tokio::select! {
        session = Session::begin(args, report) => session?,
        signal = signals.next() => return Ok(Ended::by(signal).status),
    };
    let result = session.run_command(&mut signals).await;
    session.finish(result).await
}

/// Keys that are ready, and what watches them.
struct Session<'a> {
    args: &'a Args,
    settled: Settled,
    recorder: Recorder,
    control: Control,
    fronts: Fronts,
    remains: Remains,
    report: Option<ReportFile>,
    started: u64,
}

/// Keys with how far hosts have come with each, and what fronts told.
struct Seen {
    keys: Vec<ReadyKey>,
    contacts: Vec<Contact>,
    notes: Vec<String>,
}

impl<'a> Session<'a> {
    async fn begin(args: &'a Args, report: Option<ReportFile>) -> Result<Self, Failure> {
        clear_remains(&control::directories());
        let settled = settle(args).await?;
        let recorder = Recorder::start(&settled.rig.journal());
        let options = control::Options {
            tcp: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            browser: (settled.place == Place::Browser).then(|| settled.browser.clone()),
            ..control::Options::default()
        };
        let control = Control::start(settled.rig.clone(), options).await;
        let control = control.map_err(|why| Failure::Failed(why.to_string()))?;
        let serials = settled.keys.iter().map(|key| key.serial.as_str());
        let places = control.places();
        let directory = places.socket.as_deref().and_then(|path| path.parent());
        let remains = Remains::note(directory, serials);
        let fronts = Fronts::start(args, &settled).await?;
        let session = Self {
            args,
            settled,
            recorder,
            control,
            fronts,
            remains,
            report,
            started: now_ms(),
        };
        // What cannot be written is known before the command is run.
        session.write_report(&session.seen().await, None)?;
        Ok(session)
    }

    async fn run_command(&self, signals: &mut Signals) -> Result<Ended, Failure> {
        let mut running = command::start(self.args, &self.settled.keys, &self.env()?)?;
        if let Some(process) = running.process() {
            self.fronts.runs_as(process);
        }
        loop {
            let signal = tokio::select! {
                ended = running.wait() => return ended,
                signal = signals.next() => signal,
            };
            running.pass_on(signal);
            // Whoever ends this may not wait for the command.
            if let Err(Failure::Usage(why) | Failure::Failed(why)) =
                self.write_report(&self.seen().await, None)
            {
                say(&why);
            }
        }
    }

    /// What the command is told.
    fn env(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let failed = |why| Failure::failed("the control plane", why);
        let places = self.control.places();
        let tcp = places
            .tcp
            .ok_or_else(|| failed("it has no address".to_owned()))?;
        let file = places.token_file;
        let file = file.ok_or_else(|| failed("it has no token".to_owned()))?;
        let token = std::fs::read_to_string(file).map(Zeroizing::new);
        let token = token.map_err(|why| failed(why.to_string()))?;
        let base = format!("http://{tcp}");
        // The socket is this user's, and root's.
        let socket = places.socket.filter(|_| self.args.user.is_none());
        let socket = socket.and_then(|path| path.into_os_string().into_string().ok());
        let mut env = vec![
            ("ROAMKEY_BACKEND", self.settled.place.name().to_owned()),
            ("ROAMKEY_URL", format!("{base}/v1")),
            ("ROAMKEY_CONTROL", socket.unwrap_or(base)),
            ("ROAMKEY_TOKEN", token.to_string()),
            ("ROAMKEY_KEYS", json!(self.settled.keys).to_string()),
        ];
        env.extend(self.fronts.env());
        Ok(env)
    }

    /// What there is to report of beside the journal.
    async fn seen(&self) -> Seen {
        let own = self.settled.keys.iter().cloned();
        let keys: Vec<_> = own.chain(self.fronts.made()).collect();
        let mut contacts = Vec::new();
        for key in &keys {
            // One that was removed was seen by the recorder.
            let view = self.settled.rig.contact(&key.bus_id, 0).await;
            let now = view.map_or(Contact::Unplugged, |view| view.contact);
            let seen = self.recorder.recorded().contact(&key.bus_id);
            contacts.push(seen.map_or(now, |seen| seen.max(now)));
        }
        Seen {
            keys,
            contacts,
            notes: self.fronts.notes(),
        }
    }

    fn report_of<'r>(
        &'r self,
        seen: &'r Seen,
        recorded: &'r recorder::Recorded,
        end: Option<End>,
    ) -> Run<'r> {
        Run {
            place: self.settled.place,
            missed: &self.settled.missed,
            keys: &seen.keys,
            contacts: &seen.contacts,
            recorded,
            fronts: !self.fronts.is_empty(),
            notes: &seen.notes,
            program: self
                .args
                .command
                .first()
                .map_or(OsStr::new(""), |name| name),
            started: self.started,
            end,
        }
    }

    fn write_report(&self, seen: &Seen, end: Option<End>) -> Result<(), Failure> {
        let Some(file) = &self.report else {
            return Ok(());
        };
        let document = self
            .report_of(seen, &self.recorder.recorded(), end)
            .document();
        file.write(&document)
    }

    /// Says what was done, and takes everything away.
    async fn finish(self, result: Result<Ended, Failure>) -> Result<u8, Failure> {
        let (ended, failure) = match result {
            Ok(ended) => (ended, None),
            Err(why) => (Ended::failed(), Some(why)),
        };
        // What keys have answered last is noted before it is counted.
        let seen = self.seen().await;
        self.recorder.caught_up(&self.settled.rig.journal()).await;
        let end = End {
            status: ended.status,
            signal: ended.signal,
            at: now_ms(),
        };
        let written = self.write_report(&seen, Some(end));
        let line = self
            .report_of(&seen, &self.recorder.recorded(), Some(end))
            .line();
        self.fronts.stop().await;
        self.control.stop().await;
        self.settled.end().await;
        self.remains.forget();
        if let Some(why) = failure {
            return Err(why);
        }
        let _ = writeln!(io::stderr(), "{line}"); // as in `say`
        written.map(|()| ended.status)
    }
}
