//! Faults of keys.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{OfKey, whole, working};
use crate::{
    control::{
        App,
        body::{ArmedFaults, FaultCatalogue},
        input::{Json as Body, Path},
        problem::Problem,
    },
    rig::{ArmedFault, NewFault, Rig},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(fault_catalogue))
        .routes(routes!(faults, arm_fault, disarm_all_faults))
        .routes(routes!(disarm_fault))
}

/// Every fault that there is.
#[utoipa::path(
    get, path = "/faults", tag = "faults",
    responses((status = 200, description = "The faults.", body = FaultCatalogue))
)]
async fn fault_catalogue() -> Json<FaultCatalogue> {
    let faults = Rig::fault_catalog();
    Json(FaultCatalogue { faults })
}

/// The armed faults of a key.
#[utoipa::path(
    get, path = "/keys/{key}/faults", tag = "faults", params(OfKey),
    responses((status = 200, description = "The faults.", body = ArmedFaults))
)]
async fn faults(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<ArmedFaults>, Problem> {
    let faults = app.rig.faults(&of.key).await?;
    Ok(Json(ArmedFaults { faults }))
}

/// Arms a fault of a key.
#[utoipa::path(
    post, path = "/keys/{key}/faults", tag = "faults", params(OfKey), request_body = NewFault,
    responses((status = 201, description = "It is armed.", body = ArmedFault))
)]
async fn arm_fault(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Body(new): Body<NewFault>,
) -> Result<(StatusCode, Json<ArmedFault>), Problem> {
    let armed = whole(working(&app)?, async move {
        app.rig.arm_fault(&of.key, &new).await
    });
    Ok((StatusCode::CREATED, Json(armed.await?)))
}

/// Disarms every fault of a key.
#[utoipa::path(
    delete, path = "/keys/{key}/faults", tag = "faults", params(OfKey),
    responses((status = 204, description = "None is armed."))
)]
async fn disarm_all_faults(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<StatusCode, Problem> {
    whole(working(&app)?, async move {
        app.rig.disarm_all_faults(&of.key).await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfFault {
    /// The bus id or name of the key that it is armed in.
    key: String,
    /// The id of the fault.
    id: u64,
}

/// Disarms a fault of a key.
#[utoipa::path(
    delete, path = "/keys/{key}/faults/{id}", tag = "faults", params(OfFault),
    responses((status = 204, description = "It is no longer armed."))
)]
async fn disarm_fault(
    State(app): State<App>,
    Path(of): Path<OfFault>,
) -> Result<StatusCode, Problem> {
    whole(working(&app)?, async move {
        app.rig.disarm_fault(&of.key, of.id).await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
