//! What a person can do with a token. Whose session key is used follows from the token alone, which acts on the binding that
//! it was issued under, and on no other: nothing else in a request names a person.

use std::time::Duration;

use wxmint_verify::{Claims, Verified};

use super::{AccessTokenError, LoginError, PEOPLE, Worker, worker::new_attempt};
use crate::{
    ids::{Person, Phone, PhoneCode, UserId},
    store::{Admission, AttemptId, Cell, ExchangeOrder, Issued, Meter, PersonalCall, StoreError, TokenState, Tried},
    wechat::{AppAccessToken, CallError, Malformed, SessionKey, Verdict},
};

/// `Retry-After` while as many tries are in progress as may fail.
pub(super) const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Why a request with a valid token was refused.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The token has been ended, or its binding is gone.
    #[error("the token has been ended")]
    NotYours,
    /// There is no session key, or the data does not decrypt, or it names another person. One error for all, because the
    /// difference would help an attacker.
    #[error("the data cannot be decrypted")]
    Undecryptable,
    /// As many tries are in progress as may fail.
    #[error("too many tries at once")]
    Busy { retry_after: Duration },
    /// WeChat, the store or this service.
    #[error(transparent)]
    Failed(#[from] LoginError),
}

/// Malformed data gets the same answer as data that does not decrypt.
impl From<Malformed> for SessionError {
    fn from(malformed: Malformed) -> Self {
        tracing::debug!(%malformed, "user data is not what WeChat gives");
        Self::Undecryptable
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// The person and user of a valid token, for one request.
pub struct Asking {
    pub(super) person: Person,
    /// Of the binding that the token was issued under.
    pub(super) generation: u64,
    pub(super) user: UserId,
    pub(super) attempt: AttemptId,
}

impl Worker {
    /// Finds the person whom the token was issued to.
    pub async fn asking(&self, token: &Verified<Claims>) -> Result<Asking, SessionError> {
        let Admission { person, generation } = self.binding_of(token).await?.ok_or(SessionError::NotYours)?;
        Ok(Asking { person, generation, user: token.user.clone(), attempt: new_attempt()? })
    }

    /// The phone number that a `getPhoneNumber` code stands for, which must be the asking person's own.
    pub async fn phone_number(&self, asking: &Asking, code: &PhoneCode) -> Result<Phone, SessionError> {
        self.count_call(asking, PersonalCall::Phone).await?;
        Ok(self.phone_of(&asking.person, code, &asking.attempt).await?)
    }

    /// Counts a call of WeChat's API before it is made, so that one person cannot use up the quota of the app.
    pub(super) async fn count_call(&self, asking: &Asking, call: PersonalCall) -> Result<(), SessionError> {
        let cell = Cell::Calls(asking.person.clone(), call);
        let counted = self.store.count(&Meter { cell, rate: self.policy.limits.openid }).await?;
        Ok(counted.map_err(LoginError::too_many(PEOPLE))?)
    }
}

/// Whose token it is.
impl Worker {
    /// The binding that a token was issued under. `None` if the token has been ended or its binding is gone.
    pub(super) async fn binding_of(&self, token: &Verified<Claims>) -> Result<Option<Admission>, StoreError> {
        let found = match self.store.token_state(&issued(token)).await? {
            TokenState::People(people) => self.own(token, people).ok_or("the binding that it was issued under is gone"),
            TokenState::Ended { .. } => Err("it was logged out, or its binding was dissolved"),
            TokenState::EndedWithUser { .. } => Err("its user was logged out everywhere"),
        };
        let refused = |reason: &&str| tracing::info!(reason, user = token.user.as_str(), "token refused");
        Ok(found.inspect_err(refused).ok())
    }

    /// The one of the user's people in an app whom a token was issued to.
    pub(super) fn own(&self, token: &Verified<Claims>, people: Vec<Admission>) -> Option<Admission> {
        people.into_iter().find(|own| self.minter.is_marked(&token.id, &mark_of(&own.person, own.generation)))
    }
}

/// The session key: whether WeChat still accepts it, and having WeChat replace it.
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

/// What tells a binding from all others. Neither an AppID nor an openid can hold a colon.
pub(super) fn mark_of(person: &Person, generation: u64) -> String {
    format!("{}:{}:{generation}", person.app, person.openid.as_str())
}

/// The claims by which a token can be ended.
pub(super) fn issued(token: &Verified<Claims>) -> Issued {
    Issued {
        user: token.user.clone(),
        app: token.app.clone(),
        id: token.id.clone(),
        issued_at: token.issued_at.timestamp(),
        expires_at: token.expires_at.timestamp(),
    }
}
