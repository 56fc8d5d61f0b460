//! A running `roamkey`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use crate::support::{carrier::request_import, ctaphid::Platform, host::Linux};

/// Far more than anything takes: only a failure waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a run that ended by itself came out.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// The binary with these arguments.
pub(super) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roamkey"));
    command.args(args).env_remove("RUST_LOG");
    command
}

/// Runs to the end, without a terminal and with nothing on stdin.
pub(super) fn run(args: &[&str]) -> Ended {
    end(&mut command(args))
}

/// The same with a command of the caller's.
pub(super) fn end(command: &mut Command) -> Ended {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A `roamkey run` whose lines are read as they come.
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Set when stdout is to be closed after the line that was read last.
    stop: Arc<AtomicBool>,
    stderr: Option<JoinHandle<String>>,
}

impl Process {
    pub(super) fn start(args: &[&str]) -> Self {
        Self::spawn(command(args))
    }

    /// The same with a command of the caller's.
    pub(super) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                println!("roamkey: {line}");
                let sent = sender.send(line);
                if sent.is_err() || stopped.load(Ordering::Relaxed) {
                    return; // which closes the pipe
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text); // what was read shows what was wrong
            text
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            stop,
            stderr: Some(stderr),
        }
    }

    #[cfg(unix)]
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of stdout.
    pub(super) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line")
    }

    /// The next line that has this in it; those before it are dropped.
    pub(super) fn line_with(&self, part: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The next event of `--format json`.
    pub(super) fn event(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).expect("one JSON object a line")
    }

    /// The next event with this name.
    pub(super) fn event_named(&self, name: &str) -> Value {
        loop {
            let event = self.event();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Whether no line comes within the time.
    pub(super) fn is_silent_for(&self, time: Duration) -> bool {
        self.lines.recv_timeout(time).is_err()
    }

    /// A person types a line.
    pub(super) fn answer(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{text}").expect("it is read");
        stdin.flush().expect("it is read");
    }

    /// Stdout is closed at the next line.
    pub(super) fn stop_reading(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Nobody types any more.
    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Ends it as a service manager does, and waits.
    #[cfg(unix)]
    pub(super) fn signal(mut self, signal: &str) -> Ended {
        use std::time::Instant;

        let id = self.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill").success());
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        let stderr = self.stderr.take().expect("a thread").join();
        Ended {
            status,
            stdout: self.lines.iter().collect::<Vec<_>>().join("\n"),
            stderr: stderr.expect("a thread"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        let stderr = self.stderr.take().map(JoinHandle::join);
        if let Some(Ok(text)) = stderr {
            println!("roamkey's stderr: {text}");
        }
    }
}

/// A Linux machine that attached the first key of this server and opened it.
pub(super) fn attach(address: SocketAddr) -> Platform {
    let link = request_import(address, "1-1").expect("a key that is free");
    Platform::open(Box::new(Linux::attach(link)))
}

/// The address in a ready event.
pub(super) fn listen_of(ready: &Value) -> SocketAddr {
    let listen = ready["listen"].as_str().expect("a listen address");
    listen.parse().expect("an address")
}
