//! Users who have no people left.

use wxmint_ids::{AppId, UserId};
use wxmint_store::{Store, StoreError};

use super::{Operator, operator::release_unionid};
use crate::accounts::{Accepts, Accounts};

/// Cleans up after users whose last person has left an app.
#[derive(Clone, Copy)]
pub struct DesertedUsers<'a> {
    pub(super) store: &'a Store,
    pub(super) accounts: &'a dyn Accounts,
}

impl DesertedUsers<'_> {
    /// Deletes the notes of clients that have had tokens of a user through an app, once the user's
    /// last person has left the app, because an erasure does not find a computed user whom the
    /// person has left.
    ///
    /// Also lets the records of the user expire, if this service created the user, no people are
    /// left and the user is not blocked. Only a unionid could lead to this user again, so its link
    /// is deleted first.
    pub async fn expire(&self, user: &UserId, app: &AppId) -> Result<(), StoreError> {
        Operator { store: self.store }
            .delete_client_notes(user, app)
            .await?;
        let is_left = self.accounts.accepts() == Accepts::Nothing
            && self.store.bindings.people_of(user).await? == Some(Vec::new());
        if !is_left || self.store.revocations.user_state(user).await?.blocked {
            return Ok(());
        }
        for person in self.store.bindings.ever_of(user).await? {
            let left = self.store.bindings.left_by(&person).await?;
            for unionid in left
                .iter()
                .filter(|(of, _)| of == user)
                .flat_map(|(_, unionids)| unionids)
            {
                release_unionid(self.store, unionid, user).await?;
            }
        }
        self.store.bindings.expire_list(user).await
    }
}
