//! JSON as headers and claims have it: read once, borrowed where it can be, and refused where a member stands twice.
//!
//! A member that stands twice means one thing to one reader and another to the next (RFC 8259 section 4), and serde_json
//! takes the last.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::error::Category;

/// A value, as far as a header or claims need to tell it from others.
pub(super) enum Json<'a> {
    Text(Cow<'a, str>),
    /// An integer that is written as one: no fraction, no exponent.
    Whole(i64),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
    /// `null`, `true`, `false`, and all other numbers.
    Other,
}

/// An object of which each member stands once, at any depth. A tree, since a stranger chooses the names and how many.
pub(super) struct Object<'a>(BTreeMap<Cow<'a, str>, Json<'a>>);

/// Why bytes are no [`Object`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    NotAnObject,
    MemberTwice,
}

impl<'a> Object<'a> {
    /// Reads a text that is one object. serde_json bounds its depth (128).
    pub(super) fn read(json: &'a [u8]) -> Result<Self, Malformed> {
        match serde_json::from_slice(json) {
            Ok(Json::Object(object)) => Ok(object),
            // The one error of ours: every type has its value above, so that serde_json has none to refuse.
            Err(error) if error.classify() == Category::Data => Err(Malformed::MemberTwice),
            _ => Err(Malformed::NotAnObject),
        }
    }

    pub(super) fn member(&self, name: &str) -> Option<&Json<'a>> {
        self.0.get(name)
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// A member's name. Escapes are resolved, so that `"\u0061ud"` is `"aud"` a second time.
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
        Ok(i64::try_from(number).map_or(Json::Other, Json::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json<'de>, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json<'de>, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Other)
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
                return Err(A::Error::custom("a member stands twice"));
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
    fn a_member_that_stands_twice_is_refused_at_any_depth_and_however_it_is_spelled() {
        let twice = Some(Malformed::MemberTwice);
        assert_eq!(malformed(r#"{"a":1,"b":{"a":1,"c":[{"a":1}]}}"#), None);
        assert_eq!(malformed(r#"{"a":1,"a":1}"#), twice);
        assert_eq!(malformed(r#"{"a":1,"\u0061":1}"#), twice);
        assert_eq!(malformed(r#"{"b":{"a":1,"c":1,"a":2}}"#), twice);
        assert_eq!(malformed(r#"{"b":[[0,{"a":1,"a":2}]]}"#), twice);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
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
    fn only_an_integer_that_is_written_as_one_and_fits_is_whole() {
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
