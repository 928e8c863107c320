//! User data: decrypted with the stored session key, and believed only if it names the right person
//! and app.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use wxmint_ids::{Person, UnionId};
use wxmint_keys::vault::{Sealed, Vault};
use wxmint_store::{ExchangeTimestamp, Generation, Opening};
use wxmint_wechat::{DataCheck, OpenedData, SessionKey, UserData};

use super::{LoginError, LoginWorker, Result, SettledState, TokenHolder, limits::USER_DATA};

impl LoginWorker {
    /// The data without openId, unionId and watermark. Tries the current session key and, for ten
    /// minutes after a login, the previous one. Each failure is counted; the eighth deletes the
    /// session key.
    pub async fn user_data(
        &self,
        holder: &TokenHolder,
        request: &UserData,
        now: DateTime<Utc>,
        max_age: Duration,
    ) -> Result<Map<String, Value>> {
        self.count_call(&holder.person, USER_DATA).await?;
        let (keys, _) = self.open_session(holder).await?;
        let check = DataCheck {
            person: &holder.person,
            now,
            max_age,
        };
        let opened = self.try_keys(&keys, request, &check).await;
        if self
            .store
            .close(
                &holder.person,
                &holder.attempt,
                opened.is_none() && !keys.is_empty(),
            )
            .await?
        {
            tracing::warn!(
                user = holder.user.as_str(),
                "a session key was dropped: too much data failed to decrypt"
            );
        }
        let OpenedData { data, unionid } = opened.ok_or(LoginError::Undecryptable)?;
        if let Some(unionid) = &unionid {
            self.link_found(holder, unionid).await?;
        }
        Ok(data)
    }

    pub(super) async fn open_session(
        &self,
        holder: &TokenHolder,
    ) -> Result<(Vec<Sealed>, ExchangeTimestamp)> {
        match self
            .store
            .open(&holder.person, &holder.user, &holder.attempt)
            .await?
        {
            Opening::Keys(keys, order) => Ok((keys, order)),
            Opening::NotBound => Err(LoginError::TokenRevoked),
            Opening::Busy => Err(LoginError::Busy),
        }
    }

    async fn try_keys(
        &self,
        keys: &[Sealed],
        data: &UserData,
        check: &DataCheck<'_>,
    ) -> Option<OpenedData> {
        let vault = self.vault.load_full();
        for sealed in keys {
            let Some((key, _)) = self.unseal(&vault, sealed, check.person).await else {
                continue;
            };
            if let Some(opened) = data.open(&key, check) {
                return Some(opened);
            }
        }
        None
    }

    /// Opens a sealed session key, and seals it again if it was sealed under an older vault key.
    /// Also returns the sealed key as it is stored from then on. If its vault key is lost, the
    /// person must log in again.
    pub(super) async fn unseal(
        &self,
        vault: &Vault,
        sealed: &Sealed,
        person: &Person,
    ) -> Option<(SessionKey, Sealed)> {
        let opened = vault.open(sealed, person).inspect_err(|error| {
            tracing::warn!(%error, "a session key that is kept cannot be used; its owner is told to log in again");
        });
        let key = SessionKey::from(opened.ok()?);
        if vault.is_newest(sealed) {
            return Some((key, sealed.clone()));
        }
        let anew = vault.seal(key.expose(), person);
        let anew = if sealed.is_stale() {
            anew.stale()
        } else {
            anew
        };
        if let Err(error) = self.store.reseal(person, sealed, &anew).await {
            tracing::warn!(%error, "a session key stays under an older vault key");
            return Some((key, sealed.clone()));
        }
        Some((key, anew))
    }

    /// Links a unionid that was found in the data, if the person has none yet. A known unionid
    /// changes only by WeChat's answers to wxmint itself, because data may be old, and only the
    /// phone vouches that they are unchanged. Apps whose AppSecret is elsewhere are left out,
    /// because their owner could make data that name another person's unionid.
    async fn link_found(&self, holder: &TokenHolder, unionid: &UnionId) -> Result<()> {
        let TokenHolder {
            person, attempt, ..
        } = holder;
        if self
            .apps
            .all()
            .choose(Some(&person.app), None)
            .map_or(true, |app| self.exchange_of(app).is_some())
        {
            return Ok(());
        }
        let binder = self.binder(person, Some(unionid), attempt);
        if let SettledState::Bound(bound) = binder
            .settle(self.store.binding_state(person).await?)
            .await?
            && bound.unionid.is_none()
            && bound.generation != Generation::Computed
        {
            self.link(&binder, &bound).await?;
        }
        Ok(())
    }
}
