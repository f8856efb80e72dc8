//! SQL for requests by the day: sums of the hours, written with them, for charts of a whole organisation.

use std::collections::BTreeMap;

use shared::time::UnixMillis;
use sqlx::AssertSqlSafe;

use super::usage::{CHUNK, HourKey, Tally, rows_of};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// Requests of one day that ended alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRow {
    /// Unix days.
    pub day: u64,
    /// How they ended.
    pub reason: String,
    /// How many.
    pub requests: u64,
    /// The last one.
    pub last: UnixMillis,
}

impl Tx {
    /// Adds requests to their days. In the transaction that adds them to their hours.
    pub(super) async fn add_usage_days(&mut self, rows: &[(&HourKey, Tally)]) -> Result<(), StoreError> {
        // In the order of the keys: so rows are locked in one order.
        let mut days: BTreeMap<(u64, u64, &str), Tally> = BTreeMap::new();
        for (key, tally) in rows {
            let day = days.entry((key.org, key.hour / 24, &key.reason)).or_default();
            day.requests = day.requests.saturating_add(tally.requests);
            day.last = day.last.max(tally.last);
        }
        let days: Vec<_> = days.into_iter().collect();
        for rows in days.chunks(CHUNK) {
            let sql = format!(
                "INSERT INTO usage_days (org_id, day, reason, requests, last_at) VALUES {}
                 ON CONFLICT (org_id, day, reason) DO UPDATE SET
                     requests = usage_days.requests + excluded.requests,
                     last_at = CASE WHEN excluded.last_at > usage_days.last_at
                                    THEN excluded.last_at ELSE usage_days.last_at END",
                rows_of(rows.len(), 5)
            );
            on_db!(self, conn => {
                let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
                for ((org, day, reason), tally) in rows {
                    query = query
                        .bind(int(*org)).bind(int(*day)).bind(*reason)
                        .bind(int(tally.requests)).bind(int(tally.last.0));
                }
                query.execute(conn).await.map(|_| ())
            })?;
        }
        Ok(())
    }

    /// An organisation's days from `from` on, oldest first.
    pub async fn usage_days(&mut self, org: u64, from: u64) -> Result<Vec<DayRow>, StoreError> {
        let rows: Vec<(i64, String, i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT day, reason, requests, last_at FROM usage_days
             WHERE org_id = $1 AND day >= $2 ORDER BY day, reason LIMIT 10000")
            .bind(int(org)).bind(int(from)).fetch_all(conn).await)?;
        let row = |(day, reason, requests, last): (i64, String, i64, i64)| {
            Ok(DayRow {
                day: uint(day, "day")?,
                reason,
                requests: uint(requests, "count")?,
                last: UnixMillis(uint(last, "time")?),
            })
        };
        rows.into_iter().map(row).collect()
    }

    pub(super) async fn forget_usage_days(&mut self, before: u64) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM usage_days WHERE day < $1").bind(int(before))
        )
    }
}
