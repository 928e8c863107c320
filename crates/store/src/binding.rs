//! The steps of the binding protocol. `login::binder` puts them together.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use wxmint_ids::{UnionId, UserId};

use super::{AttemptMark, Person, Result};

/// How long a unionid stays linked to a user for whom the person has not been bound yet.
pub const UNPROVEN_LINK_KEPT: Duration = Duration::from_secs(60 * 60);

/// Each step touches the keys of one person, one user or one unionid, takes one round trip, and is idempotent:
/// repeated, it answers the same again.
#[async_trait(?Send)]
pub trait Bindings {
    async fn binding_state(&self, person: &Person) -> Result<BindingState>;

    /// Writes the intent to bind a person to a user, if the person is free and has this `generation`. The intent has
    /// the next generation.
    async fn intend(&self, person: &Person, generation: u64, intent: &Intent) -> Result<BindingState>;

    /// Decides whether the person may be bound as it is intended. This is the only place where that is decided, once
    /// for each generation. `per_app` is the number of people of one app that a user may have.
    async fn admit(&self, person: &Person, generation: u64, intent: &Intent, per_app: u32) -> Result<Decision>;

    /// Carries the decision out, if this intent still waits for it, which after a loss of the store `generation` alone
    /// does not name. A new binding notes the unionid to be linked, as [`note_unionid`](Self::note_unionid) does.
    async fn settle(
        &self,
        person: &Person,
        generation: u64,
        user: &UserId,
        outcome: IntentOutcome,
    ) -> Result<BindingState>;

    /// Begins to dissolve a binding and deletes the session key. From here on no login finds the binding. Of a computed
    /// user nothing is left but the ends of the tokens.
    async fn leave(&self, person: &Person, bound: &Bound) -> Result<BindingState>;

    /// Takes the person off the user's list, and ends the user's tokens of that app that were issued up to `since`,
    /// when the person left. A request that finishes this later must not end the tokens of a new binding.
    async fn dismiss(&self, user: &UserId, person: &Person, generation: u64, since: i64) -> Result<()>;

    /// Marks the dissolution of the user's binding of this `generation` as complete.
    async fn set_free(&self, person: &Person, generation: u64, user: &UserId) -> Result<BindingState>;

    /// The people on the user's list. `None` if the user never had any.
    async fn people_of(&self, user: &UserId) -> Result<Option<Vec<Person>>>;

    /// The user whom a unionid is linked to. Links it to `candidate` if it is linked to nobody, for
    /// [`UNPROVEN_LINK_KEPT`]: the candidate may never come to have a person, and then nobody would find the link.
    async fn claim_unionid(&self, unionid: &UnionId, candidate: Option<&UserId>) -> Result<Option<UserId>>;

    /// Links a unionid to `to` for good, if it is linked to `from` or `to` or to nobody. Returns the user whom it is
    /// linked to now.
    async fn move_unionid(&self, unionid: &UnionId, from: &UserId, to: &UserId) -> Result<UserId>;

    /// Notes on the binding that a unionid is about to be linked to the user, so that the person's erasure finds the
    /// link. Whether the person is bound to the user still.
    async fn note_unionid(&self, person: &Person, user: &UserId, unionid: &UnionId) -> Result<bool>;

    /// Notes that a unionid is of all these users, who are in conflict. Returns all users of whom that is noted.
    async fn share_unionid(&self, unionid: &UnionId, users: &[&UserId]) -> Result<Vec<UserId>>;

    /// Notes on the person's binding to this user, if it is there, that a unionid of theirs may be another user's too.
    async fn note_shared(&self, person: &Person, user: &UserId) -> Result<()>;

    /// Notes on the binding which unionid was seen, and whether it is linked to another user. Returns whether the
    /// conflict is new; `None` if the person is not bound to the user any more.
    async fn link_unionid(
        &self,
        person: &Person,
        user: &UserId,
        unionid: &UnionId,
        conflict: Option<&UserId>,
    ) -> Result<Option<bool>>;
}

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

impl BindingState {
    pub fn generation(&self) -> u64 {
        match self {
            Self::Free { generation, .. } | Self::Intended { generation, .. } | Self::Leaving { generation, .. } => {
                *generation
            }
            Self::Bound(bound) => bound.generation,
        }
    }
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

/// A binding, as far as a login needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Differs from the person's earlier bindings.
    pub generation: u64,
    pub user: UserId,
    /// The unionid that was seen last.
    pub unionid: Option<UnionId>,
    /// Other unionids that may be linked to the user: one that is about to be, and those that the person had before.
    pub others: BTreeSet<UnionId>,
    /// The other user whom the unionid was linked to when it was seen.
    pub conflict: Option<UserId>,
    /// Whether a unionid may be another user's too, as [`Bindings::share_unionid`] tells.
    pub shared: bool,
    /// The attempt that has made this binding, if it is the first one of a user who was made for it.
    pub new_for: Option<AttemptMark>,
    pub blocked: bool,
}

impl Bound {
    /// To a computed user.
    pub fn computed(user: UserId) -> Self {
        let (unionid, others, conflict, shared, new_for, blocked) = Default::default();
        Self { generation: COMPUTED, user, unionid, others, conflict, shared, new_for, blocked }
    }
}

/// All that is stored of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub person: Person,
    pub user: UserId,
    /// The unionid that was seen last.
    pub unionid: Option<UnionId>,
    /// Other unionids that may be linked to the user: from before the person's unionid changed.
    pub others: Vec<UnionId>,
    /// The other user whom the unionid was linked to then.
    pub conflict: Option<UserId>,
    /// To the second. Of a computed user: when the person logged in last.
    pub bound_at: DateTime<Utc>,
}

impl Binding {
    /// Stands for the binding of a person who has none, and has logged in last then.
    pub(crate) fn computed(person: &Person, user: UserId, at: Option<DateTime<Utc>>) -> Self {
        let (unionid, others, conflict) = Default::default();
        Self { person: person.clone(), user, unionid, others, conflict, bound_at: at.unwrap_or_default() }
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentOutcome {
    Bound {
        /// See [`Bound::new_for`].
        new_for: Option<AttemptMark>,
        unionid: Option<UnionId>,
    },
    Dropped,
}
