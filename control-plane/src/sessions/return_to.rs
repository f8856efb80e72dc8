//! Where a browser goes after sign-in: a path of ours and nothing else, or a sign-in link could lead anywhere.

use url::Url;

/// After a sign-in that asked for nothing in particular: it leads those who may see the dashboard there, others to their account.
pub(crate) const START: &str = "/";
/// One's own account.
pub(crate) const ACCOUNT: &str = "/account";
const MAX_BYTES: usize = 8 * 1024;

/// The path, if it is one of ours. Browsers read `//x`, `/\x` and a tab in between as another host.
pub(crate) fn path_of_ours<'a>(issuer: &str, text: &'a str) -> Option<&'a str> {
    let plain = text.len() <= MAX_BYTES
        && text
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'\\');
    if !plain || !text.starts_with('/') || text.starts_with("//") {
        return None;
    }
    // And as browsers will read it, to be sure.
    let issuer = Url::parse(issuer).ok()?;
    let joined = issuer.join(text).ok()?;
    (joined.origin() == issuer.origin() && joined.username().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours() {
        let ours = |text| path_of_ours("https://auth.example", text).is_some();
        for fine in [
            "/",
            "/account",
            "/authorize?a=https%3A%2F%2Fx&b=%0d",
            "/a//b",
            "/a:b@c",
        ] {
            assert!(ours(fine), "{fine}");
        }
        for wrong in [
            "",
            "account",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /account",
            "https://evil.example",
            "https://auth.example/account",
            "https:evil.example",
            "javascript:alert(1)",
            "/a b",
            "/ä",
        ] {
            assert!(!ours(wrong), "{wrong:?}");
        }
        assert!(!ours(&format!("/{}", "a".repeat(MAX_BYTES))));
    }
}
