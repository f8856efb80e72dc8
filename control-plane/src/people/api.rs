//! `/v1/invitations`: HTTP in, HTTP out. The rules are in `invite`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::{InvitationId, OrgId, UserId};
use shared::time::UnixMillis;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::idempotency::{Creation, IdempotencyKeyHeader};
use crate::http::json::{NO_STORE, StrictQuery};
use crate::http::paging::{self, ListQuery};
use crate::http::time::Timestamp;
use crate::orgs::must_reach_everything;
use crate::store::invitations::{Invitation, InvitationStatus};
use crate::store::orgs::Role;

/// The body of `POST /v1/invitations`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewInvitation)]
pub struct CreateBody {
    /// Where the link goes.
    #[schema(format = "email", example = "sam@example.com")]
    email: String,
    /// What they may do once they have accepted.
    role: Role,
}

/// An invitation as the API shows it. Its link is in the mail only.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
struct InvitationView {
    /// Its id.
    #[schema(value_type = String, example = "inv_000000001")]
    id: InvitationId,
    /// The organisation.
    #[schema(value_type = String, example = "org_000000001")]
    org: OrgId,
    /// Where the link went.
    email: String,
    /// What they may do once they have accepted.
    role: Role,
    /// Where it is in its life.
    status: InvitationStatus,
    /// Who invited.
    #[schema(value_type = String, example = "usr_000000001")]
    invited_by: UserId,
    /// When.
    created_at: Timestamp,
    /// When it runs out.
    expires_at: Timestamp,
    /// When it was accepted; absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    accepted_at: Option<Timestamp>,
    /// When it was taken back; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked_at: Option<Timestamp>,
}

/// The answer of `GET /v1/invitations`.
#[derive(Debug, Serialize, ToSchema)]
struct InvitationPage {
    /// Newest first.
    invitations: Vec<InvitationView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
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
#[utoipa::path(
    post, path = "/v1/invitations", tag = "invitations",
    summary = "Invite somebody",
    description = "By mail: the link is in the letter and nowhere else. Whoever was invited before gets a new link; the old one is dead.",
    params(IdempotencyKeyHeader),
    request_body = CreateBody,
    responses((status = 201, description = "The invitation.", body = InvitationView)),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Creation(body, idempotency): Creation<CreateBody>,
) -> Result<Response, ApiError> {
    must_reach_everything(&app, &caller)?;
    let invitation = super::invite(&app, &caller, (&body.email, body.role), idempotency).await?;
    let location = (LOCATION, format!("/v1/invitations/{}", invitation.id));
    let view = InvitationView::new(&invitation, app.clock.now());
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(view)).into_response())
}

/// `GET /v1/invitations`
#[utoipa::path(
    get, path = "/v1/invitations", tag = "invitations",
    summary = "List invitations",
    description = "Newest first, with those that were accepted, taken back or ran out, as long as they are remembered.",
    params(ListQuery),
    responses((status = 200, description = "A page of invitations.", body = InvitationPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Response, ApiError> {
    must_reach_everything(&app, &caller)?;
    let limit = paging::limit(query.limit)?;
    let (found, next_cursor) = super::list(&app, caller.org, query.cursor.as_deref(), limit).await?;
    let now = app.clock.now();
    let invitations = found
        .iter()
        .map(|invitation| InvitationView::new(invitation, now))
        .collect();
    let page = InvitationPage {
        invitations,
        next_cursor,
    };
    Ok(([NO_STORE], Json(page)).into_response())
}

/// `DELETE /v1/invitations/{id}`
#[utoipa::path(
    delete, path = "/v1/invitations/{id}", tag = "invitations",
    summary = "Take an invitation back",
    params(
        ("id" = String, Path, description = "The invitation.", pattern = "^inv_[0-9A-Za-z]{9}$", example = "inv_000000001"),
    ),
    responses(
        (status = 200, description = "The invitation as it is now.", body = InvitationView),
        (status = 409, description = "`invitation_accepted`."),
    ),
)]
pub async fn revoke(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("invitation"))?;
    must_reach_everything(&app, &caller)?;
    let revoked = super::revoke(&app, &caller, id).await?;
    let view = InvitationView::new(&revoked, app.clock.now());
    Ok(([NO_STORE], Json(view)).into_response())
}

/// `POST /v1/invitations/{id}/resend`
#[utoipa::path(
    post, path = "/v1/invitations/{id}/resend", tag = "invitations",
    summary = "Send an invitation again",
    description = "A new link for another seven days; the old one is dead.",
    params(
        ("id" = String, Path, description = "The invitation.", pattern = "^inv_[0-9A-Za-z]{9}$", example = "inv_000000001"),
    ),
    responses((status = 200, description = "The new invitation.", body = InvitationView), (status = 409, description = "`invitation_accepted`.")),
)]
pub async fn resend(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("invitation"))?;
    must_reach_everything(&app, &caller)?;
    let invitation = super::resend(&app, &caller, id).await?;
    let view = InvitationView::new(&invitation, app.clock.now());
    Ok(([NO_STORE], Json(view)).into_response())
}
