//! What a caller is told: problems and challenges, the same from every gate.
//!
//! Bodies are problem+json ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with a stable `code` and the request id;
//! challenges follow RFC 6750 §3, RFC 9449 §7.1 and RFC 9728 §5.1. A caller never learns more than the class of a refusal.
//! What it does not do: send anything. Headers are handed to whoever asks, one by one.

pub mod cors;
pub mod metadata;

use serde_json::json;
use shared::dpop::ALGORITHMS;
use shared::json_tree;
use shared::verdict::{Outcome, Reason};

use crate::validator::Scheme;

/// Seconds after which a caller may try again when the state was too old.
const RETRY_AFTER_SECONDS: &str = "1";
/// An answer that is not a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status code.
    pub status: u16,
    /// Stable: programs may switch on it.
    pub code: &'static str,
    title: &'static str,
    detail: &'static str,
}

impl Problem {
    /// What a caller is told for an exact reason.
    pub fn of_reason(reason: Reason) -> Self {
        match reason {
            Reason::BrowserKeyRefused => BROWSER_KEY,
            Reason::McpHeadersMalformed | Reason::McpHeadersMissing => MCP_HEADERS,
            other => of_outcome(other.outcome()),
        }
    }

    /// The headers that go with it, but for the challenge.
    pub fn headers(&self, request_id: &str, mut push: impl FnMut(&str, &str)) {
        push("content-type", "application/problem+json");
        push("cache-control", "no-store");
        push("x-request-id", request_id);
        if self.status == 503 {
            push("retry-after", RETRY_AFTER_SECONDS);
        }
    }

    /// The body.
    pub fn body(&self, request_id: &str) -> String {
        let body = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
        });
        json_tree::text(&body)
    }
}

const fn problem(status: u16, code: &'static str, title: &'static str, detail: &'static str) -> Problem {
    Problem {
        status,
        code,
        title,
        detail,
    }
}

/// 400: the request cannot be judged.
pub const INVALID_REQUEST: Problem = problem(
    400,
    "invalid_request",
    "Bad Request",
    "The path has no canonical form, or the request carries more than one credential.",
);
/// 400: a message of the Model Context Protocol whose headers do not say what it is.
pub const MCP_HEADERS: Problem = problem(
    400,
    "mcp_headers",
    "Bad Request",
    "Send `Mcp-Method` once, and `Mcp-Name` once with tools/call, resources/read (in normal form) and prompts/get (MCP 2026-07-28).",
);
/// 400: a `Portcullis-Min-Seq` that is no number.
pub const MIN_SEQ: Problem = problem(
    400,
    "min_seq",
    "Bad Request",
    "`Portcullis-Min-Seq` is the `seq` of a receipt: one decimal number.",
);
/// 401, to a peer.
pub const UPLINK_KEY_REFUSED: Problem = problem(
    401,
    "uplink_key_refused",
    "Unauthorized",
    "This address is for peers with the uplink key.",
);
/// 401 without a credential.
pub const UNAUTHENTICATED: Problem = problem(
    401,
    "unauthenticated",
    "Unauthorized",
    "Send an API key or an access token as `Authorization: Bearer …`.",
);
/// 401 with a bad credential.
pub const INVALID_TOKEN: Problem = problem(
    401,
    "invalid_token",
    "Unauthorized",
    "The credential is malformed, expired, revoked, or not meant for this API.",
);
/// 401 with a token that may count, but not with this proof.
pub const INVALID_PROOF: Problem = problem(
    401,
    "invalid_dpop_proof",
    "Unauthorized",
    "The token is bound to a key: send `Authorization: DPoP …` and a new DPoP proof by that key, for this request.",
);
/// 403: more scopes would help.
pub const INSUFFICIENT_SCOPE: Problem = problem(
    403,
    "insufficient_scope",
    "Forbidden",
    "The credential lacks a scope that this operation needs.",
);
/// 403: no scope would help.
pub const FORBIDDEN: Problem = problem(
    403,
    "forbidden",
    "Forbidden",
    "This operation is not open to this caller in this way.",
);
/// 403: a browser key, with the way out.
pub const BROWSER_KEY: Problem = problem(
    403,
    "browser_key_refused",
    "Forbidden",
    "API keys are not accepted from browsers here: whoever opens the page could copy the key. Use OAuth with PKCE instead.",
);
/// 403: a WebSocket to a strict route.
pub const UPGRADE_REFUSED: Problem = problem(
    403,
    "upgrade_refused",
    "Forbidden",
    "Strict routes and MCP routes take no WebSockets: what passes on an open one is not judged again. Use another route.",
);
/// 429: the limit of a class, or too many bad credentials from one address.
pub const RATE_LIMITED: Problem = problem(
    429,
    "rate_limited",
    "Too Many Requests",
    "Too many requests, or too many bad credentials from this address: wait as long as Retry-After says.",
);
/// 503: the restriction list is too old to decide.
pub const STATE_STALE: Problem = problem(
    503,
    "state_stale",
    "Service Unavailable",
    "The gate has not heard from its hub recently enough to decide, or not the frame that was asked for. The credential may be \
     good: try again.",
);
/// 502: allowed, but nobody answered.
pub const ORIGIN_UNREACHABLE: Problem = problem(
    502,
    "origin_unreachable",
    "Bad Gateway",
    "The request was allowed, but the origin did not answer.",
);
/// 500: the Worker's variables are wrong; its log says which.
pub const MISCONFIGURED: Problem = problem(
    500,
    "misconfigured",
    "Internal Server Error",
    "The gate is not configured. Its log names the variable.",
);
/// 500: something that should not happen.
pub const INTERNAL: Problem = problem(500, "internal", "Internal Server Error", "An internal error.");
/// 404: below `/.portcullis/`, which is never forwarded.
pub const NOT_FOUND: Problem = problem(404, "not_found", "Not Found", "The gate has no such endpoint.");
/// 405.
pub const METHOD_NOT_ALLOWED: Problem = problem(
    405,
    "method_not_allowed",
    "Method Not Allowed",
    "The endpoint does not have this method.",
);
/// 400: content where HTTP gives it no meaning (RFC 9110 §9.3.1).
pub const BODY_NOT_ALLOWED: Problem = problem(
    400,
    "body_not_allowed",
    "Bad Request",
    "A GET or HEAD request, or on an MCP route a DELETE, cannot be forwarded with a body.",
);
/// 413 on the feed endpoint.
pub const TOO_LARGE: Problem = problem(
    413,
    "too_large",
    "Content Too Large",
    "The body is longer than this endpoint accepts.",
);
/// 503 on the feed endpoint.
pub const HUB_UNREACHABLE: Problem = problem(
    503,
    "hub_unreachable",
    "Service Unavailable",
    "The hub did not answer. Send the same message again.",
);
/// 403 on the verify endpoint.
pub const ORIGINAL_REQUEST_UNCLEAR: Problem = problem(
    403,
    "original_request_unclear",
    "Forbidden",
    "The headers that name the original request are missing or disagree.",
);

