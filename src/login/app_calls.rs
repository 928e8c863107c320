//! The app of a request, and calls of WeChat's API for it.

use wxmint_ids::AppId;
use wxmint_store::AttemptId;
use wxmint_wechat::{App, ByToken, CallError};

use super::{AccessTokens, CodeExchanger, LoginError, LoginWorker, Result};
use crate::apps::Apps;

impl LoginWorker {
    /// Chooses by [`Apps::choose`]. An app is not called unknown as long as some apps have not been
    /// read.
    pub(crate) fn choose<'a>(
        &self,
        apps: &'a Apps,
        wanted: Option<&AppId>,
        hint: Option<&AppId>,
    ) -> Result<&'a App> {
        apps.choose(wanted, hint).map_err(|unknown| {
            // If several apps are known, the client must name one, whatever apps are still unread.
            let may_be_unread = wanted.or(hint).is_some() || apps.iter().nth(1).is_none();
            let exchange = self.exchange.as_ref().filter(|_| may_be_unread);
            exchange
                .and_then(|exchange| exchange.apps_are_unread())
                .unwrap_or_else(|| unknown.into())
        })
    }

    /// The exchanger that acts for the app; `None` for an app that has an AppSecret.
    pub fn exchange_of(&self, app: &App) -> Option<&dyn CodeExchanger> {
        self.exchange.as_deref().filter(|_| app.secret.is_none())
    }

    /// Refuses an app that is not configured, unless records of it are kept (`is_kept`): the people
    /// of an app that has left the configuration can still be looked up and erased.
    pub fn check_app(&self, app: &AppId, is_kept: bool) -> Result<()> {
        if is_kept {
            Ok(())
        } else {
            self.choose(&self.apps.all(), Some(app), None).map(drop)
        }
    }

    /// Refuses an app whose people have no session keys. An app that has left the configuration is
    /// not refused.
    pub fn check_has_session_keys(&self, app: &AppId) -> Result<()> {
        match self.apps.all().choose(Some(app), None) {
            Ok(app) if !app.kind.has_session_keys() => Err(LoginError::NoSessionKeys),
            _ => Ok(()),
        }
    }

    /// Makes a call of WeChat's API with the access token of a mini program.
    pub(crate) async fn by_access_token<T>(
        &self,
        app: &AppId,
        call: impl AsyncFn(ByToken<'_>) -> Result<T, CallError>,
    ) -> Result<T> {
        let apps = self.apps.all();
        let app = self.choose(&apps, Some(app), None)?;
        if !app.kind.has_session_keys() {
            return Err(LoginError::NoSessionKeys);
        }
        self.access_tokens(app)
            .with(call)
            .await
            .map_err(|error| error.of(&app.id))
    }

    pub(crate) fn access_tokens<'a>(&'a self, app: &'a App) -> AccessTokens<'a> {
        let (wechat, store, vault) = (&self.wechat, &self.store, self.vault.load_full());
        let (exchange, attempt) = (self.exchange.as_deref(), AttemptId::random());
        AccessTokens {
            wechat,
            store,
            vault,
            exchange,
            app,
            attempt,
            may_replace: true,
        }
    }
}
