//! Opaque secrets: authorization codes (`code_…`), refresh tokens (`ref_…`), device codes (`device_…`), what is in a mailed link
//! (`link_…`).
//!
//! The text is the prefix, 256 random bits in base62, and six base62 digits of the CRC32 of all before them: junk and typing
//! errors end before any look-up, and scanners can tell a real one. Only the SHA-256 of the text is kept anywhere.

use shared::base62;
use shared::crypto::sha256;
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};

const CHECK_DIGITS: usize = 6;
/// Of 33 bytes that begin with a 1.
const BODY_DIGITS: usize = 44;

/// What the secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An authorization code.
    Code,
    /// A refresh token.
    Refresh,
    /// What a device comes back with.
    Device,
    /// What is in a mailed link.
    Link,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Code => "code_",
            Self::Refresh => "ref_",
            Self::Device => "device_",
            Self::Link => "link_",
        }
    }
}

/// A secret in clear. Wiped on drop, never printed.
#[derive(Clone)]
pub struct Opaque(Zeroizing<String>);

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opaque(redacted)")
    }
}

impl Opaque {
    /// A new one.
    pub fn generate(kind: Kind, random: &Random) -> Result<Self, RandomError> {
        // The first byte of base62 text of bytes must not be zero; it adds nothing else.
        let mut bytes = Zeroizing::new([1u8; 33]);
        random.fill(bytes.get_mut(1..).unwrap_or_default())?;
        let body = Zeroizing::new(base62::encode_bytes(bytes.as_slice()));
        let covered = Zeroizing::new(format!("{}{:0>BODY_DIGITS$}", kind.prefix(), body.as_str()));
        Ok(Self(Zeroizing::new(format!(
            "{}{}",
            covered.as_str(),
            check_digits(&covered)
        ))))
    }

    /// The text that has the form of such a secret; `None` for any other.
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let body = text.strip_prefix(kind.prefix())?;
        if body.len() != BODY_DIGITS + CHECK_DIGITS || !body.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return None;
        }
        let (covered, check) = text.split_at_checked(text.len().checked_sub(CHECK_DIGITS)?)?;
        (check_digits(covered) == check).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the database knows it by.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }
}

fn check_digits(covered: &str) -> String {
    base62::encode_fixed(u64::from(crc32fast::hash(covered.as_bytes())), CHECK_DIGITS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_one_text() {
        let random = Random::system();
        for _ in 0..50 {
            let made = Opaque::generate(Kind::Refresh, &random).expect("random");
            let text = made.expose();
            assert!(text.starts_with("ref_") && text.len() == 54, "{text}");
            assert_eq!(
                Opaque::parse(Kind::Refresh, text).map(|found| found.digest()),
                Some(made.digest())
            );
            assert!(Opaque::parse(Kind::Code, text).is_none());
            let mut wrong = text.to_owned();
            wrong.replace_range(20..21, if &text[20..21] == "a" { "b" } else { "a" });
            assert!(Opaque::parse(Kind::Refresh, &wrong).is_none());
            assert!(Opaque::parse(Kind::Refresh, &text[..53]).is_none());
        }
        assert!(Opaque::parse(Kind::Refresh, "ref_").is_none());
        assert!(Opaque::parse(Kind::Refresh, "ref_ä").is_none());
    }
}
