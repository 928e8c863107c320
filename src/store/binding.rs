//! What the steps of the binding protocol say (`login::binding` joins them).

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{AttemptId, Person, StoreError};
use crate::ids::{UnionId, UserId};

/// The steps of the protocol. Each touches the keys of one person, one user or one unionid, may be repeated, and is one
/// round trip. `claim` is the request's own: a step that is repeated with it answers the same again.
#[async_trait(?Send)]
pub trait Bindings {
    /// Where a person stands.
    async fn binding_state(&self, person: &Person, attempt: &AttemptId) -> Result<BindingState, StoreError>;

    /// Writes down whom a person is to be bound to, if the person is free and of this `generation`; the intent is of the
    /// next one.
    async fn intend(
        &self,
        person: &Person,
        generation: u64,
        intent: &Intent,
        attempt: &AttemptId,
    ) -> Result<BindingState, StoreError>;

    /// Decides whether `user` takes the person: the one place where that is decided, once for each generation. `per_app`
    /// is how many people of one app a user may have.
    async fn admit(
        &self,
        user: &UserId,
        person: &Person,
        generation: u64,
        by_unionid: bool,
        per_app: u32,
    ) -> Result<Decision, StoreError>;

    /// Carries a decision out, if the intent of this `generation` still waits for one.
    async fn settle(
        &self,
        person: &Person,
        generation: u64,
        outcome: IntentOutcome,
        attempt: &AttemptId,
    ) -> Result<BindingState, StoreError>;

    /// Ends a binding, and forgets the session key: the person can log in to nobody from here on.
    async fn leave(&self, person: &Person, bound: &Bound, attempt: &AttemptId) -> Result<BindingState, StoreError>;

    /// Takes the person off the user's list.
    async fn dismiss(&self, user: &UserId, person: &Person, generation: u64) -> Result<(), StoreError>;

    /// Ends the leaving of this `generation`.
    async fn set_free(&self, person: &Person, generation: u64, attempt: &AttemptId)
    -> Result<BindingState, StoreError>;

    /// Those whom the user has admitted and not dismissed; `None` for a user who never had any.
    async fn people_of(&self, user: &UserId) -> Result<Option<Vec<Person>>, StoreError>;

    /// The user whom a unionid stands for: `candidate`, if it stood for nobody.
    async fn claim_unionid(&self, unionid: &UnionId, candidate: Option<&UserId>) -> Result<Option<UserId>, StoreError>;

    /// Lets a unionid stand for `to`, if it stands for `from` or nobody. Answers whom it stands for now.
    async fn move_unionid(&self, unionid: &UnionId, from: &UserId, to: &UserId) -> Result<UserId, StoreError>;

    /// Writes down that the unionid of a person bound to `user` has been looked at, and whether it stands for another
    /// user. Answers whether that is news.
    async fn link_unionid(
        &self,
        person: &Person,
        user: &UserId,
        unionid: &UnionId,
        conflict: Option<&UserId>,
    ) -> Result<bool, StoreError>;
}

/// Where a person stands. Each generation has one intent, one decision, and perhaps one leaving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingState {
    /// Bound to nobody.
    Free {
        /// Of the last binding; 0 before the first.
        generation: u64,
        /// Whether the last binding was dissolved by its owner: it is not made again unasked.
        dissolved: bool,
    },
    /// About to be bound; the decision is the user's.
    Intended {
        /// Of this binding.
        generation: u64,
        /// Whom to.
        intent: Intent,
    },
    /// Bound.
    Bound(Bound),
    /// No longer bound, and still on the user's list.
    Leaving {
        /// Of this binding.
        generation: u64,
        /// Whose list.
        user: UserId,
    },
}

/// Whom a person is to be bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The business user.
    pub user: UserId,
    /// Whether the user may have been made for this: then the user's first binding answers `new_user`.
    pub made: bool,
    /// Whether it is for the unionid's sake alone, which is worth nothing where the user has left all of their people.
    pub by_unionid: bool,
}

/// A binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Tells it from the person's other bindings.
    pub generation: u64,
    /// The business user.
    pub user: UserId,
    /// The unionid as it was last looked at.
    pub unionid: Option<UnionId>,
    /// Whether the asking request itself has made the user's first binding.
    pub new: bool,
}

/// A binding as it is looked up and moved: all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Who is bound.
    pub person: Person,
    /// The business user.
    pub user: UserId,
    /// The unionid as it was last looked at.
    pub unionid: Option<UnionId>,
    /// The user whom the unionid stood for then, if another.
    pub conflict: Option<UserId>,
    /// Since when, to the millisecond.
    pub bound_at: DateTime<Utc>,
}

/// What a user's list says of a person, for one generation and for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// On the list.
    Admitted {
        /// Whether nobody ever was before.
        first: bool,
    },
    /// The user has as many people in this app as may be.
    Full,
    /// Was to be for a unionid's sake, and the user has left all of their people.
    Deserted,
    /// Dismissed since.
    Dismissed,
}

/// What becomes of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentOutcome {
    /// A binding.
    Bound {
        /// Whether it is the first of a user who was made for it.
        new: bool,
    },
    /// Nothing.
    Dropped,
}
