//! The end of tokens and of a binding, at the wish of their owner.

use super::{LoginError, SessionError, Worker, new_attempt, token_owner::issued};
use crate::{
    store::{Admission, Issued, TokenState},
    verify::{Claims, Verified},
};

impl Worker {
    /// Ends a token, or all of the user's, and forgets the session keys: the token's own, or all. May be repeated with the
    /// same token, also after an answer that was lost.
    pub async fn log_out(&self, token: &Verified<Claims>, everywhere: bool) -> Result<(), SessionError> {
        let issued = issued(token);
        let state = self.store.token_state(&issued).await?;
        if everywhere {
            return self.log_out_everywhere(token, &issued, state).await;
        }
        if let TokenState::People(people) = state
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
        state: TokenState,
    ) -> Result<(), SessionError> {
        match state {
            TokenState::People(people) => self.own(token, people).ok_or(SessionError::NotYours)?,
            // A repetition. It only waits until a replica has the end.
            TokenState::EndedWithUser => return Ok(self.store.end_user(&issued.user, Some(issued.issued_at)).await?),
            TokenState::Ended => return Err(SessionError::NotYours),
        };
        for person in self.store.people_of(&token.user).await?.unwrap_or_default() {
            self.store.forget(&person).await?;
        }
        Ok(self.store.end_user(&issued.user, Some(issued.issued_at)).await?)
    }

    /// Dissolves the binding that the token was issued under, forgets its session key, and ends the user's tokens of the
    /// app. False if the token may not do that. Repeated after a failure, it goes on where it stopped.
    pub async fn unbind(&self, token: &Verified<Claims>) -> Result<bool, LoginError> {
        let Some(Admission { person, generation }) = self.binding_of(token).await? else { return Ok(false) };
        let attempt = new_attempt()?;
        self.binder(&person, None, &attempt).dissolve(&token.user, generation).await?;
        Ok(true)
    }
}
