//! The program behind a front: requests go to it as they came, and its answers back (RFC 9112).

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    response::Response,
};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, lookup_host},
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tracing::debug;

use crate::{http::Patient, limits::Front};

/// A driver on this machine answers at once or not at all; one elsewhere may take a moment.
const CONNECT: Duration = Duration::from_secs(10);

/// An address such as `http://127.0.0.1:9515`, with a path in front of all others where it has
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    host: String,
    port: u16,
    prefix: String,
    limits: Arc<Front>,
}

impl std::str::FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "an address as http://127.0.0.1:9515";
        let uri: Uri = text.parse().map_err(|_| wanted.to_owned())?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("{wanted}, and nothing but http"));
        }
        let host = uri.host().ok_or_else(|| wanted.to_owned())?.to_owned();
        Ok(Self {
            host,
            port: uri.port_u16().unwrap_or(80),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            limits: Arc::default(),
        })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.prefix)
    }
}

/// Headers that are between two neighbours alone (RFC 9110 §7.6.1).
const BETWEEN_NEIGHBOURS: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

impl Upstream {
    /// The same, held to these limits.
    pub(super) fn limited(self, limits: &Arc<Front>) -> Self {
        Self {
            limits: Arc::clone(limits),
            ..self
        }
    }

    /// Its host and port, as it knows itself.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A path of it.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// In words: nobody listens there.
    pub(super) async fn connect(&self) -> Result<Patient<TcpStream>, String> {
        let connect = async {
            let host = self.host.trim_matches(['[', ']']);
            let addresses: Vec<SocketAddr> = lookup_host((host, self.port)).await?.collect();
            TcpStream::connect(addresses.as_slice()).await
        };
        let stream = match timeout(CONNECT, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => return Err(format!("nobody answers at {self}: {why}")),
            Err(_) => return Err(format!("nobody answers at {self} within {CONNECT:?}")),
        };
        // One that is over already says so when it is read.
        let _ = roamkey_transport::watch_over(&stream);
        Ok(Patient::new(stream, self.limits.stuck))
    }

    /// Passes a request on, and the answer back; where both ends agree to another protocol, what
    /// they say then as well, which takes a place.
    ///
    /// # Errors
    /// In words: nobody listens there, or what came back is no HTTP.
    pub(super) async fn pass(
        &self,
        mut request: Request,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Response, String> {
        let upgrade = request.headers().get(header::UPGRADE).cloned();
        let asked = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str());
        let uri: Result<Uri, _> = self.path(path).parse();
        *request.uri_mut() = uri.map_err(|why| why.to_string())?;
        strip(request.headers_mut());
        if let Some(protocol) = upgrade {
            let connection = HeaderValue::from_static("upgrade");
            request.headers_mut().insert(header::CONNECTION, connection);
            request.headers_mut().insert(header::UPGRADE, protocol);
        }
        let mut response = self.send(request).await?;
        if response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS
            && let Some(asked) = asked
        {
            let there = hyper::upgrade::on(&mut response);
            tokio::spawn(async move {
                let _place = place;
                if let (Ok(here), Ok(there)) = (asked.await, there.await) {
                    let (mut here, mut there) = (TokioIo::new(here), TokioIo::new(there));
                    let ended = copy_bidirectional(&mut here, &mut there).await;
                    debug!(?ended, "an upgraded connection is over");
                }
            });
        } else {
            strip(response.headers_mut());
        }
        Ok(response.map(Body::new))
    }

    /// Sends a request of the front's own or another's, on a connection of its own.
    async fn send(&self, mut request: Request) -> Result<hyper::Response<Incoming>, String> {
        let host = HeaderValue::try_from(self.authority()).map_err(|why| why.to_string())?;
        request.headers_mut().insert(header::HOST, host);
        let stream = TokioIo::new(self.connect().await?);
        let failed = |why: hyper::Error| format!("{self} does not answer as it should: {why}");
        let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
        tokio::spawn(async move {
            if let Err(why) = connection.with_upgrades().await {
                debug!(%why, "a connection to the upstream ended");
            }
        });
        sender.send_request(request).await.map_err(failed)
    }

    /// Asks something of the front's own: JSON in, the status and JSON out.
    ///
    /// # Errors
    /// In words: nobody listens there, or the answer is no JSON, or longer than it ever is.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(hyper::StatusCode, serde_json::Value), String> {
        let mut request = Request::builder().method(method).uri(self.path(path));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json; charset=utf-8");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).map_err(|why| why.to_string())?;
        let limits = &self.limits;
        let answered = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = Body::new(response.into_body());
            let body = axum::body::to_bytes(body, limits.answer_len).await;
            let failed = |why| format!("{self} does not answer as it should: {why}");
            Ok::<_, String>((status, body.map_err(failed)?))
        };
        let answered = timeout(limits.answer, answered).await;
        let late = |_| format!("{self} has not answered for {:?}", limits.answer);
        let (status, body) = answered.map_err(late)??;
        let value = serde_json::from_slice(&body);
        Ok((
            status,
            value.map_err(|why| format!("{self} answered no JSON: {why}"))?,
        ))
    }
}

fn strip(headers: &mut HeaderMap) {
    // What Connection names is between neighbours as well.
    let named: Vec<_> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse::<header::HeaderName>().ok())
        .collect();
    for name in named.iter().chain(&BETWEEN_NEIGHBOURS) {
        headers.remove(name);
    }
}
