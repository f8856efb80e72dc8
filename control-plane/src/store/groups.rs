//! SQL for edge groups: which there are, whom they admit, and whose a status index, a session or a client is.
//!
//! What it does not: decide what a group is told (`revocation::groups`).

use std::collections::BTreeSet;

use shared::id::{OrgId, StatusIndex, WorkspaceId};
use shared::time::UnixMillis;

use super::feed::{FeedNo, Position};
use super::orgs::org_id;
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A group of edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its feed.
    pub feed: FeedNo,
    /// Its name in the configuration.
    pub name: String,
    /// The version of its list of organisations; 0: its feed was never opened.
    pub version: u64,
    /// Whether it is configured no more: nothing is added to its feed.
    pub removed: bool,
    /// Whom it admits.
    pub orgs: BTreeSet<OrgId>,
    /// Whom it admitted before the frame at this place.
    pub former: Vec<(OrgId, Position)>,
}

impl Group {
    /// Whether frames are added to its feed.
    pub fn is_open(&self) -> bool {
        !self.removed && self.version > 0
    }
}

/// Where it is written to which organisation a status index belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// API keys.
    Key,
    /// Grants.
    Grant,
    /// Tokens for an identity assertion.
    Assertion,
    /// Tokens that stand alone.
    Token,
}

impl Owner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Key, Self::Grant, Self::Assertion, Self::Token];
}

impl Tx {
    /// Every group that ever was, by its feed.
    pub async fn groups(&mut self) -> Result<Vec<Group>, StoreError> {
        let rows: Vec<(i64, String, i64, Option<i64>)> = on_db!(self, conn => sqlx::query_as(
            "SELECT feed, name, version, removed_at FROM feed_groups ORDER BY feed").fetch_all(conn).await)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let members: Vec<(i64, i64, Option<i64>, Option<i64>)> = on_db!(self, conn => sqlx::query_as(
            "SELECT feed, org_id, removed_epoch, removed_seq FROM feed_group_orgs ORDER BY feed, org_id")
            .fetch_all(conn).await)?;
        let mut groups = Vec::with_capacity(rows.len());
        for (feed, name, version, removed_at) in rows {
            let mut group = Group {
                feed: FeedNo(feed),
                name,
                version: uint(version, "group version")?,
                removed: removed_at.is_some(),
                orgs: BTreeSet::new(),
                former: Vec::new(),
            };
            for (_, org, epoch, seq) in members.iter().filter(|(of, ..)| *of == feed) {
                match epoch.zip(*seq) {
                    None => {
                        group.orgs.insert(org_id(*org)?);
                    }
                    Some((epoch, seq)) => group.former.push((
                        org_id(*org)?,
                        Position {
                            epoch: uint(epoch, "epoch")?,
                            seq: uint(seq, "seq")?,
                        },
                    )),
                }
            }
            groups.push(group);
        }
        Ok(groups)
    }

