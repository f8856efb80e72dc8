//! JSON as a security format: one object, no member twice at any depth, nothing after the end.
//!
//! `serde_json` already refuses lone surrogates, a byte-order mark, numbers out of range and deep nesting; duplicates are
//! what it lets through, and two parsers that keep different ones of two members disagree about a token (RFC 8725 §2.4).

//!
//! Read twice: once for its form, and once into what is wanted. That costs less than a tree of values between the two.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// A value of any kind that keeps the rules. Nothing of it is kept.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Rules)
    }
}

/// The same for an object.
struct CheckedObject;

impl<'de> Deserialize<'de> for CheckedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Rules).map(|Checked| Self)
    }
}

struct Rules;

impl<'de> Visitor<'de> for Rules {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Checked, E> {
        if value.is_finite() {
            Ok(Checked)
        } else {
            Err(E::custom("number out of range"))
        }
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while let Some(Checked) = items.next_element()? {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Checked, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, Checked)) = members.next_entry::<String, Checked>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member appears twice"));
            }
        }
        Ok(Checked)
    }
}

/// Parses one JSON object strictly, then into `T`.
pub fn from_slice<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let CheckedObject = serde_json::from_slice(bytes)?;
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_other_parsers_disagree_about_is_refused() {
        assert!(from_slice::<Value>(br#"{"a":1,"b":{"c":[]}}"#).is_ok());
        let wrong: [&[u8]; 10] = [
            br#"{"a":1,"a":1}"#,
            br#"{"b":{"a":1,"a":2}}"#,
            br#"{"b":[{"a":1,"\u0061":2}]}"#,
            br#"{"a":"\ud800"}"#,
            br#"{"a":1e400}"#,
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            br"{} {}",
            br"[]",
            br#"{"a":1,}"#,
        ];
        for text in wrong {
            assert!(
                from_slice::<Value>(text).is_err(),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
        let deep = format!("{}{}", r#"{"a":"#.repeat(500), "}".repeat(500));
        assert!(from_slice::<Value>(deep.as_bytes()).is_err());
    }
}
