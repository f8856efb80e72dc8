//! `GET /v1/edge/feed`: the feed for edges that we cannot reach. What would have been pushed is the answer, and where the edge
//! is by its next question is its acknowledgement. Reports are those of push answers.
//!
//! An edge that has everything may wait for up to 25 s; 304 if nothing came. The tag of an answer names the head and a slot of
//! half a minute, so that a fresh heartbeat comes now and then. While regions are pending the wait is short: their next
//! report tells.
//!
//! What it does not: take over an edge that knows more than this database. Nothing can be fetched from it, so it gets 409,
//! and an alert asks for the database that it knows, or for a way to reach it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use shared::feed::Head;
use shared::id::LIMIT;
use shared::time::UnixMillis;
use tokio::time::Instant;

use super::alerts::{self, Broken, Kind};
use super::uplink::UplinkKey;
use crate::app::App;
use crate::config::{Edge, EdgeMode};
use crate::error::{ApiError, Code};
use crate::http::address::ClientAddress;
use crate::http::auth::bearer;
use crate::http::json::StrictQuery;
use crate::http::limit::TooMany;
use crate::revocation::edge_api::MEDIA_TYPE;
use crate::revocation::link::{Standing, plan, standing};
use crate::revocation::report::{Report, parse_digest};
use crate::revocation::{FeedError, frame, groups, take_report};
use crate::store::edges::EdgeKeyRow;
use crate::store::feed::FeedNo;

/// Where an edge says how it is.
const REPORT: &str = "portcullis-report";
const MAX_REPORT: usize = 8 * 1024;
const LONGEST_WAIT_MS: u64 = 25_000;
/// An answer must be out before the request's own limit.
const MARGIN_MS: u64 = 2000;
/// While a region is pending.
const SHORT_WAIT: Duration = Duration::from_millis(500);
/// A heartbeat that is older is worth another answer.
const SLOT_MS: u64 = 30_000;
/// How often a key's last use is written down.
const TOUCH_MS: u64 = 5000;
/// Failures to authenticate are counted under this name.
const LIMIT_NAME: &str = "edge feed";

/// The query of `GET /v1/edge/feed`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// The epoch of what the edge has.
    epoch: Option<u64>,
    /// The newest frame that it has: also its acknowledgement.
    after: Option<u64>,
    /// The digest of that frame.
    digest: Option<String>,
    /// How many milliseconds it would wait for something new.
    wait: Option<u64>,
}

/// `GET /v1/edge/feed`
#[utoipa::path(
    get, path = "/v1/edge/feed", tag = "edge", operation_id = "feed",
    summary = "Fetch the feed",
    description = "For edges that cannot be reached: what would have been pushed, in the feed's own format.",
    params(FeedQuery),
    security(("uplink_key" = [])),
    responses(
        (status = 200, description = "Frames, or a snapshot, and a heartbeat.", body = Vec<u8>, content_type = "application/vnd.portcullis.feed",
            headers(("ETag" = String, description = "The head, for `If-None-Match`."))),
        (status = 304, description = "Nothing new."),
        (status = 409, description = "`edge_ahead`: the edge knows more than this database."),
    ),
)]
pub async fn get(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    headers: HeaderMap,
    query: Result<StrictQuery<FeedQuery>, ApiError>,
) -> Result<Response, ApiError> {
    let result = answer(&app, address, &headers, query).await;
    let status = match &result {
        Ok(response) => response.status(),
        Err(error) => error.problem().code.status(),
    };
    metrics::counter!("portcullis_edge_fetches_total", "status" => status.as_str().to_owned()).increment(1);
    result
}

/// The edge that comes with a valid uplink key, if it may come again already.
pub(crate) async fn fetching_edge<'a>(
    app: &'a App,
    address: ClientAddress,
    headers: &HeaderMap,
) -> Result<&'a Edge, ApiError> {
    let (edge, key) = authenticate(app, address, headers).await?;
    app.edges.fetches.take(&key.id).map_err(too_many)?;
    touch(app, &key).await?;
    Ok(edge)
}

