//! The end of tokens and of a binding, at the wish of their owner.

use std::time::Duration;

use wxmint_verify::{Claims, Verified};

use super::{LoginError, PEOPLE, SessionError, UNBINDINGS, Worker, new_attempt, with_token::issued};
use crate::{
    ids::Person,
    limits::Rate,
    store::{Admission, Binding, Cell, Issued, Meter, PersonalCall, StoreError, TokenState},
};

/// How often a person can dissolve a binding. Under `auto` each of them leaves a user behind.
const UNBINDING_RATE: Rate = Rate { burst: 10, period: Duration::from_secs(86_400) };

impl Worker {
    /// Ends a token, or all of the user's, and forgets the session keys: the token's own, or all. May be repeated with the
    /// same token, also after an answer that was lost: what the first request has finished costs a repetition one look-up.
    pub async fn log_out(&self, token: &Verified<Claims>, everywhere: bool) -> Result<(), SessionError> {
        let issued = issued(token);
        let state = self.store.token_state(&issued).await?;
        if everywhere {
            return self.log_out_everywhere(token, &issued, state).await;
        }
        match state {
            TokenState::Ended { told: true } | TokenState::EndedWithUser { told: true } => return Ok(()),
            TokenState::Ended { .. } | TokenState::EndedWithUser { .. } => {}
            TokenState::People(people) => {
                if let Some(own) = self.own(token, people) {
                    self.count_logout(&own.person).await?;
                }
            }
        }
        Ok(self.store.end_token(&issued).await?)
    }

    async fn log_out_everywhere(
        &self,
        token: &Verified<Claims>,
        issued: &Issued,
        state: TokenState,
    ) -> Result<(), SessionError> {
        let own = match state {
            TokenState::People(people) => self.own(token, people).ok_or(SessionError::NotYours)?,
            TokenState::EndedWithUser { told: true } => return Ok(()),
            // A repetition of a request that failed.
            TokenState::EndedWithUser { .. } => {
                return Ok(self.store.end_user(&issued.user, Some(issued.issued_at)).await?);
            }
            TokenState::Ended { .. } => return Err(SessionError::NotYours),
        };
        self.count_logout(&own.person).await?;
        for person in self.store.people_of(&token.user).await?.unwrap_or_default() {
            if person != own.person {
                self.store.forget(&person).await?;
            }
        }
        Ok(self.store.end_user(&issued.user, Some(issued.issued_at)).await?)
    }

    /// Counts a logout of a person and forgets the person's session keys, in one round trip. A logout writes to Redis and to all
    /// verifiers, so that its cost must not be one person's to choose.
    async fn count_logout(&self, person: &Person) -> Result<(), SessionError> {
        let counted = self.store.forget_at_logout(person, self.policy.limits.openid).await?;
        Ok(counted.map_err(LoginError::too_many(PEOPLE))?)
    }

    /// Dissolves the binding that the token was issued under, forgets its session key, and ends the user's tokens of the
    /// app. False if the token may not do that. Repeated after a failure, it goes on where it stopped.
    pub async fn unbind(&self, token: &Verified<Claims>) -> Result<bool, LoginError> {
        let Some(Admission { person, generation }) = self.binding_of(token).await? else { return Ok(false) };
        let attempt = new_attempt()?;
        let permit = async || {
            let cell = Cell::Calls(person.clone(), PersonalCall::Unbinding);
            let counted = self.store.count(&Meter { cell, rate: UNBINDING_RATE }).await?;
            counted.map_err(LoginError::too_many(UNBINDINGS))
        };
        let was_made = !self.accounts.accepts().anything();
        let binding = if was_made { self.store.binding(&person).await? } else { None };
        self.binder(&person, None, &attempt).dissolve(&token.user, generation, permit).await?;
        if let Some(binding) = binding
            && let Err(error) = self.abandon(&binding).await
        {
            tracing::warn!(%error, "the list of a user who has nobody left stays");
        }
        Ok(true)
    }

    /// Lets what is kept of a user whom this service made expire, if the last binding is dissolved: nobody can come to this user
    /// again but by the unionid, whose link goes first.
    async fn abandon(&self, last: &Binding) -> Result<(), StoreError> {
        if self.store.people_of(&last.user).await?.is_none_or(|people| !people.is_empty()) {
            return Ok(());
        }
        if let Some(unionid) = &last.unionid {
            self.store.erase_unionid(unionid, &last.user).await?;
        }
        self.store.expire_list(&last.user).await
    }
}
