//! From a request to what the core looks at in it.

use edge::library::Question;
use edge::validator::Credential;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Version};
use shared::verdict::Reason;

use crate::random;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer name would fill logs.
const MAX_REQUEST_ID: usize = 128;

/// All values of a header, joined with commas as the Fetch standard does: a second one is never overlooked. What is not
/// UTF-8 stays visible as something that no credential, origin or number contains.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut joined = String::from_utf8_lossy(first.as_bytes()).into_owned();
    for value in values {
        joined.push_str(", ");
        joined.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    Some(joined)
}

/// The caller's name for the request if it is harmless, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let sent = header(headers, REQUEST_ID.as_str());
    let is_harmless = |id: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(plain)
    };
    sent.filter(is_harmless).unwrap_or_else(random::request_id)
}

/// `host[:port]` that the caller addressed.
pub(crate) fn authority(parts: &Parts) -> String {
    let in_target = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().to_owned());
    in_target
        .or_else(|| header(&parts.headers, HOST.as_str()))
        .unwrap_or_default()
}

/// Whether a request says once which host it is for, or is too old to say it (RFC 9112 §3.2: 400 else). Of two, a server behind this
/// one might go by the other.
pub(crate) fn has_one_host(parts: &Parts) -> bool {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let text = host.to_str().unwrap_or(",");
            text.is_empty() || (text.parse::<Authority>().is_ok() && !text.contains('@'))
        }
        (None, _) => parts.version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// Whether content follows (RFC 9112 §6.3).
pub(crate) fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || header(headers, CONTENT_LENGTH.as_str()).is_some_and(|length| length != "0")
}

/// Whether there is something that could be a credential of ours. Another scheme is the origin's business.
pub(crate) fn has_credential(authorization: Option<&str>) -> bool {
    Credential::from_authorization(authorization) != Err(Reason::CredentialMissing)
}

/// The headers that a decision looks at, whichever request it is about.
fn of_headers(headers: &HeaderMap) -> Question {
    Question {
        authorization: header(headers, "authorization"),
        origin: header(headers, "origin"),
        proof: header(headers, "dpop"),
        mcp_method: header(headers, "mcp-method"),
        mcp_name: header(headers, "mcp-name"),
        mcp_version: header(headers, "mcp-protocol-version"),
        min_seq: header(headers, "portcullis-min-seq"),
        upgrade: header(headers, "upgrade"),
        request_id: request_id(headers),
        ..Question::default()
    }
}

/// The question about a request itself.
pub(crate) fn about(parts: &Parts) -> Question {
    let headers = &parts.headers;
    Question {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        authority: authority(parts),
        preflight_method: header(headers, "access-control-request-method"),
        preflight_headers: header(headers, "access-control-request-headers"),
        has_body: has_body(headers),
        ..of_headers(headers)
    }
}

/// The question about another request, which another server asks. It is no preflight: an answer to one would be taken for leave.
pub(crate) fn about_another(parts: &Parts, method: &str, path: &str) -> Question {
    let forwarded = header(&parts.headers, "x-forwarded-host");
    Question {
        method: method.to_owned(),
        path: path.to_owned(),
        authority: forwarded.unwrap_or_else(|| authority(parts)),
        ..of_headers(&parts.headers)
    }
}
