//! `POST /revoke` (RFC 7009): a client gives a token back.
//!
//! A refresh token ends its whole grant, an access token of a person does too (they share one status index), a token by
//! client_credentials or for an identity assertion ends alone. Tokens that are unknown, ended or another client's get the same 200. The answer
//! comes when the edge refuses the token, unless `wait` asks for less; if that takes too long it is a 503, and asking again
//! continues to wait.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use shared::feed::Entry;
use shared::id::{OrgId, StatusIndex, UserId};

use super::client_auth;
use super::effective::index_of;
use super::error::{ErrorCode, OAuthError};
use super::grants::{self, Reason};
use super::jws;
use super::opaque::{Kind, Opaque};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::http::limit::Limited;
use crate::revocation::{self, Wait};
use crate::store::StoreError;
use crate::store::clients::Client;

/// The endpoint.
pub async fn post(
    State(app): State<Arc<App>>,
    Limited(address): Limited,
    Extension(request): Extension<RequestId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match revoke(&app, address, query.as_deref(), &headers, &body, request).await {
        Ok(()) => {
            // No body and no Content-Type: clients that parse by type have nothing to parse.
            let mut response = StatusCode::OK.into_response();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn revoke(
    app: &App,
    address: ClientAddress,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
    request: RequestId,
) -> Result<(), OAuthError> {
    let (client, form) = client_auth::identify(app, address, query, headers, body).await?;
    let token = form
        .value("token")
        .ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let wait: Wait = match form.value("wait") {
        Some(text) => text
            .parse()
            .map_err(|error| OAuthError::invalid_request(format!("wait: {error}")))?,
        None => Wait::default(),
    };
    let actor = client_auth::actor(&client, request);
    // RFC 7009 §2.1: token_type_hint only saves look-ups, and there are none to save.
    let Some(subject) = end(app, &client, token, &actor).await? else {
        return Ok(());
    };
    let receipt = revocation::await_receipt(app, &subject, wait).await?;
    if wait != Wait::None && receipt.effective_at.is_none() {
        // RFC 7009 §2.2.1: the client must assume that the token still works somewhere.
        return Err(OAuthError::new(
            ErrorCode::TemporarilyUnavailable,
            "the token is revoked, but not every edge has acknowledged it yet; ask again",
        ));
    }
    Ok(())
}

/// Ends what the token stands for and gives the subject of its receipt; `None` if there is nothing to end.
async fn end(app: &App, client: &Client, token: &str, actor: &Actor) -> Result<Option<String>, OAuthError> {
    let mut tx = app.store.begin_read().await?;
    let grant = if let Some(token) = Opaque::parse(Kind::Refresh, token) {
        match tx.refresh_token(&token.digest()).await? {
            Some(row) => row.grant,
            None => return Ok(None),
        }
    } else {
        let claims = jws::read_ours(app, token)
            .filter(|claims| claims.client_id == client.identifier && claims.exp > app.clock.now().seconds());
        let Some((index, claims)) = claims.and_then(|claims| index_of(app, &claims).zip(Some(claims))) else {
            return Ok(None);
        };
        let Some(id) = tx.grant_of_index(index).await? else {
            drop(tx);
            // A person's without a grant came of an identity assertion, and is never exchanged.
            if claims.sub != client.identifier && claims.sub.parse::<UserId>().is_err() {
                return Err(exchanged());
            }
            return Ok(end_index(app, client, (claims.org, index), actor).await?);
        };
        let grant = tx.grant(id).await?;
        if grant.is_some_and(|grant| grant.terms.client != client.id) {
            return Err(exchanged());
        }
        id
    };
    let grant = tx
        .grant(grant)
        .await?
        .filter(|grant| grant.terms.client == client.id);
    drop(tx);
    let Some(grant) = grant else { return Ok(None) };
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if grants::revoke(&mut tx, app, &grant, Reason::Client, actor, now).await? {
        tx.commit().await?;
        app.feed.wake();
        metrics::counter!("portcullis_grants_revoked_total", "reason" => "client").increment(1);
    }
    Ok(Some(grant.id.to_string()))
}

/// RFC 8693: its status index is that of the token it came from, which is another client's to end.
fn exchanged() -> OAuthError {
    OAuthError::new(
        ErrorCode::UnsupportedTokenType,
        "an exchanged token can not be revoked alone: it ends with the token that it came from, or when it expires",
    )
}

/// Ends a token that stands alone.
async fn end_index(
    app: &App,
    client: &Client,
    (org, index): (Option<OrgId>, StatusIndex),
    actor: &Actor,
) -> Result<Option<String>, StoreError> {
    let subject = format!("index:{}", index.get());
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if tx.revoke_index(index, now).await? {
        let outbox = revocation::enqueue(&mut tx, &org.into(), &subject, &Entry::revoked(index), now).await?;
        tx.insert_receipt(&subject, now, outbox).await?;
        let event = Event {
            org,
            actor,
            action: "access_token.revoke",
            target: subject.clone(),
            detail: json!({ "client_id": client.id }),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
        tx.commit().await?;
        app.feed.wake();
    } else if tx.receipt(&subject).await?.is_none() {
        // Forgotten, or revoked by a state that was taken over from the edge, which has it.
        return Ok(None);
    }
    Ok(Some(subject))
}
