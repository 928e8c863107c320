//! The steps of the binding protocol in Redis.

use std::collections::HashMap;

use redis::Value;
use wxmint_ids::{AppId, UnionId, UserId};

use super::session::{change_session, exchanged, owner};
use super::stored::{StoredBinding, stored_binding};
use super::{Call, Store, flag, name, packed, replace, script};
use crate::{
    AttemptMark, BindingState, Bound, Decision, Generation, Intent, Person, Result, StoreError,
    UNPROVEN_LINK_KEPT,
};

/// The fields of a user's list that are not persons.
pub(super) const NO_PEOPLE: [&[u8]; 3] = [b"block", b"ended", b"floor"];

/// Each step touches the keys of one person, one user or one unionid, takes one round trip, and is
/// idempotent: a repetition gives the same answer.
impl Store {
    /// The person's binding; `None` if the person is not bound, or not yet.
    pub async fn binding(&self, person: &Person) -> Result<Option<Bound>> {
        Ok(
            if let BindingState::Bound(bound) = self.binding_state(person).await? {
                Some(bound)
            } else {
                None
            },
        )
    }

    /// The state of the person's binding. A person without a binding but with a computed user
    /// counts as bound, with [`Generation::Computed`].
    pub async fn binding_state(&self, person: &Person) -> Result<BindingState> {
        let asked = stored_binding(person).cmd("GET").arg(name::session(person));
        let (stored, session): (StoredBinding, Option<Vec<u8>>) =
            self.link.run("binding_state", asked).await?;
        let (state, session) = (
            self.certain(person, stored).await?,
            session.unwrap_or_default(),
        );
        let exchanged = exchanged(&session);
        Ok(match (state, owner(&session)) {
            (BindingState::Free { .. }, Some(user)) => {
                let bound_at = exchanged.unwrap_or_default();
                BindingState::Bound(Bound {
                    bound_at,
                    last_login: exchanged,
                    ..Bound::computed(user)
                })
            }
            (BindingState::Bound(bound), _) => BindingState::Bound(Bound {
                last_login: bound.last_login.max(exchanged),
                ..bound
            }),
            (state, _) => state,
        })
    }

    /// The stored binding alone: a person with a computed user counts as free.
    pub async fn stored_state(&self, person: &Person) -> Result<BindingState> {
        self.link
            .run::<StoredBinding>("binding_state", stored_binding(person))
            .await?
            .state()
    }

    /// Writes the intent to bind a person to a user, if the person is free and the generation of
    /// the last binding is `last` (`None` if there was no binding). The intent has the next
    /// generation.
    pub async fn intend(
        &self,
        person: &Person,
        last: Option<Generation>,
        intent: &Intent,
    ) -> Result<BindingState> {
        let script = change(person, "intend", last);
        let script = script
            .arg(packed::user(&intent.user))
            .arg(flag(intent.made))
            .arg(flag(intent.by_unionid));
        self.certain(person, self.link.run("intend", script).await?)
            .await
    }

    /// Decides whether the user admits the person, once for each generation. Nothing else decides
    /// this. `per_app` is the number of persons of one app that a user may have.
    pub async fn admit(
        &self,
        person: &Person,
        generation: Generation,
        intent: &Intent,
        per_app: u32,
    ) -> Result<Decision> {
        let Intent {
            user, by_unionid, ..
        } = intent;
        let script = script::ADMIT.on(&[
            &name::user(user),
            &name::gone(user),
            &name::struck(user, person),
        ]);
        let script = script
            .arg(packed::person(person))
            .arg(generation.number())
            .arg(packed::app(&person.app))
            .arg(per_app);
        let sign: String = self
            .link
            .run_confirmed("admit", script.arg(flag(*by_unionid)))
            .await?;
        match sign.as_str() {
            "*" | "+" => Ok(Decision::Admitted { first: sign == "*" }),
            "f" => Ok(Decision::Full),
            "d" => Ok(Decision::Deserted),
            "b" => Ok(Decision::Blocked),
            "-" => Ok(Decision::Dismissed),
            _ => Err(StoreError::Damaged("a user's list")),
        }
    }

    /// Binds an admitted person, if the person's intent still has this generation and this user.
    /// The generation alone is not enough, because it may be given twice if the store lost data.
    /// `new_for`: see [`Bound::new_for`]. Notes the unionid to be linked, as
    /// [`note_unionid`](Self::note_unionid) does.
    pub async fn settle(
        &self,
        person: &Person,
        generation: Generation,
        user: &UserId,
        new_for: Option<AttemptMark>,
        unionid: Option<&UnionId>,
    ) -> Result<BindingState> {
        let script = change(person, "bind", Some(generation)).arg(packed::user(user));
        let script = script.arg("b").arg(self.clock.now().timestamp());
        let script =
            script.arg(new_for.map(|AttemptMark(mark)| ("f", mark.to_be_bytes().to_vec())));
        let script = script.arg(unionid.map(|unionid| ("o", packed::unionids([unionid]))));
        let script = script.arg(self.link.confirms().then_some(("w", "1")));
        self.confirmed(person, self.link.run_confirmed("settle", script).await?)
    }

