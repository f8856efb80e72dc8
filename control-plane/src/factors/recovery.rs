//! Recovery codes: for people whose authenticator app is gone. Ten, shown once, each good for one sign-in.
//!
//! A code has 80 random bits, so that its SHA-256 is of no use to whoever has the database.

use shared::crypto::sha256;
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};

/// How many are made at a time.
pub(super) const COUNT: usize = 10;
const LETTERS: usize = 16;
/// 32 signs of which none looks like another: no `0`, `1`, `l`, `o`.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// One code. Wiped on drop; not printed.
pub(super) struct RecoveryCode(Zeroizing<String>);

impl std::fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryCode")
    }
}

impl RecoveryCode {
    pub(super) fn draw(random: &Random) -> Result<Self, RandomError> {
        let bytes: Zeroizing<[u8; LETTERS]> = Zeroizing::new(random.bytes()?);
        // 32 divides 256: every sign is equally likely.
        let letters = bytes
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)).copied().map(char::from));
        Ok(Self(Zeroizing::new(letters.collect())))
    }

    /// What somebody typed: in capitals or not, with or without what stands between the groups.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > 64 {
            return None;
        }
        let plain: Zeroizing<String> = Zeroizing::new(
            text.chars()
                .filter(|c| !c.is_whitespace() && *c != '-')
                .map(|c| c.to_ascii_lowercase())
                .collect(),
        );
        let fits = plain.len() == LETTERS && plain.bytes().all(|byte| ALPHABET.contains(&byte));
        fits.then_some(Self(plain))
    }

    /// `abcd-efgh-jkmn-pqrs`.
    pub(super) fn shown(&self) -> String {
        let groups: Vec<&str> = (0..LETTERS)
            .step_by(4)
            .filter_map(|start| self.0.get(start..start + 4))
            .collect();
        groups.join("-")
    }

    /// What the database keeps.
    pub(super) fn digest(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }
}

/// A set of new ones.
pub(super) fn draw_all(random: &Random) -> Result<Vec<RecoveryCode>, RandomError> {
    (0..COUNT).map(|_| RecoveryCode::draw(random)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_shown() {
        let code = RecoveryCode::draw(&Random::system()).expect("random");
        let shown = code.shown();
        assert_eq!(shown.len(), 19);
        for typed in [
            shown.clone(),
            shown.to_uppercase(),
            shown.replace('-', ""),
            format!("  {} ", shown.replace('-', " ")),
        ] {
            let read = RecoveryCode::parse(&typed).expect(&typed);
            assert_eq!(read.digest(), code.digest());
        }
        for wrong in [
            "",
            "123456",
            &shown[1..],
            &format!("{shown}a"),
            &shown.replace('-', "0"),
        ] {
            assert!(RecoveryCode::parse(wrong).is_none(), "{wrong}");
        }
        assert_eq!(format!("{code:?}"), "RecoveryCode");
    }

    #[test]
    fn codes_differ() {
        let codes = draw_all(&Random::system()).expect("random");
        let digests: std::collections::BTreeSet<_> = codes.iter().map(RecoveryCode::digest).collect();
        assert_eq!(digests.len(), COUNT);
    }
}
