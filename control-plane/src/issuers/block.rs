//! Shutting out one person of an issuer: whatever tokens the issuer gives them, they can do nothing here until they are let in
//! again. At the edge it is a ceiling of nothing for (issuer, subject), with versions, so that an old one undoes nothing.
//!
//! A membership of ours and a subject of theirs are two things, even of one person: suspending a member stops what we issued, and
//! this what the issuer does.
//!
//! No edge is asked whether it understands: it knows the issuer, or fails closed, and shutting somebody out waits for nobody.

use serde_json::json;
use shared::feed::{Entry, Subject};
use shared::id::IssuerId;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::change::find;
use super::rules;
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::keys::{confirm_rights, hold_caller};
use crate::revocation::{self, Reach, Receipt, Wait};
use crate::store::issuers::BlockedSubject;
use crate::store::{StoreError, Tx};

/// OpenID Connect Core §2.
const MAX_SUBJECT: usize = 255;

/// The answer to a block or its end.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// The issuer's id.
    pub id: IssuerId,
    /// What the issuer calls the person.
    pub subject: String,
    /// Whether they are blocked now.
    pub blocked: bool,
    /// Who has it, and from when on every default and strict route goes by it.
    pub receipt: Receipt,
}

/// Blocks somebody, or lets them in again. What changes nothing gives the receipt of the last change.
pub async fn block(
    app: &App,
    caller: &Caller,
    id: IssuerId,
    (subject, blocked): (&str, bool),
    wait: Wait,
) -> Result<Blocked, ApiError> {
    rules::may_administer(app, caller)?;
    if !(1..=MAX_SUBJECT).contains(&subject.len()) || subject.contains('\0') {
        let detail = format!("must be the subject as the issuer writes it, of 1 to {MAX_SUBJECT} bytes");
        return Err(ApiError::invalid_field("subject", detail));
    }
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let issuer = find(&mut tx, caller.org, id).await?.entry.issuer;
    let now = app.clock.now();
    let name = |version: u64| format!("{id}/{version}/{subject}");
    let version = if let Some(version) = tx.block_subject(&issuer, subject, blocked, now).await? {
        let entry = ceiling(&issuer, subject, version, blocked);
        let outbox = revocation::enqueue(&mut tx, &caller.org.into(), &name(version), &entry, now).await?;
        tx.insert_receipt(&name(version), now, outbox).await?;
        let event = Event {
            org: Some(caller.org),
            actor: &caller.actor(),
            action: if blocked { "issuer.block" } else { "issuer.unblock" },
            target: id.to_string(),
            detail: json!({"subject": subject}),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
        tx.commit().await?;
        app.feed.wake();
        version
    } else {
        let known = tx.blocked_subject(&issuer, subject).await?;
        drop(tx);
        known
            .ok_or_else(|| ApiError::not_found("blocked subject"))?
            .version
    };
    Ok(Blocked {
        id,
        subject: subject.to_owned(),
        blocked,
        receipt: revocation::await_receipt(app, &name(version), wait).await?,
    })
}

/// Lets everybody of an issuer in again: it is another organisation's now, which has blocked nobody.
pub(super) async fn forget(
    tx: &mut Tx,
    reach: &Reach,
    issuer: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    for BlockedSubject { subject, .. } in tx.blocked_subjects(issuer, u32::MAX).await? {
        if let Some(version) = tx.block_subject(issuer, &subject, false, now).await? {
            let entry = ceiling(issuer, &subject, version, false);
            revocation::enqueue(tx, reach, issuer, &entry, now).await?;
        }
    }
    Ok(())
}

fn ceiling(issuer: &str, subject: &str, version: u64, blocked: bool) -> Entry {
    Entry::Ceiling {
        subject: Subject::Foreign(issuer.to_owned(), subject.to_owned()),
        version,
        scopes: if blocked { ScopeSet::EMPTY } else { ScopeSet::ALL },
    }
}
