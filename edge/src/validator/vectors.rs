//! Runs the verdict vectors of `shared/vectors/verdicts.json`: natively in this crate's tests, and inside workerd for the
//! parity test (I9). A case that expects `refresh` stands for a decision that asks for a fresher state first.

use serde::{Deserialize, Serialize};
use shared::crypto::{VerifyingKey, from_base64url};
use shared::feed::{Replica, Trust, split_message};
use shared::key::Environment;
use shared::policy::Policy;
use shared::time::UnixSeconds;
use shared::verdict::Reason;

use crate::replication::LocalSet;

use super::{Decision, Deployment, Freshness, RequestFacts, StatementCache, Validator};

/// The whole file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vectors {
    /// What the file is for.
    pub description: String,
    /// The pinned feed, in hexadecimal.
    pub feed: String,
    /// The pinned root key, base64url.
    pub root: String,
    /// The brand that is accepted.
    pub brand: String,
    /// The environments that are accepted.
    pub environments: Vec<Environment>,
    /// Our issuer.
    pub issuer: String,
    /// Where the requests were sent: scheme, host and port.
    pub public_origin: String,
    /// A feed message, base64url: the state that all cases are judged under.
    pub message: String,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One request and its verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique.
    pub name: String,
    /// The method.
    pub method: String,
    /// The raw path.
    pub path: String,
    /// The Authorization header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// The Origin header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The DPoP header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The Mcp-Method header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_method: Option<String>,
    /// The Mcp-Name header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_name: Option<String>,
    /// The MCP-Protocol-Version header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_version: Option<String>,
    /// The time, in seconds.
    pub now: u64,
    /// How old the state is, in milliseconds.
    #[serde(default)]
    pub contact_age_ms: u64,
    /// How long the publisher has been silent, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_age_ms: Option<u64>,
    /// The seq that the caller asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_seq: Option<u64>,
    /// Whether the state was read after the request arrived.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_after_arrival: bool,
    /// Whether no fresher state is to be had.
    #[serde(default)]
    pub exhausted: bool,
    /// The reason's code, or `refresh`.
    pub expected: String,
}

/// What came out of one case.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case.
    pub name: String,
    /// The reason's code, or `refresh`.
    pub reason: String,
    /// The effective scopes of a request that was let in; of one that lacks some, all that it needs.
    pub scopes: String,
}

/// Judges all cases of a file; an error says which part of the file is unusable.
pub fn run(json: &[u8]) -> Result<Vec<Outcome>, &'static str> {
    let mut cache = StatementCache::default();
    each(json, |validator, case, facts, seq| {
        judge(validator, case, facts, seq, &mut cache)
    })
}

/// Explains all cases of a file.
#[cfg(test)]
pub(super) fn explain(json: &[u8]) -> Result<Vec<super::Explanation>, &'static str> {
    each(json, |validator, case, facts, _| {
        validator.explain(facts, UnixSeconds(case.now))
    })
}

/// What to do with each case, under the file's state at this seq.
fn each<T>(
    json: &[u8],
    mut judge: impl FnMut(&Validator<'_>, &Case, &RequestFacts<'_>, u64) -> T,
) -> Result<Vec<T>, &'static str> {
    let vectors: Vectors = serde_json::from_slice(json).map_err(|_| "not a vector file")?;
    let root: [u8; 32] = from_base64url(&vectors.root)
        .and_then(|b| b.try_into().ok())
        .ok_or("root")?;
    let feed = vectors.feed.parse().map_err(|_| "feed")?;
    let mut replica = Replica::new(Trust {
        feed,
        root: VerifyingKey::ed25519(root),
        other_root: None,
    });
    let message = from_base64url(&vectors.message).ok_or("message")?;
    for envelope in split_message(&message).map_err(|_| "message")? {
        replica.accept(envelope).map_err(|_| "message")?;
    }
    let (_, policy) = replica.state().policy().ok_or("policy")?;
    let policy = Policy::from_json(policy)
        .and_then(Policy::compile)
        .map_err(|_| "policy")?;
    let deployment = Deployment {
        brand: vectors.brand,
        environments: vectors.environments,
        issuer: vectors.issuer,
    };
    let local = LocalSet::default();
    let validator = Validator {
        deployment: &deployment,
        state: replica.state(),
        local: &local,
        policy: &policy,
    };
    let seq = replica.head().map_or(0, |head| head.seq);
    let outcomes = vectors.cases.iter().map(|case| {
        let facts = facts(case, &vectors.public_origin);
        judge(&validator, case, &facts, seq)
    });
    Ok(outcomes.collect())
}

fn facts<'a>(case: &'a Case, public_origin: &'a str) -> RequestFacts<'a> {
    RequestFacts {
        method: &case.method,
        path: &case.path,
        authorization: case.authorization.as_deref(),
        origin: case.origin.as_deref(),
        proof: case.proof.as_deref(),
        public_origin,
        mcp_method: case.mcp_method.as_deref(),
        mcp_name: case.mcp_name.as_deref(),
        mcp_version: case.mcp_version.as_deref(),
        min_seq: case.min_seq.unwrap_or(0),
        braked: false,
    }
}

fn judge(
    validator: &Validator<'_>,
    case: &Case,
    facts: &RequestFacts<'_>,
    seq: u64,
    cache: &mut StatementCache,
) -> Outcome {
    let freshness = Freshness {
        contact_age_ms: case.contact_age_ms,
        feed_age_ms: case.feed_age_ms,
        seq,
        read_after_arrival: case.read_after_arrival,
        exhausted: case.exhausted,
    };
    let (reason, scopes) = match validator.check(facts, freshness, UnixSeconds(case.now), cache) {
        Decision::Allow(grant) => {
            let reason = if grant.statement.is_some() {
                "allowed"
            } else {
                "public"
            };
            (reason, validator.policy.catalogue().join(grant.effective))
        }
        Decision::Refuse(refusal) if refusal.reason == Reason::ScopeInsufficient => {
            let needed = validator.policy.catalogue().join(refusal.needed);
            (refusal.reason.code(), needed)
        }
        Decision::Refuse(refusal) => (refusal.reason.code(), String::new()),
        Decision::Refresh(_) => ("refresh", String::new()),
    };
    Outcome {
        name: case.name.clone(),
        reason: reason.to_owned(),
        scopes,
    }
}
