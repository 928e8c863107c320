//! Whether WeChat still knows the session, and a new key for it.

use super::{Asking, SessionError};
use crate::{
    login::{AccessTokenError, AccessTokens, Login, LoginError},
    store::Tried,
    wechat::{AppAccessToken, CallError, SessionKey, Verdict},
};

impl Login {
    /// Whether the session key that is kept is the one that WeChat has (`checksession`). Not, where none is kept.
    pub async fn session_holds(&self, asking: &Asking) -> Result<bool, SessionError> {
        let Some(key) = self.current_key(asking).await? else { return Ok(false) };
        let openid = &asking.person.openid;
        self.by_access_token(asking, async |token| self.wechat.check_session(token, openid, &key).await).await
    }

    /// Has WeChat replace the session key (`resetusersessionkey`), and keeps the new one.
    pub async fn reset_session(&self, asking: &Asking) -> Result<(), SessionError> {
        let kept = self.open_session(asking).await?;
        let reset = self.reset_at_wechat(asking).await;
        self.store.close(&asking.person, Tried::Nothing).await?;
        let sealed = self.vault.keys().seal(&reset?, &asking.person).map_err(LoginError::from)?;
        Ok(self.store.keep_session_key(&asking.person, &sealed, &kept.order).await?)
    }

    async fn reset_at_wechat(&self, asking: &Asking) -> Result<SessionKey, SessionError> {
        let key = self.current_key(asking).await?.ok_or(SessionError::Undecryptable)?;
        let openid = &asking.person.openid;
        self.by_access_token(asking, async |token| self.wechat.reset_session_key(token, openid, &key).await).await
    }

    async fn current_key(&self, asking: &Asking) -> Result<Option<SessionKey>, SessionError> {
        let Some(kept) = self.store.session_keys(&asking.person).await? else { return Ok(None) };
        Ok(self.unseal(&self.vault.keys(), &kept.current, &asking.person).await)
    }

    async fn by_access_token<T>(
        &self,
        asking: &Asking,
        call: impl AsyncFn(&AppAccessToken) -> Result<T, CallError>,
    ) -> Result<T, SessionError> {
        let apps = self.apps.all();
        let app = apps.choose(Some(&asking.person.app), None).map_err(LoginError::from)?;
        let vault = self.vault.keys();
        let tokens = AccessTokens { wechat: &self.wechat, shelf: &*self.store, vault: &vault };
        let called = tokens.with(app, &asking.claim, call).await;
        called.map_err(|error| match &error {
            AccessTokenError::WeChat(refused) if refused.verdict() == Some(Verdict::StaleSession) => {
                SessionError::Undecryptable
            }
            _ => SessionError::Failed(error.into()),
        })
    }
}
