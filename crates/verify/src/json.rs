//! The strict JSON reader, which refuses an object with a repeated member, at any depth.
//!
//! Readers differ in the value that they take if a member is repeated (RFC 8259 section 4);
//! `serde_json` takes the last one.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, error::Category};

use super::{Part, Refused};

/// Why bytes cannot be read as one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes are not JSON, are a JSON value other than an object, or are nested more than 128
    /// deep.
    NotAnObject,
    /// An object has a member twice.
    MemberTwice,
}

/// Reads one JSON object without repeated members.
pub fn read_object(json: &[u8]) -> Result<Map<String, Value>, Malformed> {
    match serde_json::from_slice(json) {
        Ok(Unrepeated(Value::Object(members))) => Ok(members),
        // Only our own error is a data error, because `AnyValue` accepts every type.
        Err(error) if error.classify() == Category::Data => Err(Malformed::MemberTwice),
        _ => Err(Malformed::NotAnObject),
    }
}

/// A JSON value without repeated members.
#[derive(Debug)]
pub struct Unrepeated(pub Value);

/// The members of a header or of claims.
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn read(json: &[u8]) -> Result<Self, Malformed> {
        read_object(json).map(Self)
    }

    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The text of a required member.
    pub(super) fn text(&self, name: &'static str) -> Result<&str, Refused> {
        self.member(name)
            .ok_or(Refused::Missing(name))?
            .as_str()
            .ok_or(Refused::Malformed(name))
    }

    /// All members but those with these names.
    pub(super) fn without(&self, names: &[&str]) -> Map<String, Value> {
        let others = self
            .0
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()));
        others
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

impl Malformed {
    pub(super) fn in_the(self, part: Part) -> Refused {
        match self {
            Self::NotAnObject => Refused::NotAnObject(part),
            Self::MemberTwice => Refused::MemberTwice(part),
        }
    }
}

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

macro_rules! plain {
    ($($visit:ident: $type:ty),+) => { $(fn $visit<E>(self, value: $type) -> Result<Value, E> { Ok(value.into()) })+ };
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    plain! { visit_str: &str, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_bool: bool }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unrepeated(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        // Escapes are resolved, so `"\u0061ud"` repeats `"aud"`.
        while let Some((name, Unrepeated(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a repeated member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(json: &str) -> Option<Malformed> {
        Object::read(json.as_bytes()).err()
    }

    #[test]
    fn a_repeated_member_is_refused_at_any_depth_and_in_any_spelling() {
        let twice = Some(Malformed::MemberTwice);
        assert_eq!(malformed(r#"{"a":1,"b":{"a":1,"c":[{"a":1}]}}"#), None);
        assert_eq!(malformed(r#"{"a":1,"a":1}"#), twice);
        assert_eq!(malformed(r#"{"a":1,"\u0061":1}"#), twice);
        assert_eq!(malformed(r#"{"b":{"a":1,"c":1,"a":2}}"#), twice);
        assert_eq!(malformed(r#"{"b":[[0,{"a":1,"a":2}]]}"#), twice);
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for json in [
            "",
            "null",
            "[]",
            "\"a\"",
            "{",
            "{}{}",
            "{\"a\"}",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":1e999}",
            "\u{feff}{}",
            &deep,
        ] {
            assert_eq!(malformed(json), Some(Malformed::NotAnObject), "{json}");
        }
        assert_eq!(
            Object::read(b"{\"a\":\"\xff\"}").err(),
            Some(Malformed::NotAnObject),
            "not UTF-8"
        );
        assert_eq!(
            malformed(r#"{"a":"\ud800"}"#),
            Some(Malformed::NotAnObject),
            "half a character"
        );
    }

    #[test]
    fn only_an_integer_without_fraction_and_exponent_that_fits_is_a_time() {
        for (json, whole) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("18446744073709551615", None),
            ("1.0", None),
            ("1e3", None),
            ("-0", None),
            ("\"1\"", None),
            ("true", None),
            ("null", None),
        ] {
            let text = format!("{{\"a\":{json}}}");
            let object = Object::read(text.as_bytes()).expect("an object");
            assert_eq!(object.member("a").and_then(Value::as_i64), whole, "{json}");
        }
    }
}
