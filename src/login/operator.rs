//! Actions on users and people that only an operator can perform.

mod shown;

use std::collections::BTreeSet;

use futures_util::future::{join_all, try_join_all};
use wxmint_ids::{AppId, OpenId, Person, UnionId, UserId};
use wxmint_store::{AttemptId, BindingState, Bound, ErasedPerson, Store, StoreError, UserState};

pub use self::shown::{FoundUser, ShownBinding, ShownPerson, ShownUser};
use super::{Binder, SettledState, Unavailable, limits::COUNTED_OF_A_PERSON};
use crate::apps::Apps;

/// The actions of an operator. Every action may be repeated, and a repetition finishes an
/// interrupted one. No action fails because the user is unknown.
pub struct Operator<'a> {
    pub store: &'a Store,
}

/// How many apps are searched for an openid at the same time. There may be 2,000 apps, and logins
/// must not wait behind the search.
const APPS_AT_A_TIME: usize = 50;

/// The result of [`Operator::erase_user`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Bindings that were removed first.
    pub dissolved: usize,
    /// The sums over the user's people.
    pub of_people: ErasedPerson,
    /// Links from a unionid to the user that were deleted.
    pub unionids: usize,
    /// People who belong to another user by now, or have logged in again meanwhile. Their records
    /// stay.
    pub elsewhere: usize,
    /// False if a person was bound to the user meanwhile: then the user's list stays.
    pub complete: bool,
}

