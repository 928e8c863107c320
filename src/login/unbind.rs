//! The end of a binding, at the wish of its owner.

use super::{Binder, Login, LoginError, new_claim};
use crate::{
    store::{Admission, Bindings},
    verify::{Claims, Verified},
};

impl Login {
    /// Dissolves the binding that the token was issued under, forgets its session key, and ends the user's tokens of the
    /// app. False if the token may not do that. Repeated after a failure, it goes on where it stopped.
    pub async fn unbind(&self, token: &Verified<Claims>) -> Result<bool, LoginError> {
        let Some(Admission { person, generation }) = self.binding_of(token).await? else { return Ok(false) };
        let claim = new_claim()?;
        let store: &dyn Bindings = &*self.store;
        let per_user = self.policy.bindings_per_user;
        let binder = Binder { store, person: &person, unionid: None, claim: &claim, per_user };
        binder.dissolve(&token.user, generation).await?;
        Ok(true)
    }
}
