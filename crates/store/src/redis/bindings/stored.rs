//! A person's binding: the states of the binding protocol, whose steps `login::binder` combines,
//! and their form in Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::{FromRedisValue, ParsingError, Value};
use wxmint_ids::{Person, UnionId, UserId, packed};
use wxmint_redis_link::Call;

use super::Bindings;
use crate::redis::name;
use crate::{AttemptMark, Result, StoreError};

/// How long a unionid stays linked to a user while the person is not bound to that user yet.
pub const UNPROVEN_LINK_KEPT: Duration = Duration::from_hours(1);

/// The state of a person's binding. Each generation has one intent, one decision, and at most one
/// unbinding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingState {
    /// The person has no binding.
    Free {
        /// The generation of the last binding; `None` before the first.
        generation: Option<Generation>,
        /// Whether the person has unbound. Then the person is not bound again without credentials.
        dissolved: bool,
    },
    /// An intent was written, and the user's list has to decide.
    Intended {
        generation: Generation,
        intent: Intent,
    },
    /// The person is bound.
    Bound(Bound),
    /// The person is no longer bound, but still on the user's list.
    Leaving {
        generation: Generation,
        user: UserId,
        /// The last second with which a token of the binding may be dated, since 1970.
        since: i64,
    },
}

/// The user to whom a person is to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub user: UserId,
    /// Whether the user may have been made for this binding. Then the answer of the user's first
    /// binding has `new_user`.
    pub made: bool,
    /// Whether the user was found by the unionid alone. Such an intent is refused if that user has
    /// no bindings left ([`Decision::Deserted`]).
    pub by_unionid: bool,
}

/// The generation of a person's binding. A late command for an old binding names an old generation,
/// so it changes nothing.
///
/// Redis, the scripts and the tags of tokens have it as its [number](Self::number), in decimal.
/// Only the list of a computed user has a day and `c` in its place (`admit.lua`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The person has a computed user, and no record of a binding. The number is 0.
    Computed,
    /// The number of the binding among the person's bindings, which begins with 1.
    Numbered(NonZeroU64),
}

impl Generation {
    /// The generation with this number; `Computed` for 0.
    pub const fn from_number(number: u64) -> Self {
        match NonZeroU64::new(number) {
            Some(number) => Self::Numbered(number),
            None => Self::Computed,
        }
    }

    /// The number of this generation; 0 for `Computed`.
    pub const fn number(self) -> u64 {
        match self {
            Self::Computed => 0,
            Self::Numbered(number) => number.get(),
        }
    }

    /// The number of the last binding of a person; 0 before the first.
    pub fn number_of_last(last: Option<Self>) -> u64 {
        last.map_or(0, Self::number)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// A person's binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The number of this binding among the person's; [`Generation::Computed`] for a computed user.
    pub generation: Generation,
    pub user: UserId,
    /// When the person was bound, to the second. For a computed user: the person's last login, or
    /// 1970 if it is not known.
    pub bound_at: DateTime<Utc>,
    /// The person's last login: when the exchange of the code began, or the bind ticket was
    /// redeemed. During a login, this is only the login that was noted when the last session keys
    /// were deleted.
    pub last_login: Option<DateTime<Utc>>,
    /// The unionid that was seen last.
    pub unionid: Option<UnionId>,
    /// Other unionids that may be linked to the user: one that is about to be linked, and those
    /// that the person had before.
    pub others: BTreeSet<UnionId>,
    /// The other user that the unionid was linked to when it was seen.
    pub conflict: Option<UserId>,
    /// Whether a unionid of the person may also belong to another user; see
    /// [`UnionIds::share`](crate::UnionIds::share).
    pub shared: bool,
    /// The attempt that made this binding, if it is the first binding of a user who was made for
    /// it.
    pub new_for: Option<AttemptMark>,
    /// Whether the user is blocked, as it is noted on the binding.
    pub blocked: bool,
}

impl Bound {
    /// A person with a computed user and without a binding.
    pub fn computed(user: UserId) -> Self {
        let (bound_at, last_login, unionid, others, conflict, shared, new_for, blocked) =
            Default::default();
        Self {
            generation: Generation::Computed,
            user,
            bound_at,
            last_login,
            unionid,
            others,
            conflict,
            shared,
            new_for,
            blocked,
        }
    }
}

/// The decision of a user's list on one generation of a person's binding. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The user's list has the person.
    Admitted {
        /// Whether this is the first person on the list.
        first: bool,
    },
    /// The user has as many persons of this app as allowed.
    Full,
    /// The user is blocked.
    Blocked,
    /// The user was found by a unionid alone, and has no bindings left.
    Deserted,
    /// The person has been unbound since.
    Dismissed,
}

/// The fields that `change_binding.lua` writes. Their names are letters; README.md explains them.
#[derive(Default)]
pub(in crate::redis) struct StoredBinding(BTreeMap<Vec<u8>, Vec<u8>>);

impl FromRedisValue for StoredBinding {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        FromRedisValue::from_redis_value(value).map(Self)
    }
}

