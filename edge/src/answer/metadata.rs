//! Protected resource metadata ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)): where to get a token for this API.

use serde_json::{Value, json};
use shared::path;
use shared::policy::{CompiledPolicy, same_resource};

/// The well-known address without a suffix (§3).
pub const PATH: &str = "/.well-known/oauth-protected-resource";

/// The address of the document about a resource, for the challenge to a request for `path` at a gate of the resource `own`.
///
/// That of the resource itself where it is ours; another server's may have none, so this gate has it under the path.
pub fn url_for(resource: &str, path: &str, own: &str) -> String {
    let ((host, suffix), (own, _)) = (split(resource), split(own));
    match path::canonical(path) {
        Ok(path) if host != own => format!("{own}{PATH}{}", path.trim_end_matches('/')),
        _ => format!("{host}{PATH}{suffix}"),
    }
}

/// Host and path of a resource identifier: the well-known path goes between them (§3.1).
pub fn split(resource: &str) -> (&str, &str) {
    let after_scheme = resource.find("://").map_or(0, |at| at.saturating_add(3));
    let slash = resource.get(after_scheme..).and_then(|rest| rest.find('/'));
    let (host, path) = slash
        .and_then(|at| resource.split_at_checked(after_scheme.saturating_add(at)))
        .unwrap_or((resource, ""));
    (host, path.trim_end_matches('/'))
}

/// Which resource the document at a well-known path is about.
pub fn resource_at<'a>(suffix: &str, policy: Option<&'a CompiledPolicy>, gate: &'a str) -> &'a str {
    let Some((policy, path)) = policy.zip(path::canonical(suffix).ok()) else {
        return gate;
    };
    let (own, _) = split(gate);
    // A resource has the document at its own address (§3.3); what is below is that of the route.
    let mut audiences = policy.routes().iter().map(|route| route.audience.as_str());
    let exact = audiences.find(|audience| split(audience) == (own, path.trim_end_matches('/')));
    let routed = || policy.guarded_route(&path).map(|route| route.audience.as_str());
    exact
        .or_else(routed)
        .filter(|audience| !same_resource(audience, gate))
        .unwrap_or(gate)
}

/// The document about a resource. The scopes are listed when the policy is known.
pub fn document(resource: &str, policy: Option<&CompiledPolicy>, issuer: &str) -> Value {
    let mut document = json!({
        "resource": resource,
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": shared::dpop::ALGORITHMS,
    });
    if let (Some(policy), Some(members)) = (policy, document.as_object_mut()) {
        // Never `offline_access`, should the catalogue have it: that is between client and authorization server (MCP).
        let mut scopes = policy.catalogue().names(policy.scopes_of(resource));
        scopes.retain(|scope| *scope != "offline_access");
        members.insert("scopes_supported".into(), scopes.into());
    }
    document
}
