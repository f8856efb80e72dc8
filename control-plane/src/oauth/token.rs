//! `POST /token` (RFC 6749 §3.2), and the grant `client_credentials` (§4.4); the others are in `exchange`, `refresh`, `device`,
//! `token_exchange` and `jwt_bearer`.
//!
//! Every client_credentials token takes one status index from the short-lived lists of the access-token key, so that each can be revoked
//! alone. The index row is what is kept of a token; an audit row is not written.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use shared::dpop::Proof;
use shared::scope::ScopeSet;
use shared::token::{Claims, Status, StatusReference};

use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use super::jws::{self, Type};
use super::pair::{self, Granted};
use super::{client_auth, device, dpop, exchange, jwt_bearer, refresh, resource, token_exchange};
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::http::limit::Limited;
use crate::signing::{self, Purpose};
use crate::store::clients::{Client, ClientKind};
use crate::store::orgs::IssueSubjects;
use crate::store::status_lists::Holder;

/// RFC 8628 §3.4.
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// RFC 8693 §2.1.
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The endpoint.
pub async fn post(
    State(app): State<Arc<App>>,
    Limited(address): Limited,
    Extension(request): Extension<RequestId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = grant(&app, address, query.as_deref(), &headers, &body, request).await;
    let result = outcome
        .as_ref()
        .map_or_else(|error| error.code.as_str(), |_| "granted");
    metrics::counter!("portcullis_token_requests_total", "result" => result).increment(1);
    match outcome {
        Ok(granted) => granted.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn grant(
    app: &App,
    address: ClientAddress,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
    request: RequestId,
) -> Result<Granted, OAuthError> {
    let (client, form) = client_auth::identify(app, address, query, headers, body).await?;
    let actor = client_auth::actor(&client, request);
    let proof = dpop::of_token_request(app, &client, headers)?;
    let proof = proof.as_ref();
    match form.value("grant_type") {
        Some("client_credentials") => client_credentials(app, &client, &form, proof).await,
        Some("authorization_code") => exchange::grant(app, &client, &form, proof, &actor).await,
        Some("refresh_token") => refresh::grant(app, &client, &form, proof, &actor).await,
        Some(TOKEN_EXCHANGE) => token_exchange::grant(app, &client, &form, proof).await,
        Some(DEVICE_CODE) => device::grant(app, &client, &form, proof, &actor).await,
        Some(jwt_bearer::GRANT_TYPE) if !app.config.identity_providers.is_empty() => {
            jwt_bearer::grant(app, &client, &form, proof, &actor).await
        }
        Some(_) => Err(OAuthError::new(
            ErrorCode::UnsupportedGrantType,
            "this server does not know this grant_type; its metadata lists those that it knows",
        )),
        None => Err(OAuthError::invalid_request("grant_type is missing")),
    }
}

async fn client_credentials(
    app: &App,
    client: &Client,
    form: &Form,
    proof: Option<&Proof>,
) -> Result<Granted, OAuthError> {
    if client.kind == ClientKind::Public {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "client_credentials is for confidential clients",
        ));
    }
    let Some(org) = client.org else {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "client_credentials is for clients that an organisation has registered",
        ));
    };
    // 1. What is asked for: scopes within the client's own, and one of our resources (RFC 8707 §2).
    let scopes = requested_scopes(app, client, form)?;
    let resource = resource::named(app, form.value("resource")).ok_or_else(resource::refused)?;
    // 2. Date it, and give it an index, in one transaction that a `not_before` waits for or is seen by.
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let subjects = IssueSubjects {
        org,
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
    let (signing_key, index) = signing::draw_index(
        &mut tx,
        Purpose::AccessToken,
        &org.into(),
        Some(exp),
        &app.random,
        now,
    )
    .await?;
    let holder = Holder {
        org,
        user: None,
        client: client.id,
        issued_at: iat,
    };
    tx.note_holder(index, holder).await?;
    let signer = app.keyring.key(&mut tx, signing_key).await?;
    dpop::spend(&mut tx, proof).await?;
    tx.commit().await.map_err(OAuthError::from)?;
    // 3. Sign, outside the transaction: an index without a token harms nobody.
    let scope = app.catalogue().join(scopes);
    let claims = Claims {
        iss: app.config.issuer.clone(),
        sub: client.identifier.clone(),
        aud: vec![resource.clone()],
        client_id: client.identifier.clone(),
        scope: scope.clone(),
        exp,
        iat,
        nbf: None,
        jti: pair::jti(app)?,
        sid: None,
        org: Some(org),
        workspace: None,
        status: Some(Status {
            status_list: StatusReference::new(&app.config.issuer, index),
        }),
        cnf: dpop::cnf(proof.map(|proof| proof.key)),
    };
    let access_token = jws::sign(Type::AccessToken, &claims, &signer)?;
    Ok(Granted {
        access_token,
        token_type: dpop::token_type(&claims),
        issued_token_type: None,
        expires_in: exp.0.saturating_sub(iat.0),
        refresh_token: None,
        scope,
        id_token: None,
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
