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

/// A name that others will see.
pub(super) fn name(typed: &str) -> Option<&str> {
    // With these in it, mail programs make links of names in letters.
    text::name(typed).filter(|name| !name.contains("://"))
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
        assert_eq!(name("see https://evil.example"), None);
        assert_eq!(name("a\nb"), None);
        assert_eq!(name(" "), None);
    }
}
