//! Managing a registration (RFC 7592): `GET`, `PUT` and `DELETE /register/{client_id}` with the registration access token.
//!
//! Until a person has let the client in there is nothing here to change or delete: `GET` answers from the `client_id` itself,
//! the others say so. A change of what people saw when they agreed asks them again; a deletion ends the client's tokens too.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use super::metadata::{Metadata, MetadataError, Source};
use super::{RegistrationError, answered, describe, read};
use crate::app::App;
use crate::audit::{self, Event};
use crate::http::frame::RequestId;
use crate::http::limit::Limited;
use crate::oauth::lookup::{self, Asker, LookupError};
use crate::oauth::{client_auth, clients};
use crate::revocation::{self, Wait};
use crate::store::clients::{Client, Origin};

/// `GET /register/{client_id}`.
pub async fn show(
    State(app): State<Arc<App>>,
    _: Limited,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match admitted(&app, &client_id, &headers).await {
        Ok(client) => answered(StatusCode::OK, &description(&app, &client)),
        Err(error) => error.into_response(),
    }
}

/// `PUT /register/{client_id}`.
pub async fn update(
    State(app): State<Arc<App>>,
    _: Limited,
    Extension(request): Extension<RequestId>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match replace(&app, request, &client_id, &headers, &body).await {
        Ok(answer) => answered(StatusCode::OK, &answer),
        Err(error) => error.into_response(),
    }
}

/// `DELETE /register/{client_id}`.
pub async fn remove(
    State(app): State<Arc<App>>,
    _: Limited,
    Extension(request): Extension<RequestId>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match end(&app, request, &client_id, &headers).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.into_response(),
    }
}

fn description(app: &App, client: &Client) -> Value {
    let issued_at = client.created_at.seconds();
    describe(app, &client.identifier, issued_at, &Metadata::of(client))
}

/// The client whose token this is. One answer for a wrong token, an unknown client and one that is over (RFC 7592 §2.1).
async fn admitted(app: &App, client_id: &str, headers: &HeaderMap) -> Result<Client, RegistrationError> {
    let refused = || {
        RegistrationError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "this registration access token is not one of this client, or the client is over",
        )
    };
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let presented = sent
        .next()
        .filter(|_| sent.next().is_none())
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token)
        .ok_or_else(refused)?;
    if !app.open_clients.seals.is_access_token(client_id, presented) {
        return Err(refused());
    }
    let client = lookup::find(app, client_id, Asker::Program)
        .await
        .map_err(|error| match error {
            LookupError::Store(error) => error.into(),
            LookupError::Document(_) => refused(),
        })?;
    client
        .filter(|client| client.origin == Origin::Dynamic && client.disabled_at.is_none())
        .ok_or_else(refused)
}

fn not_yet(client: &Client) -> Result<(), RegistrationError> {
    if client.stored {
        return Ok(());
    }
    Err(RegistrationError::new(
        StatusCode::FORBIDDEN,
        "access_denied",
        "nobody has let this client in yet, so nothing of it is kept here: register again, or let the client_id go",
    ))
}

async fn replace(
    app: &App,
    request: RequestId,
    client_id: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, RegistrationError> {
    let client = admitted(app, client_id, headers).await?;
    not_yet(&client)?;
    let members = read(headers, body)?;
    confirm(app, &client, &members)?;
    let metadata = Metadata::read(&members, Source::Registration, &app.config)?;
    let digest = metadata.method.has_secret();
    let changed = Client {
        secret_digest: digest.then(|| app.open_clients.seals.secret_digest(client_id)),
        ..metadata.client(client_id, Origin::Dynamic, client.id)
    };
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if !tx.update_client(client.id, &changed).await? {
        return Err(RegistrationError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "the client is over",
        ));
    }
    tx.forget_consents(client.id).await?;
    let event = Event {
        org: None,
        actor: &client_auth::actor(&client, request),
        action: "client.update",
        target: client.id.to_string(),
        detail: json!({ "name": changed.name, "redirect_uris": changed.redirect_uris }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(describe(app, client_id, client.created_at.seconds(), &metadata))
}

/// RFC 7592 §2.2: the client names itself, and does not try to choose what is ours to give.
fn confirm(app: &App, client: &Client, members: &Map<String, Value>) -> Result<(), RegistrationError> {
    let invalid = |description: &str| MetadataError {
        code: "invalid_client_metadata",
        description: description.to_owned(),
    };
    let given = |name: &str| members.get(name).and_then(Value::as_str);
    if given("client_id") != Some(&client.identifier) {
        return Err(invalid("client_id must be that of this client").into());
    }
    let ours = [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ];
    if let Some(name) = ours.into_iter().find(|name| members.contains_key(*name)) {
        return Err(invalid(&format!("{name} is not for the client to say")).into());
    }
    let secret = members.get("client_secret");
    let digest = |text: &str| shared::crypto::sha256(text.as_bytes());
    let same = |text: &str| {
        let kept = app.open_clients.seals.secret_digest(&client.identifier);
        bool::from(digest(text).ct_eq(&kept))
    };
    if secret.is_some_and(|secret| !secret.as_str().is_some_and(same)) {
        return Err(invalid("client_secret is not that of this client").into());
    }
    Ok(())
}

async fn end(
    app: &App,
    request: RequestId,
    client_id: &str,
    headers: &HeaderMap,
) -> Result<(), RegistrationError> {
    let client = admitted(app, client_id, headers).await?;
    not_yet(&client)?;
    let actor = client_auth::actor(&client, request);
    let mut tx = app.store.begin().await?;
    clients::disable(&mut tx, &app.random, client.id, &actor, app.clock.now()).await?;
    tx.commit().await?;
    app.feed.wake();
    revocation::await_receipt(app, &client.id.to_string(), Wait::Effective).await?;
    Ok(())
}
