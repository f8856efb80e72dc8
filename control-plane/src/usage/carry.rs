//! `POST /v1/edge/usage`: what an edge brings that we cannot reach, with its uplink key. The answer 200 says that all of it is
//! applied, now or before.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use shared::usage::Parcel;

use super::Waiting;
use super::apply::apply;
use super::intake::{Intake, MAX_BYTES};
use crate::app::App;
use crate::edge::pull;
use crate::error::{ApiError, Code};
use crate::http::address::ClientAddress;

/// The answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = UsageReceipt)]
pub struct Receipt {
    /// Records that were new.
    applied: u64,
    /// Records that were applied before.
    known: u64,
    /// Records that make no sense.
    unfit: u64,
}

/// `POST /v1/edge/usage`
#[utoipa::path(
    post, path = "/v1/edge/usage", tag = "edge",
    summary = "Bring usage",
    description = "For edges that cannot be reached: a parcel of usage records, in the format of `shared::usage`.",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    security(("uplink_key" = [])),
    responses(
        (status = 200, description = "All of it is applied, now or before.", body = Receipt),
        (status = 413, description = "`body_too_large`: more than any edge sends in one parcel."),
        (status = 429, description = "`rate_limited`: one parcel of an edge at a time, and so many rows in a minute."),
    ),
)]
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, ApiError> {
    // 1. Who brings it, before any of it is read.
    let edge = pull::fetching_edge(&app, address, &headers).await?;

    // 2. What it is.
    let too_large = |detail: String| ApiError::new(Code::BodyTooLarge, detail);
    let bytes = to_bytes(body, MAX_BYTES)
        .await
        .map_err(|_| too_large(format!("a parcel has at most {MAX_BYTES} bytes")))?;
    let parcel = Parcel::decode(&bytes)
        .map_err(|_| ApiError::invalid_field("body", "must be a parcel of usage records"))?;
    let waiting = parcel.waiting.saturating_sub(parcel.records.len() as u64);
    let records: Vec<Vec<u8>> = parcel.records.into_iter().map(|(_, record)| record).collect();
    let intake = Intake::read(&records).map_err(|error| too_large(error.to_string()))?;

    // 3. One parcel of an edge at a time, and so many rows in a minute.
    let _turn = app.usage.turn(&edge.name).ok_or_else(|| {
        let detail = "another parcel of this edge is being applied; send the next one after it";
        ApiError::new(Code::RateLimited, detail).retry_after(1)
    })?;
    app.usage.admit(&edge.name, &intake).map_err(|many| {
        let detail = "this edge has brought more usage than is taken at a time; wait as long as it says";
        ApiError::new(Code::RateLimited, detail).retry_after(many.retry_after_seconds)
    })?;

    // 4. Applied, once.
    let applied = apply(&app, &edge.name, &intake).await?;
    let waiting = Waiting {
        records: Some(waiting),
        refused: app.usage.known(&edge.name).refused,
    };
    app.usage.heard(&edge.name, Some(waiting), app.clock.now());
    Ok(Json(Receipt {
        applied: applied.new,
        known: applied.known,
        unfit: applied.unfit,
    }))
}
