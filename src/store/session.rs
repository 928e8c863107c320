//! Whose a token is, how tokens are ended, and how stored session keys are used.

use std::time::Duration;

use async_trait::async_trait;

use super::{AttemptId, ExchangeOrder, Person, Result, Sealed};
use crate::{
    ids::{AppId, TokenId, UserId},
    verify::{LONGEST_LIFE, MAX_LEEWAY},
};

/// After this many failures of one person within [`FAILURES_WINDOW`] the session key is deleted. Encrypted data has no MAC, so
/// each failure might reveal something about it.
pub const MAX_FAILURES: u32 = 8;

/// Begins with the first failure.
pub const FAILURES_WINDOW: Duration = Duration::from_secs(10 * 60);

/// How long an end is remembered: until no verifier can accept a token from before it.
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
    pub person: Person,
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

/// The stored session keys of a person, for a try to decrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSession {
    /// Newest first. At most two: the current and the previous key.
    pub keys: Vec<Sealed>,
    /// For a session key that replaces them now.
    pub order: ExchangeOrder,
}

/// Whether session keys may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// The caller must end the try with [`Sessions::close`].
    Keys(KeptSession),
    /// The person is not bound to this user.
    NotBound,
    /// As many tries are in progress as may fail.
    Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// The data was decrypted.
    Well,
    /// The data was not decrypted, which is counted.
    Failed,
    /// No key was tried.
    Nothing,
}

/// Each step takes one round trip.
#[async_trait(?Send)]
pub trait Sessions {
    /// Whose a token is, and whether it has been ended.
    async fn token_state(&self, token: &Issued) -> Result<TokenState>;

    /// Ends one token until its `exp` and the leeway of verifiers have passed. Answered once a replica has it.
    async fn end_token(&self, token: &Issued) -> Result<()>;

    /// Ends all tokens that the user of `token` was issued up to and in this second of the store's clock. Changes nothing
    /// if `token` has been ended in this way already, so that a repetition does not end newer tokens. Answered once a
    /// replica has it.
    async fn end_user(&self, token: &Issued) -> Result<()>;

    /// Begins a try with the session keys of a person who is bound to `user`.
    async fn open(&self, person: &Person, user: &UserId, attempt: &AttemptId) -> Result<Opening>;

    /// Ends the try of `attempt`. Returns true if this failure deleted the session key; a repetition returns false.
    async fn close(&self, person: &Person, tried: Tried, attempt: &AttemptId) -> Result<bool>;

    /// Stores a session key that came without a login, unless a later exchange has stored one.
    async fn keep_session_key(&self, person: &Person, sealed: &Sealed, order: &ExchangeOrder) -> Result<()>;

    /// Replaces a sealed session key by the same key under a newer vault key, if it is still stored.
    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<()>;

    /// Deletes the session keys.
    async fn forget(&self, person: &Person) -> Result<()>;
}
