//! Grants as people see them: which apps act for whom. An organisation's, for administrators; one's own, for everybody.
//!
//! A grant is one consent with all its tokens. Ending it ends them at the edge, with a receipt; what was agreed to is forgotten
//! with it, so that the app has to ask again.
//!
//! The API, the dashboard and the command line call these functions (I11). What it does not: make grants, or their tokens
//! (`oauth` does).

pub mod api;
pub mod page;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::json;
use shared::id::{ClientId, GrantId, OrgId, UserId};
use shared::time::UnixMillis;

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::http::paging;
use crate::http::time::Timestamp;
use crate::oauth::grants;
use crate::oauth::scopes::{Asked, Identity};
use crate::orgs::must_reach_everything;
use crate::revocation::{self, Receipt, Wait};
use crate::revocations::{Answer, Reason, Request, SingleReceipt, Target, Why, revoke_target};
use crate::store::holdings::{GrantFilter, ListedGrant};
use crate::store::{StoreError, Tx};

/// A person has at most so many shown of their own; nobody has more.
const OWN: u32 = 200;

/// A grant as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Grant)]
pub struct GrantView {
    /// Its id.
    #[schema(value_type = String, example = "grt_000000001")]
    pub id: GrantId,
    /// The app.
    #[schema(value_type = String, example = "cli_000000001")]
    pub client: ClientId,
    /// The app's `client_id`.
    pub client_id: String,
    /// What the app is called.
    pub client_name: String,
    /// For whom it acts.
    #[schema(value_type = String, example = "usr_000000001")]
    pub user: UserId,
    /// What people call them.
    pub user_name: String,
    /// Their address.
    pub user_email: String,
    /// What was agreed to, those of OpenID Connect among it.
    pub scopes: Vec<String>,
    /// Where its tokens are for.
    pub resource: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the app last got a token.
    pub last_used_at: Timestamp,
    /// Its end in any case.
    pub expires_at: Timestamp,
}

impl GrantView {
    pub(crate) fn new(app: &App, row: ListedGrant) -> Self {
        let asked = Asked {
            scopes: row.scopes,
            identity: Identity::from_bits(row.identity),
        };
        let scopes = asked.names(app.catalogue());
        Self {
            id: row.id,
            client: row.client,
            client_id: row.client_identifier,
            client_name: row.client_name,
            user: row.user,
            user_name: row.user_name,
            user_email: row.user_email,
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            resource: row.resource,
            created_at: row.created_at.into(),
            last_used_at: row.last_used_at.into(),
            expires_at: row.expires.into(),
        }
    }
}

/// Which grants a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing<'a> {
    /// Of one person.
    pub user: Option<UserId>,
    /// Of one app.
    pub client: Option<ClientId>,
    /// After the page before.
    pub cursor: Option<&'a str>,
    /// At most so many.
    pub limit: u32,
}

/// A page of the organisation's grants, newest first, and the cursor of the next one.
pub async fn list(
    app: &App,
    caller: &Caller,
    listing: Listing<'_>,
) -> Result<(Vec<GrantView>, Option<String>), ApiError> {
    must_reach_everything(app, caller)?;
    let before = paging::place::<(UnixMillis, GrantId)>(listing.cursor)?;
    let filter = GrantFilter {
        org: caller.org,
        user: listing.user,
        client: listing.client,
        live_at: app.clock.now().seconds(),
        before,
        limit: listing.limit.saturating_add(1),
    };
    let mut tx = app.store.begin_read().await?;
    let mut rows = tx.list_grants(&filter).await?;
    let next = paging::next(&mut rows, listing.limit, |last| (last.created_at, last.id));
    let views = rows.into_iter().map(|row| GrantView::new(app, row));
    Ok((views.collect(), next))
}

/// One grant of the organisation that is not over.
pub async fn show(app: &App, caller: &Caller, id: GrantId) -> Result<GrantView, ApiError> {
    must_reach_everything(app, caller)?;
    let not_found = || ApiError::not_found("grant");
    let mut tx = app.store.begin_read().await?;
    let row = tx.listed_grant(caller.org, id).await?.ok_or_else(not_found)?;
    Ok(GrantView::new(app, row))
}

/// Ends one grant of the organisation, for good. A second call gives the same receipt.
pub async fn revoke(
    app: &App,
    caller: &Caller,
    id: GrantId,
    reason: Reason,
    wait: Wait,
) -> Result<SingleReceipt, ApiError> {
    let request = Request {
        reason,
        comment: None,
        wait,
    };
    let answer = revoke_target(app, caller, Target::Grant(id), request).await?;
    match answer {
        Answer::Single(receipt) => Ok(*receipt),
        Answer::Key(_) | Answer::Many(_) => Err(ApiError::internal(anyhow::anyhow!("not a grant's receipt"))),
    }
}

/// The grants by which apps act for somebody in an organisation.
pub async fn own(app: &App, org: OrgId, user: UserId) -> Result<Vec<GrantView>, StoreError> {
    let filter = GrantFilter {
        org,
        user: Some(user),
        client: None,
        live_at: app.clock.now().seconds(),
        before: None,
        limit: OWN,
    };
    let rows = app.store.begin_read().await?.list_grants(&filter).await?;
    Ok(rows.into_iter().map(|row| GrantView::new(app, row)).collect())
}

/// What somebody took back from an app.
#[derive(Clone, Debug, Serialize)]
pub struct TakenBack {
    /// How many grants that were.
    pub ended: u64,
    /// Who has it; absent if there was none.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

/// Ends everything that one app may do for somebody in an organisation, at their own wish: they need no role for it.
pub async fn take_back(
    app: &App,
    (org, user): (OrgId, UserId),
    client: ClientId,
    actor: &Actor,
) -> Result<TakenBack, ApiError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    tx.hold_org(org).await?;
    let ended = end_all(&mut tx, app, (org, user), client, actor, now).await?;
    let consents = tx.forget_consents_for((org, user), client).await?;
    if ended.is_empty() && consents == 0 {
        return Err(ApiError::not_found("app that acts for you"));
    }
    let event = Event {
        org: Some(org),
        actor,
        action: "consent.take_back",
        target: client.to_string(),
        detail: json!({"user": user, "grants": ended.len()}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    app.feed.wake();
    let receipt = match ended.last() {
        Some(last) => Some(revocation::await_receipt(app, &last.to_string(), Wait::Effective).await?),
        None => None,
    };
    Ok(TakenBack {
        ended: u64::try_from(ended.len()).unwrap_or(u64::MAX),
        receipt,
    })
}

async fn end_all(
    tx: &mut Tx,
    app: &App,
    (org, user): (OrgId, UserId),
    client: ClientId,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Vec<GrantId>, StoreError> {
    let mut ended = Vec::new();
    // What ran out a moment ago has tokens that live on.
    let live_at = now.seconds().saturating_sub(app.config.tokens.access_seconds);
    loop {
        let filter = GrantFilter {
            org,
            user: Some(user),
            client: Some(client),
            live_at,
            before: None,
            limit: OWN,
        };
        let rows = tx.list_grants(&filter).await?;
        if rows.is_empty() {
            return Ok(ended);
        }
        for row in rows {
            let Some(grant) = tx.grant(row.id).await? else {
                continue;
            };
            let why = Why::asked(Reason::PrivilegeWithdrawn, actor);
            if grants::end(tx, app, &grant, &why, now).await? {
                ended.push(grant.id);
            }
        }
    }
}
