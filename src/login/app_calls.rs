//! The app of a request, and calls of WeChat's API for it.

use arc_swap::ArcSwap;
use wxmint_ids::{AppId, Platform};
use wxmint_keys::vault::Vault;
use wxmint_store::{AttemptId, Store};
use wxmint_wechat::{App, ByToken, CallError, WeChat};

use super::{AccessTokens, AppCallError, AppRefusal, CodeExchangers};
use crate::apps::{Apps, CurrentApps};

/// Refuses an app whose people have no session keys of WeChat, and so no user data and no phone codes.
pub fn check_is_mini_program_of_wechat(app: &App) -> Result<(), AppRefusal> {
    if app.platform() != Platform::WeChat {
        Err(AppRefusal::OnlyAtWeChat)
    } else if app.kind.has_session_keys() {
        Ok(())
    } else {
        Err(AppRefusal::NoSessionKeys)
    }
}

/// Chooses the app of a request, and makes calls of WeChat's API for it.
#[derive(Clone, Copy)]
pub struct AppCalls<'a> {
    pub(super) apps: &'a CurrentApps,
    pub(super) wechat: &'a WeChat,
    pub(super) store: &'a Store,
    pub(super) vault: &'a ArcSwap<Vault>,
    pub(super) exchangers: &'a CodeExchangers,
}

impl<'a> AppCalls<'a> {
    /// Chooses by [`Apps::choose`]. An app is not called unknown as long as some apps have not been
    /// read.
    pub(crate) fn choose<'apps>(
        &self,
        apps: &'apps Apps,
        wanted: Option<&AppId>,
        hint: Option<&AppId>,
    ) -> Result<&'apps App, AppCallError> {
        apps.choose(wanted, hint).map_err(|unknown| {
            // If several apps are known, the client must name one, whatever apps are still unread.
            let may_be_unread = wanted.or(hint).is_some() || apps.iter().nth(1).is_none();
            let unread = if may_be_unread {
                self.exchangers.apps_are_unread()
            } else {
                None
            };
            unread.unwrap_or_else(|| unknown.into())
        })
    }

    /// Refuses an app that is not configured, unless records of it are kept (`is_kept`): the people
    /// of an app that has left the configuration can still be looked up and erased.
    pub fn check_app(&self, app: &AppId, is_kept: bool) -> Result<(), AppCallError> {
        if is_kept {
            Ok(())
        } else {
            self.choose(&self.apps.all(), Some(app), None).map(drop)
        }
    }

    /// Refuses the app of a login if it has left meanwhile: the revocation of the tokens of a
    /// merchant that leaves has missed the token of this login.
    pub(super) fn check_still_served(&self, app: &AppId) -> Result<(), AppCallError> {
        if !self.exchangers.has_no_components() {
            self.choose(&self.apps.all(), Some(app), None)?;
        }
        Ok(())
    }

    /// Refuses an app whose people have no session keys. An app that has left the configuration is
    /// not refused.
    pub fn check_has_session_keys(&self, app: &AppId) -> Result<(), AppRefusal> {
        match self.apps.all().choose(Some(app), None) {
            Ok(app) => check_is_mini_program_of_wechat(app),
            Err(_) => Ok(()),
        }
    }

    /// Makes a call of WeChat's API with the access token of a mini program.
    pub(crate) async fn by_access_token<T>(
        &self,
        app: &AppId,
        call: impl AsyncFn(ByToken<'_>) -> Result<T, CallError>,
    ) -> Result<T, AppCallError> {
        let apps = self.apps.all();
        let app = self.choose(&apps, Some(app), None)?;
        check_is_mini_program_of_wechat(app)?;
        self.access_tokens(app)
            .with(call)
            .await
            .map_err(|error| error.of(&app.id))
    }

    /// The access token of the app, for one call.
    pub(crate) fn access_tokens<'app>(&self, app: &'app App) -> AccessTokens<'app>
    where
        'a: 'app,
    {
        AccessTokens {
            wechat: self.wechat,
            store: self.store,
            vault: self.vault.load_full(),
            component: self.exchangers.tokens_of(app),
            app,
            attempt: AttemptId::random(),
            may_replace: true,
        }
    }
}