async fn answer(
    app: &App,
    address: ClientAddress,
    headers: &HeaderMap,
    query: Result<StrictQuery<FeedQuery>, ApiError>,
) -> Result<Response, ApiError> {
    // 1. Who asks, before anything that was sent is looked at.
    let (edge, key) = authenticate(app, address, headers).await?;
    app.edges.fetches.take(&key.id).map_err(too_many)?;
    touch(app, &key).await?;

    // 2. What it has, and how it is.
    let StrictQuery(query) = query?;
    let theirs = head_of(&query)?;
    let report = report(headers, theirs)?;
    let mut tx = app.store.begin_read().await?;
    let feed = groups::feed_of(&mut tx, edge).await.map_err(internal)?;
    let hub = standing(&mut tx, feed, theirs).await.map_err(internal)?;
    drop(tx);
    if let Standing::Stranger(theirs) = hub {
        return Err(ahead(app, edge, theirs).await);
    }
    not_ahead(app, edge).await?;
    take_report(app, edge, feed, &report, hub)
        .await
        .map_err(internal)?;

    // 3. What it lacks, now or within its wait.
    let given = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let given = given.map(|tag| tag.trim().trim_start_matches("W/"));
    let longest = LONGEST_WAIT_MS.min((app.config.limits.request_seconds * 1000).saturating_sub(MARGIN_MS));
    let deadline = Instant::now() + Duration::from_millis(query.wait.unwrap_or(0).min(longest));
    let mut progress = app.feed.watch();
    loop {
        progress.borrow_and_update();
        let head = frame::head_of(&mut app.store.begin_read().await?, feed)
            .await
            .map_err(internal)?;
        let tag = tag(head, app.clock.now());
        let has_all = hub == Standing::At(frame::position(head)) || (hub == Standing::Empty && head.seq == 0);
        if !has_all || given != Some(tag.as_str()) {
            return send(app, feed, hub).await;
        }
        let pending = app
            .feed
            .ledgers()
            .get(&edge.name)
            .is_some_and(|ledger| ledger.is_pending(frame::position(head)));
        let until = if pending {
            deadline.min(Instant::now() + SHORT_WAIT)
        } else {
            deadline
        };
        let woken = tokio::select! {
            // An error means that the publisher is gone, which it is not while `app` is there.
            _ = progress.wait_for(|progress| progress.head > frame::position(head)) => true,
            () = tokio::time::sleep_until(until) => false,
            () = app.edges.stopped() => false,
        };
        if !woken {
            touch(app, &key).await?;
            let tag_now = self::tag(
                frame::head_of(&mut app.store.begin_read().await?, feed)
                    .await
                    .map_err(internal)?,
                app.clock.now(),
            );
            if given == Some(tag_now.as_str()) {
                return respond(StatusCode::NOT_MODIFIED, &tag_now, Body::empty());
            }
            return send(app, feed, hub).await;
        }
    }
}

/// What would have been pushed.
async fn send(app: &App, feed: FeedNo, hub: Standing) -> Result<Response, ApiError> {
    let mut hub = hub;
    let plan = plan(app, feed, &mut hub).await.map_err(internal)?;
    let tag = tag(plan.target, app.clock.now());
    let mut response = respond(StatusCode::OK, &tag, Body::from(plan.message))?;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(response)
}

fn respond(status: StatusCode, tag: &str, body: Body) -> Result<Response, ApiError> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ETAG, HeaderValue::from_str(tag).map_err(ApiError::internal)?);
    Ok(response)
}

/// The head, and the slot of time that a heartbeat is good for.
fn tag(head: Head, now: UnixMillis) -> String {
    let [a, b, c, d, ..] = head.digest;
    let digest = u32::from_be_bytes([a, b, c, d]);
    format!("\"{}-{}-{digest:08x}-{}\"", head.epoch, head.seq, now.0 / SLOT_MS)
}

/// A valid key of an edge that fetches here.
async fn authenticate<'a>(
    app: &'a App,
    address: ClientAddress,
    headers: &HeaderMap,
) -> Result<(&'a Edge, EdgeKeyRow), ApiError> {
    app.limits
        .may_authenticate(LIMIT_NAME, address)
        .map_err(too_many)?;
    let text = bearer(headers).map_err(|error| match error.code() {
        Code::CredentialsMissing => ApiError::new(
            Code::CredentialsMissing,
            "send the edge's uplink key as `Authorization: Bearer pcu_…`",
        ),
        _ => error,
    })?;
    let row = match UplinkKey::parse(text) {
        Some(key) => app.store.begin_read().await?.edge_key(&key.digest()).await?,
        None => None,
    };
    let Some(row) = row else {
        app.limits.failed_authentication(LIMIT_NAME, address);
        return Err(ApiError::new(
            Code::InvalidToken,
            "this is no valid uplink key; make one with `portcullis edge key NAME`",
        ));
    };
    let edge = app
        .config
        .edges
        .iter()
        .find(|edge| edge.name == row.edge && edge.mode == EdgeMode::Pull);
    match edge {
        Some(edge) => Ok((edge, row)),
        None => Err(ApiError::new(
            Code::WrongEdge,
            "the key is of an edge that does not fetch here; set its mode to \"pull\" in `edges`, or use the right key",
        )),
    }
}

