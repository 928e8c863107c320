//! The tokens of a third-party platform and of its merchants.

use std::time::Duration;

use wxmint_ids::AppId;
use wxmint_keys::vault::Sealed;
use wxmint_store::{AttemptId, Expected, Matter, Note, limits::Rate};
use wxmint_wechat::{App, CallError, FetchedAccessToken, RefreshToken, Verdict};

use super::super::{AccessTokenError, AccessTokens, shared_access_token::Wanted};
use crate::platform::{Platform, REFUSAL, Standing, matter_of};

/// How often a token that WeChat has refused is replaced by another.
const REPLACED: [Rate; 2] =
    [Rate { burst: 3, period: Duration::from_secs(30) }, Rate { burst: 200, period: Duration::from_secs(86_400) }];

impl AccessTokens<'_> {
    /// Each fetch gives another token, so that whoever is refused by WeChat forces one.
    pub(in super::super) async fn fetched_by_platform(
        &self,
        app: &App,
        wanted: &Wanted,
        attempt: &AttemptId,
    ) -> Result<FetchedAccessToken, AccessTokenError> {
        let (platform, _) = self.platform.ok_or_else(|| not_yet("no platform is configured"))?;
        if !matches!(wanted, Wanted::Any) {
            self.may_force(app, REPLACED).await?;
        }
        match platform.component.id == app.id {
            true => self.component_token(platform).await,
            false => self.merchant_token(platform, app, attempt).await,
        }
    }

    pub(in super::super) fn is_of_platform(&self, app: &App) -> bool {
        self.platform.is_some_and(|(platform, _)| platform.component.id == app.id) || app.secret().is_none()
    }

    async fn component_token(&self, platform: &Platform) -> Result<FetchedAccessToken, AccessTokenError> {
        let component = &platform.component;
        let known = platform.known();
        let ticket = known.ticket.as_ref().ok_or_else(|| not_yet("no ticket of the platform has come"))?;
        let ticket = self.opened(&ticket.sealed, &component.id, "the platform's ticket")?;
        let secret = component.secret().ok_or_else(|| not_yet("the platform has no secret"))?;
        let fetched = self.wechat.component_token(component, secret, &ticket).await;
        let refusal = match &fetched {
            Ok(_) => None,
            Err(error @ CallError::Refused { errcode, .. }) => Some(format!("{errcode} {error}")),
            Err(_) => return Ok(fetched?),
        };
        if refusal != known.refusal {
            let value = refusal.unwrap_or_default().into_bytes();
            let new = Matter { at: known.ticket.as_ref().map_or(0, |ticket| ticket.at), value };
            let note = Note { matter: REFUSAL, new: &new, expected: Expected::NotLater, push: None };
            if let Err(error) = self.store.note_matter(&component.id, &note).await {
                tracing::warn!(%error, "what WeChat says about the platform's token could not be noted");
            }
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
        let tokens = Box::pin(self.with(component, attempt, ask)).await.inspect_err(|error| {
            if matches!(error, AccessTokenError::WeChat(error) if error.verdict() == Some(Verdict::StaleRefreshToken)) {
                platform.compare_soon.notify_one();
            }
        })?;
        if tokens.refresh.expose() != refresh.expose() {
            let sealed =
                self.vault.seal(tokens.refresh.expose(), &app.id).map_err(|error| not_yet(&error.to_string()))?;
            let new = Standing::In(*kind, sealed).matter(merchant.matter.at);
            let expected = Expected::This(&merchant.matter);
            let note = Note { matter: &matter_of(&app.id), new: &new, expected, push: None };
            if let Err(error) = self.store.note_matter(&component.id, &note).await {
                tracing::warn!(app = %app.id, %error, "a merchant's new refresh token could not be kept");
                platform.compare_soon.notify_one();
            }
        }
        Ok(tokens.access)
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
