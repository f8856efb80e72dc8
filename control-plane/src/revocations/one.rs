//! One target: what dies with it, and what the edge is told.
//!
//! Each finds out first whether anything is left to end. If not, and the same was revoked before, the answer is the receipt of
//! then: nothing was issued since.

use serde::Serialize;
use shared::feed::{Entry, Subject};
use shared::id::{ClientId, GrantId, OrgId, SessionId, UserId, WorkspaceId};
use shared::time::UnixMillis;

use super::rules;
use super::target::Target;
use super::write::{self, Record, RevocationReceipt, Scope, live_at, live_grants_at};
use super::{Cause, Reason, Why};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::time::Timestamp;
use crate::keys::{self, KeyReceipt, Revocation, confirm_rights, hold_caller};
use crate::oauth::{clients, grants};
use crate::revocation::{self, Receipt, Wait};
use crate::sessions;
use crate::store::Tx;
use crate::store::clients::Client;
use crate::store::keys::Reach;
use crate::store::revocations::{GrantsWhere, KeysWhere, RevocationRow};

/// How to revoke.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) reason: Reason,
    pub(crate) comment: Option<&'a str>,
    pub(crate) wait: Wait,
}

/// The receipt of a single grant or session, in the same shape.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = GrantReceipt)]
pub struct SingleReceipt {
    /// Its id.
    pub id: String,
    /// When the revocation was committed.
    pub revoked_at: Timestamp,
    /// Why, in the words of RFC 5280 §5.3.1.
    pub reason: String,
    /// Who has it, and when nobody lets its tokens in any more.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// A connection that was let in before may stay open until then; absent while an edge is pending.
    pub open_connections_until: Option<Timestamp>,
}

/// The answer to the revocation of a target.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = TargetRevoked)]
pub enum Answer {
    /// One key.
    Key(Box<KeyReceipt>),
    /// One grant.
    Single(Box<SingleReceipt>),
    /// Everything of something.
    Many(Box<RevocationReceipt>),
}

/// Revokes a target in the caller's organisation.
pub(crate) async fn revoke(
    app: &App,
    caller: &Caller,
    target: Target,
    request: Request<'_>,
) -> Result<Answer, ApiError> {
    match target {
        Target::Key(id) => {
            let revocation = Revocation {
                reason: request.reason,
                line: None,
                wait: request.wait,
            };
            let receipt = keys::revoke_with(app, caller, id, revocation, request.comment).await?;
            Ok(Answer::Key(Box::new(receipt)))
        }
        Target::SigningKey => Err(ApiError::new(
            Code::ExceedsCaller,
            "signing keys belong to the whole installation: `portcullis revoke signing-key` at the machine",
        )),
        Target::Grant(id) => grant(app, caller, id, request).await,
        other => many(app, caller, other, request).await,
    }
}

async fn grant(app: &App, caller: &Caller, id: GrantId, request: Request<'_>) -> Result<Answer, ApiError> {
    rules::may_administer(app, caller)?;
    let not_found = || ApiError::not_found("grant");
    let actor = caller.actor();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let grant = tx
        .grant(id)
        .await?
        .filter(|grant| grant.terms.org == caller.org)
        .ok_or_else(not_found)?;
    let why = Why {
        comment: request.comment,
        ..Why::asked(request.reason, &actor)
    };
    if grants::end(&mut tx, app, &grant, &why, app.clock.now()).await? {
        // The app has to ask again, and not just to send the person by.
        let member = (grant.terms.org, grant.terms.user);
        tx.forget_consents_for(member, grant.terms.client).await?;
        tx.commit().await?;
        app.feed.wake();
        metrics::counter!("portcullis_grants_revoked_total", "reason" => "asked").increment(1);
    } else {
        drop(tx);
    }
    let receipt = revocation::await_receipt(app, &id.to_string(), request.wait).await?;
    let mut tx = app.store.begin_read().await?;
    let (revoked_at, reason) = tx.grant_end(id).await?.ok_or_else(not_found)?;
    Ok(Answer::Single(Box::new(SingleReceipt {
        id: id.to_string(),
        revoked_at: revoked_at.into(),
        reason,
        open_connections_until: write::until(app, &receipt),
        receipt,
    })))
}

