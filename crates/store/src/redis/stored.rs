//! A person's binding: the states of the binding protocol, whose steps `login::binder` puts together, and how Redis has
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::{FromRedisValue, ParsingError, Value};
use wxmint_ids::{UnionId, UserId};

use super::{Call, Store, name, packed, unreadable};
use crate::{AttemptMark, Person, Result};

/// How long a unionid stays linked to a user for whom the person has not been bound yet.
pub const UNPROVEN_LINK_KEPT: Duration = Duration::from_secs(60 * 60);

/// The state of a person's binding. Each generation has one intent, one decision, and perhaps one dissolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingState {
    Free {
        /// The generation of the last binding; 0 before the first.
        generation: u64,
        /// Whether the person has dissolved the last binding. Then it is not made again without credentials.
        dissolved: bool,
    },
    /// An intent was written, and the user's list has to decide.
    Intended {
        generation: u64,
        intent: Intent,
    },
    Bound(Bound),
    /// No longer bound, but still on the user's list.
    Leaving {
        generation: u64,
        user: UserId,
        /// The last second of which a token may be.
        since: i64,
    },
}

/// The user to whom a person is to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub user: UserId,
    /// Whether the user may have been made for this binding. Then the user's first binding answers `new_user`.
    pub made: bool,
    /// True if the binding was made only because of the unionid; ignored if that user has no bindings left.
    pub by_unionid: bool,
}

/// The generation of a person without a binding, whose user id was computed.
pub const COMPUTED: u64 = 0;

/// A person's binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Differs from the person's earlier bindings.
    pub generation: u64,
    pub user: UserId,
    /// To the second. Of a computed user: when the person logged in last, or 1970 if that is not known.
    pub bound_at: DateTime<Utc>,
    /// When the person has logged in last: when the exchange of the code began, or the bind ticket was redeemed. Who
    /// logs in is told of that alone which was noted when a session ended.
    pub last_login: Option<DateTime<Utc>>,
    /// The unionid that was seen last.
    pub unionid: Option<UnionId>,
    /// Other unionids that may be linked to the user: one that is about to be, and those that the person had before.
    pub others: BTreeSet<UnionId>,
    /// The other user whom the unionid was linked to when it was seen.
    pub conflict: Option<UserId>,
    /// Whether a unionid may be another user's too, as [`Store::share_unionid`](crate::Redis::share_unionid) tells.
    pub shared: bool,
    /// The attempt that has made this binding, if it is the first one of a user who was made for it.
    pub new_for: Option<AttemptMark>,
    pub blocked: bool,
}

impl Bound {
    pub fn computed(user: UserId) -> Self {
        let (bound_at, last_login, unionid, others, conflict, shared, new_for, blocked) = Default::default();
        Self { generation: COMPUTED, user, bound_at, last_login, unionid, others, conflict, shared, new_for, blocked }
    }
}

/// The decision of a user's list about one generation of a person. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Admitted {
        /// Whether this is the first person on the list.
        first: bool,
    },
    /// The user has as many people of this app as allowed.
    Full,
    Blocked,
    /// The intent came from a unionid alone, and the user has no bindings left.
    Deserted,
    /// The binding has been dissolved since.
    Dismissed,
}

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

impl Store {
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
