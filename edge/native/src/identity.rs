//! Who was let in, as the handlers of an origin see it.

use edge::library::Allowed;
use shared::assertion::Claims;

/// Who acts. In the extensions of every request that a credential let in; on public routes there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who acts: `usr_…`, a service account, a client; or another issuer's subject.
    pub subject: String,
    /// Their organisation, `org_…`.
    pub org: String,
    /// The one workspace that the credential is for; `None`: all.
    pub workspace: Option<String>,
    /// The effective scopes with everything they imply.
    pub scopes: Vec<String>,
    /// The public id of the credential, for logs and audits.
    pub credential: String,
    /// The foreign issuer that made the credential; `None` for ours, and where an assertion told, which names no issuer.
    pub issuer: Option<String>,
}

impl Identity {
    /// Whether a scope is among the effective ones.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|known| known == scope)
    }

    /// As whom a request was let in; `None` on a public route.
    pub(crate) fn of(allowed: &Allowed) -> Option<Self> {
        Some(Self {
            subject: allowed.subject.clone()?,
            org: allowed.org.clone()?,
            workspace: one_workspace(allowed.workspace.as_deref()?),
            scopes: allowed.scopes.clone(),
            credential: allowed.credential.clone()?,
            issuer: allowed.route.issuer.clone(),
        })
    }
}

impl From<Claims> for Identity {
    fn from(claims: Claims) -> Self {
        Self {
            workspace: one_workspace(&claims.workspace),
            scopes: claims.scope.split_ascii_whitespace().map(str::to_owned).collect(),
            subject: claims.sub,
            org: claims.org,
            credential: claims.credential,
            issuer: None,
        }
    }
}

fn one_workspace(text: &str) -> Option<String> {
    (text != "all").then(|| text.to_owned())
}
