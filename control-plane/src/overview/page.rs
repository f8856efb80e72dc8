//! The first page of the dashboard, and `/`, which leads to it, or to the account of those who may not see it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use shared::id::{OrgId, UserId};
use shared::time::UnixMillis;

use crate::app::App;
use crate::authority::{self, Act};
use crate::dashboard::chart::grouped;
use crate::dashboard::{Shell, Visit, link, refused};
use crate::edge::{self, Glance};
use crate::http::auth::Caller;
use crate::pages::Moment;
use crate::sessions::{self, Instead, see_other};
use crate::store::audit::AuditRow;
use crate::store::{StoreError, Tx};
use crate::usage::month::{self, Month};

/// Credentials are counted up to here, of each kind.
const COUNTED: u32 = 1000;
const LINES: u32 = 8;
const DASHBOARD: &str = "/dashboard";
const ACCOUNT: &str = "/account";
const SOON_SECONDS: u64 = 14 * 86_400;

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct OverviewPage {
    shell: Shell,
    month: Month,
    share_refused: String,
    live: Live,
    edge: Glance,
    ending: Vec<Ending>,
    history: Vec<Entry>,
    sees_audit: bool,
}

/// How many credentials work.
struct Live {
    all: String,
    keys: String,
    grants: String,
}

struct Ending {
    id: String,
    name: String,
    at: Moment,
}

struct Entry {
    at: Moment,
    action: String,
    /// The address of a person, or what acted.
    actor: String,
    target: String,
    link: String,
}

/// `GET /`: where a sign-in ends that asked for nothing in particular.
pub async fn root(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let Some(session) = sessions::current(&app, &headers).await? else {
        return Ok(see_other(DASHBOARD));
    };
    let mut tx = app.store.begin_read().await?;
    let caller = Caller::of_session(&mut tx, &app, &session, String::new()).await?;
    let sees = caller.is_some_and(|caller| authority::allows(caller.role, Act::See));
    Ok(see_other(if sees { DASHBOARD } else { ACCOUNT }))
}

/// `GET /dashboard`.
pub async fn get(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    let org = visit.caller.org;
    let now = app.clock.now().seconds();
    let month = month::of_org(&app, org).await?;
    let sees_audit = visit.may(Act::SeeAudit);
    let mut tx = app.store.begin_read().await?;
    let most = COUNTED.saturating_add(1);
    let keys = tx.count_live_keys(org, most).await?;
    let grants = tx.count_live_grants(org, now, most).await?;
    let ending = tx
        .ending_keys(org, (now, now.saturating_add(SOON_SECONDS)), LINES)
        .await?;
    let history = if sees_audit {
        history(&mut tx, org).await?
    } else {
        Vec::new()
    };
    drop(tx);
    let page = OverviewPage {
        shell: visit.shell(),
        share_refused: share(month.refused, month.requests),
        live: Live::of(keys, grants),
        edge: edge::glance(&app, org).await.map_err(refused)?,
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
        history,
        sees_audit,
        month,
    };
    Ok(visit.page(&page))
}

impl Live {
    fn of(keys: u64, grants: u64) -> Self {
        let counted = u64::from(COUNTED);
        let text = |number: u64, is_more: bool| {
            if is_more {
                format!("over {}", grouped(number))
            } else {
                grouped(number)
            }
        };
        let one = |number: u64| text(number.min(counted), number > counted);
        let all = keys.min(counted).saturating_add(grants.min(counted));
        Self {
            all: text(all, keys > counted || grants > counted),
            keys: one(keys),
            grants: one(grants),
        }
    }
}

async fn history(tx: &mut Tx, org: OrgId) -> Result<Vec<Entry>, StoreError> {
    let rows = tx.audit_of_org(org, LINES).await?;
    let user = |row: &AuditRow| row.actor.parse::<UserId>().ok();
    let mut users: Vec<UserId> = rows.iter().filter_map(user).collect();
    users.sort();
    users.dedup();
    let emails = tx.emails_of(org, &users).await?;
    let entry = |row: AuditRow| {
        let email = user(&row).and_then(|user| emails.get(&user).cloned());
        Entry {
            at: UnixMillis(u64::try_from(row.at).unwrap_or_default()).into(),
            actor: email.unwrap_or_else(|| row.actor.replace('-', " ")),
            link: link("/dashboard/audit", &[("target", &row.target)]),
            action: row.action,
            target: row.target,
        }
    };
    Ok(rows.into_iter().map(entry).collect())
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
    use super::{Live, share};

    #[test]
    fn credentials_are_counted_up_to_a_number_of_each_kind() {
        let few = Live::of(12, 3);
        assert_eq!((&*few.all, &*few.keys, &*few.grants), ("15", "12", "3"));
        let many = Live::of(1001, 3);
        assert_eq!((&*many.all, &*many.keys), ("over 1,003", "over 1,000"));
    }

    #[test]
    fn a_share_has_one_decimal() {
        assert_eq!(
            [share(0, 0), share(1, 3), share(u64::MAX, u64::MAX)],
            ["0 %", "33.3 %", "100.0 %"]
        );
    }
}
