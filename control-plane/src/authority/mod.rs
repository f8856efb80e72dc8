//! Who may do what in an organisation: one table of acts by role, and two of what asks for them: pages here, the calls of `/v1`
//! in [`calls`].
//!
//! What has no line in its table is refused. Tests walk both tables through the real router: every role on every page, and
//! on every call with objects of their own and of another organisation. What is not here: what a *credential* may do
//! (`http::auth`), and whose an object is: that is part of every query.

pub mod calls;
#[cfg(test)]
mod matrix;

use axum::http::Method;

use crate::store::orgs::Role;

/// Something that somebody may do in their organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// See what is there: nothing secret, and not the audit trail.
    See,
    /// Have API keys of one's own, within one's rights.
    OwnKeys,
    /// Issue, rotate and revoke anybody's keys.
    ManageKeys,
    /// Register, change and remove OAuth clients.
    ManageClients,
    /// End what apps were granted.
    ManageGrants,
    /// Invite, suspend and deactivate people and service accounts, and change their roles.
    ManagePeople,
    /// Add, rename and archive workspaces.
    ManageWorkspaces,
    /// See and end the sessions of others, and remove their second factors.
    ManageSessions,
    /// Change the route policy.
    ManagePolicies,
    /// Trust other issuers.
    ManageIssuers,
    /// Send events to other systems.
    ManageWebhooks,
    /// Read the audit trail.
    SeeAudit,
    /// Change the organisation's settings, and rotate signing keys.
    ManageSettings,
    /// Make what is stored about a person unreadable.
    Erase,
}

impl Act {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 14] = [
        Self::See,
        Self::OwnKeys,
        Self::ManageKeys,
        Self::ManageClients,
        Self::ManageGrants,
        Self::ManagePeople,
        Self::ManageWorkspaces,
        Self::ManageSessions,
        Self::ManagePolicies,
        Self::ManageIssuers,
        Self::ManageWebhooks,
        Self::SeeAudit,
        Self::ManageSettings,
        Self::Erase,
    ];

    /// The least role that may.
    pub fn least(self) -> Role {
        match self {
            Self::See => Role::Viewer,
            Self::OwnKeys => Role::Member,
            Self::ManageKeys
            | Self::ManageClients
            | Self::ManageGrants
            | Self::ManagePeople
            | Self::ManageWorkspaces
            | Self::ManageSessions
            | Self::ManagePolicies
            | Self::ManageIssuers
            | Self::ManageWebhooks
            | Self::SeeAudit => Role::Admin,
            Self::ManageSettings | Self::Erase => Role::Owner,
        }
    }
}

/// Whether a role may.
pub fn allows(role: Role, act: Act) -> bool {
    rank(role) >= rank(act.least())
}

fn rank(role: Role) -> u8 {
    match role {
        Role::Viewer => 0,
        Role::Member => 1,
        Role::Admin => 2,
        Role::Owner => 3,
    }
}

/// A page or a form: its method, its path as the router writes it, and what whoever asks must be allowed to do.
pub type Page = (&'static str, &'static str, Act);

