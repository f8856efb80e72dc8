//! The gate as a library: one copy of the feed, and one decision at a time. The npm package is a thin rim around it.
//!
//! What it does: takes feed messages, says how old they are, judges a request, and says what to answer. What it does not: fetch,
//! wait, or read a clock. Everything that comes in and goes out can be written as JSON ([`Question`], [`Answer`]).
//!
//! **Age.** The process is its own hub and region: contact is the start of the last fetch of the control plane that brought it
//! to the head there. So `max_staleness` holds for each process by itself, and a receipt's bound holds for any number of
//! processes under one uplink key: what decides later than the bound after the frame has fetched after the frame.
//!
//! **Crypto without waiting.** Signatures are asked for through `shared::crypto`, which cannot wait. Where a platform can only
//! verify asynchronously its rim notes the question, answers *no*, and asks the whole thing again with the true answer: all of
//! this is a function of its input, and a signature that does not hold changes nothing, neither state nor memory.

mod answer;
mod config;
mod policy;

use serde::{Deserialize, Serialize};
use shared::assertion::Expected;
use shared::dpop;
use shared::feed::{Applied, Envelope, MAX_MESSAGE, Refusal, Replica, kinds, split_message};
use shared::id::LIMIT;
use shared::path;
use shared::policy::{CompiledRoute, DEFAULT_MAX_STALENESS_MS};
use shared::time::UnixMillis;
use shared::verdict::Reason;

use crate::answer::{self as outside, Problem, cors as outside_cors, metadata};
use crate::replication::{LocalSet, Place};
use crate::validator::cors::{Preflight, preflight};
use crate::validator::{
    Decision, Freshness, Grant, Need, Replays, RequestFacts, Scheme, StatementCache, Validator,
};

pub use answer::{Allowed, Answer, HeaderPairs, Refused, RouteFacts};
pub use config::{Config, ConfigError};
use policy::PolicyKeeper;

/// Below this no request is ever let in: a gate itself answers there.
const OWN_PREFIX: &str = "/.portcullis";

/// One request, as a platform's rim saw it. Has no Debug: it holds the credential.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that have nothing to do with each other"
)]
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Question {
    /// The method, as sent.
    pub method: String,
    /// The path, as sent, without the query.
    pub path: String,
    /// `host[:port]` that the caller addressed.
    pub authority: String,
    /// All Authorization headers, joined with commas.
    pub authorization: Option<String>,
    /// The Origin header.
    pub origin: Option<String>,
    /// All DPoP headers, joined with commas.
    pub proof: Option<String>,
    /// The Mcp-Method header.
    pub mcp_method: Option<String>,
    /// The Mcp-Name header.
    pub mcp_name: Option<String>,
    /// The MCP-Protocol-Version header.
    pub mcp_version: Option<String>,
    /// The Portcullis-Min-Seq header.
    pub min_seq: Option<String>,
    /// Access-Control-Request-Method.
    pub preflight_method: Option<String>,
    /// Access-Control-Request-Headers.
    pub preflight_headers: Option<String>,
    /// The Upgrade header.
    pub upgrade: Option<String>,
    /// The request comes with a body.
    pub has_body: bool,
    /// The caller's X-Request-Id, or a new one.
    pub request_id: String,
    /// The state was read by a read that started after this request arrived.
    pub read_after_arrival: bool,
    /// No further read is to be had for this request.
    pub exhausted: bool,
    /// There is a memory for proofs that all processes of this deployment share, or there is one process.
    pub proofs_are_shared: bool,
}

/// What became of a feed message.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// Whether the message brought this copy to the head of its sender.
    pub at_head: bool,
    /// Whether anything in it was new.
    pub news: bool,
    /// The first refusal; nothing after it was looked at.
    pub refused: Option<String>,
}

