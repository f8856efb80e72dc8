//! `POST /par` (RFC 9126): a client sends its authorization request ahead, over a connection of its own, and gets a name for it.
//!
//! The request is checked as `/authorize` checks it, so a client learns of its mistakes before a person sees them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::error::{ErrorCode, OAuthError};
use super::lookup::Asker;
use super::pushed::{self, PUSHED_SECONDS};
use super::request::{self, Refusal};
use super::{client_auth, dpop, jar};
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::http::limit::Limited;

/// The endpoint.
pub async fn post(
    State(app): State<Arc<App>>,
    Limited(address): Limited,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match push(&app, address, query.as_deref(), &headers, &body).await {
        Ok(answer) => {
            let mut response = (StatusCode::CREATED, Json(answer)).into_response();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn push(
    app: &App,
    address: ClientAddress,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, OAuthError> {
    let (client, form) = client_auth::identify(app, address, query, headers, body).await?;
    if form.value("request_uri").is_some() {
        // RFC 9126 §2.1.
        return Err(OAuthError::invalid_request(
            "request_uri is what this endpoint gives, not what it takes",
        ));
    }
    let parameters = match form.value("request") {
        // RFC 9126 §3: then nothing else counts.
        Some(object) => jar::open(app, &client, object)
            .await
            .map_err(|error| OAuthError::new(ErrorCode::InvalidRequestObject, error.0))?,
        None => request::parameters(&form, &client),
    };
    let mut parameters = parameters;
    let asked = request::check_pushed(app, &parameters, Asker::Program)
        .await
        .map_err(refused)?;
    // RFC 9449 §10.1: a proof here says what dpop_jkt would.
    let proof = dpop::of_pushed_request(app, headers)?;
    match (&proof, asked.bound_to) {
        (Some(proof), Some(key)) if proof.key != key => {
            return Err(OAuthError::invalid_request(
                "dpop_jkt names another key than the DPoP proof's",
            ));
        }
        (Some(proof), None) => request::bind(&mut parameters, &proof.key),
        _ => {}
    }
    let mut tx = app.store.begin().await?;
    let uri = pushed::new_uri(app)?;
    pushed::keep(&mut tx, app, &client.identifier, &uri, parameters).await?;
    dpop::spend(&mut tx, proof.as_ref()).await?;
    tx.commit().await?;
    Ok(json!({ "request_uri": uri, "expires_in": PUSHED_SECONDS }))
}

fn refused(refusal: Refusal) -> OAuthError {
    match refusal {
        Refusal::Page(error) if error.problem().status.is_server_error() => {
            OAuthError::new(ErrorCode::ServerError, "internal error")
        }
        Refusal::Page(_) => OAuthError::invalid_request(
            "redirect_uri is missing, or not one that is registered for this client",
        ),
        Refusal::Client {
            code, description, ..
        } => OAuthError::new(code.pushed(), description),
    }
}
