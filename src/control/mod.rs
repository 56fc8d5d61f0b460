//! The control plane: what [`Rig`] can do, as HTTP/1.1 with JSON (RFC 9112, RFC 8259) for the
//! owner of the process and nobody else.
//!
//! It listens on a Unix socket that only its owner can reach, and on loopback TCP where that is
//! wanted, with a token. `GET /v1/openapi.json` describes all of it. Deliberately absent: TLS and
//! anything for other machines, users or web pages; guard.rs keeps those out.

mod body;
mod guard;
mod input;
mod openapi;
mod place;
mod problem;
#[allow(
    unused_qualifications,
    reason = "utoipa's macro names the types of parameters in full"
)]
mod routes;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::info;

pub use body::{
    ArmedFaults, Events, FaultCatalogue, Keys, Losses, Missed, NewBackup, NewName, Passkeys,
    Profiles, Snapshots, TouchReply, Touches,
};
pub(crate) use place::directories;
pub use place::{socket_of, sockets};
pub use problem::Problem;

pub use crate::limits::Control as Limits;
use crate::{
    front::Browser,
    http::{self, Listener, Served},
    rig::Rig,
};
use guard::{Door, Token};
use place::{Files, Place};

/// Requests that are answered have so long to be, once the control plane ends.
const GRACE: Duration = Duration::from_secs(1);

/// Where a control plane listens.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Places {
    /// The Unix socket; none on Windows.
    pub socket: Option<PathBuf>,
    /// The address, where it listens on TCP.
    pub tcp: Option<SocketAddr>,
    /// The file with the token for it.
    pub token_file: Option<PathBuf>,
}

/// How a control plane is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where to listen beside the Unix socket: an address of this machine's own. Port 0 lets the
    /// system choose.
    pub tcp: Option<SocketAddr>,
    /// Where the socket and the token are; the user's directory for such things, where this is
    /// absent. It is made its owner's alone.
    pub directory: Option<PathBuf>,
    /// What stands for keys where there are none: the browser's own virtual authenticators.
    pub browser: Option<Browser>,
    /// What clients may take.
    pub limits: Limits,
}

/// What every request is answered from. Clones are handles to the same.
#[derive(Clone)]
struct App {
    rig: Rig,
    /// In place of keys, where there are none.
    browser: Option<Browser>,
    limits: Arc<Limits>,
    /// For requests that take long on purpose.
    waiting: Arc<Semaphore>,
    /// For what is done to the end, whether or not its client waits.
    working: Arc<Semaphore>,
    /// Becomes true, or loses its sender, at the end.
    ended: watch::Receiver<bool>,
}

impl App {
    fn new(
        rig: Rig,
        browser: Option<Browser>,
        limits: Limits,
        ended: watch::Receiver<bool>,
    ) -> Self {
        Self {
            rig,
            browser,
            waiting: Arc::new(Semaphore::new(limits.waiting)),
            working: Arc::new(Semaphore::new(limits.working)),
            limits: Arc::new(limits),
            ended,
        }
    }

    /// Returns at the end.
    fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            // An error means that its sender is gone: the end as well.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }
}

/// A running control plane. Dropping it ends its connections and removes its files.
pub struct Control {
    tcp: Option<SocketAddr>,
    files: Files,
    end: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

impl Control {
    /// Listens.
    ///
    /// # Errors
    /// The address is not this machine's own or is taken, or the directory for the socket and
    /// the token cannot be used.
    pub async fn start(rig: Rig, options: Options) -> Result<Self, ControlError> {
        let (end, ended) = watch::channel(false);
        let app = App::new(rig, options.browser, options.limits, ended);
        let tcp = options.tcp.map(listen_tcp).transpose()?;
        let place = match options.directory {
            Some(directory) => Place::new(directory),
            None => Place::of_user()?,
        };
        let mut files = Files::default();
        let mut listeners = Vec::new();
        #[cfg(unix)]
        {
            let listener = Listener::Socket(files.socket(&place)?);
            let door = Arc::new(Door::of_socket());
            listeners.push(tokio::spawn(serve(listener, door, app.clone())));
        }
        let mut address = None;
        if let Some((listener, at)) = tcp {
            let token = Token::random().map_err(ControlError::random)?;
            files.token(&place, &token)?;
            let door = Arc::new(Door::of_tcp(at.port(), token));
            let listener = Listener::Tcp(listener);
            listeners.push(tokio::spawn(serve(listener, door, app)));
            address = Some(at);
        }
        info!("the control plane listens");
        Ok(Self {
            tcp: address,
            files,
            end,
            listeners,
        })
    }

    /// Where it listens.
    pub fn places(&self) -> Places {
        Places {
            socket: self.files.socket_path().map(Path::to_owned),
            tcp: self.tcp,
            token_file: self.files.token_path().map(Path::to_owned),
        }
    }

    /// Takes no more requests, gives those that are there a moment, and ends.
    pub async fn stop(mut self) {
        self.end.send_replace(true);
        for listener in &mut self.listeners {
            // One that does not end in time is ended by the drop.
            let _ = timeout(GRACE, listener).await;
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

async fn serve(listener: Listener, door: Arc<Door>, app: App) {
    let served = Served {
        name: "the control plane",
        router: routes::router(app.clone(), door),
        limits: app.limits.http(),
    };
    http::serve(listener, served, || app.end()).await;
}

fn listen_tcp(address: SocketAddr) -> Result<(tokio::net::TcpListener, SocketAddr), ControlError> {
    if !address.ip().is_loopback() {
        return Err(ControlError::NotLoopback(address));
    }
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        Ok((tokio::net::TcpListener::from_std(listener)?, at))
    };
    listen().map_err(|why| ControlError::Tcp(address, why))
}

/// Why a control plane does not start.
#[derive(Debug)]
pub enum ControlError {
    /// The address can be reached by other machines.
    NotLoopback(SocketAddr),
    /// The system does not let it listen there.
    Tcp(SocketAddr, io::Error),
    /// The path of the socket is longer than the system takes.
    LongPath(PathBuf),
    /// A directory is another user's, or is no directory.
    NotOurs(PathBuf),
    /// A file or directory cannot be made.
    File(PathBuf, io::Error),
    /// The system does not say where its user's directories are.
    NoHome(String),
    /// The system has no randomness.
    Random(String),
}

impl ControlError {
    fn random(why: impl fmt::Display) -> Self {
        Self::Random(why.to_string())
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(address) => write!(
                f,
                "{address} can be reached by other machines, and the control plane is for this \
                 one alone: say --control 127.0.0.1:{}",
                address.port()
            ),
            Self::Tcp(address, why) => write!(
                f,
                "the control plane cannot listen on {address}: {why}. Port 0 lets the system \
                 choose a free one: --control 127.0.0.1:0"
            ),
            Self::LongPath(path) => write!(
                f,
                "{} is too long for the path of a socket (about 100 bytes): set XDG_RUNTIME_DIR \
                 to a short one, such as /run/user/1000",
                path.display()
            ),
            Self::NotOurs(path) => write!(
                f,
                "{} is for the control plane's socket, and is no directory of this user's: move \
                 it away, or set XDG_RUNTIME_DIR to another directory",
                path.display()
            ),
            Self::File(path, why) => write!(
                f,
                "{} cannot be made for the control plane: {why}. It needs a place that this user \
                 can write to: set XDG_RUNTIME_DIR to one",
                path.display()
            ),
            Self::NoHome(why) => f.write_str(why),
            Self::Random(why) => write!(f, "no token for the control plane: {why}"),
        }
    }
}

impl std::error::Error for ControlError {}
