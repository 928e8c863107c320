//! A person's binding as Redis has it.

use redis::{FromRedisValue, ParsingError, Value};

use super::{Call, name, packed, unreadable};
use crate::{AttemptMark, BindingState, Bound, Intent, Person, Result};

/// The fields that `change_binding.lua` writes. Each has a letter for a name, and README.md says what it means.
#[derive(Default)]
pub(super) struct StoredBinding(Vec<(u8, Vec<u8>)>);

impl FromRedisValue for StoredBinding {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut fields = Vec::with_capacity(8);
        for pair in value.into_map_iter().map_err(|_| "a binding is a hash")? {
            if let (Value::BulkString(name), Value::BulkString(value)) = pair {
                fields.extend(<[u8; 1]>::try_from(name).map(|[letter]| (letter, value)));
            }
        }
        Ok(Self(fields))
    }
}

impl StoredBinding {
    pub(super) fn field(&self, name: u8) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_slice())
    }

    pub(super) fn number(&self, name: u8) -> Option<i64> {
        str::from_utf8(self.field(name)?).ok()?.parse().ok()
    }

    /// Whether a binding was made, and replicas have not confirmed it yet.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.field(b'u').and(self.field(b'w')).is_some()
    }

    /// Whether no login since has found that no end names its token. The session keys were dropped, and the user's
    /// tokens ended, or the person came to a user who was there before.
    pub(super) fn may_be_ended(&self) -> bool {
        self.field(b'd').is_some()
    }

    /// Where the person stands.
    pub(super) fn state(self) -> Result<BindingState> {
        let is_set = |name| self.field(name) == Some(b"1");
        let generation = match self.field(b'g') {
            None => Some(0),
            Some(_) => self.number(b'g').and_then(|number| number.try_into().ok()),
        };
        let generation = generation.ok_or_else(|| unreadable("a binding's generation"))?;
        if let Some(user) = self.field(b'u') {
            let is_on = self.field(b's').is_some_and(|block| block.ends_with(b"on"));
            return Ok(BindingState::Bound(Bound {
                generation,
                user: packed::read_user(user)?,
                unionid: self.field(b'n').and_then(|unionid| packed::read_unionid(unionid).ok()),
                others: self.field(b'o').map(packed::read_unionids).transpose()?.into_iter().flatten().collect(),
                conflict: self.field(b'c').and_then(|user| packed::read_user(user).ok()),
                shared: is_set(b'r'),
                new_for: self.field(b'f').and_then(|mark| Some(AttemptMark(u32::from_be_bytes(mark.try_into().ok()?)))),
                blocked: is_on && self.field(b'k') == Some(user),
            }));
        }
        if let Some(user) = self.field(b'i') {
            let intent = Intent { user: packed::read_user(user)?, made: is_set(b'm'), by_unionid: is_set(b'a') };
            return Ok(BindingState::Intended { generation, intent });
        }
        if let Some(user) = self.field(b'q') {
            let since = self.number(b't').ok_or_else(|| unreadable("when a person left"))?;
            return Ok(BindingState::Leaving { generation, user: packed::read_user(user)?, since });
        }
        Ok(BindingState::Free { generation, dissolved: is_set(b'v') })
    }
}

pub(super) fn stored_binding(person: &Person) -> Call {
    Call::of("HGETALL", name::binding(person))
}
