//! What is done with a session key after the login that brought it, for a mini program that never sees it.
//!
//! Whose key it is follows from the token: its subject and its app lead to the openid, and nothing in a request does.

mod check;
mod user_data;

use std::time::Duration;

pub use self::user_data::UserDataRequest;
use crate::{
    ids::Person,
    ids::{Phone, PhoneCode, UserId},
    login::{Login, LoginError, issued, new_claim},
    store::{Admission, Bearer, Cell, ClaimId, Issued, Meter, PersonalCall, StoreError},
    verify::{Claims, Verified},
    wechat::Malformed,
};

/// After how long to come again when as many tries are under way as may fail.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The token was revoked, or its user is bound to nobody in its app any more.
    #[error("the token stands for nobody")]
    NotYours,
    /// There is no session key, or none that opens the data, or what it opens is not to be believed. One error for all.
    #[error("the data cannot be decrypted")]
    Undecryptable,
    /// As many tries are under way as may fail.
    #[error("too many tries at once")]
    Busy {
        /// When one may be over.
        retry_after: Duration,
    },
    /// WeChat, the store or this service.
    #[error(transparent)]
    Failed(#[from] LoginError),
}

/// What no key could open is answered as what this one does not: one answer for all damage.
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

/// Who is asking: a user who is bound, by the token.
pub struct Asking {
    person: Person,
    user: UserId,
    claim: ClaimId,
}

impl Login {
    /// Who is asking with this token.
    pub async fn asking(&self, token: &Verified<Claims>) -> Result<Asking, SessionError> {
        let Admission { person, .. } = self.binding_of(token).await?.ok_or(SessionError::NotYours)?;
        Ok(Asking { person, user: token.user.clone(), claim: new_claim()? })
    }

    /// The phone number that a `getPhoneNumber` code stands for, which must be the asking person's own.
    pub async fn phone_number(&self, asking: &Asking, code: &PhoneCode) -> Result<Phone, SessionError> {
        self.count_call(asking, PersonalCall::Phone).await?;
        Ok(self.phone_of(&asking.person, code, &asking.claim).await?)
    }

    /// Ends a token, or all of the user's, and forgets the session keys: the token's own, or all. May be repeated with the
    /// same token, also after an answer that was lost.
    pub async fn log_out(&self, token: &Verified<Claims>, everywhere: bool) -> Result<(), SessionError> {
        let issued = issued(token);
        let bearer = self.store.bearer(&issued).await?;
        if everywhere {
            return self.log_out_everywhere(token, &issued, bearer).await;
        }
        if let Bearer::People(people) = bearer
            && let Some(own) = self.own(token, people)
        {
            self.store.forget(&own.person).await?;
        }
        Ok(self.store.end_token(&issued).await?)
    }

    async fn log_out_everywhere(
        &self,
        token: &Verified<Claims>,
        issued: &Issued,
        bearer: Bearer,
    ) -> Result<(), SessionError> {
        match bearer {
            Bearer::People(people) => self.own(token, people).ok_or(SessionError::NotYours)?,
            // A repetition. It only waits until a replica has the end.
            Bearer::EndedWithUser => return Ok(self.store.end_user(issued).await?),
            Bearer::Ended => return Err(SessionError::NotYours),
        };
        for person in self.store.people_of(&token.user).await?.unwrap_or_default() {
            self.store.forget(&person).await?;
        }
        Ok(self.store.end_user(issued).await?)
    }

    /// Counts a call of WeChat's API before it is made, so that one person cannot use up the quota of the app.
    async fn count_call(&self, asking: &Asking, call: PersonalCall) -> Result<(), SessionError> {
        let cell = Cell::Calls(asking.person.clone(), call);
        let counted = self.store.count(&Meter { cell, rate: self.policy.limits.openid }).await?;
        Ok(counted.map_err(LoginError::from)?)
    }
}
