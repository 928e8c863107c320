//! A person's binding as Redis has it.

use redis::{FromRedisValue, ParsingError, Value};

use super::{
    super::{AttemptId, BindingState, Bound, Intent, Result},
    binding::parse_user,
    unreadable,
};

/// Of a person's binding.
const FIELDS: [&str; 14] = [
    "generation",
    "user_id",
    "unionid",
    "unionid_others",
    "new_for",
    "intent_user",
    "intent_made",
    "intent_by_unionid",
    "leaving_user",
    "leaving_since",
    "dissolved",
    "block_of",
    "block",
    "unconfirmed",
];

#[derive(Default)]
pub(super) struct StoredBinding([Option<String>; FIELDS.len()]);

impl FromRedisValue for StoredBinding {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut stored = Self::default();
        let mut members = Vec::<Value>::from_redis_value(value)?.into_iter();
        while let (Some(Value::BulkString(name)), Some(value)) = (members.next(), members.next()) {
            if let Some(index) = FIELDS.iter().position(|field| field.as_bytes() == name) {
                stored.0[index] = Some(String::from_redis_value(value)?);
            }
        }
        Ok(stored)
    }
}

impl StoredBinding {
    /// Whether a binding was made, and replicas have not confirmed it yet.
    pub(super) fn is_unconfirmed(&self) -> bool {
        let [_, user, .., unconfirmed] = &self.0;
        user.is_some() && unconfirmed.is_some()
    }

    /// Whether the person was never bound, and has dissolved nothing.
    pub(super) fn is_newcomer(&self) -> bool {
        let mut set = FIELDS.iter().zip(&self.0).filter(|(_, value)| value.is_some()).map(|(field, _)| field);
        set.all(|field| field.starts_with("block"))
    }

    /// Where the person stands, for `attempt`.
    pub(super) fn state(self, attempt: &AttemptId) -> Result<BindingState> {
        let [
            generation,
            user,
            unionid,
            others,
            new_for,
            intended,
            made,
            by_unionid,
            leaving,
            since,
            dissolved,
            block_of,
            block,
            _,
        ] = self.0;
        let generation = generation.as_deref().unwrap_or("0").parse();
        let generation = generation.map_err(|_| unreadable("a binding's generation"))?;
        let is_set = |flag: Option<String>| flag.is_some_and(|flag| flag == "1");
        if let Some(user) = user {
            let blocked = block_of.as_ref() == Some(&user) && block.is_some_and(|block| block.ends_with("on"));
            return Ok(BindingState::Bound(Bound {
                generation,
                user: parse_user(&user)?,
                unionid: unionid.and_then(|unionid| unionid.parse().ok()),
                others: others.iter().flat_map(|all| all.split_whitespace()).flat_map(str::parse).collect(),
                new: new_for.is_some_and(|new_for| new_for == attempt.to_string()),
                blocked,
            }));
        }
        if let Some(user) = intended {
            let intent = Intent { user: parse_user(&user)?, made: is_set(made), by_unionid: is_set(by_unionid) };
            return Ok(BindingState::Intended { generation, intent });
        }
        if let Some(user) = leaving {
            let since = since.and_then(|since| since.parse().ok());
            return Ok(BindingState::Leaving { generation, user: parse_user(&user)?, since });
        }
        Ok(BindingState::Free { generation, dissolved: is_set(dissolved) })
    }
}
