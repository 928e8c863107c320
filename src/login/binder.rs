//! Binds a person to a user, across keys that no transaction spans.
//!
//! The person's own key, the user's list and the unionid lie in different slots of a Cluster, so that a binding is made in
//! steps, and a process may die between any two of them:
//!
//! ```text
//!            person                     user's list                unionid
//!   free ──intend──▶ intended ──admit──▶ decided, once ──settle──▶ bound ──link──▶ stands for the user
//!   free ◀─set_free── leaving ◀─dismiss── off the list  ◀──leave── bound
//! ```
//!
//! The user's list is the one arbiter. What it decides for a generation of a person it decides once, so that whoever comes
//! upon a half-made binding, now or in a year, carries it on from where it lies, and all of them to the same end. A login
//! of a bound person takes none of these steps.

#[cfg(test)]
mod tests;

use super::LoginError;
use crate::{
    ids::Person,
    ids::{UnionId, UserId},
    store::{AttemptId, BindingState, Bindings, Bound, Decision, Intent, IntentOutcome, StoreError},
};

/// Each round, somebody has taken a step. More than these mean that the steps do not get anywhere.
const MAX_ROUNDS: usize = 32;

/// Who a person is said to be, by whatever they have shown beside WeChat's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The business user.
    pub user: UserId,
    /// Whether the user may have been made for this login.
    pub made: bool,
}

/// A person with nothing half done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettledState {
    /// Bound to nobody.
    Free {
        /// Of the last binding.
        generation: u64,
        /// Whether its owner has dissolved it.
        dissolved: bool,
    },
    /// Bound.
    Bound(Bound),
}

/// A user who is to be made for a person whom nobody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vacancy<'a> {
    /// Of the person's last binding.
    pub generation: u64,
    /// Whether its owner has dissolved it.
    pub dissolved: bool,
    /// What the user is to stand for: not there where the owner has dissolved a binding.
    pub unionid: Option<&'a UnionId>,
    /// Whom the unionid stands for, and who has left all of their people: it takes another user than this one.
    pub deserted: Option<&'a UserId>,
}

/// One request's way through the steps.
pub struct Binder<'a> {
    /// Where the steps are taken.
    pub store: &'a dyn Bindings,
    /// Who is asking.
    pub person: &'a Person,
    /// In all apps of the owner.
    pub unionid: Option<&'a UnionId>,
    /// The request's own.
    pub attempt: &'a AttemptId,
    /// How many people of one app a user may have.
    pub per_user: u32,
}