async fn touch(app: &App, key: &EdgeKeyRow) -> Result<(), ApiError> {
    let now = app.clock.now();
    let used = app.store.begin_read().await?.last_fetch(&key.edge).await?;
    if used.is_some_and(|at| now.since(at) < TOUCH_MS) {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    tx.touch_edge_key(&key.id, now).await?;
    Ok(tx.commit().await?)
}

/// All of a head, or nothing: an edge that holds nothing yet.
fn head_of(query: &FeedQuery) -> Result<Option<Head>, ApiError> {
    let (epoch, seq) = match (query.epoch, query.after) {
        // Before the first frame of an epoch there is nothing to hold.
        (Some(epoch), Some(0)) if epoch < LIMIT => return Ok(None),
        (None, None) => return Ok(None),
        (Some(epoch), Some(seq)) if epoch < LIMIT && seq < LIMIT => (epoch, seq),
        _ => {
            return Err(ApiError::invalid_field(
                "after",
                "send `epoch`, `after` and `digest` of the edge's head together, or none of them",
            ));
        }
    };
    let digest = query.digest.as_deref().and_then(parse_digest).ok_or_else(|| {
        ApiError::invalid_field("digest", "must be the 64 hexadecimal digits of the edge's head")
    })?;
    Ok(Some(Head { epoch, seq, digest }))
}

/// The report, with the head of the query: that one acknowledges.
fn report(headers: &HeaderMap, head: Option<Head>) -> Result<Report, ApiError> {
    let mut values = headers.get_all(REPORT).iter();
    let Some(value) = values.next() else {
        return Ok(Report::silent(head));
    };
    let invalid = |detail: String| ApiError::invalid_field("Portcullis-Report", detail);
    if values.next().is_some() || value.len() > MAX_REPORT {
        return Err(invalid(format!(
            "must be one header of at most {MAX_REPORT} bytes"
        )));
    }
    let report = Report::parse(value.as_bytes()).map_err(|problem| invalid(format!("it holds {problem}")))?;
    Ok(Report { head, ..report })
}

/// The edge goes on with what it has, and that is all there is to say to it.
async fn ahead(app: &App, edge: &Edge, theirs: Head) -> ApiError {
    let broken = Broken {
        place: (edge.name.clone(), String::new()),
        kind: Kind::Ahead,
        detail: format!(
            "it holds epoch {}, seq {}, which this database did not write",
            theirs.epoch, theirs.seq
        ),
    };
    if let Err(error) = alerts::raise(app, &broken).await {
        tracing::error!(%error, "an alert could not be raised; it is tried at the next fetch");
    }
    ApiError::new(
        Code::EdgeAhead,
        "the edge knows more than this database, which cannot fetch it from there: restore the database that the edge \
         knows, or let the edge be reached once in push mode",
    )
}

async fn not_ahead(app: &App, edge: &Edge) -> Result<(), ApiError> {
    let up = app.store.begin_read().await?.edge_alerts().await?;
    for row in up {
        if row.edge == edge.name && row.kind == Kind::Ahead.as_str() {
            alerts::clear(app, &row).await?;
        }
    }
    Ok(())
}

fn too_many(too_many: TooMany) -> ApiError {
    ApiError::new(
        Code::RateLimited,
        "too many requests of this edge or address; wait as long as it says",
    )
    .retry_after(too_many.retry_after_seconds)
}

fn internal(error: FeedError) -> ApiError {
    match error {
        FeedError::Store(error) => error.into(),
        FeedError::Copy { .. } => {
            ApiError::new(Code::Busy, "this instance does not publish; its log says why").retry_after(5)
        }
        FeedError::NoGroup(_) => {
            ApiError::new(Code::Busy, "the edge's group has no feed yet; ask again").retry_after(1)
        }
        error => ApiError::internal(error),
    }
}
