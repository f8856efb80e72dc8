//! API keys as JSON, and the list's cursor. The same shapes are read by the command line.

use std::collections::HashMap;

use serde::Serialize;
use shared::id::KeyId;
use shared::key::Environment;
use shared::scope::Catalogue;
use shared::time::{UnixMillis, UnixSeconds};
use utoipa::ToSchema;

use super::issue::Issued;
use super::revoke::KeyReceipt;
use super::rotate::Rotated;
use crate::error::ApiError;
use crate::http::paging;
use crate::http::time::Timestamp;
use crate::store::keys::{ApiKey, KeyStatus};
use crate::store::quarantine::Ceiling;
use crate::store::usage::Use;

/// For the document: the kinds of environment.
#[derive(Debug, ToSchema)]
#[schema(as = Environment, rename_all = "lowercase")]
#[expect(dead_code)]
pub(crate) enum EnvironmentWord {
    Live,
    Test,
    Dev,
}

/// A key as lists show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// Its id.
    #[schema(example = "key_000000001")]
    pub id: String,
    /// What people call it.
    #[schema(example = "ci")]
    pub name: String,
    /// `pc_live_…` and its last four characters.
    #[schema(example = "pc_live_…trjO")]
    pub masked: String,
    /// What it may do, before any ceiling.
    #[schema(example = json!(["memory:read"]))]
    pub scopes: Vec<String>,
    /// A workspace's id, or `all`.
    #[schema(example = "all")]
    pub workspace: String,
    /// `live`, `test` or `dev`.
    #[schema(value_type = EnvironmentWord)]
    pub environment: Environment,
    /// Where it stands.
    pub status: KeyStatus,
    /// Whom it acts for.
    #[schema(example = "usr_000000001")]
    pub user: String,
    /// Its organisation.
    #[schema(example = "org_000000001")]
    pub org: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it ends because it was rotated.
    pub not_after: Option<Timestamp>,
    /// The key it took over from.
    pub rotated_from: Option<String>,
    /// The key that takes over from it.
    pub rotated_to: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why.
    pub revoked_reason: Option<String>,
    /// The most that it can do while it is in quarantine.
    pub quarantined: Option<Ceiling>,
    /// Since when.
    pub quarantined_at: Option<Timestamp>,
    /// When the edge let it in last, as far as that is known by now: see `GET /v1/usage` for the age of the numbers.
    pub last_used_at: Option<Timestamp>,
    /// How often it was let in.
    pub requests: u64,
    /// How often it was refused.
    pub refused: u64,
    /// How often it was let in since another key took over from it; absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub requests_since_rotation: Option<u64>,
}

impl KeyView {
    /// The key as it stands at `now`.
    pub fn new(key: &ApiKey, catalogue: &Catalogue, now: UnixSeconds) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            masked: key.masked.clone(),
            scopes: catalogue
                .names(key.scopes)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            workspace: key
                .workspace
                .map_or_else(|| "all".to_owned(), |id| id.to_string()),
            environment: key.environment,
            status: key.status(now),
            user: key.user.to_string(),
            org: key.org.to_string(),
            created_by: key.created_by.clone(),
            created_at: key.created_at.into(),
            expires_at: key.expires_at.map(Timestamp::from),
            not_after: key.not_after.map(Timestamp::from),
            rotated_from: key.rotated_from.map(|id| id.to_string()),
            rotated_to: key.rotated_to.map(|id| id.to_string()),
            revoked_at: key.revoked.as_ref().map(|revoked| revoked.at.into()),
            revoked_reason: key.revoked.as_ref().map(|revoked| revoked.reason.clone()),
            quarantined: key.quarantine.map(|(ceiling, _)| ceiling),
            quarantined_at: key.quarantine.map(|(_, since)| since.into()),
            last_used_at: None,
            requests: 0,
            refused: 0,
            requests_since_rotation: key.rotated_to.map(|_| 0),
        }
    }

    /// With what became of it at the edge.
    #[must_use]
    pub fn used(mut self, uses: &HashMap<String, Use>) -> Self {
        if let Some(one) = uses.get(&self.id) {
            self.last_used_at = one.last_used.map(Timestamp);
            self.requests = one.requests;
            self.refused = one.refused;
            self.requests_since_rotation = self.requests_since_rotation.map(|_| one.since_rotation);
        }
        self
    }
}

/// A key that was just made: the one answer that holds its text.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = NewlyMadeKey)]
pub struct IssuedView {
    /// Its text. Shown once: store it now.
    #[schema(example = "pc_live_q2hILjC9…")]
    pub key: String,
    /// Everything else.
    #[serde(flatten)]
    pub view: KeyView,
}

impl IssuedView {
    /// The answer to a create.
    pub fn new(issued: &Issued, catalogue: &Catalogue, now: UnixSeconds) -> Self {
        Self {
            key: issued.plain.expose().to_owned(),
            view: KeyView::new(&issued.key, catalogue, now),
        }
    }
}

/// The answer to a rotation.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = RotatedKey)]
pub struct RotatedView {
    /// The new key.
    #[serde(flatten)]
    pub new: IssuedView,
    /// The old one, as it is now.
    pub old: KeyView,
    /// The receipt of the old one's revocation, where there was no overlap.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub receipt: Option<KeyReceipt>,
}

impl RotatedView {
    /// The answer to a rotation.
    pub fn new(
        rotated: &Rotated,
        uses: &HashMap<String, Use>,
        catalogue: &Catalogue,
        now: UnixSeconds,
    ) -> Self {
        Self {
            new: IssuedView::new(&rotated.issued, catalogue, now),
            old: KeyView::new(&rotated.old, catalogue, now).used(uses),
            receipt: rotated.receipt.clone(),
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyPage {
    /// Newest first.
    pub keys: Vec<KeyView>,
    /// Give it back as `cursor` for the next page; absent on the last one. A page with few or no keys is not the last one:
    /// the server looks at a bounded number of keys at a time.
    pub next_cursor: Option<String>,
}

/// Where a page begins: after this key. Opaque outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub UnixMillis, pub KeyId);

impl Cursor {
    /// The text that a client gives back.
    pub fn encode(self) -> String {
        paging::encode(&(self.0, self.1.get()))
    }

    /// The cursor that a text stands for.
    pub fn decode(text: &str) -> Result<Self, ApiError> {
        let (at, id): (UnixMillis, u64) = paging::decode(text)?;
        let id = KeyId::from_u64(id)
            .filter(|_| at.0 < shared::id::LIMIT)
            .ok_or_else(paging::invalid)?;
        Ok(Self(at, id))
    }
}
