//! Whatever credential has a status index: a key, a grant with all its tokens, or a token that stands alone.

use shared::feed::Entry;
use shared::id::{GrantId, KeyId, OrgId, StatusIndex, UserId};
use shared::time::UnixMillis;

use super::{Reason, Why};
use crate::app::App;
use crate::audit::{self, Event};
use crate::keys;
use crate::oauth::grants;
use crate::revocation::{self, Reach, Receipt, Wait};
use crate::store::{StoreError, Tx};

/// What had the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An API key.
    Key(KeyId),
    /// A grant.
    Grant(GrantId),
    /// An access token without one: by client_credentials, or for an identity assertion.
    Token(StatusIndex),
}

/// A credential that is revoked, now or before.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) what: What,
    /// Where it counted, if that is known.
    pub(crate) org: Option<OrgId>,
    /// Whom it acted for, if that is known.
    pub(crate) user: Option<UserId>,
    /// How many credentials this ended: a key may take its line with it. 0: it was revoked before.
    pub(crate) newly: u64,
    reason: Reason,
}

/// Revokes whatever credential has this index, with its audit row and outbox row, in the caller's transaction. A key that
/// somebody else has takes its line of rotations with it, as `DELETE` does, unless it was revoked before: a dead key ends
/// nobody's. `None`: no credential has the index. After the commit: [`Ended::announce`].
pub(crate) async fn end_index(
    tx: &mut Tx,
    app: &App,
    index: StatusIndex,
    why: &Why<'_>,
) -> Result<Option<Ended>, StoreError> {
    let reason = why.reason;
    if let Some(key) = tx.key(KeyId::from(index)).await? {
        let newly = if key.revoked.is_some() {
            0
        } else {
            keys::end(tx, app, &key, why, reason == Reason::KeyCompromise).await?
        };
        return Ok(Some(Ended {
            what: What::Key(key.id),
            org: Some(key.org),
            user: Some(key.user),
            newly,
            reason,
        }));
    }
    if let Some(id) = tx.grant_of_index(index).await? {
        let grant = tx
            .grant(id)
            .await?
            .ok_or(StoreError::Corrupt("grant: it is gone"))?;
        let newly = grants::end(tx, app, &grant, why, app.clock.now()).await?;
        return Ok(Some(Ended {
            what: What::Grant(id),
            org: Some(grant.terms.org),
            user: Some(grant.terms.user),
            newly: newly.into(),
            reason,
        }));
    }
    end_alone(tx, app, index, why).await
}

async fn end_alone(
    tx: &mut Tx,
    app: &App,
    index: StatusIndex,
    why: &Why<'_>,
) -> Result<Option<Ended>, StoreError> {
    if tx.index_is_live(index).await?.is_none() {
        return Ok(None);
    }
    let now = app.clock.now();
    let org = tx.org_of_asserted_token(index).await?;
    let subject = subject_of(index);
    let newly = tx.revoke_index(index, now).await?;
    // One that a restore took over from the edge has no receipt yet.
    if newly || tx.receipt(&subject).await?.is_none() {
        let reach = Reach::of_index(tx, index).await?;
        let outbox = revocation::enqueue(tx, &reach, &subject, &Entry::revoked(index), now).await?;
        tx.insert_receipt(&subject, now, outbox).await?;
        let event = Event {
            org,
            actor: why.actor,
            action: if why.cause.is_by_holder() {
                "access_token.self_revoked"
            } else {
                "access_token.revoke"
            },
            target: subject,
            detail: why.detail(),
        };
        audit::record(tx, &app.random, &event, now).await?;
    }
    Ok(Some(Ended {
        what: What::Token(index),
        org,
        user: None,
        newly: newly.into(),
        reason: why.reason,
    }))
}

fn subject_of(index: StatusIndex) -> String {
    format!("index:{}", index.get())
}

impl Ended {
    /// The credential's public name.
    pub(crate) fn name(&self) -> String {
        match self.what {
            What::Key(id) => id.to_string(),
            What::Grant(id) => id.to_string(),
            What::Token(index) => subject_of(index),
        }
    }

    /// After the commit: wakes the feed, and counts.
    pub(crate) fn announce(&self, app: &App) {
        if self.newly == 0 {
            return;
        }
        app.feed.wake();
        tracing::info!(
            credential = self.name(),
            org = self.org.map(|id| id.to_string()),
            user = self.user.map(|id| id.to_string()),
            "a credential was revoked by its index"
        );
        match self.what {
            What::Key(_) => metrics::counter!("portcullis_api_keys_revoked_total").increment(self.newly),
            What::Grant(_) => {
                metrics::counter!("portcullis_grants_revoked_total", "reason" => "credential").increment(1);
            }
            What::Token(_) => {}
        }
    }

    /// The receipt, after the commit, once what is waited for has happened or the limit has passed: of a key with its line, when
    /// the last of them is out.
    pub(crate) async fn receipt(&self, app: &App, wait: Wait) -> Result<Receipt, StoreError> {
        let What::Key(id) = self.what else {
            return revocation::await_receipt(app, &self.name(), wait).await;
        };
        let mut last = id;
        if self.reason == Reason::KeyCompromise {
            let key = app.store.begin_read().await?.key(id).await?;
            let key = key.ok_or(StoreError::Corrupt("key: it is gone"))?;
            last = keys::last_of_line(app, &key).await?;
        }
        keys::open_receipt(app, last).await?;
        revocation::await_receipt(app, &last.to_string(), wait).await
    }

    /// When it was revoked, and why.
    pub(crate) async fn end(&self, app: &App) -> Result<(UnixMillis, String), StoreError> {
        let mut tx = app.store.begin_read().await?;
        let end = match self.what {
            What::Key(id) => tx
                .key(id)
                .await?
                .and_then(|key| key.revoked)
                .map(|revoked| (revoked.at, revoked.reason)),
            What::Grant(id) => tx.grant_end(id).await?,
            // Which word it was is in the audit trail only.
            What::Token(index) => tx
                .index_end(index)
                .await?
                .map(|at| (at, self.reason.as_str().to_owned())),
        };
        end.ok_or(StoreError::Corrupt("revocation: it is gone"))
    }
}
