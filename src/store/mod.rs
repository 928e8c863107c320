//! What outlives a request: claimed codes, sealed session keys, bindings.
//!
//! Two implementations, `redis` and `memory`, under one conformance suite. Every write may be repeated: a write whose
//! answer was lost was executed all the same, so each carries what tells its repetition from a rival.

mod conformance;
mod memory;
mod redis;
mod vault;

use std::time::Duration;

use async_trait::async_trait;

pub use self::{
    memory::Memory,
    redis::{Redis, RedisUrl},
    vault::{Sealed, Vault, VaultError},
};
use crate::ids::{AppId, LoginCode, OpenId, UnionId, UserId};

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

/// One person in one app: what all of this person's data is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    /// The app.
    pub app: AppId,
    /// The person in it, as WeChat said.
    pub openid: OpenId,
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
}

/// What a login leaves behind, written in one atomic step.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    /// Who logged in.
    pub person: Person,
    /// In all apps of the owner, where WeChat said so.
    pub unionid: Option<UnionId>,
    /// The session key of this exchange.
    pub session_key: Sealed,
    /// The exchange's place.
    pub order: ExchangeOrder,
    /// Whom to bind the person to if nobody is bound yet; `None` leaves the person unbound.
    pub user_if_unbound: Option<UserId>,
}

/// Whom a person is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The business user.
    pub user: UserId,
    /// Whether this very login made the binding.
    pub new: bool,
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
    /// Bindings could be lost; says why and what to do.
    Unfit(String),
}

/// Where things lie. One value belongs to one worker thread.
#[async_trait(?Send)]
pub trait Store {
    /// Claims `code` of `app`, so that it is sent to WeChat once across all replicas. Claiming again with the same
    /// `claim` is granted again.
    async fn claim_code(&self, app: &AppId, code: &LoginCode, claim: &ClaimId) -> Result<Claim, StoreError>;

    /// Gives a claimed code back, because it provably was not sent.
    async fn release_code(&self, app: &AppId, code: &LoginCode, claim: &ClaimId) -> Result<(), StoreError>;

    /// Keeps the session key, if no later exchange has kept one, and finds or makes the binding. Repeated with the
    /// same record it changes nothing and answers the same.
    async fn record_login(&self, record: &LoginRecord) -> Result<Option<Binding>, StoreError>;

    /// The session keys of a person.
    async fn session_keys(&self, person: &Person) -> Result<Option<SessionKeys>, StoreError>;

    /// Asks the store how fit it is.
    async fn fitness(&self) -> Result<Fitness, StoreError>;
}
