//! Everything that outlives a request: claimed codes, sealed session keys, bindings, tickets,
//! revocations, limits.
//!
//! `redis` has the operations. They run on a real Redis or on the one of `memory`, a feature of this
//! crate, under one conformance suite. Every write is idempotent, because a write whose answer was
//! lost may have been executed: it carries the id of its attempt, which distinguishes a repetition
//! from a rival request. Only limits count a repetition as an event of its own. Each step touches
//! the keys of one person, one user or one unionid, because a Redis Cluster keeps these in different
//! slots; `login::binder` combines the steps.

// Lets the servers of the conformance suite name this crate as the doors do.
#[cfg(test)]
extern crate self as wxmint_store;

mod conformance;
mod error;
#[cfg(any(test, feature = "memory"))]
mod memory;
mod redis;
#[cfg(test)]
#[path = "../../../tests/it/support/limit.rs"]
mod test_limit;

use chrono::{DateTime, Utc};
use wxmint_ids::{Person, UserId};
use wxmint_keys::vault::Sealed;

pub use self::error::StoreError;
use self::limits::{Rate, TooMany};
pub use self::limits::{RateLimitKey, RateLimits};
pub use self::redis::access_tokens::{
    AccessTokenLeases, FAILED_PAUSE, KeptToken, Lent, UNRENEWED_PAUSE,
};
pub use self::redis::bindings::stored::{
    BindingState, Bound, Decision, Generation, Intent, UNPROVEN_LINK_KEPT,
};
pub use self::redis::bindings::{Bindings, DRAWN};
pub use self::redis::clocks::{AttemptId, AttemptMark, ExchangeTimestamp, StoreClock};
pub use self::redis::codes::{CLAIM_TTL, Claim, Codes};
pub use self::redis::erasures::{EMPTY_LIST_KEPT, ErasedPerson, Erasures, NUMBERS_KEPT};
pub use self::redis::name::{counted_phone_code, short_digest};
pub use self::redis::revocations::clients::{ClientTokens, NotedClient};
pub use self::redis::revocations::lives::{Lives, PossibleLoss, TokenLives};
pub use self::redis::revocations::record::{Revocations, TokenState, UserState};
pub use self::redis::revocations::stream::{
    Purged, REVOCATIONS_KEPT, ReadRevocations, Revocation, RevocationStream,
};
pub use self::redis::sessions::{
    FAILURES_WINDOW, MAX_FAILURES, Opening, PREVIOUS_KEY_TTL, Sessions,
};
pub use self::redis::texts::KeptTexts;
pub use self::redis::tickets::{InvalidTicket, TICKET_TTL, Ticket, TicketHolder, Tickets};
pub use self::redis::unbindings::Unbindings;
pub use self::redis::union_ids::UnionIds;
pub use self::redis::{CLOCK_IS_FAR, CLOCKS_APART, Store, StoreAccess, limits, walk};

/// The result of an operation of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A sealed session key, and when the exchange that brought it began.
pub type ExchangedKey = (ExchangeTimestamp, Sealed);

/// The values that a login writes, in one atomic step.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    pub person: Person,
    /// The session key that the exchange brought.
    pub session_key: Sealed,
    /// When the exchange of the code began.
    pub order: ExchangeTimestamp,
    /// How often one person may log in.
    pub rate: Rate,
    /// How to record a person who has no binding.
    pub if_unbound: UnboundPolicy,
}

/// How to record a person who was never bound, and so has never unbound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnboundPolicy {
    /// Counts the login, as for bound persons.
    Counted,
    /// Records nothing, and answers [`Recorded::Unbound`].
    ReportOnly,
    /// Counts the login and begins to bind the person, but not if the person has unbound: a record
    /// that is repeated or arrives late must not undo the unbinding.
    Intended(Intent),
    /// Counts the login and answers the computed user. A person who has a binding is answered the
    /// binding's user.
    Computed {
        user: UserId,
        /// Whether to note the person on the user's list, so that the user's persons can be found.
        listed: bool,
    },
}

/// The outcome of recording a login. The session key of a bound person is stored even if the limit
/// is reached, because WeChat no longer accepts the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The login is counted.
    Counted {
        state: BindingState,
        /// When the exchange began, by the store's clock. This is the token's `iat`, because a
        /// revocation of the person's tokens covers the last stored exchange, even if the clock has
        /// stepped back by then.
        at: DateTime<Utc>,
        /// Whether a revocation may name a token that is dated `at`. If so, [`Revocations::date_token`]
        /// decides.
        may_be_revoked: bool,
        /// The generation of the binding with which the session key is stored, also of a binding
        /// that this record begins. Session keys are stored only for persons with a binding or a
        /// computed user, so the erasure of a person is final until a login binds the person again,
        /// even if logins were in progress.
        kept_for: Option<Generation>,
    },
    Limited(TooMany),
    /// Nothing is recorded: see [`UnboundPolicy::ReportOnly`].
    Unbound,
    /// Nothing is recorded, because the person's session belongs to another user than the one that
    /// [`UnboundPolicy::Computed`] names.
    OtherUser,
}
