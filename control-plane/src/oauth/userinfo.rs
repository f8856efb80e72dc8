//! `GET` and `POST /userinfo` (OpenID Connect Core §5.3): who is behind an access token that was given out with `openid`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use super::scopes::Identity;
use super::{dpop, effective};
use crate::app::App;
use crate::error::{ApiError, Code};

/// The endpoint.
pub async fn get(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let invalid = || ApiError::new(Code::InvalidToken, "this access token does not count here");
    // 1. The token: ours, alive, of a person who agreed to `openid`.
    let (claims, proof) = dpop::access_token(&app, method.as_str(), "/userinfo", &headers)?;
    let invalid = || match proof {
        Some(_) => invalid().under_dpop(),
        None => invalid(),
    };
    let mut tx = app.store.begin_read().await?;
    let judged = effective::judge(&mut tx, &app, &claims, app.clock.now().seconds()).await?;
    let terms = judged
        .and_then(|effective| effective.grant)
        .map(|grant| grant.terms)
        .ok_or_else(invalid)?;
    // A token that was exchanged for this one is another client's, to whom the person told nothing (RFC 8693).
    let holder = tx.client_by_identifier(&claims.client_id).await?;
    if holder.is_none_or(|holder| holder.id != terms.client) {
        return Err(invalid());
    }
    let identity = Identity::from_bits(terms.identity);
    if !identity.has_openid() {
        return Err(ApiError::new(
            Code::InsufficientScope,
            "this access token was given out without `openid`",
        )
        .needs("openid"));
    }
    // 2. What they agreed to tell.
    let mut answer = Map::new();
    answer.insert("sub".to_owned(), terms.user.to_string().into());
    answer.insert("org".to_owned(), terms.org.to_string().into());
    if let Some((email, name)) = tx.profile(terms.user).await? {
        if identity.has_profile() {
            answer.insert("name".to_owned(), name.into());
        }
        if identity.has_email() {
            answer.insert("email".to_owned(), email.into());
        }
    }
    drop(tx);
    dpop::spend_alone(&app, proof.as_ref()).await?;
    let mut response = Json(Value::Object(answer)).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
