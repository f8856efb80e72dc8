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
use crate::app::App;
use crate::edge::pull;
use crate::error::{ApiError, Code};
use crate::http::address::ClientAddress;

/// The longest parcel: one record, or a mebibyte of them.
pub const MAX_BODY: usize = 4 << 20;

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
    responses((status = 200, description = "All of it is applied, now or before.", body = Receipt)),
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
    let bytes = to_bytes(body, MAX_BODY).await.map_err(|_| {
        ApiError::new(
            Code::BodyTooLarge,
            format!("a parcel has at most {MAX_BODY} bytes"),
        )
    })?;
    let parcel = Parcel::decode(&bytes)
        .map_err(|_| ApiError::invalid_field("body", "must be a parcel of usage records"))?;

    // 3. Applied, once.
    let waiting = parcel.waiting.saturating_sub(parcel.records.len() as u64);
    let records: Vec<Vec<u8>> = parcel.records.into_iter().map(|(_, record)| record).collect();
    let applied = apply(&app, &edge.name, &records).await?;
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
