//! A person's binding as Redis has it.

use std::collections::HashMap;

use redis::{FromRedisValue, ParsingError, Value};
use wxmint_ids::UserId;

use super::{
    super::{BindingState, Bound, Intent, Person, Result},
    Call, name, unreadable,
};

/// The fields that `change_binding.lua` writes.
pub(super) struct StoredBinding(HashMap<String, String>);

impl FromRedisValue for StoredBinding {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        FromRedisValue::from_redis_value(value).map(Self)
    }
}

impl StoredBinding {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a binding was made, and replicas have not confirmed it yet.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.field("user_id").and(self.field("unconfirmed")).is_some()
    }

    /// Whether the person was never bound, and has dissolved nothing.
    pub(super) fn is_newcomer(&self) -> bool {
        self.0.keys().all(|field| field.starts_with("block"))
    }

    /// Whether no login since has found that no end names its token. The session keys were dropped, and the user's tokens ended, or
    /// the person came to a user who was there before.
    pub(super) fn may_be_ended(&self) -> bool {
        self.field("dropped").is_some()
    }

    /// Where the person stands.
    pub(super) fn state(self) -> Result<BindingState> {
        let field = |name| self.field(name);
        let is_set = |name| field(name) == Some("1");
        let generation = field("generation").unwrap_or("0").parse();
        let generation = generation.map_err(|_| unreadable("a binding's generation"))?;
        if let Some(user) = field("user_id") {
            let others = field("unionid_others").unwrap_or_default().split_whitespace();
            return Ok(BindingState::Bound(Bound {
                generation,
                user: parse_user(user)?,
                unionid: field("unionid").and_then(|unionid| unionid.parse().ok()),
                others: others.flat_map(str::parse).collect(),
                new_for: field("new_for").and_then(|new_for| new_for.parse().ok()),
                blocked: field("block_of") == Some(user) && field("block").is_some_and(|block| block.ends_with("on")),
            }));
        }
        if let Some(user) = field("intent_user") {
            let (made, by_unionid) = (is_set("intent_made"), is_set("intent_by_unionid"));
            let intent = Intent { user: parse_user(user)?, made, by_unionid };
            return Ok(BindingState::Intended { generation, intent });
        }
        if let Some(user) = field("leaving_user") {
            let since = field("leaving_since").and_then(|since| since.parse().ok());
            let since = since.ok_or_else(|| unreadable("when a person left"))?;
            return Ok(BindingState::Leaving { generation, user: parse_user(user)?, since });
        }
        Ok(BindingState::Free { generation, dissolved: is_set("dissolved") })
    }
}

/// Reads a person's binding.
pub(super) fn stored_binding(person: &Person) -> Call {
    Call::of("HGETALL", name::binding(person))
}

pub(super) fn person_of(entry: &str) -> Result<Person> {
    let (app, openid) = entry.split_once(':').ok_or_else(|| unreadable("a user's list"))?;
    let (Ok(app), Ok(openid)) = (app.parse(), openid.parse()) else { return Err(unreadable("a user's list")) };
    Ok(Person { app, openid })
}

pub(super) fn parse_user(text: &str) -> Result<UserId> {
    text.parse().map_err(|_| unreadable("a user id"))
}
