//! JSON objects of texts as strangers send them, read by hand from typed members, so that every answer names the field and
//! none repeats a value: people put their password into the wrong one.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Why a body is no JSON object with members of their own names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedBody {
    /// Not JSON at all.
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
    /// JSON, but no object.
    #[error("The body must be a JSON object.")]
    NotAnObject,
    /// A member that stands there twice; two readers could take different ones.
    #[error("The field `{0}` appears twice.")]
    Twice(&'static str),
}

/// Why a member is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedMember {
    /// A member of another type.
    #[error("The field `{name}` must be a string, not {found}.")]
    NotAString {
        /// The member.
        name: &'static str,
        /// The JSON type that came.
        found: &'static str,
    },
    /// A member whose text cannot be what it should.
    #[error("The field `{name}` {reason}.")]
    Malformed {
        /// The member.
        name: &'static str,
        /// Of the member's own type, and without its text.
        reason: String,
    },
}

/// Reads a struct of [`Member`]s, whose names are `names`.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8], names: &[&'static str]) -> Result<T, RefusedBody> {
    // serde would read an array as the members in their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(RefusedBody::NotAnObject);
    }
    // serde would skip members that it does not know without looking at their bytes.
    let body = str::from_utf8(body).map_err(|_| RefusedBody::NotUtf8)?;
    serde_json::from_str(body).map_err(|error| {
        // serde's words for a duplicate hold the field's name and nothing that was sent.
        let said = error.to_string();
        let twice = names.iter().find(|name| said.starts_with(&format!("duplicate field `{name}`")));
        match (twice, error.is_data()) {
            (Some(name), _) => RefusedBody::Twice(name),
            (None, true) => RefusedBody::NotAnObject,
            (None, false) => RefusedBody::Syntax { line: error.line(), column: error.column() },
        }
    })
}

/// A member of whatever type; the type is judged where its name is known. A value that is not a string is skipped, and
/// with it whatever depth or size it has.
#[derive(Default)]
pub(super) enum Member {
    /// Not there.
    #[default]
    Absent,
    /// `null`, which is as good as not there.
    Null,
    /// A text.
    Text(String),
    /// Something else: its JSON type.
    Other(&'static str),
}

impl Member {
    /// As what it should be, if it is there.
    pub(super) fn parsed<T>(self, name: &'static str) -> Result<Option<T>, RefusedMember>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let malformed = |error: T::Err| RefusedMember::Malformed { name, reason: error.to_string() };
        self.text(name)?.map(|text| text.parse().map_err(malformed)).transpose()
    }

    /// As a text, if it is there.
    pub(super) fn text(self, name: &'static str) -> Result<Option<String>, RefusedMember> {
        match self {
            Self::Absent | Self::Null => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Other(found) => Err(RefusedMember::NotAString { name, found }),
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::Null => "null",
            Self::Text(_) => "text",
            Self::Other(found) => found,
        })
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

macro_rules! other {
    ($($method:ident($type:ty): $found:literal;)*) => {
        $(fn $method<E>(self, _: $type) -> Result<Member, E> {
            Ok(Member::Other($found))
        })*
    };
}

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member")
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Null)
    }

    other! {
        visit_bool(bool): "a boolean";
        visit_i64(i64): "a number";
        visit_u64(u64): "a number";
        visit_f64(f64): "a number";
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Member, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Other("an object"))
    }
}
