//! Every call of `/v1`, and who may make it. [`http::admission`](crate::http::admission) asks this table before any handler
//! runs: what has no line is refused.
//!
//! A line that names an [`Act`] is about the caller's *role* in their organisation, which their keys and tokens inherit: a key of
//! a viewer that states `admin` manages nothing, whatever the deployment's presets give to viewers. What a line does not say:
//! which objects there are for the caller (those of their organisation: a part of every query), how far the credential
//! reaches (one workspace, a lesser environment), and what one owner may do to another.

use axum::http::Method;

use super::{Act, allows, as_listed};
use crate::store::orgs::Role;

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A member whose role allows the act, with a credential that has the scope `admin`.
    Admin(Act),
    /// A member whose role allows the act, with any credential.
    Member(Act),
    /// Whoever has a credential: the call is about that and nothing else.
    Holder,
    /// Whoever holds what they want to end, even if it counts for nothing here. The handler reads it.
    Bearer,
    /// An edge with its uplink key, which the handler checks.
    Edge,
    /// A sender whose signature the handler checks.
    Sender,
    /// Everybody: it tells what is in every copy of the release.
    Anybody,
}

impl By {
    /// Whether a caller of ours is needed, who is known before the handler runs.
    pub fn authenticates(self) -> bool {
        matches!(self, Self::Admin(_) | Self::Member(_) | Self::Holder)
    }

    /// Whether the credential needs the scope `admin`.
    pub fn needs_admin_scope(self) -> bool {
        matches!(self, Self::Admin(_))
    }

    /// The least role that may; `None`: a role does not matter.
    pub fn least(self) -> Option<Role> {
        match self {
            Self::Admin(act) | Self::Member(act) => Some(act.least()),
            Self::Holder | Self::Bearer | Self::Edge | Self::Sender | Self::Anybody => None,
        }
    }

    /// Whether somebody of this role may.
    pub fn admits(self, role: Role) -> bool {
        match self {
            Self::Admin(act) | Self::Member(act) => allows(role, act),
            Self::Holder | Self::Bearer | Self::Edge | Self::Sender | Self::Anybody => true,
        }
    }
}

/// A call: its method, its path as the router writes it, and who may make it.
pub type Call = (&'static str, &'static str, By);