impl StoredBinding {
    pub(in crate::redis) fn field(&self, name: u8) -> Option<&[u8]> {
        self.0.get(&[name][..]).map(Vec::as_slice)
    }

    pub(in crate::redis) fn number(&self, name: u8) -> Option<i64> {
        str::from_utf8(self.field(name)?).ok()?.parse().ok()
    }

    /// Whether replicas have not confirmed the binding yet.
    pub(in crate::redis) fn is_unconfirmed(&self) -> bool {
        self.field(b'u').and(self.field(b'w')).is_some()
    }

    /// Whether a revocation may cover the next login's token: the session keys were deleted,
    /// perhaps together with a revocation, or the person was bound to an existing user, and no
    /// later login has found its token valid.
    pub(in crate::redis) fn may_be_revoked(&self) -> bool {
        self.field(b'd').is_some()
    }

    /// The generation of the last binding; `None` before the first.
    pub(in crate::redis) fn generation(&self) -> Result<Option<Generation>> {
        if self.field(b'g').is_none() {
            return Ok(None);
        }
        let number = self
            .number(b'g')
            .and_then(|number| u64::try_from(number).ok())
            .ok_or(StoreError::Damaged("a binding's generation"))?;
        Ok(NonZeroU64::new(number).map(Generation::Numbered))
    }

    pub(in crate::redis) fn state(self) -> Result<BindingState> {
        let is_set = |name| self.field(name) == Some(b"1");
        let last = self.generation()?;
        let numbered = || last.ok_or(StoreError::Damaged("a binding's generation"));
        if let Some(user) = self.field(b'u') {
            let is_on = self.field(b's').is_some_and(|block| block.ends_with(b"on"));
            let time = |name| {
                self.number(name)
                    .and_then(|second| DateTime::from_timestamp(second, 0))
            };
            return Ok(BindingState::Bound(Bound {
                generation: numbered()?,
                user: packed::read_user(user)?,
                bound_at: time(b'b').ok_or(StoreError::Damaged("a binding's time"))?,
                last_login: time(b'l'),
                unionid: self.field(b'n').map(packed::read_unionid).transpose()?,
                others: self
                    .field(b'o')
                    .map(packed::read_unionids)
                    .transpose()?
                    .into_iter()
                    .flatten()
                    .collect(),
                conflict: self.field(b'c').map(packed::read_user).transpose()?,
                shared: is_set(b'r'),
                new_for: self
                    .field(b'f')
                    .and_then(|mark| Some(AttemptMark(u32::from_be_bytes(mark.try_into().ok()?)))),
                blocked: is_on && self.field(b'k') == Some(user),
            }));
        }
        if let Some(user) = self.field(b'i') {
            let intent = Intent {
                user: packed::read_user(user)?,
                made: is_set(b'm'),
                by_unionid: is_set(b'a'),
            };
            return Ok(BindingState::Intended {
                generation: numbered()?,
                intent,
            });
        }
        if let Some(user) = self.field(b'q') {
            let since = self
                .number(b't')
                .ok_or(StoreError::Damaged("when a person left"))?;
            return Ok(BindingState::Leaving {
                generation: numbered()?,
                user: packed::read_user(user)?,
                since,
            });
        }
        Ok(BindingState::Free {
            generation: last,
            dissolved: is_set(b'v'),
        })
    }
}

pub(in crate::redis) fn stored_binding(person: &Person) -> Call {
    Call::of("HGETALL", name::binding(person))
}

impl Bindings {
    /// The state of a person's binding. If replicas have not confirmed it yet, waits until they
    /// have: the request that made it may have been answered with an error.
    pub(in crate::redis) async fn certain(
        &self,
        person: &Person,
        stored: StoredBinding,
    ) -> Result<BindingState> {
        if !stored.is_unconfirmed() {
            return stored.state();
        }
        let stored = self
            .link
            .run_confirmed("binding_state", stored_binding(person))
            .await?;
        self.confirmed(person, stored)
    }

    /// The state of a binding that replicas have just confirmed. Deletes the mark that it is
    /// unconfirmed. If that is lost, the next login waits once more.
    pub(in crate::redis) fn confirmed(
        &self,
        person: &Person,
        stored: StoredBinding,
    ) -> Result<BindingState> {
        if stored.is_unconfirmed() {
            self.link
                .later(Call::of("HDEL", name::binding(person)).arg("w"));
        }
        stored.state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_stored_and_shown_as_its_number() {
        let second = NonZeroU64::new(2).expect("not 0");
        for (generation, number) in [
            (Generation::Computed, 0),
            (Generation::Numbered(NonZeroU64::MIN), 1),
            (Generation::Numbered(second), 2),
        ] {
            assert_eq!(generation.number(), number);
            assert_eq!(Generation::from_number(number), generation);
            assert_eq!(generation.to_string(), number.to_string());
            assert_eq!(Generation::number_of_last(Some(generation)), number);
        }
        assert_eq!(Generation::number_of_last(None), 0);
    }
}
