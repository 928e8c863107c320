//! The steps of an unbinding that also revoke tokens.

use std::rc::Rc;

use wxmint_ids::{Person, UserId, packed};
use wxmint_redis_link::RedisClient;

use super::{Bindings, Sessions, name, script};
use crate::{BindingState, Bound, Generation, Result, Revocations};

/// The steps of an unbinding that are steps of two subjects. One script removes a person from a
/// user's list and revokes the user's tokens of the person's app: if a process died between the
/// two, the person would be unbound, and tokens of the binding would stay valid.
#[derive(Clone)]
pub struct Unbindings {
    link: Rc<RedisClient>,
    bindings: Bindings,
    sessions: Sessions,
    revocations: Revocations,
}

impl Unbindings {
    pub(super) fn new(
        link: Rc<RedisClient>,
        bindings: Bindings,
        sessions: Sessions,
        revocations: Revocations,
    ) -> Self {
        Self {
            link,
            bindings,
            sessions,
            revocations,
        }
    }

    /// Begins to unbind a person and deletes the session keys. From now on, no login finds the
    /// binding. If the user is computed, only the revocations of its tokens remain.
    pub async fn leave(&self, person: &Person, bound: &Bound) -> Result<BindingState> {
        if bound.generation == Generation::Computed {
            return self.leave_computed(person, &bound.user).await;
        }
        self.bindings
            .leave(person, bound.generation, &bound.user)
            .await
    }

    /// Deletes the session's owner last, because a repetition needs it to find the user's list. If
    /// a login came meanwhile, the person stays with the user. That login may have found the person
    /// on the list before the deletion, so its token would be refused here but accepted elsewhere:
    /// it is revoked too.
    async fn leave_computed(&self, person: &Person, user: &UserId) -> Result<BindingState> {
        self.sessions.delete_keys(person, None).await?;
        self.revocations.revoke_in_app(user, &person.app).await?;
        self.bindings.remove_from_list(user, person).await?;
        self.bindings.leave_computed(person).await?;
        let state = self.bindings.state(person).await?;
        if matches!(&state, BindingState::Bound(bound) if bound.user == *user) {
            self.revocations.revoke_in_app(user, &person.app).await?;
        }
        Ok(state)
    }

    /// Removes the person from the user's list, and revokes the user's tokens of that app that were
    /// issued up to `since`, the second in which the person left. A request that repeats this later
    /// must not revoke the tokens of a new binding.
    pub async fn unlist_and_revoke(
        &self,
        user: &UserId,
        person: &Person,
        generation: Generation,
        since: i64,
    ) -> Result<()> {
        let [revocations, list, clients] = [
            name::revocations(user),
            name::user(user),
            name::clients(user),
        ];
        let keys: [&str; 5] = [
            &revocations,
            &list,
            &clients,
            &name::gone(user),
            &name::struck(user, person),
        ];
        // The tokens of clients come first, because the phone cannot repeat the request once its
        // own token is revoked. They are revoked up to the second in which the person left, because
        // this step may be repeated when there are newer tokens.
        self.revocations
            .revoke_clients_of(user, &person.app, Some(since))
            .await?;
        let script = script::UNLIST_AND_REVOKE
            .on(&keys)
            .arg(packed::person(person))
            .arg(generation.number());
        let unpublished = self
            .link
            .run_confirmed(
                "unlist_and_revoke",
                script.arg(person.app.as_str()).arg(since),
            )
            .await?;
        self.revocations
            .publish_app(user, &person.app, unpublished)
            .await
    }
}