/// What is found out under the locks: what to end, under which name; or that nothing is left.
struct Found {
    scope: Scope,
    subject: String,
    name: String,
    action: &'static str,
    /// Something to end, or something was issued since the last time.
    fresh: bool,
}

async fn many(app: &App, caller: &Caller, target: Target, request: Request<'_>) -> Result<Answer, ApiError> {
    rules::may_administer(app, caller)?;
    let mut tx = app.store.begin().await?;
    // Locks, in the order of those who issue: the calling key, keys, organisation, membership; then client, provider, session.
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    if let Some(keys) = keys_of(caller.org, &target, app.clock.now()) {
        tx.hold_keys_where(&keys).await?;
    }
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let now = app.clock.now();
    let found = match &target {
        Target::Client(name) => client(&mut tx, app, caller, name, now).await?,
        Target::User(user) => user_of(&mut tx, app, caller, *user, now).await?,
        Target::Session(sid) => session(&mut tx, app, caller, *sid, now).await?,
        Target::Org(org) => whole_org(&mut tx, app, caller, *org, now).await?,
        Target::Issuer(name) => issuer(&mut tx, app, caller, name, now).await?,
        Target::Workspace(id) => workspace(&mut tx, caller, *id, now).await?,
        Target::Key(_) | Target::Grant(_) | Target::SigningKey => {
            return Err(ApiError::internal(anyhow::anyhow!("a single target")));
        }
    };
    if !found.fresh
        && let Some(before) = tx.last_revocation(&found.subject).await?
    {
        drop(tx);
        return answer(app, found.name, before, request.wait).await;
    }
    let actor = caller.actor();
    let record = Record {
        org: Some(caller.org),
        subject: found.subject,
        filter: None,
        action: found.action,
        target: found.name.clone(),
        why: Why {
            reason: request.reason,
            cause: Cause::Asked,
            comment: request.comment,
            actor: &actor,
        },
    };
    let row = write::write(&mut tx, app, found.scope, record, now).await?;
    if let Target::Session(sid) = target
        && row.counts.sessions > 0
    {
        // Codes that were not fetched, and what its person agreed to in it for another organisation.
        tx.end_grants_of_session(&sid.to_string(), now).await?;
    }
    tx.commit().await?;
    write::announce(app, row.counts);
    answer(app, found.name, row, request.wait).await
}

async fn answer(app: &App, name: String, row: RevocationRow, wait: Wait) -> Result<Answer, ApiError> {
    Ok(Answer::Many(Box::new(
        write::receipt(app, name, row, wait).await?,
    )))
}

/// The keys that die with a target.
fn keys_of(org: OrgId, target: &Target, now: UnixMillis) -> Option<KeysWhere> {
    let all = KeysWhere::in_reach(Reach::all_of(org), live_at(now));
    match target {
        Target::Org(_) => Some(all),
        Target::User(user) => Some(KeysWhere {
            user: Some(*user),
            ..all
        }),
        Target::Workspace(workspace) => Some(KeysWhere {
            workspace: Some(*workspace),
            ..all
        }),
        _ => None,
    }
}

/// A client of the organisation is dead with all that it was issued until now. One that is everybody's loses what people of this
/// organisation gave it, and nothing else: the rest is others'.
async fn client(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    name: &str,
    now: UnixMillis,
) -> Result<Found, ApiError> {
    let not_found = || ApiError::not_found("client");
    let client = match name.parse::<ClientId>() {
        Ok(id) => tx.client(id).await?,
        Err(_) => tx.client_by_identifier(name).await?,
    };
    let client = client
        .filter(|client| !client.is_of_another(caller.org))
        .ok_or_else(not_found)?;
    let which = GrantsWhere {
        client: Some(client.id),
        ..GrantsWhere::of(Some(caller.org), live_grants_at(app, now))
    };
    let subject = format!("{}/{}", caller.org, client.id);
    let live = tx.count_grants_where(&which).await? + tx.count_tokens_where(&which).await?;
    let codes = tx
        .end_codes_of_client(caller.org, client.id, &client.identifier, now)
        .await?;
    let mut found = Found {
        scope: Scope::default(),
        subject,
        name: name.to_owned(),
        action: "client.revoke",
        fresh: live > 0 || codes > 0,
    };
    tx.forget_consents_in(caller.org, client.id).await?;
    if client.org.is_some() {
        own_client(tx, &client, &mut found, now).await?;
    } else if !found.fresh && tx.last_revocation(&found.subject).await?.is_none() {
        // Nobody here has let it in: whether others have is not told.
        return Err(not_found());
    }
    found.scope.grants = Some(which);
    Ok(found)
}

