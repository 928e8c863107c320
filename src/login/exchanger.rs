//! Exchanges the login codes of apps that have no AppSecret of WeChat here: a third party acts for the
//! app with its own tokens, or the app is of another platform. An app with an AppSecret needs none of
//! this.

use std::{rc::Rc, sync::Arc};

use async_trait::async_trait;
use wxmint_ids::{AppId, LoginCode};
use wxmint_store::{AttemptId, Claim, Codes, StoreError};
use wxmint_wechat::{App, AppExchanger, CallError, FetchedAccessToken, Session};

use super::{AccessTokens, AppCallError, Attempt, HeldToken, LoginLimits, Refused};

/// Exchanges the codes of apps that have no AppSecret of WeChat. Its futures are boxed, so that other
/// logins' futures stay small.
#[async_trait(?Send)]
pub trait CodeExchanger {
    /// The error to answer while not all apps have been read, so that no app can be called unknown.
    fn apps_are_unread(&self) -> Option<AppCallError>;

    /// Counts the address and claims the code, as [`wxmint_store::Codes::claim`] does. An exchanger
    /// that counts more than the address has its own.
    async fn claim(
        &self,
        codes: &Codes,
        limits: &LoginLimits<'_>,
        app: &App,
        code: &LoginCode,
        attempt: &Attempt<'_>,
    ) -> Result<Claim, StoreError> {
        let of_address = limits.of_address(attempt.address);
        codes.claim(&app.id, code, &attempt.id, &of_address).await
    }

    /// Exchanges a code of the app of `tokens`. Releases a code that was not sent, unless
    /// the error is `NotSent`: then the caller does.
    async fn exchange(
        &self,
        tokens: &AccessTokens<'_>,
        code: &LoginCode,
        attempt: &AttemptId,
    ) -> Result<Session, AppCallError>;

    /// The access tokens of the third party and of the apps that it acts for. `None` if there is no
    /// third party.
    fn tokens(&self) -> Option<&dyn ComponentTokens> {
        None
    }
}

/// The access tokens of a third party (WeChat's component), and of the apps that it acts for.
#[async_trait(?Send)]
pub trait ComponentTokens {
    /// The third party's own app (WeChat's `component_appid`). Peers may have its access token too.
    fn own_app(&self) -> &App;

    /// The access token of the own app, which logins share for a minute.
    fn held(&self) -> &HeldToken;

    /// The error while the own app gets no access token until an operator or the third party has
    /// fixed something.
    fn refusal(&self) -> Option<CallError>;

    /// Fetches a new access token, in place of the `refused` one if there is one.
    async fn fetch(
        &self,
        tokens: &AccessTokens<'_>,
        refused: Option<&Refused>,
    ) -> Result<FetchedAccessToken, AppCallError>;

    /// Counts a peer's report that WeChat has refused the token with this fingerprint, before
    /// anything is fetched.
    async fn count_report(
        &self,
        tokens: &AccessTokens<'_>,
        refused: &str,
    ) -> Result<(), AppCallError>;

    /// Takes note of the error of a call for the app.
    async fn note_error(&self, tokens: &AccessTokens<'_>, error: &AppCallError);
}

/// The exchangers of apps that have no AppSecret of WeChat.
#[derive(Clone)]
pub struct CodeExchangers {
    /// Those of the open doors, each of which has its own app at WeChat.
    pub components: Vec<Arc<dyn CodeExchanger>>,
    /// That of all other platforms than WeChat.
    pub other_platforms: Rc<dyn CodeExchanger>,
}

impl CodeExchangers {
    /// Whether no third party acts for apps, so that none comes or leaves by itself.
    pub(super) fn has_no_components(&self) -> bool {
        self.components.is_empty()
    }

    /// The error to answer while not all apps have been read, so that no app can be called unknown.
    pub(super) fn apps_are_unread(&self) -> Option<AppCallError> {
        self.components
            .iter()
            .find_map(|exchanger| exchanger.apps_are_unread())
    }

    /// The exchanger of the app; `None` for an app that has an AppSecret.
    pub(super) fn of(&self, app: &App) -> Option<&dyn CodeExchanger> {
        match &app.exchanger {
            AppExchanger::Secret(_) => None,
            AppExchanger::Component(component) => self.with_own_app(component),
            AppExchanger::Platform(_) => Some(&*self.other_platforms),
        }
    }

    /// The tokens of the third party that acts for the app, or whose own app it is; `None` for an
    /// app whose tokens WeChat gives for its AppSecret.
    pub(super) fn tokens_of(&self, app: &App) -> Option<&dyn ComponentTokens> {
        let component = match &app.exchanger {
            AppExchanger::Secret(_) => &app.id,
            AppExchanger::Component(component) => component,
            AppExchanger::Platform(_) => return None,
        };
        self.with_own_app(component)?.tokens()
    }

    /// The app, if it is a third party's own one.
    pub(super) fn own_app(&self, id: &AppId) -> Option<&App> {
        self.with_own_app(id)?
            .tokens()
            .map(ComponentTokens::own_app)
    }

    fn with_own_app(&self, id: &AppId) -> Option<&dyn CodeExchanger> {
        self.components
            .iter()
            .map(|exchanger| &**exchanger)
            .find(|exchanger| {
                exchanger
                    .tokens()
                    .is_some_and(|tokens| tokens.own_app().id == *id)
            })
    }
}
