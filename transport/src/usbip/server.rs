//! The listener: who may connect, what is there, and the hand-over of an imported key.
//!
//! A connection asks for one thing within a time limit, as with Linux's usbipd: a list, after
//! which it is closed, or an import, after which it belongs to the key's task. Whatever else
//! it sends ends it, and nothing but it. The list is for everyone who may connect, an import for
//! those of [`ImportFrom`].

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::limits::Limits;
use crate::{Peer, watch_over};

use super::exports::{AttachError, Exports, Lease};
use super::import_from::Gate;
use super::op::{self, BUS_ID_LEN, BusId, HEADER_LEN, OpError, Request, Status};
use super::room::{Asked, Origin, Room, Sessions};
use super::{AllowList, ImportFrom};

/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A USB/IP server. Dropping it, or the future of [`run`](Self::run), takes every key off it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    allow: AllowList,
    gate: Gate,
    limits: Limits,
    exports: ClosedOnDrop,
}

#[derive(Debug)]
struct ClosedOnDrop(Exports);

impl Drop for ClosedOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Server {
    /// Takes the address. Connections are accepted once it [`run`](Self::run)s, and keys are
    /// imported by the users of [`ImportFrom::default`].
    ///
    /// # Errors
    ///
    /// The address is taken or cannot be had, or it is not loopback and the allow-list is empty.
    pub fn bind(address: SocketAddr, allow: AllowList) -> Result<Self, BindError> {
        if allow.is_loopback_only() && !address.ip().to_canonical().is_loopback() {
            return Err(BindError::AllowListNeeded(address));
        }
        let listener = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        match listener {
            Ok(listener) => Ok(Self {
                listener,
                allow,
                gate: Gate::new(ImportFrom::default()),
                limits: Limits::default(),
                exports: ClosedOnDrop(Exports::new()),
            }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(BindError::AddressInUse(address))
            }
            Err(error) => Err(BindError::Io(address, error)),
        }
    }

    /// Chooses which users of this machine may import.
    ///
    /// # Errors
    ///
    /// This platform does not say whose a connection is, so only [`ImportFrom::Anyone`] is
    /// possible.
    pub fn import_from(self, from: ImportFrom) -> Result<Self, BindError> {
        if !from.is_supported() {
            return Err(BindError::ImportFromUnsupported(from));
        }
        let gate = Gate::new(from);
        Ok(Self { gate, ..self })
    }

    /// Chooses what clients may take.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The address that it has: with port 0, the system chose the port.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The keys on it. The handle outlives the server, but is of no use then.
    #[must_use]
    pub fn exports(&self) -> Exports {
        self.exports.0.clone()
    }

