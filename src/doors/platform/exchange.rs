//! The tokens of a third-party platform and of its merchants.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{FutureExt, future::LocalBoxFuture};
use wxmint_ids::{AppId, LoginCode};
use wxmint_keys::vault::Sealed;
use wxmint_store::{AttemptId, Claim, Expected, Fingerprint, LimitKey, Meter, Note, PlatformEntry, limits::Rate};
use wxmint_wechat::{App, CallError, FetchedAccessToken, RefreshToken, Verdict};

use super::{
    known::{COUNTED, MerchantState, Platform, REFUSAL, Refusal, Ticket, entry_of, trouble_of},
    merchants::plainly,
};
use crate::login::{
    AccessTokenError, AccessTokens, Exchange, Exchanged, Forcer, HeldToken, LoginError, LoginWorker, Wanted,
};

/// How often a token that WeChat has refused is replaced by another, so that nobody waits long for the next one.
const REPLACED: [Rate; 2] =
    [Rate { burst: 3, period: Duration::from_secs(30) }, Rate { burst: 6, period: Duration::from_secs(600) }];
/// How often a report of the same token counts.
const REPORTED: Rate = Rate { burst: 1, period: Duration::from_secs(10) };
/// How often WeChat is asked again for a token that it has refused to give by this ticket.
const ASKED_AGAIN: Rate = Rate { burst: 1, period: Duration::from_secs(30) };

/// The exchange of the platform's merchants, for one worker.
pub(super) struct MerchantExchange {
    platform: Arc<Platform>,
    /// For a minute, so that a login makes no round trip for it.
    token: HeldToken,
}

impl MerchantExchange {
    pub(super) fn new(platform: Arc<Platform>, clock: fn() -> DateTime<Utc>) -> Self {
        Self { platform, token: HeldToken::new(clock) }
    }

    fn is_own(&self, app: &App) -> bool {
        self.platform.component.id == app.id
    }
}

impl Exchange for MerchantExchange {
    fn apps_are_unread(&self) -> Option<LoginError> {
        let reason = "WeChat was not asked yet for the merchants of the platform";
        (!self.platform.known().is_compared).then(|| plainly(not_yet(reason)))
    }

    fn claim<'a>(
        &'a self,
        login: &'a LoginWorker,
        app: &'a App,
        code: &'a LoginCode,
        attempt: &'a AttemptId,
        address: &'a str,
    ) -> LocalBoxFuture<'a, Result<Claim, LoginError>> {
        login.claim_of_merchant(app, code, attempt, address).boxed_local()
    }

    fn exchange<'a>(
        &'a self,
        login: &'a LoginWorker,
        app: &'a App,
        code: &'a LoginCode,
        attempt: &'a AttemptId,
    ) -> LocalBoxFuture<'a, Exchanged> {
        login.exchange_for(&self.platform, app, code, attempt).boxed_local()
    }

    fn own_app(&self, id: &AppId) -> Option<&App> {
        Some(&self.platform.component).filter(|component| component.id == *id)
    }

    fn has_tokens_of(&self, app: &App) -> bool {
        self.is_own(app) || app.secret().is_none()
    }

    fn held(&self, app: &App) -> Option<&HeldToken> {
        Some(&self.token).filter(|_| self.is_own(app))
    }

    fn refusal(&self, app: &App) -> Option<CallError> {
        let known = self.platform.known();
        known.refusal.as_ref().filter(|_| self.is_own(app)).map(Refusal::error)
    }

    /// Each fetch gives another token, so that whoever is refused by WeChat forces one.
    fn fetch<'a>(
        &'a self,
        tokens: &'a AccessTokens<'_>,
        app: &'a App,
        wanted: &'a Wanted,
        attempt: &'a AttemptId,
    ) -> LocalBoxFuture<'a, Result<FetchedAccessToken, AccessTokenError>> {
        let fetch = async move {
            let counted = match wanted {
                Wanted::Other(_) => tokens.may_force(app, Forcer::Own, REPLACED).await?,
                _ => Vec::new(),
            };
            let fetched = match self.is_own(app) {
                true => tokens.component_token(&self.platform).await,
                false => tokens.merchant_token(&self.platform, app, attempt).await,
            };
            if fetched.is_err() {
                // While WeChat gives none, nothing is used up.
                tokens.uncount(counted).await?;
            }
            fetched
        };
        fetch.boxed_local()
    }

    /// A peer that reports every token keeps nobody from fetching.
    fn count_report<'a>(
        &'a self,
        tokens: &'a AccessTokens<'_>,
        app: &'a App,
        attempt: &'a AttemptId,
        refused: &'a Fingerprint,
    ) -> LocalBoxFuture<'a, Result<(), AccessTokenError>> {
        let count = async move {
            if tokens.obtain(app, attempt, Wanted::Any).await?.fingerprint() == refused {
                // Several who report the same token are one.
                let report = Meter { key: LimitKey::of_app(&app.id, COUNTED, refused.as_str()), rate: REPORTED };
                let counted = tokens.may_force(app, Forcer::Peer, REPLACED).await?;
                if tokens.store.count(&report).await?.is_err() {
                    tokens.uncount(counted).await?;
                }
            }
            Ok(())
        };
        count.boxed_local()
    }

    fn note_error<'a>(
        &'a self,
        tokens: &'a AccessTokens<'_>,
        app: &'a App,
        error: &'a AccessTokenError,
    ) -> LocalBoxFuture<'a, ()> {
        tokens.note_trouble(&self.platform, app, error).boxed_local()
    }
}

