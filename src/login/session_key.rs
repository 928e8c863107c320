//! Checks the session key at WeChat, and has WeChat replace it.

use super::{AccessTokenError, Asking, LoginError, SessionError, Worker};
use crate::{
    store::{ExchangeOrder, PersonalCall, Tried},
    wechat::{AppAccessToken, CallError, SessionKey, Verdict},
};

impl Worker {
    /// Whether WeChat accepts the stored session key (`checksession`). False if none is stored.
    pub async fn session_holds(&self, asking: &Asking) -> Result<bool, SessionError> {
        let Some(key) = self.current_key(asking).await? else { return Ok(false) };
        self.count_call(asking, PersonalCall::Check).await?;
        let openid = &asking.person.openid;
        self.by_access_token(asking, async |token| self.wechat.check_session(token, openid, &key).await).await
    }

    /// Has WeChat replace the session key (`resetusersessionkey`), and stores the new one.
    pub async fn reset_session(&self, asking: &Asking) -> Result<(), SessionError> {
        self.count_call(asking, PersonalCall::Reset).await?;
        let kept = self.open_session(asking).await?;
        let replaced = self.replace_key(asking, kept.order).await;
        self.store.close(&asking.person, Tried::Nothing, &asking.attempt).await?;
        replaced
    }

    /// Stores the new key at once, because WeChat has forgotten the old one.
    async fn replace_key(&self, asking: &Asking, order: ExchangeOrder) -> Result<(), SessionError> {
        let Asking { person, generation, .. } = asking;
        let old = self.current_key(asking).await?.ok_or(SessionError::Undecryptable)?;
        let ask = async |token: &_| self.wechat.reset_session_key(token, &person.openid, &old).await;
        let new = self.by_access_token(asking, ask).await?;
        let sealed = self.vault.keys().seal(&new, person).map_err(LoginError::from)?;
        Ok(self.store.keep_session_key(person, *generation, &(order, sealed)).await?)
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
        let called = self.access_tokens().with(app, &asking.attempt, call).await;
        called.map_err(|error| match &error {
            AccessTokenError::WeChat(refused) if refused.verdict() == Some(Verdict::StaleSession) => {
                SessionError::Undecryptable
            }
            _ => SessionError::Failed(error.into()),
        })
    }
}
