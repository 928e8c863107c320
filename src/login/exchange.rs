//! The exchange: whose code is this? Claims a login code, so that it is sent once, and asks WeChat or
//! the other platform of the app.

use wxmint_ids::{AppId, LoginCode, Platform};
use wxmint_platforms::PlatformError;
use wxmint_store::{AttemptId, Bindings, Claim, Codes, ExchangeTimestamp};
use wxmint_wechat::{App, CallError, Session};

use super::{
    AppCallError, AppCalls, Attempt, IP, Issuance, LimitReached, LoginLimits, PlatformRefusal,
    Result, Unavailable, UserIds, WeChatRefusal,
};

/// Exchanges login codes.
pub(super) struct CodeExchange<'a> {
    pub(super) calls: AppCalls<'a>,
    pub(super) limits: LoginLimits<'a>,
    pub(super) ids: &'a UserIds,
    pub(super) issuance: Issuance<'a>,
    pub(super) codes: &'a Codes,
    pub(super) bindings: &'a Bindings,
}

/// The platform's answer to a code.
pub(super) struct ExchangedCode {
    pub(super) session: Session,
    /// Orders this exchange among those of the same person.
    pub(super) order: ExchangeTimestamp,
}

impl CodeExchange<'_> {
    /// Exchanges the code. Until WeChat has answered, the login takes up one of the calls that its
    /// address may have in progress.
    pub(super) async fn exchange(
        &self,
        app: &App,
        code: &LoginCode,
        attempt: &Attempt<'_>,
    ) -> Result<ExchangedCode> {
        let place = self.calls.wechat.place_for(attempt.address)?;
        let order = self.claim(app, code, attempt).await?;
        let session = self.ask_platform(app, code, &attempt.id).await?;
        drop(place);
        Ok(ExchangedCode { session, order })
    }

    /// The first round trip counts the address and claims the code, so that no other request can
    /// use it.
    async fn claim(
        &self,
        app: &App,
        code: &LoginCode,
        attempt: &Attempt<'_>,
    ) -> Result<ExchangeTimestamp> {
        self.ids.agreement.ask_first(self.bindings).await?;
        self.ids.agreement.check_agreed()?;
        self.issuance.prepare(attempt.now).await?;
        let claim = match self.calls.exchangers.of(app) {
            None => {
                let of_address = self.limits.of_address(attempt.address);
                self.codes
                    .claim(&app.id, code, &attempt.id, &of_address)
                    .await?
            }
            Some(other) => {
                other
                    .claim(self.codes, &self.limits, app, code, attempt)
                    .await?
            }
        };
        match claim {
            Claim::Granted(order) => Ok(order),
            Claim::Taken if app.platform() == Platform::WeChat => {
                Err(WeChatRefusal::CodeUsed.into())
            }
            Claim::Taken => Err(PlatformRefusal::CodeUsed.into()),
            Claim::Limited(refused) => Err(LimitReached { limit: IP, refused }.into()),
        }
    }

    /// Exchanges the code at the app's platform. If the code was provably not sent, it is released, so that the
    /// client can send it again.
    async fn ask_platform(
        &self,
        app: &App,
        code: &LoginCode,
        attempt: &AttemptId,
    ) -> Result<Session, AppCallError> {
        let session = match self.calls.exchangers.of(app) {
            None => self
                .calls
                .wechat
                .exchange(app, code)
                .await
                .map_err(|error| AppCallError::from(error).of(&app.id)),
            Some(other) => {
                let tokens = self.calls.access_tokens(app);
                other.exchange(&tokens, code, attempt).await
            }
        };
        if let Err(AppCallError::Unavailable(
            Unavailable::WeChat(CallError::NotSent { .. })
            | Unavailable::Platform(PlatformError::NotSent { .. }),
        )) = session
        {
            release_code(self.codes, &app.id, code, attempt).await;
        }
        session
    }
}

/// Releases a code that was not sent.
pub async fn release_code(codes: &Codes, app: &AppId, code: &LoginCode, attempt: &AttemptId) {
    if let Err(error) = codes.release(app, code, attempt).await {
        tracing::warn!(%error, "a login code that was not sent could not be given back");
    }
}
