//! The steps of the binding protocol. `login::binder` puts them together.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use wxmint_ids::{UnionId, UserId};

use super::AttemptMark;

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

/// The user of a person, as far as it is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    pub user: UserId,
    /// Whether the person is noted on the user's list, so that the user's people can be found.
    pub listed: bool,
}

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
    /// Whether a unionid may be another user's too, as [`Redis::share_unionid`](crate::Redis::share_unionid) tells.
    pub shared: bool,
    /// The attempt that has made this binding, if it is the first one of a user who was made for it.
    pub new_for: Option<AttemptMark>,
    pub blocked: bool,
}

impl Bound {
    /// To a computed user.
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
