//! A tree of JSON, read into what is wanted and written out again, without words for what is wrong.
//!
//! `serde_json` says where and how a document fails, prints numbers with fractions, and reads every type straight from the text.
//! In the edge's Wasm that is a tenth of the module, and nobody there reads it: here a text becomes one tree
//! ([`crate::strict_json::tree`]), types are read from the tree, and the only error is that it was not that.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// The tree is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotThat;

impl fmt::Display for NotThat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the JSON that is expected here")
    }
}

impl std::error::Error for NotThat {}

impl serde::de::Error for NotThat {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }

    fn missing_field(_: &'static str) -> Self {
        Self
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self
    }
}

/// Reads a type out of a tree.
pub fn read<'t, T: Deserialize<'t>>(tree: &'t Value) -> Result<T, NotThat> {
    T::deserialize(Node(tree))
}

#[derive(Clone, Copy)]
struct Node<'t>(&'t Value);

impl<'t> IntoDeserializer<'t, NotThat> for Node<'t> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = NotThat;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotThat> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(whole), ..) => visitor.visit_u64(whole),
                (_, Some(negative), _) => visitor.visit_i64(negative),
                (.., Some(fraction)) => visitor.visit_f64(fraction),
                _ => Err(NotThat),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.iter().map(Node));
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| (name.as_str(), Node(value)));
                let mut members = MapDeserializer::new(members);
                let value = visitor.visit_map(&mut members)?;
                members.end().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotThat> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NotThat> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NotThat> {
        match self.0 {
            Value::String(text) => {
                visitor.visit_enum(IntoDeserializer::<NotThat>::into_deserializer(text.as_str()))
            }
            Value::Object(members) if members.len() == 1 => {
                let members = members.iter().map(|(name, value)| (name.as_str(), Node(value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(members)))
            }
            _ => Err(NotThat),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The tree as text. Numbers are whole: nothing that is written here has others, and one that is not would be `null`.
pub fn text(tree: &Value) -> String {
    let mut out = String::new();
    write(tree, &mut out);
    out
}

fn write(tree: &Value, out: &mut String) {
    match tree {
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => out.push_str(&whole.to_string()),
            (_, Some(negative)) => out.push_str(&negative.to_string()),
            _ => out.push_str("null"),
        },
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Null => out.push_str("null"),
    }
}

fn write_text(text: &str, out: &mut String) {
    // A text can always be written.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;
    use crate::policy::Policy;

    fn agrees<T: DeserializeOwned + PartialEq + fmt::Debug>(tree: &Value) {
        let theirs = serde_json::from_value::<T>(tree.clone()).ok();
        assert_eq!(read::<T>(tree).ok(), theirs, "{tree}");
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    enum Choice {
        Plain,
        With(u64),
        Named { a: Option<i8> },
    }

    #[test]
    fn types_are_read_as_serde_json_reads_them() {
        let trees = [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(1.0),
            json!(1.5),
            json!(300),
            json!(u64::MAX),
            json!("plain"),
            json!("other"),
            json!([]),
            json!([1]),
            json!([1, 2]),
            json!([1, 2, 3]),
            json!([null, 1]),
            json!({}),
            json!({"with": 7}),
            json!({"plain": null}),
            json!({"named": {"a": -3}}),
            json!({"named": {"b": 1}}),
            json!({"with": 1, "plain": null}),
            json!({"a": 1, "b": {"c": [true]}}),
        ];
        for tree in &trees {
            agrees::<Value>(tree);
            agrees::<u64>(tree);
            agrees::<i8>(tree);
            agrees::<f64>(tree);
            agrees::<String>(tree);
            agrees::<Option<u64>>(tree);
            agrees::<[u64; 2]>(tree);
            agrees::<(u64, u64)>(tree);
            agrees::<Vec<Option<u8>>>(tree);
            agrees::<std::collections::BTreeMap<String, Value>>(tree);
            agrees::<Choice>(tree);
            assert_eq!(read::<Value>(tree).as_ref(), Ok(tree));
        }
        let policy = Policy::demo("https://api.example", "https://issuer.example");
        let tree = serde_json::to_value(&policy).expect("serialises");
        assert_eq!(read::<Policy>(&tree), Ok(policy));
    }

    #[test]
    fn a_tree_is_written_as_serde_json_writes_it() {
        let tree = json!({"a": [1, -2, u64::MAX, true, false, null], "b\"\n\u{1}": {"é\u{2028}": "\\/"}, "c": {}, "d": []});
        assert_eq!(text(&tree), tree.to_string());
    }
}