    /// Serves until it is dropped. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch the listener.
    pub async fn run(self) -> io::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let exports = self.exports; // closed when this future is dropped
        let desk = Desk {
            gate: self.gate,
            limits: self.limits,
            sessions: Sessions::default(),
            exports: exports.0.clone(),
        };
        let mut room = Room::new(self.limits);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(over) = connections.join_next_with_id() => {
                    room.free(id_of(over));
                    continue;
                }
            };
            match accepted {
                Ok((stream, peer)) if self.allow.allows(peer.ip()) => {
                    while let Some(over) = connections.try_join_next_with_id() {
                        room.free(id_of(over));
                    }
                    if room.is_full() && !room.make_room() {
                        // All are new: the first that is done, or can be ended, makes room.
                        let over = timeout(self.limits.grace, connections.join_next_with_id());
                        if let Ok(Some(over)) = over.await {
                            room.free(id_of(over));
                        } else {
                            room.make_room();
                        }
                    }
                    let asked = Asked::default();
                    let serving = connection(stream, peer, desk.clone(), asked.clone());
                    room.take(Origin::of(peer.ip()), asked, connections.spawn(serving));
                }
                Ok((_, peer)) => warn!(%peer, "refused: not in the allow-list"),
                Err(error) => {
                    // Out of descriptors, or the peer left the queue.
                    warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn id_of(over: Result<(Id, ()), JoinError>) -> Id {
    over.map_or_else(|why| why.id(), |(id, ())| id)
}

/// What every connection is answered from.
#[derive(Clone)]
struct Desk {
    gate: Gate,
    limits: Limits,
    sessions: Sessions,
    exports: Exports,
}

/// One connection until it has what it asked for.
async fn connection(stream: TcpStream, peer: SocketAddr, desk: Desk, asked: Asked) {
    match serve(stream, peer, &desk, &asked).await {
        Ok(()) => {}
        Err(error) => debug!(%peer, %error, "connection ended"),
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    desk: &Desk,
    asked: &Asked,
) -> Result<(), RequestError> {
    watch_over(&stream)?;
    let own = stream.local_addr()?;
    let lease = async |busid| {
        if let Err(why) = desk.gate.check(peer, own).await {
            warn!(%peer, %why, "import refused");
            return Err(Status::NotAvailable);
        }
        desk.lease(busid, peer).await
    };
    give(
        stream,
        Peer::Tcp(peer),
        desk.limits.request,
        asked,
        &desk.exports,
        lease,
    )
    .await
}

impl Exports {
    /// Serves a connection that was accepted elsewhere until it has what it asked for: the list,
    /// or a key, whose task has the stream from then on. Whoever connects may import.
    pub async fn serve<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limit = Limits::default().request;
        let lease = async |busid| lease(self, busid).await;
        if let Err(error) = give(stream, peer, limit, &Asked::default(), self, lease).await {
            debug!(%peer, %error, "connection ended");
        }
    }
}

/// Gives a connection what it asks for.
async fn give<S>(
    mut stream: S,
    peer: Peer,
    limit: Duration,
    asked: &Asked,
    exports: &Exports,
    lease: impl AsyncFnOnce(Option<BusId>) -> Result<Lease, Status>,
) -> Result<(), RequestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let wanted = timeout(limit, request(&mut stream)).await??;
    asked.is_made();
    let busid = match wanted {
        Wanted::List => {
            let mut reply = Vec::new();
            op::emit_devlist(&exports.records(), &mut reply);
            return Ok(timeout(limit, stream.write_all(&reply)).await??);
        }
        Wanted::Import(busid) => busid,
    };
    let outcome = lease(busid).await;
    let mut reply = Vec::new();
    match outcome {
        Ok(lease) => {
            info!(%peer, busid = %lease.record.busid, "imported");
            op::emit_import(Ok(&lease.record), &mut reply);
            lease.hand_over(stream, peer, &reply);
            Ok(())
        }
        Err(status) => {
            info!(%peer, ?busid, %status, "import refused");
            op::emit_import(Err(status), &mut reply);
            Ok(timeout(limit, stream.write_all(&reply)).await??)
        }
    }
}

impl Desk {
    async fn lease(&self, busid: Option<BusId>, peer: SocketAddr) -> Result<Lease, Status> {
        let mut lease = lease(&self.exports, busid).await?;
        // Only now, since the host may have waited for its own old session to end.
        let most = self.limits.sessions_per_address;
        let Some(entered) = self.sessions.enter(Origin::of(peer.ip()), most) else {
            warn!(%peer, "import refused: its address has {most} keys, which is as many as it may");
            return Err(Status::NotAvailable);
        };
        lease.count(entered);
        Ok(lease)
    }
}

async fn lease(exports: &Exports, busid: Option<BusId>) -> Result<Lease, Status> {
    let busid = busid.ok_or(Status::NoDevice)?;
    exports.lease(&busid).await.map_err(|why| match why {
        AttachError::NoSuchKey => Status::NoDevice,
        AttachError::Busy => Status::DeviceBusy,
    })
}

enum Wanted {
    List,
    /// None if the bus id is none: then no device has it.
    Import(Option<BusId>),
}

async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Wanted, RequestError> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    match Request::parse(&header)? {
        Request::DevList => Ok(Wanted::List),
        Request::Import => {
            let mut busid = [0; BUS_ID_LEN];
            stream.read_exact(&mut busid).await?;
            Ok(Wanted::Import(BusId::parse(&busid).ok()))
        }
    }
}

/// Why a connection ended before it had what it asked for.
#[derive(Debug)]
enum RequestError {
    Op(OpError),
    Io(io::Error),
    TooSlow,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Op(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::TooSlow => f.write_str("too slow"),
        }
    }
}

impl From<OpError> for RequestError {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<tokio::time::error::Elapsed> for RequestError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::TooSlow
    }
}

/// Why a server cannot have its address.
#[derive(Debug)]
pub enum BindError {
    /// Another program has it: on a developer's Windows often usbipd-win.
    AddressInUse(SocketAddr),
    /// Others than this machine could connect, and nothing says who may.
    AllowListNeeded(SocketAddr),
    /// This platform cannot tell who imports.
    ImportFromUnsupported(ImportFrom),
    /// Anything else.
    Io(SocketAddr, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse(address) => write!(f, "{address} is in use"),
            Self::AllowListNeeded(address) => {
                write!(
                    f,
                    "{address} can be reached from outside and USB/IP has no authentication"
                )
            }
            Self::ImportFromUnsupported(from) => write!(
                f,
                "only Linux says which user a connection belongs to: here --import-from {from} \
                 cannot be kept to, and --import-from anyone can"
            ),
            Self::Io(address, error) => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::AddressInUse(_) | Self::AllowListNeeded(_) | Self::ImportFromUnsupported(_) => {
                None
            }
            Self::Io(_, error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests;
