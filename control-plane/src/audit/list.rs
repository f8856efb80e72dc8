//! Searching the trail: by who, what, to what and when, newest first, a page at a time.
//!
//! A page reads at most ten times as many rows as it may show: one of the conditions is looked up in an index, the others are
//! looked at row by row. A page may therefore be short, or empty, and still have a next one.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::crypto::{base64url, from_base64url};
use shared::id::{AuditId, OrgId};
use shared::key::Environment;
use shared::time::UnixMillis;
use utoipa::ToSchema;

use super::chain_of;
use super::personal::{Opened, Opener};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::time::Timestamp;
use crate::store::audit::{AuditEntry, AuditFilter, AuditRow};
use crate::store::orgs::Role;
use crate::store::{StoreError, Tx, int, uint};

/// Rows that may be read for one that is shown.
const READ_PER_ROW: u32 = 10;
/// Longer than any id or action.
const MAX_WORD: usize = 200;

/// Whose trail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuditTrail)]
pub enum Which {
    /// The caller's organisation's.
    #[default]
    Org,
    /// The installation's: for the first organisation, which runs it.
    Installation,
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// In which trail.
    pub which: Which,
    /// By whom: `usr_…`, `cli_…`, `system`, `command-line`.
    pub actor: Option<String>,
    /// What: `api_key.revoke`.
    pub action: Option<String>,
    /// To what: `key_…`.
    pub target: Option<String>,
    /// At or after.
    pub from: Option<UnixMillis>,
    /// Before.
    pub to: Option<UnixMillis>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Rows on a page.
    pub limit: u32,
}

/// A row as people see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditView {
    /// `aud_…`
    pub id: String,
    /// When the change was made.
    pub at: Timestamp,
    /// Where; absent for the installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "org_000000001")]
    pub org: Option<OrgId>,
    /// Who.
    pub actor: String,
    /// With which credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub credential: Option<String>,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// More. Without what was erased or has expired.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// What is left out of the detail: `erased` with a person, `expired` after its time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    pub left_out: Vec<&'static str>,
    /// In which request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
    /// Its place in the chain, once it is sealed.
    pub position: Option<u64>,
}

/// Some rows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// Newest first.
    pub entries: Vec<AuditView>,
    /// For the next page; absent on the last.
    pub next_cursor: Option<String>,
}

/// The trail shows what everybody did, so it needs a role and a credential that reach everything. Gives the chain.
pub async fn may_read(app: &App, caller: &Caller, which: Which) -> Result<i64, ApiError> {
    reaches_everything(app, caller, "the audit trail")?;
    if which == Which::Org {
        return Ok(chain_of(Some(caller.org)));
    }
    if app.store.begin_read().await?.first_org().await? == Some(caller.org) {
        return Ok(chain_of(None));
    }
    let detail = "the installation's own trail is shown to administrators of the first organisation";
    Err(ApiError::new(Code::ExceedsCaller, detail))
}

/// Whether a caller may see or set what concerns the whole organisation: owners and admins, with a credential that reaches all
/// workspaces and environments.
pub fn reaches_everything(app: &App, caller: &Caller, what: &str) -> Result<(), ApiError> {
    let exceeds = |detail: String| Err(ApiError::new(Code::ExceedsCaller, detail));
    if !matches!(caller.role, Role::Owner | Role::Admin) {
        return exceeds(format!("only owners and admins have to do with {what}"));
    }
    let widest = *app.config.environments.iter().min().unwrap_or(&Environment::Live);
    if caller.workspace.is_some() || caller.environment > widest {
        return exceeds(format!(
            "{what}: this needs a credential for all workspaces and environments"
        ));
    }
    Ok(())
}

impl Search {
    /// As the store wants it, backwards.
    pub(super) fn filter(&self, chain: i64) -> Result<AuditFilter, ApiError> {
        for (field, value) in [
            ("actor", &self.actor),
            ("action", &self.action),
            ("target", &self.target),
        ] {
            if value.as_ref().is_some_and(|value| value.len() > MAX_WORD) {
                return Err(ApiError::invalid_field(
                    field,
                    format!("has at most {MAX_WORD} bytes"),
                ));
            }
        }
        let word = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let end = self.to.map_or(i64::MAX, |to| int(to.0));
        let after = match &self.cursor {
            Some(cursor) => decode(cursor)?.min((end, 0)),
            None => (end, 0),
        };
        Ok(AuditFilter {
            chain,
            actor: word(&self.actor),
            action: word(&self.action),
            target: word(&self.target),
            until: self.from.map_or(0, |from| int(from.0)),
            after,
            limit: self.limit,
        })
    }
}

