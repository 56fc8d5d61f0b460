//! Keys: listed, made, renamed, plugged in and out, wiped, removed.

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{OfKey, created, whole, working};
use crate::{
    control::{
        App,
        body::{Keys, NewName},
        input::{Json as Body, Path, Query},
        problem::Problem,
    },
    rig::{Cloned, ContactView, KeyView, LossView, NewKey, Rig, RigError, TouchPolicy},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(keys, add_key))
        .routes(routes!(key, rename_key, remove_key))
        .routes(routes!(loss))
        .routes(routes!(plug))
        .routes(routes!(unplug))
        .routes(routes!(replug))
        .routes(routes!(power_cycle))
        .routes(routes!(attach))
        .routes(routes!(detach))
        .routes(routes!(wipe_key))
        .routes(routes!(clone_key))
        .routes(routes!(touch_policy, set_touch_policy))
        .routes(routes!(contact))
}

/// Every key.
#[utoipa::path(
    get, path = "/keys", tag = "keys",
    responses((status = 200, description = "The keys.", body = Keys))
)]
async fn keys(State(app): State<App>) -> Result<Json<Keys>, Problem> {
    let keys = app.rig.keys().await?;
    Ok(Json(Keys { keys }))
}

/// Makes a key and plugs it in.
#[utoipa::path(
    post, path = "/keys", tag = "keys", request_body = NewKey,
    responses((status = 201, description = "It was made.", body = KeyView,
        headers(("Location" = String, description = "Its path."))))
)]
async fn add_key(State(app): State<App>, Body(new): Body<NewKey>) -> Result<Response, Problem> {
    let key = whole(working(&app)?, async move { app.rig.add_key(new).await }).await?;
    Ok(created(&["keys", &key.bus_id.clone()], key))
}

/// One key.
#[utoipa::path(
    get, path = "/keys/{key}", tag = "keys", params(OfKey),
    responses((status = 200, description = "The key.", body = KeyView))
)]
async fn key(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<KeyView>, Problem> {
    Ok(Json(app.rig.key(&of.key).await?))
}

/// Gives a key another name.
#[utoipa::path(
    patch, path = "/keys/{key}", tag = "keys", params(OfKey), request_body = NewName,
    responses((status = 200, description = "The key.", body = KeyView))
)]
async fn rename_key(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Body(new): Body<NewName>,
) -> Result<Json<KeyView>, Problem> {
    let renamed = whole(working(&app)?, async move {
        app.rig.rename_key(&of.key, &new.name).await
    });
    Ok(Json(renamed.await?))
}