impl Operator<'_> {
    /// Whether anything is stored about the user: people who are or were bound, a block, or a
    /// revocation.
    pub async fn knows(&self, user: &UserId) -> Result<bool, StoreError> {
        let UserState {
            blocked,
            revoked_before,
            ..
        } = self.store.revocations.user_state(user).await?;
        Ok(blocked
            || revoked_before.is_some()
            || self.store.bindings.people_of(user).await?.is_some())
    }

    /// Revokes all of the user's tokens, and deletes the session keys of the user's people. Does
    /// the same for other users, in the apps of their people who share a unionid with the user's
    /// people.
    pub async fn end(&self, user: &UserId) -> Result<(), StoreError> {
        self.revoke_one(user).await?;
        self.revoke_sharing_unionid(user).await
    }

    async fn revoke_one(&self, user: &UserId) -> Result<(), StoreError> {
        self.store.sessions.delete_keys_of(user, None, None).await?;
        self.store.revocations.revoke_user(user, None).await
    }

    /// Revokes the user's tokens in one app, and deletes the session keys of the user's people
    /// there.
    pub(super) async fn revoke_in_app(&self, user: &UserId, app: &AppId) -> Result<(), StoreError> {
        self.store
            .sessions
            .delete_keys_of(user, Some(app), None)
            .await?;
        self.store.revocations.revoke_in_app(user, app).await
    }

    /// Revokes tokens of other users that share a unionid with this user: one that the user's
    /// people have, or had when they were unbound. Only tokens in the apps of the people with that
    /// unionid are revoked.
    async fn revoke_sharing_unionid(&self, user: &UserId) -> Result<(), StoreError> {
        let own = self.bindings_of(user).await?;
        let ever = self.store.bindings.ever_of(user).await?;
        let left = try_join_all(
            ever.iter()
                .map(|person| self.store.bindings.left_by(person)),
        )
        .await?;
        let left = left
            .into_iter()
            .flatten()
            .filter(|(of, _)| of == user)
            .flat_map(|(_, unionids)| unionids);
        let unionids: BTreeSet<_> = own
            .into_iter()
            .flat_map(|(_, own)| own.unionid.into_iter().chain(own.others))
            .chain(left)
            .collect();
        for unionid in &unionids {
            for other in self
                .store
                .union_ids
                .share(unionid, &[])
                .await?
                .iter()
                .filter(|other| *other != user)
            {
                let bindings = self.bindings_of(other).await?;
                for (person, _) in bindings
                    .iter()
                    .filter(|(_, bound)| has_unionid(bound, unionid))
                {
                    self.revoke_in_app(other, &person.app).await?;
                }
            }
        }
        Ok(())
    }

    /// Refuses the user's logins from now on, and revokes all of the user's tokens.
    ///
    /// The first step writes the block to the user's list, which admits nobody from then on. So the
    /// list names all people at whose records the block must be noted. The tokens are revoked
    /// together with this, and once more at the end, so that tokens of logins that came too early
    /// to find the block are revoked too.
    pub async fn block(&self, user: &UserId) -> Result<(), StoreError> {
        let noted = self.set_blocked(user, true).await;
        let ended = self.store.revocations.revoke_user(user, None).await;
        noted.and(ended)?;
        self.revoke_sharing_unionid(user).await
    }

    /// Lets the user log in again. Revoked tokens stay revoked.
    pub async fn unblock(&self, user: &UserId) -> Result<(), StoreError> {
        self.set_blocked(user, false).await
    }

    async fn set_blocked(&self, user: &UserId, blocked: bool) -> Result<(), StoreError> {
        let number = self.store.revocations.set_blocked(user, blocked).await?;
        let people = self.people_of(user).await?;
        // All notes are tried, even while a replica or one of a Cluster's primaries is unavailable.
        let notes = people.iter().map(|person| {
            self.store
                .bindings
                .note_block(person, user, number, blocked)
        });
        let noted: Result<(), _> = join_all(notes).await.into_iter().collect();
        noted.and(self.store.revocations.confirm_block(user, number).await)
    }

    /// Removes the user's bindings in one app, as their owner can. Revokes the user's tokens there
    /// even if no list names a person who has them. Returns whether there was a binding.
    pub async fn unbind(&self, user: &UserId, app: &AppId) -> Result<bool, Unavailable> {
        let people = self.people_of(user).await?;
        let unbound = self
            .unbind_all(user, people.iter().filter(|person| person.app == *app))
            .await?;
        if unbound == 0 {
            self.store.revocations.revoke_in_app(user, app).await?;
        }
        Ok(unbound > 0)
    }

    async fn unbind_all(
        &self,
        user: &UserId,
        people: impl Iterator<Item = &Person>,
    ) -> Result<usize, Unavailable> {
        let mut unbound = 0;
        for person in people {
            unbound += usize::from(self.unbind_one(person, Some(user)).await?.is_some());
        }
        Ok(unbound)
    }

    /// Removes the person's binding if it is to `of`; any binding if `of` is `None`. Returns its
    /// user.
    async fn unbind_one(
        &self,
        person: &Person,
        of: Option<&UserId>,
    ) -> Result<Option<UserId>, Unavailable> {
        let attempt = AttemptId::random();
        let state = self.store.bindings.state(person).await?;
        if user_of(&state).is_none_or(|user| of.is_some_and(|of| of != user)) {
            return Ok(None);
        }
        // A half-made binding is finished whatever other bindings the user has, because it is
        // removed at once.
        let binder = Binder {
            store: self.store,
            person,
            unionid: None,
            attempt: &attempt,
            per_user: u32::MAX,
        };
        let SettledState::Bound(bound) = binder.settle(state).await? else {
            return Ok(None);
        };
        if of.is_some_and(|of| bound.user != *of) {
            return Ok(None);
        }
        binder.unbind(&bound.user, bound.generation).await?;
        Ok(Some(bound.user))
    }

    /// Erases what is stored about the user's people, so that they are unknown at their next login:
    /// revokes the tokens, removes the bindings, and deletes records, session keys, counts and
    /// links of unionids. The user's list is deleted last, because a repetition finds the people
    /// there.
    ///
    /// A login of one of the people at the same time either comes too early, and its token is
    /// revoked, or it makes a new binding, which stays.
    pub async fn erase_user(&self, user: &UserId) -> Result<Erased, Unavailable> {
        self.revoke_one(user).await?;
        let (mut people, unionids) = self.store.erasures.named_elsewhere(user).await?;
        people.extend(self.store.bindings.ever_of(user).await?);
        let unbound = self.unbind_all(user, people.iter()).await?;
        let links = unionids
            .iter()
            .map(|unionid| self.store.union_ids.erase(unionid, user));
        let unionids = try_join_all(links)
            .await?
            .into_iter()
            .filter(|was_linked| *was_linked)
            .count();
        let mut of_people = ErasedPerson::default();
        let mut elsewhere = people.len();
        for person in &people {
            let Some(erased) = self.erase_stranger(person).await? else {
                continue;
            };
            // The list of a computed user names a person for longer than the session does.
            self.store.bindings.remove_from_list(user, person).await?;
            of_people += erased;
            elsewhere -= 1;
        }
        // Read before the check that nobody is left, so that notes of later tokens stay.
        let clients = self.store.client_tokens.clients_of(user).await?;
        let states = try_join_all(
            people
                .iter()
                .map(|person| self.store.bindings.state(person)),
        )
        .await?;
        let complete = self.people_of(user).await?.is_empty()
            && !states.iter().any(|it| user_of(it) == Some(user));
        if complete {
            self.store.client_tokens.delete(user, &clients).await?;
        }
        Ok(Erased {
            dissolved: unbound,
            of_people,
            unionids,
            elsewhere,
            complete,
        })
    }

    /// Erases the records of a person who is not bound, also in the lists of the users whom the
    /// person has left. `None` for a person who is bound.
    async fn erase_stranger(&self, person: &Person) -> Result<Option<ErasedPerson>, StoreError> {
        let left = self.store.bindings.left_by(person).await?;
        for (user, unionids) in &left {
            for unionid in unionids {
                release_unionid(self.store, unionid, user).await?;
            }
            self.store.bindings.remove_from_list(user, person).await?;
            self.delete_client_notes(user, &person.app).await?;
            // A blocked user keeps these unionids, because they lead to the block.
            if self.people_of(user).await?.is_empty()
                && !self.store.revocations.user_state(user).await?.blocked
            {
                for gone in self.store.bindings.ever_of(user).await? {
                    self.store
                        .bindings
                        .delete_unionids_left(&gone, user)
                        .await?;
                }
            }
        }
        let struck: Vec<_> = left.iter().map(|(user, _)| user).collect();
        self.store
            .erasures
            .erase(person, &struck, &COUNTED_OF_A_PERSON)
            .await
    }

    /// Deletes the notes of clients that have had tokens of the user through this app, unless one
    /// of the user's people is left there. The tokens were revoked with the last binding.
    pub(super) async fn delete_client_notes(
        &self,
        user: &UserId,
        app: &AppId,
    ) -> Result<(), StoreError> {
        let mut clients = self.store.client_tokens.clients_of(user).await?;
        clients.retain(|noted| noted.app == *app);
        if clients.is_empty()
            || self
                .people_of(user)
                .await?
                .iter()
                .any(|person| person.app == *app)
        {
            return Ok(());
        }
        self.store.client_tokens.delete(user, &clients).await
    }

    /// The user of a person, for operators. `None` for a person who is not bound.
    pub async fn look_up(&self, person: &Person) -> Result<Option<ShownPerson>, StoreError> {
        let Some(bound) = self.store.bindings.find(person).await? else {
            return Ok(None);
        };
        let user_id = bound.user.clone();
        let last_login = bound.last_login.map(|at| at.timestamp());
        let UserState { blocked, .. } = self.store.revocations.user_state(&user_id).await?;
        let ShownBinding {
            unionid, bound_at, ..
        } = (person.clone(), bound).into();
        Ok(Some(ShownPerson {
            user_id,
            unionid,
            bound_at,
            blocked,
            last_login,
        }))
    }

    /// Finds the user to whom the person is bound, or is being bound or unbound. Revokes all tokens
    /// of that user in the person's app, and deletes the session keys of the user's people there.
    /// Returns the user.
    pub async fn revoke_person(&self, person: &Person) -> Result<Option<UserId>, StoreError> {
        let state = self.store.bindings.state(person).await?;
        let Some(user) = user_of(&state) else {
            return Ok(None);
        };
        self.revoke_in_app(user, &person.app).await?;
        Ok(Some(user.clone()))
    }

    /// Removes the person's binding, which revokes the tokens, and erases the person's records. The
    /// user stays, with the user's other people. A repetition finishes an interrupted erasure,
    /// because the person's own keys, which lead to all others, are deleted last.
    ///
    /// A login of the person at the same time either comes too early, and its token is revoked, or
    /// it makes a new binding, which stays. Returns the user to whom the person was bound, and
    /// whether there was more to erase.
    pub async fn erase_person(
        &self,
        person: &Person,
    ) -> Result<(Option<UserId>, bool), Unavailable> {
        let user = self.unbind_one(person, None).await?;
        if let Some(user) = &user {
            self.delete_client_notes(user, &person.app).await?;
        }
        Ok((
            user,
            self.erase_stranger(person)
                .await?
                .is_some_and(|erased| erased != ErasedPerson::default()),
        ))
    }

    /// The user who has this id or this unionid, and those whose people have this openid in one of
    /// these apps.
    pub async fn find(&self, id: &UserId, apps: &Apps) -> Result<Vec<FoundUser>, StoreError> {
        let mut found = Vec::new();
        if self.knows(id).await? {
            found.push(FoundUser {
                by: "user_id",
                appid: None,
                user_id: id.clone(),
            });
        }
        let unionids = apps
            .union_scopes()
            .into_iter()
            .filter_map(|scope| UnionId::new(scope, id.as_str()).ok());
        for unionid in unionids {
            if let Some(user_id) = self.store.union_ids.claim(&unionid, None).await? {
                found.push(FoundUser {
                    by: "unionid",
                    appid: None,
                    user_id,
                });
            }
        }
        let people = apps.iter().filter_map(|app| {
            Some(Person {
                platform: app.platform(),
                app: app.id.clone(),
                openid: OpenId::new(app.platform(), id.as_str()).ok()?,
            })
        });
        let people: Vec<_> = people.collect();
        for people in people.chunks(APPS_AT_A_TIME) {
            let bindings =
                try_join_all(people.iter().map(|person| self.store.bindings.find(person))).await?;
            for (person, bound) in people.iter().zip(bindings) {
                if let Some(bound) = bound {
                    found.push(FoundUser {
                        by: "openid",
                        appid: Some(person.app.clone()),
                        user_id: bound.user,
                    });
                }
            }
        }
        Ok(found)
    }

    /// The stored facts about a user. A block and a revocation are shown once verifiers are told of
    /// the revocation.
    pub async fn show(&self, user: &UserId) -> Result<ShownUser, StoreError> {
        let UserState {
            blocked,
            revoked_before,
            published,
        } = self.store.revocations.user_state(user).await?;
        let bindings = self.bindings_of(user).await?;
        let revoked_before = revoked_before.filter(|_| published);
        let last_login = bindings
            .iter()
            .filter_map(|(_, bound)| bound.last_login)
            .max()
            .map(|at| at.timestamp());
        let wechat = bindings.into_iter().map(ShownBinding::from).collect();
        Ok(ShownUser {
            user_id: user.clone(),
            blocked: blocked && published,
            revoked_before,
            last_login,
            wechat,
        })
    }

    /// The user's bindings, oldest first. The user's list may also name people whose binding has
    /// not been made yet, or has just been dissolved.
    pub async fn bindings_of(&self, user: &UserId) -> Result<Vec<(Person, Bound)>, StoreError> {
        let people = self.people_of(user).await?;
        let bindings =
            try_join_all(people.iter().map(|person| self.store.bindings.find(person))).await?;
        let mut bindings: Vec<(Person, Bound)> = people
            .into_iter()
            .zip(bindings)
            .filter_map(|(person, bound)| Some((person, bound?)))
            .filter(|(_, bound)| bound.user == *user)
            .collect();
        bindings.sort_by_key(|(person, bound)| {
            (bound.bound_at, person.app.clone(), person.openid.clone())
        });
        Ok(bindings)
    }

    async fn people_of(&self, user: &UserId) -> Result<Vec<Person>, StoreError> {
        Ok(self
            .store
            .bindings
            .people_of(user)
            .await?
            .unwrap_or_default())
    }
}