/// Every page of the dashboard.
pub const PAGES: &[Page] = &[
    // Overview
    ("GET", "/dashboard", Act::See),
    // API keys
    ("GET", "/dashboard/keys", Act::See),
    ("GET", "/dashboard/keys/new", Act::ManageKeys),
    ("POST", "/dashboard/keys/new", Act::ManageKeys),
    ("GET", "/dashboard/keys/{id}", Act::See),
    ("POST", "/dashboard/keys/{id}/rename", Act::ManageKeys),
    ("GET", "/dashboard/keys/{id}/rotate", Act::ManageKeys),
    ("POST", "/dashboard/keys/{id}/rotate", Act::ManageKeys),
    ("GET", "/dashboard/keys/{id}/revoke", Act::ManageKeys),
    ("POST", "/dashboard/keys/{id}/revoke", Act::ManageKeys),
    ("GET", "/dashboard/keys/{id}/receipt", Act::See),
    // One's own keys
    ("GET", "/account/keys", Act::OwnKeys),
    ("GET", "/account/keys/new", Act::OwnKeys),
    ("POST", "/account/keys/new", Act::OwnKeys),
    ("GET", "/account/keys/{id}", Act::OwnKeys),
    ("POST", "/account/keys/{id}/rename", Act::OwnKeys),
    ("GET", "/account/keys/{id}/rotate", Act::OwnKeys),
    ("POST", "/account/keys/{id}/rotate", Act::OwnKeys),
    ("GET", "/account/keys/{id}/revoke", Act::OwnKeys),
    ("POST", "/account/keys/{id}/revoke", Act::OwnKeys),
    ("GET", "/account/keys/{id}/receipt", Act::OwnKeys),
    // People
    ("GET", "/dashboard/people", Act::See),
    ("GET", "/dashboard/people/invite", Act::ManagePeople),
    ("POST", "/dashboard/people/invite", Act::ManagePeople),
    ("GET", "/dashboard/people/invitations", Act::ManagePeople),
    (
        "POST",
        "/dashboard/people/invitations/{id}/revoke",
        Act::ManagePeople,
    ),
    (
        "POST",
        "/dashboard/people/invitations/{id}/resend",
        Act::ManagePeople,
    ),
    ("GET", "/dashboard/people/{id}", Act::See),
    ("POST", "/dashboard/people/{id}/role", Act::ManagePeople),
    ("POST", "/dashboard/people/{id}/suspend", Act::ManagePeople),
    ("POST", "/dashboard/people/{id}/resume", Act::ManagePeople),
    ("GET", "/dashboard/people/{id}/deactivate", Act::ManagePeople),
    ("POST", "/dashboard/people/{id}/deactivate", Act::ManagePeople),
    ("GET", "/dashboard/people/{id}/reissue", Act::ManageKeys),
    ("POST", "/dashboard/people/{id}/reissue", Act::ManageKeys),
    // Service accounts
    ("GET", "/dashboard/service-accounts", Act::See),
    ("GET", "/dashboard/service-accounts/new", Act::ManagePeople),
    ("POST", "/dashboard/service-accounts/new", Act::ManagePeople),
    ("GET", "/dashboard/service-accounts/{id}", Act::See),
    ("POST", "/dashboard/service-accounts/{id}/role", Act::ManagePeople),
    (
        "POST",
        "/dashboard/service-accounts/{id}/rename",
        Act::ManagePeople,
    ),
    (
        "POST",
        "/dashboard/service-accounts/{id}/suspend",
        Act::ManagePeople,
    ),
    (
        "POST",
        "/dashboard/service-accounts/{id}/resume",
        Act::ManagePeople,
    ),
    (
        "GET",
        "/dashboard/service-accounts/{id}/deactivate",
        Act::ManagePeople,
    ),
    (
        "POST",
        "/dashboard/service-accounts/{id}/deactivate",
        Act::ManagePeople,
    ),
    ("GET", "/dashboard/service-accounts/{id}/reissue", Act::ManageKeys),
    (
        "POST",
        "/dashboard/service-accounts/{id}/reissue",
        Act::ManageKeys,
    ),
    // Workspaces
    ("GET", "/dashboard/workspaces", Act::See),
    ("POST", "/dashboard/workspaces", Act::ManageWorkspaces),
    ("GET", "/dashboard/workspaces/{id}", Act::See),
    ("POST", "/dashboard/workspaces/{id}/rename", Act::ManageWorkspaces),
    ("GET", "/dashboard/workspaces/{id}/archive", Act::ManageWorkspaces),
    (
        "POST",
        "/dashboard/workspaces/{id}/archive",
        Act::ManageWorkspaces,
    ),
    (
        "POST",
        "/dashboard/workspaces/{id}/restore",
        Act::ManageWorkspaces,
    ),
    // Sessions, sign-in methods
    ("GET", "/dashboard/sessions", Act::ManageSessions),
    ("POST", "/dashboard/sessions/{id}/end", Act::ManageSessions),
    ("GET", "/dashboard/sessions/end-all", Act::ManageSessions),
    ("POST", "/dashboard/sessions/end-all", Act::ManageSessions),
    ("GET", "/dashboard/sign-in", Act::ManageSessions),
    ("GET", "/dashboard/sign-in/{id}/remove", Act::ManageSessions),
    ("POST", "/dashboard/sign-in/{id}/remove", Act::ManageSessions),
    // OAuth clients
    ("GET", "/dashboard/clients", Act::See),
    ("GET", "/dashboard/clients/new", Act::ManageClients),
    ("POST", "/dashboard/clients/new", Act::ManageClients),
    ("GET", "/dashboard/clients/{id}", Act::See),
    ("GET", "/dashboard/clients/{id}/edit", Act::ManageClients),
    ("POST", "/dashboard/clients/{id}/edit", Act::ManageClients),
    ("GET", "/dashboard/clients/{id}/rotate-secret", Act::ManageClients),
    (
        "POST",
        "/dashboard/clients/{id}/rotate-secret",
        Act::ManageClients,
    ),
    ("GET", "/dashboard/clients/{id}/revoke", Act::ManageClients),
    ("POST", "/dashboard/clients/{id}/revoke", Act::ManageClients),
    ("GET", "/dashboard/clients/{id}/disable", Act::ManageClients),
    ("POST", "/dashboard/clients/{id}/disable", Act::ManageClients),
    // Grants
    ("GET", "/dashboard/grants", Act::See),
    ("GET", "/dashboard/grants/{id}/revoke", Act::ManageGrants),
    ("POST", "/dashboard/grants/{id}/revoke", Act::ManageGrants),
    // Route policies
    ("GET", "/dashboard/policies", Act::See),
    ("POST", "/dashboard/policies/test", Act::ManagePolicies),
    ("GET", "/dashboard/policies/edit", Act::ManagePolicies),
    ("POST", "/dashboard/policies/edit", Act::ManagePolicies),
    ("GET", "/dashboard/policies/versions/{id}", Act::See),
    ("GET", "/dashboard/policies/versions/{id}/receipt", Act::See),
    (
        "GET",
        "/dashboard/policies/versions/{id}/restore",
        Act::ManagePolicies,
    ),
    (
        "POST",
        "/dashboard/policies/versions/{id}/restore",
        Act::ManagePolicies,
    ),
    // Trusted issuers
    ("GET", "/dashboard/issuers", Act::See),
    ("GET", "/dashboard/issuers/new", Act::ManageIssuers),
    ("POST", "/dashboard/issuers/new", Act::ManageIssuers),
    ("GET", "/dashboard/issuers/{id}", Act::See),
    ("GET", "/dashboard/issuers/{id}/edit", Act::ManageIssuers),
    ("POST", "/dashboard/issuers/{id}/edit", Act::ManageIssuers),
    ("POST", "/dashboard/issuers/{id}/refresh", Act::ManageIssuers),
    ("POST", "/dashboard/issuers/{id}/block", Act::ManageIssuers),
    ("POST", "/dashboard/issuers/{id}/unblock", Act::ManageIssuers),
    ("GET", "/dashboard/issuers/{id}/remove", Act::ManageIssuers),
    ("POST", "/dashboard/issuers/{id}/remove", Act::ManageIssuers),
    // Edge
    ("GET", "/dashboard/edge", Act::See),
    ("GET", "/dashboard/edge/live", Act::See),
    // Audit
    ("GET", "/dashboard/audit", Act::SeeAudit),
    ("GET", "/dashboard/audit/export", Act::SeeAudit),
    ("GET", "/dashboard/audit/verify", Act::SeeAudit),
    // Webhooks
    ("GET", "/dashboard/webhooks", Act::ManageWebhooks),
    ("GET", "/dashboard/webhooks/new", Act::ManageWebhooks),
    ("POST", "/dashboard/webhooks/new", Act::ManageWebhooks),
    ("GET", "/dashboard/webhooks/{id}", Act::ManageWebhooks),
    ("POST", "/dashboard/webhooks/{id}", Act::ManageWebhooks),
    ("POST", "/dashboard/webhooks/{id}/switch", Act::ManageWebhooks),
    ("POST", "/dashboard/webhooks/{id}/ping", Act::ManageWebhooks),
    ("POST", "/dashboard/webhooks/{id}/replay", Act::ManageWebhooks),
    ("GET", "/dashboard/webhooks/{id}/rotate", Act::ManageWebhooks),
    ("POST", "/dashboard/webhooks/{id}/rotate", Act::ManageWebhooks),
    ("GET", "/dashboard/webhooks/{id}/remove", Act::ManageWebhooks),
    ("POST", "/dashboard/webhooks/{id}/remove", Act::ManageWebhooks),
    // Retention and erasure
    ("GET", "/dashboard/retention", Act::ManageSettings),
    ("POST", "/dashboard/retention", Act::ManageSettings),
    ("GET", "/dashboard/retention/erase/{user}", Act::Erase),
    ("POST", "/dashboard/retention/erase/{user}", Act::Erase),
    // Settings
    ("GET", "/dashboard/settings", Act::ManageSettings),
    ("POST", "/dashboard/settings", Act::ManageSettings),
    ("GET", "/dashboard/settings/rotate", Act::ManageSettings),
    ("POST", "/dashboard/settings/rotate", Act::ManageSettings),
];

