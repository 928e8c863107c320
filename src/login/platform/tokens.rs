//! The tokens of a third-party platform and of its merchants.

use std::time::Duration;

use wxmint_ids::AppId;
use wxmint_keys::vault::Sealed;
use wxmint_store::{AttemptId, Expected, Fingerprint, LimitKey, Matter, Meter, Note, limits::Rate};
use wxmint_wechat::{App, CallError, FetchedAccessToken, RefreshToken, Verdict};

use super::super::{
    AccessTokenError, AccessTokens,
    shared_access_token::{Forcer, Wanted},
};
use crate::platform::{COUNTED, Platform, REFUSAL, Refusal, Standing, Ticket, matter_of, trouble_of};

/// How often a token that WeChat has refused is replaced by another, so that nobody waits long for the next one.
const REPLACED: [Rate; 2] =
    [Rate { burst: 3, period: Duration::from_secs(30) }, Rate { burst: 6, period: Duration::from_secs(600) }];
/// How often a report of the same token counts.
const REPORTED: Rate = Rate { burst: 1, period: Duration::from_secs(10) };
/// How often WeChat is asked again for a token that it has refused to give by this ticket.
const ASKED_AGAIN: Rate = Rate { burst: 1, period: Duration::from_secs(30) };

impl AccessTokens<'_> {
    /// Each fetch gives another token, so that whoever is refused by WeChat forces one.
    pub(in super::super) async fn fetched_by_platform(
        &self,
        app: &App,
        wanted: &Wanted,
        attempt: &AttemptId,
    ) -> Result<FetchedAccessToken, AccessTokenError> {
        let (platform, _) = self.platform.ok_or_else(|| not_yet("no platform is configured"))?;
        let counted = match wanted {
            Wanted::Other(_) => self.may_force(app, Forcer::Own, REPLACED).await?,
            _ => Vec::new(),
        };
        let fetched = match platform.component.id == app.id {
            true => self.component_token(platform).await,
            false => self.merchant_token(platform, app, attempt).await,
        };
        if fetched.is_err() {
            // While WeChat gives none, nothing is used up.
            self.uncount(counted).await?;
        }
        fetched
    }

    /// A token that is fetched now, whatever is there: if WeChat gives it, it gives others again.
    pub(in super::super) async fn renewed(&self, app: &App, attempt: &AttemptId) -> Result<(), AccessTokenError> {
        let held = self.obtain(app, attempt, Wanted::Any).await?;
        self.obtain(app, attempt, Wanted::OtherByForce(held.fingerprint().clone())).await.map(drop)
    }

    /// Counts a peer's report that WeChat has refused the token in use, before anything is fetched: a peer that reports
    /// every token keeps nobody from fetching.
    pub(in super::super) async fn may_be_replaced(
        &self,
        app: &App,
        attempt: &AttemptId,
        refused: &Fingerprint,
    ) -> Result<(), AccessTokenError> {
        if self.obtain(app, attempt, Wanted::Any).await?.fingerprint() == refused {
            // Several who report the same token are one.
            let report = Meter { key: LimitKey::of_app(&app.id, COUNTED, refused.as_str()), rate: REPORTED };
            let counted = self.may_force(app, Forcer::Peer, REPLACED).await?;
            if self.store.count(&report).await?.is_err() {
                self.uncount(counted).await?;
            }
        }
        Ok(())
    }

    pub(in super::super) fn is_of_platform(&self, app: &App) -> bool {
        self.platform.is_some_and(|(platform, _)| platform.component.id == app.id) || app.secret().is_none()
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
            let new = refusal.map_or(Matter { at: *at, value: Vec::new() }, |refusal| refusal.matter());
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
        let Standing::In(kind, sealed) = &merchant.standing else { return Err(not_yet("the merchant has left")) };
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
            let standing = Standing::In(*kind, sealed);
            let new = standing.matter(merchant.matter.at);
            match self.note(platform, &matter_of(&app.id), &new, Expected::This(&merchant.matter)).await {
                true => platform.learn_merchant(&app.id, &standing, &new),
                false => platform.compare_soon.notify_one(),
            }
        }
        Ok(tokens.access)
    }

    /// Notes that WeChat refuses calls for a merchant until something has changed there: for `wxmint platform apps` and
    /// the doctor. WeChat's list has the refresh token that is good now.
    pub(in super::super) async fn note_trouble(&self, app: &App, error: &AccessTokenError) {
        let (Some((platform, _)), AccessTokenError::WeChat(CallError::Refused { errcode, verdict, .. })) =
            (self.platform, error)
        else {
            return;
        };
        if !matches!(verdict, Verdict::NotPermitted | Verdict::StaleRefreshToken) {
            return;
        }
        let known = platform.known();
        let Some(merchant) = known.merchants.get(&app.id).filter(|merchant| merchant.trouble != Some(*errcode)) else {
            return;
        };
        let (name, trouble) = trouble_of(&app.id, &merchant.matter, *errcode);
        self.note(platform, &name, &trouble, Expected::NotLater).await;
        tracing::warn!(app = %app.id, %error, "WeChat refuses calls for a merchant");
        if *verdict == Verdict::StaleRefreshToken {
            platform.compare_soon.notify_one();
        }
    }

    /// Whether the store has answered.
    async fn note(&self, platform: &Platform, matter: &str, new: &Matter, expected: Expected<'_>) -> bool {
        let noted = self.store.note_matter(&platform.component.id, &Note { matter, new, expected, push: None }).await;
        noted.inspect_err(|error| tracing::warn!(matter, %error, "news of the platform could not be noted")).is_ok()
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
