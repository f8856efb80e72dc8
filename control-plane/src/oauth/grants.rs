//! Grants: one consent and every token that came of it. Dating what is issued under one, and ending it.
//!
//! What it does not: rotate refresh tokens (`refresh` does), or ask people (`consent` does).

use serde_json::{Value, json};
use shared::feed::Entry;
use shared::id::{SessionId, SigningKeyId, StatusIndex};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::orgs;
use crate::revocation::{self, Reach};
use crate::revocations::{Reason as Word, Why};
use crate::sessions::Session;
use crate::signing::{self, Purpose, SigningError};
use crate::store::grants::{Grant, Terms};
use crate::store::orgs::IssueSubjects;
use crate::store::{StoreError, Tx};

/// Why a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client said so (RFC 7009).
    Client,
    /// Its authorization code came twice (RFC 6749 §4.1.2).
    CodeReuse,
    /// A refresh token came again that was exchanged before (RFC 9700 §4.14.2).
    RefreshReuse,
    /// Its refresh token was found where anybody can read it.
    Leak,
}

impl Reason {
    /// The text in the audit trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::CodeReuse => "code_reuse",
            Self::RefreshReuse => "refresh_reuse",
            Self::Leak => "leak",
        }
    }

    /// The same in the words of RFC 5280 §5.3.1, as in the database.
    pub fn word(self) -> Word {
        match self {
            Self::Client => Word::CessationOfOperation,
            Self::CodeReuse | Self::RefreshReuse | Self::Leak => Word::KeyCompromise,
        }
    }
}

/// Ends a grant for good: its refresh tokens are dead here, its access tokens at the edge. False if it was revoked before;
/// one that ended with its session has no receipt of its own yet, and gets one. After the commit, wake the feed; the
/// receipt's subject is the grant's id.
pub async fn revoke(
    tx: &mut Tx,
    app: &App,
    grant: &Grant,
    reason: Reason,
    actor: &Actor,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let end = End {
        word: reason.word(),
        action: "grant.revoke",
        detail: json!({"reason": reason.word(), "cause": reason.as_str()}),
        actor,
    };
    end_with(tx, app, grant, end, now).await
}

/// The same because somebody asked for it, or because of whoever holds one of its tokens.
pub(crate) async fn end(
    tx: &mut Tx,
    app: &App,
    grant: &Grant,
    why: &Why<'_>,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let end = End {
        word: why.reason,
        action: if why.cause.is_by_holder() {
            "grant.self_revoked"
        } else {
            "grant.revoke"
        },
        detail: why.detail(),
        actor: why.actor,
    };
    end_with(tx, app, grant, end, now).await
}

/// What is remembered of an end.
struct End<'a> {
    word: Word,
    action: &'static str,
    detail: Value,
    actor: &'a Actor,
}

async fn end_with(
    tx: &mut Tx,
    app: &App,
    grant: &Grant,
    end: End<'_>,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let subject = grant.id.to_string();
    let ended = tx.revoke_grant(grant.id, end.word.as_str(), now).await?;
    if !ended && tx.receipt(&subject).await?.is_some() {
        return Ok(false);
    }
    let reach = Reach::from(grant.terms.org);
    let mut last = None;
    for index in tx.indexes_of_grant(grant.id).await? {
        tx.revoke_index(index, now).await?;
        last = Some(revocation::enqueue(tx, &reach, &subject, &Entry::revoked(index), now).await?);
    }
    let outbox = last.ok_or(StoreError::Corrupt("grant: it has no index"))?;
    tx.insert_receipt(&subject, now, outbox).await?;
    let mut detail = end.detail;
    detail["client_id"] = json!(grant.terms.client);
    detail["user"] = json!(grant.terms.user);
    let event = Event {
        org: Some(grant.terms.org),
        actor: end.actor,
        action: end.action,
        target: subject,
        detail,
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(true)
}

/// When a token under these terms is issued, and what the person may do by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dated {
    pub(super) iat: UnixSeconds,
    /// The ceiling of the person's role, the hierarchy expanded.
    pub(super) rights: ScopeSet,
}