/// A method as the tables write it: HEAD is GET without its body.
pub fn as_listed(method: &Method) -> &str {
    if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    }
}

/// What a page asks for; `None`: it is not in the table, and nobody may see it.
pub fn act_of(method: &Method, path: &str) -> Option<Act> {
    let method = as_listed(method);
    let line = PAGES.iter().find(|(m, p, _)| *m == method && *p == path);
    line.map(|(_, _, act)| *act)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_acts() {
        let may = |role| Act::ALL.into_iter().filter(|act| allows(role, *act)).count();
        assert_eq!(
            [
                may(Role::Viewer),
                may(Role::Member),
                may(Role::Admin),
                may(Role::Owner)
            ],
            [1, 2, 12, 14]
        );
    }

    #[test]
    fn forms_ask_for_more_than_a_look() {
        for (method, path, act) in PAGES {
            assert!(matches!(*method, "GET" | "POST"), "{path}");
            assert!(*method == "GET" || *act != Act::See, "{method} {path}");
        }
    }

    #[test]
    fn no_line_twice_and_none_for_what_is_not_listed() {
        for (n, line) in PAGES.iter().enumerate() {
            assert!(
                PAGES
                    .iter()
                    .skip(n + 1)
                    .all(|other| (other.0, other.1) != (line.0, line.1)),
                "{line:?}"
            );
        }
        assert_eq!(act_of(&Method::HEAD, "/dashboard"), Some(Act::See));
        assert_eq!(act_of(&Method::DELETE, "/dashboard"), None);
        assert_eq!(act_of(&Method::GET, "/dashboard/nothing"), None);
    }
}