impl AccessTokens<'_> {
    /// A token that is fetched now, whatever is there: if WeChat gives it, it gives others again.
    pub(super) async fn renewed(&self, app: &App, attempt: &AttemptId) -> Result<(), AccessTokenError> {
        let held = self.obtain(app, attempt, Wanted::Any).await?;
        self.obtain(app, attempt, Wanted::OtherByForce(held.fingerprint().clone())).await.map(drop)
    }

    async fn component_token(&self, platform: &Platform) -> Result<FetchedAccessToken, AccessTokenError> {
        let component = &platform.component;
        let known = platform.known();
        let Ticket { at, sealed } =
            known.ticket.as_ref().ok_or_else(|| not_yet("no ticket of the platform has come"))?;
        if let Some(refusal) = known.refusal.as_ref().filter(|refusal| refusal.of_ticket == *at) {
            let meter = Meter { key: LimitKey::of_app(&component.id, COUNTED, REFUSAL), rate: ASKED_AGAIN };
            if self.store.count(&meter).await?.is_err() {
                return Err(refusal.error().into());
            }
        }
        let ticket = self.opened(sealed, &component.id, "the platform's ticket")?;
        let secret = component.secret().ok_or_else(|| not_yet("the platform has no secret"))?;
        let fetched = self.wechat.component_token(component, secret, &ticket).await;
        let refusal = fetched.as_ref().err().and_then(|error| Refusal::of(error, *at));
        if (refusal.is_some() || fetched.is_ok()) && refusal != known.refusal {
            let new = refusal.map_or(PlatformEntry { at: *at, value: Vec::new() }, |refusal| refusal.entry());
            self.note(platform, REFUSAL, &new, Expected::NotLater).await;
        }
        Ok(fetched?)
    }

    async fn merchant_token(
        &self,
        platform: &Platform,
        app: &App,
        attempt: &AttemptId,
    ) -> Result<FetchedAccessToken, AccessTokenError> {
        let known = platform.known();
        let merchant = known.merchants.get(&app.id).ok_or_else(|| not_yet("the merchant has left"))?;
        let MerchantState::In(kind, sealed) = &merchant.state else { return Err(not_yet("the merchant has left")) };
        let refresh: RefreshToken = self.opened(sealed, &app.id, "a merchant's refresh token")?;
        let component = &platform.component;
        let ask = async |token: &_| self.wechat.authorizer_token(app, &component.id, token, &refresh).await;
        if refresh.expose().is_empty() {
            return Err(not_yet("the merchant has given the platform no refresh token"));
        }
        let tokens = Box::pin(self.with(component, attempt, ask)).await?;
        if tokens.refresh.expose() != refresh.expose() {
            let sealed =
                self.vault.seal(tokens.refresh.expose(), &app.id).map_err(|error| not_yet(&error.to_string()))?;
            let state = MerchantState::In(*kind, sealed);
            let new = state.entry(merchant.entry.at);
            match self.note(platform, &entry_of(&app.id), &new, Expected::This(&merchant.entry)).await {
                true => platform.learn_merchant(&app.id, &state, &new),
                false => platform.compare_soon.notify_one(),
            }
        }
        Ok(tokens.access)
    }

    /// Notes that WeChat refuses calls for a merchant until something has changed there: for `wxmint platform apps` and
    /// the doctor. WeChat's list has the refresh token that is good now.
    async fn note_trouble(&self, platform: &Platform, app: &App, error: &AccessTokenError) {
        let AccessTokenError::WeChat(CallError::Refused { errcode, verdict, .. }) = error else { return };
        if !matches!(verdict, Verdict::NotPermitted | Verdict::StaleRefreshToken) {
            return;
        }
        let known = platform.known();
        let Some(merchant) = known.merchants.get(&app.id).filter(|merchant| merchant.trouble != Some(*errcode)) else {
            return;
        };
        let (name, trouble) = trouble_of(&app.id, &merchant.entry, *errcode);
        self.note(platform, &name, &trouble, Expected::NotLater).await;
        tracing::warn!(app = %app.id, %error, "WeChat refuses calls for a merchant");
        if *verdict == Verdict::StaleRefreshToken {
            platform.compare_soon.notify_one();
        }
    }

    /// Whether the store has answered.
    async fn note(&self, platform: &Platform, entry: &str, new: &PlatformEntry, expected: Expected<'_>) -> bool {
        let noted = self.store.note_entry(&platform.component.id, &Note { entry, new, expected, push: None }).await;
        noted.inspect_err(|error| tracing::warn!(entry, %error, "news of the platform could not be noted")).is_ok()
    }

    fn opened<T: From<zeroize::Zeroizing<String>>>(
        &self,
        sealed: &Sealed,
        of: &AppId,
        what: &str,
    ) -> Result<T, AccessTokenError> {
        let opened = self.vault.open(sealed, of);
        opened.map(T::from).map_err(|error| not_yet(&format!("{what} does not open: {error}")))
    }
}

/// A call that was not sent. What is missing comes with WeChat's next push.
pub(super) fn not_yet(reason: &str) -> AccessTokenError {
    let retry_after = Duration::from_secs(2);
    CallError::NotSent { reason: reason.to_owned(), retry_after }.into()
}