/// Dates a token, and locks whatever could end it until the commit. `None` if the person, the client or the session has
/// ended, or everything issued at `since` is dead.
pub(super) async fn date(
    tx: &mut Tx,
    app: &App,
    terms: &Terms,
    since: Option<UnixSeconds>,
    now: UnixMillis,
) -> Result<Option<Dated>, StoreError> {
    let subjects = IssueSubjects {
        org: terms.org,
        workspace: None,
        user: Some(terms.user),
    };
    let killed = |not_before: Option<UnixSeconds>| {
        since
            .zip(not_before)
            .is_some_and(|(since, not_before)| since <= not_before)
    };
    // Locks: organisation, membership, client, session.
    let earliest = tx.issue_time(subjects, now.seconds()).await?;
    if killed(tx.not_before(subjects).await?) || tx.hold_membership(terms.org, terms.user).await?.is_none() {
        return Ok(None);
    }
    let Some(membership) = tx.membership(terms.org, terms.user).await? else {
        return Ok(None);
    };
    let Some(mut iat) = tx.client_issue_time(terms.client, earliest).await? else {
        return Ok(None);
    };
    if killed(tx.client_not_before(terms.client).await?) {
        return Ok(None);
    }
    if iat > earliest {
        iat = tx.issue_time(subjects, iat).await?;
    }
    if let Some(sid) = session_of(terms) {
        // A session that ran out and was forgotten does not end what it began; one that somebody ended does.
        if tx.session_issue_time(sid, iat).await?.is_none() && tx.session_ended_at(sid).await?.is_some() {
            return Ok(None);
        }
    }
    let rights = app
        .catalogue()
        .expand(orgs::rights(membership.role, &app.policy().policy));
    Ok(Some(Dated { iat, rights }))
}

/// The same for what somebody does right now in their session: its secret must still be the one that they came with. A new
/// password gives the session another one and ends what was allowed in it; a request that was read before must not allow more.
pub(super) async fn date_in(
    tx: &mut Tx,
    app: &App,
    session: &Session,
    terms: &Terms,
    now: UnixMillis,
) -> Result<Option<Dated>, StoreError> {
    // Locks the session, so it stays as it is found.
    let Some(dated) = date(tx, app, terms, None, now).await? else {
        return Ok(None);
    };
    Ok(session.is_current(tx).await?.then_some(dated))
}

pub(super) fn session_of(terms: &Terms) -> Option<SessionId> {
    terms.session.as_deref().and_then(|sid| sid.parse().ok())
}

/// The index that the next access token of a grant carries, and the key that must sign it. A grant outlives token keys:
/// when its key is not the active one any more, or its index was forgotten, it moves on. `None` if the index is revoked.
pub(super) async fn index(
    tx: &mut Tx,
    app: &App,
    grant: &Grant,
    exp: UnixSeconds,
    now: UnixMillis,
) -> Result<Option<(SigningKeyId, StatusIndex)>, SigningError> {
    let active = tx
        .active_signing_key(Purpose::AccessToken.as_str())
        .await?
        .ok_or(SigningError::NoSigner(Purpose::AccessToken))?;
    if tx.index_is_live(grant.index).await? == Some(false) {
        return Ok(None);
    }
    if grant.signing_key == active && tx.extend_index(grant.index, exp).await? {
        return Ok(Some((active, grant.index)));
    }
    let (key, index) = signing::draw_index(
        tx,
        Purpose::AccessToken,
        &grant.terms.org.into(),
        Some(exp),
        &app.random,
        now,
    )
    .await?;
    tx.move_grant(grant.id, key, index).await?;
    Ok(Some((key, index)))
}

/// Forgets codes of yesterday, devices that ended an hour ago and grants that ended a month ago. A job.
pub async fn prune(tx: &mut Tx, now: UnixMillis) -> Result<(), StoreError> {
    const DAY_MS: u64 = 86_400_000;
    const HOUR_MS: u64 = 3_600_000;
    let yesterday = UnixMillis(now.0.saturating_sub(DAY_MS));
    tx.forget_codes(yesterday).await?;
    tx.forget_device_codes(UnixMillis(now.0.saturating_sub(HOUR_MS)))
        .await?;
    tx.forget_exchanges(yesterday.seconds()).await?;
    tx.forget_asserted_tokens(yesterday.seconds()).await?;
    tx.forget_grants(now.seconds().saturating_sub(30 * 86_400))
        .await?;
    Ok(())
}
