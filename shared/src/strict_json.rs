//! JSON as a security format: one object, no member twice at any depth, nothing after the end.
//!
//! `serde_json` already refuses lone surrogates, a byte-order mark, numbers out of range and deep nesting; duplicates are
//! what it lets through, and two parsers that keep different ones of two members disagree about a token (RFC 8725 §2.4).

use std::cell::Cell;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

use crate::json_tree::{self, NotThat};

/// Reads a value of any kind into a tree, and notes whether a member stands twice. (Not as an error: `serde_json` would print it.)
#[derive(Clone, Copy)]
struct Strict<'n>(&'n Cell<bool>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.insert(name, members.next_value_seed(self)?).is_some() {
                self.0.set(true);
            }
        }
        Ok(Value::Object(map))
    }
}

/// Reads one value of any kind, strictly.
pub fn tree(bytes: &[u8]) -> Option<Value> {
    let is_twice = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let tree = Strict(&is_twice).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    (!is_twice.get()).then_some(tree)
}

/// Reads one object, strictly.
pub fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match tree(bytes)? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Reads one value of any kind, strictly, and then a type from it.
pub fn read_any<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotThat> {
    json_tree::read(&tree(bytes).ok_or(NotThat)?)
}

/// Reads one object, strictly, and then a type from it.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotThat> {
    let members = object(bytes).ok_or(NotThat)?;
    json_tree::read(&Value::Object(members))
}

/// The same with words for what is wrong, and where: for documents that people write.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let Checked = serde_json::from_slice(bytes)?;
    serde_json::from_slice(bytes)
}

/// An object in which no member stands twice. Nothing of it is kept.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let is_twice = Cell::new(false);
        deserializer.deserialize_map(Strict(&is_twice))?;
        if is_twice.get() {
            return Err(D::Error::custom("a member appears twice"));
        }
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_other_parsers_disagree_about_is_refused() {
        let good = br#"{"a":1,"b":{"c":[]}}"#;
        assert!(from_slice::<Value>(good).is_ok());
        assert_eq!(object(good), from_slice(good).ok());
        assert_eq!(read::<Value>(good).ok(), from_slice(good).ok());
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
                from_slice::<Value>(text).is_err() && object(text).is_none() && read::<Value>(text).is_err(),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
        let deep = format!("{}{}", r#"{"a":"#.repeat(500), "}".repeat(500));
        assert!(from_slice::<Value>(deep.as_bytes()).is_err() && tree(deep.as_bytes()).is_none());
    }
}
