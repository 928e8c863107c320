//! The erasure of the data of a user's persons. `login::operator` combines the steps.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::Value;
use wxmint_ids::{AppId, UnionId, UserId};
use wxmint_redis_link::scan::{Place, Slots};

use super::{
    Call, DRAWN, Store, binding::NO_PEOPLE, name, packed, replace, revocations::admission, script,
    session, walk,
};
use crate::{Generation, Person, Result, StoreError};

/// How long the generations of erased bindings are kept, so that a late command of a login that was
/// in progress changes nothing. This is much longer than any request takes.
pub const NUMBERS_KEPT: Duration = Duration::from_mins(10);
/// How long the emptied list of a user without persons is kept, so that `users erase` still finds
/// the persons who have left.
pub const EMPTY_LIST_KEPT: Duration = Duration::from_hours(30 * 24);

/// The numbers of records that were erased for one person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, derive_more::AddAssign)]
pub struct ErasedPerson {
    /// Records of bindings. The generation stays for [`NUMBERS_KEPT`].
    pub bindings: u64,
    /// Sessions, with all their session keys.
    pub session_keys: u64,
    /// Counters of logins, calls and failures.
    pub counters: u64,
}

/// Each step of an erasure may be repeated, and then finds nothing to erase.
impl Store {
    /// All persons that the user's list names, also those who have left or were not admitted.
    pub async fn ever_of(&self, user: &UserId) -> Result<Vec<Person>> {
        let asked = Call::of("HGETALL", name::user(user))
            .cmd("HGETALL")
            .arg(name::gone(user));
        type Entries = HashMap<Vec<u8>, Vec<u8>>;
        let (list, gone): (Entries, Entries) = self.link.run("ever_of", asked).await?;
        let people = list
            .keys()
            .chain(gone.keys())
            .filter(|name| !NO_PEOPLE.contains(&name.as_slice()));
        Ok(people
            .map(|name| packed::read_person(name))
            .collect::<Result<_, _>>()?)
    }

