//! `/v1/invitations`: HTTP in, HTTP out. The rules are in `invite`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::{InvitationId, OrgId, UserId};
use shared::key::Environment;
use shared::time::UnixMillis;

use super::Inviter;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::json::StrictJson;
use crate::http::time::Timestamp;
use crate::store::invitations::{Invitation, InvitationStatus};
use crate::store::orgs::Role;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The body of `POST /v1/invitations`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    email: String,
    role: Role,
}

/// An invitation as the API shows it. Its link is in the mail only.
#[derive(Debug, Serialize)]
struct InvitationView {
    id: InvitationId,
    org: OrgId,
    email: String,
    role: Role,
    status: InvitationStatus,
    invited_by: UserId,
    created_at: Timestamp,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct InvitationList {
    invitations: Vec<InvitationView>,
}

impl InvitationView {
    fn new(invitation: &Invitation, now: UnixMillis) -> Self {
        Self {
            id: invitation.id,
            org: invitation.org,
            email: invitation.email.clone(),
            role: invitation.role,
            status: invitation.status(now),
            invited_by: invitation.invited_by,
            created_at: invitation.created_at.into(),
            expires_at: invitation.expires_at.into(),
            accepted_at: invitation.accepted_at.map(Timestamp::from),
            revoked_at: invitation.revoked_at.map(Timestamp::from),
        }
    }
}

/// `POST /v1/invitations`
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictJson(body, _): StrictJson<CreateBody>,
) -> Result<Response, ApiError> {
    let inviter = inviter(&app, &caller)?;
    let invitation = super::invite(&app, &inviter, &body.email, body.role).await?;
    let location = (LOCATION, format!("/v1/invitations/{}", invitation.id));
    let view = InvitationView::new(&invitation, app.clock.now());
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(view)).into_response())
}

/// `GET /v1/invitations`
pub async fn list(State(app): State<Arc<App>>, Admin(caller): Admin) -> Result<Response, ApiError> {
    let inviter = inviter(&app, &caller)?;
    let now = app.clock.now();
    let found = super::list(&app, inviter.org).await?;
    let invitations = found
        .iter()
        .map(|invitation| InvitationView::new(invitation, now))
        .collect();
    Ok(([NO_STORE], Json(InvitationList { invitations })).into_response())
}

/// `DELETE /v1/invitations/{id}`
pub async fn revoke(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("invitation"))?;
    let revoked = super::revoke(&app, &inviter(&app, &caller)?, id).await?;
    let view = InvitationView::new(&revoked, app.clock.now());
    Ok(([NO_STORE], Json(view)).into_response())
}

/// `POST /v1/invitations/{id}/resend`
pub async fn resend(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("invitation"))?;
    let invitation = super::resend(&app, &inviter(&app, &caller)?, id).await?;
    let location = (LOCATION, format!("/v1/invitations/{}", invitation.id));
    let view = InvitationView::new(&invitation, app.clock.now());
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(view)).into_response())
}

/// A member reaches every workspace and environment: a key that does not can not make one.
fn inviter(app: &App, caller: &Caller) -> Result<Inviter, ApiError> {
    let widest = *app.config.environments.iter().min().unwrap_or(&Environment::Live);
    if caller.workspace.is_some() || caller.environment > widest {
        let detail = format!("invitations need a key for all workspaces, of the environment {widest}");
        return Err(ApiError::new(Code::ExceedsCaller, detail));
    }
    Ok(Inviter {
        org: caller.org,
        user: caller.user,
        actor: caller.actor(),
    })
}
