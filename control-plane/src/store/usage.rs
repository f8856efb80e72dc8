//! SQL for usage: isolates and their missing windows, requests by the hour, last use.
//!
//! Rows are added many at a time, so some statements are put together here: numbers of parameters, never values.

use shared::id::{GrantId, KeyId, OrgId, StatusIndex};
use shared::time::UnixMillis;
use sqlx::AssertSqlSafe;

use super::orgs::{millis, org_id};
use super::{StoreError, Tx, int, on_db, places, rows_affected, uint};

/// Rows in one statement.
pub(super) const CHUNK: usize = 500;

/// Windows of an isolate that were announced or skipped, and have not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first of them.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The earliest moment that may be in them.
    pub from: UnixMillis,
    /// When we heard of them.
    pub heard: UnixMillis,
}

/// The same with whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingOf {
    /// The edge.
    pub edge: String,
    /// Its isolate.
    pub isolate: Vec<u8>,
    /// Which windows.
    pub windows: Missing,
}

/// Which missing windows are taken for lost.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// Those of which we heard until then.
    pub heard: UnixMillis,
    /// Those of which we heard so long after they may have begun.
    pub late_ms: u64,
}

/// Requests of one kind in one hour. Ordered as the table is: so rows are locked in one order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourKey {
    /// Whose; 0: nobody's.
    pub org: u64,
    /// Unix hours.
    pub hour: u64,
    /// `key_…`, `grt_…`, a client's id or a foreign name; empty: none was proven.
    pub credential: String,
    /// The route's class; empty: no route matched.
    pub class: String,
    /// How they ended.
    pub reason: String,
    /// Two letters, or nothing.
    pub country: String,
    /// The data centre, or nothing.
    pub colo: String,
}

/// How many, and when the last one came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub requests: u64,
    /// The last one.
    pub last: UnixMillis,
}

/// What became of a credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Let in.
    pub requests: u64,
    /// Not let in.
    pub refused: u64,
    /// Let in after another key had taken over.
    pub since_rotation: u64,
    /// When one was let in last.
    pub last_used: Option<UnixMillis>,
    /// When one was refused last.
    pub last_refused: Option<UnixMillis>,
}

/// Who has a status index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A key, and when another took over from it.
    Key(KeyId, OrgId, Option<UnixMillis>),
    /// A grant.
    Grant(GrantId, OrgId),
}

/// What a query for usage asks.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// Whose; 0: requests without a proven credential.
    pub org: u64,
    /// From this Unix hour on.
    pub from: u64,
    /// Before this one.
    pub to: u64,
    /// Hours in one row: 1 or 24.
    pub hours: u64,
    /// Of one credential.
    pub credential: Option<String>,
    /// Of one class.
    pub class: Option<String>,
    /// With one outcome.
    pub reason: Option<String>,
    /// By what rows are told apart, beside the time: credential, class, reason, country, colo.
    pub by: [bool; 5],
    /// After this row.
    pub after: Option<UsageKey>,
    /// At most so many.
    pub limit: u32,
}

/// What a row of an answer is about: the first hour of its interval, and five texts, empty where rows are not told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageKey {
    /// Unix hours.
    pub hour: u64,
    /// Credential, class, reason, country, colo.
    pub by: [String; 5],
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// What it is about.
    pub key: UsageKey,
    /// All requests.
    pub requests: u64,
    /// Those that were let in.
    pub accepted: u64,
    /// The last one.
    pub last: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct UsageFields {
    bucket: i64,
    credential: String,
    class: String,
    reason: String,
    country: String,
    colo: String,
    requests: i64,
    accepted: i64,
    last_at: i64,
}

impl TryFrom<UsageFields> for UsageRow {
    type Error = StoreError;

    fn try_from(row: UsageFields) -> Result<Self, StoreError> {
        Ok(Self {
            key: UsageKey {
                hour: uint(row.bucket, "hour")?,
                by: [row.credential, row.class, row.reason, row.country, row.colo],
            },
            requests: uint(row.requests, "count")?,
            accepted: uint(row.accepted, "count")?,
            last: UnixMillis(uint(row.last_at, "time")?),
        })
    }
}

