//! A connection becomes a key's (RFC 9110 §7.8): what follows on it are URBs of USB/IP, without
//! an import, as vhci_hcd wants them. For `roamkey attach`, which hands its end to the kernel.
//!
//! On the Unix socket alone: the kernel takes one end of it, and root need not know a token.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use roamkey_transport::Peer;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tracing::debug;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{OfKey, waiting, whole, working};
use crate::control::{App, guard::Caller, input::Path, problem::Problem};

const DEVID: HeaderName = HeaderName::from_static("roamkey-devid");
const SPEED: HeaderName = HeaderName::from_static("roamkey-speed");
const PROTOCOL: HeaderValue = HeaderValue::from_static("usbip");
/// Longer than any answer of a key, so that it does not wait for the host in between.
const PIPE_LEN: usize = 64 * 1024;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(attach_stream))
}

/// Gives a key to who asks, on this connection: `Connection: Upgrade`, `Upgrade: usbip`. Only on
/// the Unix socket.
#[utoipa::path(
    post, path = "/keys/{key}/usbip", tag = "keys", params(OfKey),
    responses((status = 101, description = "URBs follow.",
            headers(("Roamkey-Devid" = u32, description = "Names the key in URBs."),
                ("Roamkey-Speed" = u32, description = "As USB/IP numbers speeds."))),
        (status = 426, description = "The request asks for no upgrade.", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many requests wait.", body = Problem,
            content_type = "application/problem+json"))
)]
async fn attach_stream(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    mut request: Request,
) -> Result<Response, Problem> {
    if !matches!(request.extensions().get(), Some(Caller::Socket(_))) {
        let why = "a key is given to a connection to the Unix socket alone";
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let Some(upgrade) = upgrade.filter(|_| is_asked(request.headers())) else {
        let why = "say Connection: Upgrade and Upgrade: usbip";
        let mut refusal = Problem::new(StatusCode::UPGRADE_REQUIRED, why).into_response();
        refusal.headers_mut().insert(header::UPGRADE, PROTOCOL);
        return Ok(refusal);
    };
    let place = waiting(&app)?;
    let end = app.end();
    // The key is given before the answer says so; until the upgrade nothing comes through.
    let (ours, keys) = duplex(PIPE_LEN);
    let (devid, speed) = whole(working(&app)?, async move {
        app.rig.attach_stream(&of.key, keys, Peer::Local).await
    })
    .await?;
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = carry(upgrade, ours) => {}
            () = end => {}
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, PROTOCOL),
        (DEVID, devid.into()),
        (SPEED, speed.into()),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

fn is_asked(headers: &HeaderMap) -> bool {
    let wanted = headers.get(header::UPGRADE);
    wanted.is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"usbip"))
}

async fn carry(upgrade: OnUpgrade, mut key: DuplexStream) {
    let carried = async {
        let mut host = TokioIo::new(upgrade.await.map_err(std::io::Error::other)?);
        copy_bidirectional(&mut host, &mut key).await
    };
    if let Err(why) = carried.await {
        debug!("a connection that was a key's ended: {why}");
    }
}