/// The user to whom the person is bound, or is being bound or unbound.
fn user_of(state: &BindingState) -> Option<&UserId> {
    match state {
        BindingState::Free { .. } => None,
        BindingState::Intended { intent, .. } => Some(&intent.user),
        BindingState::Bound(bound) => Some(&bound.user),
        BindingState::Leaving { user, .. } => Some(user),
    }
}

/// Removes a unionid's link to a user, unless another of the user's people has the unionid. Also
/// removes its links to the other users of a conflict, unless they are blocked. A user who still
/// has people with the unionid gets the link.
pub(super) async fn release_unionid(
    store: &Store,
    unionid: &UnionId,
    user: &UserId,
) -> Result<(), StoreError> {
    release_from(store, unionid, user, false).await?;
    for other in store
        .union_ids
        .share(unionid, &[])
        .await?
        .iter()
        .filter(|other| *other != user)
    {
        release_from(
            store,
            unionid,
            other,
            store.revocations.user_state(other).await?.blocked,
        )
        .await?;
    }
    Ok(())
}

/// Looks again after each step, because one of the user's people may have come or left meanwhile.
async fn release_from(
    store: &Store,
    unionid: &UnionId,
    user: &UserId,
    is_kept: bool,
) -> Result<(), StoreError> {
    let is_needed = async || {
        let bindings = Operator { store }.bindings_of(user).await?;
        Ok::<_, StoreError>(
            bindings
                .iter()
                .any(|(_, bound)| has_unionid(bound, unionid)),
        )
    };
    loop {
        if is_needed().await? {
            store.union_ids.relink(unionid, user, user).await?;
            if is_needed().await? {
                return Ok(());
            }
        }
        if is_kept || !store.union_ids.erase(unionid, user).await? {
            return Ok(());
        }
    }
}

