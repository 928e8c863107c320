//! What a person can do with a token. Whose session key is used follows from the token alone: nothing else in a request
//! names a person.

use std::time::Duration;

use super::{LoginError, PEOPLE, Worker, worker::new_attempt};
use crate::{
    ids::{Person, Phone, PhoneCode, UserId},
    store::{Admission, AttemptId, Cell, Meter, PersonalCall, StoreError},
    verify::{Claims, Verified},
    wechat::Malformed,
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