/// The gate of one process. Has no Debug of use: it holds nothing secret, but much.
pub struct Gate {
    config: Config,
    replica: Replica,
    /// A library has no region that ends credentials on its own.
    local: LocalSet,
    policy: PolicyKeeper,
    cache: StatementCache,
    replays: Replays,
    contact_at: Option<UnixMillis>,
    heartbeat_at: Option<UnixMillis>,
    incompatible: bool,
    refused: Option<Refusal>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("head", &self.replica.head())
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// One that knows nothing yet, and lets nobody in.
    pub fn new(config: Config, cache: StatementCache) -> Self {
        Self {
            replica: Replica::new(config.trust.clone()),
            config,
            local: LocalSet::default(),
            policy: PolicyKeeper::default(),
            cache,
            replays: Replays::default(),
            contact_at: None,
            heartbeat_at: None,
            incompatible: false,
            refused: None,
        }
    }

    /// Takes in what a sender said when it was asked at `heard_at`. With `complete` the sender's word that this was all counts
    /// for it; else only a heartbeat that names our head does.
    pub fn take(&mut self, message: &[u8], heard_at: UnixMillis, now: UnixMillis, complete: bool) -> Taken {
        let outcome = self.accept(message, now);
        let (news, confirmed) = match outcome {
            Ok(found) => found,
            Err(refusal) => {
                self.incompatible |= refusal == Refusal::Incompatible;
                self.refused = Some(refusal);
                self.policy.follow(self.replica.state(), &mut self.cache);
                return Taken {
                    at_head: false,
                    news: false,
                    refused: Some(refusal.to_string()),
                };
            }
        };
        self.refused = None;
        if news {
            self.incompatible = false;
            self.policy.follow(self.replica.state(), &mut self.cache);
        }
        let at_head = confirmed || complete;
        if at_head {
            self.confirm(heard_at, now);
        }
        Taken {
            at_head,
            news,
            refused: None,
        }
    }

    /// The sender, asked at `heard_at`, has nothing that we lack.
    pub fn confirm(&mut self, heard_at: UnixMillis, now: UnixMillis) {
        if self.incompatible {
            return;
        }
        // A time that lies ahead was noted before the clock jumped back.
        let known = self.contact_at.filter(|known| *known <= now);
        self.contact_at = known.max(Some(heard_at.min(now)));
    }

