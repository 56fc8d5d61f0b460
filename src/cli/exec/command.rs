//! The command itself: how it is started, told of signals, and ended.

#[cfg(unix)]
use std::os::unix::process::ExitStatusExt as _;
use std::{io::ErrorKind, process::ExitStatus};

use tokio::process::{Child, Command};

use super::{super::Failure, CANNOT_RUN, FAILED, NOT_FOUND, args::Args, place::ReadyKey};

#[cfg(unix)]
pub(super) use unix::Signals;
#[cfg(not(unix))]
pub(super) use windows::Signals;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// What `exec` ends with.
    pub(super) status: u8,
    pub(super) signal: Option<i32>,
}

impl Ended {
    /// By this signal, as shells number it.
    pub(super) fn by(signal: i32) -> Self {
        Self {
            status: u8::try_from(128_i32.saturating_add(signal)).unwrap_or(FAILED),
            signal: Some(signal),
        }
    }

    /// It could not even be begun.
    pub(super) fn failed() -> Self {
        Self {
            status: FAILED,
            signal: None,
        }
    }

    fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = status.signal() {
            return Self::by(signal);
        }
        // Windows' statuses are longer than what a shell can be told.
        let code = status
            .code()
            .map_or(FAILED, |code| u8::try_from(code).unwrap_or(1));
        Self {
            status: code,
            signal: None,
        }
    }
}

/// A command that runs, or one that could not be.
pub(super) enum Running {
    Child(Box<Process>),
    Not(Ended),
}

/// A command's process.
pub(super) struct Process {
    child: Child,
    #[cfg(unix)]
    shares_terminal: bool,
    /// Ends what the command started where this is killed.
    #[cfg(unix)]
    guard: Option<Child>,
    /// Used while a /dev is put together.
    staging: Option<std::path::PathBuf>,
}

impl Running {
    /// Waits until it ends.
    pub(super) async fn wait(&mut self) -> Result<Ended, Failure> {
        match self {
            Self::Child(process) => {
                let status = process.child.wait().await;
                let status = status.map_err(|why| Failure::failed("the command is lost", why))?;
                process.dismiss().await;
                Ok(Ended::of(status))
            }
            Self::Not(ended) => Ok(*ended),
        }
    }

    /// Its process.
    pub(super) fn process(&self) -> Option<u32> {
        match self {
            Self::Child(process) => process.child.id(),
            Self::Not(_) => None,
        }
    }

    /// Tells it of a signal that came here.
    pub(super) fn pass_on(&self, signal: i32) {
        match self {
            Self::Child(process) => process.pass_on(signal),
            Self::Not(_) => {}
        }
    }
}

impl Process {
    #[cfg(unix)]
    async fn dismiss(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.kill().await; // before its stdin ends
        }
        if let Some(staging) = self.staging.take() {
            let _ = std::fs::remove_dir(staging); // it is gone where all went well
        }
    }

    #[cfg(not(unix))]
    async fn dismiss(&mut self) {
        self.staging = None;
    }

    /// To its whole group; on a terminal, which tells the group by itself, what the terminal does
    /// not send.
    #[cfg(unix)]
    fn pass_on(&self, signal: i32) {
        use rustix::process::{Pid, Signal, kill_process, kill_process_group};

        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let Some((process, signal)) = id
            .and_then(Pid::from_raw)
            .zip(Signal::from_named_raw(signal))
        else {
            return;
        };
        let from_terminal = signal == Signal::INT || signal == Signal::QUIT;
        // It may have ended meanwhile.
        let _ = match self.shares_terminal {
            true if from_terminal => Ok(()),
            true => kill_process(process, signal),
            false => kill_process_group(process, signal),
        };
    }

    /// The console tells the command by itself.
    #[cfg(not(unix))]
    fn pass_on(&self, _signal: i32) {}
}

/// What does not work here, before anything is made for nothing.
#[cfg(target_os = "linux")]
pub(super) fn check(args: &Args) -> Result<(), Failure> {
    let root = rustix::process::geteuid().is_root();
    for (wanted, option) in [(args.private, "--private"), (args.user.is_some(), "--user")] {
        if wanted && !root {
            return Err(Failure::Failed(format!(
                "{option} needs root: run it with sudo"
            )));
        }
    }
    match &args.user {
        Some(user) => super::user::User::find(user)
            .map(drop)
            .map_err(Failure::Failed),
        None => Ok(()),
    }
}

/// What does not work here, before anything is made for nothing.
#[cfg(not(target_os = "linux"))]
pub(super) fn check(args: &Args) -> Result<(), Failure> {
    for (wanted, option) in [(args.private, "--private"), (args.user.is_some(), "--user")] {
        if wanted {
            return Err(Failure::Failed(format!("{option}: only Linux can")));
        }
    }
    Ok(())
}

