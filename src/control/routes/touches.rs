//! Touches that wait for somebody.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::waiting;
use crate::{
    control::{
        App,
        body::{TouchReply, Touches},
        input::{Json as Body, Path, Query},
        problem::Problem,
    },
    limits::LONGEST_WAIT_MS,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(touches))
        .routes(routes!(answer_touch))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Those of this key alone, by its bus id or name.
    key: Option<String>,
    /// Waits so many milliseconds for the first.
    #[serde(default)]
    #[param(required = false, maximum = 60_000)]
    wait_ms: u64,
}

/// The touches that somebody has to give.
#[utoipa::path(
    get, path = "/touches", tag = "touches", params(Wanted),
    responses((status = 200, description = "The touches.", body = Touches),
        (status = 503, description = "Too many requests wait.", body = Problem,
            content_type = "application/problem+json"))
)]
async fn touches(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Touches>, Problem> {
    let key = wanted.key.as_deref();
    if wanted.wait_ms > LONGEST_WAIT_MS {
        let why = format!("wait_ms is {LONGEST_WAIT_MS} at most");
        return Err(Problem::invalid(why));
    }
    let touches = match wanted.wait_ms {
        0 => app.rig.touches(key)?,
        wait => {
            let _place = waiting(&app)?;
            let wait = Duration::from_millis(wait);
            app.rig.wait_for_touch(key, wait).await?
        }
    };
    Ok(Json(Touches { touches }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfTouch {
    /// The id of the touch.
    id: u64,
}

/// Gives a touch, or refuses it.
#[utoipa::path(
    post, path = "/touches/{id}", tag = "touches", params(OfTouch), request_body = TouchReply,
    responses((status = 204, description = "The key has the answer."))
)]
async fn answer_touch(
    State(app): State<App>,
    Path(of): Path<OfTouch>,
    Body(reply): Body<TouchReply>,
) -> Result<StatusCode, Problem> {
    app.rig.answer_touch(of.id, reply.answer)?;
    Ok(StatusCode::NO_CONTENT)
}
