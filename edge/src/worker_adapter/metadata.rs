//! Protected resource metadata ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)): where to get a token for this API.
//!
//! Served at the root well-known address and with a path suffix (§3.1), to any page. Needs no credential and no state;
//! the scopes are listed when the policy is known. With the path of a route that has an audience of its own it describes
//! that resource, with any other path the API as a whole.

use serde_json::json;
use shared::path;
use shared::policy::{CompiledPolicy, same_resource};
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

/// The address of the document about a resource, for the challenge to a request for `path`.
///
/// That of the resource itself where it is ours; another server's may have none, so this gate has it under the path.
pub(super) fn url_for(resource: &str, path: &str, config: &EdgeConfig) -> String {
    let ((host, suffix), (own, _)) = (split(resource), split(&config.resource));
    match path::canonical(path) {
        Ok(path) if host != own => format!("{own}{PATH}{}", path.trim_end_matches('/')),
        _ => format!("{host}{PATH}{suffix}"),
    }
}

/// Host and path of a resource identifier: the well-known path goes between them (§3.1).
fn split(resource: &str) -> (&str, &str) {
    let after_scheme = resource.find("://").map_or(0, |at| at.saturating_add(3));
    let slash = resource.get(after_scheme..).and_then(|rest| rest.find('/'));
    let (host, path) = slash
        .and_then(|at| resource.split_at_checked(after_scheme.saturating_add(at)))
        .unwrap_or((resource, ""));
    (host, path.trim_end_matches('/'))
}

/// Which resource the document at a well-known path is about.
fn resource_at<'a>(suffix: &str, policy: Option<&'a CompiledPolicy>, config: &'a EdgeConfig) -> &'a str {
    let Some((policy, path)) = policy.zip(path::canonical(suffix).ok()) else {
        return &config.resource;
    };
    let (own, _) = split(&config.resource);
    // A resource has the document at its own address (§3.3); what is below is that of the route.
    let mut audiences = policy.routes().iter().map(|route| route.audience.as_str());
    let exact = audiences.find(|audience| split(audience) == (own, path.trim_end_matches('/')));
    let routed = || policy.guarded_route(&path).map(|route| route.audience.as_str());
    exact
        .or_else(routed)
        .filter(|audience| !same_resource(audience, &config.resource))
        .unwrap_or(&config.resource)
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
    let resource = resource_at(suffix, policy, config);
    let mut document = json!({
        "resource": resource,
        "authorization_servers": [config.deployment.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": shared::dpop::ALGORITHMS,
    });
    if let (Some(policy), Some(members)) = (policy, document.as_object_mut()) {
        // Never `offline_access`, should the catalogue have it: that is between client and authorization server (MCP).
        let mut scopes = policy.catalogue().names(policy.scopes_of(resource));
        scopes.retain(|scope| *scope != "offline_access");
        members.insert("scopes_supported".into(), scopes.into());
    }
    let mut headers = cors::open_headers();
    headers.push("cache-control", "public, max-age=300");
    response::json_answer(response::OK, &document, &incoming.request_id, headers)
}
