//! The things that outlive a request: claimed codes, sealed session keys, bindings, tickets, limits.
//!
//! `redis` keeps them, in a real Redis or in the one of `memory`, under one conformance suite. Every write is
//! idempotent, because a write whose answer was lost was executed all the same: it carries the id of its attempt, which
//! tells a repetition from a rival request. Only limits count a repetition as an event of its own. Each step touches
//! the keys of one person, one user or one unionid, because a Redis Cluster keeps those in different slots;
//! `login::binder` puts the steps together.

// The suite's servers name the crate as the doors do.
#[cfg(test)]
extern crate self as wxmint_store;

mod conformance;
mod memory;
mod redis;
#[cfg(test)]
#[path = "../../../tests/it/support/limit.rs"]
mod test_limit;

use std::time::Duration;

use chrono::{DateTime, Utc};
use wxmint_ids::{Person, UserId};
use wxmint_keys::{token::Issued, vault::Sealed};
use wxmint_redis_link::Reason;

pub use self::limits::RateLimitKey;
use self::limits::{Rate, TooMany};
pub use self::redis::DRAWN;
pub use self::redis::access_token::{FAILED_PAUSE, KeptToken, Lent, UNRENEWED_PAUSE};
pub use self::redis::clocks::{AttemptId, AttemptMark, ExchangeTimestamp};
pub use self::redis::ends::NotedClient;
pub use self::redis::erasure::{EMPTY_LIST_KEPT, ErasedPerson, NUMBERS_KEPT};
pub use self::redis::name::{counted_phone_code, short_digest};
pub use self::redis::session::{FAILURES_WINDOW, MAX_FAILURES, Opening};
pub use self::redis::stored::{BindingState, Bound, COMPUTED, Decision, Intent, UNPROVEN_LINK_KEPT};
pub use self::redis::stream::{Doubt, Forgotten, Lives, REVOCATIONS_KEPT, ReadRevocations, Revocation};
pub use self::redis::ticket::{InvalidTicket, TICKET_TTL, Ticket, TicketHolder};
pub use self::redis::{CLOCK_IS_FAR, CLOCKS_APART, Store, StoreAccess, limits, unreadable, walk};

/// How long a claimed code is remembered: twice as long as WeChat accepts it.
pub const CLAIM_TTL: Duration = Duration::from_secs(10 * 60);
/// How long a replaced session key is kept, because data that was encrypted just before a login needs it.
pub const PREVIOUS_KEY_TTL: Duration = Duration::from_secs(10 * 60);
const LIFE_NOTED_EVERY: Duration = Duration::from_secs(5 * 60);
/// How long a noted life holds without being noted again. Much longer, because Redis may be away meanwhile.
const LIFE_HOLDS: Duration = Duration::from_secs(60 * 60);

/// Why the store gave no answer. The client has done nothing wrong, so the answer is 503.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store did not answer: {reason}")]
pub struct StoreError {
    /// For the log. Contains neither keys nor values.
    pub reason: String,
}

impl StoreError {
    /// Whether the answer stays the same until somebody mends what is stored.
    pub fn is_lasting(&self) -> bool {
        self.reason.ends_with(": mend or delete it")
    }
}

impl From<Reason> for StoreError {
    fn from(reason: Reason) -> Self {
        Self { reason: reason.to_string() }
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This request may send the code to WeChat, once.
    Granted(ExchangeTimestamp),
    /// Another request, perhaps on another replica, has claimed this code.
    Taken,
    /// Too many logins from this address. The code is not claimed.
    Limited(TooMany),
}

/// A session key, and when its exchange began.
pub type ExchangedKey = (ExchangeTimestamp, Sealed);

/// A login writes this, in one atomic step.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    pub person: Person,
    pub session_key: Sealed,
    pub order: ExchangeTimestamp,
    /// How often one person may log in.
    pub rate: Rate,
    pub if_unbound: UnboundPolicy,
}

/// The way to record somebody who was never bound and has dissolved nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnboundPolicy {
    /// Counts the login, as it does for everybody.
    Counted,
    /// Records nothing, and answers [`Recorded::Unbound`].
    ReportOnly,
    /// Counts the login and begins to bind the person. Not after a dissolution, because a record that is repeated or
    /// arrives late must not undo it.
    Intended(Intent),
    /// Counts the login, and answers the computed user, unless the person has a binding.
    Computed {
        user: UserId,
        /// Whether the person is noted on the user's list, so that the user's people can be found.
        listed: bool,
    },
}

/// The outcome of recording a login. The session key of a person who is bound is stored in either case, because WeChat
/// has forgotten the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    Counted {
        state: BindingState,
        /// When the exchange began, by the store's clock. The token is dated so, because an end of the person's tokens
        /// reaches to the last exchange that is stored, whatever the clock says by then.
        at: DateTime<Utc>,
        /// Whether an end may name a token that is dated `at`: [`Store::date_token`] tells.
        may_be_ended: bool,
        /// The generation of the binding beside which the session key is stored, also of one that this record begins.
        /// It is stored for nobody else, so the erasure of a person is final, whatever logins are under way or come
        /// later, until one of them binds the person again.
        kept_for: Option<u64>,
    },
    Limited(TooMany),
    /// Nothing is recorded: see [`UnboundPolicy::ReportOnly`].
    Unbound,
    /// Nothing is recorded, because the person's session is of another computed user than [`UnboundPolicy::Computed`] names.
    OtherUser,
}

/// The owner of a token, and whether it has been ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// The token has not been ended. These are the people of its user in its app, each with the generation of the
    /// binding; it was issued to one of them.
    People(Vec<(Person, u64)>),
    /// All tokens of its user were ended, and this one with them. `told`: whether the end is in the stream, so that a
    /// repetition has nothing left to do.
    RevokedWithUser { told: bool },
    /// The token itself was ended, or all tokens of its user in its app. `told`: whether the end of the token itself is
    /// in the stream.
    Revoked { told: bool },
}

impl TokenState {
    /// Whether the token was ended, and a repetition has nothing left to do.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::RevokedWithUser { told: true } | Self::Revoked { told: true })
    }
}

/// A user's records say this, whether or not the user has people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserState {
    pub blocked: bool,
    /// The second up to which all of the user's tokens are ended. Kept until no token can be left that it names.
    pub revoked_before: Option<i64>,
    /// Whether verifiers have been told of that end.
    pub told: bool,
}
