//! Who calls `/v1`: an API key of ours in the Authorization header, or an access token of ours whose audience is the issuer,
//! which only the command line gets (`oauth::built_in`).
//!
//! Either is checked as the edge checks it, and then against the database, which is never stale here. Who may call what is not
//! decided here but in `admission`, before a handler runs; handlers take the result as an argument. The dashboard makes a
//! [`Caller`] of its session, so that pages call the functions of `/v1`; `/v1` itself takes no cookies.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use shared::id::{GrantId, KeyId, OrgId, SessionId, UserId, WorkspaceId};
use shared::key::{self, Environment, ParsedKey};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;

use super::budget;
use super::frame::RequestId;
use crate::app::App;
use crate::audit::Actor;
use crate::error::{ApiError, Code};
use crate::sessions::Session;
use crate::store::keys::{ApiKey, KeyStatus, Reach};
use crate::store::orgs::{IssueSubjects, Role};
use crate::store::{StoreError, Tx};
use crate::{keys, oauth, orgs};

/// Longer credentials are refused unread.
const MAX_CREDENTIAL: usize = 8 * 1024;

/// What was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An access token.
    AccessToken {
        /// What its person agreed to.
        grant: GrantId,
    },
    /// An API key.
    ApiKey(KeyId),
    /// A session of the dashboard.
    Session(SessionId),
}

impl Credential {
    /// The API key, if that is what was presented.
    pub fn api_key(self) -> Option<KeyId> {
        match self {
            Self::ApiKey(id) => Some(id),
            Self::AccessToken { .. } | Self::Session(_) => None,
        }
    }
}

impl std::fmt::Display for Credential {
    /// As the audit trail names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AccessToken { grant } => grant.fmt(f),
            Self::ApiKey(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
        }
    }
}

/// An authenticated caller and the most that it may do.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its organisation.
    pub org: OrgId,
    /// Whom it acts for.
    pub user: UserId,
    /// One workspace, or all.
    pub workspace: Option<WorkspaceId>,
    /// Which kind of environment its credential is for.
    pub environment: Environment,
    /// Credential and membership together, hierarchy expanded.
    pub scopes: ScopeSet,
    /// When the credential ends.
    pub ends_at: Option<UnixSeconds>,
    /// The user's role.
    pub role: Role,
    /// The membership as it was judged; issuing compares it in its own transaction.
    pub membership_version: u64,
    /// What was presented.
    pub credential: Credential,
    /// In whose hands that is: of a key whoever made it, who is not always its user.
    pub holder: UserId,
    /// The current request.
    pub request_id: String,
}

impl Caller {
    /// Which keys it can see.
    pub fn reach(&self) -> Reach {
        Reach {
            org: self.org,
            workspace: self.workspace,
            environment: self.environment,
        }
    }

    /// As the audit trail names it.
    pub fn actor(&self) -> Actor {
        Actor {
            who: self.user.to_string(),
            credential: Some(self.credential.to_string()),
            request_id: Some(self.request_id.clone()),
        }
    }

    /// Whose credential a request carries; the call counts.
    pub(crate) async fn present(app: &App, parts: &Parts) -> Result<Self, ApiError> {
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        let text = bearer(&parts.headers)?;
        let caller = authenticate(app, text, request_id.unwrap_or_default()).await?;
        budget::charge(app, parts, &caller.credential.to_string())?;
        Ok(caller)
    }

    /// Somebody who is signed in to the dashboard: everything that their role allows. `None`: no active member.
    pub(crate) async fn of_session(
        tx: &mut Tx,
        app: &App,
        session: &Session,
        request_id: String,
    ) -> Result<Option<Self>, StoreError> {
        let membership = tx.membership(session.org, session.user).await?;
        let membership = membership.filter(|membership| membership.alive);
        Ok(membership.map(|membership| Self {
            org: session.org,
            user: session.user,
            workspace: None,
            // The keys of every environment that there is: `Reach` says which those are.
            environment: *app.config.environments.iter().min().unwrap_or(&Environment::Live),
            scopes: app
                .catalogue()
                .expand(orgs::rights(membership.role, &app.policy().policy)),
            ends_at: None,
            role: membership.role,
            membership_version: membership.version,
            credential: Credential::Session(session.sid),
            holder: session.user,
            request_id,
        }))
    }
}

/// A caller with the `admin` scope.
#[derive(Clone, Debug)]
pub struct Admin(pub Caller);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        admitted(parts)
    }
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        admitted(parts)
    }
}

/// Whom `http::admission` let in. A handler that asks for more than its line in the table says gets nobody.
fn admitted<T: Clone + Send + Sync + 'static>(parts: &Parts) -> Result<T, ApiError> {
    let found = parts.extensions.get::<T>().cloned();
    found.ok_or_else(|| {
        ApiError::internal(anyhow::anyhow!(
            "the table of calls names no such caller for this handler"
        ))
    })
}

/// The one bearer credential of a request (RFC 6750 §2.1). Query and body are never looked at.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        let detail = "send an API key as `Authorization: Bearer pc_live_…`";
        return Err(ApiError::new(Code::CredentialsMissing, detail));
    };
    if values.next().is_some() {
        return Err(ApiError::new(
            Code::SeveralCredentials,
            "send exactly one Authorization header",
        ));
    }
    let (scheme, credential) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") || credential.len() > MAX_CREDENTIAL {
        return Err(invalid());
    }
    Ok(credential.trim_matches(' '))
}

/// One sentence for every reason: outside, nobody learns which one it was.
fn invalid() -> ApiError {
    ApiError::new(
        Code::InvalidToken,
        "the credential is malformed, unknown, expired or revoked; use another one",
    )
}