    /// Drops the intent of a person who was not admitted, if it is still there.
    pub async fn drop_intent(
        &self,
        person: &Person,
        generation: Generation,
        user: &UserId,
    ) -> Result<BindingState> {
        let script = change(person, "drop", Some(generation)).arg(packed::user(user));
        self.certain(person, self.link.run("settle", script).await?)
            .await
    }

    /// Begins to unbind a person and deletes the session keys. From now on, no login finds the
    /// binding. If the user is computed, only the revocations of its tokens remain.
    pub async fn leave(&self, person: &Person, bound: &Bound) -> Result<BindingState> {
        if bound.generation == Generation::Computed {
            return self.leave_computed(person, &bound.user).await;
        }
        let script = change(person, "leave", Some(bound.generation));
        let script = script
            .arg(packed::user(&bound.user))
            .arg(self.clock.latest_second(&name::binding(person)).await?);
        self.link
            .run_confirmed::<StoredBinding>("leave", script)
            .await?
            .state()
    }

    /// Deletes the session's owner last, because a repetition needs it to find the user's list. If
    /// a login came meanwhile, the person stays with the user. That login may have found the person
    /// on the list before the deletion, so its token would be refused here but accepted elsewhere:
    /// it is revoked too.
    async fn leave_computed(&self, person: &Person, user: &UserId) -> Result<BindingState> {
        self.forget(person, None).await?;
        self.revoke_in_app(user, &person.app).await?;
        self.strike_off(user, person).await?;
        self.link
            .run_confirmed::<Value>("leave", change_session(person, "leave"))
            .await?;
        let state = self.binding_state(person).await?;
        if matches!(&state, BindingState::Bound(bound) if bound.user == *user) {
            self.revoke_in_app(user, &person.app).await?;
        }
        Ok(state)
    }

    /// Deletes the session keys of the user's persons, in one app or in all apps, except those of
    /// `except`. Their next logins then check for revocations.
    pub async fn forget_keys(
        &self,
        user: &UserId,
        app: Option<&AppId>,
        except: Option<&Person>,
    ) -> Result<()> {
        let mut people = self.people_of(user).await?.unwrap_or_default();
        people.retain(|person| app.is_none_or(|app| person.app == *app) && Some(person) != except);
        for person in &people {
            self.forget(person, None).await?;
        }
        Ok(())
    }

    /// Removes the person from the user's list, and revokes the user's tokens of that app that were
    /// issued up to `since`, the second in which the person left. A request that repeats this later
    /// must not revoke the tokens of a new binding.
    pub async fn dismiss(
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
        self.revoke_clients_of(user, &person.app, Some(since))
            .await?;
        let script = script::DISMISS
            .on(&keys)
            .arg(packed::person(person))
            .arg(generation.number());
        let unpublished = self
            .link
            .run_confirmed("dismiss", script.arg(person.app.as_str()).arg(since))
            .await?;
        self.publish_app(user, &person.app, unpublished).await
    }

    /// Completes the unbinding from `user`, if the binding has this `generation`.
    pub async fn set_free(
        &self,
        person: &Person,
        generation: Generation,
        user: &UserId,
    ) -> Result<BindingState> {
        let script = change(person, "free", Some(generation)).arg(packed::user(user));
        self.link
            .run_confirmed::<StoredBinding>("set_free", script)
            .await?
            .state()
    }

    /// The persons on the user's list. `None` if the user never had any.
    pub async fn people_of(&self, user: &UserId) -> Result<Option<Vec<Person>>> {
        let asked = Call::of("HGETALL", name::user(user))
            .cmd("HLEN")
            .arg(name::gone(user));
        let (list, gone): (HashMap<Vec<u8>, Vec<u8>>, u64) =
            self.link.run("people_of", asked).await?;
        let admitted = list
            .keys()
            .filter(|name| !NO_PEOPLE.contains(&name.as_slice()));
        let admitted = admitted
            .map(|name| packed::read_person(name))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((gone > 0 || !admitted.is_empty()).then_some(admitted))
    }

