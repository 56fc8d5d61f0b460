//! Every path: what comes in is taken apart, the rig is asked, the answer goes out. A file for
//! each group.

mod browser;
mod events;
mod faults;
mod keys;
mod passkeys;
mod pin;
mod server;
mod touches;
mod usbip;
mod vault;

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::{IntoParams, openapi::OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::{
    App,
    guard::{self, Door},
    problem::{Problem, explain},
};
use crate::rig::RigError;

/// A key.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfKey {
    /// Its bus id or name.
    key: String,
}

fn described() -> OpenApiRouter<App> {
    let groups = OpenApiRouter::new()
        .merge(server::routes())
        .merge(keys::routes())
        .merge(pin::routes())
        .merge(passkeys::routes())
        .merge(touches::routes())
        .merge(faults::routes())
        .merge(events::routes())
        .merge(vault::routes())
        .merge(usbip::routes());
    OpenApiRouter::new().nest("/v1", groups)
}

/// What the paths say of themselves.
pub(super) fn description() -> OpenApi {
    described().into_openapi()
}

/// Answers what the door lets in.
pub(super) fn router(app: App, door: Arc<Door>) -> Router {
    let paths = match app.browser {
        None => described().split_for_parts().0,
        Some(_) => browser::router(),
    };
    let paths = paths
        .layer(middleware::map_response(explain))
        .with_state(app);
    // A router around it, since a layer of its own would come after routing.
    Router::new()
        .fallback_service(paths)
        .layer(middleware::from_fn_with_state(door, guard::guard))
}

/// Does something to the end, whether or not the client waits for it: half of it would be worse.
async fn whole<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl Future<Output = Result<T, RigError>> + Send + 'static,
) -> Result<T, Problem> {
    let work = async move {
        let _place = place;
        work.await
    };
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(_) => {
            let why = "roamkey failed at this, which is a bug of its own: see its log";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why))
        }
    }
}

/// A place among the requests that wait or follow.
fn waiting(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    let why = "too many requests wait for something or follow events: end one first";
    place(&app.waiting, why)
}

/// A place among the changes that are on their way.
fn working(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    let why = "too many changes are on their way: try again in a moment";
    place(&app.working, why)
}

fn place(places: &Arc<Semaphore>, why: &str) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

/// The answer to what made something, which is at this path from now on.
fn created<T: Serialize>(location: &[&str], made: T) -> Response {
    let mut response = (StatusCode::CREATED, Json(made)).into_response();
    let location = format!("/v1/{}", location.join("/"));
    // Bus ids and hexadecimal are fit for it.
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
