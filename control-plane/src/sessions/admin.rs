//! The sessions of an organisation's people, for its administrators. Somebody who belongs to several organisations is seen here
//! only where they are signed in to this one.
//!
//! An end here is an end everywhere: at the edge too, for the tokens that apps got in the session, with a receipt.

use serde::Serialize;
use serde_json::json;
use shared::id::{SessionId, UserId};
use shared::time::UnixMillis;

use super::{browser, end, idle_since};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::paging;
use crate::http::time::Timestamp;
use crate::keys::{confirm_rights, hold_caller};
use crate::orgs::{must_administer, must_reach_everything};
use crate::revocation::{self, Receipt, Wait};
use crate::revocations::{Answer, Reason, Request, RevocationReceipt, Target, revoke_target};
use crate::store::holdings::{ListedSession, SessionFilter};
use crate::store::orgs::Role;

/// A session as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    /// Its public name: `sid` in tokens.
    #[schema(value_type = String, example = "ses_000000001")]
    pub id: SessionId,
    /// Who is signed in.
    #[schema(value_type = String, example = "usr_000000001")]
    pub user: UserId,
    /// What people call them.
    pub user_name: String,
    /// Their address.
    pub user_email: String,
    /// From where it was begun.
    pub address: String,
    /// What the browser says it is, in a few words.
    pub browser: String,
    /// How they proved who they are: values of `amr` (RFC 8176).
    pub methods: Vec<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When they last proved who they are.
    pub signed_in_at: Timestamp,
    /// When it was used last, to the minute.
    pub last_seen_at: Timestamp,
    /// Its end in any case.
    pub expires_at: Timestamp,
}

impl From<ListedSession> for SessionView {
    fn from(row: ListedSession) -> Self {
        Self {
            id: row.sid,
            user: row.user,
            user_name: row.name,
            user_email: row.email,
            address: row.address,
            browser: browser::name(&row.user_agent),
            methods: row.methods.split(' ').map(str::to_owned).collect(),
            created_at: row.created_at.into(),
            signed_in_at: row.auth_time.into(),
            last_seen_at: row.last_seen_at.into(),
            expires_at: row.expires_at.into(),
        }
    }
}

/// A page of sessions that are alive, the newest sign-in first, and the cursor of the next one.
pub async fn list(
    app: &App,
    caller: &Caller,
    user: Option<UserId>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<(Vec<SessionView>, Option<String>), ApiError> {
    must_reach_everything(app, caller)?;
    let now = app.clock.now();
    let before = paging::place::<(UnixMillis, SessionId)>(cursor)?;
    let filter = SessionFilter {
        org: caller.org,
        user,
        idle_since: idle_since(app, now),
        now,
        before,
        limit: limit.saturating_add(1),
    };
    let mut rows = app.store.begin_read().await?.list_sessions(&filter).await?;
    let next = paging::next(&mut rows, limit, |last| (last.expires_at, last.sid));
    Ok((rows.into_iter().map(SessionView::from).collect(), next))
}

/// Ends one session of the organisation.
pub async fn end_one(
    app: &App,
    caller: &Caller,
    sid: SessionId,
    wait: Wait,
) -> Result<RevocationReceipt, ApiError> {
    let request = Request {
        reason: Reason::Unspecified,
        comment: None,
        wait,
    };
    match revoke_target(app, caller, Target::Session(sid), request).await? {
        Answer::Many(receipt) => Ok(*receipt),
        Answer::Key(_) | Answer::Single(_) => {
            Err(ApiError::internal(anyhow::anyhow!("not a session's receipt")))
        }
    }
}

/// What ended of somebody's sessions, and who has it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SessionsEnded)]
pub struct EndedAll {
    /// Whose.
    #[schema(value_type = String, example = "usr_000000001")]
    pub user: UserId,
    /// How many that were.
    pub ended: u64,
    /// Who has it; absent if there was none.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

/// Ends every session that somebody has in the organisation, those that ran out included: their tokens may still live. Their
/// keys go on, and so do sessions elsewhere.
pub async fn end_all_of(app: &App, caller: &Caller, user: UserId, wait: Wait) -> Result<EndedAll, ApiError> {
    must_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let member = tx.member(caller.org, user).await?;
    let member = member.ok_or_else(|| ApiError::not_found("member"))?;
    if member.role == Role::Owner && caller.role != Role::Owner {
        let detail = "only an owner ends the sessions of an owner";
        return Err(ApiError::new(Code::ExceedsCaller, detail));
    }
    let mut ended = 0u64;
    let mut last = None;
    for sid in tx.sessions_of_member(caller.org, user).await? {
        if end::end(&mut tx, user, sid, now).await? {
            ended = ended.saturating_add(1);
            last = Some(sid);
        }
    }
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "session.end_all",
        target: user.to_string(),
        detail: json!({"ended": ended}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    app.feed.wake();
    let receipt = match last {
        Some(sid) => Some(revocation::await_receipt(app, &sid.to_string(), wait).await?),
        None => None,
    };
    Ok(EndedAll { user, ended, receipt })
}