    /// The feeds that frames are added to, that of all organisations first.
    pub async fn feeds(&mut self) -> Result<Vec<FeedNo>, StoreError> {
        let rows: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT feed FROM feed_groups WHERE removed_at IS NULL AND version > 0 ORDER BY feed")
            .fetch_all(conn).await)?;
        Ok(std::iter::once(FeedNo::ALL)
            .chain(rows.into_iter().map(FeedNo))
            .collect())
    }

    /// The name of the group that a feed belongs to.
    pub async fn group_name(&mut self, feed: FeedNo) -> Result<Option<String>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar("SELECT name FROM feed_groups WHERE feed = $1")
            .bind(feed.0).fetch_optional(conn).await)
    }

    /// The feed of a group that is configured and was opened.
    pub async fn feed_of_group(&mut self, name: &str) -> Result<Option<FeedNo>, StoreError> {
        let feed: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT feed FROM feed_groups WHERE name = $1 AND removed_at IS NULL AND version > 0")
            .bind(name).fetch_optional(conn).await)?;
        Ok(feed.map(FeedNo))
    }

    /// Adds a group, or one that was configured before. Its feed is not open yet.
    pub async fn insert_group(&mut self, name: &str, now: UnixMillis) -> Result<FeedNo, StoreError> {
        let feed: i64 = on_db!(self, conn => sqlx::query_scalar(
            "INSERT INTO feed_groups (feed, name, version, created_at)
             VALUES ((SELECT COALESCE(MAX(feed), 0) + 1 FROM feed_groups), $1, 0, $2)
             ON CONFLICT (name) DO UPDATE SET removed_at = NULL RETURNING feed")
            .bind(name).bind(int(now.0)).fetch_one(conn).await)?;
        Ok(FeedNo(feed))
    }

    /// Ends a group: nothing is added to its feed any more.
    pub async fn remove_group(&mut self, feed: FeedNo, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE feed_groups SET removed_at = $2 WHERE feed = $1 AND removed_at IS NULL")
                .bind(feed.0)
                .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Notes whom a group admits, from the frame at `at` on.
    pub async fn set_group_orgs(
        &mut self,
        feed: FeedNo,
        version: u64,
        orgs: &BTreeSet<OrgId>,
        at: Position,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE feed_groups SET version = $2 WHERE feed = $1")
                .bind(feed.0)
                .bind(int(version))
        )?;
        // All go, and those that are listed come back.
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE feed_group_orgs SET removed_epoch = $2, removed_seq = $3
             WHERE feed = $1 AND removed_seq IS NULL"
            )
            .bind(feed.0)
            .bind(int(at.epoch))
            .bind(int(at.seq))
        )?;
        for org in orgs {
            rows_affected!(
                self,
                sqlx::query(
                    "INSERT INTO feed_group_orgs (feed, org_id) VALUES ($1, $2)
             ON CONFLICT (feed, org_id) DO UPDATE SET removed_epoch = NULL, removed_seq = NULL"
                )
                .bind(feed.0)
                .bind(int(org.get()))
            )?;
        }
        Ok(())
    }

    /// The organisation that a credential with this index belongs to, if that is known here.
    pub async fn org_of_index(&mut self, index: StatusIndex) -> Result<Option<OrgId>, StoreError> {
        let org: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COALESCE(
                 (SELECT org_id FROM api_keys WHERE id = $1),
                 (SELECT g.org_id FROM grant_indexes i JOIN grants g ON g.id = i.grant_id WHERE i.idx = $1),
                 (SELECT org_id FROM asserted_tokens WHERE idx = $1),
                 (SELECT org_id FROM status_indexes WHERE idx = $1))")
            .bind(int(index.get())).fetch_one(conn).await)?;
        org.map(org_id).transpose()
    }

    /// Indexes past `after` and the organisations that they belong to, ascending.
    pub async fn owned_indexes(
        &mut self,
        owner: Owner,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let sql = match owner {
            Owner::Key => "SELECT id, org_id FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2",
            Owner::Grant => {
                "SELECT i.idx, g.org_id FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
                 WHERE i.idx > $1 ORDER BY i.idx LIMIT $2"
            }
            Owner::Assertion => {
                "SELECT idx, org_id FROM asserted_tokens WHERE idx > $1 ORDER BY idx LIMIT $2"
            }
            Owner::Token => {
                "SELECT idx, org_id FROM status_indexes WHERE idx > $1 AND org_id IS NOT NULL ORDER BY idx LIMIT $2"
            }
        };
        on_db!(self, conn => sqlx::query_as(sql).bind(after).bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// The organisations in which a session may count: those of its person, and those of what apps got in it.
    pub async fn orgs_of_session(&mut self, sid: &str) -> Result<BTreeSet<OrgId>, StoreError> {
        let number = sid
            .parse::<shared::id::SessionId>()
            .map_or(-1, |sid| int(sid.get()));
        let rows: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT m.org_id FROM sessions s JOIN memberships m ON m.user_id = s.user_id WHERE s.sid = $1
             UNION SELECT org_id FROM grants WHERE session = $2")
            .bind(number).bind(sid).fetch_all(conn).await)?;
        rows.into_iter().map(org_id).collect()
    }

    /// The organisation of a workspace.
    pub async fn org_of_workspace(&mut self, workspace: WorkspaceId) -> Result<Option<OrgId>, StoreError> {
        let org: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT org_id FROM workspaces WHERE id = $1")
            .bind(int(workspace.get())).fetch_optional(conn).await)?;
        org.map(org_id).transpose()
    }

    /// The organisation whose tokens an identity provider vouches for, if any of its assertions was taken.
    pub async fn org_of_foreign_issuer(&mut self, issuer: &str) -> Result<Option<OrgId>, StoreError> {
        let org: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT org_id FROM foreign_issuers WHERE issuer = $1")
            .bind(issuer).fetch_optional(conn).await)?;
        org.map(org_id).transpose()
    }
}
