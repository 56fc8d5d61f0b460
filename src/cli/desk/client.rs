//! The control plane's HTTP as a client speaks it (RFC 9112): a connection for each request, since
//! most commands have one and a person's answer may take long between two.
//!
//! Errors come as problem documents (RFC 9457), whose `detail` is the sentence for a person.
//! Deliberately absent: TLS. Nothing leaves this machine.

use std::{
    fmt::Write as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, UPGRADE},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::place::Address;
use crate::cli::Failure;

/// No answer is longer, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;
/// Longer problems are none. In bytes.
const LONGEST_PROBLEM: usize = 64 << 10;
/// A program on this machine takes a connection at once, or hangs.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take, unless the request says otherwise.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A control plane.
#[derive(Clone)]
pub(super) struct Client(pub(super) Address);

/// Why there is no good answer.
pub(super) enum Trouble {
    /// The control plane refused, with a status and a sentence.
    Refused(StatusCode, String),
    /// Nobody listens there any more.
    NobodyThere(Failure),
    /// It could not be asked, or its answer not be read.
    Failed(Failure),
    /// Whoever is told what is answered wants no more.
    Stop(Failure),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(StatusCode::BAD_REQUEST, text) => Self::Usage(text),
            Trouble::Refused(_, text) => Self::Failed(text),
            Trouble::NobodyThere(failure) | Trouble::Failed(failure) | Trouble::Stop(failure) => {
                failure
            }
        }
    }
}

/// A request.
pub(super) struct Ask {
    method: Method,
    target: String,
    body: Bytes,
    limit: Duration,
}

#[derive(Deserialize)]
struct Problem {
    detail: Option<String>,
    title: Option<String>,
}

impl Ask {
    /// Asks for what is below `/v1` under these names.
    pub(super) fn get<const N: usize>(path: [&str; N]) -> Self {
        Self::new(Method::GET, path)
    }

    /// Asks for something to be done.
    pub(super) fn post<const N: usize>(path: [&str; N]) -> Self {
        Self::new(Method::POST, path)
    }

    /// Asks for something to be put there.
    pub(super) fn put<const N: usize>(path: [&str; N]) -> Self {
        Self::new(Method::PUT, path)
    }

    /// Asks for something to be changed.
    pub(super) fn patch<const N: usize>(path: [&str; N]) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// Asks for something to be removed.
    pub(super) fn delete<const N: usize>(path: [&str; N]) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn new<const N: usize>(method: Method, path: [&str; N]) -> Self {
        let mut target = "/v1".to_owned();
        for name in path {
            target.push('/');
            push_encoded(&mut target, name);
        }
        Self {
            method,
            target,
            body: Bytes::new(),
            limit: ANSWER_LIMIT,
        }
    }

    /// With a parameter, if there is a value.
    pub(super) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.target
                .push(if self.target.contains('?') { '&' } else { '?' });
            self.target.push_str(name);
            self.target.push('=');
            push_encoded(&mut self.target, &value.to_string());
        }
        self
    }

    /// With a body.
    pub(super) fn body(mut self, body: &impl Serialize) -> Self {
        // Plain data with text keys can always be written.
        self.body = serde_json::to_vec(body).unwrap_or_default().into();
        self
    }

    /// With another limit for the answer.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn request(self, address: &Address) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.target)
            .header(ACCEPT, "application/json, application/problem+json");
        request = match address {
            Address::Socket(_) => request.header(HOST, "localhost"),
            Address::Port(address, token) => request
                .header(HOST, address.to_string())
                .header(AUTHORIZATION, format!("Bearer {}", token.as_str())),
        };
        if !self.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(self.body));
        request.map_err(|why| failed("the request cannot be written", why))
    }
}

