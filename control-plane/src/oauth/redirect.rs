//! Redirect URIs: which may be registered, which request matches, and the answer that goes there.
//!
//! Matching is a comparison of texts (RFC 9700 §2.1), with one exception: a loopback address may come with any port, because
//! a program on somebody's machine takes the one that is free (RFC 8252 §7.3). Nothing is ever normalised.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use url::{Host, Url};

const MAX_LENGTH: usize = 1024;

/// Why a redirect URI cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// Not an absolute URI, or not written as a URL parser would write its start.
    #[error("a redirect URI is an absolute URI in full, such as https://app.example.com/callback")]
    Malformed,
    /// RFC 6749 §3.1.2.
    #[error("a redirect URI has no fragment")]
    Fragment,
    /// `https://user@host`.
    #[error("a redirect URI has no user name or password")]
    UserInfo,
    /// Plain http to another machine.
    #[error("http redirect URIs are for loopback addresses only: use https")]
    NotHttps,
    /// RFC 8252 §7.1: `com.example.app:/callback`.
    #[error("an app's own scheme is a domain name in reverse, such as com.example.app:/callback")]
    Scheme,
}

/// Whether a redirect URI may be registered.
pub fn check(text: &str) -> Result<(), RedirectUriError> {
    if text.len() > MAX_LENGTH
        || !text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
        || text.contains('*')
    {
        return Err(RedirectUriError::Malformed);
    }
    let url = Url::parse(text).map_err(|_| RedirectUriError::Malformed)?;
    if url.fragment().is_some() {
        return Err(RedirectUriError::Fragment);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RedirectUriError::UserInfo);
    }
    match url.scheme() {
        "https" if url.host().is_some() => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(RedirectUriError::NotHttps),
        scheme if scheme.contains('.') && text.starts_with(scheme) => {}
        _ => return Err(RedirectUriError::Scheme),
    }
    // `https:host` and the like: what a browser repairs must not be what we compare.
    if matches!(url.scheme(), "http" | "https") && !text.starts_with(&format!("{}://", url.scheme())) {
        return Err(RedirectUriError::Malformed);
    }
    Ok(())
}

/// Whether a requested URI is a registered one.
pub fn matches(registered: &str, requested: &str) -> bool {
    registered == requested
        || loopback_without_port(registered)
            .zip(loopback_without_port(requested))
            .is_some_and(|(ours, theirs)| ours == theirs)
}

/// `http://127.0.0.1:1234/cb` as `(127.0.0.1, /cb)`; `None` unless it is plain http to a loopback host.
fn loopback_without_port(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let host = ["127.0.0.1", "[::1]", "localhost"]
        .into_iter()
        .find(|host| authority.starts_with(host))?;
    let port = authority.strip_prefix(host)?;
    let valid = match port.strip_prefix(':') {
        Some(digits) => digits.parse::<u16>().is_ok() && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    valid.then_some((host, path))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Where a person is sent, in words: a host name, or that it is an app on their own machine.
pub(super) fn place(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if is_loopback(&url) => "an app on this computer".to_owned(),
        // The host of any other scheme is whatever its author liked to write there.
        Ok(url) => match url.host_str().filter(|_| url.scheme() == "https") {
            Some(host) => host.to_owned(),
            None => format!("the app {}", url.scheme()),
        },
        Err(_) => String::new(),
    }
}

/// Whether only its owner can receive what is sent there: any program can listen on a loopback port or claim a scheme
/// (RFC 8252 §8.6).
pub(super) fn is_assured(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| url.scheme() == "https" && !is_loopback(&url))
}

/// A URI with these parameters in its query.
pub(super) fn with_parameters(uri: &str, parameters: &[(&str, &str)]) -> String {
    if parameters.is_empty() {
        return uri.to_owned();
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{}", query.finish())
}

/// 303 to a redirect URI with these parameters in its query.
pub(super) fn answer(uri: &str, parameters: &[(&str, &str)]) -> Response {
    see_other(&with_parameters(uri, parameters))
}

/// 303 to a client's own address. Never 307: that would repeat a form (RFC 9700 §4.12).
pub(super) fn see_other(uri: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(uri) {
        headers.insert(header::LOCATION, value);
    }
    crate::pages::protect(headers);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_registered() {
        for good in [
            "https://app.example.com/cb",
            "https://app.example.com",
            "https://app.example.com/cb?x=1",
            "http://127.0.0.1/cb",
            "http://[::1]:8080/cb",
            "http://localhost:3000/",
            "com.example.app:/oauth",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (wrong, error) in [
            ("/cb", RedirectUriError::Malformed),
            ("https:app.example.com", RedirectUriError::Malformed),
            ("https://app.example.com/*", RedirectUriError::Malformed),
            ("https://app.example.com/ä", RedirectUriError::Malformed),
            ("https://app.example.com/cb#x", RedirectUriError::Fragment),
            ("https://me@app.example.com/cb", RedirectUriError::UserInfo),
            ("http://app.example.com/cb", RedirectUriError::NotHttps),
            ("http://127.0.0.1.example.com/cb", RedirectUriError::NotHttps),
            ("javascript:alert(1)", RedirectUriError::Scheme),
            ("data:text/html,x", RedirectUriError::Scheme),
            ("myapp:/cb", RedirectUriError::Scheme),
        ] {
            assert_eq!(check(wrong), Err(error), "{wrong}");
        }
    }

    #[test]
    fn texts_are_compared_and_only_a_loopback_port_varies() {
        let https = "https://app.example.com/cb";
        assert!(matches(https, https));
        for wrong in [
            "https://app.example.com/cb/",
            "https://app.example.com/CB",
            "https://APP.example.com/cb",
            "https://app.example.com:443/cb",
            "https://app.example.com/cb?x=1",
            "https://app.example.com/cb%2f",
            "https://app.example.com.evil.example/cb",
            "http://app.example.com/cb",
        ] {
            assert!(!matches(https, wrong), "{wrong}");
        }
        assert!(matches("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"));
        assert!(matches("http://localhost:3000/cb", "http://localhost:3001/cb"));
        assert!(matches("http://[::1]/cb", "http://[::1]:9/cb"));
        for wrong in [
            "http://127.0.0.1:51004/other",
            "http://localhost:51004/cb",
            "https://127.0.0.1:51004/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:1@evil.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:+1/cb",
        ] {
            assert!(!matches("http://127.0.0.1/cb", wrong), "{wrong}");
        }
    }
}