    /// Whether anything was new, and whether the last heartbeat names our head.
    fn accept(&mut self, message: &[u8], now: UnixMillis) -> Result<(bool, bool), Refusal> {
        if message.len() > MAX_MESSAGE {
            return Err(Refusal::Malformed);
        }
        let (mut news, mut confirmed) = (false, false);
        for envelope in split_message(message)? {
            match self.replica.accept(envelope) {
                Ok(Applied::Heartbeat(_)) => {
                    self.heartbeat_at = Some(now);
                    confirmed = true;
                }
                Ok(Applied::Frame | Applied::Snapshot) => (news, confirmed) = (true, false),
                Err(Refusal::Replayed) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok((news, confirmed))
    }

    /// Asks for the signatures that taking this message in will need, so that a rim that cannot wait has all questions at once.
    pub fn foresee(&self, message: &[u8]) {
        let mut certificate = None;
        for envelope in split_message(message).unwrap_or_default() {
            let Ok(envelope) = Envelope::decode(envelope) else {
                return;
            };
            if certificate.as_ref() != Some(&envelope.certificate) {
                let _ = envelope.certificate.is_trusted_by(&self.config.trust);
                certificate = Some(envelope.certificate.clone());
            }
            let _ = envelope.has_valid_signature();
        }
    }

    /// The query and the report of the next fetch: where this copy is, what it refused, what it understands.
    pub fn fetch(&self) -> serde_json::Value {
        let place = self.replica.head().map(Place::from);
        let query = match &place {
            Some(place) => format!(
                "epoch={}&after={}&digest={}",
                place.epoch, place.seq, place.digest
            ),
            None => "epoch=0&after=0".to_owned(),
        };
        let refused: Vec<_> = self
            .refused
            .iter()
            .map(|refusal| serde_json::json!({ "code": refusal.to_string() }))
            .collect();
        let report = serde_json::json!({
            "hub": true,
            "epoch": place.as_ref().map(|place| place.epoch),
            "seq": place.as_ref().map(|place| place.seq),
            "digest": place.as_ref().map(|place| place.digest.as_str()),
            "refused": refused,
            "kinds": kinds::SUPPORTED,
        });
        serde_json::json!({ "query": query, "report": report.to_string() })
    }

    /// Where it stands and how old that is.
    pub fn status(&self, now: UnixMillis) -> serde_json::Value {
        let head = self.replica.head().map(Place::from);
        serde_json::json!({
            "epoch": head.as_ref().map(|head| head.epoch),
            "seq": head.as_ref().map(|head| head.seq),
            "contactAgeMs": self.contact_age_ms(now),
            "feedAgeMs": self.heartbeat_at.map(|at| now.since(at)),
            "revoked": self.replica.state().revoked_count(),
            "hasPolicy": self.policy.compiled().is_some(),
            "policyRefused": self.policy.refused(),
            "incompatible": self.incompatible,
            "refused": self.refused.map(|refusal| refusal.to_string()),
            "refreshMs": self.policy.refresh_ms(),
        })
    }

    /// The last contact was at least so long ago, by a clock that is never set: however the platform's clock was set since then,
    /// the state does not become younger by it.
    pub fn is_at_least_as_old_as(&mut self, age_ms: u64, now: UnixMillis) {
        let latest = UnixMillis(now.0.saturating_sub(age_ms));
        self.contact_at = self.contact_at.map(|at| at.min(latest));
    }

    /// Whether it could let somebody in on a route with the default bound: it has a policy, and the state is fresh.
    pub fn is_ready(&self, now: UnixMillis) -> bool {
        let age = self.contact_age_ms(now);
        self.policy.compiled().is_some() && age.is_some_and(|age| age <= DEFAULT_MAX_STALENESS_MS)
    }

    /// The origin that a caller who addressed this `host[:port]` means; never another than one of ours.
    pub fn public_origin(&self, authority: &str) -> &str {
        self.config.public_origin(authority)
    }

    fn contact_age_ms(&self, now: UnixMillis) -> Option<u64> {
        let at = self.contact_at.filter(|at| *at <= now)?;
        Some(now.since(at))
    }

    /// Judges one request. [`Answer::Refresh`]: ask again when a newer state was fetched, or with `exhausted`.
    pub fn verify(&mut self, question: &Question, now: UnixMillis) -> Answer {
        if question.method == "OPTIONS" && question.origin.is_some() && question.preflight_method.is_some() {
            return self.preflight(question);
        }
        let own = |path: &str| {
            path.strip_prefix(OWN_PREFIX)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if outside::is_refused_method(&question.method) {
            return Answer::problem(outside::METHOD_NOT_ALLOWED, question);
        }
        if path::canonical(&question.path).is_ok_and(|path| own(&path)) {
            return Answer::problem(outside::NOT_FOUND, question);
        }
        let Some(min_seq) = min_seq(question.min_seq.as_deref()) else {
            return Answer::problem(outside::MIN_SEQ, question);
        };
        let freshness = Freshness {
            // Nobody knows how old this is, so it is too old.
            contact_age_ms: self.contact_age_ms(now).unwrap_or(u64::MAX),
            feed_age_ms: self.heartbeat_at.map(|at| now.since(at)),
            seq: self.replica.head().map_or(0, |head| head.seq),
            read_after_arrival: question.read_after_arrival,
            exhausted: question.exhausted,
        };
        let Some(policy) = self.policy.compiled() else {
            if question.exhausted {
                return self.refused(Reason::StateMissing, None, "", question);
            }
            return Answer::Refresh(Need::Stale);
        };
        let facts = RequestFacts {
            // A brake counts by addresses, which an app knows best itself.
            braked: false,
            method: &question.method,
            path: &question.path,
            authorization: question.authorization.as_deref(),
            origin: question.origin.as_deref(),
            proof: question.proof.as_deref(),
            public_origin: self.config.public_origin(&question.authority),
            mcp_method: question.mcp_method.as_deref(),
            mcp_name: question.mcp_name.as_deref(),
            mcp_version: question.mcp_version.as_deref(),
            min_seq,
        };
        let validator = Validator {
            deployment: &self.config.deployment,
            state: self.replica.state(),
            local: &self.local,
            policy,
        };
        match validator.check(&facts, freshness, now.seconds(), &mut self.cache) {
            Decision::Refresh(need) => Answer::Refresh(need),
            Decision::Refuse(refusal) => {
                let needed = policy.catalogue().join(refusal.needed);
                self.refused(refusal.reason, refusal.route, &needed, question)
            }
            Decision::Allow(grant) => {
                let scopes = policy.catalogue().names(grant.effective);
                if let Some(problem) = unjudged(grant.route, question) {
                    return Answer::problem(problem, question);
                }
                if let Some(reason) = spend(&grant, &mut self.replays, question, now) {
                    return self.refused(reason, Some(grant.route), "", question);
                }
                Answer::allow(&grant, &scopes, question)
            }
        }
    }

    /// The answer to a request whose proof another process has seen already.
    pub fn replayed(&self, question: &Question) -> Answer {
        let path = path::canonical(&question.path).unwrap_or_default();
        let routed = self
            .policy
            .compiled()
            .and_then(|policy| policy.route(&question.method, &path));
        self.refused(
            Reason::ProofReplayed,
            routed.map(|(route, _)| route),
            "",
            question,
        )
    }

    fn refused(
        &self,
        reason: Reason,
        route: Option<&CompiledRoute>,
        needed: &str,
        question: &Question,
    ) -> Answer {
        let mut headers = HeaderPairs::default();
        outside_cors::answer_headers(route, question.origin.as_deref(), |name, value| {
            headers.push(name, value);
        });
        headers.push("vary", "Authorization, Origin");
        let problem = Problem::of_reason(reason);
        let audience = route.map_or(self.config.resource.as_str(), |route| route.audience.as_str());
        let document = metadata::url_for(audience, &question.path, &self.config.resource);
        let scheme = question.authorization.as_deref().and_then(Scheme::of);
        let scopes = outside::scopes_for(reason, needed);
        outside::challenge(problem, &document, scopes, scheme, |name, value| {
            headers.push(name, value);
        });
        Answer::refuse(problem, Some(reason), headers, &question.request_id)
    }

    fn preflight(&self, question: &Question) -> Answer {
        let Some(policy) = self.policy.compiled() else {
            if question.exhausted {
                return Answer::problem(outside::STATE_STALE, question);
            }
            return Answer::Refresh(Need::Stale);
        };
        let (method, origin) = (
            question.preflight_method.as_deref().unwrap_or_default(),
            question.origin.as_deref().unwrap_or_default(),
        );
        let asked = Preflight {
            path: &question.path,
            origin,
            method,
        };
        let granted = preflight(policy, &asked).filter(|_| outside_cors::is_token(method));
        let mut headers = HeaderPairs::default();
        let route = granted.map(|(route, _)| route);
        outside_cors::answer_headers(route, Some(origin), |name, value| headers.push(name, value));
        headers.push("vary", outside_cors::PREFLIGHT_VARY);
        if granted.is_none() {
            return Answer::refuse(outside::FORBIDDEN, None, headers, &question.request_id);
        }
        headers.push("access-control-allow-methods", method);
        outside_cors::grant_headers(question.preflight_headers.as_deref(), |name, value| {
            headers.push(name, value);
        });
        Answer::preflight(headers)
    }

    /// Protected resource metadata (RFC 9728) for a path below the well-known address; `None` for any other path.
    pub fn metadata(&self, path: &str) -> Option<serde_json::Value> {
        let suffix = path.strip_prefix(metadata::PATH)?;
        if !suffix.is_empty() && !suffix.starts_with('/') {
            return None;
        }
        let policy = self.policy.compiled();
        let resource = metadata::resource_at(suffix, policy, &self.config.resource);
        Some(metadata::document(
            resource,
            policy,
            &self.config.deployment.issuer,
        ))
    }
}

/// What would let pass on such a route what was not judged, whoever sends it. A strict route promises that what is revoked is
/// out at once, which a socket that is open already would not be; and a message of MCP is judged by the headers of a POST.
fn unjudged(route: &CompiledRoute, question: &Question) -> Option<Problem> {
    let is_websocket = question
        .upgrade
        .as_deref()
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    if is_websocket && (route.route.strict || route.mcp.is_some()) {
        return Some(outside::UPGRADE_REFUSED);
    }
    let is_bodiless = matches!(question.method.as_str(), "GET" | "HEAD" | "DELETE");
    (question.has_body && is_bodiless && route.mcp.is_some()).then_some(outside::BODY_NOT_ALLOWED)
}

/// Lets a proof count, once (RFC 9449 §11.1). On a strict route one process's memory is not enough to say that it is new.
fn spend(grant: &Grant<'_>, replays: &mut Replays, question: &Question, now: UnixMillis) -> Option<Reason> {
    let proof = grant.proof.as_ref()?;
    if grant.route.route.strict && !question.proofs_are_shared {
        return Some(Reason::StateStale);
    }
    (!replays.remember(proof, now.seconds())).then_some(Reason::ProofReplayed)
}

/// The seq that a caller asks for: 0 without the header, `None` if it is no number below 2^53.
fn min_seq(header: Option<&str>) -> Option<u64> {
    let Some(text) = header else {
        return Some(0);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|seq| digits && *seq < LIMIT)
}

/// The keys of a gate's JWKS, to verify its assertions with.
pub fn assertion_keys(jwks: &str) -> Vec<shared::crypto::VerifyingKey> {
    config::assertion_keys(jwks)
}

/// Verifies a gateway's word to an origin (see [`shared::assertion`]): the claims as JSON, or why not. `jwks`: the gate's.
pub fn verify_assertion(
    text: &str,
    jwks: &str,
    expected: Expected<'_>,
    now: UnixMillis,
) -> Result<serde_json::Value, shared::assertion::Refused> {
    let keys = config::assertion_keys(jwks);
    let audience = dpop::origin(expected.audience).ok_or(shared::assertion::Refused::Audience)?;
    let expected = Expected {
        audience: &audience,
        ..expected
    };
    let claims = shared::assertion::verify(text, &keys, expected, now.seconds())?;
    serde_json::to_value(claims).map_err(|_| shared::assertion::Refused::Malformed)
}

/// The golden vector of assertions (`shared/vectors/assertion.json`), as it stands and with what must not pass, in JSON.
pub fn run_assertion_vector(json: &[u8]) -> Result<serde_json::Value, &'static str> {
    let vector: AssertionVector = serde_json::from_slice(json).map_err(|_| "not the vector of assertions")?;
    let jwks = serde_json::json!({ "keys": [vector.jwk] }).to_string();
    let claims = &vector.claims;
    let at = |time: u64| UnixMillis(time.saturating_mul(1000));
    let forged = vector.text.replacen('.', ".e30", 1);
    let (text, iat, exp) = (vector.text.as_str(), claims.iat.0, claims.exp.0);
    let good = Expected {
        issuer: &claims.iss,
        audience: &claims.aud,
        method: &vector.method,
        path: &vector.path,
        unbound: false,
    };
    let judge = |text: &str, expected: Expected<'_>, time: u64| {
        verify_assertion(text, &jwks, expected, at(time)).unwrap_or_else(|refused| refused.to_string().into())
    };
    let other = "https://other.example";
    Ok(serde_json::json!({
        "good": judge(text, good, iat),
        "forged": judge(&forged, good, iat),
        "other_issuer": judge(text, Expected { issuer: other, ..good }, iat),
        "other_audience": judge(text, Expected { audience: other, ..good }, iat),
        "other_method": judge(text, Expected { method: "DELETE", ..good }, iat),
        "other_path": judge(text, Expected { path: "/admin/x", ..good }, iat),
        "too_late": judge(text, good, exp),
    }))
}

#[derive(Deserialize)]
struct AssertionVector {
    claims: shared::assertion::Claims,
    jwk: serde_json::Value,
    method: String,
    path: String,
    text: String,
}

#[cfg(test)]
mod tests;
