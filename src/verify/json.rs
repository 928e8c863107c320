//! A JSON reader for headers and claims. It borrows from the input where it can, and refuses an object with a repeated
//! member.
//!
//! Different readers take different values of a repeated member (RFC 8259 section 4); serde_json takes the last.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, error::Category};

use super::{Part, Refused};

/// A JSON value, in the detail that headers and claims need.
pub(super) enum Json<'a> {
    Text(Cow<'a, str>),
    /// An integer without fraction and exponent.
    Whole(i64),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
    /// `null`, `true`, `false`, and every other number.
    Other(Value),
}

/// An object without repeated members at any depth. It is a tree and not a hash map, because an attacker chooses the
/// names and their number.
pub(super) struct Object<'a>(BTreeMap<Cow<'a, str>, Json<'a>>);

/// Why bytes cannot be read as an [`Object`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    NotAnObject,
    MemberTwice,
}

impl<'a> Object<'a> {
    /// Reads one JSON object. serde_json limits its depth to 128.
    pub(super) fn read(json: &'a [u8]) -> Result<Self, Malformed> {
        match serde_json::from_slice(json) {
            Ok(Json::Object(object)) => Ok(object),
            // Only our own error is a data error, because `AnyValue` accepts every type.
            Err(error) if error.classify() == Category::Data => Err(Malformed::MemberTwice),
            _ => Err(Malformed::NotAnObject),
        }
    }

    pub(super) fn member(&self, name: &str) -> Option<&Json<'a>> {
        self.0.get(name)
    }

    /// The text of a required member.
    pub(super) fn text(&self, name: &'static str) -> Result<&str, Refused> {
        match self.member(name) {
            Some(Json::Text(text)) => Ok(text),
            Some(_) => Err(Refused::Malformed(name)),
            None => Err(Refused::Missing(name)),
        }
    }

    /// All members but those with these names.
    pub(super) fn without(&self, names: &[&str]) -> Map<String, Value> {
        let others = self.0.iter().filter(|(name, _)| !names.contains(&&***name));
        others.map(|(name, value)| (name.to_string(), value.to_value())).collect()
    }
}

impl Json<'_> {
    fn to_value(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.to_string()),
            Self::Whole(number) => (*number).into(),
            Self::List(list) => list.iter().map(Self::to_value).collect(),
            Self::Object(object) => Value::Object(object.without(&[])),
            Self::Other(value) => value.clone(),
        }
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

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// The name of a member. Escapes are resolved, so `"\u0061ud"` repeats `"aud"`.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(number).map_or(Json::Other(number.into()), Json::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Json::Other(number.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Other(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Other(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((Name(name), value)) = members.next_entry()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a repeated member"));
            }
        }
        Ok(Json::Object(Object(object)))
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
        assert_eq!(Object::read(b"{\"a\":\"\xff\"}").err(), Some(Malformed::NotAnObject), "not UTF-8");
        assert_eq!(malformed(r#"{"a":"\ud800"}"#), Some(Malformed::NotAnObject), "half a character");
    }

    #[test]
    fn only_an_integer_without_fraction_and_exponent_that_fits_is_whole() {
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
            let read = match object.member("a") {
                Some(Json::Whole(number)) => Some(*number),
                _ => None,
            };
            assert_eq!(read, whole, "{json}");
        }
    }
}
