//! What people type: addresses and names.

use lettre::Address;

use crate::text;

/// RFC 5321 §4.5.3.1.3, without the brackets.
pub(super) const MAX_EMAIL: usize = 254;

/// An e-mail address as accounts have it: lower case, and ASCII only, as not every server takes other ones (RFC 6531).
pub(super) fn email(typed: &str) -> Option<String> {
    let email = typed.trim().to_lowercase();
    let fits = email.len() <= MAX_EMAIL && email.bytes().all(|byte| byte.is_ascii_graphic());
    (fits && !email.contains('"') && email.parse::<Address>().is_ok()).then_some(email)
}

/// What [`name`] asks of somebody's own name.
pub(super) const YOUR_NAME: &str = "Your name needs 1 to 100 characters, all of which can be seen; it must not look like a \
     link, so it has no slash, and no dot directly between two letters or digits.";

/// What [`name`] asks of an organisation's name.
pub(super) const ORG_NAME: &str = "The organisation's name needs 1 to 100 characters, all of which can be seen; it must not \
     look like a link, so it has no slash, and no dot directly between two letters or digits.";

/// A name that others will see, in letters too.
pub(super) fn name(typed: &str) -> Option<&str> {
    text::name(typed).filter(|name| !looks_like_a_link(name))
}

/// Whether a mail program would make a link of it: it has the `/` of a URL, or the dot of a host name. IDNA has four such dots
/// (RFC 3490 §3.1).
fn looks_like_a_link(name: &str) -> bool {
    let is_dot = |c: char| matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
    let characters: Vec<char> = name.chars().collect();
    let has_host = characters
        .windows(3)
        .any(|three| three[0].is_alphanumeric() && is_dot(three[1]) && three[2].is_alphanumeric());
    has_host || name.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(email(" Ada@Example.COM ").as_deref(), Some("ada@example.com"));
        assert_eq!(email("admin@localhost").as_deref(), Some("admin@localhost"));
        let long = format!("{}@example.com", "a".repeat(250));
        for wrong in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a da@example.com",
            "ada@exa mple.com",
            "ada@example.com\r\nBcc: x@y",
            "\"a\"@example.com",
            "ädä@example.com",
            "Ada <ada@example.com>",
            "a@b, c@d",
            &long,
        ] {
            assert_eq!(email(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(name(" Ada "), Some("Ada"));
        assert_eq!(name("Dr. Ada K. Lovelace Jr."), Some("Dr. Ada K. Lovelace Jr."));
        for link in [
            "see https://evil.example",
            "evil.example",
            "Your prize is at evil.example now",
            "1.1.1.1",
            "evil/",
            "evil\u{3002}example",
            "b\u{fc}cher.example",
        ] {
            assert_eq!(name(link), None, "{link}");
        }
        assert_eq!(name("a\nb"), None);
        assert_eq!(name(" "), None);
    }
}
