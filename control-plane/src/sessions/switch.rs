//! `POST /account/org`: on to another of one's organisations.
//!
//! What may be done changes with the organisation, so the cookie's secret does too. The session stays the same, and apps keep
//! the tokens that they got in the organisation that is left. What it does not: prove again who somebody is.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::json;
use shared::id::OrgId;

use super::cookie::{self, Kind, Secret};
use super::{Instead, login_redirect, return_to, see_other, sent_form};
use crate::app::App;
use crate::audit::{self, Event};
use crate::http::frame::RequestId;
use crate::pages::PageError;

/// The endpoint.
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, form) = sent_form(&app, &headers, &body, return_to::ACCOUNT).await?;
    let unknown = || PageError::not_found("You do not belong to this organisation, or not any more.");
    let org: OrgId = form
        .value("org")
        .unwrap_or_default()
        .parse()
        .map_err(|_| unknown())?;
    let now = app.clock.now();
    let secret = Secret::draw(&app.random)?;
    let mut tx = app.store.begin().await?;
    if !tx.use_membership(org, session.user, now).await? {
        return Err(unknown().into());
    }
    let moved = tx
        .move_session(&session.row.digest, &secret.digest(), org, now)
        .await?;
    if !moved {
        // Ended since the request came in. Nothing of it is committed.
        return Ok(login_redirect(return_to::ACCOUNT));
    }
    let event = Event {
        org: Some(org),
        actor: &session.actor(Some(&request_id)),
        action: "session.switch_org",
        target: session.sid.to_string(),
        detail: json!({"from": session.org, "to": org}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    let mut response = see_other(return_to::ACCOUNT);
    if let Some(cookie) = cookie::set(&app.config, Kind::Session, &secret) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