fn has_unionid(bound: &Bound, unionid: &UnionId) -> bool {
    bound
        .unionid
        .iter()
        .chain(&bound.others)
        .any(|own| own == unionid)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wxmint_ids::Platform;
    use wxmint_store::StoreAccess;

    use super::*;
    use crate::accounts::Named;
    use crate::clock::now;
    use crate::doors::servers::RedisServer;
    use crate::settings::StoreSettings;

    /// No replica exists that could confirm the block.
    #[actix_web::test]
    async fn a_block_that_is_not_confirmed_keeps_the_user_out_and_its_lifting_lets_the_user_in() {
        let server = RedisServer::start().await;
        let url = format!(
            "redis://127.0.0.1:{}",
            server
                .cli(&["CONFIG", "GET", "port"])
                .lines()
                .last()
                .expect("a port")
        );
        let variables = [
            ("WXMINT_REDIS_URL", url.as_str()),
            ("WXMINT_REDIS_CONFIRM", "1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let access = StoreSettings::from_vars(variables)
            .ok()
            .and_then(|it| it.redis().ok()?)
            .expect("an access");
        let (store, strict) = (
            server.store(),
            Store::new(&StoreAccess::new(access), Duration::from_mins(1), now, ()),
        );
        let (user, attempt): (UserId, _) =
            ("user-1".parse().expect("a user"), AttemptId::new([1; 16]));
        let app: AppId = "wx0123456789abcdef".parse().expect("an app");
        let person = Person {
            platform: Platform::WeChat,
            app,
            openid: "o1".parse().expect("an openid"),
        };
        let binder = Binder {
            store: &store,
            person: &person,
            unionid: None,
            attempt: &attempt,
            per_user: 1,
        };
        let free = SettledState::Free {
            generation: None,
            dissolved: false,
        };
        binder
            .bind(
                &Named {
                    user: user.clone(),
                    made: false,
                },
                free,
            )
            .await
            .expect("bound");
        let is_blocked = async || {
            let binding = store
                .bindings
                .find(&person)
                .await
                .expect("an answer")
                .expect("bound");
            (
                binding.blocked,
                store
                    .revocations
                    .user_state(&user)
                    .await
                    .expect("an answer")
                    .blocked,
            )
        };
        let operator = Operator { store: &strict };
        assert!(
            operator.block(&user).await.is_err(),
            "nobody could take over"
        );
        assert_eq!(is_blocked().await, (true, true));
        let shown = Operator { store: &store }
            .show(&user)
            .await
            .expect("an answer");
        assert_eq!(
            (shown.blocked, shown.revoked_before),
            (false, None),
            "verifiers have not been told"
        );
        assert!(operator.unblock(&user).await.is_err());
        assert_eq!(is_blocked().await, (false, false));
        let number = store
            .revocations
            .set_blocked(&user, true)
            .await
            .expect("blocked");
        assert_eq!(store.revocations.confirm_block(&user, number).await, Ok(()));
        assert!(
            store
                .revocations
                .confirm_block(&user, number + 1)
                .await
                .is_err(),
            "a failover has lost it"
        );
    }
}
