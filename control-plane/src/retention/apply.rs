//! The job that lets go, organisation by organisation: usage, addresses, details of the audit trail.

use std::sync::Arc;

use serde_json::json;
use shared::id::OrgId;
use shared::time::UnixMillis;

use super::{ACTION, let_go};
use crate::app::App;
use crate::audit::{self, Actor, Event, chain};
use crate::settings;
use crate::store::audit::{AuditFilter, AuditRow};
use crate::store::{StoreError, Tx, int, uint};

const DAY_MS: u64 = 86_400_000;
/// Rows in one transaction.
const BATCH: u32 = 500;
const ORGS: u32 = 100;

/// The job: goes through all organisations, and the installation.
pub async fn apply_all(app: Arc<App>) -> anyhow::Result<()> {
    let mut after = -1;
    loop {
        let chains = app.store.begin_read().await?.chains(after, ORGS).await?;
        let Some(last) = chains.last() else { return Ok(()) };
        after = *last;
        for chain in chains {
            apply(&app, chain).await?;
        }
    }
}

/// One chain, if a day is over since the last time.
async fn apply(app: &App, chain: i64) -> anyhow::Result<()> {
    let org = OrgId::from_u64(uint(chain, "organisation id")?).filter(|_| chain > 0);
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    let days = match org {
        Some(org) => settings::kept(&mut tx, app, org).await,
        None => Ok(settings::limits(app)),
    };
    let days = days.map_err(|error| anyhow::anyhow!("{}", error.problem().detail))?;
    let so_far = tx.let_go_so_far(chain).await?;
    drop(tx);
    // Never backwards: what is let go does not come back.
    let to = (
        cut_off(now, days.detail_days).max(so_far.0),
        cut_off(now, days.address_days).max(so_far.1),
        cut_off(now, days.usage_days).max(so_far.2),
    );
    if to == so_far {
        return Ok(());
    }
    if let Some(org) = org {
        let mut tx = app.store.begin().await?;
        tx.forget_usage_of(org.get(), UnixMillis(uint(to.2, "time")?))
            .await?;
        tx.forget_session_addresses(org, UnixMillis(uint(to.1, "time")?))
            .await?;
        tx.commit().await?;
    }
    trail(app, (chain, org), (so_far.0, so_far.1), (to.0, to.1), now).await?;
    let mut tx = app.store.begin().await?;
    tx.set_let_go(chain, to).await?;
    Ok(tx.commit().await?)
}

/// Whole days, so that the trail says once a day at most what was let go. 0: nothing.
fn cut_off(now: UnixMillis, days: Option<u64>) -> i64 {
    days.map_or(0, |days| {
        let before = now.0.saturating_sub(days.saturating_mul(DAY_MS));
        int(before / DAY_MS * DAY_MS)
    })
}

async fn trail(
    app: &App,
    (number, org): (i64, Option<OrgId>),
    so_far: (i64, i64),
    to: (i64, i64),
    now: UnixMillis,
) -> anyhow::Result<()> {
    let Some(from) = earliest(so_far, to) else {
        return Ok(());
    };
    let mut filter = AuditFilter {
        chain: number,
        actor: None,
        action: None,
        target: None,
        until: to.0.max(to.1),
        after: (from, -1),
        limit: BATCH,
    };
    let mut said = let_go(&mut app.store.begin_read().await?, number).await?;
    loop {
        let mut tx = app.store.begin().await?;
        let rows = tx.audit_on(&filter).await?;
        for row in &rows {
            if let Some(left) = left_of(row, to) {
                // First the row that says so: without it the chain would not hold.
                if said.0 < to.0 || said.1 < to.1 {
                    say(&mut tx, app, org, to, now).await?;
                    said = to;
                }
                tx.let_go_of(&left).await?;
            }
        }
        tx.commit().await?;
        match rows.last() {
            Some(last) if rows.len() == usize::try_from(BATCH).unwrap_or(usize::MAX) => {
                filter.after = (last.at, last.id);
            }
            _ => return Ok(()),
        }
    }
}

/// From when on there may be something to let go; `None`: nothing new.
fn earliest(so_far: (i64, i64), to: (i64, i64)) -> Option<i64> {
    let moved = [(so_far.0, to.0), (so_far.1, to.1)];
    moved
        .into_iter()
        .filter(|(from, to)| from < to)
        .map(|(from, _)| from)
        .min()
}

/// What is left of a row; `None`: all of it stays, or was let go before.
fn left_of(row: &AuditRow, (details, addresses): (i64, i64)) -> Option<AuditRow> {
    let mut left = row.clone();
    if row.at < details {
        if left.detail_digest.is_none() {
            left.detail_digest = Some(chain::detail_digest(row));
            left.salt = None;
            left.detail = String::new();
        }
        left.personal = left.personal.as_deref().map(chain::dropped);
    }
    if row.at < addresses {
        left.address = left.address.as_deref().map(chain::dropped);
    }
    (left != *row).then_some(left)
}

async fn say(
    tx: &mut Tx,
    app: &App,
    org: Option<OrgId>,
    (details, addresses): (i64, i64),
    now: UnixMillis,
) -> Result<(), StoreError> {
    let event = Event {
        org,
        actor: &Actor::system(),
        action: ACTION,
        target: "audit".to_owned(),
        detail: json!({ "details_before_ms": details, "addresses_before_ms": addresses }),
    };
    audit::record(tx, &app.random, &event, now).await
}
