//! The paths where the browser's own virtual authenticators stand for keys: those that it can
//! serve do the same as for a key, and every other says that it is unsupported, so that nobody
//! believes a device was tested.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{delete, get, put},
};
use serde::Deserialize;

use super::{OfKey, created, server};
use crate::{
    control::{
        App,
        body::{ArmedFaults, Keys, Passkeys},
        input::{Json as Body, Path, Secret},
        problem::Problem,
    },
    front::{Browser, FrontError, unsupported},
    rig::{
        ArmedFault, KeyView, NewFault, NewKey, NewPasskey, PasskeyView, ServerView, TouchPolicy,
    },
};

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/v1/openapi.json", get(server::description))
        .route("/v1/server", get(server_view))
        .route("/v1/keys", get(keys).post(add_key))
        .route("/v1/keys/{key}", get(key).delete(remove_key))
        .route("/v1/keys/{key}/passkeys", get(passkeys).post(inject))
        .route("/v1/keys/{key}/passkeys/{id}", delete(delete_passkey))
        .route(
            "/v1/keys/{key}/touch-policy",
            put(set_touch_policy).get(touch_policy),
        )
        .route(
            "/v1/keys/{key}/faults",
            get(faults).post(arm_fault).delete(disarm),
        )
        .fallback(other)
        .method_not_allowed_fallback(other)
}

impl From<FrontError> for Problem {
    fn from(why: FrontError) -> Self {
        let status = match &why {
            FrontError::Invalid(_) => StatusCode::BAD_REQUEST,
            FrontError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            FrontError::Failed(_) => StatusCode::CONFLICT,
        };
        Self::new(status, why.to_string())
    }
}

/// The browser of a process that has no keys.
fn browser(app: &App) -> Result<&Browser, Problem> {
    let missing = || Problem::from(unsupported("this"));
    app.browser.as_ref().ok_or_else(missing)
}

async fn other(request: axum::extract::Request) -> Response {
    let path = request.uri().path().to_owned();
    Problem::from(unsupported(&format!("{} {path}", request.method()))).into_response()
}

async fn server_view(State(app): State<App>) -> Result<Json<ServerView>, Problem> {
    let mut view = app.rig.server().await;
    view.backend = "browser".to_owned();
    view.keys = browser(&app)?.keys().await?.len();
    Ok(Json(view))
}

async fn keys(State(app): State<App>) -> Result<Json<Keys>, Problem> {
    let keys = browser(&app)?.keys().await?;
    Ok(Json(Keys { keys }))
}

async fn key(State(app): State<App>, Path(of): Path<OfKey>) -> Result<Json<KeyView>, Problem> {
    Ok(Json(browser(&app)?.key(&of.key).await?))
}

async fn add_key(State(app): State<App>, Body(new): Body<NewKey>) -> Result<Response, Problem> {
    let key = browser(&app)?.add_key(new).await?;
    Ok(created(&["keys", &key.bus_id.clone()], key))
}

async fn remove_key(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<KeyView>, Problem> {
    Ok(Json(browser(&app)?.remove_key(&of.key).await?))
}

async fn passkeys(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<Passkeys>, Problem> {
    let passkeys = browser(&app)?.passkeys(&of.key).await?;
    Ok(Json(Passkeys { passkeys }))
}

async fn inject(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Body(new): Secret<NewPasskey>,
) -> Result<Response, Problem> {
    let made = browser(&app)?.inject(&of.key, new).await?;
    Ok(created(
        &["keys", &of.key, "passkeys", &made.id.clone()],
        made,
    ))
}

#[derive(Deserialize)]
struct OfPasskey {
    key: String,
    id: String,
}

async fn delete_passkey(
    State(app): State<App>,
    Path(of): Path<OfPasskey>,
) -> Result<Json<PasskeyView>, Problem> {
    let deleted = browser(&app)?.delete_passkey(&of.key, &of.id).await?;
    Ok(Json(deleted))
}

async fn touch_policy(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<TouchPolicy>, Problem> {
    Ok(Json(browser(&app)?.touch_policy(&of.key)?))
}

async fn set_touch_policy(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Body(policy): Body<TouchPolicy>,
) -> Result<Json<TouchPolicy>, Problem> {
    let browser = browser(&app)?;
    browser.set_touch_policy(&of.key, &policy).await?;
    Ok(Json(browser.touch_policy(&of.key)?))
}

/// A browser's own faults last until all are disarmed.
fn armed(fault: &str) -> ArmedFault {
    ArmedFault {
        id: 0,
        fault: fault.to_owned(),
        remaining: None,
        operation: None,
        rp: None,
    }
}

async fn faults(
    State(app): State<App>,
    Path(of): Path<OfKey>,
) -> Result<Json<ArmedFaults>, Problem> {
    let faults = browser(&app)?.faults(&of.key)?;
    let faults = faults.into_iter().map(armed).collect();
    Ok(Json(ArmedFaults { faults }))
}

async fn arm_fault(
    State(app): State<App>,
    Path(of): Path<OfKey>,
    Body(new): Body<NewFault>,
) -> Result<(StatusCode, Json<ArmedFault>), Problem> {
    if !new.always || new.operation.is_some() || new.rp.is_some() || new.parameter.is_some() {
        let why = "faults of some operations; say always alone";
        return Err(unsupported(why).into());
    }
    browser(&app)?.set_fault(&of.key, Some(&new.fault)).await?;
    Ok((StatusCode::CREATED, Json(armed(&new.fault))))
}

async fn disarm(State(app): State<App>, Path(of): Path<OfKey>) -> Result<StatusCode, Problem> {
    browser(&app)?.set_fault(&of.key, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
