//! Stores the access tokens of apps. All replicas share a token, and one replica at a time fetches it.
//!
//! All times are by the store's clock. The lease saves calls and is not needed for safety: WeChat gives the same token
//! to everybody who asks, so two replicas that fetch at once do no harm.

use std::time::Duration;

use super::{Sealed, short_digest};

/// How long nobody fetches after a failed fetch, so that a WeChat that fails is not asked all the time.
pub const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// How long nobody renews after a failed renewal. The old token is valid for some minutes, and each attempt delays the
/// login that makes it.
pub const UNRENEWED_PAUSE: Duration = Duration::from_secs(20);

/// Identifies an access token without revealing it: 128 bits of its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub(super) String);

impl Fingerprint {
    /// `token`: the text of an access token.
    pub fn of(token: &str) -> Self {
        Self(short_digest(token).to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptToken {
    pub sealed: Sealed,
    pub fingerprint: Fingerprint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLife {
    /// After this time one caller is asked to fetch the next token.
    pub renew_in: Duration,
    /// After this time the token is not lent any more.
    pub expires_in: Duration,
}

/// The answer to a caller who needs an access token. A token comes with the rest of its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lent {
    Token(KeptToken, Duration),
    /// The token expires soon, and the caller holds the lease to fetch the next one.
    Renew(KeptToken, Duration),
    /// There is no token, and the caller holds the lease to fetch one.
    Fetch,
    /// There is no token, and another caller is fetching one: ask again shortly.
    Wait,
    /// There is no token, because a fetch failed less than [`FAILED_PAUSE`] ago.
    Failed,
}
