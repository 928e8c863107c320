//! The end of a binding, at the wish of its owner.

use super::{Binder, Login, LoginError, new_claim};
use crate::{
    ids::{AppId, UserId},
    store::Bindings,
};

impl Login {
    /// Dissolves what binds `user` in `app`: all of it, where a user may have several WeChat identities in one app, since a
    /// token does not say which of them it came by. Forgets the session keys. Whether there was a binding.
    pub async fn unbind(&self, user: &UserId, app: &AppId) -> Result<bool, LoginError> {
        let claim = new_claim()?;
        let people = self.store.people_of(user).await?.unwrap_or_default();
        let mut dissolved = false;
        for person in people.iter().filter(|person| person.app == *app) {
            let store: &dyn Bindings = &*self.store;
            let per_user = self.policy.bindings_per_user;
            let binder = Binder { store, person, unionid: None, claim: &claim, per_user };
            dissolved |= binder.dissolve(user).await?;
        }
        Ok(dissolved)
    }
}
