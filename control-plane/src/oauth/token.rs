//! `POST /token` (RFC 6749 §3.2) with the grant `client_credentials` (§4.4).
//!
//! Every token takes one status index from the short-lived lists of the access-token key, so that each can be revoked
//! alone. The index row is what is kept of a token; an audit row is not written.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::policy::same_resource;
use shared::scope::ScopeSet;
use shared::token::{Claims, Status, StatusReference};

use super::access_token;
use super::client_auth::ClientCredentials;
use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use crate::app::App;
use crate::signing::{self, Purpose};
use crate::store::clients::Client;
use crate::store::orgs::IssueSubjects;

/// RFC 6749 §5.1. The token is a secret: this type is never logged.
#[derive(Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
}

/// The endpoint.
pub async fn post(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = grant(&app, query.as_deref(), &headers, &body).await;
    let result = outcome
        .as_ref()
        .map_or_else(|error| error.code.as_str(), |_| "granted");
    metrics::counter!("portcullis_token_requests_total", "result" => result).increment(1);
    match outcome {
        Ok(granted) => {
            let mut response = Json(granted).into_response();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn grant(
    app: &App,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Granted, OAuthError> {
    // RFC 6749 §2.3.1: credentials must not be in the URI, where logs keep them. No parameter belongs there.
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(OAuthError::invalid_request(
            "parameters go into the body, not into the URL",
        ));
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let form = Form::parse(content_type, body)?;
    let credentials = ClientCredentials::find(headers, &form)?;
    let client = authenticate(app, &credentials).await?;
    match form.value("grant_type") {
        Some("client_credentials") => client_credentials(app, &client, &form).await,
        Some(_) => Err(OAuthError::new(
            ErrorCode::UnsupportedGrantType,
            "this server grants client_credentials",
        )),
        None => Err(OAuthError::invalid_request("grant_type is missing")),
    }
}

/// One answer for a wrong id, a wrong secret and a disabled client, after the same work.
async fn authenticate(app: &App, credentials: &ClientCredentials) -> Result<Client, OAuthError> {
    let mut tx = app.store.begin_read().await?;
    let client = match credentials.id {
        Some(id) => tx.client(id).await?,
        None => None,
    };
    let matches = credentials.matches(client.as_ref().map(|client| &client.secret_digest));
    client
        .filter(|client| matches && client.disabled_at.is_none())
        .ok_or_else(|| OAuthError::invalid_client("client authentication failed"))
}

async fn client_credentials(app: &App, client: &Client, form: &Form) -> Result<Granted, OAuthError> {
    // 1. What is asked for: scopes within the client's own, and our one resource (RFC 8707 §2).
    let scopes = requested_scopes(app, client, form)?;
    if form
        .value("resource")
        .is_some_and(|resource| !same_resource(resource, &app.config.resource))
    {
        return Err(OAuthError::new(
            ErrorCode::InvalidTarget,
            "the resource is not one that this server knows",
        ));
    }
    // 2. Date it, and give it an index, in one transaction that a `not_before` waits for or is seen by.
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let subjects = IssueSubjects {
        org: client.org,
        workspace: None,
        user: None,
    };
    let earliest = tx.issue_time(subjects, now.seconds()).await?;
    let disabled = || OAuthError::invalid_client("client authentication failed");
    let mut iat = tx
        .client_issue_time(client.id, earliest)
        .await?
        .ok_or_else(disabled)?;
    if iat > earliest {
        iat = tx.issue_time(subjects, iat).await?;
    }
    let exp = iat.saturating_add(app.config.tokens.access_seconds);
    let (signing_key, index) =
        signing::draw_index(&mut tx, Purpose::AccessToken, Some(exp), &app.random, now).await?;
    let signer = app.keyring.key(&mut tx, signing_key).await?;
    tx.commit().await.map_err(OAuthError::from)?;
    // 3. Sign, outside the transaction: an index without a token harms nobody.
    let scope = app.catalogue().join(scopes);
    let claims = Claims {
        iss: app.config.issuer.clone(),
        sub: client.id.to_string(),
        aud: vec![app.config.resource.clone()],
        client_id: client.id.to_string(),
        scope: scope.clone(),
        exp,
        iat,
        nbf: None,
        jti: shared::crypto::base64url(&app.random.bytes::<16>().map_err(signing::SigningError::from)?),
        sid: None,
        org: Some(client.org),
        workspace: None,
        status: Some(Status {
            status_list: StatusReference::new(&app.config.issuer, index),
        }),
        cnf: None,
    };
    let access_token = access_token::sign(&claims, &signer)?;
    Ok(Granted {
        access_token,
        token_type: "Bearer",
        expires_in: exp.0.saturating_sub(now.seconds().0),
        scope,
    })
}

/// RFC 6749 §3.3: what is asked for, or the client's own scopes. Never more than the client has.
fn requested_scopes(app: &App, client: &Client, form: &Form) -> Result<ScopeSet, OAuthError> {
    let Some(scope) = form.value("scope") else {
        return Ok(client.scopes);
    };
    let invalid = |why: &str| OAuthError::new(ErrorCode::InvalidScope, why);
    let names: Vec<&str> = scope.split(' ').collect();
    let asked = app
        .catalogue()
        .parse(&names)
        .map_err(|_| invalid("a scope is unknown or malformed"))?;
    if !app.catalogue().satisfies(client.scopes, asked) {
        return Err(invalid("a scope is beyond what this client may have"));
    }
    Ok(asked)
}
