//! What acts for somebody, as lines of tables.

use crate::keys::json::KeyView;
use crate::members::Holdings;
use crate::pages::Moment;
use crate::store::keys::KeyStatus;

/// Keys, apps and sessions of a member.
pub(super) struct Lines {
    pub(super) keys: Vec<KeyLine>,
    pub(super) more_keys: bool,
    pub(super) grants: Vec<GrantLine>,
    pub(super) more_grants: bool,
    pub(super) sessions: Vec<SessionLine>,
    pub(super) more_sessions: bool,
}

pub(super) struct KeyLine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) masked: String,
    pub(super) scopes: String,
    pub(super) workspace: String,
    pub(super) last_use: Option<Moment>,
    pub(super) can_be_reissued: bool,
}

pub(super) struct GrantLine {
    pub(super) client: String,
    pub(super) name: String,
    pub(super) scopes: String,
    pub(super) since: Moment,
    pub(super) last_use: Moment,
}

pub(super) struct SessionLine {
    pub(super) id: String,
    pub(super) browser: String,
    pub(super) address: String,
    pub(super) since: Moment,
    pub(super) last_use: Moment,
}

impl KeyLine {
    pub(super) fn new(key: KeyView) -> Self {
        Self {
            scopes: key.scopes.join(", "),
            last_use: key.last_used_at.map(|at| at.0.into()),
            can_be_reissued: key.status == KeyStatus::Active && key.quarantined.is_none(),
            id: key.id,
            name: key.name,
            masked: key.masked,
            workspace: key.workspace,
        }
    }
}

impl Lines {
    pub(super) fn of(holdings: Holdings) -> Self {
        let grants = holdings.grants.into_iter().map(|grant| GrantLine {
            client: grant.client.to_string(),
            name: grant.client_name,
            scopes: grant.scopes.join(", "),
            since: grant.created_at.0.into(),
            last_use: grant.last_used_at.0.into(),
        });
        let sessions = holdings.sessions.into_iter().map(|session| SessionLine {
            id: session.id.to_string(),
            browser: session.browser,
            address: session.address,
            since: session.signed_in_at.0.into(),
            last_use: session.last_seen_at.0.into(),
        });
        Self {
            keys: holdings.keys.into_iter().map(KeyLine::new).collect(),
            more_keys: holdings.more_keys,
            grants: grants.collect(),
            more_grants: holdings.more_grants,
            sessions: sessions.collect(),
            more_sessions: holdings.more_sessions,
        }
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.grants.is_empty() && self.sessions.is_empty()
    }
}
