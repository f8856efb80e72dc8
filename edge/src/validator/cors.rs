//! Cross-origin requests: what a browser is told, decided by policy alone.
//!
//! A preflight never needs a credential, is never sent to the origin server, and never reflects an origin that the route
//! does not list (Fetch standard, "CORS protocol").

use shared::path;
use shared::policy::{CompiledPolicy, CompiledRoute};

/// What a preflight asks.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'a> {
    /// The path, as sent, without the query.
    pub path: &'a str,
    /// The Origin header.
    pub origin: &'a str,
    /// The Access-Control-Request-Method header.
    pub method: &'a str,
}

/// What `Access-Control-Allow-Origin` may say for a route, if anything.
pub fn allowed_origin<'a>(route: &CompiledRoute, origin: &'a str) -> Option<&'a str> {
    let listed = &route.route.browser_origins;
    if listed.iter().any(|known| known == origin) {
        Some(origin)
    } else if listed.iter().any(|known| known == "*") {
        Some("*")
    } else {
        None
    }
}

/// The route that a preflight is about, with the origin to allow; `None`: answer without any CORS header.
pub fn preflight<'p, 'a>(
    policy: &'p CompiledPolicy,
    request: &Preflight<'a>,
) -> Option<(&'p CompiledRoute, &'a str)> {
    let path = path::canonical(request.path).ok()?;
    let (route, _) = policy.route(request.method, &path)?;
    allowed_origin(route, request.origin).map(|origin| (route, origin))
}
