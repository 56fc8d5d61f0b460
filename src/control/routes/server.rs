//! The process itself, and the description of what it answers.

use std::sync::LazyLock;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    control::{App, body::Profiles, input::Json as Body, openapi, problem::Problem},
    profile::Profile,
    rig::{AttestationMetadata, AttestationRoot, NewMetadata, ServerView},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(description))
        .routes(routes!(server))
        .routes(routes!(profiles))
        .routes(routes!(attestation_root))
        .routes(routes!(attestation_metadata))
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server",
    responses((status = 200, description = "An OpenAPI document.", body = Object,
        content_type = "application/json"))
)]
pub(super) async fn description() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, DOCUMENT.as_str()).into_response()
}

/// The process that the keys run in.
#[utoipa::path(
    get, path = "/server", tag = "server",
    responses((status = 200, description = "What there is.", body = ServerView))
)]
async fn server(State(app): State<App>) -> Json<ServerView> {
    Json(app.rig.server().await)
}

/// What keys can be made after.
#[utoipa::path(
    get, path = "/profiles", tag = "server",
    responses((status = 200, description = "The built-in profiles.", body = Profiles))
)]
async fn profiles() -> Json<Profiles> {
    let profiles = Profile::names().map(str::to_owned).collect();
    Json(Profiles { profiles })
}

/// The root certificate of the test authority that the keys attest with.
#[utoipa::path(
    get, path = "/attestation-root", tag = "server",
    responses((status = 200, description = "What a relying party under test is to trust.",
        body = AttestationRoot))
)]
async fn attestation_root(State(app): State<App>) -> Result<Json<AttestationRoot>, Problem> {
    Ok(Json(app.rig.attestation_root().await?))
}

/// Metadata of the keys' models, or of others, signed under that root: a BLOB as the FIDO Metadata
/// Service has it.
#[utoipa::path(
    post, path = "/attestation-metadata", tag = "server", request_body = NewMetadata,
    responses((status = 200, description = "What a relying party under test is to know.",
        body = AttestationMetadata))
)]
async fn attestation_metadata(
    State(app): State<App>,
    Body(new): Body<NewMetadata>,
) -> Result<Json<AttestationMetadata>, Problem> {
    Ok(Json(app.rig.attestation_metadata(&new).await?))
}
