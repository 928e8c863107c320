//! Binds a person to a user, across keys that no transaction spans.
//!
//! The person's own key, the user's list and the unionid lie in different slots of a Redis Cluster.
//! So a binding is made in steps, and a process may die between any two of them:
//!
//! ```text
//!            person                     user's list                unionid
//!   free ──intend──▶ intended ──admit──▶ decided, once ──settle──▶ bound ──link──▶ stands for the user
//!   free ◀─set_free── leaving ◀─unlist─── off the list  ◀──leave── bound
//! ```
//!
//! The user's list alone decides whether a binding is made, once for each generation of a person.
//! So any request that finds a half-made binding, now or in a year, can finish it, and all requests
//! come to the same result. A login of a bound person takes none of these steps. Most of their
//! futures are boxed, because a future is as large as the largest future in it.

#[cfg(test)]
mod tests;

use futures_util::future::{try_join_all, try_join3};
use wxmint_ids::{Person, UnionId, UserId};
use wxmint_store::{
    AttemptId, BindingState, Bound, Decision, Generation, Intent, Store, StoreError,
};

use super::Unavailable;
use crate::accounts::Named;

/// In each round some request has taken a step. More rounds than these mean that the steps make no
/// progress.
const MAX_ROUNDS: usize = 32;

/// The state of a binding when no step is left to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettledState {
    Free {
        /// The generation of the last binding; `None` before the first.
        generation: Option<Generation>,
        /// Whether its owner has removed it. Then no binding is made again without credentials.
        dissolved: bool,
    },
    Bound(Bound),
}

/// The facts for creating a user for an unbound person without credentials: those of
/// [`SettledState::Free`], and the unionid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreePlace<'a> {
    /// The generation of the last binding; `None` before the first.
    pub generation: Option<Generation>,
    /// Whether the person has removed the last binding.
    pub dissolved: bool,
    /// The unionid that will be linked to the user. `None` if the person has removed a binding
    /// before.
    pub unionid: Option<&'a UnionId>,
    /// The user to whom this unionid was linked, who has no bindings left. A different user must be
    /// chosen.
    pub deserted: Option<&'a UserId>,
}

/// The outcome of [`Binder::link`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnionIdLink {
    /// The unionid is linked to the user, or its link to another user was known before.
    Known,
    /// The unionid is linked to this other user, which was not known before.
    Conflict(UserId),
    /// This other user of the unionid is blocked. Nothing more is noted, so that each login finds
    /// the block again.
    Blocked(UserId),
    /// The person was unbound from the user meanwhile. The link may be newer than an erasure of the
    /// person, so the caller removes it.
    Gone,
}

/// Why a person is not bound to a user.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("another user holds this WeChat identity, or the user another one")]
    AlreadyBound,
    #[error("an operator has blocked this user")]
    Blocked,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<StoreError> for BindError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Binds one person, for one request.
pub struct Binder<'a> {
    pub store: &'a Store,
    pub person: &'a Person,
    pub unionid: Option<&'a UnionId>,
    /// Identifies the request, so that it can tell whether it created the user.
    pub attempt: &'a AttemptId,
    /// How many people of one app a user may have (`WXMINT_BINDINGS_PER_USER`).
    pub per_user: u32,
}

