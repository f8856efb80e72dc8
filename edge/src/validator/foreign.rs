//! Tokens of other issuers that an organisation trusts: from a signed text to a statement of that organisation, and of no other.
//!
//! | what the token says | what counts |
//! | --- | --- |
//! | who issued it | the issuer's entry in the state, byte for byte; never our own issuer |
//! | whose it is (`org`) | nothing: it is the organisation's that trusts the issuer |
//! | who it is about | (issuer, subject), written so that it is never one of our own ids |
//! | what it may do | the values that the binding knows, under its cap |
//! | a position in a status list | nothing: our lists are for what we have signed |
//!
//! What it does not: fetch keys, or believe anything that the header says about them.

use serde_json::{Map, Value};
use shared::crypto::VerifyingKey;
use shared::feed::issuer::WorkspaceRule;
use shared::feed::{IssuerBinding, IssuerEntry, KeyRef};
use shared::id::WorkspaceId;
use shared::scope::{Catalogue, ScopeSet};
use shared::token::{self, Unread};
use shared::verdict::Reason;

use super::Validator;
use super::statement::{Kind, Signer, Statement, binding as key_binding};

/// A day: whoever an issuer takes something away from has it for so long at most.
pub const MAX_LIFETIME_SECONDS: u64 = 86_400;
/// OpenID Connect Core §2.
const MAX_SUBJECT: usize = 255;
const MAX_AUDIENCES: usize = 32;
/// What only an ID token, a logout token or a security event has (RFC 8725 §3.12): without `at+jwt` in the header such a token
/// might be taken for an access token.
const OF_OTHER_TOKENS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];

impl Validator<'_> {
    /// The statement of a token by an issuer of this entry.
    pub(super) fn verify_foreign(
        &self,
        token: &Unread<'_>,
        claims: &Map<String, Value>,
        (entry, binding): (&IssuerEntry, &IssuerBinding),
    ) -> Result<Statement, Reason> {
        if !binding.forms.admits(&token.typ) {
            return Err(Reason::TypeRefused);
        }
        if token.typ != "at+jwt" && OF_OTHER_TOKENS.iter().any(|name| claims.contains_key(*name)) {
            return Err(Reason::TypeRefused);
        }
        // kid → key → algorithm must agree (RFC 8725 §3.1).
        let key = self.foreign_key(token, entry, binding)?;
        if !key.verify_base64url(token.message.as_bytes(), token.signature) {
            return Err(Reason::SignatureInvalid);
        }
        let date = |name: &str| {
            claims
                .get(name)
                .map(|value| token::date(value).ok_or(Reason::ClaimsMalformed))
        };
        let required = |name: &str| date(name).unwrap_or(Err(Reason::ClaimsMalformed));
        let (issued_at, expires_at) = (required("iat")?, required("exp")?);
        if expires_at.0.saturating_sub(issued_at.0) > MAX_LIFETIME_SECONDS {
            return Err(Reason::LifetimeRefused);
        }
        let subject = find(claims, &binding.subject)
            .and_then(Value::as_str)
            .filter(|subject| (1..=MAX_SUBJECT).contains(&subject.len()))
            .ok_or(Reason::ClaimsMalformed)?;
        let id = claims.get("jti").and_then(Value::as_str);
        let id = id.filter(|id| id.len() <= MAX_SUBJECT).unwrap_or_default();
        Ok(Statement {
            signer: Signer::Issuer {
                name: entry.issuer.clone(),
                version: entry.version,
            },
            org: entry.org,
            user: None,
            workspace: workspace(claims, &binding.workspace)?,
            scopes: scopes(claims, binding, self.policy.catalogue()),
            issued_at,
            expires_at: Some(expires_at),
            not_before: date("nbf").transpose()?,
            subject: qualified(&entry.issuer, subject),
            credential: qualified(&entry.issuer, id),
            kind: Kind::Foreign {
                audience: audiences(claims)?,
                subject: subject.to_owned(),
                bound_to: claims.get("cnf").map(key_binding).transpose()?,
            },
        })
    }

    fn foreign_key<'s>(
        &self,
        token: &Unread<'_>,
        entry: &IssuerEntry,
        binding: &'s IssuerBinding,
    ) -> Result<&'s VerifyingKey, Reason> {
        let (kid, key) = if let Some(kid) = &token.kid {
            (kid.as_str(), binding.keys.get(kid))
        } else {
            // An issuer with one key need not name it (RFC 7515 §4.1.4).
            let mut keys = binding.keys.iter();
            match (keys.next(), keys.next()) {
                (Some((kid, key)), None) => (kid.as_str(), Some(key)),
                _ => return Err(Reason::HeaderRefused),
            }
        };
        let distrusted = KeyRef::Issuer {
            issuer: entry.issuer.clone(),
            kid: kid.to_owned(),
        };
        let key = key
            .filter(|_| !self.state.is_removed(&distrusted))
            .ok_or(Reason::SigningKeyUnknown)?;
        if key.algorithm() == token.algorithm {
            Ok(key)
        } else {
            Err(Reason::AlgorithmRefused)
        }
    }

    /// Whether one of the audiences of a token is one that its issuer speaks to, and stands for this resource. An audience that is the
    /// name of a resource here stands for that one alone; any other name stands for the deployment's own resource.
    pub(super) fn is_meant(&self, audiences: &[String], binding: &IssuerBinding, resource: &str) -> bool {
        use shared::policy::same_resource;
        let is_resource = |name: &str| {
            let mut routes = self.policy.routes().iter();
            routes.any(|route| same_resource(&route.audience, name))
        };
        let own = same_resource(resource, &self.policy.policy.resource);
        audiences
            .iter()
            .filter(|audience| binding.audiences.contains(audience))
            .any(|audience| same_resource(audience, resource) || (own && !is_resource(audience)))
    }
}