/// The row of a key of ours, whatever has become of it since: revoked, ended, its user gone. `None` for any other text.
pub(crate) async fn recognise(app: &App, text: &str) -> Result<Option<ApiKey>, ApiError> {
    // 1. Form, brand, environment: free of cost, so first.
    let Ok(parsed) = key::parse(text) else {
        return Ok(None);
    };
    if parsed.brand != app.config.brand || !app.config.environments.contains(&parsed.environment) {
        return Ok(None);
    }

    // 2. Signature, by the key that the row below names too.
    let signing_key = parsed.statement.signing_key;
    let id = KeyId::from(parsed.statement.index);
    let mut verifier = app.keyring.api_key_verifier(signing_key);
    if verifier.is_none() {
        // Another process may have made key and signer a moment ago. Only a key that exists is worth a reload.
        let mut tx = app.store.begin_read().await?;
        if tx.key(id).await?.is_some() {
            app.keyring.reload(&mut tx).await?;
            verifier = app.keyring.api_key_verifier(signing_key);
        }
    }
    if !verifier.is_some_and(|verifier| verifier.verify(&parsed.message, &parsed.signature)) {
        return Ok(None);
    }

    // 3. The row: exists, and says the same.
    let mut tx = app.store.begin_read().await?;
    let row = tx.key(id).await?;
    Ok(row.filter(|row| states_the_same(&parsed, row)))
}

/// Checks a credential and finds out what it may do.
async fn authenticate(app: &App, text: &str, request_id: String) -> Result<Caller, ApiError> {
    // A JWS has dots, an API key has none.
    if text.contains('.') {
        return of_token(app, text, request_id).await;
    }
    of_key(app, text, request_id).await
}

/// The person who signed in at the command line: what they may do, in every workspace and environment.
async fn of_token(app: &App, text: &str, request_id: String) -> Result<Caller, ApiError> {
    let person = oauth::built_in::person(app, text).await?.ok_or_else(invalid)?;
    Ok(Caller {
        org: person.org,
        user: person.user,
        workspace: None,
        environment: *app.config.environments.iter().min().unwrap_or(&Environment::Live),
        scopes: person.scopes,
        // A token ends within the hour, its person's rights do not: what they make outlives it.
        ends_at: None,
        role: person.role,
        membership_version: person.membership_version,
        credential: Credential::AccessToken { grant: person.grant },
        holder: person.user,
        request_id,
    })
}

async fn of_key(app: &App, text: &str, request_id: String) -> Result<Caller, ApiError> {
    let now = app.clock.now().seconds();
    // 1. to 3. A key of ours, neither revoked nor ended.
    let row = recognise(app, text).await?.ok_or_else(invalid)?;
    if matches!(row.status(now), KeyStatus::Revoked | KeyStatus::Expired) {
        return Err(invalid());
    }
    let mut tx = app.store.begin_read().await?;

    // 4. The user: still a member, and nothing has killed what was issued before now.
    let membership = tx
        .membership(row.org, row.user)
        .await?
        .filter(|membership| membership.alive)
        .ok_or_else(invalid)?;
    let subjects = IssueSubjects {
        org: row.org,
        workspace: row.workspace,
        user: Some(row.user),
    };
    if tx
        .not_before(subjects)
        .await?
        .is_some_and(|not_before| row.issued_at <= not_before)
    {
        return Err(invalid());
    }

    // 5. Effective permission: the key's scopes under the role's ceiling and that of a quarantine, the hierarchy expanded on
    //    all sides first.
    let ceiling = orgs::rights(membership.role, &app.policy().policy);
    let quarantine = row.quarantine.map_or(ScopeSet::ALL, |(ceiling, _)| {
        keys::quarantine::scopes(ceiling, &app.policy().policy)
    });
    let scopes = app
        .catalogue()
        .expand(row.scopes)
        .intersection(app.catalogue().expand(ceiling))
        .intersection(app.catalogue().expand(quarantine));
    // The first one was made by nobody, for its user.
    let holder = row.created_by.parse().unwrap_or(row.user);
    Ok(Caller {
        org: row.org,
        user: row.user,
        workspace: row.workspace,
        environment: row.environment,
        scopes,
        ends_at: row.ends_at(),
        role: role_of_key(&row, holder, membership.role),
        membership_version: membership.version,
        credential: Credential::ApiKey(row.id),
        holder,
        request_id,
    })
}

/// The role that a key acts with: its user's, but for a key in the hands of somebody else, who made it. It does not become an
/// owner's when its user does.
fn role_of_key(key: &ApiKey, holder: UserId, user: Role) -> Role {
    match user {
        Role::Owner if holder != key.user => Role::Admin,
        user => user,
    }
}

/// A signing key in the wrong hands could state anything under a known index: the row must agree.
pub(crate) fn states_the_same(parsed: &ParsedKey<'_>, row: &ApiKey) -> bool {
    let statement = &parsed.statement;
    statement.signing_key == row.signing_key
        && statement.org == row.org
        && statement.user == row.user
        && statement.workspace == row.workspace
        && statement.scopes == row.scopes
        && statement.issued_at == row.issued_at
        && statement.expires_at == row.expires_at
        && parsed.environment == row.environment
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn exactly_one_bearer_credential() {
        let code = |values: &[&'static str]| {
            bearer(&headers(values))
                .map_err(|error| error.code())
                .map(str::to_owned)
        };
        assert_eq!(code(&["bEaReR pc_live_x"]), Ok("pc_live_x".to_owned()));
        assert_eq!(code(&[]), Err(Code::CredentialsMissing));
        assert_eq!(code(&["Bearer a", "Bearer a"]), Err(Code::SeveralCredentials));
        for wrong in ["Basic a", "Bearer", "pc_live_x"] {
            assert_eq!(code(&[wrong]), Err(Code::InvalidToken), "{wrong}");
        }
    }
}
