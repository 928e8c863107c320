//! Everything that outlives a request: claimed codes, sealed session keys, bindings, tickets,
//! revocations, limits.
//!
//! [`Store`] is opened once and hands out a value for each subject, such as [`Bindings`] and
//! [`Revocations`]. A use case holds the values that it needs. Each is a cheap clone over one link.
//!
//! `redis` has the values. They run on a real Redis or on the one of `memory`, a feature of this
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

pub use self::error::StoreError;
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
pub use self::redis::login_records::{LoginRecord, LoginRecords, Recorded, UnboundPolicy};
pub use self::redis::name::{counted_phone_code, short_digest};
pub use self::redis::revocations::clients::{ClientTokens, NotedClient};
pub use self::redis::revocations::lives::{Lives, PossibleLoss, TokenLives};
pub use self::redis::revocations::record::{Revocations, TokenState, UserState};
pub use self::redis::revocations::stream::{
    Purged, REVOCATIONS_KEPT, ReadRevocations, Revocation, RevocationStream,
};
pub use self::redis::sessions::{
    ExchangedKey, FAILURES_WINDOW, MAX_FAILURES, Opening, PREVIOUS_KEY_TTL, Sessions,
};
pub use self::redis::texts::KeptTexts;
pub use self::redis::tickets::{InvalidTicket, TICKET_TTL, Ticket, TicketHolder, Tickets};
pub use self::redis::unbindings::Unbindings;
pub use self::redis::union_ids::UnionIds;
pub use self::redis::{CLOCK_IS_FAR, CLOCKS_APART, Store, StoreAccess, limits, walk};

/// The result of an operation of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
