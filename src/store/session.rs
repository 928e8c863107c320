//! Session keys as they are kept: who may use one, how often it may fail, and what ends it.

use std::time::Duration;

use async_trait::async_trait;

use super::{AttemptId, ExchangeOrder, Person, Sealed, StoreError};
use crate::{
    ids::{AppId, TokenId, UserId},
    verify::{LONGEST_LIFE, MAX_LEEWAY},
};

/// So many failures of one person in [`FAILURES_WINDOW`], and the session key is dropped: encrypted data has no MAC, so
/// that each failure might tell something about it.
pub const MAX_FAILURES: u32 = 8;

/// From the first failure on.
pub const FAILURES_WINDOW: Duration = Duration::from_secs(10 * 60);

/// For how long an end is remembered: until no verifier can accept a token from before it any more.
pub const ENDS_KEPT: Duration = LONGEST_LIFE.saturating_add(MAX_LEEWAY);

/// Whose a token is, and whether it has been ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// The token has not been ended. These are the people of its user in its app; it was issued to one of them.
    People(Vec<Admission>),
    /// All tokens of its user were ended, and this one with them.
    EndedWithUser,
    /// The token itself was ended, or all tokens of its user in its app.
    Ended,
}

/// A person on a user's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Who was admitted.
    pub person: Person,
    /// The generation of the person's binding.
    pub generation: u64,
}

/// The claims of a token by which it can be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// `sub`
    pub user: UserId,
    /// `client_id`
    pub app: AppId,
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
    /// Whose a token is.
    async fn bearer(&self, token: &Issued) -> Result<TokenState, StoreError>;

    /// Ends one token until its `exp` and the leeway of verifiers have passed. Answered once a replica has it.
    async fn end_token(&self, token: &Issued) -> Result<(), StoreError>;

    /// Ends all tokens that the user of `token` was issued up to and in this second of the store's clock. Changes nothing
    /// if `token` has been ended in this way already, so that a repetition does not end newer tokens. Answered once a
    /// replica has it.
    async fn end_user(&self, token: &Issued) -> Result<(), StoreError>;

    /// The session keys of a person bound to `user`, and leave to try them.
    async fn open(&self, person: &Person, user: &UserId, attempt: &AttemptId) -> Result<Opening, StoreError>;

    /// Ends the try of `claim`. Whether this was the failure that dropped the session key; the answer to a repetition is
    /// that it was not.
    async fn close(&self, person: &Person, tried: Tried, attempt: &AttemptId) -> Result<bool, StoreError>;

    /// Keeps a session key that came without a login, if no later exchange has kept one.
    async fn keep_session_key(&self, person: &Person, sealed: &Sealed, order: &ExchangeOrder)
    -> Result<(), StoreError>;

    /// Puts the same session key under a newer vault key, if it is still the one that is kept.
    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<(), StoreError>;

    /// Forgets the session keys of a person.
    async fn forget(&self, person: &Person) -> Result<(), StoreError>;
}
