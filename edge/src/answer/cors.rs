//! CORS as headers; the rules are the validator's. An origin that the route does not list is never reflected, and
//! credentials mode is never offered: the credential is a header that the page's own code sets, not a cookie.

use shared::policy::CompiledRoute;

use crate::validator::cors::allowed_origin;

/// What pages may read beyond the plain headers.
const EXPOSED: &str =
    "WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Mcp-Session-Id";
const MAX_AGE_SECONDS: &str = "600";
/// What the answer to a preflight depends on.
pub const PREFLIGHT_VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// Whether the policy, and not the origin, answers CORS on this route.
pub fn is_ours(route: &CompiledRoute) -> bool {
    !route.route.public || !route.route.browser_origins.is_empty()
}

/// The headers that let the page at `origin` read an answer of this route; none if it is not listed.
pub fn answer_headers(route: Option<&CompiledRoute>, origin: Option<&str>, mut push: impl FnMut(&str, &str)) {
    if let Some(allowed) = route
        .zip(origin)
        .and_then(|(route, origin)| allowed_origin(route, origin))
    {
        push("access-control-allow-origin", allowed);
        push("access-control-expose-headers", EXPOSED);
    }
}

/// Allows the headers that the page asks for, except those that only the gate may set.
pub fn grant_headers(asked: Option<&str>, mut push: impl FnMut(&str, &str)) {
    let asked = asked.unwrap_or_default().split(',').map(str::trim);
    let granted: Vec<&str> = asked
        .filter(|name| is_token(name) && !is_identity_header(name))
        .take(64)
        .collect();
    if !granted.is_empty() {
        push("access-control-allow-headers", &granted.join(", "));
    }
    push("access-control-max-age", MAX_AGE_SECONDS);
}

fn is_identity_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.strip_prefix("x-")
        .unwrap_or(&name)
        .starts_with("portcullis-")
}

/// RFC 9110 §5.6.2.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
