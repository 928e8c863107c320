//! WeChat's access token, for the calls that need it. All replicas share one token, and one of them
//! fetches a new token when it is missing, expires soon or was refused. A login by code alone needs
//! none.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use wxmint_keys::vault::Vault;
use wxmint_store::limits::{LimitError, Rate, Reservation};
use wxmint_store::{
    AttemptId, FAILED_PAUSE, KeptToken, Lent, RateLimitKey, Store, StoreError, short_digest,
};
use wxmint_wechat::{App, AppAccessToken, ByToken, CallError, FetchedAccessToken, Verdict, WeChat};

use super::{AppCallError, ComponentTokens, WeChatRefusal};

/// The limit for one call, including the fetch of a token before it, and both once more if the
/// token is refused.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(6);
/// How long the lease to fetch lasts, in which no other process fetches: `stable_token` may take 5 s,
/// and the store 1 s.
const LEASE: Duration = Duration::from_secs(6);
/// The pauses, in milliseconds, before each look whether another process has fetched the token.
/// They are short at first, for a fetch of normal speed, and then longer, so that waiting requests
/// cost the store little while WeChat stalls. After 2 s a request gives up.
const PAUSES: [u64; 8] = [25, 50, 100, 200, 400, 400, 400, 425];
/// How long before its expiry a token is renewed. WeChat gives a successor only in the last five
/// minutes; asked earlier, it gives the same token. Asked at the last moment, it may be
/// unavailable.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(270);
/// A request that renews has a valid token, and waits no longer than this for the successor.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The same for a token that a third party fetches. WeChat gives such a token only once: if
/// nobody waits for the answer, the token is lost, and the old one expires soon.
const RENEWAL_TIMEOUT_OF_COMPONENT: Duration = Duration::from_secs(5);
/// How often WeChat lets a new token be forced: a second time within 30 s has no effect, and the
/// 21st time in a day is refused.
const FORCED: [Rate; 2] = [
    Rate {
        burst: 1,
        period: Duration::from_secs(30),
    },
    Rate {
        burst: 20,
        period: Duration::from_hours(24),
    },
];
/// `Retry-After` if services other than wxmint have used up these renewals.
const FORCED_ELSEWHERE: Duration = Duration::from_secs(30);
/// How many seconds a process uses a token without asking the store whether it is the newest. Less
/// than the time before expiry at which a token is renewed.
const HELD: i64 = 60;

/// The access token of one app, for one call.
#[derive(Clone)]
pub struct AccessTokens<'a> {
    pub wechat: &'a WeChat,
    pub store: &'a Store,
    pub vault: Arc<Vault>,
    /// The tokens of the third party that acts for the app, or whose own app it is.
    pub component: Option<&'a dyn ComponentTokens>,
    pub app: &'a App,
    pub attempt: AttemptId,
    /// Whether another token may be fetched in place of one that WeChat refuses.
    pub may_replace: bool,
}

/// A token to use.
pub struct Usable {
    pub token: AppAccessToken,
    /// How long it is still valid.
    pub expires_in: Duration,
    /// Whether it was fetched for this call.
    pub is_new: bool,
}

/// A token that many logins share. A process holds it for a minute at most, so that it need not ask
/// the store each time. If WeChat refuses it, it is replaced like any other.
#[derive(Default)]
pub struct HeldToken(ArcSwapOption<(Arc<Usable>, DateTime<Utc>)>);

impl HeldToken {
    fn hold(&self, token: Arc<Usable>, now: DateTime<Utc>) {
        self.0.store(Some(Arc::new((token, now))));
    }

    /// `None` if the token was held for too long, or the clock has stepped back.
    fn at(&self, now: DateTime<Utc>) -> Option<Arc<Usable>> {
        let held = self.0.load_full()?;
        (0..HELD)
            .contains(&(now - held.1).num_seconds())
            .then(|| Arc::clone(&held.0))
    }
}

/// A token that WeChat has refused: any other is good enough.
pub struct Refused {
    /// Its fingerprint.
    pub token: String,
    /// If WeChat gives this one again, a new one is forced.
    pub by_force: bool,
}

