//! JSON as a security format: one object, no member twice at any depth, nothing after the end.
//!
//! `serde_json` already refuses lone surrogates, a byte-order mark, numbers out of range and deep nesting; duplicates are
//! what it lets through, and two parsers that keep different ones of two members disagree about a token (RFC 8725 §2.4).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!("member {name:?} appears twice")));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// Parses one JSON object strictly, then into `T`.
pub fn from_slice<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let Strict(value) = serde_json::from_slice(bytes)?;
    if !value.is_object() {
        return Err(serde_json::Error::custom("expected a JSON object"));
    }
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests {
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
