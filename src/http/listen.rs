//! Connections: taken, bounded, served, ended (RFC 9112).

use std::{fmt, io, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    Patient,
    seats::{Presence, Seats},
};
use crate::limits::{HEAD_LEN, Http};

/// Requests that are answered have so long to be, once the server ends.
const GRACE: Duration = Duration::from_secs(1);

/// After an error that the system may have for a while, such as no more files.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A process of this user, where the system told it.
    Socket(Option<u32>),
    /// Somebody who reached the port.
    Tcp,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(Some(user)) => write!(f, "user {user}"),
            Self::Socket(None) => f.write_str("an unknown user"),
            Self::Tcp => f.write_str("a TCP client"),
        }
    }
}

/// Where connections come from.
pub(crate) enum Listener {
    #[cfg(unix)]
    Socket(tokio::net::UnixListener),
    Tcp(TcpListener),
}

/// What is served.
#[derive(Clone)]
pub(crate) struct Served {
    /// As the log calls it.
    pub(crate) name: &'static str,
    pub(crate) router: Router,
    pub(crate) limits: Http,
}

/// Both kinds of connection as one.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listener {
    async fn accept(&self) -> io::Result<(Box<dyn Stream>, Caller)> {
        match self {
            #[cfg(unix)]
            Self::Socket(listener) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok((Box::new(stream), Caller::Socket(user)))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // One that is over already says so when it is read.
                let _ = roamkey_transport::watch_over(&stream);
                Ok((Box::new(stream), Caller::Tcp))
            }
        }
    }
}

/// Serves until the end, of which `end` makes a future for each that has to know.
pub(crate) async fn serve<E, F>(listener: Listener, served: Served, end: E)
where
    E: Fn() -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let name = served.name;
    let mut seats = Seats::new(served.limits.connections);
    let mut connections = JoinSet::new();
    let over = end();
    tokio::pin!(over);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, caller)) if seats.make_room() => {
                    let presence = Presence::default();
                    let serving = connection(stream, caller, presence.clone(), served.clone(), end());
                    seats.take(connections.spawn(serving), presence);
                }
                Ok((_, caller)) => warn!("{name} is busy, and hung up on {caller}"),
                Err(why) => {
                    warn!("{name} takes no connection: {why}");
                    sleep(PAUSE).await;
                }
            },
            Some(over) = connections.join_next_with_id() => match over {
                Ok((id, ())) => seats.free(id),
                Err(why) => seats.free(why.id()),
            },
            () = &mut over => break,
        }
    }
    drop(listener);
    // Those that do not end in time are ended by the drop.
    let _ = timeout(GRACE, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn connection(
    stream: Box<dyn Stream>,
    caller: Caller,
    presence: Presence,
    served: Served,
    end: impl Future<Output = ()>,
) {
    let Served {
        name,
        router,
        limits,
    } = served;
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let busy = presence.busy();
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(presence.clone());
        let answered = router.call(request);
        async move { answered.await.map(|response| keep(response, busy)) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_LEN);
    let stream = TokioIo::new(Patient::new(stream, limits.stuck));
    let connection = http.serve_connection(stream, service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = end => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        // Of a client that went or was too slow: its own doing.
        debug!("a connection of {caller} to {name} ended: {why}");
    }
}

/// A stream keeps its connection busy; other bodies leave at once.
fn keep(response: Response, busy: super::seats::Busy) -> Response {
    use axum::body::HttpBody as _;

    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _busy = &busy;
            frame
        }))
    })
}
