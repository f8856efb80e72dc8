//! `POST /introspect` (RFC 7662): a confidential client asks about a token of its own.
//!
//! The answer is computed from the effective state: scopes under the role's ceiling, and nothing but `{"active": false}` for
//! any token that does not count, is unknown, or is another client's.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::client_auth;
use super::dpop;
use super::effective;
use super::error::OAuthError;
use super::jws;
use super::opaque::{Kind, Opaque};
use super::scopes::{Asked, Identity};
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::http::limit::Limited;
use crate::store::StoreError;
use crate::store::clients::{Client, ClientKind};

/// The endpoint.
pub async fn post(
    State(app): State<Arc<App>>,
    Limited(address): Limited,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match introspect(&app, address, query.as_deref(), &headers, &body).await {
        Ok(answer) => {
            let mut response = Json(answer).into_response();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn introspect(
    app: &App,
    address: ClientAddress,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, OAuthError> {
    let (client, form) = client_auth::identify(app, address, query, headers, body).await?;
    if client.kind != ClientKind::Confidential {
        // RFC 7662 §2.1: whoever asks must prove who they are, or tokens could be tried out here.
        return Err(OAuthError::invalid_client("client authentication is required"));
    }
    let token = form
        .value("token")
        .ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let answer = match Opaque::parse(Kind::Refresh, token) {
        Some(token) => refresh_token(app, &client, &token).await?,
        None => access_token(app, &client, token).await?,
    };
    Ok(answer.unwrap_or_else(|| json!({ "active": false })))
}

async fn access_token(app: &App, client: &Client, token: &str) -> Result<Option<Value>, StoreError> {
    let ours = jws::read_ours(app, token);
    let Some(claims) = ours.filter(|claims| claims.client_id == client.identifier) else {
        return Ok(None);
    };
    let mut tx = app.store.begin_read().await?;
    let Some(effective) = effective::judge(&mut tx, app, &claims, app.clock.now().seconds()).await? else {
        return Ok(None);
    };
    let mut answer = json!({
        "active": true,
        "scope": app.catalogue().join(effective.scopes),
        "client_id": claims.client_id,
        "token_type": dpop::token_type(&claims),
        "exp": claims.exp,
        "iat": claims.iat,
        "sub": claims.sub,
        "aud": claims.aud,
        "iss": claims.iss,
        "jti": claims.jti,
        "org": claims.org,
    });
    if let Value::Object(members) = &mut answer {
        members.extend(claims.sid.map(|sid| ("sid".to_owned(), sid.into())));
        // RFC 9449 §6.2: a resource that asks here checks the proof itself.
        members.extend(claims.cnf.map(|cnf| ("cnf".to_owned(), cnf)));
    }
    Ok(Some(answer))
}

async fn refresh_token(app: &App, client: &Client, token: &Opaque) -> Result<Option<Value>, StoreError> {
    let now = app.clock.now().seconds();
    let mut tx = app.store.begin_read().await?;
    let head = tx.refresh_token(&token.digest()).await?;
    let Some(row) = head.filter(|row| row.used_at.is_none() && row.replaced_at.is_none()) else {
        return Ok(None);
    };
    let grant = tx.grant(row.grant).await?.filter(|grant| {
        let ends = grant.idle_expires.min(grant.expires);
        grant.terms.client == client.id && grant.revoked_at.is_none() && ends > now
    });
    let Some(grant) = grant else { return Ok(None) };
    let member = tx.membership(grant.terms.org, grant.terms.user).await?;
    if !member.is_some_and(|member| member.alive) || tx.index_is_live(grant.index).await? == Some(false) {
        return Ok(None);
    }
    let agreed = Asked {
        scopes: grant.terms.scopes,
        identity: Identity::from_bits(grant.terms.identity),
    };
    Ok(Some(json!({
        "active": true,
        "scope": agreed.join(app.catalogue()),
        "client_id": client.identifier,
        "exp": grant.idle_expires.min(grant.expires),
        "iat": row.created_at.seconds(),
        "sub": grant.terms.user,
        "iss": app.config.issuer,
    })))
}
