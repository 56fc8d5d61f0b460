//! What happens to keys: as a stream (HTML Standard, server-sent events), as what happened last,
//! and as what is expected of it.
//!
//! A stream is read from the journal at the reader's pace: nothing is kept for it.

use std::convert::Infallible;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName},
    response::{IntoResponse, Response, Sse, sse},
};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use utoipa::{
    IntoParams,
    openapi::{Object, Type},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::waiting;
use crate::{
    control::{
        App,
        body::{Events, Missed},
        input::{Json as Body, Query},
        problem::Problem,
    },
    journal::{Entry, Event, Followed, Follower, KINDS},
    limits::LAST_EVENTS,
    rig::{Expectation, Held},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const USUAL: usize = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(events))
        .routes(routes!(last_events))
        .routes(routes!(expect))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct From {
    /// Events after the one with this number; those from now on, where this and Last-Event-ID are
    /// absent.
    after: Option<u64>,
    /// Those of this key alone, by its bus id or name.
    key: Option<String>,
}

/// Events as they come: `id` is the number, `event` the kind, `data` an Entry. An event `missed`
/// says how many are no longer kept. The stream goes on after `Last-Event-ID`; a number that is
/// yet to come is of an earlier process, and all that are kept come.
#[utoipa::path(
    get, path = "/events", tag = "events",
    params(From, ("Last-Event-ID" = Option<u64>, Header, description = "Goes before `after`.")),
    responses((status = 200, description = "Server-sent events.", body = String,
            content_type = "text/event-stream"),
        (status = 503, description = "Too many requests wait.", body = Problem,
            content_type = "application/problem+json"))
)]
async fn events(
    State(app): State<App>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = waiting(&app)?;
    let key = bus_id(&app, from.key)?;
    let journal = app.rig.journal();
    let follower = match last_event_id(&headers)?.or(from.after) {
        None => journal.follow(),
        Some(after) if after > journal.last() => journal.follow_after(0),
        Some(after) => journal.follow_after(after),
    };
    let events = stream::unfold((follower, key), |(mut follower, key)| async move {
        let event = next(&mut follower, key.as_deref()).await?;
        Some((Ok::<_, Infallible>(event), (follower, key)))
    });
    let events = events.take_until(app.end()).map(move |event| {
        let _place = &place;
        event
    });
    let alive = sse::KeepAlive::new().interval(app.limits.silence);
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let number = number.ok_or_else(|| Problem::invalid("Last-Event-ID is an event's number"))?;
    Ok(Some(number))
}

async fn next(follower: &mut Follower, key: Option<&str>) -> Option<sse::Event> {
    loop {
        let event = match follower.next().await? {
            Followed::Missed(missed) => sse::Event::default()
                .event("missed")
                .json_data(Missed { missed }),
            Followed::Entry(entry) if is_of(&entry, key) => sse::Event::default()
                .id(entry.sequence.to_string())
                .event(entry.event.kind())
                .json_data(&*entry),
            Followed::Entry(_) => continue,
        };
        // Both can be written in JSON.
        return event.ok();
    }
}

fn is_of(entry: &Entry, key: Option<&str>) -> bool {
    key.is_none_or(|key| entry.key == key)
}

fn bus_id(app: &App, key: Option<String>) -> Result<Option<String>, Problem> {
    let Some(key) = key else {
        return Ok(None);
    };
    match app.rig.bus_id(&key) {
        Ok(bus_id) => Ok(Some(bus_id)),
        // What happened to a key that was removed is still to be read.
        Err(_) if key.starts_with("1-") => Ok(Some(key)),
        Err(why) => Err(why.into()),
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Last {
    /// So many at most.
    #[serde(default = "usual")]
    #[param(required = false, maximum = 1_000, default = 100)]
    count: usize,
    /// Those of this key alone, by its bus id or name.
    key: Option<String>,
    /// Those of this kind alone.
    #[param(schema_with = kinds)]
    event: Option<String>,
}

fn kinds() -> Object {
    Object::builder()
        .schema_type(Type::String)
        .description(Some("A kind of event."))
        .enum_values(Some(KINDS))
        .build()
}

fn usual() -> usize {
    USUAL
}

/// What happened last.
#[utoipa::path(
    get, path = "/events/last", tag = "events", params(Last),
    responses((status = 200, description = "The newest events.", body = Events))
)]
async fn last_events(
    State(app): State<App>,
    Query(wanted): Query<Last>,
) -> Result<Json<Events>, Problem> {
    if wanted.count > LAST_EVENTS {
        return Err(Problem::invalid(format!("count is {LAST_EVENTS} at most")));
    }
    if let Some(kind) = &wanted.event {
        Event::check_kind(kind).map_err(Problem::invalid)?;
    }
    let key = bus_id(&app, wanted.key)?;
    let (mut events, _) = app.rig.events(0).await;
    let last_event = events.last().map_or(0, |entry| entry.sequence);
    let kind = wanted.event.as_deref();
    events.retain(|entry| {
        is_of(entry, key.as_deref()) && kind.is_none_or(|kind| entry.event.kind() == kind)
    });
    let newest = events
        .iter()
        .skip(events.len().saturating_sub(wanted.count));
    let events = newest.map(|entry| Entry::clone(entry)).collect();
    Ok(Json(Events { events, last_event }))
}

/// Whether what should have happened did.
#[utoipa::path(
    post, path = "/expect", tag = "events", request_body = Expectation,
    responses((status = 200, description = "Whether it did, and why not.", body = Held))
)]
async fn expect(
    State(app): State<App>,
    Body(expectation): Body<Expectation>,
) -> Result<Json<Held>, Problem> {
    Ok(Json(app.rig.expect(&expectation).await?))
}
