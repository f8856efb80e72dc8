//! `POST /v1/explain`: why the edge lets a request in or keeps it out, step by step, for administrators of the credential's
//! organisation.
//!
//! It is the edge's own validator on the state that the edge is told, so the verdict is the edge's; what it does not know is how
//! far an edge is (`edge status` does), and which environments it accepts: all are taken for accepted here. The credential is
//! not kept, logged, or counted as used. Of one that was revoked the database adds when, why and by whom. What is of another
//! organisation is told apart from what does not exist by nobody: of an issuer that another one trusts the answer is that of an
//! issuer that nobody trusts.

pub mod api;
#[cfg(test)]
mod tests;

use edge::replication::LocalSet;
use edge::validator::{Credential, Deployment, Explanation, Kind, RequestFacts, Statement, Validator};
use secrecy::{ExposeSecret as _, SecretString};
use shared::dpop;
use shared::feed::{Replica, State};
use shared::key::Environment;
use shared::policy::CompiledPolicy;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;
use shared::token;
use shared::verdict::Reason;
use tokio::sync::Mutex;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::revocation;

/// The step at which a revoked credential fails.
const LIST: &str = "restriction list";

/// The state at the last question, so that the next only costs the frames since. Nothing before the first.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Option<Replica>>);

/// What is asked about.
pub struct Question<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, as a caller would send it.
    pub path: &'a str,
    /// The Authorization header.
    pub authorization: Option<&'a str>,
    /// The browser's origin.
    pub origin: Option<&'a str>,
    /// The DPoP header.
    pub proof: Option<&'a str>,
    /// The headers of MCP: method, name, version.
    pub mcp: [Option<&'a str>; 3],
}

/// The steps under the policy in force, for a caller who may see the credential.
pub async fn explain(app: &App, caller: &Caller, asked: &Question<'_>) -> Result<Explanation, ApiError> {
    explain_under(app, caller, &app.policy(), asked).await
}

/// The steps under another policy, for the holder of a bearer credential that the caller may see.
pub(crate) async fn with_credential(
    app: &App,
    caller: &Caller,
    policy: &CompiledPolicy,
    (credential, asked): (&SecretString, Question<'_>),
) -> Result<Explanation, ApiError> {
    let header = SecretString::from(format!("Bearer {}", credential.expose_secret()));
    let asked = Question {
        authorization: Some(header.expose_secret()),
        ..asked
    };
    explain_under(app, caller, policy, &asked).await
}

/// What a policy alone says: of a caller with these scopes, or of one without a credential.
pub(crate) fn without_credential(
    app: &App,
    policy: &CompiledPolicy,
    asked: &Question<'_>,
    scopes: Option<ScopeSet>,
) -> Explanation {
    let state = State::default();
    asking(app, (&state, policy), asked, |validator, facts| match scopes {
        Some(scopes) => validator.explain_scopes(facts, scopes),
        None => validator.explain(facts, app.clock.now().seconds()),
    })
}

async fn explain_under(
    app: &App,
    caller: &Caller,
    policy: &CompiledPolicy,
    asked: &Question<'_>,
) -> Result<Explanation, ApiError> {
    let mut known = app.explanations.0.lock().await;
    let mut tx = app.store.begin_read().await?;
    let replica = revocation::follow(&mut tx, &app.keyring, known.take())
        .await
        .map_err(ApiError::internal)?;
    drop(tx);
    let nothing = State::default();
    let state = match known.insert(replica).state() {
        state if is_foreign(state, caller, asked.authorization) => &nothing,
        state => state,
    };
    let now = app.clock.now().seconds();
    let mut explanation = asking(app, (state, policy), asked, |validator, facts| {
        validator.explain(facts, now)
    });
    drop(known);
    let Some(statement) = explanation.statement.clone() else {
        return Ok(explanation);
    };
    if !is_in_reach(caller, &statement) {
        return Err(ApiError::new(
            Code::NotFound,
            "No such credential in your organisation, or in the workspace that you may manage.",
        ));
    }
    if explanation.reason() == Some(Reason::Revoked) {
        let listed = explanation.steps.iter_mut().find(|step| step.name == LIST);
        if let Some(step) = listed {
            step.facts.extend(end(app, &statement).await?);
        }
    }
    Ok(explanation)
}

/// When and why a credential was revoked, and of a key by whom: the edge's list has the bit and no more.
async fn end(app: &App, statement: &Statement) -> Result<Vec<(&'static str, String)>, ApiError> {
    let mut tx = app.store.begin_read().await?;
    let at = |at: UnixMillis| ("revoked_at", at.seconds().0.to_string());
    let facts = match &statement.kind {
        Kind::ApiKey { .. } => {
            let key = match statement.credential.parse() {
                Ok(id) => tx.key(id).await?,
                Err(_) => None,
            };
            let revoked = key
                .filter(|key| key.org == statement.org)
                .and_then(|key| key.revoked);
            revoked.map(|how| vec![at(how.at), ("revoked_reason", how.reason), ("revoked_by", how.by)])
        }
        Kind::AccessToken { .. } => {
            let grant = match statement.index() {
                Some(index) => tx.grant_of_index(index).await?,
                None => None,
            };
            let ended = match grant {
                Some(grant) => tx.grant_end(grant).await?,
                None => None,
            };
            ended.map(|(when, reason)| vec![at(when), ("revoked_reason", reason)])
        }
        Kind::Foreign { .. } => None,
    };
    Ok(facts.unwrap_or_default())
}

fn asking(
    app: &App,
    (state, policy): (&State, &CompiledPolicy),
    asked: &Question<'_>,
    ask: impl FnOnce(&Validator<'_>, &RequestFacts<'_>) -> Explanation,
) -> Explanation {
    let deployment = Deployment {
        brand: app.config.brand.clone(),
        environments: vec![Environment::Live, Environment::Test, Environment::Dev],
        issuer: app.config.issuer.clone(),
    };
    let validator = Validator {
        deployment: &deployment,
        state,
        local: &LocalSet::default(),
        policy,
    };
    let [mcp_method, mcp_name, mcp_version] = asked.mcp;
    let public_origin = dpop::origin(&policy.policy.resource).unwrap_or_default();
    let facts = RequestFacts {
        method: asked.method,
        path: asked.path,
        authorization: asked.authorization,
        origin: asked.origin,
        proof: asked.proof,
        public_origin: &public_origin,
        mcp_method,
        mcp_name,
        mcp_version,
        min_seq: 0,
        braked: false,
    };
    ask(&validator, &facts)
}

/// Whether a token names an issuer that another organisation trusts. Its signature is not looked at: whatever came of that would
/// tell that somebody does.
fn is_foreign(state: &State, caller: &Caller, authorization: Option<&str>) -> bool {
    let Ok(Credential::Token(text)) = Credential::from_authorization(authorization) else {
        return false;
    };
    let Ok(unread) = token::read(text) else {
        return false;
    };
    let found = unread.issuer().and_then(|issuer| state.trusted_issuer(issuer));
    found.is_some_and(|(entry, _)| entry.org != caller.org)
}

fn is_in_reach(caller: &Caller, statement: &Statement) -> bool {
    let reach = caller.reach();
    reach.org == statement.org && reach.workspace.is_none_or(|own| statement.workspace == Some(own))
}
