//! The end of a binding, at the wish of its owner.

use super::{Binder, Login, LoginError, new_claim};
use crate::{
    store::{Bearer, Bindings, Issued},
    token::{Claims, Verified},
};

impl Login {
    /// Dissolves what binds `user` in `app`: all of it, where a user may have several WeChat identities in one app, since a
    /// token does not say which of them it came by. Forgets the session keys. Whether there was a binding, and the token was
    /// good for it.
    pub async fn unbind(&self, token: &Verified<Claims>) -> Result<bool, LoginError> {
        let (user, app, claim) = (&token.user, &token.app, new_claim()?);
        if self.store.bearer(&issued(token), app).await? == Bearer::Revoked {
            return Ok(false);
        }
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

/// As revocation knows a token.
pub(crate) fn issued(token: &Verified<Claims>) -> Issued {
    Issued {
        user: token.user.clone(),
        id: token.id.clone(),
        issued_at: token.issued_at.timestamp(),
        expires_at: token.expires_at.timestamp(),
    }
}
