//! How stored session keys are used.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{ExchangeOrder, Sealed};

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
    /// The caller must end the try with [`Redis::close`](super::Redis::close).
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