/// Every call.
pub const CALLS: &[Call] = &[
    // API keys
    ("GET", "/v1/auth/keys", By::Admin(Act::See)),
    ("POST", "/v1/auth/keys", By::Admin(Act::ManageKeys)),
    ("POST", "/v1/auth/keys/self/rotate", By::Holder),
    ("GET", "/v1/auth/keys/{id}", By::Admin(Act::See)),
    ("PATCH", "/v1/auth/keys/{id}", By::Admin(Act::ManageKeys)),
    ("DELETE", "/v1/auth/keys/{id}", By::Admin(Act::ManageKeys)),
    ("POST", "/v1/auth/keys/{id}/rotate", By::Admin(Act::ManageKeys)),
    ("POST", "/v1/auth/keys/{id}/reissue", By::Admin(Act::ManageKeys)),
    (
        "POST",
        "/v1/auth/keys/{id}/quarantine",
        By::Admin(Act::ManageKeys),
    ),
    ("POST", "/v1/auth/keys/{id}/release", By::Admin(Act::ManageKeys)),
    ("POST", "/v1/auth/self-revoke", By::Bearer),
    // Revocations
    ("POST", "/v1/revocations", By::Admin(Act::ManageKeys)),
    ("GET", "/v1/revocations/{id}", By::Admin(Act::ManageKeys)),
    (
        "GET",
        "/v1/revocations/{id}/credentials",
        By::Admin(Act::ManageKeys),
    ),
    // The caller, and what is refused
    ("GET", "/v1/whoami", By::Holder),
    ("POST", "/v1/explain", By::Admin(Act::ManagePolicies)),
    // Members
    ("GET", "/v1/memberships", By::Admin(Act::See)),
    ("GET", "/v1/memberships/{user}", By::Admin(Act::See)),
    ("PATCH", "/v1/memberships/{user}", By::Admin(Act::ManagePeople)),
    (
        "POST",
        "/v1/memberships/{user}/suspend",
        By::Admin(Act::ManagePeople),
    ),
    (
        "POST",
        "/v1/memberships/{user}/resume",
        By::Admin(Act::ManagePeople),
    ),
    (
        "POST",
        "/v1/memberships/{user}/deactivate",
        By::Admin(Act::ManagePeople),
    ),
    (
        "GET",
        "/v1/memberships/{user}/holdings",
        By::Admin(Act::ManagePeople),
    ),
    (
        "GET",
        "/v1/memberships/{user}/sign-in",
        By::Admin(Act::ManageSessions),
    ),
    (
        "DELETE",
        "/v1/memberships/{user}/sign-in",
        By::Admin(Act::ManageSessions),
    ),
    ("POST", "/v1/people/{user}/erase", By::Admin(Act::Erase)),
    // Invitations
    ("GET", "/v1/invitations", By::Admin(Act::ManagePeople)),
    ("POST", "/v1/invitations", By::Admin(Act::ManagePeople)),
    ("DELETE", "/v1/invitations/{id}", By::Admin(Act::ManagePeople)),
    (
        "POST",
        "/v1/invitations/{id}/resend",
        By::Admin(Act::ManagePeople),
    ),
    // Service accounts
    ("GET", "/v1/service-accounts", By::Admin(Act::See)),
    ("POST", "/v1/service-accounts", By::Admin(Act::ManagePeople)),
    ("GET", "/v1/service-accounts/{user}", By::Admin(Act::See)),
    (
        "PATCH",
        "/v1/service-accounts/{user}",
        By::Admin(Act::ManagePeople),
    ),
    (
        "POST",
        "/v1/service-accounts/{user}/suspend",
        By::Admin(Act::ManagePeople),
    ),
    (
        "POST",
        "/v1/service-accounts/{user}/resume",
        By::Admin(Act::ManagePeople),
    ),
    (
        "POST",
        "/v1/service-accounts/{user}/deactivate",
        By::Admin(Act::ManagePeople),
    ),
    // Workspaces
    ("GET", "/v1/workspaces", By::Admin(Act::See)),
    ("POST", "/v1/workspaces", By::Admin(Act::ManageWorkspaces)),
    ("GET", "/v1/workspaces/{id}", By::Admin(Act::See)),
    ("PATCH", "/v1/workspaces/{id}", By::Admin(Act::ManageWorkspaces)),
    (
        "POST",
        "/v1/workspaces/{id}/archive",
        By::Admin(Act::ManageWorkspaces),
    ),
    (
        "POST",
        "/v1/workspaces/{id}/restore",
        By::Admin(Act::ManageWorkspaces),
    ),
    // OAuth clients
    ("GET", "/v1/clients", By::Admin(Act::See)),
    ("POST", "/v1/clients", By::Admin(Act::ManageClients)),
    ("GET", "/v1/clients/{id}", By::Admin(Act::See)),
    ("PATCH", "/v1/clients/{id}", By::Admin(Act::ManageClients)),
    ("DELETE", "/v1/clients/{id}", By::Admin(Act::ManageClients)),
    (
        "POST",
        "/v1/clients/{id}/rotate-secret",
        By::Admin(Act::ManageClients),
    ),
    ("POST", "/v1/clients/{id}/revoke", By::Admin(Act::ManageClients)),
    // Grants, sessions
    ("GET", "/v1/grants", By::Admin(Act::See)),
    ("GET", "/v1/grants/{id}", By::Admin(Act::See)),
    ("DELETE", "/v1/grants/{id}", By::Admin(Act::ManageGrants)),
    ("GET", "/v1/sessions", By::Admin(Act::ManageSessions)),
    ("DELETE", "/v1/sessions", By::Admin(Act::ManageSessions)),
    ("DELETE", "/v1/sessions/{id}", By::Admin(Act::ManageSessions)),
    // Trusted issuers
    ("GET", "/v1/issuers", By::Admin(Act::See)),
    ("POST", "/v1/issuers", By::Admin(Act::ManageIssuers)),
    ("GET", "/v1/issuers/{id}", By::Admin(Act::See)),
    ("PATCH", "/v1/issuers/{id}", By::Admin(Act::ManageIssuers)),
    ("DELETE", "/v1/issuers/{id}", By::Admin(Act::ManageIssuers)),
    ("POST", "/v1/issuers/{id}/refresh", By::Admin(Act::ManageIssuers)),
    ("POST", "/v1/issuers/{id}/block", By::Admin(Act::ManageIssuers)),
    ("POST", "/v1/issuers/{id}/unblock", By::Admin(Act::ManageIssuers)),
    // The route policy: whoever has a credential may know what it is good for
    ("GET", "/v1/policy", By::Member(Act::See)),
    ("POST", "/v1/policy/test", By::Member(Act::See)),
    ("GET", "/v1/policy/history", By::Member(Act::See)),
    ("GET", "/v1/policy/history/{version}", By::Member(Act::See)),
    ("PUT", "/v1/policy", By::Admin(Act::ManagePolicies)),
    ("POST", "/v1/policy/check", By::Admin(Act::ManagePolicies)),
    ("POST", "/v1/policy/rollback", By::Admin(Act::ManagePolicies)),
    // Edges, and what they counted
    ("GET", "/v1/edge/status", By::Admin(Act::See)),
    ("GET", "/v1/edge/feed", By::Edge),
    ("POST", "/v1/edge/usage", By::Edge),
    ("GET", "/v1/usage", By::Admin(Act::See)),
    // Audit
    ("GET", "/v1/audit", By::Admin(Act::SeeAudit)),
    ("GET", "/v1/audit/export", By::Admin(Act::SeeAudit)),
    ("GET", "/v1/audit/verify", By::Admin(Act::SeeAudit)),
    // Webhooks
    ("GET", "/v1/webhooks", By::Admin(Act::ManageWebhooks)),
    ("POST", "/v1/webhooks", By::Admin(Act::ManageWebhooks)),
    ("GET", "/v1/webhooks/{id}", By::Admin(Act::ManageWebhooks)),
    ("PATCH", "/v1/webhooks/{id}", By::Admin(Act::ManageWebhooks)),
    ("DELETE", "/v1/webhooks/{id}", By::Admin(Act::ManageWebhooks)),
    (
        "POST",
        "/v1/webhooks/{id}/rotate-secret",
        By::Admin(Act::ManageWebhooks),
    ),
    ("POST", "/v1/webhooks/{id}/ping", By::Admin(Act::ManageWebhooks)),
    (
        "GET",
        "/v1/webhooks/{id}/messages",
        By::Admin(Act::ManageWebhooks),
    ),
    (
        "POST",
        "/v1/webhooks/{id}/messages/{message}/replay",
        By::Admin(Act::ManageWebhooks),
    ),
    // Settings
    ("GET", "/v1/settings", By::Admin(Act::ManageSettings)),
    ("PATCH", "/v1/settings", By::Admin(Act::ManageSettings)),
    (
        "POST",
        "/v1/settings/signing-keys/{purpose}/rotate",
        By::Admin(Act::ManageSettings),
    ),
    // What others tell us
    ("POST", "/v1/signals/leaks", By::Sender),
    ("POST", "/v1/signals/events", By::Sender),
    // The description
    ("GET", "/v1/openapi.json", By::Anybody),
    ("GET", "/v1/docs", By::Anybody),
    ("GET", "/v1/docs/errors", By::Anybody),
    ("GET", "/v1/docs/{group}", By::Anybody),
];

/// Under what all of them are.
pub const ROOT: &str = "/v1/";

/// Who may make a call; `None`: it is not in the table, and nobody may.
pub fn by(method: &Method, path: &str) -> Option<By> {
    let method = as_listed(method);
    let line = CALLS.iter().find(|(m, p, _)| *m == method && *p == path);
    line.map(|(_, _, by)| *by)
}

/// The methods that a path has, for the header `Allow`; empty, if it has no line.
pub fn methods(path: &str) -> String {
    let lines = CALLS.iter().filter(|(_, p, _)| *p == path);
    let methods = lines.map(|(method, ..)| if *method == "GET" { "GET,HEAD" } else { method });
    methods.collect::<Vec<_>>().join(",")
}