/// Starts it with this in its environment.
pub(super) fn start(
    args: &Args,
    keys: &[ReadyKey],
    env: &[(&'static str, String)],
) -> Result<Running, Failure> {
    let Some((program, rest)) = args.command.split_first() else {
        return Ok(Running::Not(Ended::failed()));
    };
    let (mut command, staging) = surrounded(args, keys, program, rest)?;
    command.envs(env.iter().map(|(name, value)| (*name, value.as_str())));
    #[cfg(unix)]
    let shares_terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    #[cfg(unix)]
    if !shares_terminal {
        command.process_group(0);
    }
    let child = match command.spawn() {
        Ok(child) => child,
        Err(why) => {
            super::say(&format!("{}: {why}", program.display()));
            let status = match why.kind() == ErrorKind::NotFound {
                true => NOT_FOUND,
                false => CANNOT_RUN,
            };
            let signal = None;
            return Ok(Running::Not(Ended { status, signal }));
        }
    };
    #[cfg(unix)]
    let guard = match shares_terminal {
        true => None,
        false => unix::guard(&child)?,
    };
    Ok(Running::Child(Box::new(Process {
        child,
        #[cfg(unix)]
        shares_terminal,
        #[cfg(unix)]
        guard,
        staging,
    })))
}

type Surrounded = (Command, Option<std::path::PathBuf>);

/// By way of a process that makes the command's surroundings.
#[cfg(target_os = "linux")]
fn surrounded(
    args: &Args,
    keys: &[ReadyKey],
    program: &std::ffi::OsStr,
    rest: &[std::ffi::OsString],
) -> Result<Surrounded, Failure> {
    let mut command = Command::new(unix::this_program()?);
    command.arg("exec-inside").arg("--parent");
    command.arg(std::process::id().to_string());
    let mut staging = None;
    if args.private {
        let directory = unix::staging()?;
        command.arg("--private").arg(&directory);
        staging = Some(directory);
        // Those for later are withheld.
        let nodes = keys.iter().filter(|key| !key.spare);
        for node in nodes.filter_map(|key| key.hidraw.as_ref()) {
            command.arg("--node").arg(node);
        }
    }
    if let Some(name) = &args.user {
        let user = super::user::User::find(name).map_err(Failure::Failed)?;
        command.arg("--user").arg(name).envs(user.env());
        // Root's own.
        command.env_remove("XDG_RUNTIME_DIR");
    }
    command.arg("--").arg(program).args(rest);
    Ok((command, staging))
}

#[cfg(not(target_os = "linux"))]
fn surrounded(
    _args: &Args,
    _keys: &[ReadyKey],
    program: &std::ffi::OsStr,
    rest: &[std::ffi::OsString],
) -> Result<Surrounded, Failure> {
    let mut command = Command::new(program);
    command.args(rest).kill_on_drop(true);
    Ok((command, None))
}

#[cfg(unix)]
mod unix {
    use std::process::Stdio;

    use tokio::{
        process::{Child, Command},
        signal::unix::{Signal, SignalKind, signal},
    };

    use super::super::super::Failure;

    /// What is passed on to the command.
    pub(in super::super) struct Signals {
        hangup: Signal,
        interrupt: Signal,
        quit: Signal,
        terminate: Signal,
    }

    impl Signals {
        pub(in super::super) fn listen() -> Result<Self, Failure> {
            let listen =
                |kind| signal(kind).map_err(|why| Failure::failed("cannot wait for signals", why));
            Ok(Self {
                hangup: listen(SignalKind::hangup())?,
                interrupt: listen(SignalKind::interrupt())?,
                quit: listen(SignalKind::quit())?,
                terminate: listen(SignalKind::terminate())?,
            })
        }

        /// The number of the next one.
        pub(in super::super) async fn next(&mut self) -> i32 {
            let kind = tokio::select! {
                _ = self.hangup.recv() => SignalKind::hangup(),
                _ = self.interrupt.recv() => SignalKind::interrupt(),
                _ = self.quit.recv() => SignalKind::quit(),
                _ = self.terminate.recv() => SignalKind::terminate(),
            };
            kind.as_raw_value()
        }
    }

    /// Where this program is, whatever became of its file since.
    pub(super) fn this_program() -> Result<std::path::PathBuf, Failure> {
        match cfg!(target_os = "linux") {
            true => Ok("/proc/self/exe".into()),
            false => std::env::current_exe()
                .map_err(|why| Failure::failed("roamkey's own program is not found", why)),
        }
    }

    /// Starts what ends the command's group once this is gone.
    pub(super) fn guard(child: &Child) -> Result<Option<Child>, Failure> {
        let Some(group) = child.id() else {
            return Ok(None);
        };
        let mut command = Command::new(this_program()?);
        command.arg("exec-guard").arg(group.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command
            .stderr(Stdio::null())
            .process_group(0)
            .current_dir("/");
        let guard = command.spawn();
        let guard = guard.map_err(|why| Failure::failed("the command's guard", why))?;
        Ok(Some(guard))
    }

    /// A directory that nobody else can use.
    #[cfg(target_os = "linux")]
    pub(super) fn staging() -> Result<std::path::PathBuf, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;

        let name = format!("roamkey-dev-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Of an earlier process with this number, which was killed.
        let _ = std::fs::remove_dir(&path);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|why| Failure::failed(path.display(), why))?;
        Ok(path)
    }
}

#[cfg(not(unix))]
mod windows {
    use super::super::super::Failure;

    /// Ctrl-C, which the console tells the command as well.
    pub(in super::super) struct Signals;

    impl Signals {
        pub(in super::super) fn listen() -> Result<Self, Failure> {
            Ok(Self)
        }

        pub(in super::super) async fn next(&mut self) -> i32 {
            match tokio::signal::ctrl_c().await {
                Ok(()) => 2,
                Err(_) => std::future::pending().await,
            }
        }
    }
}
