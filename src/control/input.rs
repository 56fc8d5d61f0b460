//! What comes with a request, taken apart and bounded.
//!
//! Of a body that may hold a secret neither an error nor memory keeps anything.

use axum::{
    body::HttpBody as _,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tracing::warn;
use zeroize::Zeroizing;

use super::{App, problem::Problem};

/// Of a body that is too long so many times the limit are read and dropped, so that its sender
/// hears why; one that is longer still is cut off.
const DROPPED: usize = 4;

/// A body in JSON (RFC 8259).
pub(super) struct Json<T, const SECRET: bool = false>(pub(super) T);

/// A body in JSON that holds a secret.
pub(super) type Secret<T> = Json<T, true>;

impl<T: DeserializeOwned, const SECRET: bool> FromRequest<App> for Json<T, SECRET> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let why = "the body has to be JSON: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let bytes = match timeout(app.limits.body, read(request, app.limits.body_len)).await {
            Ok(read) => read.inspect_err(log)?,
            Err(_) => {
                let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long");
                log(&problem);
                return Err(problem);
            }
        };
        // A list would do for serde as well, member by member.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::invalid("the body has to be a JSON object"));
        }
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Self).map_err(|why| match SECRET {
            true => Problem::invalid(format!(
                "the body is not as described at line {}, column {}",
                why.line(),
                why.column()
            )),
            false => Problem::invalid(format!("the body is not as described: {why}")),
        })
    }
}

fn log(problem: &Problem) {
    warn!("the control plane refused a body: {}", problem.detail);
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(request: Request, most: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let too_long = || {
        let why = format!("the body is longer than {most} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why)
    };
    let mut body = request.into_body();
    let drops = most.saturating_mul(DROPPED);
    let said = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if said > drops {
        return Err(too_long());
    }
    // All at once, since growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(match said {
        0 => most,
        said => said.min(most),
    }));
    let mut length: usize = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::invalid("the body broke off"))?;
        let Some(data) = frame.data_ref() else {
            continue; // trailers
        };
        length = length.saturating_add(data.len());
        if length > drops {
            break;
        }
        if length <= most {
            bytes.extend_from_slice(data);
        }
    }
    match length > most {
        true => Err(too_long()),
        false => Ok(bytes),
    }
}

/// What stands behind the `?`.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, app).await;
        let query = query.map_err(|why| Problem::invalid(why.body_text()))?;
        Ok(Self(query.0))
    }
}

/// What of the path names a thing.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, app).await;
        let path = path.map_err(|why| Problem::invalid(why.body_text()))?;
        Ok(Self(path.0))
    }
}