/// `issuer#subject`, the subject percent-encoded but for what is unreserved (RFC 3986 §2.3), `:` and `@`: one text per pair, for
/// an issuer has no fragment; and none of ours, for they have no `#`.
pub fn qualified(issuer: &str, subject: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(issuer.len().saturating_add(subject.len()).saturating_add(1));
    text.push_str(issuer);
    text.push('#');
    for byte in subject.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@') {
            text.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn find<'c>(claims: &'c Map<String, Value>, path: &[String]) -> Option<&'c Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(claims.get(first)?, |value, name| value.get(name))
}

/// One text or several (RFC 7519 §4.1.3).
fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, Reason> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let audiences = match claims.get("aud") {
        Some(Value::Array(list)) if list.len() <= MAX_AUDIENCES => list.iter().map(text).collect(),
        Some(one) => text(one).map(|one| vec![one]),
        None => None,
    };
    audiences.ok_or(Reason::ClaimsMalformed)
}

/// What the first of the claims that is there says: words of a text, or a list of texts. Values that mean nothing here give nothing.
fn scopes(claims: &Map<String, Value>, binding: &IssuerBinding, catalogue: &Catalogue) -> ScopeSet {
    let Some(value) = binding.scopes.iter().find_map(|path| find(claims, path)) else {
        return ScopeSet::EMPTY;
    };
    let words: Vec<&str> = match value {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match &binding.scope_values {
        None => catalogue.parse_known(words),
        Some(values) => words
            .iter()
            .filter_map(|word| values.get(*word))
            .fold(ScopeSet::EMPTY, |set, scopes| set.union(*scopes)),
    }
}

fn workspace(claims: &Map<String, Value>, rule: &WorkspaceRule) -> Result<Option<WorkspaceId>, Reason> {
    match rule {
        WorkspaceRule::All => Ok(None),
        WorkspaceRule::Fixed(workspace) => Ok(Some(*workspace)),
        WorkspaceRule::Claim { path, values } => find(claims, path)
            .and_then(Value::as_str)
            .and_then(|value| values.get(value))
            .map(|workspace| Some(*workspace))
            .ok_or(Reason::TenantMismatch),
    }
}
