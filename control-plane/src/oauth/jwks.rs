//! `GET /.well-known/jwks.json`: the public keys of access tokens (RFC 7517), for verifiers that are not our edge.
//!
//! Pending keys are listed before they sign, retired ones until their last token has ended.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;
use crate::signing::{KeyState, Purpose};

/// Answers with every key whose tokens may still count.
pub async fn get(State(app): State<Arc<App>>) -> Response {
    let keys: Vec<_> = app
        .keyring
        .all()
        .iter()
        .filter(|key| key.purpose == Purpose::AccessToken && key.state != KeyState::Removed)
        .map(|key| key.public.jwk(&key.id.kid()))
        .collect();
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, json!({ "keys": keys }).to_string()).into_response()
}
