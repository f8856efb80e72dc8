//! The request that another server asks about: who has it judged (nginx `auth_request`, Traefik `forwardAuth`, Caddy
//! `forward_auth`) names it in headers.
//!
//! What it does: says which method and raw path that is, where the headers agree. What it does not: bring the path into its
//! canonical form; that is the validator's first step, for these requests as for others.

/// Method and raw path of the request that is asked about, each named by one header or by two; `None` if they are missing,
/// disagree, or are no path.
pub fn named<'a>(
    methods: (Option<&'a str>, Option<&'a str>),
    uris: (Option<&'a str>, Option<&'a str>),
) -> Option<(&'a str, &'a str)> {
    let (method, uri) = (agreed(methods)?, agreed(uris)?);
    // Sent twice, a header arrives joined by a comma: no method has one, and for a URI the origin's view could differ.
    let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    // A fragment is never sent by a client (RFC 9110 §7.1); a server that knows none would read it as part of the path.
    let is_plain = !uri.contains('#') && !uri.contains(", /");
    let path = uri.split('?').next().unwrap_or_default();
    (is_method && is_plain && path.starts_with('/')).then_some((method, path))
}

fn agreed<'a>(pair: (Option<&'a str>, Option<&'a str>)) -> Option<&'a str> {
    match pair {
        (Some(first), Some(second)) => (first == second).then_some(first),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_of_headers_or_two_that_agree() {
        let path = "/v1/memory/x?q=1";
        let judged = Some(("GET", "/v1/memory/x"));
        assert_eq!(named((Some("GET"), None), (Some(path), None)), judged);
        assert_eq!(named((None, Some("GET")), (None, Some(path))), judged);
        assert_eq!(
            named((Some("GET"), Some("GET")), (Some(path), Some(path))),
            judged
        );
        for (methods, uris) in [
            ((None, None), (Some(path), None)),
            ((Some("GET"), None), (None, None)),
            ((Some("GET"), Some("POST")), (Some(path), None)),
            ((Some("GET"), None), (Some(path), Some("/v1/memory/y"))),
            // Sent twice.
            ((Some("GET, GET"), None), (Some(path), None)),
            ((Some("GET"), None), (Some("/public/x, /admin/x"), None)),
            ((Some("get"), None), (Some(path), None)),
            ((Some(""), None), (Some(path), None)),
            ((Some("GET"), None), (Some("public/x"), None)),
            ((Some("GET"), None), (Some("http://host/public/x"), None)),
            ((Some("GET"), None), (Some("/public#/../admin/x"), None)),
        ] {
            assert_eq!(named(methods, uris), None, "{methods:?} {uris:?}");
        }
    }
}
