//! `POST /v1/explain`: why the edge lets a request in or keeps it out, step by step, for administrators of the credential's
//! organisation.
//!
//! It is the edge's own validator on the state that the edge is told, so the verdict is the edge's; what it does not know is how
//! far an edge is (`edge status` does), and which environments it accepts: all are taken for accepted here. The credential is
//! not kept, logged, or counted as used. What is of another organisation is told apart from what does not exist by nobody.

pub mod api;
#[cfg(test)]
mod tests;

use edge::replication::LocalSet;
use edge::validator::{Deployment, Explanation, RequestFacts, Statement, Validator};
use shared::dpop;
use shared::feed::Replica;
use shared::key::Environment;
use tokio::sync::Mutex;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::revocation;

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

/// The steps, for a caller who may see the credential.
pub async fn explain(app: &App, caller: &Caller, asked: &Question<'_>) -> Result<Explanation, ApiError> {
    let mut known = app.explanations.0.lock().await;
    let mut tx = app.store.begin_read().await?;
    let replica = revocation::follow(&mut tx, &app.keyring, known.take())
        .await
        .map_err(ApiError::internal)?;
    drop(tx);
    let explanation = on(app, known.insert(replica), asked);
    match &explanation.statement {
        Some(statement) if !is_in_reach(caller, statement) => Err(ApiError::new(
            Code::NotFound,
            "No such credential in your organisation, or in the workspace that you may manage.",
        )),
        _ => Ok(explanation),
    }
}

fn on(app: &App, replica: &Replica, asked: &Question<'_>) -> Explanation {
    let deployment = Deployment {
        brand: app.config.brand.clone(),
        environments: vec![Environment::Live, Environment::Test, Environment::Dev],
        issuer: app.config.issuer.clone(),
    };
    let validator = Validator {
        deployment: &deployment,
        state: replica.state(),
        local: &LocalSet::default(),
        policy: &app.policy,
    };
    let [mcp_method, mcp_name, mcp_version] = asked.mcp;
    let public_origin = dpop::origin(&app.policy.policy.resource).unwrap_or_default();
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
    validator.explain(&facts, app.clock.now().seconds())
}

fn is_in_reach(caller: &Caller, statement: &Statement) -> bool {
    let reach = caller.reach();
    reach.org == statement.org && reach.workspace.is_none_or(|own| statement.workspace == Some(own))
}