/// A page of the trail that the caller may read.
pub async fn search(app: &App, caller: &Caller, search: &Search) -> Result<AuditPage, ApiError> {
    let chain = may_read(app, caller, search.which).await?;
    page_of(app, chain, search).await
}

/// A page of a chain, for callers that were judged before.
pub async fn page_of(app: &App, chain: i64, search: &Search) -> Result<AuditPage, ApiError> {
    let mut filter = search.filter(chain)?;
    let conditions = [&filter.actor, &filter.action, &filter.target]
        .into_iter()
        .flatten()
        .count();
    let page = usize::try_from(search.limit).unwrap_or(usize::MAX);
    filter.limit = if conditions > 1 {
        search.limit.saturating_mul(READ_PER_ROW)
    } else {
        search.limit.saturating_add(1)
    };
    let mut tx = app.store.begin_read().await?;
    let rows = tx.audit_back(&filter).await?;
    let full = rows.len() >= usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let last_read = rows.last().map(|row| (row.at, row.id));
    let mut found: Vec<AuditRow> = rows.into_iter().filter(|row| filter.admits(row)).collect();
    let next = if found.len() > page {
        found.truncate(page);
        found.last().map(|row| (row.at, row.id))
    } else {
        last_read.filter(|_| full)
    };
    let mut opener = Opener::default();
    let mut entries = Vec::with_capacity(found.len());
    for entry in tx.with_positions(found).await? {
        entries.push(view(&mut tx, &mut opener, entry).await?);
    }
    Ok(AuditPage {
        entries,
        next_cursor: next.map(encode),
    })
}

/// A row with what is sealed in it, as far as it can be opened.
pub(super) async fn view(
    tx: &mut Tx,
    opener: &mut Opener,
    entry: AuditEntry,
) -> Result<AuditView, StoreError> {
    let AuditEntry { row, position } = entry;
    let mut left_out = Vec::new();
    let mut detail: Value =
        serde_json::from_str(&row.detail).unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
    if row.detail_digest.is_some() {
        left_out.push("expired");
    }
    let personal = opener.open(tx, &row, row.personal.as_deref()).await?;
    let address = opener.open(tx, &row, row.address.as_deref()).await?;
    if let (Some(members), Opened::Value(Value::Object(personal))) = (detail.as_object_mut(), &personal) {
        members.extend(personal.clone());
    }
    if let (Some(members), Opened::Value(address)) = (detail.as_object_mut(), &address) {
        members.insert("address".to_owned(), address.clone());
    }
    for opened in [personal, address] {
        let word = match opened {
            Opened::Erased => "erased",
            Opened::Expired => "expired",
            Opened::Nothing | Opened::Value(_) => continue,
        };
        if !left_out.contains(&word) {
            left_out.push(word);
        }
    }
    let id = AuditId::from_u64(uint(row.id, "audit id")?).ok_or(StoreError::Corrupt("audit id"))?;
    Ok(AuditView {
        id: id.to_string(),
        at: UnixMillis(uint(row.at, "time")?).into(),
        org: org(row.org_id)?,
        actor: row.actor,
        credential: row.credential,
        action: row.action,
        target: row.target,
        detail,
        left_out,
        request_id: row.request_id,
        position: position.map(|position| uint(position, "position")).transpose()?,
    })
}

fn org(stored: Option<i64>) -> Result<Option<OrgId>, StoreError> {
    let Some(stored) = stored else { return Ok(None) };
    let org = OrgId::from_u64(uint(stored, "organisation id")?);
    org.map(Some).ok_or(StoreError::Corrupt("organisation id"))
}

#[derive(Serialize, Deserialize)]
struct CursorText(u8, i64, i64);

const CURSOR_VERSION: u8 = 1;

fn encode((at, id): (i64, i64)) -> String {
    base64url(
        serde_json::to_string(&CursorText(CURSOR_VERSION, at, id))
            .unwrap_or_default()
            .as_bytes(),
    )
}

fn decode(text: &str) -> Result<(i64, i64), ApiError> {
    let invalid = || {
        ApiError::new(
            Code::InvalidCursor,
            "use `next_cursor` of the page before, unchanged",
        )
        .field("cursor")
    };
    let bytes = from_base64url(text)
        .filter(|bytes| bytes.len() <= 200)
        .ok_or_else(invalid)?;
    let CursorText(version, at, id) = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if version != CURSOR_VERSION {
        return Err(invalid());
    }
    Ok((at, id))
}
