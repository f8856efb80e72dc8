//! One change of a member: one transaction with its audit row and what the edge must know, and its receipt.

use serde::Serialize;
use serde_json::{Value, json};
use shared::feed::{Entry, Subject};
use shared::id::{OrgId, UserId};
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::{MemberView, rules};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::tag::{IfMatch, Tag};
use crate::http::time::Timestamp;
use crate::keys::{self, confirm_rights, hold_caller};
use crate::oauth::backchannel;
use crate::revocation::{self, Reach, Receipt, Wait};
use crate::store::keys::Revoked;
use crate::store::members::{Member, MemberState};
use crate::store::orgs::Role;
use crate::store::{StoreError, Tx};

/// What to do to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Give them another role.
    Role(Role),
    /// Shut them out until they are resumed: their keys and tokens can do nothing, and they get no new ones.
    Suspend,
    /// Let them in again.
    Resume,
    /// Shut them out, and end every key, token and session of theirs for good.
    Deactivate,
}

impl Change {
    fn action(self) -> &'static str {
        match self {
            Self::Role(_) => "membership.change_role",
            Self::Suspend => "membership.suspend",
            Self::Resume => "membership.resume",
            Self::Deactivate => "membership.deactivate",
        }
    }
}

/// The receipt of a change.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct MemberReceipt {
    /// The member as they are now.
    #[serde(flatten)]
    pub member: MemberView,
    /// Who has the change, and from when on every default and strict route goes by it.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// A connection that was let in before may stay open until then; absent while an edge is pending.
    pub open_connections_until: Option<Timestamp>,
}

/// Changes a member of the caller's organisation, if they still are what the caller has seen; gives the receipt and which
/// version of them this is. A change that changes nothing gives the receipt of the last one.
pub async fn change(
    app: &App,
    caller: &Caller,
    user: UserId,
    (change, seen): (Change, &IfMatch),
    wait: Wait,
) -> Result<(MemberReceipt, Tag), ApiError> {
    rules::may_administer(caller, &app.config.environments)?;
    let mut tx = app.store.begin().await?;
    // 1. Locks, in the order of those who issue: the calling key, keys, organisation, memberships; then sessions, grants.
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    if change == Change::Deactivate {
        tx.hold_keys_of_member(caller.org, user).await?;
    }
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    // 2. The member, and what becomes of them.
    let not_found = || ApiError::not_found("member");
    let before = tx.member(caller.org, user).await?.ok_or_else(not_found)?;
    seen.confirm(&super::tag(&before))?;
    let next = rules::next(caller.role, &before, change)?;
    if rules::loses_owner(&before, next) && !tx.has_other_owner(caller.org, user).await? {
        let detail = "this is the last active owner; make somebody else an owner first";
        return Err(ApiError::new(Code::LastOwner, detail));
    }
    let known = before
        .ceiling_version
        .filter(|_| next == (before.role, before.state));
    if let Some(version) = known {
        drop(tx);
        return receipt(app, caller.org, user, version, wait).await;
    }
    // 3. Change, outbox, receipt, audit.
    let now = app.clock.now();
    let version = write(
        &mut tx,
        app,
        (caller.org, &caller.actor()),
        &before,
        (change, next),
        now,
    )
    .await?;
    tx.commit().await?;
    app.feed.wake();
    metrics::counter!("portcullis_membership_changes_total", "action" => change.action()).increment(1);
    receipt(app, caller.org, user, version, wait).await
}

/// What a signal did to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Suspension {
    /// They are suspended now.
    Done,
    /// They could do nothing before.
    Before,
    /// Nobody would be left to let anybody in again: nothing was done.
    LastOwner,
}

/// Suspends a member because somebody says so whom the organisation listens to. After the commit, wake the feed.
pub(crate) async fn suspend_by_signal(
    tx: &mut Tx,
    app: &App,
    (org, user): (OrgId, UserId),
    actor: &Actor,
    now: UnixMillis,
) -> Result<Suspension, ApiError> {
    tx.hold_org(org).await?;
    let before = tx
        .member(org, user)
        .await?
        .ok_or_else(|| ApiError::not_found("member"))?;
    if before.state != MemberState::Active {
        return Ok(Suspension::Before);
    }
    let next = (before.role, MemberState::Suspended);
    if rules::loses_owner(&before, next) && !tx.has_other_owner(org, user).await? {
        return Ok(Suspension::LastOwner);
    }
    write(tx, app, (org, actor), &before, (Change::Suspend, next), now).await?;
    Ok(Suspension::Done)
}

