//! What outlives a request: claimed codes, sealed session keys, bindings, tickets, limits.
//!
//! Two implementations, `redis` and `memory`, under one conformance suite. Every write may be repeated: a write whose
//! answer was lost was executed all the same, so each carries what tells its repetition from a rival. Each step touches
//! the keys of one person, one user or one unionid, which a Cluster keeps in different places; what joins the steps is
//! the protocol in `login::binding`.

mod access_token;
mod binding;
mod conformance;
mod memory;
mod redis;
mod session;
mod ticket;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use self::{
    access_token::{AccessTokenShelf, FAILED_PAUSE, Fingerprint, KeptToken, Lent, TokenLife, UNRENEWED_PAUSE},
    binding::{Binding, Bindings, Bound, Decision, Intent, Settlement, Standing},
    memory::Memory,
    redis::{Redis, RedisUrl, walk},
    session::{
        Admission, Bearer, ENDS_KEPT, FAILURES_WINDOW, Issued, KeptSession, MAX_FAILURES, Opening, Sessions, Tried,
    },
    ticket::{InvalidTicket, TICKET_TTL, TakenTicket, Ticket, TicketHolder, Tickets},
};
use crate::{
    ids::{AppId, LoginCode, Person},
    limits::{Rate, TooMany},
    vault::Sealed,
};

/// How long a claimed code is remembered: twice its life at WeChat.
pub const CLAIM_TTL: Duration = Duration::from_secs(10 * 60);

/// How long a replaced session key can still be asked for: data encrypted just before a login needs it.
pub const PREVIOUS_KEY_TTL: Duration = Duration::from_secs(10 * 60);

/// Why the store gave no answer. Always a case for 503: the client has done nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store did not answer: {reason}")]
pub struct StoreError {
    /// For the log; holds neither keys nor values.
    pub reason: String,
}

/// Who claims a code: 128 random bits that tell a repeated claim from a rival's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimId(String);

impl ClaimId {
    /// From random bits.
    pub fn new(bits: [u8; 16]) -> Self {
        Self(bits.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// The place of an exchange among all exchanges, given with the claim of its code, before WeChat is asked: a later one
/// never loses to an earlier one that arrives late.
///
/// The store's own clock in microseconds decides, so that replicas with different clocks agree; two exchanges of one
/// microsecond are ordered by their claims' random bits, the same way everywhere. Compares as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExchangeOrder(String);

impl ExchangeOrder {
    /// `micros` since 1970.
    pub fn new(micros: u64, claim: &ClaimId) -> Self {
        Self(format!("{micros:016x}-{}", claim.as_str()))
    }

    fn as_str(&self) -> &str {
        &self.0
    }

    fn micros(&self) -> u64 {
        self.0.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
    }
}

/// The outcome of claiming a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Ours to send to WeChat, once.
    Granted(ExchangeOrder),
    /// Somebody, perhaps another replica, has sent it or is about to.
    Taken,
    /// Too many logins from this address; nothing is claimed.
    Limited(TooMany),
}

/// What is counted, and how often it may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// What is counted.
    pub cell: Cell,
    /// How often it may happen.
    pub rate: Rate,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cell {
    /// Logins from an address, or from a network that counts as one.
    Address(String),
    /// Failed passwords of a person for a name, given by its digest.
    Attempts(Person, String),
    /// Calls of WeChat's API that a person's token causes, each kind by itself.
    Calls(Person, PersonalCall),
}

/// A kind of call of WeChat's API that a person's token causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PersonalCall {
    /// Exchanging a phone code.
    Phone,
    /// Checking the session key.
    Check,
    /// Replacing the session key.
    Reset,
}

/// What a login leaves behind, written in one atomic step.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    /// Who logged in.
    pub person: Person,
    /// The session key of this exchange.
    pub session_key: Sealed,
    /// The exchange's place.
    pub order: ExchangeOrder,
    /// How often one person may log in.
    pub rate: Rate,
    /// Whom to bind the person to if they have never been bound. Only then: a record that is repeated or arrives late is
    /// to undo no dissolution that came between.
    pub intent: Option<Intent>,
}

/// The outcome of recording a login. The session key is kept in either case, since WeChat knows no other any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Where the person stands, and when that was by the store's clock: the token's `iat`.
    Standing(Standing, DateTime<Utc>),
    /// Too many logins of this person.
    Limited(TooMany),
}

/// The session keys that are kept for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// Of the latest exchange.
    pub current: Sealed,
    /// Of the one before, for [`PREVIOUS_KEY_TTL`] after it was replaced.
    pub previous: Option<Sealed>,
}

/// How fit the store is to keep bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitness {
    /// Nothing speaks against it.
    Fit,
    /// It may be used, and bindings are lost when it restarts; says so and what to do.
    Forgetful(String),
    /// Bindings could be lost at any time; says why and what to do.
    Unfit(String),
}

/// Where things lie. One value belongs to one worker thread.
///
/// `claim` is the request's own: a step that is repeated with it answers the same again.
#[async_trait(?Send)]
pub trait Store: Bindings + Sessions + Tickets + AccessTokenShelf {
    /// Counts a login from an address and claims `code` of `app`, so that it is sent to WeChat once across all replicas.
    async fn claim_code(
        &self,
        app: &AppId,
        code: &LoginCode,
        claim: &ClaimId,
        meter: &Meter,
    ) -> Result<Claim, StoreError>;

    /// Gives a claimed code back, because it provably was not sent.
    async fn release_code(&self, app: &AppId, code: &LoginCode, claim: &ClaimId) -> Result<(), StoreError>;

    /// Keeps the session key, if no later exchange has kept one, counts the person's login, and says where the person
    /// stands.
    async fn record_login(&self, record: &LoginRecord, claim: &ClaimId) -> Result<Recorded, StoreError>;

    /// The whole binding of a person; `None` for one who is not bound, or not yet.
    async fn binding(&self, person: &Person) -> Result<Option<Binding>, StoreError>;

    /// The session keys of a person.
    async fn session_keys(&self, person: &Person) -> Result<Option<SessionKeys>, StoreError>;

    /// Counts an event, unless there were too many.
    async fn count(&self, meter: &Meter) -> Result<Result<(), TooMany>, StoreError>;

    /// Takes back what [`Store::count`] counted.
    async fn uncount(&self, meter: &Meter) -> Result<(), StoreError>;

    /// Asks the store how fit it is.
    async fn fitness(&self) -> Result<Fitness, StoreError>;
}
