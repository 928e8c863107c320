//! User data: decrypted with the stored session key, and believed only if it names the right person
//! and app.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use wxmint_ids::UnionId;
use wxmint_keys::vault::Sealed;
use wxmint_store::{Bindings, Generation};
use wxmint_wechat::{DataCheck, OpenedData, UserData};

use super::bind::{Bind, LinkOutcome};
use super::limits::USER_DATA;
use super::session_keys::SessionKeys;
use super::{LoginLimits, SettledState, TokenActionError, TokenHolder};

/// Decrypts and checks data of a token's holder.
#[derive(Clone, Copy)]
pub struct UserDataActions<'a> {
    pub(super) bindings: &'a Bindings,
    pub(super) limits: LoginLimits<'a>,
    pub(super) keys: SessionKeys<'a>,
    pub(super) bind: Bind<'a>,
}

impl UserDataActions<'_> {
    /// The data without openId, unionId and watermark. Tries the current session key and, for ten
    /// minutes after a login, the previous one. Each failure is counted; the eighth deletes the
    /// session key.
    pub async fn open(
        &self,
        holder: &TokenHolder,
        request: &UserData,
        now: DateTime<Utc>,
        max_age: Duration,
    ) -> Result<Map<String, Value>, TokenActionError> {
        self.limits.count_call(&holder.person, USER_DATA).await?;
        let (keys, _) = self.keys.open(holder).await?;
        let check = DataCheck {
            person: &holder.person,
            now,
            max_age,
        };
        let opened = self.try_keys(&keys, request, &check).await;
        if self
            .keys
            .sessions
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
        let OpenedData { data, unionid } = opened.ok_or(TokenActionError::Undecryptable)?;
        if let Some(unionid) = &unionid {
            self.link_found(holder, unionid).await?;
        }
        Ok(data)
    }

    async fn try_keys(
        &self,
        keys: &[Sealed],
        data: &UserData,
        check: &DataCheck<'_>,
    ) -> Option<OpenedData> {
        let vault = self.keys.calls.vault.load_full();
        for sealed in keys {
            let Some((key, _)) = self.keys.unseal(&vault, sealed, check.person).await else {
                continue;
            };
            if let Some(opened) = data.open(&key, check) {
                return Some(opened);
            }
        }
        None
    }

    /// Links a unionid that was found in the data, if the person has none yet. A known unionid
    /// changes only by WeChat's answers to wxmint itself, because data may be old, and only the
    /// phone vouches that they are unchanged. Apps whose AppSecret is elsewhere are left out,
    /// because their owner could make data that name another person's unionid.
    async fn link_found(
        &self,
        holder: &TokenHolder,
        unionid: &UnionId,
    ) -> Result<(), TokenActionError> {
        let TokenHolder {
            person, attempt, ..
        } = holder;
        let calls = &self.keys.calls;
        if calls
            .apps
            .all()
            .choose(Some(&person.app), None)
            .map_or(true, |app| app.secret().is_none())
        {
            return Ok(());
        }
        let binder = self.bind.binder(person, Some(unionid), attempt);
        let state = self.bindings.state(person).await?;
        let SettledState::Bound(bound) = binder.settle(state).await? else {
            return Ok(());
        };
        if bound.unionid.is_some() || bound.generation == Generation::Computed {
            return Ok(());
        }
        match self.bind.link(&binder, &bound).await? {
            LinkOutcome::Linked => Ok(()),
            LinkOutcome::Blocked => Err(TokenActionError::Blocked),
        }
    }
}
