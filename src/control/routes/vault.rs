//! Snapshots and backups of the vault.

use std::path::PathBuf;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{whole, working};
use crate::{
    control::{
        App,
        body::{Losses, NewBackup, NewName, Snapshots},
        input::{Json as Body, Path, Secret},
        problem::Problem,
    },
    rig::{BackupView, RigError, SnapshotView},
    vault::{Protection, unlock::Passphrase},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(snapshots, snapshot))
        .routes(routes!(remove_snapshot))
        .routes(routes!(rollback_loss))
        .routes(routes!(rollback))
        .routes(routes!(backup))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfSnapshot {
    /// What the snapshot is called.
    name: String,
}

/// The snapshots.
#[utoipa::path(
    get, path = "/vault/snapshots", tag = "vault",
    responses((status = 200, description = "The snapshots.", body = Snapshots))
)]
async fn snapshots(State(app): State<App>) -> Result<Json<Snapshots>, Problem> {
    let snapshots = app.rig.snapshots().await?;
    Ok(Json(Snapshots { snapshots }))
}

/// Keeps the vault's state as of now.
#[utoipa::path(
    post, path = "/vault/snapshots", tag = "vault", request_body = NewName,
    responses((status = 201, description = "It was made.", body = SnapshotView))
)]
async fn snapshot(
    State(app): State<App>,
    Body(new): Body<NewName>,
) -> Result<(StatusCode, Json<SnapshotView>), Problem> {
    let made = whole(
        working(&app)?,
        async move { app.rig.snapshot(&new.name).await },
    );
    Ok((StatusCode::CREATED, Json(made.await?)))
}

/// Removes a snapshot.
#[utoipa::path(
    delete, path = "/vault/snapshots/{name}", tag = "vault", params(OfSnapshot),
    responses((status = 204, description = "It is gone."))
)]
async fn remove_snapshot(
    State(app): State<App>,
    Path(of): Path<OfSnapshot>,
) -> Result<StatusCode, Problem> {
    whole(working(&app)?, async move {
        app.rig.remove_snapshot(&of.name).await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What going back to a snapshot would lose.
#[utoipa::path(
    get, path = "/vault/snapshots/{name}/loss", tag = "vault", params(OfSnapshot),
    responses((status = 200, description = "What would be lost.", body = Losses))
)]
async fn rollback_loss(
    State(app): State<App>,
    Path(of): Path<OfSnapshot>,
) -> Result<Json<Losses>, Problem> {
    let lost = app.rig.rollback_loss(&of.name).await?;
    Ok(Json(Losses { lost }))
}

/// Goes back to a snapshot, but for counters and PIN attempts, which do not go back.
#[utoipa::path(
    post, path = "/vault/snapshots/{name}/rollback", tag = "vault", params(OfSnapshot),
    responses((status = 200, description = "What was lost.", body = Losses))
)]
async fn rollback(
    State(app): State<App>,
    Path(of): Path<OfSnapshot>,
) -> Result<Json<Losses>, Problem> {
    let lost = whole(
        working(&app)?,
        async move { app.rig.rollback(&of.name).await },
    )
    .await?;
    Ok(Json(Losses { lost }))
}

/// Writes a backup to a new file while keys go on.
#[utoipa::path(
    post, path = "/vault/backup", tag = "vault", request_body = NewBackup,
    responses((status = 201, description = "It was written.", body = BackupView))
)]
async fn backup(
    State(app): State<App>,
    Secret { 0: new }: Secret<NewBackup>,
) -> Result<(StatusCode, Json<BackupView>), Problem> {
    let path = PathBuf::from(&new.path);
    // Where this process happens to run is no business of the caller's.
    if !path.is_absolute() {
        let why = "path names a file from the root on, such as /home/me/backup.age";
        return Err(Problem::invalid(why));
    }
    let protection = protection(new)?;
    let written = whole(working(&app)?, async move {
        app.rig.backup(path, protection).await
    });
    Ok((StatusCode::CREATED, Json(written.await?)))
}

fn protection(new: NewBackup) -> Result<Protection, RigError> {
    match (new.passphrase, new.recipients.as_slice()) {
        (Some(passphrase), []) => {
            let passphrase = Passphrase::new(Zeroizing::new(passphrase));
            Protection::passphrase(&passphrase).map_err(RigError::invalid)
        }
        (None, recipients) if !recipients.is_empty() => {
            let recipients = recipients.iter().map(String::as_str);
            Protection::recipients(recipients).map_err(RigError::invalid)
        }
        (passphrase, _) => {
            drop(passphrase.map(Zeroizing::new));
            Err(RigError::invalid(
                "a backup is for a passphrase or for recipients: one of them, and not both",
            ))
        }
    }
}
