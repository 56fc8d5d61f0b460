//! Who may ask, decided before anything else is looked at.
//!
//! Over TCP whoever brings the token; on the socket the user whose process this is, and root. Web
//! pages are kept out whatever they bring: browsers say where a request comes from (Fetch
//! Standard, `Origin`; Fetch Metadata, `Sec-Fetch-Site`), and a name that was rebound to this
//! machine stands in `Host`. Deliberately absent: CORS, since no page is ever let in.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq as _;
use tracing::warn;
use zeroize::Zeroizing;

use super::problem::Problem;
pub(super) use crate::http::Caller;
use crate::http::Presence;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const TOKEN_LEN: usize = 32;

/// What a caller over TCP has to bring.
pub(super) struct Token(Zeroizing<String>);

impl Token {
    /// A new one, of 256 bits.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; TOKEN_LEN]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(Zeroizing::new(base16ct::lower::encode_string(
            &*bytes,
        ))))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether these headers bring it (RFC 6750 §2.1).
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some((scheme, brought)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && brought.ct_eq(self.0.as_bytes()).into()
    }
}

/// What a listener lets in.
pub(super) struct Door {
    /// Its port and token; `None` for the socket.
    tcp: Option<(u16, Token)>,
}

impl Door {
    pub(super) fn of_socket() -> Self {
        Self { tcp: None }
    }

    pub(super) fn of_tcp(port: u16, token: Token) -> Self {
        Self {
            tcp: Some((port, token)),
        }
    }

    fn check(&self, caller: Caller, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let forbidden = |why: &str| Err(Problem::new(StatusCode::FORBIDDEN, why));
        if !is_welcome(caller) {
            return forbidden("this control plane is another user's");
        }
        let site = headers.get(SEC_FETCH_SITE);
        if headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != "none") {
            return forbidden("no web page may use the control plane");
        }
        let Some((port, token)) = &self.tcp else {
            return Ok(());
        };
        if !is_for_us(*port, uri, headers) {
            return forbidden("Host is not this control plane's own address");
        }
        if !token.is_in(headers) {
            let why = "the token is missing or wrong: bring the one in the token file, as \
                       Authorization: Bearer TOKEN";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, why));
        }
        Ok(())
    }
}

/// Over TCP only the token tells.
fn is_welcome(caller: Caller) -> bool {
    match caller {
        Caller::Tcp => true,
        #[cfg(unix)]
        Caller::Socket(user) => {
            user.is_some_and(|user| user == 0 || user == rustix::process::geteuid().as_raw())
        }
        #[cfg(not(unix))]
        Caller::Socket(_) => false,
    }
}

/// Whether a request names this machine and our port, and nothing else, as where it goes
/// (RFC 9110 §7.2, RFC 9112 §3.2.2).
fn is_for_us(port: u16, uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let ours = |name: &[u8]| {
        let names = ["127.0.0.1", "[::1]", "localhost"];
        let full = names.map(|name| format!("{name}:{port}"));
        let with_port = full
            .iter()
            .any(|ours| name.eq_ignore_ascii_case(ours.as_bytes()));
        let plain = names
            .iter()
            .any(|ours| name.eq_ignore_ascii_case(ours.as_bytes()));
        with_port || port == 80 && plain
    };
    let named = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    ours(host.as_bytes()) && named.is_none_or(ours)
}

/// Lets a request through, or refuses it and says so in the log: never with what it carries.
pub(super) async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().copied() else {
        // Whoever put this together forgot to say who asks.
        return Problem::new(StatusCode::FORBIDDEN, "nobody is known to ask").into_response();
    };
    match door.check(caller, request.uri(), request.headers()) {
        Ok(()) => {
            if let Some(presence) = request.extensions().get::<Presence>() {
                presence.is_known();
            }
            next.run(request).await
        }
        Err(problem) => {
            warn!("the control plane refused {caller}: {}", problem.detail);
            problem.into_response()
        }
    }
}
