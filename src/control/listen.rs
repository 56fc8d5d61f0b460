//! Connections: taken, bounded, served, ended (RFC 9112).

use std::{io, sync::Arc, time::Duration};

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
    App, GRACE,
    guard::{Caller, Door},
    routes,
    seats::{Presence, Seats},
};

/// After an error that the system may have for a while, such as no more files.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(super) enum Listener {
    #[cfg(unix)]
    Socket(tokio::net::UnixListener),
    Tcp(TcpListener),
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
                // Answers are small, and somebody waits for each.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), Caller::Tcp))
            }
        }
    }
}

/// Serves until the end.
pub(super) async fn run(listener: Listener, door: Arc<Door>, app: App) {
    let router = routes::router(app.clone(), door);
    let mut seats = Seats::new(app.limits.connections);
    let mut connections = JoinSet::new();
    let end = app.end();
    tokio::pin!(end);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, caller)) if seats.make_room() => {
                    let presence = Presence::default();
                    let serving = serve(stream, caller, presence.clone(), router.clone(), app.clone());
                    seats.take(connections.spawn(serving), presence);
                }
                Ok((_, caller)) => {
                    warn!("the control plane is busy, and hung up on {caller}");
                }
                Err(why) => {
                    warn!("the control plane takes no connection: {why}");
                    sleep(PAUSE).await;
                }
            },
            Some(over) = connections.join_next_with_id() => match over {
                Ok((id, ())) => seats.free(id),
                Err(why) => seats.free(why.id()),
            },
            () = &mut end => break,
        }
    }
    drop(listener);
    // Those that do not end in time are ended by the drop.
    let _ = timeout(GRACE, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn serve(
    stream: Box<dyn Stream>,
    caller: Caller,
    presence: Presence,
    router: Router,
    app: App,
) {
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
        .header_read_timeout(app.limits.head);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let connection = connection.with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = app.end() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        // Of a client that went or was too slow: its own doing.
        debug!("a connection of {caller} ended: {why}");
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
