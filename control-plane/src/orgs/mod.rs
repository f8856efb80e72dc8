//! Organisations, users, memberships, workspaces: as much as owning API keys needs, and the first start.
//!
//! What is not here: what administrators do to members (`members`), sign-up and invitations (`people`), sign-in.

mod administer;
pub mod bootstrap;
pub mod password;

use shared::policy::Policy;
use shared::scope::{Catalogue, ScopeSet};

use shared::id::OrgId;

use crate::store::orgs::Role;
use crate::store::{StoreError, Tx};

pub(crate) use administer::{must_administer, must_reach_everything};

/// Ids that travel inside keys are drawn below this, to keep keys short.
pub(crate) const SHORT_IDS: u64 = 1 << 32;

/// The most that a member's credentials may do, whatever they state: the ceiling of a role.
///
/// Owners and admins: everything. Members: the preset `read-write`; viewers: the preset `read`. A deployment whose policy
/// has no such preset gives them nothing.
pub fn rights(role: Role, policy: &Policy) -> ScopeSet {
    let preset = |name: &str| {
        policy
            .presets
            .get(name)
            .and_then(|scopes| policy.scopes.parse(scopes).ok())
            .unwrap_or(ScopeSet::EMPTY)
    };
    match role {
        Role::Owner | Role::Admin => ScopeSet::ALL,
        Role::Member => preset("read-write"),
        Role::Viewer => preset("read"),
    }
}

/// Whether an organisation is the operator's: the first one. What concerns the whole installation (the route policy, what is
/// between us and edges) is its people's business.
pub async fn is_operator(tx: &mut Tx, org: OrgId) -> Result<bool, StoreError> {
    Ok(tx.first_org().await? == Some(org))
}

/// What is left of scopes under a ceiling, the hierarchy expanded on both sides first. What fits keeps its names: `admin` under
/// everything stays `admin`, and under a member's rights becomes those.
pub fn capped(scopes: ScopeSet, ceiling: ScopeSet, catalogue: &Catalogue) -> ScopeSet {
    let ceiling = catalogue.expand(ceiling);
    if ceiling.contains(scopes) {
        scopes
    } else {
        catalogue.expand(scopes).intersection(ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_ceiling() {
        let policy = Policy::demo("https://api.example", "https://auth.example");
        let names = |role| policy.scopes.names(rights(role, &policy));
        assert_eq!(names(Role::Viewer), ["memory:read"]);
        assert_eq!(
            names(Role::Member),
            ["memory:read", "memory:write", "memory:delete"]
        );
        assert_eq!(names(Role::Owner), policy.scopes.all());
        let bare = Policy {
            presets: std::collections::BTreeMap::new(),
            ..policy.clone()
        };
        assert_eq!(rights(Role::Member, &bare), ScopeSet::EMPTY);
    }

    #[test]
    fn what_is_left_under_a_ceiling() {
        let policy = Policy::demo("https://api.example", "https://auth.example");
        let set = |names: &[&str]| policy.scopes.parse(names).expect("known");
        let left = |names: &[&str], role| {
            let capped = capped(set(names), rights(role, &policy), &policy.scopes);
            policy.scopes.join(capped)
        };
        assert_eq!(left(&["admin"], Role::Owner), "admin", "as it was named");
        assert_eq!(left(&["admin"], Role::Viewer), "memory:read");
        assert_eq!(
            left(&["memory:read", "vault:manage"], Role::Member),
            "memory:read"
        );
        assert_eq!(left(&["vault:manage"], Role::Viewer), "");
    }
}