    /// The persons of an app who have been removed from the user's list, each with the generation
    /// of that binding.
    pub async fn dismissed(&self, user: &UserId, app: &AppId) -> Result<Vec<(Person, Generation)>> {
        let gone: HashMap<Vec<u8>, Vec<u8>> = self
            .link
            .run("gone", Call::of("HGETALL", name::gone(user)))
            .await?;
        gone.iter()
            .filter_map(|(person, decision)| admission(person, decision, app).transpose())
            .collect()
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
    pub async fn forget_unionids_left(&self, person: &Person, user: &UserId) -> Result<()> {
        let emptied = Call::of("HSET", name::left(person))
            .arg(packed::user(user))
            .arg("");
        Ok(self.link.run::<u64>("left_by", emptied).await.map(drop)?)
    }

    /// Erases a person from a user's list, if the person has left it or has a computed user. The
    /// generation of the person's last binding stays for [`NUMBERS_KEPT`], and so does a list
    /// without persons. A block stays.
    pub async fn strike_off(&self, user: &UserId, person: &Person) -> Result<()> {
        let script = script::CHANGE_LIST.on(&[
            &name::user(user),
            &name::gone(user),
            &name::struck(user, person),
        ]);
        let script = script
            .arg("strike")
            .arg(NUMBERS_KEPT.as_secs())
            .arg(packed::person(person));
        Ok(self.link.run_confirmed("strike_off", script).await?)
    }

    /// Erases the data of a person who is not bound, except the users of [`Self::left_by`] that are
    /// not in `struck`, and the person's counters of the kinds `limits`. `None` if the person is
    /// bound, is being bound or unbound, or has a computed user.
    pub async fn erase_person(
        &self,
        person: &Person,
        struck: &[&UserId],
        limits: &[&str],
    ) -> Result<Option<ErasedPerson>> {
        let keys = [
            name::binding,
            name::session,
            name::logins,
            name::left,
            name::tries,
        ]
        .map(|key| key(person));
        let struck: Vec<_> = struck.iter().map(|user| packed::user(user)).collect();
        let script = script::ERASE_PERSON
            .on(&keys)
            .arg(NUMBERS_KEPT.as_secs())
            .arg(struck);
        let erased: Vec<u64> = self.link.run_confirmed("erase_person", script).await?;
        let [bindings, session_keys, counters] = erased[..] else {
            return Ok(None);
        };
        let cells: Vec<_> = limits
            .iter()
            .map(|kind| name::limit_of_person(person, kind))
            .collect();
        let counted = Call::at(&name::logins(person)).cmd("DEL").arg(cells);
        let others: u64 = if limits.is_empty() {
            0
        } else {
            self.link.run_confirmed("erase_person", counted).await?
        };
        Ok(Some(ErasedPerson {
            bindings,
            session_keys,
            counters: counters + others,
        }))
    }

    /// The persons whose sessions name the user, as those of computed users do, and the unionids
    /// that are linked to the user. The user's list may not name them. Scans all keys. Fails if the
    /// servers or slots of a Cluster change during the scan.
    pub async fn named_elsewhere(
        &self,
        user: &UserId,
    ) -> Result<(HashSet<Person>, HashSet<UnionId>)> {
        let (mut people, mut unionids, mut place) =
            (HashSet::new(), HashSet::new(), Some(Place::default()));
        // If user ids are drawn, no session has an owner, so only unionids are scanned. Otherwise
        // one scan finds both kinds of keys.
        let are_computed = self.id_key(None).await?.is_some_and(|word| word != DRAWN);
        let pattern = if are_computed {
            "wxmint:*"
        } else {
            "wxmint:union:{*}"
        };
        let unionid = |key: &String| {
            key.strip_prefix("wxmint:union:{")?
                .strip_suffix('}')?
                .parse::<UnionId>()
                .ok()
        };
        let person = |key: &String| walk::owner(key, "session").ok();
        while let Some(from) = place {
            // A key may have moved from a primary that was not read yet to one that had been read.
            let page = self.link.keys_like(pattern, &from, Slots::AtRest).await?;
            if page.may_miss {
                return Err(StoreError::ChangedDuringScan);
            }
            let keys: Vec<_> = page
                .found
                .iter()
                .filter(|it| unionid(it).is_some() || person(it).is_some())
                .collect();
            let asked = keys
                .iter()
                .map(|key| self.link.run("named_elsewhere", Call::of("GET", key)));
            let values: Vec<Option<Vec<u8>>> = try_join_all(asked).await?;
            for (key, value) in keys
                .into_iter()
                .zip(values.into_iter().map(Option::unwrap_or_default))
            {
                people
                    .extend(person(key).filter(|_| session::owner(&value).as_ref() == Some(user)));
                unionids.extend(unionid(key).filter(|_| value == packed::user(user)));
            }
            place = page.next;
        }
        Ok((people, unionids))
    }

    /// Erases the link of a unionid to this user, and the note that this user is in conflict about
    /// it. Returns whether it was linked to this user.
    pub async fn erase_unionid(&self, unionid: &UnionId, user: &UserId) -> Result<bool> {
        let user = packed::user(user);
        let script = replace(&name::union(unionid), &user, b"")
            .cmd("HDEL")
            .arg(name::shared(unionid))
            .arg(&user);
        let (held, _): (Option<Vec<u8>>, Value) =
            self.link.run_confirmed("erase_unionid", script).await?;
        Ok(held == Some(user))
    }

    /// Lets the user's list expire after [`EMPTY_LIST_KEPT`], unless it has persons or the user is
    /// blocked.
    pub async fn expire_list(&self, user: &UserId) -> Result<()> {
        let script = script::CHANGE_LIST.on(&[&name::user(user), &name::gone(user)]);
        Ok(self
            .link
            .run_confirmed(
                "expire_list",
                script.arg("expire").arg(EMPTY_LIST_KEPT.as_secs()),
            )
            .await?)
    }
}
