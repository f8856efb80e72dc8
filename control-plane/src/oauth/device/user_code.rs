//! The code that a person reads on a device and types in a browser: eight consonants, shown as `BCDF-GHJK`. No vowels, so
//! that no words come out, and no letter that is read as a digit (RFC 8628 §6.1). 34 bits: guesses are counted.

use shared::crypto::sha256;

use crate::random::{Random, RandomError};

const ALPHABET: [u8; 20] = *b"BCDFGHJKLMNPQRSTVWXZ";
const LETTERS: u32 = 8;

/// A code. Upper case, without the hyphen.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct UserCode(String);

impl std::fmt::Debug for UserCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserCode(redacted)")
    }
}

impl UserCode {
    pub(super) fn draw(random: &Random) -> Result<Self, RandomError> {
        let mut rest = random.below(20u64.pow(LETTERS))?;
        let letters = (0..LETTERS).map(|_| {
            let letter = usize::try_from(rest % 20)
                .ok()
                .and_then(|digit| ALPHABET.get(digit));
            rest /= 20;
            char::from(letter.copied().unwrap_or(b'B'))
        });
        Ok(Self(letters.collect()))
    }

    /// What somebody typed: in any case, with or without hyphens and spaces.
    pub(super) fn parse(typed: &str) -> Option<Self> {
        let letters: String = typed
            .chars()
            .filter(|letter| !matches!(letter, '-' | ' '))
            .map(|letter| letter.to_ascii_uppercase())
            .take(9)
            .collect();
        (letters.len() == 8 && letters.bytes().all(|letter| ALPHABET.contains(&letter)))
            .then_some(Self(letters))
    }

    /// As it is read out and typed.
    pub(super) fn shown(&self) -> String {
        let (left, right) = self.0.split_at_checked(4).unwrap_or_default();
        format!("{left}-{right}")
    }

    /// What the database knows it by.
    pub(super) fn digest(&self) -> [u8; 32] {
        sha256(format!("user code {}", self.0).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_typed_as_people_type() {
        let code = UserCode("BCDFGHJK".to_owned());
        assert_eq!(code.shown(), "BCDF-GHJK");
        for fine in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "B-C-D-F-G-H-J-K"] {
            assert_eq!(UserCode::parse(fine), Some(code.clone()), "{fine}");
        }
        for wrong in [
            "",
            "BCDF-GHJ",
            "BCDF-GHJKL",
            "BCDF-GHJA",
            "BCDF-GHJ1",
            "BCDF–GHJK",
        ] {
            assert_eq!(UserCode::parse(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{code:?}"), "UserCode(redacted)");
        let random = Random::system();
        for _ in 0..100 {
            let drawn = UserCode::draw(&random).expect("random");
            assert_eq!(UserCode::parse(&drawn.shown()), Some(drawn));
        }
    }
}
