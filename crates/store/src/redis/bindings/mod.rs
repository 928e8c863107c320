//! The bindings of persons, and the lists of users, which decide on the bindings. `login::binder`
//! combines the steps of the binding protocol.

mod id_key;
mod lists;
pub(crate) mod stored;
mod walk;

use std::collections::HashMap;
use std::rc::Rc;

use redis::Value;
use wxmint_ids::{Person, UnionId, UserId, packed};
use wxmint_redis_link::{Call, RedisClient};

pub use self::id_key::DRAWN;
pub(super) use self::lists::admission;
use self::stored::{StoredBinding, stored_binding};
use super::sessions::{change_session, exchanged, owner};
use super::{StoreClock, flag, name, script};
use crate::{AttemptMark, BindingState, Bound, Generation, Intent, Result};

/// The bindings: which user each person has, and which persons each user has. A person with a
/// computed user has no record of a binding, but a session that names the user.
///
/// Each step touches the keys of one person or one user, takes one round trip, and is idempotent: a
/// repetition gives the same answer.
///
/// Scripts of other values read these keys in the round trip in which they read their own:
/// [`LoginRecords`](crate::LoginRecords), [`Sessions`](crate::Sessions),
/// [`Unbindings`](crate::Unbindings), [`Erasures`](crate::Erasures) and
/// [`Revocations`](crate::Revocations). The documentation of each says why.
#[derive(Clone)]
pub struct Bindings {
    link: Rc<RedisClient>,
    clock: StoreClock,
}

impl Bindings {
    pub(super) fn new(link: Rc<RedisClient>, clock: StoreClock) -> Self {
        Self { link, clock }
    }

    /// The person's binding; `None` if the person is not bound, or not yet.
    pub async fn find(&self, person: &Person) -> Result<Option<Bound>> {
        Ok(
            if let BindingState::Bound(bound) = self.state(person).await? {
                Some(bound)
            } else {
                None
            },
        )
    }

    /// The state of the person's binding. A person without a binding but with a computed user
    /// counts as bound, with [`Generation::Computed`].
    pub async fn state(&self, person: &Person) -> Result<BindingState> {
        let asked = stored_binding(person).cmd("GET").arg(name::session(person));
        let (stored, session): (StoredBinding, Option<Vec<u8>>) =
            self.link.run("binding_state", asked).await?;
        let state = self.certain(person, stored).await?;
        let session = session.unwrap_or_default();
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

    /// Begins to unbind a person whose binding has this generation, and deletes the session keys.
    /// From now on, no login finds the binding.
    pub(super) async fn leave(
        &self,
        person: &Person,
        generation: Generation,
        user: &UserId,
    ) -> Result<BindingState> {
        let script = change(person, "leave", Some(generation));
        let script = script
            .arg(packed::user(user))
            .arg(self.clock.latest_second(&name::binding(person)).await?);
        self.link
            .run_confirmed::<StoredBinding>("leave", script)
            .await?
            .state()
    }

    /// Deletes the computed user of a person from the session.
    pub(super) async fn leave_computed(&self, person: &Person) -> Result<()> {
        Ok(self
            .link
            .run_confirmed::<Value>("leave", change_session(person, "leave"))
            .await
            .map(drop)?)
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
    pub async fn note_unbound(&self, person: &Person) -> Result<bool> {
        let BindingState::Free {
            generation,
            dissolved: false,
        } = self.state(person).await?
        else {
            return Ok(false);
        };
        let stored: StoredBinding = self
            .link
            .run("note_unbound", change(person, "dissolve", generation))
            .await?;
        Ok(stored.state()?
            == BindingState::Free {
                generation,
                dissolved: true,
            })
    }

    /// Notes on the person's binding, where each login reads it, whether the person's user is
    /// blocked. Does nothing if the person belongs to another user, or if a change with a greater
    /// `number` is noted. Answered once a replica has it.
    pub async fn note_block(
        &self,
        person: &Person,
        user: &UserId,
        number: u64,
        blocked: bool,
    ) -> Result<()> {
        let script = change_session(person, "block")
            .arg(packed::user(user))
            .arg(number);
        Ok(self
            .link
            .run_confirmed("note_block", script.arg(if blocked { "on" } else { "off" }))
            .await?)
    }

    /// Notes that no revocation covers a token that is dated `second`, so that the person's next
    /// logins need not look revocations up. Does not wait for the answer, because a note that is
    /// lost costs a look-up.
    pub(super) fn note_not_revoked(&self, person: &Person, second: i64) {
        let script = script::NOTE_NOT_REVOKED.on(&[&name::binding(person)]);
        self.link.later(script.arg(second));
    }

    /// The users that the person has left, or that did not admit the person: their lists may still
    /// name the person. With each, the unionids that may have been linked to the user because of
    /// the person.
    pub async fn left_by(&self, person: &Person) -> Result<Vec<(UserId, Vec<UnionId>)>> {
        let asked = Call::of("HGETALL", name::left(person));
        let left: HashMap<Vec<u8>, Vec<u8>> = self.link.run("left_by", asked).await?;
        left.iter()
            .map(|(user, unionids)| {
                Ok((packed::read_user(user)?, packed::read_unionids(unionids)?))
            })
            .collect()
    }

    /// Deletes the unionids that the person had when leaving the user.
    pub async fn delete_unionids_left(&self, person: &Person, user: &UserId) -> Result<()> {
        let emptied = Call::of("HSET", name::left(person))
            .arg(packed::user(user))
            .arg("");
        Ok(self.link.run::<u64>("left_by", emptied).await.map(drop)?)
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
