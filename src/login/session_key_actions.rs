//! Requests of a person with a token about the person's session key.

use wxmint_wechat::ByToken;

use super::limits::{CHECK, RESET};
use super::session_keys::SessionKeys;
use super::{LoginLimits, TokenActionError, TokenHolder};

/// Checks and replaces the session key of a token's holder.
#[derive(Clone, Copy)]
pub struct SessionKeyActions<'a> {
    pub(super) limits: LoginLimits<'a>,
    pub(super) keys: SessionKeys<'a>,
}

impl SessionKeyActions<'_> {
    /// Whether WeChat accepts the stored session key (`checksession`). False if none is stored.
    pub async fn session_holds(&self, holder: &TokenHolder) -> Result<bool, TokenActionError> {
        let kept = self.keys.sessions.keys(&holder.person).await?;
        let Some((key, sealed)) = self.keys.current(&holder.person, &kept).await else {
            return Ok(false);
        };
        self.limits.count_call(&holder.person, CHECK).await?;
        let check = async |by: ByToken<'_>| by.check_session(&holder.person.openid, &key).await;
        Ok(self
            .keys
            .call(&holder.person, &sealed, check)
            .await?
            .is_some())
    }

    /// Has WeChat replace the session key (`resetusersessionkey`), and stores the new one.
    pub async fn reset_session(&self, holder: &TokenHolder) -> Result<(), TokenActionError> {
        let TokenHolder {
            person,
            generation,
            attempt,
            ..
        } = holder;
        self.limits.count_call(person, RESET).await?;
        let (keys, order) = self.keys.open(holder).await?;
        // The new key is stored at once, because WeChat no longer accepts the old one.
        let replacing = async {
            let (old, stored) = self
                .keys
                .current(person, &keys)
                .await
                .ok_or(TokenActionError::NothingToReset)?;
            let ask = async |by: ByToken<'_>| by.reset_session_key(&person.openid, &old).await;
            let new = self
                .keys
                .call(person, &stored, ask)
                .await?
                .ok_or(TokenActionError::NothingToReset)?;
            let sealed = self.keys.calls.vault.load_full().seal(new.expose(), person);
            Ok(self
                .keys
                .sessions
                .keep(person, *generation, &(order, sealed), None)
                .await?)
        };
        let replaced: Result<(), TokenActionError> = replacing.await;
        self.keys.sessions.close(person, attempt, false).await?;
        replaced
    }
}