/// Removes a key with everything in it, from the vault as well.
#[utoipa::path(
    delete, path = "/keys/{key}", tag = "keys", params(OfKey),
    responses((status = 200, description = "What was in it.", body = LossView))
)]
async fn remove_key(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<LossView>, Problem> {
    let removed = whole(
        working(&app)?,
        async move { app.rig.remove_key(&of.key).await },
    );
    Ok(Json(removed.await?))
}

/// What wiping or removing a key would lose.
#[utoipa::path(
    get, path = "/keys/{key}/loss", tag = "keys", params(OfKey),
    responses((status = 200, description = "What is in it.", body = LossView))
)]
async fn loss(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<LossView>, Problem> {
    Ok(Json(app.rig.loss(&of.key).await?))
}

/// Changes a key in a way that its view tells.
async fn change<F>(
    app: App,
    of: OfKey,
    change: impl FnOnce(Rig, String) -> F,
) -> Result<Json<KeyView>, Problem>
where
    F: Future<Output = Result<KeyView, RigError>> + Send + 'static,
{
    Ok(Json(whole(working(&app)?, change(app.rig, of.key)).await?))
}

/// Lets hosts see a key.
#[utoipa::path(
    post, path = "/keys/{key}/plug", tag = "keys", params(OfKey),
    responses((status = 200, description = "The key.", body = KeyView))
)]
async fn plug(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<KeyView>, Problem> {
    change(app, of, |rig, key| async move { rig.plug(&key).await }).await
}

/// Takes a key away from hosts; when this is answered, its host's session is over.
#[utoipa::path(
    post, path = "/keys/{key}/unplug", tag = "keys", params(OfKey),
    responses((status = 200, description = "The key.", body = KeyView))
)]
async fn unplug(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<KeyView>, Problem> {
    change(app, of, |rig, key| async move { rig.unplug(&key).await }).await
}

/// Unplugs a key and plugs it in again.
#[utoipa::path(
    post, path = "/keys/{key}/replug", tag = "keys", params(OfKey),
    responses((status = 200, description = "The key.", body = KeyView))
)]
async fn replug(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<KeyView>, Problem> {
    change(app, of, |rig, key| async move { rig.replug(&key).await }).await
}

/// Takes a key's power for a moment, while its host keeps the device.
#[utoipa::path(
    post, path = "/keys/{key}/power-cycle", tag = "keys", params(OfKey),
    responses((status = 200, description = "The key.", body = KeyView))
)]
async fn power_cycle(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<KeyView>, Problem> {
    let cycle = |rig: Rig, key: String| async move { rig.power_cycle(&key).await };
    change(app, of, cycle).await
}

/// Attaches a key to the kernel of the server's machine, which has to run as root for it.
#[utoipa::path(
    post, path = "/keys/{key}/attach", tag = "keys", params(OfKey),
    responses((status = 200, description = "The key.", body = KeyView))
)]
async fn attach(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<KeyView>, Problem> {
    change(app, of, |rig, key| async move { rig.attach(&key).await }).await
}

/// Ends the session of a key's host, and leaves it where it can be attached again.
#[utoipa::path(
    post, path = "/keys/{key}/detach", tag = "keys", params(OfKey),
    responses((status = 200, description = "The key.", body = KeyView))
)]
async fn detach(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<KeyView>, Problem> {
    change(app, of, |rig, key| async move { rig.detach(&key).await }).await
}

/// Makes a key as good as new.
#[utoipa::path(
    post, path = "/keys/{key}/wipe", tag = "keys", params(OfKey),
    responses((status = 200, description = "What was in it.", body = LossView))
)]
async fn wipe_key(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<LossView>, Problem> {
    let wiped = whole(
        working(&app)?,
        async move { app.rig.wipe_key(&of.key).await },
    );
    Ok(Json(wiped.await?))
}

/// Makes a stored key like this one, and plugs it in.
#[utoipa::path(
    post, path = "/keys/{key}/clone", tag = "keys", params(OfKey), request_body = Cloned,
    responses((status = 201, description = "It was made.", body = KeyView,
        headers(("Location" = String, description = "Its path."))))
)]
async fn clone_key(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Body(clone): Body<Cloned>,
) -> Result<Response, Problem> {
    let key = whole(working(&app)?, async move {
        app.rig.clone_key(&of.key, clone).await
    })
    .await?;
    Ok(created(&["keys", &key.bus_id.clone()], key))
}

/// How a key's touches are decided; the script is what is left of it.
#[utoipa::path(
    get, path = "/keys/{key}/touch-policy", tag = "touches", params(OfKey),
    responses((status = 200, description = "The policy.", body = TouchPolicy))
)]
async fn touch_policy(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<TouchPolicy>, Problem> {
    Ok(Json(app.rig.touch_policy(&of.key)?))
}

/// Decides a key's touches so from the next one on.
#[utoipa::path(
    put, path = "/keys/{key}/touch-policy", tag = "touches", params(OfKey),
    request_body = TouchPolicy,
    responses((status = 200, description = "The policy.", body = TouchPolicy))
)]
async fn set_touch_policy(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Body(policy): Body<TouchPolicy>,
) -> Result<Json<TouchPolicy>, Problem> {
    app.rig.set_touch_policy(&of.key, &policy)?;
    Ok(Json(app.rig.touch_policy(&of.key)?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Since {
    /// Events after the one with this number count.
    #[serde(default)]
    #[param(required = false)]
    since: u64,
}

/// How far a host has come with a key.
#[utoipa::path(
    get, path = "/keys/{key}/contact", tag = "events", params(OfKey, Since),
    responses((status = 200, description = "How far.", body = ContactView))
)]
async fn contact(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Query(query): Query<Since>,
) -> Result<Json<ContactView>, Problem> {
    Ok(Json(app.rig.contact(&of.key, query.since).await?))
}
