//! The access tokens of apps at WeChat, one hash for each app. All replicas share a token, and one
//! replica at a time fetches it.
//!
//! All times are by the store's clock. The lease saves calls but is not needed for correctness:
//! WeChat gives the same token to every caller, so two replicas may fetch at once.

use std::{rc::Rc, time::Duration};

use wxmint_ids::AppId;
use wxmint_keys::vault::Sealed;
use wxmint_redis_link::RedisClient;

use super::{name, script};
use crate::{AttemptId, Result};

/// How long no replica fetches after a failed fetch, so that a failing WeChat is not called all the
/// time.
pub const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// How long no replica renews after a failed renewal. The old token is still valid for some
/// minutes, and each attempt delays the login that makes it.
pub const UNRENEWED_PAUSE: Duration = Duration::from_secs(20);

/// An access token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptToken {
    /// The token, sealed by the vault.
    pub sealed: Sealed,
    /// Its [`short_digest`](crate::short_digest), which identifies the token without revealing it.
    pub fingerprint: String,
    /// How long the token is still lent.
    pub expires_in: Duration,
}

/// The answer to a caller that needs an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lent {
    /// A token that is still valid for a while.
    Token(KeptToken),
    /// The token expires soon. The caller holds the lease to fetch the next one.
    Renew(KeptToken),
    /// There is no token. The caller holds the lease to fetch one.
    Fetch,
    /// There is no token, but another caller is fetching one: retry shortly.
    Wait,
    /// There is no token, because a fetch failed less than [`FAILED_PAUSE`] ago.
    Failed,
}

/// The access tokens in the store, and the leases to fetch them.
#[derive(Clone)]
pub struct AccessTokenLeases {
    link: Rc<RedisClient>,
}

impl AccessTokenLeases {
    pub(super) fn new(link: Rc<RedisClient>) -> Self {
        Self { link }
    }

    /// Lends the token of `app`, or gives one caller a lease of the duration `lease` to fetch a
    /// token. A token with the fingerprint `bad` counts as missing. The same `attempt` gets the
    /// same lease again.
    pub async fn lend(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        bad: Option<&str>,
        lease: Duration,
    ) -> Result<Lent> {
        let script = script::LEND.on(&[&name::access_token(app)]);
        let script = script
            .arg(attempt.to_string())
            .arg(bad.unwrap_or_default())
            .arg(millis(lease));
        let answer: (String, Vec<u8>, String, u64) =
            self.link.run("lend_access_token", script).await?;
        let (kind, sealed, fingerprint, life) = answer;
        let (sealed, expires_in) = (Sealed::from_stored(sealed), Duration::from_millis(life));
        let kept = KeptToken {
            sealed,
            fingerprint,
            expires_in,
        };
        Ok(match kind.as_str() {
            "token" => Lent::Token(kept),
            "renew" => Lent::Renew(kept),
            "fetch" => Lent::Fetch,
            "wait" => Lent::Wait,
            _ => Lent::Failed,
        })
    }

    /// Stores the fetched token and ends the lease. After `renew_in`, one caller gets a lease to
    /// fetch the next token. Does nothing if `attempt` no longer holds the lease.
    pub async fn keep(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        token: &KeptToken,
        renew_in: Duration,
    ) -> Result<()> {
        let script = script::END_LEASE.on(&[&name::access_token(app)]);
        let script = script
            .arg(attempt.to_string())
            .arg(token.sealed.as_bytes())
            .arg(&token.fingerprint);
        Ok(self
            .link
            .run(
                "keep_access_token",
                script.arg(millis(renew_in)).arg(millis(token.expires_in)),
            )
            .await?)
    }

    /// Ends a lease after a failed fetch. No caller gets another lease for [`FAILED_PAUSE`], or for
    /// [`UNRENEWED_PAUSE`] if the old token is still valid.
    pub async fn give_up(&self, app: &AppId, attempt: &AttemptId) -> Result<()> {
        let script = script::END_LEASE
            .on(&[&name::access_token(app)])
            .arg(attempt.to_string());
        Ok(self
            .link
            .run(
                "give_up_access_token",
                script
                    .arg(millis(FAILED_PAUSE))
                    .arg(millis(UNRENEWED_PAUSE)),
            )
            .await?)
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