impl AccessTokens<'_> {
    /// Makes a call with the token. If WeChat refuses the token, it is replaced, unless another
    /// request has done so already, and the call is made once more.
    pub async fn with<T>(
        &self,
        call: impl AsyncFn(ByToken<'_>) -> Result<T, CallError>,
    ) -> Result<T, AppCallError> {
        let held = self.acting().map(ComponentTokens::held);
        let obtained = async |refused| {
            let usable = Arc::new(self.obtain(refused).await?);
            if let Some(held) = held {
                held.hold(Arc::clone(&usable), self.store.clock.now());
            }
            Ok::<_, AppCallError>(usable)
        };
        let attempts = async {
            // The store may have a newer token than the held one, and WeChat may refuse that one
            // too.
            let (mut used, mut replacements) =
                match held.and_then(|held| held.at(self.store.clock.now())) {
                    Some(used) => (used, 2),
                    None => (obtained(None).await?, 1),
                };
            loop {
                match call(ByToken {
                    wechat: self.wechat,
                    app: self.app,
                    token: &used.token,
                })
                .await
                {
                    Err(error)
                        if self.may_replace
                            && error.verdict() == Some(Verdict::BadAccessToken)
                            && replacements > 0 =>
                    {
                        bounded!(warn, "replaced token", app = %self.app.id, %error, "an access token is replaced");
                        used = obtained(Some(Refused {
                            token: fingerprint(&used.token),
                            by_force: false,
                        }))
                        .await?;
                        replacements = if used.is_new { 0 } else { replacements - 1 };
                    }
                    // Another token would not help, unless it is a platform's (`held`), which may
                    // be refused for one merchant alone.
                    Err(error)
                        if used.is_new
                            && held.is_none()
                            && error.verdict() == Some(Verdict::BadAccessToken) =>
                    {
                        return Err(WeChatRefusal::Misconfigured {
                            error,
                            app: Some(self.app.id.clone()),
                        }
                        .into());
                    }
                    outcome => return Ok(outcome?),
                }
            }
        };
        self.noted(in_time(attempts).await).await
    }

    async fn noted<T>(&self, outcome: Result<T, AppCallError>) -> Result<T, AppCallError> {
        if let Some(component) = self.component
            && let Err(error) = &outcome
        {
            component.note_error(self, error).await;
        }
        outcome
    }

    /// The third party, if this is its own app.
    fn acting(&self) -> Option<&dyn ComponentTokens> {
        self.component
            .filter(|component| component.own_app().id == self.app.id)
    }

    /// The token that all services of the business share.
    ///
    /// If WeChat has `refused` a token, this is its successor, or the token in use if that is a
    /// different one. However many requests come, only one asks WeChat. WeChat is first asked
    /// without force, because another service may have renewed the token. Only if it gives the
    /// refused token again, a new one is forced, as often as WeChat allows.
    pub async fn lend(&self, refused: Option<&AppAccessToken>) -> Result<Usable, AppCallError> {
        let refused = refused.map(|refused| Refused {
            token: fingerprint(refused),
            by_force: true,
        });
        if let Some(component) = self.component
            && let Some(refused) = &refused
        {
            in_time(component.count_report(self, &refused.token)).await?;
        }
        self.noted(in_time(self.obtain(refused)).await).await
    }

    /// The stored token, or a new one that this process or another one fetches now.
    pub async fn obtain(&self, mut refused: Option<Refused>) -> Result<Usable, AppCallError> {
        let mut pauses = PAUSES.into_iter().map(Duration::from_millis);
        loop {
            let bad = refused.as_ref().map(|refused| &*refused.token);
            let lent = self
                .store
                .access_tokens
                .lend(&self.app.id, &self.attempt, bad, LEASE)
                .await?;
            let (kept, ends_soon) = match lent {
                Lent::Token(kept) => (kept, false),
                Lent::Renew(kept) => (kept, true),
                Lent::Fetch => return self.fetch(refused.as_ref()).await,
                Lent::Failed => {
                    let refusal = self.acting().and_then(ComponentTokens::refusal);
                    return Err(match refusal {
                        Some(refusal) => refusal.into(),
                        None => not_for("fetching an access token has just failed", FAILED_PAUSE),
                    });
                }
                Lent::Wait => {
                    let Some(pause) = pauses.next() else {
                        return Err(not_for(
                            "an access token is still being fetched",
                            FAILED_PAUSE,
                        ));
                    };
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            match self.vault.open(&kept.sealed, &self.app.id) {
                Ok(token) => {
                    let usable = Usable {
                        token: token.into(),
                        expires_in: kept.expires_in,
                        is_new: false,
                    };
                    return Ok(if ends_soon {
                        self.renew(usable).await
                    } else {
                        usable
                    });
                }
                // It was sealed by a vault key that this process lacks, so it counts as missing.
                Err(error) => {
                    tracing::warn!(app = %self.app.id, %error, "an access token is fetched anew");
                    refused = Some(Refused {
                        token: kept.fingerprint,
                        by_force: false,
                    });
                }
            }
        }
    }

    /// The successor of `old`, or `old` itself if there is none soon.
    async fn renew(&self, old: Usable) -> Usable {
        let patience = self
            .component
            .map_or(RENEWAL_TIMEOUT, |_| RENEWAL_TIMEOUT_OF_COMPONENT);
        let Ok(renewed) = tokio::time::timeout(patience, self.fetch(None)).await else {
            tracing::warn!(app = %self.app.id, ?patience, "an access token was not renewed in time");
            self.give_up().await;
            return old;
        };
        match renewed {
            Ok(successor) => successor,
            Err(error) => {
                tracing::warn!(app = %self.app.id, %error, "an access token was not renewed");
                old
            }
        }
    }

    async fn fetch(&self, refused: Option<&Refused>) -> Result<Usable, AppCallError> {
        let fetched = match self.component {
            Some(component) => component.fetch(self, refused).await,
            None => self.fetched(refused).await,
        };
        match &fetched {
            Ok(fetched) => self.keep(fetched).await,
            Err(_) => self.give_up().await,
        }
        fetched.map(|fetched| Usable {
            token: fetched.token,
            expires_in: fetched.expires_in,
            is_new: true,
        })
    }

    async fn fetched(&self, refused: Option<&Refused>) -> Result<FetchedAccessToken, AppCallError> {
        let fetched = self.wechat.stable_token(self.app, false).await?;
        match refused {
            Some(Refused {
                token,
                by_force: true,
            }) if fingerprint(&fetched.token) == *token => self.force(token).await,
            _ => Ok(fetched),
        }
    }

    /// Counts a forced renewal, or refuses it if it comes too soon or too often. `by` is a prefix,
    /// under which the renewals of the business's services are counted apart from wxmint's own.
    pub async fn may_force(
        &self,
        by: &str,
        rates: [Rate; 2],
    ) -> Result<Vec<(RateLimitKey, Reservation)>, AppCallError> {
        let mut all = Vec::new();
        for rate in rates {
            let meter = RateLimitKey::of_app(
                &self.app.id,
                "forced",
                format!("{by}{}", rate.period.as_secs()),
                rate,
            );
            match self.store.limits.count(&meter).await {
                Ok(counted) => all.push((meter, counted)),
                Err(LimitError::Store(error)) => return Err(error.into()),
                Err(LimitError::TooMany(too_many)) => {
                    self.uncount(all).await?;
                    return Err(not_for(
                        "WeChat lets no other access token be forced yet",
                        too_many.retry_after,
                    ));
                }
            }
        }
        Ok(all)
    }

    /// Takes back the counts of [`Self::may_force`], because nothing was forced.
    pub async fn uncount(
        &self,
        counted: Vec<(RateLimitKey, Reservation)>,
    ) -> Result<(), StoreError> {
        for (meter, counted) in counted {
            self.store.limits.uncount(&meter, counted).await?;
        }
        Ok(())
    }

    async fn force(&self, refused: &str) -> Result<FetchedAccessToken, AppCallError> {
        self.may_force("", FORCED).await?;
        tracing::warn!(app = %self.app.id, "WeChat is made to renew an access token that it gives and does not accept");
        match self.wechat.stable_token(self.app, true).await {
            Ok(forced) if fingerprint(&forced.token) != *refused => Ok(forced),
            Err(CallError::Refused { errcode: 45009, .. }) | Ok(_) => Err(not_for(
                "WeChat renews no access token now, because others have forced it",
                FORCED_ELSEWHERE,
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores the token. A failure is only logged: this call has its token, and the next call
    /// fetches again.
    async fn keep(&self, fetched: &FetchedAccessToken) {
        let sealed = self.vault.seal(fetched.token.expose(), &self.app.id);
        let kept = KeptToken {
            sealed,
            fingerprint: fingerprint(&fetched.token),
            expires_in: fetched.expires_in,
        };
        let renew_in = renew_in(fetched.expires_in, self.component.is_some());
        if let Err(error) = self
            .store
            .access_tokens
            .keep(&self.app.id, &self.attempt, &kept, renew_in)
            .await
        {
            tracing::warn!(app = %self.app.id, %error, "an access token could not be kept");
        }
    }

    async fn give_up(&self) {
        if let Err(error) = self
            .store
            .access_tokens
            .give_up(&self.app.id, &self.attempt)
            .await
        {
            tracing::warn!(app = %self.app.id, %error, "the lease to fetch an access token could not be given back");
        }
    }
}

/// Identifies a token without revealing it.
pub fn fingerprint(token: &AppAccessToken) -> String {
    short_digest(token.expose()).to_string()
}

/// How long to wait before a token that is valid for `expires_in` is renewed. If little time is
/// left, this is in its last tenth, so that WeChat is not asked again and again for the same token.
/// A token of a third party has no successor until one is asked for, so it is renewed in its
/// last twelfth.
fn renew_in(expires_in: Duration, is_of_component: bool) -> Duration {
    let before_end = if is_of_component {
        expires_in / 12
    } else {
        RENEWED_BEFORE_END.min(expires_in / 10)
    };
    expires_in.saturating_sub(before_end)
}

async fn in_time<T>(
    steps: impl Future<Output = Result<T, AppCallError>>,
) -> Result<T, AppCallError> {
    let Ok(outcome) = tokio::time::timeout(TOTAL_TIMEOUT, steps).await else {
        return Err(CallError::Unanswered {
            reason: "no answer within 6 s".into(),
        }
        .into());
    };
    outcome
}

fn not_for(reason: &str, retry_after: Duration) -> AppCallError {
    CallError::NotSent {
        reason: reason.into(),
        retry_after,
    }
    .into()
}
