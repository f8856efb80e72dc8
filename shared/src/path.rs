//! One canonical form of a request path, in which it is matched *and* forwarded.
//!
//! What two servers may read differently is refused, not repaired: encoded slashes and backslashes, dot segments in any
//! disguise, NUL and control bytes, empty inner segments, invalid percent-encoding or UTF-8. What is left is written in
//! one way: unreserved characters plain, everything outside RFC 3986's `pchar` as upper-case percent-encoding.

use std::fmt::Write as _;

/// The longest path, in bytes as sent.
pub const MAX_LENGTH: usize = 8 * 1024;

/// Why a path has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not start with a slash, or is too long.
    #[error("a path starts with a slash and has at most 8192 bytes")]
    Shape,
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the path is not valid percent-encoded UTF-8")]
    Encoding,
    /// A slash or backslash that is encoded, once or twice, or a plain backslash.
    #[error("the path has an encoded slash or a backslash")]
    Slash,
    /// NUL or another control byte.
    #[error("the path has a control character")]
    Control,
    /// `.` or `..` as a segment, encoded once or twice, or before a `;`.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//` inside the path.
    #[error("the path has an empty segment")]
    EmptySegment,
}

/// The canonical form of a path as sent, without its query.
pub fn canonical(raw: &str) -> Result<String, PathError> {
    if !raw.starts_with('/') || raw.len() > MAX_LENGTH {
        return Err(PathError::Shape);
    }
    let mut out = String::with_capacity(raw.len());
    let mut segments = raw.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment.is_empty() && !last {
            return Err(PathError::EmptySegment);
        }
        let decoded = decode(segment)?;
        refuse_tricks(&decoded)?;
        out.push('/');
        encode(&decoded, &mut out);
    }
    Ok(out)
}

/// Percent-decodes one segment, once.
fn decode(segment: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = rest.next().and_then(hex).ok_or(PathError::Encoding)?;
                let low = rest.next().and_then(hex).ok_or(PathError::Encoding)?;
                high << 4 | low
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| PathError::Encoding)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn refuse_tricks(segment: &str) -> Result<(), PathError> {
    if segment.contains(['/', '\\']) {
        return Err(PathError::Slash);
    }
    if segment.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    // Some servers cut path parameters off before they resolve dots: `..;x` is `..` to them.
    if is_dots(segment) {
        return Err(PathError::DotSegment);
    }
    // A server behind us that decodes twice must not find a trick either.
    if segment.contains('%') {
        let lower = segment.to_ascii_lowercase();
        if ["%2f", "%5c"].iter().any(|trick| lower.contains(trick)) {
            return Err(PathError::Slash);
        }
        if ["%0", "%1", "%7f"].iter().any(|control| lower.contains(control)) {
            return Err(PathError::Control);
        }
        if is_dots(&lower.replace("%2e", ".").replace("%3b", ";").replace("%20", " ")) {
            return Err(PathError::DotSegment);
        }
    }
    Ok(())
}

/// `.` or `..` to some server: path parameters cut off, and blanks around it ignored.
fn is_dots(segment: &str) -> bool {
    matches!(segment.split(';').next().unwrap_or_default().trim(), "." | "..")
}

fn encode(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        // pchar without pct-encoded (RFC 3986 §3.3).
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        if plain {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_form() {
        for (raw, expected) in [
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/%61dmin", "/admin"),
            ("/a%20b", "/a%20b"),
            ("/a b", "/a%20b"),
            ("/%c3%a4", "/%C3%A4"),
            ("/ä", "/%C3%A4"),
            ("/a%3fb", "/a%3Fb"),
            ("/100%25", "/100%25"),
            ("/a;v=1", "/a;v=1"),
            ("/...", "/..."),
            ("/Admin", "/Admin"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn tricks_are_refused() {
        use PathError::{Control, DotSegment, EmptySegment, Encoding, Shape, Slash};
        for (raw, expected) in [
            ("", Shape),
            ("admin", Shape),
            ("*", Shape),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a/../b", DotSegment),
            ("/a/..", DotSegment),
            ("/a/./b", DotSegment),
            ("/a/%2e%2e/b", DotSegment),
            ("/a/.%2E", DotSegment),
            ("/a/..;x/b", DotSegment),
            ("/a/..;/b", DotSegment),
            ("/a/%252e%252e/b", DotSegment),
            ("/a/..%253bx/b", DotSegment),
            ("/a/..%20/b", DotSegment),
            ("/a/..%2520/b", DotSegment),
            ("/a%250db", Control),
            ("/a%2500", Control),
            ("/a%2fb", Slash),
            ("/a%2Fb", Slash),
            ("/a%5cb", Slash),
            ("/a\\b", Slash),
            ("/a%252fb", Slash),
            ("/a%255cb", Slash),
            ("/a%00", Control),
            ("/a%0d%0a", Control),
            ("/a\tb", Control),
            ("/a%7f", Control),
            ("/a%c2%85", Control),
            ("/a%", Encoding),
            ("/a%2", Encoding),
            ("/a%zz", Encoding),
            ("/a%+1", Encoding),
            ("/a%ff", Encoding),
            ("/a%c0%af", Encoding),
        ] {
            assert_eq!(canonical(raw), Err(expected), "{raw}");
        }
        assert_eq!(canonical(&format!("/{}", "a".repeat(MAX_LENGTH))), Err(Shape));
    }

    proptest! {
        #[test]
        fn canonical_is_idempotent_and_never_panics(raw in "/(\\PC|%[0-9a-fA-F]{2}|[./;%]){0,40}") {
            if let Ok(once) = canonical(&raw) {
                prop_assert_eq!(canonical(&once), Ok(once.clone()));
                prop_assert!(once.is_ascii());
            }
        }
    }
}
