//! The session keys that are kept, sealed, of people who have logged in.

use wxmint_ids::Person;
use wxmint_keys::vault::{Sealed, Vault};
use wxmint_store::{ExchangeTimestamp, Opening, Sessions};
use wxmint_wechat::{ByToken, CallError, SessionKey, Verdict};

use super::{AppCallError, AppCalls, TokenActionError, TokenHolder, Unavailable};

/// Opens session keys, and makes calls with them.
#[derive(Clone, Copy)]
pub(super) struct SessionKeys<'a> {
    pub(super) calls: AppCalls<'a>,
    pub(super) sessions: &'a Sessions,
}

impl SessionKeys<'_> {
    /// Opens the session of a token's holder. The caller closes it. Returns the current session key
    /// and perhaps the previous one, and the exchange that brought the current one.
    pub(super) async fn open(
        &self,
        holder: &TokenHolder,
    ) -> Result<(Vec<Sealed>, ExchangeTimestamp), TokenActionError> {
        match self
            .sessions
            .open(&holder.person, &holder.user, &holder.attempt)
            .await?
        {
            Opening::Keys(keys, order) => Ok((keys, order)),
            Opening::NotBound => Err(TokenActionError::TokenRevoked),
            Opening::Busy => Err(TokenActionError::Busy),
        }
    }

    /// The newest of these session keys, with the sealed key as it is stored.
    pub(super) async fn current(
        &self,
        person: &Person,
        kept: &[Sealed],
    ) -> Option<(SessionKey, Sealed)> {
        self.unseal(&self.calls.vault.load_full(), kept.first()?, person)
            .await
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
        if let Err(error) = self.sessions.reseal(person, sealed, &anew).await {
            tracing::warn!(%error, "a session key stays under an older vault key");
            return Some((key, sealed.clone()));
        }
        Some((key, anew))
    }

    /// Makes a call with the person's session key. `None` if WeChat calls the key stale; that is
    /// noted beside the stored key.
    pub(super) async fn call<T>(
        &self,
        person: &Person,
        sealed: &Sealed,
        call: impl AsyncFn(ByToken<'_>) -> Result<T, CallError>,
    ) -> Result<Option<T>, AppCallError> {
        match self.calls.by_access_token(&person.app, call).await {
            Err(AppCallError::Unavailable(Unavailable::WeChat(error)))
                if error.verdict() == Some(Verdict::StaleSession) =>
            {
                if !sealed.is_stale() {
                    self.sessions
                        .reseal(person, sealed, &sealed.stale())
                        .await?;
                }
                Ok(None)
            }
            answered => answered.map(Some),
        }
    }
}
