//! What becomes of headers on their way through: the same rules as in the Worker (`worker_adapter/http.js`).
//!
//! Names compare in lower case, as `http` keeps them.

use http::header::{CACHE_CONTROL, CONNECTION, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::question::header;

/// Connection-specific (RFC 9110 §7.6.1), and credentials for proxies, which end here.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Some frameworks let these replace the method or path that was judged.
pub(crate) const OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-url",
    "x-forwarded-method",
    "x-forwarded-uri",
];
/// What was judged, and what origins and proxies go by. No other spelling of it passes.
const TRUSTED: &[&str] = &[
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "authorization",
    "content-type",
    "dpop",
    "forwarded",
    "x-request-id",
    "x-real-ip",
];
/// The same by their beginning.
const TRUSTED_FAMILIES: &[&str] = &["x-forwarded-", "cf-"];
/// Where a request came from, as proxies and networks in front say it, beside `X-Forwarded-…`.
const CLAIMS_OF_ORIGIN: &[&str] = &[
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-host",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "fastly-client-ip",
];
/// Whatever `Connection` says, these belong to the request and not to the hop.
const END_TO_END: &[&str] = &["content-length", "cookie", "host", "origin"];
const SHARED_CACHES: &[&str] = &[
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "surrogate-control",
];
/// The credential, and the proof that is a part of it.
pub(crate) const CREDENTIALS: &[&str] = &["authorization", "dpop"];

/// Whether only a gate may set this header: `Portcullis…` and `X-Portcullis…`. Many origins read `_`, and some any sign, as `-`.
pub(crate) fn is_ours(name: &str) -> bool {
    let is_word = |text: &str| {
        text.strip_prefix("portcullis")
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    let after_x = name.strip_prefix('x').map(|rest| {
        let bare = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        (bare.len() < rest.len(), bare)
    });
    is_word(name) || after_x.is_some_and(|(signs, bare)| signs && is_word(bare))
}

/// A name as a lenient origin reads it: each run of signs as one `-`.
fn as_read(name: &str) -> String {
    let mut read = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            read.push(c);
        } else if !read.ends_with('-') {
            read.push('-');
        }
    }
    read
}

fn is_trusted(name: &str) -> bool {
    let of_family = |family: &&str| name.len() > family.len() && name.starts_with(*family);
    TRUSTED.contains(&name) || TRUSTED_FAMILIES.iter().any(of_family)
}

/// Headers that an origin could read as another request than the one that was judged, in any spelling.
fn is_disguised(name: &str) -> bool {
    let read = as_read(name);
    OVERRIDES.contains(&read.as_str()) || (read != name && is_trusted(&read))
}

/// Whether a header of a request must not reach whoever handles it.
pub(crate) fn is_dropped(name: &str) -> bool {
    is_ours(name) || is_disguised(name)
}

/// What must not go further with a request within this process.
pub(crate) fn strip_claims(headers: &mut HeaderMap) {
    remove_where(headers, is_dropped);
}

/// What an answer may not say within this process: only a gate says it.
pub(crate) fn strip_claims_of_answer(headers: &mut HeaderMap) {
    remove_where(headers, is_ours);
}

/// What must not go on with a request to another server: beside that, what only the hop before it may say of where a request came
/// from. A caller writes it as easily, so an origin hears it from the gate, or not at all.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    strip_hop(headers);
    remove_where(headers, |name| is_dropped(name) || is_claim_of_origin(name));
}

/// Whether a header says where a request came from. `X-Forwarded-For` is continued, and not replaced.
fn is_claim_of_origin(name: &str) -> bool {
    let read = as_read(name);
    read != "x-forwarded-for"
        && (CLAIMS_OF_ORIGIN.contains(&read.as_str()) || read.starts_with("x-forwarded-"))
}

/// All spellings of a name in which some servers read it as the same: each hyphen as it is, or as an underscore. The first is the
/// name itself.
pub(crate) fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for c in name.chars() {
        let before = all.len();
        if c == '-' {
            all.extend_from_within(..);
        }
        for (number, spelling) in all.iter_mut().enumerate() {
            spelling.push(if number < before { c } else { '_' });
        }
    }
    all
}

/// What must not go back with an answer.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip_hop(headers);
    remove_where(headers, is_ours);
}

fn strip_hop(headers: &mut HeaderMap) {
    if let Some(named) = header(headers, CONNECTION.as_str()) {
        for name in named.split(',').map(|token| token.trim().to_ascii_lowercase()) {
            // Or whoever sends a request could take away what it was judged by.
            let stays = is_trusted(&name) || END_TO_END.contains(&name.as_str()) || name.starts_with("mcp-");
            if !stays {
                headers.remove(name.as_str());
            }
        }
    }
    remove_where(headers, |name| HOP_BY_HOP.contains(&name));
}

fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| goes(name.as_str()))
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Takes the credential away that the gate consumed.
pub(crate) fn remove_credentials(headers: &mut HeaderMap) {
    for name in CREDENTIALS {
        headers.remove(*name);
    }
}

/// What an answer of whoever is behind the gate may say to caches and to pages.
pub(crate) fn finish(headers: &mut HeaderMap, is_public: bool, own_cors: bool) {
    if own_cors {
        remove_where(headers, |name| name.starts_with("access-control-"));
    }
    if !is_public {
        cache_privately(headers);
        vary(headers, &["Authorization", "Origin"]);
    } else if own_cors {
        vary(headers, &["Origin"]);
    }
}

/// `private`, unless what the origin says is as strict already (RFC 9111 §5.2.2).
fn cache_privately(headers: &mut HeaderMap) {
    for name in SHARED_CACHES {
        headers.remove(*name);
    }
    let said = header(headers, CACHE_CONTROL.as_str()).unwrap_or_default();
    let directives: Vec<&str> = listed(&said).collect();
    let has = |wanted: &str| directives.iter().any(|part| part.eq_ignore_ascii_case(wanted));
    if has("no-store") || has("private") {
        return;
    }
    let opens = |part: &str| {
        let name = part
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .next();
        ["public", "private", "s-maxage"]
            .iter()
            .any(|known| name.is_some_and(|name| name.eq_ignore_ascii_case(known)))
    };
    let kept = directives.into_iter().filter(|part| !opens(part));
    let text: Vec<&str> = std::iter::once("private").chain(kept).collect();
    insert(headers, CACHE_CONTROL, &text.join(", "));
}

fn vary(headers: &mut HeaderMap, names: &[&str]) {
    let said = header(headers, VARY.as_str()).unwrap_or_default();
    let present: Vec<&str> = listed(&said).collect();
    if present.contains(&"*") {
        return;
    }
    let missing = names
        .iter()
        .filter(|name| !present.iter().any(|known| known.eq_ignore_ascii_case(name)));
    let all: Vec<&str> = present.iter().chain(missing).copied().collect();
    insert(headers, VARY, &all.join(", "));
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Sets a header. What no header may hold is left out.
pub(crate) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
