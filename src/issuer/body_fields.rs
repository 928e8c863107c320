//! The one reader of request bodies: a JSON object or a form becomes the struct that `/openapi.json` describes.
//!
//! A refusal names the field and never repeats a value, because people type their password into the wrong field.

use std::{fmt, str::FromStr};

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, IgnoredAny, IntoDeserializer, MapAccess, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

use crate::http::pairs;

/// Why a body cannot be read as the struct of its route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedBody {
    #[error("The body is not valid JSON (line {line}, column {column}).")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// JSON is UTF-8 (RFC 8259 section 8.1).
    #[error("The body is not UTF-8.")]
    NotUtf8,
    #[error("The body must be a JSON object.")]
    NotAnObject,
    /// Of two fields with one name, two programs could read different ones.
    #[error("The field `{0}` appears twice.")]
    Twice(&'static str),
    #[error("The field `{0}` is missing.")]
    Missing(&'static str),
    /// A field has another JSON type, or its text cannot be parsed.
    #[error("The field `{name}` {reason}.")]
    Malformed {
        name: &'static str,
        /// What is wrong, without what was sent.
        reason: String,
    },
}

/// Reads a JSON object. Unknown members are skipped, however deep they are.
pub(super) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, RefusedBody> {
    // serde_json does not look at the bytes of the members that it skips.
    let text = str::from_utf8(body).map_err(|_| RefusedBody::NotUtf8)?;
    T::deserialize(Body::Json(text))
}

/// Reads a form (`application/x-www-form-urlencoded`) or a query.
pub(super) fn from_form<T: DeserializeOwned>(form: &[u8]) -> Result<T, RefusedBody> {
    T::deserialize(Body::Form(form))
}

/// Parses the text of the field `name`, if it was sent.
pub(super) fn parse<T: FromStr<Err: fmt::Display>>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<T>, RefusedBody> {
    text.map(|text| text.parse().map_err(|error| malformed(name, error))).transpose()
}

/// The refusal of the field `name`, in the words of `reason`.
pub(super) fn malformed(name: &'static str, reason: impl fmt::Display) -> RefusedBody {
    RefusedBody::Malformed { name, reason: reason.to_string() }
}

/// The only fault that serde_json finds in a string which it has skipped before.
const UNPAIRED: &str = "must not hold half of a surrogate pair";

enum Body<'a> {
    Json(&'a str),
    Form(&'a [u8]),
}

/// serde passes the names of the struct's fields to `deserialize_struct`, so they are written nowhere else.
impl<'de> Deserializer<'de> for Body<'de> {
    type Error = RefusedBody;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RefusedBody> {
        let fields = match self {
            Self::Json(text) => json_fields(text, names)?,
            Self::Form(text) => form_fields(text, names),
        };
        for (count, field) in fields.iter().enumerate() {
            if fields[..count].iter().any(|earlier| earlier.name == field.name) {
                return Err(RefusedBody::Twice(field.name));
            }
        }
        visitor.visit_map(MapDeserializer::new(fields.into_iter().map(|field| (field.name, field))))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, RefusedBody> {
        Err(RefusedBody::NotAnObject)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn form_fields<'a>(form: &[u8], names: &[&'static str]) -> Vec<Field<'a>> {
    let known = |name: &str| names.iter().find(|known| **known == name);
    let pairs = pairs(&String::from_utf8_lossy(form));
    pairs.into_iter().filter_map(|(name, text)| Some(Field { name: known(&name)?, value: Value::Form(text) })).collect()
}

fn json_fields<'a>(text: &'a str, names: &'static [&'static str]) -> Result<Vec<Field<'a>>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(JsonObject(names))?;
    json.end()?;
    Ok(fields)
}

struct JsonObject(&'static [&'static str]);

impl<'de> Visitor<'de> for JsonObject {
    type Value = Vec<Field<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<Field<'de>>, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            match self.0.iter().find(|known| **known == name) {
                Some(name) => fields.push(Field { name, value: Value::Json(members.next_value()?) }),
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

/// A field as it was sent. Its type is checked once all of the body has been read.
struct Field<'a> {
    name: &'static str,
    value: Value<'a>,
}

enum Value<'a> {
    Json(&'a RawValue),
    Form(String),
}

impl Field<'_> {
    fn json_type(&self) -> &'static str {
        let Value::Json(value) = self.value else { return "a string" };
        match value.get().as_bytes() {
            [b'"', ..] => "a string",
            [b'{', ..] => "an object",
            [b'[', ..] => "an array",
            [b't' | b'f', ..] => "a boolean",
            [b'n', ..] => "null",
            _ => "a number",
        }
    }

    fn is_not(&self, wanted: &'static str) -> RefusedBody {
        match self.json_type() {
            "null" => RefusedBody::Missing(self.name),
            found => malformed(self.name, format_args!("must be {wanted}, not {found}")),
        }
    }
}

impl<'de> IntoDeserializer<'de, RefusedBody> for Field<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = RefusedBody;

    /// `null` means that the field is absent.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RefusedBody> {
        if self.json_type() == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RefusedBody> {
        match &self.value {
            Value::Json(value) if self.json_type() == "a boolean" => visitor.visit_bool(value.get() == "true"),
            _ => Err(self.is_not("a boolean")),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RefusedBody> {
        match self.value {
            Value::Form(text) => visitor.visit_string(text),
            Value::Json(value) if self.json_type() == "a string" => {
                let unpaired = |_| malformed(self.name, UNPAIRED);
                visitor.visit_string(serde_json::from_str(value.get()).map_err(unpaired)?)
            }
            Value::Json(_) => Err(self.is_not("a string")),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl From<serde_json::Error> for RefusedBody {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() {
            return Self::NotAnObject;
        }
        Self::Syntax { line: error.line(), column: error.column() }
    }
}

impl de::Error for RefusedBody {
    /// serde calls this for types that no body has: `Field` checks strings and booleans itself.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::NotAnObject
    }

    fn missing_field(name: &'static str) -> Self {
        Self::Missing(name)
    }
}
