//! What reaches every organisation, and is for the operator at the machine: a signing key that somebody else has, and everything
//! that this installation ever issued.
//!
//! Both may end every admin key; then a new one for the first owner is part of the answer, shown once.

use serde_json::{Value, json};
use shared::feed::{Entry, Subject};
use shared::id::{OrgId, SigningKeyId};

use super::Why;
use super::write::{self, Record, Scope, live_at, live_grants_at};
use crate::app::App;
use crate::audit::Actor;
use crate::keys::{self, Issued, Reason};
use crate::revocation::{self, Wait};
use crate::signing::{self, Purpose};
use crate::store::Tx;
use crate::store::keys::Reach;
use crate::store::revocations::{GrantsWhere, KeysWhere};

/// An error of the API as one of the command line.
fn plain(error: &crate::error::ApiError) -> anyhow::Error {
    match &error.problem().cause {
        Some(cause) => anyhow::anyhow!("{cause:#}"),
        None => anyhow::anyhow!(error.problem().detail.clone()),
    }
}

/// Removes a signing key at once, with everything that it signed. A second call gives the same receipt.
pub(crate) async fn signing_key(app: &App, id: SigningKeyId, wait: Wait) -> anyhow::Result<Value> {
    let (actor, now) = (Actor::command_line(), app.clock.now());
    let subject = format!("signing_key:{id}");
    let mut tx = app.store.begin().await?;
    let mut answer = json!({ "id": id.kid(), "reason": Reason::KeyCompromise });
    if tx.receipt(&subject).await?.is_none() {
        app.keyring.reload(&mut tx).await?;
        let key = app.keyring.known(id);
        let key = key.ok_or_else(|| anyhow::anyhow!("there is no signing key {id}"))?;
        let purpose = key.purpose;
        let replaced =
            signing::replace_compromised(&mut tx, &app.keyring, &app.random, purpose, Some(id), &actor, now)
                .await?;
        answer["purpose"] = purpose.as_str().into();
        answer["api_keys_revoked"] = replaced.api_keys.into();
        answer["new_signing_key"] = json!(replaced.new.map(|(id, _)| id.kid()));
        if let (Some(drawn), Purpose::ApiKey) = (replaced.new, purpose) {
            let made = keys::create_admin(&mut tx, app, None, drawn, &actor, now).await;
            show(&mut answer, &made.map_err(|error| plain(&error))?);
        }
        tx.commit().await?;
        app.feed.wake();
    } else {
        drop(tx);
    }
    add_receipt(app, answer, &subject, wait).await
}

/// Revokes everything that this installation has issued, in every organisation. What it issues from now on is dated later.
pub(crate) async fn own_issuer(
    app: &App,
    reason: Reason,
    comment: Option<&str>,
    wait: Wait,
) -> anyhow::Result<Value> {
    let comment = super::comment(comment).map_err(|error| plain(&error))?;
    let actor = Actor::command_line();
    let now = app.clock.now();
    let keys = KeysWhere {
        org: None,
        ..KeysWhere::in_reach(Reach::all_of(first_org(app).await?), live_at(now))
    };
    let mut tx = app.store.begin().await?;
    tx.hold_keys_where(&keys).await?;
    tx.hold_every_org().await?;
    let now = app.clock.now();
    let at = tx.set_issuer_not_before(now.seconds()).await?;
    let issuer = app.config.issuer.clone();
    let scope = Scope {
        keys: Some(keys),
        grants: Some(GrantsWhere::of(None, live_grants_at(app, now))),
        entries: vec![Entry::NotBefore(Subject::Issuer(issuer.clone()), at)],
        sessions: tx.end_sessions_in(None, None, now).await?,
        // One entry stands for all that there is, in whatever number.
        without_bits: true,
        ..Scope::default()
    };
    let record = Record {
        org: None,
        subject: format!("issuer/{issuer}"),
        filter: None,
        action: "issuer.revoke",
        target: issuer.clone(),
        why: Why {
            comment,
            ..Why::asked(reason, &actor)
        },
    };
    let row = write::write(&mut tx, app, scope, record, now).await?;
    // Without one, all the more: `portcullis keys admin` makes it later.
    let made = admin(&mut tx, app, None).await;
    tx.commit().await?;
    write::announce(app, row.counts);
    let mut answer = json!({
        "id": issuer,
        "revocation": row.id,
        "reason": reason,
        "revoked": row.counts,
    });
    match &made {
        Ok(made) => show(&mut answer, made),
        Err(error) => answer["admin_key_missing"] = format!("{error:#}").into(),
    }
    add_receipt(app, answer, &row.id.to_string(), wait).await
}

/// An admin key for the first owner of an organisation, or of the first one: whoever has none left begins with it.
pub(crate) async fn admin_key(app: &App, org: Option<OrgId>) -> anyhow::Result<Value> {
    let mut tx = app.store.begin().await?;
    let made = admin(&mut tx, app, org).await?;
    tx.commit().await?;
    let mut answer = json!({ "org": made.key.org, "user": made.key.user });
    show(&mut answer, &made);
    Ok(answer)
}

async fn admin(tx: &mut Tx, app: &App, org: Option<OrgId>) -> anyhow::Result<Issued> {
    let (actor, now) = (Actor::command_line(), app.clock.now());
    let drawn = signing::draw_index(tx, Purpose::ApiKey, &org.into(), None, &app.random, now).await?;
    let made = keys::create_admin(tx, app, org, drawn, &actor, now).await;
    made.map_err(|error| plain(&error))
}

async fn first_org(app: &App) -> anyhow::Result<OrgId> {
    let org = app.store.begin_read().await?.first_org().await?;
    org.ok_or_else(|| anyhow::anyhow!("the database is empty"))
}

fn show(answer: &mut Value, made: &Issued) {
    answer["admin_key_id"] = json!(made.key.id);
    answer["admin_key"] = made.plain.expose().into();
}

/// A running server pushes it; without one the edge is listed as pending.
async fn add_receipt(app: &App, mut answer: Value, subject: &str, wait: Wait) -> anyhow::Result<Value> {
    let receipt = revocation::await_receipt(app, subject, wait).await?;
    if let (Value::Object(answer), Value::Object(receipt)) = (&mut answer, serde_json::to_value(receipt)?) {
        answer.extend(receipt);
    }
    Ok(answer)
}
