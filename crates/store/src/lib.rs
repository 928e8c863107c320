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

mod binding;
mod conformance;
mod ends;
pub mod limits;
mod memory;
mod redis;
#[cfg(test)]
#[path = "../../../tests/it/support/limit.rs"]
mod test_limit;
mod texts;

use std::fmt::{self, Display};
use std::time::Duration;

use aws_lc_rs::{digest, error::Unspecified, rand};
use base64::{display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use wxmint_ids::{AppId, Person};
use wxmint_keys::{token::Issued, vault::Sealed};
use wxmint_redis_link::Reason;

pub use self::binding::{
    Binding, BindingState, Bound, COMPUTED, Computed, Decision, Intent, IntentOutcome, UNPROVEN_LINK_KEPT,
};
pub use self::ends::{Admission, DOUBTED_SINCE, ENDS_KEPT, Ended, ReadEnds, TokenState, UserState};
use self::limits::{Rate, TooMany};
pub use self::redis::access_token::{FAILED_PAUSE, Fingerprint, KeptToken, Lent, TokenLife, UNRENEWED_PAUSE};
pub use self::redis::erasure::{EMPTY_LIST_KEPT, ErasedPerson, NUMBERS_KEPT};
pub use self::redis::session::{FAILURES_WINDOW, KeptSession, KeyOf, MAX_FAILURES, Opening, Tried};
pub use self::redis::ticket::{InvalidTicket, TICKET_TTL, Ticket, TicketHolder};
pub use self::redis::{CLOCK_IS_FAR, CLOCKS_APART, Observer, Redis, RedisAccess, unreadable, walk};

/// How long a claimed code is remembered: twice as long as WeChat accepts it.
pub const CLAIM_TTL: Duration = Duration::from_secs(10 * 60);

/// How long a replaced session key is kept, because data that was encrypted just before a login needs it.
pub const PREVIOUS_KEY_TTL: Duration = Duration::from_secs(10 * 60);

/// How often each replica notes the life of its tokens.
const LIFE_NOTED_EVERY: Duration = Duration::from_secs(5 * 60);

/// How long a noted life holds without being noted again. Much longer, because Redis may be away meanwhile.
const LIFE_HOLDS: Duration = Duration::from_secs(60 * 60);

/// Half of the SHA-256 of `text`: for names of keys, which must not tell the text.
pub fn short_digest(text: &str) -> impl Display + use<> {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    fmt::from_fn(move |f| Base64Display::new(&digest.as_ref()[..16], &URL_SAFE_NO_PAD).fmt(f))
}

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

/// Identifies an attempt to log in, or another request: 128 random bits. A step repeated with the same id is done once.
#[derive(Debug, derive_more::Display, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[display("{_0:032x}")]
pub struct AttemptId(u128);

impl AttemptId {
    pub fn random() -> Result<Self, Unspecified> {
        let mut bits = [0; 16];
        rand::fill(&mut bits)?;
        Ok(Self::new(bits))
    }

    pub fn new(bits: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bits))
    }

    pub fn mark(&self) -> AttemptMark {
        AttemptMark(self.0 as u32)
    }
}

/// 32 of an attempt's random bits, which tell it from a person's other attempts. All of them would cost each person 12
/// bytes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptMark(u32);

/// Orders the exchanges of codes, so that the session key of a later exchange never loses to an earlier one that
/// arrives late. It is taken when the code is claimed, before WeChat is asked.
///
/// The store's clock in microseconds decides, so that replicas with different clocks agree. Two exchanges in one
/// microsecond are ordered by the random bits of their attempts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExchangeOrder {
    micros: u64,
    mark: AttemptMark,
}

impl ExchangeOrder {
    /// `micros`: microseconds since 1970.
    pub fn new(micros: u64, attempt: &AttemptId) -> Self {
        Self { micros, mark: attempt.mark() }
    }

    /// The second in which the exchange began.
    pub fn began_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp((self.micros / 1_000_000) as i64, 0).unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This request may send the code to WeChat, once.
    Granted(ExchangeOrder),
    /// Another request, perhaps on another replica, has claimed this code.
    Taken,
    /// Too many logins from this address. The code is not claimed.
    Limited(TooMany),
}

/// An event that is counted, and how often it may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    pub key: LimitKey,
    pub rate: Rate,
}

/// Events are counted by this: a kind, which its owner names, and the events of it that count together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitKey {
    pub(crate) scope: Scope,
    pub(crate) kind: &'static str,
    pub(crate) key: String,
}

/// The keys of one scope are together in Redis, and an erasure of a person takes the person's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Free,
    App(AppId),
    Person(Person),
}

impl LimitKey {
    /// Events of an address, for example.
    pub fn new(kind: &'static str, key: impl Into<String>) -> Self {
        Self { scope: Scope::Free, kind, key: key.into() }
    }

    pub fn of_app(app: &AppId, kind: &'static str, key: impl Into<String>) -> Self {
        Self { scope: Scope::App(app.clone()), kind, key: key.into() }
    }

    /// Those who erase a person name the kind: [`Redis::erase_person`]. All keys of the kind have one rate.
    pub fn of_person(person: &Person, kind: &'static str, key: impl Into<String>) -> Self {
        Self { scope: Scope::Person(person.clone()), kind, key: key.into() }
    }
}

/// A session key, and when its exchange began.
pub type ExchangedKey = (ExchangeOrder, Sealed);

/// A login writes this, in one atomic step.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    pub person: Person,
    pub session_key: Sealed,
    pub order: ExchangeOrder,
    /// How often one person may log in.
    pub rate: Rate,
    pub newcomer: Newcomer,
}

/// The way to record somebody who was never bound and has dissolved nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Newcomer {
    /// Counts the login, as it does for everybody.
    Counted,
    /// Records nothing, and answers [`Recorded::Newcomer`].
    Told,
    /// Counts the login and begins to bind the person. Not after a dissolution, because a record that is repeated or
    /// arrives late must not undo it.
    Intended(Intent),
    /// Counts the login, and answers the computed user, unless the person has a binding.
    Computed(Computed),
}

/// The outcome of recording a login. The session key of a person who is bound is stored in either case, because WeChat
/// has forgotten the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    Counted {
        /// The state of the person's binding.
        state: BindingState,
        /// When the exchange began, by the store's clock. The token is dated so, because an end of the person's tokens
        /// reaches to the last exchange that is stored, whatever the clock says by then.
        at: DateTime<Utc>,
        /// Whether an end may name a token that is dated `at`: [`Redis::date_token`] tells.
        may_be_ended: bool,
        /// The generation of the binding beside which the session key is stored, also of one that this record begins.
        /// It is stored for nobody else, so the erasure of a person is final, whatever logins are under way or come
        /// later, until one of them binds the person again.
        kept_for: Option<u64>,
    },
    Limited(TooMany),
    /// Nothing is recorded: see [`Newcomer::Told`].
    Newcomer,
}
