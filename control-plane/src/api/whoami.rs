//! `GET /v1/whoami`: who calls, and what they may do. Needs no scope: whoever holds a credential may know what it is good for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use shared::key::Environment;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::http::time::Timestamp;
use crate::keys::json::EnvironmentWord;
use crate::store::orgs::Role;

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct Whoami {
    /// The organisation.
    #[schema(example = "org_000000001")]
    org: String,
    /// Its name.
    org_name: String,
    /// Whom the credential acts for.
    #[schema(example = "usr_000000001")]
    user: String,
    /// Their address; absent of somebody without one.
    email: Option<String>,
    /// Their role.
    role: Role,
    /// What was presented: `key_…`, or `grt_…` of whoever has signed in at the command line.
    #[schema(example = "key_000000001")]
    credential: String,
    /// What it may do now: its scopes under every ceiling.
    scopes: Vec<String>,
    /// A workspace's id, or `all`.
    #[schema(example = "all")]
    workspace: String,
    /// Which kind of environment it is for.
    #[schema(value_type = EnvironmentWord)]
    environment: Environment,
    /// When the credential ends by itself.
    ends_at: Option<Timestamp>,
}

/// `GET /v1/whoami`
#[utoipa::path(
    get, path = "/v1/whoami", tag = "caller",
    summary = "Who calls, and what they may do",
    description = "Needs no scope.",
    security(("api_key" = []), ("access_token" = [])),
    responses((status = 200, description = "The caller.", body = Whoami)),
)]
pub async fn get(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let mut tx = app.store.begin_read().await?;
    let org_name = tx.org_name(caller.org).await?.unwrap_or_default();
    let profile = tx.profile(caller.user).await?;
    let names = app.catalogue().names(caller.scopes);
    let view = Whoami {
        org: caller.org.to_string(),
        org_name,
        user: caller.user.to_string(),
        email: profile.map(|(email, _)| email),
        role: caller.role,
        credential: caller.credential.to_string(),
        scopes: names.into_iter().map(str::to_owned).collect(),
        workspace: caller
            .workspace
            .map_or_else(|| "all".to_owned(), |id| id.to_string()),
        environment: caller.environment,
        ends_at: caller.ends_at.map(Timestamp::from),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(view)).into_response())
}
