//! A person as Redis has it: the binding, and beside it the session, which has a line for each of the two latest
//! exchanges, as `session.lua` describes it.

use std::{collections::BTreeMap, ops::Range};

use chrono::DateTime;
use redis::{FromRedisValue, ParsingError, Value};

use super::{Call, Redis, name, packed, unreadable};
use crate::{AttemptMark, BindingState, Bound, ExchangeOrder, Intent, Person, Result, Sealed};

/// The order of a line's exchange: microseconds since 1970 in 52 bits, and 4 random bits of its attempt, which tell two
/// exchanges of a microsecond apart.
pub(super) const ORDER: Range<usize> = 0..7;
/// Until when its login counts, in quarters of a second since 2020; 0 if it does not. They last until 2054.
pub(super) const TILL: Range<usize> = 7..11;
const QUARTER: u64 = 250_000;
const SINCE_2020: u64 = 1_577_836_800 * 4;

/// The fields that `change_binding.lua` writes. Each has a letter for a name, and README.md says what it means.
#[derive(Default)]
pub(super) struct StoredBinding(BTreeMap<Vec<u8>, Vec<u8>>);

impl FromRedisValue for StoredBinding {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        FromRedisValue::from_redis_value(value).map(Self)
    }
}

impl StoredBinding {
    pub(super) fn field(&self, name: u8) -> Option<&[u8]> {
        self.0.get(&[name][..]).map(Vec::as_slice)
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

    pub(super) fn generation(&self) -> Result<u64> {
        let generation = self.field(b'g').map_or(Some(0), |_| self.number(b'g')?.try_into().ok());
        generation.ok_or_else(|| unreadable("a binding's generation"))
    }

    pub(super) fn state(self) -> Result<BindingState> {
        let (is_set, generation) = (|name| self.field(name) == Some(b"1"), self.generation()?);
        if let Some(user) = self.field(b'u') {
            let is_on = self.field(b's').is_some_and(|block| block.ends_with(b"on"));
            let time = |name| self.number(name).and_then(|second| DateTime::from_timestamp(second, 0));
            return Ok(BindingState::Bound(Bound {
                generation,
                user: packed::read_user(user)?,
                bound_at: time(b'b').ok_or_else(|| unreadable("a binding's time"))?,
                last_login: time(b'l'),
                unionid: self.field(b'n').map(packed::read_unionid).transpose()?,
                others: self.field(b'o').map(packed::read_unionids).transpose()?.into_iter().flatten().collect(),
                conflict: self.field(b'c').map(packed::read_user).transpose()?,
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

impl Redis {
    /// Where a person stands. If that is a binding that replicas have not confirmed yet, they do so first: whoever made
    /// it may have been told that it failed.
    pub(super) async fn certain(&self, person: &Person, stored: StoredBinding) -> Result<BindingState> {
        if !stored.is_unconfirmed() {
            return stored.state();
        }
        let stored = self.link.run_confirmed("binding_state", stored_binding(person)).await?;
        self.confirmed(person, stored)
    }

    /// A binding that replicas have confirmed just now need not be confirmed again. A mark that stays costs the next
    /// login a wait.
    pub(super) fn confirmed(&self, person: &Person, stored: StoredBinding) -> Result<BindingState> {
        if stored.is_unconfirmed() {
            self.link.later(Call::of("HDEL", name::binding(person)).arg("w"));
        }
        stored.state()
    }
}

/// An exchange as a line of a session, behind its length. `till` when the login counts, in quarters.
pub(super) fn line(order: &ExchangeOrder, till: u64, sealed: &Sealed) -> Vec<u8> {
    let place = order.micros << 4 | u64::from(order.mark.0 & 15);
    let (till, sealed) = (u32::try_from(till).unwrap_or(u32::MAX), sealed.as_bytes());
    let length = (TILL.end + sealed.len()) as u16;
    [&length.to_be_bytes()[..], &place.to_be_bytes()[1..], &till.to_be_bytes(), sealed].concat()
}

/// The first quarter that is not before that time.
pub(super) fn quarter(micros: u64) -> u64 {
    micros.div_ceil(QUARTER).saturating_sub(SINCE_2020)
}

/// Since 1970.
pub(super) fn micros(quarter: u64) -> u64 {
    (quarter + SINCE_2020) * QUARTER
}
