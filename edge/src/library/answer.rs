//! What a library gate says of a request, as data: the platform's rim makes a response of it, or goes on.

use serde::{Serialize, Serializer};
use shared::verdict::Reason;

use super::Question;
use crate::answer::{Problem, cors};
use crate::validator::{Grant, Need, Signer};

/// 204, to a preflight.
const NO_CONTENT: u16 = 204;

/// Header names and values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeaderPairs(Vec<(String, String)>);

impl HeaderPairs {
    /// Adds a header. A value with a character that no header may hold is left out.
    pub fn push(&mut self, name: &str, value: &str) {
        if !value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of a name.
    pub fn find(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a rim that forwards the request itself has to know of the route and the credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteFacts {
    /// As in the policy: absent, `control-plane`, or a base URL.
    pub origin: Option<String>,
    /// What is revoked is out at once.
    pub strict: bool,
    /// The route has rules per operation of the Model Context Protocol.
    pub mcp: bool,
    /// How long a connection may stay open.
    pub max_connection_seconds: u64,
    /// The name of the foreign issuer that made the credential.
    pub issuer: Option<String>,
}

/// Let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    #[expect(
        clippy::struct_field_names,
        reason = "the word that callers tell answers apart by"
    )]
    allowed: True,
    /// The route asks for no credential, and none was looked at.
    pub public: bool,
    /// Who acts.
    pub subject: Option<String>,
    /// Their organisation, `org_…`.
    pub org: Option<String>,
    /// `ws_…`, or `all`.
    pub workspace: Option<String>,
    /// The effective scopes with everything they imply.
    pub scopes: Vec<String>,
    /// The public id of the credential.
    pub credential: Option<String>,
    /// `X-Portcullis-*`, for whoever handles the request.
    pub headers: HeaderPairs,
    /// For the answer: CORS.
    pub response_headers: HeaderPairs,
    /// The one form of the path that was judged, and that may be acted upon.
    pub path: String,
    /// Whether the handler gets the credential.
    pub forward_credential: bool,
    /// The policy, and not the handler, answers CORS on this route.
    pub own_cors: bool,
    /// What to remember of the proof that came with it, on a strict route.
    pub proof: Option<String>,
    /// For rims in this language only.
    #[serde(skip)]
    pub route: RouteFacts,
}

/// Kept out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    allowed: False,
    /// The status code.
    pub status: u16,
    /// Stable: programs may switch on it. `preflight` for the answer to one.
    pub code: &'static str,
    /// All headers of the answer.
    pub headers: HeaderPairs,
    /// Its body; none for a preflight.
    pub body: Option<String>,
    /// The exact reason, for logs. Never for the caller.
    pub reason: Option<&'static str>,
}

impl Refused {
    /// A problem as the answer, with these headers and its own.
    pub fn of(problem: Problem, reason: Option<Reason>, mut headers: HeaderPairs, request_id: &str) -> Self {
        problem.headers(request_id, |name, value| headers.push(name, value));
        Self {
            allowed: False,
            status: problem.status,
            code: problem.code,
            headers,
            body: Some(problem.body(request_id)),
            reason: reason.map(Reason::code),
        }
    }
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Let it in.
    Allow(Box<Allowed>),
    /// Keep it out, or answer it: a preflight.
    Refuse(Refused),
    /// Ask again with a fresher state.
    Refresh(Need),
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Allow(allowed) => allowed.serialize(serializer),
            Self::Refuse(refused) => refused.serialize(serializer),
            Self::Refresh(need) => {
                let need = match need {
                    Need::Stale => "stale",
                    // A read that starts after the request arrived.
                    Need::Strict => "strict",
                    // The same, but all such requests share one in a second.
                    Need::Seq | Need::Block => "shared",
                };
                serde_json::json!({ "refresh": need }).serialize(serializer)
            }
        }
    }
}

impl Answer {
    pub(super) fn allow(grant: &Grant<'_>, scopes: &[&str], question: &Question) -> Self {
        let route = grant.route;
        let mut headers = HeaderPairs::default();
        let statement = grant.statement.as_deref();
        let org = statement.map(|statement| statement.org.to_string());
        let workspace = statement.map(|statement| {
            let named = statement.workspace.map(|workspace| workspace.to_string());
            named.unwrap_or_else(|| "all".to_owned())
        });
        let issuer = statement.and_then(|statement| match &statement.signer {
            Signer::Issuer { name, .. } => Some(name.as_str()),
            Signer::Ours { .. } => None,
        });
        if let Some(statement) = statement {
            headers.push("x-portcullis-subject", &statement.subject);
            if let Some(issuer) = issuer {
                headers.push("x-portcullis-issuer", issuer);
            }
            headers.push("x-portcullis-org", org.as_deref().unwrap_or_default());
            headers.push("x-portcullis-workspace", workspace.as_deref().unwrap_or_default());
            headers.push("x-portcullis-scopes", &scopes.join(" "));
            headers.push("x-portcullis-credential", &statement.credential);
        }
        let mut response_headers = HeaderPairs::default();
        cors::answer_headers(Some(route), question.origin.as_deref(), |name, value| {
            response_headers.push(name, value);
        });
        response_headers.push("x-request-id", &question.request_id);
        let proof = grant.proof.as_ref().filter(|_| route.route.strict);
        Self::Allow(Box::new(Allowed {
            allowed: True,
            public: route.route.public,
            subject: statement.map(|statement| statement.subject.clone()),
            org,
            workspace,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            credential: statement.map(|statement| statement.credential.clone()),
            headers,
            response_headers,
            path: grant.path.clone(),
            forward_credential: route.route.forward_credential,
            own_cors: cors::is_ours(route),
            proof: proof.map(|proof| shared::crypto::base64url(&proof.id)),
            route: RouteFacts {
                origin: route.route.origin.clone(),
                strict: route.route.strict,
                mcp: route.mcp.is_some(),
                max_connection_seconds: route.max_connection_seconds,
                issuer: issuer.map(str::to_owned),
            },
        }))
    }

    pub(super) fn refuse(
        problem: Problem,
        reason: Option<Reason>,
        headers: HeaderPairs,
        request_id: &str,
    ) -> Self {
        Self::Refuse(Refused::of(problem, reason, headers, request_id))
    }

    pub(super) fn problem(problem: Problem, question: &Question) -> Self {
        Self::refuse(problem, None, HeaderPairs::default(), &question.request_id)
    }

    pub(super) fn preflight(headers: HeaderPairs) -> Self {
        Self::Refuse(Refused {
            allowed: False,
            status: NO_CONTENT,
            code: "preflight",
            headers,
            body: None,
            reason: None,
        })
    }
}

/// `true` as a type: which of two shapes a JSON object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct True;
/// `false` as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct False;

impl Serialize for True {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl Serialize for False {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(false)
    }
}