impl Binder<'_> {
    /// Carries on what is half done.
    pub async fn settle(&self, state: BindingState) -> Result<SettledState, StoreError> {
        self.settle_and_tell(state).await.map(|(settled, _)| settled)
    }

    /// The same, with what was decided last, and of whom: it may be another's intent that was carried on.
    async fn settle_and_tell(
        &self,
        mut state: BindingState,
    ) -> Result<(SettledState, Option<(UserId, Decision)>), StoreError> {
        let mut last = None;
        for _ in 0..MAX_ROUNDS {
            state = match state {
                BindingState::Free { generation, dissolved } => {
                    return Ok((SettledState::Free { generation, dissolved }, last));
                }
                BindingState::Bound(bound) => return Ok((SettledState::Bound(bound), last)),
                BindingState::Intended { generation, intent } => {
                    let Intent { user, by_unionid, .. } = &intent;
                    let decision = self.store.admit(user, self.person, generation, *by_unionid, self.per_user).await?;
                    let outcome = outcome(decision, &intent);
                    last = Some((intent.user, decision));
                    self.store.settle(self.person, generation, outcome, self.attempt).await?
                }
                BindingState::Leaving { generation, user } => {
                    self.store.dismiss(&user, self.person, generation).await?;
                    self.store.set_free(self.person, generation, self.attempt).await?
                }
            };
        }
        Err(contended())
    }

    /// Binds a free person to the candidate whom they have proved to be.
    pub async fn bind(&self, candidate: &Candidate, mut settled: SettledState) -> Result<Bound, LoginError> {
        for _ in 0..MAX_ROUNDS {
            let (generation, dissolved) = match settled {
                SettledState::Free { generation, dissolved } => (generation, dissolved),
                SettledState::Bound(bound) if bound.user == candidate.user => return Ok(bound),
                SettledState::Bound(_) => return Err(LoginError::AlreadyBound),
            };
            if self.unionid_is_anothers(candidate, dissolved).await? {
                return Err(LoginError::AlreadyBound);
            }
            let Candidate { user, made } = candidate.clone();
            settled = match self.try_to_bind(generation, Intent { user, made, by_unionid: false }).await? {
                (SettledState::Free { .. }, Some((full, Decision::Full))) if full == candidate.user => {
                    return Err(LoginError::AlreadyBound);
                }
                (settled, _) => settled,
            };
        }
        Err(contended().into())
    }

    /// Binds a free person who has proved nothing: to the user whom their unionid stands for, else to one that `make` makes.
    /// `None` if it makes none. A binding that its owner has dissolved is not made again for the unionid's sake.
    pub async fn bind_unasked(
        &self,
        mut settled: SettledState,
        make: impl AsyncFn(Vacancy<'_>) -> Result<Option<UserId>, LoginError>,
    ) -> Result<Option<Bound>, LoginError> {
        let mut deserted = None;
        for _ in 0..MAX_ROUNDS {
            let (generation, dissolved) = match settled {
                SettledState::Free { generation, dissolved } => (generation, dissolved),
                SettledState::Bound(bound) => return Ok(Some(bound)),
            };
            let unionid = self.unionid.filter(|_| !dissolved);
            let intent = match self.holder(unionid, deserted.as_ref()).await? {
                Some(user) => Intent { user, made: true, by_unionid: true },
                None => {
                    let vacancy = Vacancy { generation, dissolved, unionid, deserted: deserted.as_ref() };
                    let Some(made) = make(vacancy).await? else { return Ok(None) };
                    self.intent_for(made, unionid, deserted.take()).await?
                }
            };
            settled = match self.try_to_bind(generation, intent.clone()).await? {
                (SettledState::Free { .. }, Some((full, Decision::Full))) if full == intent.user => {
                    return Err(LoginError::AlreadyBound);
                }
                (free @ SettledState::Free { .. }, Some((user, Decision::Deserted))) => {
                    deserted = Some(user);
                    free
                }
                (settled, _) => settled,
            };
        }
        Err(contended().into())
    }

    /// The user whom the unionid stands for, unless it is one who has left all of their people.
    async fn holder(&self, unionid: Option<&UnionId>, deserted: Option<&UserId>) -> Result<Option<UserId>, StoreError> {
        let Some(unionid) = unionid else { return Ok(None) };
        let holder = self.store.claim_unionid(unionid, None).await?;
        Ok(holder.filter(|holder| Some(holder) != deserted))
    }

    /// For a user just made, or for the one whom a racing login in another app has made a moment before. Whether this
    /// login is the first to have been given the user is not asked: one before it may have died. The list knows.
    async fn intent_for(
        &self,
        made: UserId,
        unionid: Option<&UnionId>,
        deserted: Option<UserId>,
    ) -> Result<Intent, StoreError> {
        let Some(unionid) = unionid else {
            return Ok(Intent { user: made, made: true, by_unionid: false });
        };
        let user = match deserted {
            Some(from) => self.store.move_unionid(unionid, &from, &made).await?,
            None => self.store.claim_unionid(unionid, Some(&made)).await?.unwrap_or(made),
        };
        Ok(Intent { user, made: true, by_unionid: true })
    }

    /// Lets the unionid stand for the user to whom the person is bound, if it stands for nobody. The user in conflict, if
    /// it stands for another: both stay as they are. `None` also when that is known already.
    pub async fn link(&self, bound: &Bound) -> Result<Option<UserId>, StoreError> {
        let Some(unionid) = self.unionid.filter(|unionid| bound.unionid.as_ref() != Some(unionid)) else {
            return Ok(None);
        };
        let mut holder = self.store.claim_unionid(unionid, Some(&bound.user)).await?;
        if let Some(other) = holder.take_if(|holder| *holder != bound.user) {
            holder = Some(match self.is_deserted(&other).await? {
                true => self.store.move_unionid(unionid, &other, &bound.user).await?,
                false => other,
            });
        }
        let conflict = holder.filter(|holder| *holder != bound.user);
        let news = self.store.link_unionid(self.person, &bound.user, unionid, conflict.as_ref()).await?;
        Ok(conflict.filter(|_| news))
    }

    /// Ends the person's binding of this generation to `user`.
    pub async fn dissolve(&self, user: &UserId, generation: u64) -> Result<(), StoreError> {
        let state = self.store.binding_state(self.person, self.attempt).await?;
        match self.settle(state).await? {
            SettledState::Bound(bound) if bound.user == *user && bound.generation == generation => {
                let state = self.store.leave(self.person, &bound, self.attempt).await?;
                self.settle(state).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn unionid_is_anothers(&self, candidate: &Candidate, dissolved: bool) -> Result<bool, StoreError> {
        let unionid = self.unionid.filter(|_| !dissolved);
        match self.holder(unionid, Some(&candidate.user)).await? {
            Some(holder) => self.is_deserted(&holder).await.map(|deserted| !deserted),
            None => Ok(false),
        }
    }

    /// Whether the user once had people, and has left them all.
    async fn is_deserted(&self, user: &UserId) -> Result<bool, StoreError> {
        Ok(self.store.people_of(user).await?.is_some_and(|people| people.is_empty()))
    }

    async fn try_to_bind(
        &self,
        generation: u64,
        intent: Intent,
    ) -> Result<(SettledState, Option<(UserId, Decision)>), StoreError> {
        let state = self.store.intend(self.person, generation, &intent, self.attempt).await?;
        self.settle_and_tell(state).await
    }
}

fn outcome(decision: Decision, intent: &Intent) -> IntentOutcome {
    match decision {
        Decision::Admitted { first } => IntentOutcome::Bound { new: first && intent.made },
        Decision::Full | Decision::Deserted | Decision::Dismissed => IntentOutcome::Dropped,
    }
}

fn contended() -> StoreError {
    StoreError { reason: "a binding is changed by others again and again".into() }
}
