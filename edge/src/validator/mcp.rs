//! From the headers `Mcp-Method` and `Mcp-Name` to the scopes that an operation needs (MCP, revision 2026-07-28).
//!
//! What it does not do: read the body. The origin compares; here it only counts that nobody can write a name in a way that
//! the origin reads and the policy does not, so every value has one reading or is refused.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use shared::policy::CompiledRoute;
use shared::policy::mcp::{McpOperation, is_method, is_name, is_named};
use shared::scope::ScopeSet;
use shared::verdict::Reason;

use super::RequestFacts;

/// The first revision in which servers compare headers and body.
const REVISION: &str = "2026-07-28";
/// A longer name is no tool's. Names of resources are URLs.
const MAX_NAME: usize = 2048;

/// What the request's operation needs beside the route's scopes; nothing on a route without rules per operation.
pub(super) fn needed(route: &CompiledRoute, facts: &RequestFacts<'_>) -> Result<ScopeSet, Reason> {
    let Some(policy) = &route.mcp else {
        return Ok(ScopeSet::EMPTY);
    };
    // Messages are bodies of POST requests. Older revisions open a stream with GET and end a session with DELETE.
    if matches!(facts.method, "GET" | "HEAD" | "DELETE") {
        return Ok(ScopeSet::EMPTY);
    }
    // A server that speaks older revisions, too, compares only where the message is of this one.
    if !is_compared(facts.mcp_version) {
        return policy.needed_by_legacy().ok_or(Reason::McpHeadersMissing);
    }
    match (facts.mcp_method, facts.mcp_name) {
        (None, None) => policy.needed_by_legacy().ok_or(Reason::McpHeadersMissing),
        (Some(method), name) => {
            let name = name.map(decoded).transpose()?;
            // Sent twice, a header arrives joined by a comma, which no method has.
            if !is_method(method) || name.is_none() && is_named(method) {
                return Err(Reason::McpHeadersMalformed);
            }
            let name = name.as_deref();
            if name.is_some_and(|name| !is_name(method, name)) {
                return Err(Reason::McpHeadersMalformed);
            }
            Ok(policy.needed(&McpOperation { method, name }))
        }
        (None, Some(_)) => Err(Reason::McpHeadersMalformed),
    }
}

/// Whether a version is a date, and of this revision or later.
fn is_compared(version: Option<&str>) -> bool {
    let form = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    version.is_some_and(|text| {
        text.len() == REVISION.len() && text.bytes().enumerate().all(form) && text >= REVISION
    })
}

/// The name in a header's value: as it stands, or within `=?base64?…?=`. What only looks like the latter is refused, and so is
/// what may be two values.
fn decoded(value: &str) -> Result<Cow<'_, str>, Reason> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~');
    let twice = value.contains(", ") || value.ends_with(',');
    if value.is_empty() || value.len() > MAX_NAME || twice || !value.bytes().all(plain) {
        return Err(Reason::McpHeadersMalformed);
    }
    if !value.starts_with("=?") {
        return Ok(Cow::Borrowed(value));
    }
    let inner = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    inner
        .and_then(|text| STANDARD.decode(text).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|name| !name.is_empty())
        .map(Cow::Owned)
        .ok_or(Reason::McpHeadersMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_reading_or_none() {
        for (value, expected) in [
            ("delete_memory", Some("delete_memory")),
            ("=?base64?ZGVsZXRlX21lbW9yeQ==?=", Some("delete_memory")),
            ("=?base64?4piD?=", Some("☃")),
            ("file:///a,b", Some("file:///a,b")),
            ("ZGVsZXRl", Some("ZGVsZXRl")),
            ("", None),
            ("a, b", None),
            ("a,", None),
            ("a\tb", None),
            ("☃", None),
            ("=?base64?ZGVsZXRlX21lbW9yeQ?=", None),
            ("=?base64?ZGVsZXRl!!?=", None),
            ("=?BASE64?ZGVsZXRl?=", None),
            ("=?base64?ZGVsZXRl", None),
            ("=?base64?/w==?=", None),
            ("=?base64??=", None),
            ("=?utf-8?q?a?=", None),
        ] {
            assert_eq!(decoded(value).ok().as_deref(), expected, "{value:?}");
        }
        assert!(decoded(&"a".repeat(MAX_NAME)).is_ok() && decoded(&"a".repeat(MAX_NAME + 1)).is_err());
    }
}
