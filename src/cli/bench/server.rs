//! A `roamkey run` of its own process, which is gone with its [`Server`].
//!
//! On Linux the kernel ends it even where this process is killed (exec/inside.rs). Elsewhere it
//! would stay then.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{Failure, scratch::Scratch};

/// Far more than a server takes for 10,000 keys.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// How long it may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How much of what it said on stderr is kept.
const SAID: usize = 4096;

/// Which process is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The server itself, as a person starts it.
    Bare,
    /// By way of one that sees to it that the server dies with this process.
    Guarded,
}

/// A server that is ready.
pub(super) struct Server {
    child: Running,
    pub(super) address: SocketAddr,
    /// From the start to the line that says it is ready.
    pub(super) took: Duration,
}

/// Ends it when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts one and waits until it is ready. What it keeps for itself is in `scratch`, so that no
    /// other command takes it for the person's own.
    pub(super) async fn start<A: AsRef<OsStr>>(
        way: Way,
        args: impl IntoIterator<Item = A>,
        scratch: &Scratch,
    ) -> Result<Self, Failure> {
        let failed = |why: std::io::Error| Failure::failed("a server for the measurement", why);
        let mut command = command(way).map_err(failed)?;
        command.arg("run").args(args);
        command.args(["--listen", "127.0.0.1:0", "--format", "json"]);
        for (name, directory) in [
            ("XDG_RUNTIME_DIR", "runtime"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_DATA_HOME", "data"),
        ] {
            command.env(name, scratch.path().join(directory));
        }
        command.env_remove("RUST_LOG");
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = Running(command.spawn().map_err(failed)?);
        let said = said_by(child.0.stderr.take());
        let ready = lines_of(child.0.stdout.take(), start);
        let Ok(Ok((line, took))) = timeout(READY_LIMIT, ready).await else {
            drop(child); // which ends what it says
            let said = said.lock().unwrap_or_else(PoisonError::into_inner);
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            let text = format!("a server for the measurement did not start: {said}");
            return Err(Failure::Failed(text));
        };
        let ready: Option<Value> = serde_json::from_str(&line).ok();
        let address = ready.as_ref().and_then(|ready| ready.get("listen"));
        let address = address.and_then(Value::as_str);
        let address = address.and_then(|address| address.parse().ok());
        let none = || Failure::Failed(format!("a server for the measurement said: {line}"));
        Ok(Self {
            address: address.ok_or_else(none)?,
            child,
            took,
        })
    }

    /// Its process.
    pub(super) fn process(&self) -> u32 {
        self.child.0.id()
    }

    /// Ends it as a person does, who presses Ctrl-C: one that is killed leaves a vault that has to
    /// be looked through at the next start.
    pub(super) async fn end(mut self) {
        self.child.interrupt();
        let end = Instant::now() + END_LIMIT;
        while matches!(self.child.0.try_wait(), Ok(None)) && Instant::now() < end {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Running {
    #[cfg(unix)]
    fn interrupt(&self) {
        use rustix::process::{Pid, Signal, kill_process};

        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process(id, Signal::INT); // it may have ended
        }
    }

    /// There is no other way.
    #[cfg(not(unix))]
    fn interrupt(&mut self) {
        let _ = self.0.kill();
    }
}

/// This program again, whatever became of its file since.
fn command(way: Way) -> std::io::Result<Command> {
    let program = this_program()?;
    let mut command = Command::new(&program);
    if way == Way::Guarded && cfg!(target_os = "linux") {
        let parent = std::process::id().to_string();
        command.args(["exec-inside", "--parent", &parent, "--"]);
        command.arg(program);
    }
    Ok(command)
}

/// Where this program is.
pub(super) fn this_program() -> std::io::Result<std::path::PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok("/proc/self/exe".into()),
        false => std::env::current_exe(),
    }
}

/// The first line, and when it came; those that follow are thrown away, or the server would find
/// nobody reading.
fn lines_of(
    stdout: Option<impl Read + Send + 'static>,
    start: Instant,
) -> oneshot::Receiver<(String, Duration)> {
    let (sender, first) = oneshot::channel();
    thread::spawn(move || {
        let Some(stdout) = stdout else { return };
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        if matches!(stdout.read_line(&mut line), Ok(length) if length > 0) {
            let _ = sender.send((line, start.elapsed())); // nobody may wait any more
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        }
    });
    first
}

/// The beginning of what it says on stderr, as it comes.
fn said_by(stderr: Option<impl Read + Send + 'static>) -> Arc<Mutex<Vec<u8>>> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&said);
    thread::spawn(move || {
        let Some(mut stderr) = stderr else { return };
        let mut part = [0; 512];
        while let Ok(length @ 1..) = stderr.read(&mut part) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < SAID {
                kept.extend(part.get(..length).unwrap_or_default());
            }
        }
    });
    said
}