async fn write(
    tx: &mut Tx,
    app: &App,
    (org, actor): (OrgId, &Actor),
    before: &Member,
    (change, next): (Change, (Role, MemberState)),
    now: UnixMillis,
) -> Result<u64, ApiError> {
    let member = (org, before.user);
    let mut detail = json!({
        "from": {"role": before.role, "state": before.state},
        "to": {"role": next.0, "state": next.1},
    });
    let mut expected = before.version;
    if change == Change::Deactivate {
        detail["ended"] = end_everything(tx, actor, member, now).await?;
        // The not-before has a version of its own.
        expected = expected.saturating_add(1);
    }
    let Some(version) = tx.change_member(member, next, expected, now).await? else {
        let detail = "the member was changed during this request; nothing was done, try again";
        return Err(ApiError::new(Code::RightsChanged, detail));
    };
    let scopes = rules::ceiling(app, next.0, next.1);
    let (entry, subject) = (ceiling(member, version, scopes), subject(member, version));
    let outbox = revocation::enqueue(tx, &org.into(), &subject, &entry, now).await?;
    tx.insert_receipt(&subject, now, outbox).await?;
    let event = Event {
        org: Some(org),
        actor,
        action: change.action(),
        target: before.user.to_string(),
        detail,
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(version)
}

/// Ends every key, token and session that acts for a member here. One not-before does it at the edge; the bits are for good,
/// whatever becomes of the not-before.
async fn end_everything(
    tx: &mut Tx,
    actor: &Actor,
    member: (OrgId, UserId),
    now: UnixMillis,
) -> Result<Value, ApiError> {
    let (org, user) = member;
    let not_found = || ApiError::not_found("member");
    let at = tx.set_member_not_before(org, user, now.seconds()).await?;
    let entry = Entry::NotBefore(Subject::Member(org, user), at.ok_or_else(not_found)?);
    let reach = Reach::from(org);
    let mut outbox = revocation::enqueue(tx, &reach, &user.to_string(), &entry, now).await?;
    for sid in tx.sessions_of_member(org, user).await? {
        backchannel::queue(tx, sid, now).await?;
    }
    let sessions = tx.end_sessions_of_member(org, user, now).await?;
    tx.end_pending_sign_ins_of_member(org, user).await?;
    // Again: one may have been made while we waited.
    let mut indexes = tx.hold_keys_of_member(org, user).await?;
    let (grants, of_grants) = tx.end_grants_of_member(org, user, now).await?;
    indexes.extend(of_grants);
    let entries = revocation::revoked(indexes);
    if let Some(last) = revocation::enqueue_all(tx, &reach, &user.to_string(), &entries, now).await? {
        outbox = last;
    }
    let revoked = Revoked {
        at: now,
        reason: keys::Reason::AffiliationChanged.as_str().to_owned(),
        by: actor.who.clone(),
        outbox,
    };
    let keys = tx.revoke_keys_of_member(org, user, &revoked).await?;
    metrics::counter!("portcullis_api_keys_revoked_total").increment(keys);
    metrics::counter!("portcullis_grants_revoked_total", "reason" => "deactivated").increment(grants);
    tracing::info!(%org, %user, keys, grants, sessions, "a member was deactivated");
    Ok(json!({"keys": keys, "grants": grants, "sessions": sessions}))
}

fn ceiling((org, user): (OrgId, UserId), version: u64, scopes: ScopeSet) -> Entry {
    Entry::Ceiling {
        subject: Subject::Member(org, user),
        version,
        scopes,
    }
}

/// Under which a receipt is found again.
fn subject((org, user): (OrgId, UserId), version: u64) -> String {
    format!("{org}/{user}/{version}")
}

async fn receipt(
    app: &App,
    org: OrgId,
    user: UserId,
    version: u64,
    wait: Wait,
) -> Result<(MemberReceipt, Tag), ApiError> {
    let receipt = revocation::await_receipt(app, &subject((org, user), version), wait).await?;
    let member = app.store.begin_read().await?.member(org, user).await?;
    let member = member.ok_or(StoreError::Corrupt("membership: it is gone"))?;
    let lifetime_ms = app.policy().max_connection_seconds().saturating_mul(1000);
    let open_connections_until = receipt
        .effective_at
        .map(|at| at.0.saturating_add(lifetime_ms).into());
    let tag = super::tag(&member);
    let receipt = MemberReceipt {
        member: MemberView::new(app, member),
        receipt,
        open_connections_until,
    };
    Ok((receipt, tag))
}
