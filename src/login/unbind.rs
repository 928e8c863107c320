//! The end of a binding, at the wish of its owner.

use super::{LoginError, Worker, new_attempt};
use crate::{
    store::Admission,
    verify::{Claims, Verified},
};

impl Worker {
    /// Dissolves the binding that the token was issued under, forgets its session key, and ends the user's tokens of the
    /// app. False if the token may not do that. Repeated after a failure, it goes on where it stopped.
    pub async fn unbind(&self, token: &Verified<Claims>) -> Result<bool, LoginError> {
        let Some(Admission { person, generation }) = self.binding_of(token).await? else { return Ok(false) };
        let attempt = new_attempt()?;
        self.binder(&person, None, &attempt).dissolve(&token.user, generation).await?;
        Ok(true)
    }
}
