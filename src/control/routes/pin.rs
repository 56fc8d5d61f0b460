//! The PIN of a key.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{OfKey, whole, working};
use crate::{
    control::{
        App,
        input::{Path, Secret},
        problem::Problem,
    },
    rig::{NewPin, PinView},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(pin, set_pin))
}

/// What may be known of a key's PIN.
#[utoipa::path(
    get, path = "/keys/{key}/pin", tag = "pin", params(OfKey),
    responses((status = 200, description = "The PIN's state.", body = PinView))
)]
async fn pin(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<PinView>, Problem> {
    Ok(Json(app.rig.pin(&of.key).await?))
}

/// Sets the first PIN, or changes it: a wrong one costs an attempt, as it does at the key.
#[utoipa::path(
    put, path = "/keys/{key}/pin", tag = "pin", params(OfKey), request_body = NewPin,
    responses((status = 200, description = "The PIN's state.", body = PinView))
)]
async fn set_pin(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Secret { 0: new }: Secret<NewPin>,
) -> Result<Json<PinView>, Problem> {
    let set = whole(working(&app)?, async move {
        app.rig.set_pin(&of.key, new).await
    });
    Ok(Json(set.await?))
}
