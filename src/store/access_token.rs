//! Where the access tokens of apps lie: all replicas use one, and one of them at a time fetches it.
//!
//! The store's clock decides over all times. A lease is for economy and not for safety: WeChat gives the same token to
//! all who ask, so that two who fetch at once, because one was slow or was killed, do no harm.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{AttemptId, Sealed, StoreError};
use crate::{ids::AppId, wechat::AppAccessToken};

/// For how long nobody fetches after a fetch that failed. So long is WeChat left alone when it fails again and again.
pub const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// For how long nobody renews after a renewal that failed: the token is good for minutes yet, and each attempt delays
/// the login that makes it.
pub const UNRENEWED_PAUSE: Duration = Duration::from_secs(20);

/// Tells an access token from its successor, without telling anything about it: 128 bits of its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// That of a token.
    pub fn of(token: &AppAccessToken) -> Self {
        let hash = digest::digest(&digest::SHA256, token.expose().as_bytes());
        Self(URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]))
    }

    /// As it was stored.
    pub(super) fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.0)
    }
}

/// An access token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptToken {
    /// For the vault to open.
    pub sealed: Sealed,
    /// The token's.
    pub fingerprint: Fingerprint,
}

/// What is left of a token's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLife {
    /// After this long one caller is asked to fetch its successor.
    pub renew_in: Duration,
    /// After this long it is not lent any more.
    pub expires_in: Duration,
}

/// What somebody who needs an access token is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lent {
    /// Here it is.
    Token(KeptToken),
    /// Here it is; it ends soon, and you hold the lease to fetch its successor.
    Renew(KeptToken),
    /// There is none, and you hold the lease to fetch one.
    Fetch,
    /// There is none, and somebody else is fetching one: ask again shortly.
    Wait,
    /// There is none, and whoever would have fetched one could not, less than [`FAILED_PAUSE`] ago.
    Failed,
}

/// Where access tokens lie, a slot for each app.
#[async_trait(?Send)]
pub trait AccessTokenShelf {
    /// Lends the token of `app`, or gives the `lease` to fetch one to one caller. The token with the fingerprint `bad`
    /// counts as none. Repeated by the same `claim`, a lease is given again.
    async fn lend_access_token(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        bad: Option<&Fingerprint>,
        lease: Duration,
    ) -> Result<Lent, StoreError>;

    /// Keeps what was fetched under a lease, and ends the lease. Nothing is kept if `claim` holds none (any more).
    async fn keep_access_token(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        token: &KeptToken,
        life: TokenLife,
    ) -> Result<(), StoreError>;

    /// Ends a lease under which nothing could be fetched. For [`FAILED_PAUSE`] nobody gets another, or for
    /// [`UNRENEWED_PAUSE`] if there is a good token still.
    async fn give_up_access_token(&self, app: &AppId, attempt: &AttemptId) -> Result<(), StoreError>;
}
