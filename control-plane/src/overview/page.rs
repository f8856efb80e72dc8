//! The first page of the dashboard, and `/`, which leads there.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use shared::time::UnixMillis;

use crate::app::App;
use crate::authority::Act;
use crate::dashboard::chart::grouped;
use crate::dashboard::{Shell, Visit};
use crate::pages::Moment;
use crate::sessions::{Instead, see_other};
use crate::usage::month::{self, Month};

/// Keys are counted up to here.
const COUNTED: u32 = 1000;
const LINES: u32 = 8;
const SOON_SECONDS: u64 = 14 * 86_400;

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct OverviewPage {
    shell: Shell,
    month: Month,
    share_refused: String,
    live_keys: String,
    ending: Vec<Ending>,
    history: Vec<Entry>,
    sees_audit: bool,
}

struct Ending {
    id: String,
    name: String,
    at: Moment,
}

struct Entry {
    at: Moment,
    action: String,
    actor: String,
    target: String,
}

/// `GET /`.
pub async fn root() -> Response {
    see_other("/dashboard")
}

/// `GET /dashboard`.
pub async fn get(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    let org = visit.caller.org;
    let now = app.clock.now().seconds();
    let month = month::of_org(&app, org).await?;
    let sees_audit = visit.may(Act::SeeAudit);
    let mut tx = app.store.begin_read().await?;
    let live = tx.count_live_keys(org, COUNTED.saturating_add(1)).await?;
    let ending = tx
        .ending_keys(org, (now, now.saturating_add(SOON_SECONDS)), LINES)
        .await?;
    let history = if sees_audit {
        tx.audit_of_org(org, LINES).await?
    } else {
        Vec::new()
    };
    drop(tx);
    let page = OverviewPage {
        shell: visit.shell(),
        share_refused: share(month.refused, month.requests),
        live_keys: if live > u64::from(COUNTED) {
            format!("over {}", grouped(COUNTED))
        } else {
            grouped(live)
        },
        ending: ending
            .into_iter()
            .filter_map(|key| {
                Some(Ending {
                    at: key.expires_at?.millis().into(),
                    id: key.id.to_string(),
                    name: key.name,
                })
            })
            .collect(),
        history: history
            .into_iter()
            .map(|row| Entry {
                at: UnixMillis(u64::try_from(row.at).unwrap_or_default()).into(),
                action: row.action,
                actor: row.actor,
                target: row.target,
            })
            .collect(),
        sees_audit,
        month,
    };
    Ok(visit.page(&page))
}

/// `2.4 %`, without a floating point.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let thousandths = u128::from(part) * 1000 / u128::from(whole);
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_has_one_decimal() {
        assert_eq!(
            [share(0, 0), share(1, 3), share(u64::MAX, u64::MAX)],
            ["0 %", "33.3 %", "100.0 %"]
        );
    }
}
