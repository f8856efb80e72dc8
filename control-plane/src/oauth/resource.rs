//! Resource indicators (RFC 8707): which API a token is for. There is the API as a whole, and there are parts of it to which
//! the policy gives an audience of their own, as an MCP server has.

use shared::policy::same_resource;

use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use crate::app::App;
use crate::store::clients::{Client, Origin};

/// The resource that `resource` names, spelt as the policy spells it; the API as a whole if it is absent. `None`: not ours.
pub(super) fn named(app: &App, resource: Option<&str>) -> Option<String> {
    let whole = app.config.resource.as_str();
    let Some(resource) = resource else {
        return Some(whole.to_owned());
    };
    // Tokens for `/v1`, whose audience is the issuer, administer this server: no client gets one by naming it.
    let policy = app.policy();
    let parts = policy.routes().iter().map(|route| route.audience.as_str());
    let mut known = parts.filter(|audience| !same_resource(audience, &app.config.issuer));
    if same_resource(resource, whole) {
        Some(whole.to_owned())
    } else {
        known
            .find(|audience| same_resource(resource, audience))
            .map(str::to_owned)
    }
}

/// The same for a client: the one that comes with the server administers it, and nothing else.
pub(super) fn named_by(app: &App, client: &Client, resource: Option<&str>) -> Option<String> {
    if client.origin != Origin::BuiltIn {
        return named(app, resource);
    }
    let issuer = app.config.issuer.as_str();
    resource
        .is_none_or(|resource| same_resource(resource, issuer))
        .then(|| issuer.to_owned())
}

/// A resource that is a part of the API, by the name that a person is shown; `None`: the API as a whole.
pub(super) fn part<'a>(app: &App, resource: &'a str) -> Option<&'a str> {
    (!same_resource(resource, &app.config.resource)).then_some(resource)
}

/// RFC 8707 §2.2: a token request may name the resource that was granted, and no other.
pub(super) fn confirm(form: &Form, granted: &str) -> Result<(), OAuthError> {
    match form.value("resource") {
        Some(resource) if !same_resource(resource, granted) => Err(refused()),
        _ => Ok(()),
    }
}

/// The answer to a resource that is not known, or not granted.
pub(super) fn refused() -> OAuthError {
    OAuthError::new(
        ErrorCode::InvalidTarget,
        "the resource is not one that this server knows, or not the one that was granted",
    )
}
