//! `/account` and `/account/sessions`: who is signed in, where, and the end of it.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use shared::id::{OrgId, SessionId};

use super::change::CHANGED;
use super::logout::signed_out;
use super::{Instead, browser, csrf, end, idle_since, see_other, sent_form, signed_in};
use crate::app::App;
use crate::audit::{self, Event};
use crate::http::frame::RequestId;
use crate::pages::{self, Moment, PageError};
use crate::store::belonging::Belonging;

const HERE: &str = "/account/sessions";

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    here: &'static str,
    csrf: String,
    email: String,
    org: String,
    orgs: Vec<Belonging>,
    current_org: OrgId,
    since: Moment,
    notice: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    here: &'static str,
    csrf: String,
    sessions: Vec<Line>,
}

struct Line {
    sid: SessionId,
    browser: String,
    address: String,
    since: Moment,
    seen: Moment,
    is_current: bool,
}

/// `GET /account`.
pub async fn landing(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let session = signed_in(&app, &headers, super::return_to::ACCOUNT).await?;
    let mut tx = app.store.begin_read().await?;
    let stored = tx.user_secret(session.user).await?;
    let orgs = tx.orgs_of(session.user).await?;
    let current_org = orgs.iter().find(|belonging| belonging.org == session.org);
    let page = AccountPage {
        here: "account",
        csrf: csrf::token(&session),
        email: stored.map(|(email, _)| email).unwrap_or_default(),
        org: current_org
            .map(|belonging| belonging.name.clone())
            .unwrap_or_default(),
        orgs,
        current_org: session.org,
        since: session.auth_time.millis().into(),
        notice: (query.as_deref() == Some(CHANGED))
            .then_some("Your password was changed. Your other sessions have ended."),
    };
    Ok(pages::html(StatusCode::OK, &page))
}

/// `GET /account/sessions`.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let session = signed_in(&app, &headers, HERE).await?;
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    let rows = tx.sessions_of(session.user, idle_since(&app, now), now).await?;
    let lines = rows.into_iter().map(|row| Line {
        sid: row.sid,
        browser: browser::name(&row.user_agent),
        address: row.address,
        since: row.auth_time.into(),
        seen: row.last_seen_at.into(),
        is_current: row.sid == session.sid,
    });
    let page = SessionsPage {
        here: "sessions",
        csrf: csrf::token(&session),
        sessions: lines.collect(),
    };
    Ok(pages::html(StatusCode::OK, &page))
}

/// `POST /account/sessions/{sid}/end`.
pub async fn end_one(
    State(app): State<Arc<App>>,
    Path(sid): Path<String>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, _) = sent_form(&app, &headers, &body, HERE).await?;
    let unknown = || PageError::not_found("There is no such session among yours, or it has ended already.");
    let sid: SessionId = sid.parse().map_err(|_| unknown())?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if !end::end(&mut tx, session.user, sid, now).await? {
        return Err(unknown().into());
    }
    let event = Event {
        org: Some(session.org),
        actor: &session.actor(Some(&request_id)),
        action: "session.end",
        target: sid.to_string(),
        detail: json!({}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    end::confirmed(&app, &sid.to_string()).await?;
    if sid == session.sid {
        return Ok(signed_out(&app));
    }
    Ok(see_other(HERE))
}

/// `POST /account/sessions/end-all`: "log out everywhere".
pub async fn end_everywhere(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, _) = sent_form(&app, &headers, &body, HERE).await?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let ended = end::end_all(&mut tx, session.user, None, now).await?;
    let event = Event {
        org: Some(session.org),
        actor: &session.actor(Some(&request_id)),
        action: "session.end_all",
        target: session.user.to_string(),
        detail: json!({"ended": ended}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    end::confirmed(&app, &end::subject_of_all(session.user, now)).await?;
    Ok(signed_out(&app))
}
