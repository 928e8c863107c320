//! What is done with a session key after the login that brought it, for a mini program that never sees it.
//!
//! Whose key it is follows from the token: its subject and its app lead to the openid, and nothing in a request does.

mod check;
mod user_data;

use std::time::Duration;

pub use self::user_data::UserDataRequest;
use crate::{
    ids::{Phone, PhoneCode, UserId},
    login::{Login, LoginError, issued, new_claim},
    store::{Bearer, ClaimId, Person, StoreError},
    token::{Claims, LONGEST_LIFE, Verified},
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
    /// Who is asking with this token. Where a user has several WeChat identities in one app, the first of them by name:
    /// a token does not say by which it came.
    pub async fn asking(&self, token: &Verified<Claims>) -> Result<Asking, SessionError> {
        let Bearer::People(mut people) = self.store.bearer(&issued(token), &token.app).await? else {
            return Err(SessionError::NotYours);
        };
        people.sort_by(|one, other| one.openid.cmp(&other.openid));
        let person = people.into_iter().next().ok_or(SessionError::NotYours)?;
        Ok(Asking { person, user: token.user.clone(), claim: new_claim()? })
    }

    /// The phone number that a `getPhoneNumber` code stands for, which must be the asking person's own.
    pub async fn phone_number(&self, asking: &Asking, code: &PhoneCode) -> Result<Phone, SessionError> {
        Ok(self.phone_of(&asking.person, code, &asking.claim).await?)
    }

    /// Ends a token, or all of the user's, for this service's own endpoints, and forgets the session keys: of the token's
    /// app, or of all apps.
    pub async fn log_out(&self, token: &Verified<Claims>, everywhere: bool) -> Result<(), SessionError> {
        let issued = issued(token);
        let people = match self.store.bearer(&issued, &token.app).await? {
            Bearer::People(people) if people.is_empty() => return Err(SessionError::NotYours),
            Bearer::People(_) if everywhere => self.store.people_of(&token.user).await?.unwrap_or_default(),
            Bearer::People(people) => people,
            Bearer::Revoked => return Err(SessionError::NotYours),
        };
        for person in &people {
            self.store.forget(person).await?;
        }
        Ok(self.store.revoke(&issued, everywhere, LONGEST_LIFE).await?)
    }
}