impl Binder<'_> {
    /// Finishes a binding that is half made or half removed.
    pub async fn settle(&self, state: BindingState) -> Result<SettledState, Unavailable> {
        self.settle_and_tell(state)
            .await
            .map(|(settled, _)| settled)
    }

    /// [`Self::settle`], which also returns the last decision and its user. The decision may
    /// concern the intent of another request.
    async fn settle_and_tell(
        &self,
        mut state: BindingState,
    ) -> Result<(SettledState, Option<(UserId, Decision)>), Unavailable> {
        let mut last = None;
        for _ in 0..MAX_ROUNDS {
            state = match state {
                BindingState::Free {
                    generation,
                    dissolved,
                } => {
                    return Ok((
                        SettledState::Free {
                            generation,
                            dissolved,
                        },
                        last,
                    ));
                }
                BindingState::Bound(bound) => return Ok((SettledState::Bound(bound), last)),
                BindingState::Intended { generation, intent } => {
                    let decision = Box::pin(self.store.bindings.admit(
                        self.person,
                        generation,
                        &intent,
                        self.per_user,
                    ))
                    .await?;
                    let Intent { user, made, .. } = intent;
                    last = Some((user.clone(), decision));
                    if let Decision::Admitted { first } = decision {
                        let new_for = (first && made).then(|| self.attempt.mark());
                        Box::pin(self.store.bindings.settle(
                            self.person,
                            generation,
                            &user,
                            new_for,
                            self.unionid,
                        ))
                        .await?
                    } else {
                        Box::pin(
                            self.store
                                .bindings
                                .drop_intent(self.person, generation, &user),
                        )
                        .await?
                    }
                }
                BindingState::Leaving {
                    generation,
                    user,
                    since,
                } => {
                    Box::pin(self.store.sessions.delete_keys_of(
                        &user,
                        Some(&self.person.app),
                        Some(self.person),
                    ))
                    .await?;
                    Box::pin(self.store.unbindings.unlist_and_revoke(
                        &user,
                        self.person,
                        generation,
                        since,
                    ))
                    .await?;
                    Box::pin(self.store.bindings.set_free(self.person, generation, &user)).await?
                }
            };
        }
        Err(Unavailable::Contended)
    }

    /// Binds a person who is not bound to the user whose credentials they have shown beside
    /// WeChat's code.
    pub async fn bind(
        &self,
        candidate: &Named,
        mut settled: SettledState,
    ) -> Result<Bound, BindError> {
        for _ in 0..MAX_ROUNDS {
            let (generation, dissolved) = match settled {
                SettledState::Free {
                    generation,
                    dissolved,
                } => (generation, dissolved),
                SettledState::Bound(bound) if bound.user == candidate.user => return Ok(bound),
                SettledState::Bound(_) => return Err(BindError::AlreadyBound),
            };
            let unionid = self.unionid.filter(|_| !dissolved);
            if let Some(other) = self.holder(unionid, Some(&candidate.user)).await?
                && !self.is_deserted(&other).await?
            {
                return Err(BindError::AlreadyBound);
            }
            let Named { user, made } = candidate.clone();
            (settled, _) = self
                .try_to_bind(
                    generation,
                    Intent {
                        user,
                        made,
                        by_unionid: false,
                    },
                )
                .await?;
        }
        Err(Unavailable::Contended.into())
    }

    /// Binds a person who has shown no credentials: to the user to whom the person's unionid is
    /// linked, or else to a user that `make` creates. `None` if `make` creates none. After the
    /// person has removed a binding, the unionid no longer binds the person.
    pub async fn bind_unasked(
        &self,
        mut settled: SettledState,
        make: impl AsyncFn(FreePlace<'_>) -> Result<Option<UserId>, Unavailable>,
    ) -> Result<Option<Bound>, BindError> {
        let mut deserted = None;
        for _ in 0..MAX_ROUNDS {
            let (generation, dissolved) = match settled {
                SettledState::Free {
                    generation,
                    dissolved,
                } => (generation, dissolved),
                SettledState::Bound(bound) => return Ok(Some(bound)),
            };
            let unionid = self.unionid.filter(|_| !dissolved);
            let intent = match self.holder(unionid, deserted.as_ref()).await? {
                Some(user) => Intent {
                    user,
                    made: true,
                    by_unionid: true,
                },
                None => {
                    let place = FreePlace {
                        generation,
                        dissolved,
                        unionid,
                        deserted: deserted.as_ref(),
                    };
                    let Some(made) = make(place).await? else {
                        return Ok(None);
                    };
                    self.intent_for(made, unionid, deserted.take()).await?
                }
            };
            let (now, left) = self.try_to_bind(generation, intent).await?;
            (settled, deserted) = (now, left.or(deserted));
        }
        Err(Unavailable::Contended.into())
    }

    /// The user to whom the unionid is linked, unless that is the `deserted` user, who has no
    /// bindings left.
    async fn holder(
        &self,
        unionid: Option<&UnionId>,
        deserted: Option<&UserId>,
    ) -> Result<Option<UserId>, StoreError> {
        let Some(unionid) = unionid else {
            return Ok(None);
        };
        Ok(self
            .store
            .union_ids
            .claim(unionid, None)
            .await?
            .filter(|holder| Some(holder) != deserted))
    }

    /// The intent to bind to the user who was just `made`, or to the user whom a concurrent login
    /// in another app made a moment before. Either login may report `new_user`: the user's list
    /// decides which binding is the first, because the other request may have died. `from` is the
    /// deserted user who loses the unionid.
    pub async fn intent_for(
        &self,
        made: UserId,
        unionid: Option<&UnionId>,
        from: Option<UserId>,
    ) -> Result<Intent, StoreError> {
        let user = match (unionid, from) {
            (None, _) => made,
            (Some(unionid), Some(from)) => {
                self.store.union_ids.relink(unionid, &from, &made).await?
            }
            (Some(unionid), None) => self
                .store
                .union_ids
                .claim(unionid, Some(&made))
                .await?
                .unwrap_or(made),
        };
        Ok(Intent {
            user,
            made: true,
            by_unionid: unionid.is_some(),
        })
    }

    /// Links the unionid to the user to whom the person is bound, if it is linked to nobody. If it
    /// is linked to another user, both users stay as they are. The link of the unionid that the
    /// person had before stays, because it names the same human in apps whose unionids have not
    /// changed.
    ///
    /// A conflict is noted at all of its users, and each login of their people checks these users
    /// again. Returns `Blocked` if `is_blocked` is true for another one of them; then the conflict
    /// is not yet noted at the person.
    pub async fn link(
        &self,
        bound: &Bound,
        is_blocked: impl AsyncFn(&UserId) -> Result<bool, StoreError>,
    ) -> Result<UnionIdLink, StoreError> {
        let user = &bound.user;
        let known = bound.unionid.as_ref();
        let mut conflict = None;
        // The other user of a conflict may have lost all bindings since.
        let unionid = self
            .unionid
            .or(known)
            .filter(|named| bound.conflict.is_some() || known != Some(named));
        // The person's unionids may have further users.
        let unionids = bound
            .unionid
            .iter()
            .chain(&bound.others)
            .filter(|_| bound.shared);
        let mut users = try_join_all(unionids.map(|it| self.store.union_ids.share(it, &[])))
            .await?
            .concat();
        if let Some(unionid) = unionid {
            // Sent together, so that no process dies after it has sent the link and before it has
            // sent the note. A note that exists already is sent again, because perhaps no replica
            // has confirmed it.
            let noted = self.store.bindings.note_unionid(self.person, user, unionid);
            let moved = self.store.union_ids.relink(unionid, user, user);
            let shared = self.store.union_ids.share(unionid, &[]);
            let (_, mut holder, shared) = Box::pin(try_join3(noted, moved, shared)).await?;
            // A blocked user keeps the unionid even without people.
            if holder != *user && !is_blocked(&holder).await? && self.is_deserted(&holder).await? {
                holder = self.store.union_ids.relink(unionid, &holder, user).await?;
            }
            conflict = Some(holder).filter(|holder| holder != user);
            users.extend(if let Some(holder) = &conflict {
                self.share(unionid, user, holder).await?
            } else {
                shared
            });
        }
        users.retain(|other| other != user);
        for other in &users {
            if is_blocked(other).await? {
                return Ok(UnionIdLink::Blocked(other.clone()));
            }
        }
        if !users.is_empty() && !bound.shared {
            self.store.bindings.note_shared(self.person, user).await?;
        }
        let Some(unionid) = unionid else {
            return Ok(UnionIdLink::Known);
        };
        let news = self
            .store
            .bindings
            .link_unionid(self.person, user, unionid, conflict.as_ref())
            .await?;
        Ok(news.map_or(UnionIdLink::Gone, |news| {
            conflict
                .filter(|_| news)
                .map_or(UnionIdLink::Known, UnionIdLink::Conflict)
        }))
    }

    /// Notes a conflict at the unionid and at the holder's people. The unionid comes first, so that
    /// a person who is bound to the holder meanwhile finds the conflict there. Returns all users of
    /// the unionid.
    async fn share(
        &self,
        unionid: &UnionId,
        user: &UserId,
        holder: &UserId,
    ) -> Result<Vec<UserId>, StoreError> {
        let users = self.store.union_ids.share(unionid, &[user, holder]).await?;
        let people = self
            .store
            .bindings
            .people_of(holder)
            .await?
            .unwrap_or_default();
        try_join_all(
            people
                .iter()
                .map(|person| self.store.bindings.note_shared(person, holder)),
        )
        .await?;
        Ok(users)
    }

    /// Removes the person's binding to `user` if it has this generation. Returns false if there was
    /// nothing to do.
    pub async fn unbind(&self, user: &UserId, generation: Generation) -> Result<bool, Unavailable> {
        self.unbind_if(user, generation, async || Ok(())).await
    }

    /// [`Self::unbind`], if `permit` allows it. A removal that had begun is finished without
    /// `permit`.
    pub async fn unbind_if<E: From<Unavailable> + From<StoreError>>(
        &self,
        user: &UserId,
        generation: Generation,
        permit: impl AsyncFnOnce() -> Result<(), E>,
    ) -> Result<bool, E> {
        let state = self.store.bindings.state(self.person).await?;
        let was_leaving = matches!(state, BindingState::Leaving { .. });
        match self.settle(state).await? {
            SettledState::Bound(bound) if bound.user == *user && bound.generation == generation => {
                permit().await?;
                let state = self.store.unbindings.leave(self.person, &bound).await?;
                self.settle(state).await?;
                Ok(true)
            }
            _ => Ok(was_leaving),
        }
    }

    /// Whether the user had bindings once and has none left.
    async fn is_deserted(&self, user: &UserId) -> Result<bool, StoreError> {
        Ok(self
            .store
            .bindings
            .people_of(user)
            .await?
            .is_some_and(|people| people.is_empty()))
    }

    /// Binds the person as intended, unless the state has changed meanwhile. Fails if the user's
    /// list has refused the person. Returns the state, and the user of the unionid if that user is
    /// deserted. `generation` is that of the last binding; `None` before the first.
    async fn try_to_bind(
        &self,
        generation: Option<Generation>,
        intent: Intent,
    ) -> Result<(SettledState, Option<UserId>), BindError> {
        let state = self
            .store
            .bindings
            .intend(self.person, generation, &intent)
            .await?;
        let (settled, last) = self.settle_and_tell(state).await?;
        let decided = last.filter(|_| matches!(settled, SettledState::Free { .. }));
        let Some((user, decision)) = decided else {
            return Ok((settled, None));
        };
        match decision {
            Decision::Full if user == intent.user => Err(BindError::AlreadyBound),
            Decision::Blocked if user == intent.user => Err(BindError::Blocked),
            Decision::Deserted => Ok((settled, Some(user))),
            _ => Ok((settled, None)),
        }
    }
}

/// Whether a login without credentials needs no further step: [`Binder::link`]
/// would ask the store nothing, and answer [`UnionIdLink::Known`].
pub(super) fn is_settled(bound: &Bound, unionid: Option<&UnionId>) -> bool {
    let is_linked = unionid.is_none_or(|unionid| bound.unionid.as_ref() == Some(unionid));
    is_linked && !bound.shared && bound.conflict.is_none() && !bound.blocked
}
