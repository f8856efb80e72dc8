//! Protected resource metadata ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)): where to get a token for this API.
//!
//! Served at the root well-known address and with a path suffix (§3.1), to any page. Needs no credential and no state;
//! the scopes are listed when the policy is known.

use serde_json::json;
use shared::policy::CompiledPolicy;
use wasm_bindgen::JsValue;

use super::config::EdgeConfig;
use super::http::Incoming;
use super::{cors, response};

/// The well-known address without a suffix.
pub(super) const PATH: &str = "/.well-known/oauth-protected-resource";

/// Whether a path as sent asks for the metadata.
pub(super) fn is_here(path: &str) -> bool {
    path.strip_prefix(PATH)
        .is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('/'))
}

/// The address that challenges name: the well-known path between the resource's host and path (§3.1).
pub(super) fn url(resource: &str) -> String {
    let after_scheme = resource.find("://").map_or(0, |at| at.saturating_add(3));
    let slash = resource.get(after_scheme..).and_then(|rest| rest.find('/'));
    let (host, path) = slash
        .and_then(|at| resource.split_at_checked(after_scheme.saturating_add(at)))
        .unwrap_or((resource, ""));
    format!("{host}{PATH}{}", path.trim_end_matches('/'))
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
    let mut document = json!({
        "resource": config.resource,
        "authorization_servers": [config.deployment.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": shared::dpop::ALGORITHMS,
    });
    if let (Some(policy), Some(members)) = (policy, document.as_object_mut()) {
        members.insert("scopes_supported".into(), policy.catalogue().all().into());
    }
    let mut headers = cors::open_headers();
    headers.push("cache-control", "public, max-age=300");
    response::json_answer(response::OK, &document, &incoming.request_id, headers)
}
