//! Access tokens as RFC 9068 JWTs, read strictly.
//!
//! The text must be compact JWS with strict base64url, the header and claims JSON objects without duplicate members, and
//! the header free of anything that changes how the token is to be read: `crit`, `b64`, embedded or linked keys
//! (`jwk jku x5c x5u`). Here nothing is trusted yet: whether the key, the issuer, the audience and the times are right is
//! decided by the validator, with the state at hand. Signing is the control plane's (`jsonwebtoken::encode`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::crypto::{Algorithm, from_base64url};
use crate::id::{OrgId, StatusIndex, WorkspaceId};
use crate::json_tree;
use crate::strict_json;
use crate::time::UnixSeconds;

/// The longest credential that is looked at, in bytes.
pub const MAX_LENGTH: usize = 8 * 1024;

/// Why a text is not a readable token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not three parts of strict base64url, or too long.
    #[error("not a compact JWS")]
    Shape,
    /// The header is not a JSON object as expected.
    #[error("the header is malformed")]
    Header,
    /// `none`, a MAC, or an algorithm we do not know.
    #[error("the algorithm is refused")]
    Algorithm,
    /// The header carries a member that must not be there (`crit`, `b64`, `jwk`, `jku`, `x5c`, `x5u`).
    #[error("the header has a member that is refused")]
    HeaderMember,
    /// `typ` is not `at+jwt` (RFC 9068 §4).
    #[error("not an access token")]
    Type,
    /// The claims are not a JSON object as expected.
    #[error("the claims are malformed")]
    Claims,
}

/// A token that could be read. Nothing about it has been verified.
#[derive(Clone, Debug)]
pub struct ParsedToken<'a> {
    /// What the header names; the key must agree.
    pub algorithm: Algorithm,
    /// Which key signed.
    pub kid: String,
    /// What the token claims.
    pub claims: Claims,
    /// What the signature covers: header, dot, claims, as sent.
    pub message: &'a str,
    /// The signature, checked to be strict base64url.
    pub signature: &'a str,
}

/// A compact JWS whose header has a form that could count; what kind of token it is was not asked yet.
#[derive(Clone, Debug)]
pub struct Unread<'a> {
    /// What the header names; the key must agree.
    pub algorithm: Algorithm,
    /// Which key signed, where the header says so in at most 256 bytes.
    pub kid: Option<String>,
    /// The media type in lower case and without `application/` (RFC 7515 §4.1.9); empty if there is none.
    pub typ: String,
    /// The claims; `None` if they are not one JSON object.
    pub claims: Option<serde_json::Map<String, Value>>,
    /// What the signature covers: header, dot, claims, as sent.
    pub message: &'a str,
    /// The signature, checked to be strict base64url.
    pub signature: &'a str,
}

/// The claims of an access token (RFC 9068 §2.2), with ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer, compared byte by byte.
    pub iss: String,
    /// Subject: `usr_…`, or the client itself for `client_credentials`.
    pub sub: String,
    /// Audience: one string or several.
    #[serde(deserialize_with = "one_or_many", serialize_with = "one_if_single")]
    pub aud: Vec<String>,
    /// The client that the token was issued to (RFC 8693 §4.3).
    pub client_id: String,
    /// Space-separated scopes.
    #[serde(default)]
    pub scope: String,
    /// Expiry.
    #[serde(deserialize_with = "numeric_date")]
    pub exp: UnixSeconds,
    /// Time of issue.
    #[serde(deserialize_with = "numeric_date")]
    pub iat: UnixSeconds,
    /// Not valid before.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_numeric_date"
    )]
    pub nbf: Option<UnixSeconds>,
    /// Unique per token.
    pub jti: String,
    /// The session in which a person signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// One workspace; absent: all of the organisation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceId>,
    /// Position in a status list (Token Status List).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// A proof-of-possession binding (RFC 7800). Its mere presence matters: such a token is not a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Value>,
}

/// The `status` claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The reference into a list.
    pub status_list: StatusReference,
}

/// `status_list`: the list's URI and the position in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReference {
    /// Position in the list, below 2^20.
    pub idx: u64,
    /// `<issuer>/status-lists/<n>`.
    pub uri: String,
}

impl StatusReference {
    /// The reference to an index of ours.
    pub fn new(issuer: &str, index: StatusIndex) -> Self {
        Self {
            idx: index.get() % StatusIndex::LIST_LENGTH,
            uri: format!("{issuer}/status-lists/{}", index.list()),
        }
    }

