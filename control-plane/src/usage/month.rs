//! The last thirty days, for pages: by the day, and by what requests met.

use std::collections::BTreeMap;

use shared::id::OrgId;

use super::DAY_MS;
use crate::app::App;
use crate::dashboard::chart::{Bar, Chart, grouped};
use crate::pages::Moment;
use crate::store::StoreError;
use crate::store::usage::UsageFilter;

/// Days in a chart, today included.
const DAYS: u64 = 30;
/// Rows of a table.
const MOST: usize = 8;
const DAY_HOURS: u64 = 24;
/// One interval that holds all time.
const FOR_EVER: u64 = 1 << 40;
const READ: u32 = 5000;

/// What happened in a month.
#[derive(Debug)]
pub struct Month {
    /// By the day.
    pub chart: Chart,
    /// All requests.
    pub requests: u64,
    /// Those that were not let in.
    pub refused: u64,
    /// Why these were not, the most frequent first: `revoked`, and how many.
    pub refusals: Vec<(String, u64)>,
}

/// Where the requests of a credential came from and went to, the most frequent first.
#[derive(Debug)]
pub struct Places {
    /// Route classes.
    pub routes: Vec<(String, u64)>,
    /// Countries.
    pub countries: Vec<(String, u64)>,
}

fn is_accepted(reason: &str) -> bool {
    matches!(reason, "allowed" | "public")
}

/// The month of a whole organisation.
pub async fn of_org(app: &App, org: OrgId) -> Result<Month, StoreError> {
    let today = app.clock.now().0 / DAY_MS;
    let first = today.saturating_sub(DAYS - 1);
    let rows = app.store.begin_read().await?.usage_days(org.get(), first).await?;
    let rows = rows.into_iter().map(|row| (row.day, row.reason, row.requests));
    Ok(month(rows, first, today))
}

/// The month of one credential.
pub async fn of_credential(app: &App, org: OrgId, credential: &str) -> Result<Month, StoreError> {
    let today = app.clock.now().0 / DAY_MS;
    let first = today.saturating_sub(DAYS - 1);
    let filter = UsageFilter {
        hours: DAY_HOURS,
        by: [false, false, true, false, false],
        ..filter(org, credential, (first, today))
    };
    let rows = app.store.begin_read().await?.usage(&filter).await?;
    let rows = rows.into_iter().map(|row| {
        let [_, _, reason, ..] = row.key.by;
        (row.key.hour / DAY_HOURS, reason, row.requests)
    });
    Ok(month(rows, first, today))
}

/// Where a credential was used in the month.
pub async fn places(app: &App, org: OrgId, credential: &str) -> Result<Places, StoreError> {
    let today = app.clock.now().0 / DAY_MS;
    let span = (today.saturating_sub(DAYS - 1), today);
    let mut tx = app.store.begin_read().await?;
    let mut sums = async |by: [bool; 5]| -> Result<Vec<(String, u64)>, StoreError> {
        let filter = UsageFilter {
            hours: FOR_EVER,
            by,
            ..filter(org, credential, span)
        };
        let rows = tx.usage(&filter).await?;
        let named = rows.into_iter().map(|row| (row.key.by.concat(), row.requests));
        Ok(most(named.collect()))
    };
    Ok(Places {
        routes: sums([false, true, false, false, false]).await?,
        countries: sums([false, false, false, true, false]).await?,
    })
}

fn filter(org: OrgId, credential: &str, (first, last): (u64, u64)) -> UsageFilter {
    UsageFilter {
        org: org.get(),
        from: first.saturating_mul(DAY_HOURS),
        to: last.saturating_add(1).saturating_mul(DAY_HOURS),
        hours: DAY_HOURS,
        credential: Some(credential.to_owned()),
        class: None,
        reason: None,
        by: [false; 5],
        after: None,
        limit: READ,
    }
}

fn month(rows: impl Iterator<Item = (u64, String, u64)>, first: u64, last: u64) -> Month {
    let mut days: BTreeMap<u64, (u64, u64)> = (first..=last).map(|day| (day, (0, 0))).collect();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let (mut requests, mut refused) = (0_u64, 0_u64);
    for (day, reason, count) in rows {
        requests = requests.saturating_add(count);
        let Some((let_in, kept_out)) = days.get_mut(&day) else {
            continue;
        };
        if is_accepted(&reason) {
            *let_in = let_in.saturating_add(count);
        } else {
            *kept_out = kept_out.saturating_add(count);
            refused = refused.saturating_add(count);
            let sum = reasons.entry(reason).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    let bars = days.into_iter().map(|(day, (lower, upper))| Bar {
        label: Moment::day(day),
        lower,
        upper,
    });
    Month {
        chart: Chart {
            title: "Requests per day".to_owned(),
            description: format!(
                "{} in {DAYS} days, {} refused. Days are in UTC.",
                grouped(requests),
                grouped(refused)
            ),
            lower: "let in",
            upper: "refused",
            bars: bars.collect(),
        },
        requests,
        refused,
        refusals: most(reasons.into_iter().collect()),
    }
}

fn most(mut sums: Vec<(String, u64)>) -> Vec<(String, u64)> {
    sums.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    sums.truncate(MOST);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_a_bar_and_every_refusal_its_reason() {
        let rows = [
            (3, "allowed", 5),
            (3, "public", 1),
            (4, "revoked", 2),
            (4, "expired", 7),
            (99, "allowed", 1),
        ];
        let month = month(
            rows.map(|(day, reason, n)| (day, reason.to_owned(), n))
                .into_iter(),
            2,
            5,
        );
        let bars: Vec<_> = month
            .chart
            .bars
            .iter()
            .map(|bar| (bar.lower, bar.upper))
            .collect();
        assert_eq!(bars, [(0, 0), (6, 0), (0, 9), (0, 0)]);
        assert_eq!(
            month.refusals,
            [("expired".to_owned(), 7), ("revoked".to_owned(), 2)]
        );
        assert_eq!((month.requests, month.refused), (16, 9));
    }
}