/// With a not-before on the client itself, and what others got in exchange for its tokens.
async fn own_client(
    tx: &mut Tx,
    client: &Client,
    found: &mut Found,
    now: UnixMillis,
) -> Result<(), ApiError> {
    let exchanged = tx
        .exchanged_indexes(&client.id.to_string(), now.seconds())
        .await?;
    for index in exchanged {
        if tx.revoke_index(index, now).await? {
            found.scope.indexes.push(index);
            found.fresh = true;
        }
    }
    found.fresh |= !tx.client_is_silent(client.id).await?;
    if found.fresh {
        let at = tx
            .set_client_not_before(client.id, now.seconds())
            .await?
            .ok_or_else(|| ApiError::not_found("client"))?;
        found.scope.entries.extend(clients::superseded(client, at));
    }
    Ok(())
}

/// Everything of a person here. They may sign in again, which a deactivation does not let them.
async fn user_of(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    user: UserId,
    now: UnixMillis,
) -> Result<Found, ApiError> {
    let not_found = || ApiError::not_found("user");
    if !rules::may_end_person(tx, caller, user).await? {
        return Err(not_found());
    }
    let org = caller.org;
    let keys = keys_of(org, &Target::User(user), now);
    let grants = GrantsWhere {
        user: Some(user),
        ..GrantsWhere::of(Some(org), live_grants_at(app, now))
    };
    let mut live = tx.count_grants_where(&grants).await? + tx.count_tokens_where(&grants).await?;
    if let Some(keys) = &keys {
        live += tx.count_keys_where(keys).await?;
    }
    live += tx.count_sessions_in(Some(org), Some(user), now).await?;
    let fresh = live > 0 || !tx.member_is_silent(org, user).await?;
    let mut scope = Scope {
        keys,
        grants: Some(grants),
        ..Scope::default()
    };
    if fresh {
        let at = tx
            .set_member_not_before(org, user, now.seconds())
            .await?
            .ok_or_else(not_found)?;
        scope
            .entries
            .push(Entry::NotBefore(Subject::Member(org, user), at));
        scope.sessions = tx.end_sessions_in(Some(org), Some(user), now).await?;
    }
    Ok(Found {
        scope,
        subject: format!("{org}/{user}"),
        name: user.to_string(),
        action: "membership.revoke",
        fresh,
    })
}

/// A sign-in: here, at the edge, and for what apps got in it.
async fn session(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    sid: SessionId,
    now: UnixMillis,
) -> Result<Found, ApiError> {
    let not_found = || ApiError::not_found("session");
    let grants = GrantsWhere {
        session: Some(sid.to_string()),
        ..GrantsWhere::of(Some(caller.org), live_grants_at(app, now))
    };
    let owner = tx.session_owner(sid).await?;
    let subject = format!("{}/{sid}", caller.org);
    let live = tx.count_grants_where(&grants).await?;
    let mut fresh = live > 0;
    let mut scope = Scope::default();
    match owner {
        Some((org, user)) if org == caller.org => {
            if !rules::may_end_person(tx, caller, user).await? {
                return Err(not_found());
            }
            if let Some(at) = sessions::end::entry(tx, user, sid, now).await? {
                scope.sessions = 1;
                scope.entries.push(at);
                fresh = true;
            }
        }
        // Somebody else's organisation now, or forgotten: what came of it here still lives.
        Some(_) | None if live > 0 || tx.last_revocation(&subject).await?.is_some() => {}
        _ => return Err(not_found()),
    }
    scope.grants = Some(grants);
    Ok(Found {
        scope,
        subject,
        name: sid.to_string(),
        action: "session.revoke",
        fresh,
    })
}

