//! How stored session keys are used.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use wxmint_ids::UserId;

use super::{AttemptId, ExchangeOrder, ExchangedKey, Person, Result, Sealed};

/// After this many failures of one person within [`FAILURES_WINDOW`] the session key is deleted. Encrypted data has no
/// MAC, so each failure might reveal something about it.
pub const MAX_FAILURES: u32 = 8;

/// Begins with the first failure.
pub const FAILURES_WINDOW: Duration = Duration::from_secs(10 * 60);

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

/// Where a session key comes from that is stored by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOf {
    /// A login, whose token is dated so. A bind ticket is redeemed later than its exchange began.
    Login(DateTime<Utc>),
    /// WeChat has replaced the key.
    Reset,
}

/// Each step takes one round trip.
#[async_trait(?Send)]
pub trait Sessions {
    /// Begins a try with the session keys of a person who is bound to `user`.
    async fn open(&self, person: &Person, user: &UserId, attempt: &AttemptId) -> Result<Opening>;

    /// Ends the try of `attempt`. Returns true if this failure deleted the session key; a repetition returns false.
    async fn close(&self, person: &Person, tried: Tried, attempt: &AttemptId) -> Result<bool>;

    /// Stores a session key beside the person's binding of this `generation`, unless a later exchange has stored one.
    /// Stores nothing once that binding is gone or its user blocked; and the key of a reset only as long as a session
    /// key is stored, because a logout may have come meanwhile.
    async fn keep_session_key(&self, person: &Person, generation: u64, key: &ExchangedKey, of: KeyOf) -> Result<()>;

    /// Replaces a sealed session key by the same key under a newer vault key, if it is still stored.
    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<()>;

    /// Deletes the session keys. If the person is bound, the time of the last login stays with the binding.
    async fn forget(&self, person: &Person) -> Result<()>;

    /// When a person has logged in last: when the exchange of the code began, or the bind ticket was redeemed. `None`
    /// if that is not known any more: for a person who is not bound, and once the session key has expired.
    async fn last_login(&self, person: &Person) -> Result<Option<DateTime<Utc>>>;
}
