//! URIs in one spelling: what two parsers could read as the same resource under two names is refused, not rewritten.
//!
//! A rule that names a resource would otherwise not meet its other spellings. What it does not do: know what a server makes of
//! a URI beyond the normal forms of RFC 3986 §6.2.2 and of the URL standard.

/// Schemes whose URLs are parsed in a way of their own (URL standard, "special schemes"), and the port that goes without saying.
const SPECIAL: [(&str, &str); 6] = [
    ("file", ""),
    ("ftp", "21"),
    ("http", "80"),
    ("https", "443"),
    ("ws", "80"),
    ("wss", "443"),
];

/// Whether a URI is in normal form.
pub(super) fn is_plain(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    // The fragment is not the server's business (RFC 3986 §3.5), so it would be a second name.
    let allowed = |byte: u8| matches!(byte, 0x21..=0x7e) && !b"\\\"#<>^`{|}".contains(&byte);
    if !is_scheme(scheme) || !rest.bytes().all(allowed) || !has_plain_escapes(rest) {
        return false;
    }
    let special = SPECIAL.iter().find(|(name, _)| *name == scheme);
    let (before, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    // No file has a query, and an empty one is none.
    if query.is_some_and(|query| query.is_empty() || scheme == "file") {
        return false;
    }
    let Some(hierarchical) = before.strip_prefix("//") else {
        return special.is_none() && has_no_dots(before);
    };
    let (authority, path) = match hierarchical
        .find('/')
        .and_then(|at| hierarchical.split_at_checked(at))
    {
        Some(split) => split,
        None => (hierarchical, ""),
    };
    let is_here = match special {
        Some(("file", _)) => authority != "localhost" && !path.is_empty(),
        Some(_) => !authority.is_empty() && !path.is_empty(),
        None => true,
    };
    let default_port = special.map_or("", |(_, port)| port);
    is_here && is_authority(authority, default_port) && has_no_dots(path) && has_no_gaps(path)
}

fn is_scheme(scheme: &str) -> bool {
    let rest = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(rest)
}

/// Host and port, without a user, and without a port that need not be said.
fn is_authority(authority: &str, default_port: &str) -> bool {
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_port = |port: &str| {
        (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && !port.starts_with('0')
            && port != default_port
    };
    host.bytes()
        .all(|byte| !byte.is_ascii_uppercase() && !matches!(byte, b'%' | b'@' | b'[' | b']'))
        && port.is_none_or(is_port)
}

/// Escapes have upper-case digits and are for nothing that may stand as it is (RFC 3986 §6.2.2), nor for what divides a path.
fn has_plain_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after
            .get(..2)
            .filter(|two| two.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')));
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        byte.is_some_and(|byte| {
            let stands = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !stands && !byte.is_ascii_control() && !b"/\\".contains(&byte)
        })
    })
}

fn has_no_dots(path: &str) -> bool {
    path.split('/').all(|segment| !matches!(segment, "." | ".."))
}

/// No empty segment but the last: a file system reads two slashes as one.
fn has_no_gaps(path: &str) -> bool {
    !path.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_one_spelling() {
        for plain in [
            "file:///notes/a",
            "file:///notes/",
            "file://server/share/a",
            "https://a.example/x?y=%20&z=/../",
            "https://a.example:8443/",
            "http://a.example:443/",
            "memory://notes",
            "memory://notes/a%3Fb",
            "note:a",
            "urn:isbn:0451450523",
            "git+ssh://a.example:22/x",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "",
            "notes/a",
            "/notes/a",
            ":a",
            "1a:b",
            "FILE:///notes/a",
            "File:///notes/a",
            "file:/notes/a",
            "file:notes/a",
            "file://localhost/notes/a",
            "file://",
            "file:///notes/a?x",
            "file:///notes/a#x",
            "file:////notes/a",
            "file:///notes//a",
            "file:///x/../notes/a",
            "file:///notes/./a",
            "file:///notes/..",
            "file:///%2e/notes/a",
            "file:///%2E%2E/notes/a",
            "file:///notes/%61",
            "file:///notes%2Fa",
            "file:///notes%5Ca",
            "file:///notes/a%00",
            "file:///notes/%3f",
            "file:///notes/%",
            "file:///notes/%3",
            "file:///notes\\a",
            "file:///notes/a b",
            "file:///no\tes/a",
            "file:///notes/\u{2603}",
            "file:///c|/a",
            "https://a.example",
            "https://a.example?x",
            "https:/a.example/x",
            "https:a.example/x",
            "https:///a.example/x",
            "https://A.example/x",
            "https://%61.example/x",
            "https://me@a.example/x",
            "https://a.example:/x",
            "https://a.example:443/x",
            "https://a.example:08443/x",
            "https://a.example/x?",
            "https://[::1]/x",
            "note:../a",
            "note:a/./b",
        ] {
            assert!(!is_plain(other), "{other:?}");
        }
        for unsafe_byte in ["\"", "<", ">", "`", "{", "}", "^", "|", "\u{7f}"] {
            assert!(!is_plain(&format!("note:a{unsafe_byte}")), "{unsafe_byte:?}");
        }
    }
}