/// All credentials and sessions of the caller's organisation, the calling one among them.
async fn whole_org(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    org: OrgId,
    now: UnixMillis,
) -> Result<Found, ApiError> {
    let not_found = || ApiError::not_found("org");
    if org != caller.org {
        return Err(not_found());
    }
    rules::must_be_owner(caller, "only an owner revokes a whole organisation")?;
    let at = tx
        .set_org_not_before(org, now.seconds())
        .await?
        .ok_or_else(not_found)?;
    Ok(Found {
        scope: Scope {
            keys: keys_of(org, &Target::Org(org), now),
            grants: Some(GrantsWhere::of(Some(org), live_grants_at(app, now))),
            entries: vec![Entry::NotBefore(Subject::Org(org), at)],
            sessions: tx.end_sessions_in(Some(org), None, now).await?,
            ..Scope::default()
        },
        subject: org.to_string(),
        name: org.to_string(),
        action: "org.revoke",
        // Whoever asks has a live credential, which is among what dies.
        fresh: true,
    })
}

/// Every key that is for one workspace only. New ones can be made.
async fn workspace(
    tx: &mut Tx,
    caller: &Caller,
    id: WorkspaceId,
    now: UnixMillis,
) -> Result<Found, ApiError> {
    let found = tx.workspace(caller.org, id).await?;
    found.ok_or_else(|| ApiError::not_found("workspace"))?;
    let (scope, fresh) = super::workspace::scope(tx, caller.org, id, now).await?;
    Ok(Found {
        scope,
        subject: super::workspace::subject(caller.org, id),
        name: id.to_string(),
        action: "workspace.revoke",
        fresh,
    })
}

/// An identity provider of the organisation, or another issuer that it trusts: what came of its assertions, and its tokens. It is
/// trusted on, for what it makes from now on.
async fn issuer(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    name: &str,
    now: UnixMillis,
) -> Result<Found, ApiError> {
    if name == app.config.issuer {
        let detail =
            "everything that this installation issued is revoked at the machine: `portcullis revoke issuer`";
        return Err(ApiError::new(Code::ExceedsCaller, detail));
    }
    let mut configured = app.config.identity_providers.iter();
    let configured = configured.find(|provider| provider.issuer == name);
    let org = match configured {
        Some(provider) => Some(provider.org),
        None => match tx.org_of_trusted_issuer(name).await? {
            Some(org) => Some(org),
            // One that was taken out of the configuration: its tokens may still live.
            None => tx.org_of_issuer(name).await?,
        },
    };
    if org != Some(caller.org) {
        return Err(ApiError::not_found("issuer"));
    }
    let which = GrantsWhere {
        issuer: Some(name.to_owned()),
        ..GrantsWhere::of(Some(caller.org), live_at(now))
    };
    // Its row is held from here on: no assertion is taken meanwhile.
    tx.note_assertion(name, caller.org, shared::time::UnixSeconds(0))
        .await?;
    // What the edge lets in of a trusted issuer is not seen here, so there may always be something.
    let trusted = tx
        .issuer_named(name)
        .await?
        .is_some_and(|row| row.removed_at.is_none());
    let fresh = trusted || tx.count_tokens_where(&which).await? > 0 || !tx.issuer_is_silent(name).await?;
    let mut scope = Scope::default();
    if fresh {
        let at = tx.set_foreign_not_before(name, caller.org, now.seconds()).await?;
        scope
            .entries
            .push(Entry::NotBefore(Subject::Issuer(name.to_owned()), at));
    }
    scope.grants = Some(which);
    Ok(Found {
        scope,
        subject: format!("{}/issuer/{name}", caller.org),
        name: name.to_owned(),
        action: "issuer.revoke",
        fresh,
    })
}
