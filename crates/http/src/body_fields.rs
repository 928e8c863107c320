//! The one reader of request bodies: the fields of a JSON object or of a form, each by its name.
//!
//! A refusal names the field and never repeats a value, because people type their password into the wrong field.

use std::{borrow::Cow, fmt, str::FromStr};

use actix_web::web::Query;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Problem;

/// The names of the fields that a route knows.
pub(super) type Names<'n> = &'n [&'static str];

/// The fields of a body that its route knows. The type of a field is checked when the field is
/// read.
pub struct Fields<'a>(Vec<(&'static str, Field<'a>)>);

enum Field<'a> {
    Json(&'a RawValue),
    Form(String),
}

impl<'a> Fields<'a> {
    /// Reads a JSON object. Unknown members are skipped, however deep they are.
    pub fn from_json(body: &'a [u8], names: Names<'_>) -> Result<Self, Problem> {
        // JSON is UTF-8 (RFC 8259 section 8.1). serde_json does not look at the bytes of the members that it skips.
        let text = str::from_utf8(body).map_err(|_| Problem::invalid("The body is not UTF-8."))?;
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = json
            .deserialize_map(JsonObject(names))
            .and_then(|fields| json.end().map(|()| fields));
        Self(fields.map_err(|error| not_json(&error))?).without_twins()
    }

    /// Reads a form (`application/x-www-form-urlencoded`) or a query.
    pub fn from_form(form: &[u8], names: Names<'_>) -> Result<Self, Problem> {
        let pairs = pairs(&String::from_utf8_lossy(form)).into_iter();
        Self(
            pairs
                .filter_map(|(name, text)| {
                    let known = names.iter().find(|known| **known == name).copied()?;
                    Some((known, Field::Form(text)))
                })
                .collect(),
        )
        .without_twins()
    }

    /// Refuses a body with two fields of one name, because two programs could read different ones
    /// of them.
    fn without_twins(self) -> Result<Self, Problem> {
        let mut fields = self.0.iter().enumerate();
        match fields
            .find(|(place, (name, _))| self.0[..*place].iter().any(|(earlier, _)| earlier == name))
        {
            Some((_, (name, _))) => Err(malformed(name, "appears twice")),
            None => Ok(self),
        }
    }

    fn field(&self, name: &'static str) -> Option<&Field<'a>> {
        self.0
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, field)| field)
    }

    /// The text of a field; `None` if the field is absent or `null`.
    pub fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, Problem> {
        let json = match self.field(name) {
            None => return Ok(None),
            Some(Field::Form(text)) => return Ok(Some(text.as_str().into())),
            Some(Field::Json(json)) => json.get(),
        };
        match json_type(json) {
            "null" => Ok(None),
            // A lone surrogate is the only fault that serde_json can still find in a string that it
            // has skipped before.
            "a string" => match serde_json::from_str(json) {
                Ok(Text(text)) => Ok(Some(text)),
                Err(_) => Err(malformed(name, "must not hold half of a surrogate pair")),
            },
            found => Err(malformed(
                name,
                format_args!("must be a string, not {found}"),
            )),
        }
    }

    /// The parsed text of a field; `None` if the field is absent or `null`. The error names the
    /// field.
    pub fn parse<T: FromStr<Err: fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Problem> {
        self.text(name)?
            .map(|text| text.parse().map_err(|error| malformed(name, error)))
            .transpose()
    }

    /// Whether a field is `true`. An absent field is `false`.
    pub fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.field(name) {
            None => Ok(false),
            Some(Field::Json(json)) if json_type(json.get()) == "a boolean" => {
                Ok(json.get() == "true")
            }
            Some(_) => Err(malformed(name, "must be a boolean")),
        }
    }
}

/// 400 for the field `name`: `reason` says what is wrong with it and completes the sentence "The
/// field `name` …".
pub fn malformed(name: &str, reason: impl fmt::Display) -> Problem {
    Problem::invalid(format!("The field `{name}` {reason}."))
}

/// 400 for a field that is required and absent.
pub fn missing(name: &str) -> Problem {
    malformed(name, "is missing")
}

fn not_json(error: &serde_json::Error) -> Problem {
    if error.is_data() {
        return Problem::invalid("The body must be a JSON object.");
    }
    let line = error.line();
    let column = error.column();
    Problem::invalid(format!(
        "The body is not valid JSON (line {line}, column {column}): send a JSON object."
    ))
}

/// The decoded names and values of a query or a form.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    Query::from_query(query)
        .map(Query::into_inner)
        .unwrap_or_default()
}

/// A JSON string. It is copied only if it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn json_type(json: &str) -> &'static str {
    match json.as_bytes() {
        [b'"', ..] => "a string",
        [b'{', ..] => "an object",
        [b'[', ..] => "an array",
        [b't' | b'f', ..] => "a boolean",
        [b'n', ..] => "null",
        _ => "a number",
    }
}

/// Reads the members with these names, each as the text that was sent.
struct JsonObject<'n>(Names<'n>);

impl<'de> Visitor<'de> for JsonObject<'_> {
    type Value = Vec<(&'static str, Field<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(Text(name)) = members.next_key()? {
            match self.0.iter().find(|known| **known == name) {
                Some(name) => fields.push((*name, Field::Json(members.next_value()?))),
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}
