//! The passkeys of a key.

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{OfKey, created, whole, working};
use crate::{
    control::{
        App,
        body::Passkeys,
        input::{Json as Body, Path, Query, Secret},
        problem::Problem,
    },
    rig::{NewPasskey, PasskeyEdit, PasskeyView, PrivateKeyView},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(passkeys, inject))
        .routes(routes!(passkey, edit_passkey, delete_passkey))
        .routes(routes!(private_key))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfSite {
    /// Those of this site alone.
    rp: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfPasskey {
    /// The bus id or name of the key that it is in.
    key: String,
    /// Its credential id, in hexadecimal.
    #[param(pattern = "^([0-9a-fA-F]{2}){1,1023}$")]
    id: String,
}

/// The passkeys of a key.
#[utoipa::path(
    get, path = "/keys/{key}/passkeys", tag = "passkeys", params(OfKey, OfSite),
    responses((status = 200, description = "The passkeys.", body = Passkeys))
)]
async fn passkeys(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Query(site): Query<OfSite>,
) -> Result<Json<Passkeys>, Problem> {
    let passkeys = app.rig.passkeys(&of.key, site.rp.as_deref()).await?;
    Ok(Json(Passkeys { passkeys }))
}

/// Puts a passkey into a key; one of the same site and account gives way to it.
#[utoipa::path(
    post, path = "/keys/{key}/passkeys", tag = "passkeys", params(OfKey),
    request_body = NewPasskey,
    responses((status = 201, description = "It is in.", body = PasskeyView,
        headers(("Location" = String, description = "Its path."))))
)]
async fn inject(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Secret { 0: new }: Secret<NewPasskey>,
) -> Result<Response, Problem> {
    let put = whole(working(&app)?, async move {
        // By its bus id, which is fit for a path.
        let bus_id = app.rig.bus_id(&of.key)?;
        let passkey = app.rig.inject(&bus_id, new).await?;
        Ok((bus_id, passkey))
    });
    let (bus_id, passkey) = put.await?;
    let location = ["keys", &bus_id, "passkeys", &passkey.id.clone()];
    Ok(created(&location, passkey))
}

/// One passkey, with its public key.
#[utoipa::path(
    get, path = "/keys/{key}/passkeys/{id}", tag = "passkeys", params(OfPasskey),
    responses((status = 200, description = "The passkey.", body = PasskeyView))
)]
async fn passkey(
    State(app): State<App>,
    Path(of): Path<OfPasskey>,
) -> Result<Json<PasskeyView>, Problem> {
    Ok(Json(app.rig.passkey(&of.key, &of.id).await?))
}

/// Changes a passkey.
#[utoipa::path(
    patch, path = "/keys/{key}/passkeys/{id}", tag = "passkeys", params(OfPasskey),
    request_body = PasskeyEdit,
    responses((status = 200, description = "The passkey.", body = PasskeyView))
)]
async fn edit_passkey(
    State(app): State<App>,
    Path(of): Path<OfPasskey>,
    Body(edit): Body<PasskeyEdit>,
) -> Result<Json<PasskeyView>, Problem> {
    let edited = whole(working(&app)?, async move {
        app.rig.edit_passkey(&of.key, &of.id, edit).await
    });
    Ok(Json(edited.await?))
}

/// Deletes a passkey.
#[utoipa::path(
    delete, path = "/keys/{key}/passkeys/{id}", tag = "passkeys", params(OfPasskey),
    responses((status = 200, description = "As it was.", body = PasskeyView))
)]
async fn delete_passkey(
    State(app): State<App>,
    Path(of): Path<OfPasskey>,
) -> Result<Json<PasskeyView>, Problem> {
    let deleted = whole(working(&app)?, async move {
        app.rig.delete_passkey(&of.key, &of.id).await
    });
    Ok(Json(deleted.await?))
}

/// Secret: the private key of a passkey, where the key's profile lets it out.
#[utoipa::path(
    get, path = "/keys/{key}/passkeys/{id}/private-key", tag = "passkeys", params(OfPasskey),
    responses((status = 200, description = "The private key.", body = PrivateKeyView))
)]
async fn private_key(
    State(app): State<App>,
    Path(of): Path<OfPasskey>,
) -> Result<Json<PrivateKeyView>, Problem> {
    Ok(Json(app.rig.private_key(&of.key, &of.id).await?))
}
