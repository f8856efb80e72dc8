//! `ETag` and `If-Match` (RFC 9110 §8.8.3, §13.1.1): an update that was made for one version of a thing does nothing to another.
//!
//! Whoever reads a thing gets its [`Tag`]; whoever changes it may send that back in `If-Match` and gets 412 if somebody else
//! was faster. It is not required: without the header the last one wins, as before. A tag names what can be changed about a
//! thing; counters beside it (how often a key was used) are no part of it, so that use alone refuses nobody's update.
//!
//! A handler takes [`IfMatch`] as an argument and hands it to the function that does the work, which asks
//! [`IfMatch::confirm`] within its transaction, after the lock.

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use serde::Serialize;
use shared::crypto::{base64url, sha256};
use utoipa::IntoParams;

use crate::error::{ApiError, Code};

/// A longer list of tags is refused.
const MAX_TAGS: usize = 20;
const TAG_BYTES: usize = 12;

/// The version of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// The tag of what can be changed about a thing.
    pub fn of(state: &impl Serialize) -> Self {
        let text = serde_json::to_vec(state).unwrap_or_default();
        let digest = sha256(&text);
        Self(base64url(digest.get(..TAG_BYTES).unwrap_or_default()))
    }

    /// The header of an answer.
    pub fn header(&self) -> (HeaderName, HeaderValue) {
        // base64url is always a header's value.
        let quoted = HeaderValue::from_str(&format!("\"{}\"", self.0));
        (ETAG, quoted.unwrap_or(HeaderValue::from_static("\"\"")))
    }

    /// Without the quotes, for a form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The version that an update is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever it is.
    #[default]
    Any,
    /// One of these.
    Tags(Vec<String>),
}

impl IfMatch {
    /// What a form says that it was made from; nothing: any.
    pub fn form(tag: Option<&str>) -> Self {
        match tag {
            Some(tag) if !tag.is_empty() => Self::Tags(vec![tag.to_owned()]),
            _ => Self::Any,
        }
    }

    /// Refuses unless the thing still is what the caller has seen.
    pub fn confirm(&self, now: &Tag) -> Result<(), ApiError> {
        match self {
            Self::Any => Ok(()),
            Self::Tags(tags) if tags.contains(&now.0) => Ok(()),
            Self::Tags(_) => Err(ApiError::new(
                Code::PreconditionFailed,
                "it was changed since you read it, and nothing was done: read it again, then decide",
            )),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut tags = Vec::new();
        for value in parts.headers.get_all(IF_MATCH) {
            let text = value.to_str().map_err(|_| malformed())?;
            for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                match part {
                    "*" => return Ok(Self::Any),
                    // A weak tag never matches here (RFC 9110 §13.1.1), and is no mistake.
                    weak if weak.starts_with("W/") => tags.push(String::new()),
                    strong => tags.push(unquoted(strong).ok_or_else(malformed)?),
                }
            }
        }
        let given = parts.headers.contains_key(IF_MATCH);
        if tags.len() > MAX_TAGS || (given && tags.is_empty()) {
            return Err(malformed());
        }
        Ok(if given { Self::Tags(tags) } else { Self::Any })
    }
}

fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.is_empty() && !inner.contains('"')).then(|| inner.to_owned())
}

fn malformed() -> ApiError {
    let detail = "send the ETag that you were given, with its quotes, or `*`";
    ApiError::new(Code::InvalidField, detail).field("If-Match")
}

/// For the document: what an update takes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatchHeader {
    /// The `ETag` that the thing had when you read it: if it has changed since, nothing is done and the answer is 412. Without
    /// the header the update is done in any case.
    #[param(
        rename = "If-Match",
        required = false,
        pattern = r#"^"[A-Za-z0-9_-]{16}"$"#,
        example = "\"kVc1x2q8nGd0tQmA\""
    )]
    #[expect(dead_code)]
    if_match: Option<String>,
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(values: &[&str]) -> Result<IfMatch, Code> {
        let mut request = Request::builder().uri("/");
        for value in values {
            request = request.header(IF_MATCH, *value);
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        IfMatch::from_request_parts(&mut parts, &())
            .await
            .map_err(|error| error.code())
    }

    #[tokio::test]
    async fn only_the_version_that_was_read_is_changed() {
        let (old, new) = (Tag::of(&"a"), Tag::of(&"b"));
        assert_ne!(old, new);
        let (_, header) = old.header();
        let text = header.to_str().expect("text");
        let one = read(&[text]).await.expect("a tag");
        assert!(one.confirm(&old).is_ok());
        let refused = one.confirm(&new).map_err(|error| error.code());
        assert_eq!(refused, Err(Code::PreconditionFailed));
        let several = read(&["\"x\"", text]).await.expect("tags");
        assert!(several.confirm(&old).is_ok() && several.confirm(&new).is_err());
        assert_eq!(read(&[]).await, Ok(IfMatch::Any));
        assert_eq!(read(&["*"]).await, Ok(IfMatch::Any));
        // Weak: well-formed, and matches nothing.
        assert!(
            read(&[&format!("W/{text}")])
                .await
                .expect("weak")
                .confirm(&old)
                .is_err()
        );
        for wrong in ["", "x", "\"", "\"\"", "\"a\"b\""] {
            assert_eq!(read(&[wrong]).await, Err(Code::InvalidField), "{wrong}");
        }
    }
}
