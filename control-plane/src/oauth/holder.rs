//! Whoever holds a token of ours, for giving it up: the index that ends it, and the proof that it needs.
//!
//! What it does not: ask which client it is, or whether the token still counts.

use axum::http::HeaderMap;

use super::dpop;
use super::effective::index_of;
use super::opaque::{Kind, Opaque};
use crate::app::App;
use crate::error::ApiError;
use crate::revocations::possession::Held;

/// The access token of a request. `None`: it has expired, or has no index. One that was exchanged shares its index with the token
/// that it came from, which ends with it: nothing else ends it.
pub(crate) fn of_access_token(
    app: &App,
    method: &str,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Held>, ApiError> {
    let (claims, proof) = dpop::access_token(app, method, path, headers)?;
    if claims.exp <= app.clock.now().seconds() {
        return Ok(None);
    }
    Ok(index_of(app, &claims).map(|index| Held {
        index,
        who: claims.sub,
        credential: format!("index:{}", index.get()),
        proof,
    }))
}

/// A refresh token, used or not: whoever holds one of a family may end the family. `None`: it is none of ours, or is forgotten.
pub(crate) async fn of_refresh_token(
    app: &App,
    text: &str,
    method: &str,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Held>, ApiError> {
    let Some(token) = Opaque::parse(Kind::Refresh, text) else {
        return Ok(None);
    };
    let mut tx = app.store.begin_read().await?;
    let Some(row) = tx.refresh_token(&token.digest()).await? else {
        return Ok(None);
    };
    let Some(grant) = tx.grant(row.grant).await? else {
        return Ok(None);
    };
    let now = app.clock.now().seconds();
    let ended = grant.idle_expires.min(grant.expires) <= now;
    if ended && grant.revoked_at.is_none() {
        return Ok(None);
    }
    let proof = match grant.bound_to {
        Some(key) => Some(dpop::proof_by(app, method, path, headers, key)?),
        None => None,
    };
    Ok(Some(Held {
        index: grant.index,
        who: grant.terms.user.to_string(),
        credential: grant.id.to_string(),
        proof,
    }))
}
