//! Session keys as they are kept: who may use one, how often it may fail, and what ends it.

use std::time::Duration;

use async_trait::async_trait;

use super::{ClaimId, ExchangeOrder, Person, Sealed, StoreError};
use crate::ids::{AppId, TokenId, UserId};

/// So many failures of one person in [`FAILURES_WINDOW`], and the session key is dropped: encrypted data has no MAC, so
/// that each failure might tell something about it.
pub const MAX_FAILURES: u32 = 8;

/// From the first failure on.
pub const FAILURES_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Whose a token is, as far as this service's own endpoints care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// The user's people in the token's app.
    People(Vec<Person>),
    /// The token was revoked here, by a logout.
    Revoked,
}

/// A token, as revocation knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// `sub`
    pub user: UserId,
    /// `jti`
    pub id: TokenId,
    /// `iat`, in seconds since 1970.
    pub issued_at: i64,
    /// `exp`, in seconds since 1970.
    pub expires_at: i64,
}

/// The session keys of a person who is bound to the user that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSession {
    /// Newest first; none where none is kept, two while the one before is kept too.
    pub keys: Vec<Sealed>,
    /// The place that an exchange which begins now has among all exchanges.
    pub order: ExchangeOrder,
}

/// Whether keys may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// They may. [`Sessions::close`] is to be told how it went.
    Keys(KeptSession),
    /// The person is not bound to this user.
    NotBound,
    /// As many tries as may fail are under way.
    Busy,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// Nothing to remember.
    Well,
    /// One more failure.
    Failed,
    /// Nothing was tried with a key.
    Nothing,
}

/// What is done with session keys after the login that brought them. Each step is one round trip.
#[async_trait(?Send)]
pub trait Sessions {
    /// The people of a token's user in its app, unless the token was revoked.
    async fn bearer(&self, token: &Issued, app: &AppId) -> Result<Bearer, StoreError>;

    /// Revokes one token, or all that the user was issued up to and in this second, for this service's own endpoints.
    async fn revoke(&self, token: &Issued, everywhere: bool, longest_life: Duration) -> Result<(), StoreError>;

    /// The session keys of a person bound to `user`, and leave to try them.
    async fn open(&self, person: &Person, user: &UserId, claim: &ClaimId) -> Result<Opening, StoreError>;

    /// Ends the try of `claim`. Whether this was the failure that dropped the session key; the answer to a repetition is
    /// that it was not.
    async fn close(&self, person: &Person, tried: Tried, claim: &ClaimId) -> Result<bool, StoreError>;

    /// Keeps a session key that came without a login, if no later exchange has kept one.
    async fn keep_session_key(&self, person: &Person, sealed: &Sealed, order: &ExchangeOrder)
    -> Result<(), StoreError>;

    /// Puts the same session key under a newer vault key, if it is still the one that is kept.
    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<(), StoreError>;

    /// Forgets the session keys of a person.
    async fn forget(&self, person: &Person) -> Result<(), StoreError>;
}
