//! The authorization server's documents: RFC 8414, OpenID Connect Discovery, RFC 9207.

use serde_json::Value;
use url::Url;

use super::report::{Fault, Verdict};
use super::transport::is_protected;

/// RFC 8414 §3.1: the well-known name goes between host and path.
pub(super) fn inserted(issuer: &str, name: &str) -> String {
    let after_scheme = issuer.find("://").map_or(0, |at| at.saturating_add(3));
    let slash = issuer.get(after_scheme..).and_then(|rest| rest.find('/'));
    let (host, path) = slash
        .and_then(|at| issuer.split_at_checked(after_scheme.saturating_add(at)))
        .unwrap_or((issuer, ""));
    format!("{host}/.well-known/{name}{}", path.trim_end_matches('/'))
}

/// OpenID Connect Discovery §4: behind the path.
pub(super) fn appended(issuer: &str, name: &str) -> String {
    format!("{}/.well-known/{name}", issuer.trim_end_matches('/'))
}

/// Whether this text can be an issuer at all.
pub(super) fn is_issuer(text: &str) -> Verdict {
    let url = is_protected(text)?;
    if text.ends_with('/') {
        return Err(Fault::new(
            format!("`{text}` ends with a slash"),
            "issuers are compared byte for byte, and half of all clients cut the slash off: set `issuer` without it",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new(
            format!("`{text}` has a query or a fragment"),
            "RFC 8414 §2 allows neither",
        ));
    }
    Ok(text.to_owned())
}

/// RFC 8414 §3.3: byte for byte what was asked about.
pub(super) fn issuer_is(document: &Value, issuer: &str) -> Verdict {
    let have = document["issuer"].as_str().unwrap_or_default();
    if have == issuer {
        return Ok(format!("issuer is `{have}`"));
    }
    let fix = if have.trim_end_matches('/') == issuer.trim_end_matches('/') {
        "they differ in a trailing slash: give `--issuer` and every client exactly what the document says"
    } else if have.is_empty() {
        "let the document have the member `issuer`"
    } else {
        "set `issuer` to the public address, and let the proxy in front pass the path on unchanged"
    };
    Err(Fault::new(format!("issuer is `{have}`, not `{issuer}`"), fix))
}

/// The addresses that every client uses.
const ADDRESSES: [&str; 3] = ["authorization_endpoint", "token_endpoint", "jwks_uri"];
/// Used if they are there.
const MORE_ADDRESSES: [&str; 6] = [
    "revocation_endpoint",
    "introspection_endpoint",
    "userinfo_endpoint",
    "registration_endpoint",
    "device_authorization_endpoint",
    "pushed_authorization_request_endpoint",
];

/// RFC 8414 §2: what must be there, and addresses that can be used.
pub(super) fn required_members(document: &Value) -> Verdict {
    for name in ADDRESSES {
        let text = document[name].as_str().unwrap_or_default();
        if text.is_empty() {
            return Err(Fault::new(format!("no `{name}`"), "RFC 8414 §2 requires it"));
        }
        is_address(name, text)?;
    }
    for name in MORE_ADDRESSES {
        if let Some(value) = document.get(name) {
            is_address(name, value.as_str().unwrap_or_default())?;
        }
    }
    lists(document, "response_types_supported", "code")?;
    lists(document, "grant_types_supported", "authorization_code")?;
    lists(document, "grant_types_supported", "refresh_token")?;
    lists(document, "code_challenge_methods_supported", "S256")?;
    if document["authorization_response_iss_parameter_supported"] != Value::Bool(true) {
        return Err(Fault::new(
            "no `authorization_response_iss_parameter_supported: true`",
            "send `iss` in every answer of /authorize (RFC 9207) and say so",
        ));
    }
    Ok("every member that clients need".to_owned())
}

/// OpenID Connect Discovery §3 asks for more.
pub(super) fn openid_members(document: &Value) -> Verdict {
    required_members(document)?;
    lists(document, "subject_types_supported", "public")?;
    lists(document, "id_token_signing_alg_values_supported", "RS256")?;
    if is_listed(document, "id_token_signing_alg_values_supported", "none") {
        return Err(Fault::new(
            "id_tokens without a signature (`none`)",
            "remove it: anybody could write one",
        ));
    }
    Ok("every member that clients need".to_owned())
}

/// Two documents of one server say the same about what both mention.
pub(super) fn agree(first: &Value, second: &Value) -> Verdict {
    let empty = serde_json::Map::new();
    let members = first.as_object().unwrap_or(&empty);
    let differing = members
        .iter()
        .find(|(name, value)| second.get(*name).is_some_and(|other| other != *value));
    match differing {
        None => Ok("both documents say the same".to_owned()),
        Some((name, _)) => Err(Fault::new(
            format!("the two documents differ in `{name}`"),
            "see that both addresses lead to the same server and no cache holds an old one",
        )),
    }
}

/// Whether a list has this text.
pub(super) fn is_listed(document: &Value, name: &str, wanted: &str) -> bool {
    document[name]
        .as_array()
        .is_some_and(|list| list.iter().any(|value| value == wanted))
}

/// The same, as a check.
pub(super) fn lists(document: &Value, name: &str, wanted: &str) -> Result<(), Fault> {
    if is_listed(document, name, wanted) {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{name}` does not list `{wanted}`"),
        "support it and list it: clients do not try what is not listed",
    ))
}

fn is_address(name: &str, text: &str) -> Result<Url, Fault> {
    let url =
        is_protected(text).map_err(|fault| Fault::new(format!("{name}: {}", fault.found), fault.fix))?;
    if url.fragment().is_some() {
        return Err(Fault::new(
            format!("{name}: `{text}` has a fragment"),
            "RFC 6749 §3 allows none",
        ));
    }
    Ok(url)
}
