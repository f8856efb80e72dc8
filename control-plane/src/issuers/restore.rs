//! What an edge knows of issuers and this database does not: after a restore, or when another copy has published.
//!
//! The edge goes by its entry, so that is what is written down, and told again under a version of our own. An issuer of an
//! organisation that this database does not know can be neither shown nor removed, so it is trusted no more.

use serde_json::json;
use shared::crypto::Algorithm;
use shared::feed::{Entry, IssuerEntry, State, Subject};
use shared::id::{IssuerId, LIMIT};
use shared::time::UnixMillis;

use super::change::tell;
use crate::app::App;
use crate::audit::Actor;
use crate::store::issuers::{TrustedIssuer, Watch};
use crate::store::{StoreError, Tx};

/// Takes over what a state holds that is newer than what is known here; puts the ends that this causes into it.
pub(crate) async fn take_over(
    tx: &mut Tx,
    app: &App,
    state: &mut State,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let theirs: Vec<IssuerEntry> = state.issuers().cloned().collect();
    for entry in theirs {
        if tx.org_name(entry.org).await?.is_none() {
            state.join(Entry::Issuer(Box::new(IssuerEntry {
                version: entry.version.saturating_add(1),
                binding: None,
                ..entry
            })));
            continue;
        }
        let known = tx.issuer_named(&entry.issuer).await?;
        if known
            .as_ref()
            .is_some_and(|known| !entry.supersedes(&known.entry))
        {
            continue;
        }
        let mut row = match known.clone() {
            Some(known) => known,
            None => stranger(app, &entry, now)?,
        };
        row.removed_at = entry.binding.is_none().then_some(now);
        // Its keys may have changed since: they are looked for at once.
        row.watch.due_at = now;
        row.updated_at = now;
        row.entry = IssuerEntry {
            version: entry.version.saturating_add(1),
            ..entry
        };
        match known {
            Some(known) => {
                tx.change_issuer(known.entry.version, &row).await?;
            }
            None => tx.insert_issuer(&row).await?,
        }
        tx.give_issuer(&row.entry.issuer, row.entry.org).await?;
        let detail = json!({"issuer": row.entry.issuer, "version": row.entry.version});
        tell(tx, app, &row, (&Actor::system(), "issuer.restore", detail), now).await?;
    }
    for entry in state.entries() {
        if let Entry::Ceiling {
            subject: Subject::Foreign(issuer, subject),
            version,
            scopes,
        } = entry
            && tx.issuer_named(&issuer).await?.is_some()
        {
            let blocked_at = scopes.is_empty().then_some(now);
            tx.restore_blocked_subject(&issuer, &subject, version, blocked_at)
                .await?;
        }
    }
    Ok(())
}

/// The row of an issuer of which only the entry is known.
fn stranger(app: &App, entry: &IssuerEntry, now: UnixMillis) -> Result<TrustedIssuer, StoreError> {
    let id = IssuerId::from_u64(app.random.below(LIMIT)?).ok_or(StoreError::Corrupt("issuer id"))?;
    Ok(TrustedIssuer {
        id,
        entry: entry.clone(),
        algorithms: Algorithm::ALL
            .map(|algorithm| algorithm.jose().to_owned())
            .to_vec(),
        jwks_uri: None,
        created_by: "system".to_owned(),
        created_at: now,
        updated_at: now,
        removed_at: None,
        watch: Watch {
            keys_uri: None,
            attempted_at: now,
            refreshed_at: now,
            due_at: now,
            failures: 0,
            failure: None,
        },
    })
}
