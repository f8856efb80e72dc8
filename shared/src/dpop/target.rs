//! The URI that a proof is for, in one form (RFC 9449 §4.3, item 9): RFC 3986 §6.2.2 and §6.2.3, without query and fragment.

use crate::path;

/// Scheme, host and port in normal form, and a canonical path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `https://api.example`, as [`origin`] writes it.
    pub origin: String,
    /// As [`path::canonical`] writes it.
    pub path: String,
}

impl Target {
    /// Reads an absolute http or https URI; `None` for anything that servers may read in two ways.
    pub fn parse(uri: &str) -> Option<Self> {
        let uri = uri.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = uri.split_once("://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at)?,
            // RFC 3986 §6.2.3: an empty path is the same as "/".
            None => (rest, "/"),
        };
        Some(Self {
            origin: normal_origin(scheme, authority)?,
            path: path::canonical(path).ok()?,
        })
    }
}

/// The origin of an absolute http or https URI in normal form: scheme and host in lower case, no default port.
pub fn origin(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    normal_origin(scheme, rest.split(['/', '?', '#']).next()?)
}

fn normal_origin(scheme: &str, authority: &str) -> Option<String> {
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let host_length = match authority.strip_prefix('[') {
        Some(literal) => literal.find(']')?.checked_add(2)?,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(host_length)?;
    // No user name, no percent, no international name that is not in its ASCII form.
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(literal) => {
            !literal.is_empty()
                && literal
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
        }
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    if !is_host {
        return None;
    }
    let host = host.to_ascii_lowercase();
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => "",
        None => return None,
        Some(port) => {
            // One spelling: digits, no sign, no zero in front.
            let number: u16 = if port.is_empty() { 0 } else { port.parse().ok()? };
            if !port.is_empty() && (number.to_string() != port || number == 0) {
                return None;
            }
            if port == default_port { "" } else { port }
        }
    };
    Some(if port.is_empty() {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{port}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form() {
        for (uri, origin, path) in [
            ("https://api.example/a/b", "https://api.example", "/a/b"),
            ("HTTPS://API.example:443/a?x=/y#z", "https://api.example", "/a"),
            ("http://api.example:80", "http://api.example", "/"),
            ("http://api.example:443/", "http://api.example:443", "/"),
            (
                "http://127.0.0.1:8787/%61%c3%a4",
                "http://127.0.0.1:8787",
                "/a%C3%A4",
            ),
            ("http://[::1]:80/a", "http://[::1]", "/a"),
            ("http://[2001:DB8::1]/a", "http://[2001:db8::1]", "/a"),
            ("https://api.example?x", "https://api.example", "/"),
        ] {
            let target = Target::parse(uri).expect(uri);
            assert_eq!(
                (target.origin.as_str(), target.path.as_str()),
                (origin, path),
                "{uri}"
            );
            assert_eq!(super::origin(uri).as_deref(), Some(origin), "{uri}");
        }
    }

    #[test]
    fn what_two_servers_may_read_differently_is_refused() {
        for uri in [
            "",
            "/a",
            "//api.example/a",
            "ftp://api.example/a",
            "https:///a",
            "https://user@api.example/a",
            "https://api.example:0/a",
            "https://api.example:0443/a",
            "https://api.example:+443/a",
            "https://api.example:65536/a",
            "https://api.example:44x/a",
            "https://[::1/a",
            "https://[::1]x/a",
            "https://[]/a",
            "https://api.example\\@evil.example/a",
            "https://api%2eexample/a",
            "https://äpi.example/a",
            "https://api.example/a/../b",
            "https://api.example/a%2fb",
            "https://api.example//a",
            " https://api.example/a",
        ] {
            assert_eq!(Target::parse(uri), None, "{uri}");
        }
    }
}