    /// The index behind a reference, if the list is one of this issuer's and written in its one form.
    pub fn index(&self, issuer: &str) -> Option<StatusIndex> {
        let list = self.uri.strip_prefix(issuer)?.strip_prefix("/status-lists/")?;
        let number: u64 = list.parse().ok()?;
        if number.to_string() != list || self.idx >= StatusIndex::LIST_LENGTH {
            return None;
        }
        StatusIndex::from_u64(
            number
                .checked_mul(StatusIndex::LIST_LENGTH)?
                .checked_add(self.idx)?,
        )
    }
}

/// Whether a text has the shape of a compact JWS, so that it is judged as a token and not as an API key.
pub fn has_token_shape(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Reads a token of ours. See the module for what is refused.
pub fn parse(text: &str) -> Result<ParsedToken<'_>, ParseError> {
    read(text)?.access_token()
}

/// Reads form and header of any token, and its claims as far as they are a JSON object.
pub fn read(text: &str) -> Result<Unread<'_>, ParseError> {
    if text.len() > MAX_LENGTH {
        return Err(ParseError::Shape);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(ParseError::Shape)?;
    let (header, claims) = message.split_once('.').ok_or(ParseError::Shape)?;
    // `from_base64url` refuses dots, so three parts it is.
    let decoded = |part| from_base64url(part).ok_or(ParseError::Shape);
    let (header, claims) = (decoded(header)?, decoded(claims)?);
    if decoded(signature)?.is_empty() {
        return Err(ParseError::Shape);
    }
    let header = strict_json::object(&header).ok_or(ParseError::Header)?;
    let member = |name| match header.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(ParseError::Header),
    };
    let (alg, typ, kid) = (member("alg")?, member("typ")?, member("kid")?);
    let algorithm = Algorithm::from_jose(alg.ok_or(ParseError::Header)?).ok_or(ParseError::Algorithm)?;
    if ["crit", "b64", "jwk", "jku", "x5c", "x5u"]
        .iter()
        .any(|name| header.contains_key(*name))
    {
        return Err(ParseError::HeaderMember);
    }
    // Media types compare without case, and `application/` may be left out (RFC 7515 §4.1.9).
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ).to_owned();
    if kid.is_some_and(|kid| !(1..=256).contains(&kid.len())) {
        return Err(ParseError::Header);
    }
    Ok(Unread {
        algorithm,
        kid: kid.map(str::to_owned),
        typ,
        claims: strict_json::object(&claims),
        message,
        signature,
    })
}

impl<'a> Unread<'a> {
    /// Who claims to have issued it.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.as_ref()?.get("iss")?.as_str()
    }

    /// An access token of ours.
    pub fn access_token(self) -> Result<ParsedToken<'a>, ParseError> {
        if self.typ != "at+jwt" {
            return Err(ParseError::Type);
        }
        let claims = Value::Object(self.claims.ok_or(ParseError::Claims)?);
        Ok(ParsedToken {
            algorithm: self.algorithm,
            kid: self.kid.ok_or(ParseError::Header)?,
            claims: json_tree::read(&claims).map_err(|_| ParseError::Claims)?,
            message: self.message,
            signature: self.signature,
        })
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = |value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    let texts = match Value::deserialize(deserializer)? {
        Value::Array(many) => many.into_iter().map(text).collect(),
        one => text(one).map(|one| vec![one]),
    };
    texts.ok_or_else(|| serde::de::Error::custom("an audience is a text, or a list of texts"))
}

fn one_if_single<S: Serializer>(audiences: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match audiences {
        [one] => one.serialize(serializer),
        many => many.serialize(serializer),
    }
}

/// The NumericDate that a claim holds.
pub fn date(value: &Value) -> Option<UnixSeconds> {
    number_date(value.as_number()?)
}

/// A NumericDate below 2^53; a fraction is allowed (RFC 7519 §2) and dropped.
pub(crate) fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixSeconds, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    number_date(&number).ok_or_else(|| serde::de::Error::custom("a NumericDate is a number from 0 to 2^53"))
}

fn number_date(number: &serde_json::Number) -> Option<UnixSeconds> {
    if let Some(whole) = number.as_u64() {
        return (whole < crate::id::LIMIT).then_some(UnixSeconds(whole));
    }
    let fraction = number
        .as_f64()
        .filter(|date| (0.0..9_007_199_254_740_992.0).contains(date));
    // In range and not negative, so the cast keeps the whole part.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked just above"
    )]
    fraction.map(|date| UnixSeconds(date as u64))
}

pub(crate) fn optional_numeric_date<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<UnixSeconds>, D::Error> {
    numeric_date(deserializer).map(Some)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