/// Credential, accepted, refused, accepted since its rotation, last of each.
type UseRow = (String, i64, i64, i64, Option<i64>, Option<i64>);

/// `($1, $2), ($3, $4)`: so many rows of so many parameters.
pub(super) fn rows_of(rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let fields = (1..=width).map(|field| format!("${}", row * width + field));
        format!("({})", fields.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

impl Tx {
    /// Holds an isolate for the rest of the transaction, and makes it the first time. Gives the newest window that is known of
    /// and when the newest applied one closed.
    pub async fn hold_isolate(
        &mut self,
        edge: &str,
        isolate: &[u8; 16],
        now: UnixMillis,
    ) -> Result<(u64, UnixMillis), StoreError> {
        let (known, ends_at): (i64, i64) = on_db!(self, conn => sqlx::query_as(
            "INSERT INTO usage_isolates (edge, isolate, known, ends_at, heard_at) VALUES ($1, $2, 0, 0, $3)
             ON CONFLICT (edge, isolate) DO UPDATE SET heard_at = excluded.heard_at
             RETURNING known, ends_at")
            .bind(edge).bind(isolate.as_slice()).bind(int(now.0)).fetch_one(conn).await)?;
        Ok((uint(known, "window")?, UnixMillis(uint(ends_at, "time")?)))
    }

    /// Notes how far an isolate is.
    pub async fn set_isolate(
        &mut self,
        edge: &str,
        isolate: &[u8; 16],
        known: u64,
        ends_at: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE usage_isolates SET known = $3, ends_at = $4 WHERE edge = $1 AND isolate = $2"
            )
            .bind(edge)
            .bind(isolate.as_slice())
            .bind(int(known))
            .bind(int(ends_at.0))
        )?;
        Ok(())
    }

    /// The missing windows of an isolate, in order.
    pub async fn missing_windows(
        &mut self,
        edge: &str,
        isolate: &[u8; 16],
    ) -> Result<Vec<Missing>, StoreError> {
        let rows: Vec<(i64, i64, i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT first, last, from_at, heard_at FROM usage_missing WHERE edge = $1 AND isolate = $2 ORDER BY first")
            .bind(edge).bind(isolate.as_slice()).fetch_all(conn).await)?;
        rows.into_iter().map(missing).collect()
    }

    /// Replaces the missing windows of an isolate.
    pub async fn set_missing_windows(
        &mut self,
        edge: &str,
        isolate: &[u8; 16],
        before: &[Missing],
        after: &[Missing],
    ) -> Result<(), StoreError> {
        for gone in before.iter().filter(|row| !after.contains(row)) {
            rows_affected!(
                self,
                sqlx::query("DELETE FROM usage_missing WHERE edge = $1 AND isolate = $2 AND first = $3")
                    .bind(edge)
                    .bind(isolate.as_slice())
                    .bind(int(gone.first))
            )?;
        }
        for new in after.iter().filter(|row| !before.contains(row)) {
            rows_affected!(
                self,
                sqlx::query(
                    "INSERT INTO usage_missing (edge, isolate, first, last, from_at, heard_at)
                     VALUES ($1, $2, $3, $4, $5, $6)"
                )
                .bind(edge)
                .bind(isolate.as_slice())
                .bind(int(new.first))
                .bind(int(new.last))
                .bind(int(new.from.0))
                .bind(int(new.heard.0))
            )?;
        }
        Ok(())
    }

    /// Windows of these edges that are taken for lost and may hold something between two moments, newest first.
    pub async fn lost_windows(
        &mut self,
        edges: &[&str],
        (from, to): (UnixMillis, UnixMillis),
        lost: Lost,
        limit: u32,
    ) -> Result<Vec<MissingOf>, StoreError> {
        if edges.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT edge, isolate, first, last, from_at, heard_at FROM usage_missing
             WHERE from_at >= $1 AND from_at < $2 AND (heard_at <= $3 OR from_at < heard_at - $4) AND edge IN ({})
             ORDER BY from_at DESC, edge, isolate, first LIMIT $5",
            places(6, edges.len())
        );
        let rows: Vec<(String, Vec<u8>, i64, i64, i64, i64)> = on_db!(self, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(sql.clone()))
                .bind(int(from.0)).bind(int(to.0)).bind(int(lost.heard.0)).bind(int(lost.late_ms)).bind(i64::from(limit));
            for edge in edges {
                query = query.bind(*edge);
            }
            query.fetch_all(conn).await
        })?;
        rows.into_iter()
            .map(|(edge, isolate, first, last, from_at, heard_at)| {
                Ok(MissingOf {
                    edge,
                    isolate,
                    windows: missing((first, last, from_at, heard_at))?,
                })
            })
            .collect()
    }

    /// How many windows of these edges are not taken for lost yet, and the earliest moment that may be in one of them.
    pub async fn open_windows(
        &mut self,
        edges: &[&str],
        lost: Lost,
    ) -> Result<(Option<UnixMillis>, u64), StoreError> {
        if edges.is_empty() {
            return Ok((None, 0));
        }
        let sql = format!(
            "SELECT MIN(from_at), COUNT(*) FROM usage_missing
             WHERE heard_at > $1 AND from_at >= heard_at - $2 AND edge IN ({})",
            places(3, edges.len())
        );
        let (earliest, open): (Option<i64>, i64) = on_db!(self, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(sql.clone())).bind(int(lost.heard.0)).bind(int(lost.late_ms));
            for edge in edges {
                query = query.bind(*edge);
            }
            query.fetch_one(conn).await
        })?;
        Ok((millis(earliest)?, uint(open, "count")?))
    }

    /// When the newest window of an edge closed that is applied.
    pub async fn usage_ends_at(&mut self, edge: &str) -> Result<Option<UnixMillis>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT MAX(ends_at) FROM usage_isolates WHERE edge = $1").bind(edge).fetch_one(conn).await)?;
        millis(at)
    }

    /// Adds requests to their hours. Rows must be in the order of their keys, each key once.
    pub async fn add_usage_hours(&mut self, rows: &[(&HourKey, Tally)]) -> Result<(), StoreError> {
        for rows in rows.chunks(CHUNK) {
            let sql = format!(
                "INSERT INTO usage_hours (org_id, hour, credential, class, reason, country, colo, requests, last_at)
                 VALUES {}
                 ON CONFLICT (org_id, hour, credential, class, reason, country, colo) DO UPDATE SET
                     requests = usage_hours.requests + excluded.requests,
                     last_at = CASE WHEN excluded.last_at > usage_hours.last_at
                                    THEN excluded.last_at ELSE usage_hours.last_at END",
                rows_of(rows.len(), 9)
            );
            on_db!(self, conn => {
                let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
                for (key, tally) in rows {
                    query = query
                        .bind(int(key.org)).bind(int(key.hour)).bind(&key.credential).bind(&key.class)
                        .bind(&key.reason).bind(&key.country).bind(&key.colo)
                        .bind(int(tally.requests)).bind(int(tally.last.0));
                }
                query.execute(conn).await.map(|_| ())
            })?;
        }
        self.add_usage_days(rows).await
    }

    /// Adds to what became of credentials. Rows must be in order, each credential once.
    pub async fn add_uses(&mut self, rows: &[((u64, &str), Use)], now: UnixMillis) -> Result<(), StoreError> {
        for rows in rows.chunks(CHUNK) {
            let sql = format!(
                "INSERT INTO usage_credentials
                     (org_id, credential, requests, refused, since_rotation, last_used_at, last_refused_at, heard_at)
                 VALUES {}
                 ON CONFLICT (org_id, credential) DO UPDATE SET
                     requests = usage_credentials.requests + excluded.requests,
                     refused = usage_credentials.refused + excluded.refused,
                     since_rotation = usage_credentials.since_rotation + excluded.since_rotation,
                     last_used_at = CASE
                         WHEN usage_credentials.last_used_at IS NULL OR excluded.last_used_at > usage_credentials.last_used_at
                         THEN excluded.last_used_at ELSE usage_credentials.last_used_at END,
                     last_refused_at = CASE
                         WHEN usage_credentials.last_refused_at IS NULL
                              OR excluded.last_refused_at > usage_credentials.last_refused_at
                         THEN excluded.last_refused_at ELSE usage_credentials.last_refused_at END,
                     heard_at = excluded.heard_at",
                rows_of(rows.len(), 8)
            );
            on_db!(self, conn => {
                let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
                for ((org, credential), one) in rows {
                    query = query
                        .bind(int(*org)).bind(*credential).bind(int(one.requests)).bind(int(one.refused))
                        .bind(int(one.since_rotation)).bind(one.last_used.map(|at| int(at.0)))
                        .bind(one.last_refused.map(|at| int(at.0))).bind(int(now.0));
                }
                query.execute(conn).await.map(|_| ())
            })?;
        }
        Ok(())
    }

    /// What became of some credentials of an organisation.
    pub async fn uses_of(
        &mut self,
        org: OrgId,
        credentials: &[String],
    ) -> Result<Vec<(String, Use)>, StoreError> {
        let mut found = Vec::new();
        for some in credentials.chunks(CHUNK) {
            let sql = format!(
                "SELECT credential, requests, refused, since_rotation, last_used_at, last_refused_at
                 FROM usage_credentials WHERE org_id = $1 AND credential IN ({})",
                places(2, some.len())
            );
            let rows: Vec<UseRow> = on_db!(self, conn => {
                let mut query = sqlx::query_as(AssertSqlSafe(sql.clone())).bind(int(org.get()));
                for name in some {
                    query = query.bind(name);
                }
                query.fetch_all(conn).await
            })?;
            for (credential, requests, refused, since_rotation, last_used, last_refused) in rows {
                let one = Use {
                    requests: uint(requests, "count")?,
                    refused: uint(refused, "count")?,
                    since_rotation: uint(since_rotation, "count")?,
                    last_used: millis(last_used)?,
                    last_refused: millis(last_refused)?,
                };
                found.push((credential, one));
            }
        }
        Ok(found)
    }

    /// Which keys and grants have these status indexes; an index that neither has is left out.
    pub async fn owners_of(
        &mut self,
        indexes: &[StatusIndex],
    ) -> Result<Vec<(StatusIndex, Owner)>, StoreError> {
        let mut found = Vec::new();
        for some in indexes.chunks(CHUNK) {
            let places = places(1, some.len());
            let keys = format!(
                "SELECT k.id, k.org_id, s.created_at FROM api_keys k LEFT JOIN api_keys s ON s.id = k.rotated_to
                 WHERE k.id IN ({places})"
            );
            let grants = format!(
                "SELECT i.idx, g.org_id, g.id FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
                 WHERE i.idx IN ({places})"
            );
            let keys: Vec<(i64, i64, Option<i64>)> = on_db!(self, conn => {
                let mut query = sqlx::query_as(AssertSqlSafe(keys.clone()));
                for index in some {
                    query = query.bind(int(index.get()));
                }
                query.fetch_all(conn).await
            })?;
            let grants: Vec<(i64, i64, i64)> = on_db!(self, conn => {
                let mut query = sqlx::query_as(AssertSqlSafe(grants.clone()));
                for index in some {
                    query = query.bind(int(index.get()));
                }
                query.fetch_all(conn).await
            })?;
            for (index, org, rotated_at) in keys {
                let index = status_index(index)?;
                found.push((index, Owner::Key(index.into(), org_id(org)?, millis(rotated_at)?)));
            }
            for (index, org, grant) in grants {
                let grant =
                    GrantId::from_u64(uint(grant, "grant id")?).ok_or(StoreError::Corrupt("grant id"))?;
                found.push((status_index(index)?, Owner::Grant(grant, org_id(org)?)));
            }
        }
        Ok(found)
    }

    /// Sums by time and by whatever the filter tells rows apart by, in the order of their keys.
    pub async fn usage(&mut self, filter: &UsageFilter) -> Result<Vec<UsageRow>, StoreError> {
        let by = filter.by.map(i64::from);
        let after = filter.after.clone().unwrap_or_default();
        let [credential, class, reason, country, colo] = &after.by;
        // Only conditions that are asked for: an engine that plans before it sees the values enters no index for `$5 IS NULL OR`.
        let condition = |value: &Option<String>, sql: &'static str| if value.is_some() { sql } else { "" };
        let sql = format!(
            "SELECT bucket, credential, class, reason, country, colo,
                    CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(accepted) AS BIGINT) AS accepted,
                    MAX(last_at) AS last_at
             FROM (SELECT (hour / $4) * $4 AS bucket,
                          CASE WHEN $8 = 1 THEN credential ELSE '' END AS credential,
                          CASE WHEN $9 = 1 THEN class ELSE '' END AS class,
                          CASE WHEN $10 = 1 THEN reason ELSE '' END AS reason,
                          CASE WHEN $11 = 1 THEN country ELSE '' END AS country,
                          CASE WHEN $12 = 1 THEN colo ELSE '' END AS colo,
                          requests,
                          CASE WHEN reason IN ('allowed', 'public') THEN requests ELSE 0 END AS accepted,
                          last_at
                   FROM usage_hours
                   WHERE org_id = $1 AND hour >= $2 AND hour < $3
{}{}{}) AS counted
             WHERE $13 = 0 OR (bucket, credential, class, reason, country, colo) > ($14, $15, $16, $17, $18, $19)
             GROUP BY bucket, credential, class, reason, country, colo
             ORDER BY bucket, credential, class, reason, country, colo
             LIMIT $20",
            condition(&filter.credential, " AND credential = $5"),
            condition(&filter.class, " AND class = $6"),
            condition(&filter.reason, " AND reason = $7"),
        );
        let rows: Vec<UsageFields> = on_db!(self, conn => sqlx::query_as(AssertSqlSafe(sql.clone()))
            .bind(int(filter.org)).bind(int(filter.from)).bind(int(filter.to)).bind(int(filter.hours))
            .bind(filter.credential.as_deref()).bind(filter.class.as_deref()).bind(filter.reason.as_deref())
            .bind(by[0]).bind(by[1]).bind(by[2]).bind(by[3]).bind(by[4])
            .bind(i64::from(filter.after.is_some())).bind(int(after.hour))
            .bind(credential).bind(class).bind(reason).bind(country).bind(colo)
            .bind(i64::from(filter.limit))
            .fetch_all(conn).await)?;
        rows.into_iter().map(UsageRow::try_from).collect()
    }

    /// Forgets hours, missing windows, credentials and isolates that are older. Gives how many rows.
    pub async fn forget_usage(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        let hour = before.0 / 3_600_000;
        let mut rows = rows_affected!(
            self,
            sqlx::query("DELETE FROM usage_hours WHERE hour < $1").bind(int(hour))
        )?;
        rows += self.forget_usage_days(hour / 24).await?;
        rows += rows_affected!(
            self,
            sqlx::query("DELETE FROM usage_missing WHERE from_at < $1 AND heard_at < $1").bind(int(before.0))
        )?;
        rows += rows_affected!(
            self,
            sqlx::query("DELETE FROM usage_credentials WHERE heard_at < $1").bind(int(before.0))
        )?;
        Ok(rows)
    }

    /// Forgets isolates that have not been heard of since then, and of which nothing is missing: none of their records can still
    /// be on its way.
    pub async fn forget_isolates(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "DELETE FROM usage_isolates WHERE heard_at < $1 AND NOT EXISTS (
                     SELECT 1 FROM usage_missing m
                     WHERE m.edge = usage_isolates.edge AND m.isolate = usage_isolates.isolate)"
            )
            .bind(int(before.0))
        )
    }
}

fn missing((first, last, from, heard): (i64, i64, i64, i64)) -> Result<Missing, StoreError> {
    Ok(Missing {
        first: uint(first, "window")?,
        last: uint(last, "window")?,
        from: UnixMillis(uint(from, "time")?),
        heard: UnixMillis(uint(heard, "time")?),
    })
}

pub(super) fn status_index(stored: i64) -> Result<StatusIndex, StoreError> {
    StatusIndex::from_u64(uint(stored, "status index")?).ok_or(StoreError::Corrupt("status index"))
}
