//! Whose token it is: a token acts on the binding that it was issued under, and on no other.

use super::Worker;
use crate::{
    ids::Person,
    store::{Admission, Issued, StoreError, TokenState},
    verify::{Claims, Verified},
};

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
