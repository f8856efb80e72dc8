//! What people's browsers get: redirect rules of `/authorize`, headers and cookies of the sign-in page.

use reqwest::Url;

use super::probe::{Answer, Probe};
use super::report::{Fault, Verdict};

/// Nobody has registered these.
const UNREGISTERED: &str = "https://unregistered.portcullis.example/callback";
const PLAIN_HTTP: &str = "http://unregistered.portcullis.example/callback";
/// SHA-256 of nothing: a well-formed challenge.
const CHALLENGE: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// RFC 9700 §4.11: an unregistered redirect URI gets a page, and the browser goes nowhere.
pub(super) async fn stays(
    probe: &Probe,
    authorize: &str,
    client_id: Option<&str>,
    plain_http: bool,
) -> Verdict {
    let redirect_uri = if plain_http { PLAIN_HTTP } else { UNREGISTERED };
    let mut url = Url::parse(authorize).map_err(|error| {
        Fault::new(
            format!("`{authorize}` is not a URL ({error})"),
            "give a whole URL",
        )
    })?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id.unwrap_or("portcullis-doctor"))
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", "doctor")
        .append_pair("code_challenge", CHALLENGE)
        .append_pair("code_challenge_method", "S256");
    let answer = probe.get(url.as_str()).await?;
    if let Some(location) = answer.header("location") {
        return Err(Fault::new(
            format!("answer {} leads to {}", answer.status, host_of(location)),
            "show an error page instead: whoever sends people there could take their codes",
        ));
    }
    if !(400..500).contains(&answer.status) {
        return Err(Fault::new(
            format!("answer {}", answer.status),
            "refuse a request whose redirect_uri is not registered with a page of status 400",
        ));
    }
    let with = client_id.map_or(
        "with an unknown client; --client-id tries a real one",
        |_| "with a real client",
    );
    Ok(format!("a page, no redirect ({with})"))
}

fn host_of(location: &str) -> String {
    Url::parse(location)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| location.chars().take(80).collect())
}

/// Headers without which a page can be framed, guessed at or kept.
pub(super) fn is_protected(page: &Answer, https: bool) -> Verdict {
    if page.status != 200 {
        return Err(Fault::new(
            format!("answer {}", page.status),
            "let the sign-in page answer 200",
        ));
    }
    let policy = page.header("content-security-policy").unwrap_or_default();
    let directive = |name: &str| {
        policy
            .split(';')
            .map(str::trim)
            .find(|part| part.split(' ').next() == Some(name))
    };
    if !directive("frame-ancestors")
        .is_some_and(|value| value.ends_with("'none'") || value.ends_with("'self'"))
    {
        return Err(Fault::new(
            "Content-Security-Policy has no `frame-ancestors 'none'`",
            "send it: other sites could lay the page under theirs",
        ));
    }
    let scripts = directive("script-src").or_else(|| directive("default-src"));
    if scripts.is_none_or(|value| value.contains("'unsafe-inline'") || value.contains('*')) {
        return Err(Fault::new(
            "Content-Security-Policy does not limit scripts",
            "set default-src and script-src without 'unsafe-inline': a page with passwords on it needs no other scripts",
        ));
    }
    let is = |name: &str, wanted: &str| {
        page.header(name)
            .is_some_and(|value| value.to_ascii_lowercase().contains(wanted))
    };
    for (name, wanted) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        if !is(name, wanted) {
            return Err(Fault::new(
                format!("no `{name}: {wanted}`"),
                "send it, or let the proxy in front keep it",
            ));
        }
    }
    let quiet = ["no-referrer", "same-origin", "strict-origin"];
    if !quiet.iter().any(|policy| is("referrer-policy", policy)) {
        return Err(Fault::new(
            "Referrer-Policy lets addresses out",
            "send same-origin: codes and states are in addresses",
        ));
    }
    if https && page.header("strict-transport-security").is_none() {
        return Err(Fault::new(
            "no Strict-Transport-Security",
            "let the proxy that ends TLS send `max-age=31536000`: the first request may otherwise go out as plain http",
        ));
    }
    Ok("framing, scripts, caching and referrers are limited".to_owned())
}

/// RFC 6265bis §4.1.3: the cookie that ties a sign-in form to its browser is like the session's.
pub(super) fn cookies(page: &Answer, https: bool) -> Verdict {
    let mut names = Vec::new();
    for value in page.headers.get_all("set-cookie") {
        let text = value.to_str().unwrap_or_default();
        let mut parts = text.split(';').map(str::trim);
        let name = parts
            .next()
            .and_then(|pair| pair.split('=').next())
            .unwrap_or_default();
        let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
        let has = |wanted: &str| attributes.iter().any(|attribute| attribute == wanted);
        let fault = |what: &str, why: &str| Err(Fault::new(format!("the cookie `{name}` {what}"), why));
        if !has("httponly") {
            return fault("is not HttpOnly", "set it: scripts could read it");
        }
        if !has("samesite=lax") && !has("samesite=strict") {
            return fault("has no SameSite", "set SameSite=Lax: other sites could send it");
        }
        if https && !has("secure") {
            return fault("is not Secure", "set it, and set `issuer` to the https address");
        }
        if https && !name.starts_with("__Host-") {
            return fault(
                "has no __Host- prefix",
                "set `issuer` to the https address: neighbouring hosts could set the cookie",
            );
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(Fault::new(
            "the sign-in page sets no cookie",
            "let the proxy in front pass Set-Cookie on: no form could be tied to its browser",
        ));
    }
    Ok(names.join(", "))
}
