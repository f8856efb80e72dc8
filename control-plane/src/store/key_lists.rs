//! Lists of API keys, a page at a time. Whatever is asked for, a page reads at most [`SCAN`] times its size: where the filter
//! has no index, it ends early and says where the next one goes on.

use shared::id::{KeyId, OrgId, UserId, WorkspaceId};
use shared::key::Environment;
use shared::time::{UnixMillis, UnixSeconds};
use sqlx::AssertSqlSafe;

use super::keys::{ApiKey, ApiKeyRow, KeyStatus, Reach, select_keys};
use super::{StoreError, Tx, int, on_db};

/// How many rows are looked at for each that is shown, at most.
const SCAN: u32 = 10;

/// What a list shows.
#[derive(Clone, Debug)]
pub struct KeyFilter {
    /// What the caller can see.
    pub reach: Reach,
    /// Where the keys stand.
    pub status: Option<KeyStatus>,
    /// Of one environment.
    pub environment: Option<Environment>,
    /// Of one workspace.
    pub workspace: Option<WorkspaceId>,
    /// For all workspaces only.
    pub all_workspaces: bool,
    /// Part of the name, upper and lower case alike.
    pub name: Option<String>,
    /// How the name begins, upper and lower case alike. The list is in the order of the names then.
    pub prefix: Option<String>,
    /// Of one member.
    pub user: Option<UserId>,
    /// After this place.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: u32,
}

/// A place in a list: before the first key that comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Newest first: when the last key was made, and its id.
    Made(UnixMillis, KeyId),
    /// By name: the last key's, in small letters, and its id.
    Named(String, KeyId),
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<ApiKey>,
    /// Where the next page goes on; `None`: there is none.
    pub next: Option<Place>,
}

impl KeyFilter {
    /// Every key in reach.
    pub fn all(reach: Reach, limit: u32) -> Self {
        Self {
            reach,
            status: None,
            environment: None,
            workspace: None,
            all_workspaces: false,
            name: None,
            prefix: None,
            user: None,
            after: None,
            limit,
        }
    }

    fn covers(&self, key: &ApiKey, now: UnixSeconds) -> bool {
        let part = self.name.as_ref().map(|name| name.to_lowercase());
        self.reach.covers(key.workspace, key.environment)
            && self.status.is_none_or(|status| key.status(now) == status)
            && self
                .environment
                .is_none_or(|environment| key.environment == environment)
            && self
                .workspace
                .is_none_or(|workspace| key.workspace == Some(workspace))
            && self.user.is_none_or(|user| key.user == user)
            && !(self.all_workspaces && key.workspace.is_some())
            && part.is_none_or(|part| key.name.to_lowercase().contains(&part))
    }

    fn place_of(&self, key: &ApiKey) -> Place {
        match self.prefix {
            Some(_) => Place::Named(key.name.to_lowercase(), key.id),
            None => Place::Made(key.created_at, key.id),
        }
    }

    /// The one condition that an index serves; the database would look at rows without end for a second one.
    fn condition(&self) -> String {
        if self.prefix.is_some() {
            return String::new();
        }
        if let Some(user) = self.user {
            return format!(" AND user_id = {}", user.get());
        }
        if let Some(workspace) = self.workspace.or(self.reach.workspace) {
            return format!(" AND workspace_id = {}", workspace.get());
        }
        let status = match self.status {
            None => "",
            Some(KeyStatus::Revoked) => " AND revoked_at IS NOT NULL",
            Some(_) => " AND revoked_at IS NULL",
        };
        status.to_owned()
    }
}

impl Tx {
    /// A page of keys: newest first, or by name where a prefix is asked for.
    pub async fn list_keys(&mut self, filter: &KeyFilter, now: UnixSeconds) -> Result<KeyPage, StoreError> {
        let wanted = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        // Without a filter the first look is enough; with one that shows few, the second looks at all that may be looked at.
        let mut asked = filter.limit.saturating_add(1);
        let mut left = filter.limit.saturating_mul(SCAN).max(asked);
        let mut page = KeyPage {
            keys: Vec::new(),
            next: filter.after.clone(),
        };
        loop {
            let rows = self.key_rows(filter, page.next.as_ref(), asked).await?;
            let is_last = rows.len() < usize::try_from(asked).unwrap_or(usize::MAX);
            left = left.saturating_sub(asked);
            for row in rows {
                let key = ApiKey::try_from(row)?;
                if page.keys.len() == wanted {
                    return Ok(page);
                }
                page.next = Some(filter.place_of(&key));
                if filter.covers(&key, now) {
                    page.keys.push(key);
                }
            }
            if is_last {
                page.next = None;
                return Ok(page);
            }
            if left == 0 {
                return Ok(page);
            }
            asked = left;
        }
    }

    async fn key_rows(
        &mut self,
        filter: &KeyFilter,
        after: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<ApiKeyRow>, StoreError> {
        // Row values, not `a < x OR (a = x AND b < y)`: only with them an index is entered in the middle. And one bound on each
        // side: of two PostgreSQL may begin at the wider one.
        let order = match filter.prefix {
            Some(_) => {
                "AND name_lower < $2 AND (name_lower, id) > ($3, $4)
                 ORDER BY name_lower, id"
            }
            None => {
                "AND $2 = '' AND (created_at, id) < ($3, $4)
                 ORDER BY created_at DESC, id DESC"
            }
        };
        let sql = format!(
            "{}WHERE org_id = $1{} {order} LIMIT $5",
            select_keys!(""),
            filter.condition()
        );
        let org = int(filter.reach.org.get());
        if let Some(prefix) = &filter.prefix {
            let low = prefix.to_lowercase();
            let high = format!("{low}{}", char::MAX);
            let (name, id) = match after {
                Some(Place::Named(name, id)) => (name.as_str(), int(id.get())),
                _ => (low.as_str(), -1),
            };
            on_db!(self, conn => sqlx::query_as(AssertSqlSafe(sql.clone()))
                .bind(org).bind(&high).bind(name).bind(id).bind(i64::from(limit))
                .fetch_all(conn).await)
        } else {
            let (at, id) = match after {
                Some(Place::Made(at, id)) => (int(at.0), int(id.get())),
                _ => (i64::MAX, i64::MAX),
            };
            on_db!(self, conn => sqlx::query_as(AssertSqlSafe(sql.clone()))
                .bind(org).bind("").bind(at).bind(id).bind(i64::from(limit))
                .fetch_all(conn).await)
        }
    }

    /// How many keys of an organisation are not revoked, counted up to `most`.
    pub async fn count_live_keys(&mut self, org: OrgId, most: u32) -> Result<u64, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM (SELECT id FROM api_keys WHERE org_id = $1 AND revoked_at IS NULL LIMIT $2) AS counted")
            .bind(int(org.get())).bind(i64::from(most)).fetch_one(conn).await)?;
        super::uint(count, "count")
    }

    /// Keys that end by themselves before `until`, the next one first.
    pub async fn ending_keys(
        &mut self,
        org: OrgId,
        (now, until): (UnixSeconds, UnixSeconds),
        limit: u32,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<ApiKeyRow> = on_db!(self, conn => sqlx::query_as(
            select_keys!("WHERE org_id = $1 AND revoked_at IS NULL AND expires_at_seconds IS NOT NULL
               AND expires_at_seconds > $2 AND expires_at_seconds <= $3
             ORDER BY expires_at_seconds, id LIMIT $4"))
            .bind(int(org.get())).bind(int(now.0)).bind(int(until.0)).bind(i64::from(limit))
            .fetch_all(conn).await)?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }
}
