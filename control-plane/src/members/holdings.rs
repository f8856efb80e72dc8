//! What acts for a member: their keys, the apps that they let in, where they are signed in, each with its last use. It is what
//! dies when they are deactivated.

use serde::Serialize;
use shared::id::UserId;

use super::MemberView;
use crate::app::App;
use crate::error::ApiError;
use crate::grants::GrantView;
use crate::http::auth::Caller;
use crate::http::paging;
use crate::keys::json::KeyView;
use crate::orgs::must_reach_everything;
use crate::sessions::SessionView;
use crate::store::holdings::{GrantFilter, SessionFilter};
use crate::usage::uses;

/// So many of each are listed.
const LISTED: u32 = 100;

/// Everything that acts for a member.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Holdings {
    /// Who.
    pub member: MemberView,
    /// Keys that have not ended, newest first.
    pub keys: Vec<KeyView>,
    /// There are more than are listed.
    pub more_keys: bool,
    /// Apps that act for them, newest first.
    pub grants: Vec<GrantView>,
    /// There are more than are listed.
    pub more_grants: bool,
    /// Where they are signed in to this organisation, newest first.
    pub sessions: Vec<SessionView>,
    /// There are more than are listed.
    pub more_sessions: bool,
}

/// What a member of the caller's organisation has there.
pub async fn holdings(app: &App, caller: &Caller, user: UserId) -> Result<Holdings, ApiError> {
    must_reach_everything(app, caller)?;
    let member = super::view(app, caller, user).await?;
    let now = app.clock.now();
    let one_more = LISTED.saturating_add(1);
    let mut tx = app.store.begin_read().await?;
    let mut keys = tx
        .keys_of_member(caller.org, user, now.seconds(), one_more)
        .await?;
    let more_keys = paging::cut(&mut keys, LISTED);
    let grants = GrantFilter {
        org: caller.org,
        user: Some(user),
        client: None,
        live_at: now.seconds(),
        before: None,
        limit: one_more,
    };
    let mut grants = tx.list_grants(&grants).await?;
    let more_grants = paging::cut(&mut grants, LISTED);
    let sessions = SessionFilter {
        org: caller.org,
        user: Some(user),
        idle_since: crate::sessions::idle_since(app, now),
        now,
        before: None,
        limit: one_more,
    };
    let mut sessions = tx.list_sessions(&sessions).await?;
    let more_sessions = paging::cut(&mut sessions, LISTED);
    drop(tx);
    let uses = uses::of_keys(app, caller.org, keys.iter().map(|key| key.id)).await?;
    let keys = keys
        .iter()
        .map(|key| KeyView::new(key, app.catalogue(), now.seconds()).used(&uses));
    Ok(Holdings {
        member,
        keys: keys.collect(),
        more_keys,
        grants: grants.into_iter().map(|row| GrantView::new(app, row)).collect(),
        more_grants,
        sessions: sessions.into_iter().map(SessionView::from).collect(),
        more_sessions,
    })
}
