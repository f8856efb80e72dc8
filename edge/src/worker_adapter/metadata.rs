//! Protected resource metadata ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)): where to get a token for this API.
//!
//! Served at the root well-known address and with a path suffix (§3.1), to any page. Needs no credential and no state;
//! the scopes are listed when the policy is known. With the path of a route that has an audience of its own it describes
//! that resource, with any other path the API as a whole.

use shared::policy::CompiledPolicy;
use wasm_bindgen::JsValue;

use super::config::EdgeConfig;
use super::http::Incoming;
use super::{cors, response};
use crate::answer::metadata as about;

/// The well-known address without a suffix.
pub(super) const PATH: &str = about::PATH;

/// Whether a path as sent asks for the metadata.
pub(super) fn is_here(path: &str) -> bool {
    path.strip_prefix(PATH)
        .is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('/'))
}

/// The address of the document about a resource, for the challenge to a request for `path`.
pub(super) fn url_for(resource: &str, path: &str, config: &EdgeConfig) -> String {
    about::url_for(resource, path, &config.resource)
}

/// The document.
pub(super) fn answer(
    config: &EdgeConfig,
    policy: Option<&CompiledPolicy>,
    incoming: &Incoming,
) -> Result<web_sys::Response, JsValue> {
    match incoming.method.as_str() {
        "GET" | "HEAD" => {}
        "OPTIONS" => return cors::open_preflight(incoming),
        _ => {
            return response::refuse(
                response::METHOD_NOT_ALLOWED,
                &incoming.request_id,
                cors::open_headers(),
            );
        }
    }
    let suffix = incoming.path.strip_prefix(PATH).unwrap_or_default();
    let resource = about::resource_at(suffix, policy, &config.resource);
    let document = about::document(resource, policy, &config.deployment.issuer);
    let mut headers = cors::open_headers();
    headers.push("cache-control", "public, max-age=300");
    response::json_answer(response::OK, &document, &incoming.request_id, headers)
}
