//! Ends the session of this browser: the button in the header of every page. `oauth::logout` is what apps ask for.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::json;

use super::cookie::{self, Kind};
use super::{Instead, Session, end, see_other, sent_form};
use crate::app::App;
use crate::audit::{self, Event};
use crate::http::frame::RequestId;
use crate::store::StoreError;

/// The endpoint. A browser without a session gets the sign-in page: it is where it wanted to be.
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, _) = sent_form(&app, &headers, &body, super::return_to::ACCOUNT).await?;
    end_session(&app, &session, &request_id).await?;
    Ok(signed_out(&app))
}

/// Ends a session, and at the edge what came of it.
pub async fn end_session(app: &App, session: &Session, request_id: &RequestId) -> Result<(), StoreError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if end::end(&mut tx, session.user, session.sid, now).await? {
        let event = Event {
            org: Some(session.org),
            actor: &session.actor(Some(request_id)),
            action: "session.end",
            target: session.sid.to_string(),
            detail: json!({}),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
        tx.commit().await?;
        end::confirmed(app, &session.sid.to_string()).await?;
    }
    Ok(())
}

/// To the sign-in page, without the cookie.
pub(super) fn signed_out(app: &App) -> Response {
    let mut response = see_other("/login");
    forget_cookie(app, &mut response);
    response
}

/// Takes the session's cookie back.
pub fn forget_cookie(app: &App, response: &mut Response) {
    if let Some(cookie) = cookie::clear(&app.config, Kind::Session) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