/// What a caller is told for each class of verdict that is not an allow.
pub fn of_outcome(outcome: Outcome) -> Problem {
    match outcome {
        // An allow is forwarded, never turned into a problem.
        Outcome::Allow => INTERNAL,
        Outcome::BadRequest => INVALID_REQUEST,
        Outcome::Unauthenticated => UNAUTHENTICATED,
        Outcome::InvalidToken => INVALID_TOKEN,
        Outcome::InvalidProof => INVALID_PROOF,
        Outcome::InsufficientScope => INSUFFICIENT_SCOPE,
        Outcome::Forbidden => FORBIDDEN,
        Outcome::TooManyRequests => RATE_LIMITED,
        Outcome::Unavailable => STATE_STALE,
    }
}

/// The `WWW-Authenticate` challenge that goes with a problem, if one does.
///
/// Without a credential there is no `error` (RFC 6750 §3.1); `scope` names everything the operation needs. Whoever came under
/// the scheme DPoP is answered under it; everybody else learns beside the Bearer challenge that it is there (RFC 9449 §7.2).
pub fn challenge(
    problem: Problem,
    resource_metadata: &str,
    scope: &str,
    scheme: Option<Scheme>,
    mut push: impl FnMut(&str, &str),
) {
    let error = match problem {
        UNAUTHENTICATED => None,
        INVALID_TOKEN | INVALID_PROOF | INSUFFICIENT_SCOPE | INVALID_REQUEST => Some(problem.code),
        _ => return,
    };
    let mut parameters = Vec::new();
    if let Some(error) = error {
        parameters.push(format!("error=\"{error}\""));
        parameters.push(format!("error_description=\"{}\"", quoted(problem.detail)));
    }
    if !scope.is_empty() {
        parameters.push(format!("scope=\"{}\"", quoted(scope)));
    }
    parameters.push(format!("resource_metadata=\"{}\"", quoted(resource_metadata)));
    let algorithms = format!("algs=\"{}\"", ALGORITHMS.join(" "));
    if scheme == Some(Scheme::Dpop) {
        parameters.push(algorithms);
        push("www-authenticate", &format!("DPoP {}", parameters.join(", ")));
        return;
    }
    push("www-authenticate", &format!("Bearer {}", parameters.join(", ")));
    if problem.status == 401 {
        push("www-authenticate", &format!("DPoP {algorithms}"));
    }
}

/// The scopes that a challenge may name: which ones a route needs is for those who got as far as scopes, or have not tried yet.
pub fn scopes_for(reason: Reason, needed: &str) -> &str {
    match reason.outcome() {
        Outcome::Unauthenticated
        | Outcome::InvalidToken
        | Outcome::InvalidProof
        | Outcome::InsufficientScope => needed,
        _ => "",
    }
}

/// What may stand between quotes in a challenge (RFC 6750 §3): printable ASCII without quote and backslash.
fn quoted(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\'))
        .collect()
}

/// TRACE would hand the caller what the gate says to the origin; CONNECT is for proxies.
pub fn is_refused_method(method: &str) -> bool {
    matches!(method, "TRACE" | "TRACK" | "CONNECT")
}