    /// The user that a unionid is linked to. Links it to `candidate` if it is not linked. That link
    /// expires after [`UNPROVEN_LINK_KEPT`], because the candidate may never get a person, and then
    /// no erasure would find the link.
    pub async fn claim_unionid(
        &self,
        unionid: &UnionId,
        candidate: Option<&UserId>,
    ) -> Result<Option<UserId>> {
        let key = name::union(unionid);
        let Some(candidate) = candidate else {
            let user: Option<Vec<u8>> =
                self.link.run("claim_unionid", Call::of("GET", key)).await?;
            return Ok(user.as_deref().map(packed::read_user).transpose()?);
        };
        let claim = Call::of("SET", &key).arg(packed::user(candidate)).arg("NX");
        let claim = claim
            .arg("EX")
            .arg(UNPROVEN_LINK_KEPT.as_secs())
            .cmd("GET")
            .arg(&key);
        let (_, held): (Value, Option<Vec<u8>>) =
            self.link.run_confirmed("claim_unionid", claim).await?;
        Ok(held.as_deref().map(packed::read_user).transpose()?)
    }

    /// Links a unionid to `to`, without expiry, if it is linked to `from` or `to` or not at all.
    /// Returns the user that it is linked to now.
    pub async fn move_unionid(
        &self,
        unionid: &UnionId,
        from: &UserId,
        to: &UserId,
    ) -> Result<UserId> {
        let script = replace(
            &name::union(unionid),
            &packed::user(from),
            &packed::user(to),
        );
        let held: Option<Vec<u8>> = self.link.run_confirmed("move_unionid", script).await?;
        let held = held.as_deref().map(packed::read_user).transpose()?;
        Ok(held
            .filter(|held| held != from)
            .unwrap_or_else(|| to.clone()))
    }

    /// Notes on the binding that a unionid is about to be linked to the user, so that the person's
    /// erasure finds the link. Returns whether the person is still bound to the user.
    pub async fn note_unionid(
        &self,
        person: &Person,
        user: &UserId,
        unionid: &UnionId,
    ) -> Result<bool> {
        let noted: Option<bool> = self
            .link
            .run_confirmed("note_unionid", link_unionid(person, user, unionid))
            .await?;
        Ok(noted.is_some())
    }

    /// Notes that these users are in conflict about a unionid. Returns all users that are noted so.
    pub async fn share_unionid(&self, unionid: &UnionId, users: &[&UserId]) -> Result<Vec<UserId>> {
        let key = name::shared(unionid);
        if !users.is_empty() {
            let noted = users.iter().fold(Call::of("HSET", &key), |call, user| {
                call.arg(packed::user(user)).arg("")
            });
            self.link
                .run_confirmed::<u64>("share_unionid", noted)
                .await?;
        }
        let shared: HashMap<Vec<u8>, Value> = self
            .link
            .run("share_unionid", Call::of("HGETALL", &key))
            .await?;
        Ok(shared
            .keys()
            .map(|user| packed::read_user(user))
            .collect::<Result<_, _>>()?)
    }

    /// Notes on the person's binding to this user, if it exists, that a unionid of the person may
    /// also belong to another user.
    pub async fn note_shared(&self, person: &Person, user: &UserId) -> Result<()> {
        Ok(self
            .link
            .run_confirmed(
                "note_shared",
                change_session(person, "share").arg(packed::user(user)),
            )
            .await?)
    }

    /// Notes on the binding which unionid was seen, and whether it is linked to another user.
    /// Returns whether the conflict is new; `None` if the person is not bound to the user any more.
    pub async fn link_unionid(
        &self,
        person: &Person,
        user: &UserId,
        unionid: &UnionId,
        conflict: Option<&UserId>,
    ) -> Result<Option<bool>> {
        let script =
            link_unionid(person, user, unionid).arg(conflict.map(packed::user).unwrap_or_default());
        Ok(self.link.run("link_unionid", script).await?)
    }

    /// Notes that a person without a binding has unbound, as an import read in another Redis.
    /// Returns whether this was not known.
    pub async fn note_dissolved(&self, person: &Person) -> Result<bool> {
        let BindingState::Free {
            generation,
            dissolved: false,
        } = self.binding_state(person).await?
        else {
            return Ok(false);
        };
        let stored: StoredBinding = self
            .link
            .run("note_dissolved", change(person, "dissolve", generation))
            .await?;
        Ok(stored.state()?
            == BindingState::Free {
                generation,
                dissolved: true,
            })
    }
}

/// A step of the binding protocol, which has an effect only if the person's binding, or the last
/// one, has this generation. `None` if the person was never bound.
fn change(person: &Person, step: &str, generation: Option<Generation>) -> Call {
    let keys: [&str; 4] = [
        &name::binding(person),
        &name::session(person),
        &name::logins(person),
        &name::left(person),
    ];
    script::CHANGE_BINDING
        .on(&keys)
        .arg(step)
        .arg(Generation::number_of_last(generation))
}

fn link_unionid(person: &Person, user: &UserId, unionid: &UnionId) -> Call {
    let script = script::LINK_UNIONID.on(&[
        &name::binding(person),
        &name::session(person),
        &name::logins(person),
    ]);
    script.arg(packed::user(user)).arg(packed::unionid(unionid))
}
