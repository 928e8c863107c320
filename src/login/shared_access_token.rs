//! WeChat's access token, for the calls that want one: all replicas use the same, and one of them fetches it when it is
//! missing, ends soon or was refused. A login by code alone never comes here.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use crate::{
    ids::AppId,
    store::{AccessTokenShelf, AttemptId, FAILED_PAUSE, Fingerprint, KeptToken, Lent, StoreError, TokenLife},
    vault::{Vault, VaultError},
    wechat::{App, AppAccessToken, CallError, FetchedAccessToken, Verdict, WeChat},
};

/// All that one call takes, with the fetch before it, and with another fetch and the call again where the token is
/// refused.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(6);
/// The lease to fetch: as long as stable_token (5 s) and the store (1 s) may take, so that nobody else fetches meanwhile.
const LEASE: Duration = Duration::from_secs(6);
/// Before each time that is asked whether another has fetched: soon for a fetch as it should be, ever more rarely when
/// WeChat stalls, so that those who wait cost the store little. In milliseconds; after 2 s they give up.
const PAUSES: [u64; 8] = [25, 50, 100, 200, 400, 400, 400, 425];
/// How long before its end a token is renewed. WeChat gives its successor in the last five minutes; asked any sooner it
/// gives the same one, and asked at the last moment it may be away.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(270);
/// Whoever renews has a good token at hand, and waits no longer for a better one.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a call by access token was not made, or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum AccessTokenError {
    /// Of the call, or of fetching the token for it.
    #[error(transparent)]
    WeChat(#[from] CallError),
    /// The store is slow or gone.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Access tokens, on loan.
pub struct AccessTokens<'a> {
    pub wechat: &'a WeChat,
    pub shelf: &'a dyn AccessTokenShelf,
    pub vault: Arc<Vault>,
}

/// A token to use, and by which to tell it from its successor.
struct Usable {
    token: AppAccessToken,
    fingerprint: Fingerprint,
}

impl AccessTokens<'_> {
    /// Makes a call with the access token of `app`. If WeChat refuses the token it is replaced, unless another has done
    /// so already, and the call is made once more. `claim` is of this call alone.
    pub async fn with<T>(
        &self,
        app: &App,
        attempt: &AttemptId,
        call: impl AsyncFn(&AppAccessToken) -> Result<T, CallError>,
    ) -> Result<T, AccessTokenError> {
        let attempts = async {
            let used = self.obtain(app, attempt, None).await?;
            match call(&used.token).await {
                Err(error) if error.verdict() == Some(Verdict::BadAccessToken) => {
                    tracing::warn!(app = %app.id, %error, "an access token is replaced");
                    let other = self.obtain(app, attempt, Some(used.fingerprint)).await?;
                    Ok(call(&other.token).await?)
                }
                outcome => Ok(outcome?),
            }
        };
        let late = |_| Err(CallError::Unanswered { reason: "no answer within 6 s".into() }.into());
        tokio::time::timeout(TOTAL_TIMEOUT, attempts).await.unwrap_or_else(late)
    }

    /// A token other than `bad`: that which is kept, or one that is fetched here or, meanwhile, elsewhere.
    async fn obtain(
        &self,
        app: &App,
        attempt: &AttemptId,
        mut bad: Option<Fingerprint>,
    ) -> Result<Usable, AccessTokenError> {
        let mut pauses = PAUSES.into_iter().map(Duration::from_millis);
        loop {
            let (kept, ends_soon) = match self.shelf.lend_access_token(&app.id, attempt, bad.as_ref(), LEASE).await? {
                Lent::Token(kept) => (kept, false),
                Lent::Renew(kept) => (kept, true),
                Lent::Fetch => return self.fetch(app, attempt).await,
                Lent::Failed => return Err(not_now("fetching an access token has just failed")),
                Lent::Wait => {
                    let pause = pauses.next().ok_or_else(|| not_now("an access token is still being fetched"))?;
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            match self.open(&app.id, &kept) {
                Ok(usable) if ends_soon => return Ok(self.renew(app, attempt, usable).await),
                Ok(usable) => return Ok(usable),
                // Sealed by a vault key that is not here: it counts as none.
                Err(error) => {
                    tracing::warn!(app = %app.id, %error, "an access token is fetched anew");
                    bad = Some(kept.fingerprint);
                }
            }
        }
    }

    fn open(&self, app: &AppId, kept: &KeptToken) -> Result<Usable, VaultError> {
        let token = self.vault.open_access_token(&kept.sealed, app)?;
        Ok(Usable { token, fingerprint: kept.fingerprint.clone() })
    }

    /// The successor of `old`, or `old` itself if there is none soon.
    async fn renew(&self, app: &App, attempt: &AttemptId, old: Usable) -> Usable {
        match tokio::time::timeout(RENEWAL_TIMEOUT, self.fetch(app, attempt)).await {
            Ok(Ok(successor)) => return successor,
            Ok(Err(error)) => tracing::warn!(app = %app.id, %error, "an access token was not renewed"),
            Err(_) => {
                tracing::warn!(app = %app.id, "an access token was not renewed within 1 s");
                self.give_up(app, attempt).await;
            }
        }
        old
    }

    async fn fetch(&self, app: &App, attempt: &AttemptId) -> Result<Usable, AccessTokenError> {
        match self.wechat.stable_token(app).await {
            Ok(fetched) => {
                let fingerprint = Fingerprint::of(&fetched.token);
                self.keep(app, attempt, &fetched, &fingerprint).await;
                Ok(Usable { token: fetched.token, fingerprint })
            }
            Err(error) => {
                self.give_up(app, attempt).await;
                Err(error.into())
            }
        }
    }

    /// A failure is no failure of the call: it has its token, and only the next has to fetch again.
    async fn keep(&self, app: &App, attempt: &AttemptId, fetched: &FetchedAccessToken, fingerprint: &Fingerprint) {
        let sealed = match self.vault.seal_access_token(&fetched.token, &app.id) {
            Ok(sealed) => sealed,
            Err(error) => return tracing::error!(app = %app.id, %error, "an access token could not be sealed"),
        };
        let kept = KeptToken { sealed, fingerprint: fingerprint.clone() };
        let life = life(fetched.expires_in);
        if let Err(error) = self.shelf.keep_access_token(&app.id, attempt, &kept, life).await {
            tracing::warn!(app = %app.id, %error, "an access token could not be kept");
        }
    }

    async fn give_up(&self, app: &App, attempt: &AttemptId) {
        if let Err(error) = self.shelf.give_up_access_token(&app.id, attempt).await {
            tracing::warn!(app = %app.id, %error, "the lease to fetch an access token could not be given back");
        }
    }
}

/// When a token that lives so long is renewed: in the last tenth of what is left to it when that is little, so that
/// WeChat is not asked over and over while it gives the same one.
fn life(expires_in: Duration) -> TokenLife {
    TokenLife { renew_in: expires_in - RENEWED_BEFORE_END.min(expires_in / 10), expires_in }
}

fn not_now(reason: &str) -> AccessTokenError {
    CallError::NotSent { reason: reason.into(), retry_after: FAILED_PAUSE }.into()
}