/// Percent-encodes everything that is not unreserved (RFC 3986 §2.3).
fn push_encoded(target: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(byte.into());
        } else {
            // Writing into a string does not fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

fn failed(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Trouble {
    Trouble::Failed(Failure::failed(what, why))
}

impl Client {
    /// What the answer's body says; `null` where it has none.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Trouble> {
        let limit = ask.limit;
        let answer = timeout(limit, async {
            let request = ask.request(&self.0)?;
            let answer = self.send(request).await?;
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER);
            let body = body.collect().await;
            body.map_err(|why| self.unreadable(why))
        });
        let body = answer.await.map_err(|_| self.too_slow(limit))??.to_bytes();
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(text).map_err(|why| self.unreadable(why))
    }

    /// The one member of the answer that is a list.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        ask: Ask,
        member: &str,
    ) -> Result<Vec<T>, Trouble> {
        let mut answer: Value = self.ask(ask).await?;
        let listed = answer.get_mut(member).map(Value::take).unwrap_or_default();
        serde_json::from_value(listed).map_err(|why| self.unreadable(why))
    }

    /// A good answer whose body is still to be read.
    pub(super) async fn stream(&self, ask: Ask) -> Result<Incoming, Trouble> {
        let limit = ask.limit;
        let request = ask.request(&self.0)?;
        let answer = timeout(limit, self.send(request)).await;
        Ok(answer.map_err(|_| self.too_slow(limit))??.into_body())
    }

    /// Asks for the connection itself, to go on with as `protocol`.
    #[cfg(target_os = "linux")]
    pub(super) async fn upgrade(
        &self,
        ask: Ask,
        protocol: &str,
    ) -> Result<Response<Incoming>, Trouble> {
        let limit = ask.limit;
        let mut request = ask.request(&self.0)?;
        let headers = request.headers_mut();
        let name = hyper::header::HeaderValue::from_str(protocol);
        let name = name.map_err(|why| failed("the request cannot be written", why))?;
        headers.insert(UPGRADE, name);
        headers.insert(
            CONNECTION,
            hyper::header::HeaderValue::from_static("upgrade"),
        );
        let answer = timeout(limit, self.send(request)).await;
        answer.map_err(|_| self.too_slow(limit))?
    }

    /// The socket of a connection that was handed over. Nothing has come on it yet: the host
    /// speaks first.
    #[cfg(target_os = "linux")]
    pub(super) async fn socket_of(
        &self,
        answer: Response<Incoming>,
    ) -> Result<std::os::unix::net::UnixStream, Trouble> {
        let upgraded = hyper::upgrade::on(answer).await;
        let upgraded = upgraded.map_err(|why| self.unreadable(why))?;
        let parts = upgraded.downcast::<TokioIo<Stream>>();
        match parts.map(|parts| (parts.io.into_inner(), parts.read_buf)) {
            Ok((Stream::Unix(stream), early)) if early.is_empty() => {
                let stream = stream.into_std();
                stream.map_err(|why| failed("the connection cannot be handed over", why))
            }
            Ok(_) | Err(_) => Err(failed(&self.0, "only its Unix socket can be handed over")),
        }
    }

    /// The answer, where it is a good one.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Trouble> {
        let (mut sender, connection) = self.connect().await?;
        tokio::spawn(connection);
        let sent = sender.send_request(request).await;
        let answer = sent.map_err(|why| self.unreadable(why))?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        let body = Limited::new(answer.into_body(), LONGEST_PROBLEM).collect();
        let body = body.await.map(|body| body.to_bytes()).unwrap_or_default();
        Err(self.refused(status, &body))
    }

    async fn connect(
        &self,
    ) -> Result<
        (
            http1::SendRequest<Full<Bytes>>,
            impl Future<Output = ()> + Send + 'static,
        ),
        Trouble,
    > {
        let connected = timeout(CONNECT_LIMIT, self.open()).await;
        let connected = connected.map_err(|_| self.too_slow(CONNECT_LIMIT))?;
        let stream = connected.map_err(|why| self.unreachable(&why))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|why| self.unreadable(why))?;
        let connection = async move {
            // What ends it shows in the answer.
            let _ = connection.with_upgrades().await;
        };
        Ok((sender, connection))
    }

    async fn open(&self) -> io::Result<Stream> {
        match &self.0 {
            #[cfg(unix)]
            Address::Socket(path) => Ok(Stream::Unix(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Address::Socket(_) => Err(io::ErrorKind::Unsupported.into()),
            Address::Port(address, _) => Ok(Stream::Tcp(TcpStream::connect(address).await?)),
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Trouble {
        let text = match (status, serde_json::from_slice::<Problem>(body)) {
            (StatusCode::UNAUTHORIZED, _) => format!(
                "{} does not know this token: name the file that this very process made, with \
                 --token-file FILE; it makes a new one at each start",
                self.0
            ),
            (
                _,
                Ok(
                    Problem {
                        detail: Some(text), ..
                    }
                    | Problem {
                        title: Some(text), ..
                    },
                ),
            ) => text,
            (_, Ok(_) | Err(_)) => {
                format!("{} answered {status}: is that a roamkey?", self.0)
            }
        };
        Trouble::Refused(status, text)
    }

    fn unreachable(&self, why: &io::Error) -> Trouble {
        use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};

        if matches!(why.kind(), NotFound | ConnectionRefused) {
            return Trouble::NobodyThere(Failure::Failed(format!(
                "no roamkey listens at {}: it has ended, or was never there. `roamkey run` \
                     starts one and says where it listens",
                self.0
            )));
        }
        let advice = match why.kind() == PermissionDenied {
            true => ". Only the user who started that roamkey may control it, and root",
            false => "",
        };
        let what = format!("{} cannot be reached", self.0);
        failed(what, format!("{why}{advice}"))
    }

    fn too_slow(&self, limit: Duration) -> Trouble {
        failed(&self.0, format!("no answer within {} s", limit.as_secs()))
    }

    pub(super) fn unreadable(&self, why: impl std::fmt::Display) -> Trouble {
        let what = format!("the answer of {} cannot be read", self.0);
        failed(what, why)
    }
}

/// A connection.
enum Stream {
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    Tcp(TcpStream),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
