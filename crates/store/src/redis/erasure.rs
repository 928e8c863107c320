//! The erasure of what is stored of a user's people, in Redis.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use wxmint_ids::{UnionId, UserId};

use super::{
    super::{EMPTY_LIST_KEPT, ErasedPerson, Erasure, NUMBERS_KEPT, Person, PersonalCall, Result, StoreError},
    Call, Redis, Script,
    binding::NO_PEOPLE,
    name, replace, script,
    stored_binding::{parse_user, person_of},
    unreadable,
    walk::{Place, Slots, Step, parse_unionids},
};

static ERASE_PERSON: LazyLock<Script> = script!("erase_person");
static STRIKE_OFF: LazyLock<Script> = script!("strike_off");
static EXPIRE_LIST: LazyLock<Script> = script!("expire_list");

#[async_trait(?Send)]
impl Erasure for Redis {
    async fn ever_of(&self, user: &UserId) -> Result<Vec<Person>> {
        let mut asked = Call::of("HGETALL", name::user(user));
        asked.cmd("HGETALL").text(name::gone(user));
        type Entries = HashMap<String, String>;
        let (list, gone): (Entries, Entries) = self.link.run("ever_of", asked).await?;
        let people = list.keys().chain(gone.keys()).filter(|name| !NO_PEOPLE.contains(&name.as_str()));
        people.map(|name| person_of(name)).collect()
    }

    async fn left_by(&self, person: &Person) -> Result<Vec<(UserId, Vec<UnionId>)>> {
        let left: HashMap<String, String> = self.link.run("left_by", Call::of("HGETALL", name::left(person))).await?;
        left.iter().map(|(user, unionids)| Ok((parse_user(user)?, parse_unionids(unionids)?))).collect()
    }

    async fn strike_off(&self, user: &UserId, person: &Person) -> Result<()> {
        let mut script = STRIKE_OFF.on(&[&name::user(user), &name::gone(user), &name::struck(user, person)]);
        script.arg(NUMBERS_KEPT.as_secs()).text(name::entry(person));
        Ok(self.link.run_confirmed("strike_off", script).await?)
    }

    async fn erase_person(&self, person: &Person, struck: &[&UserId]) -> Result<Option<ErasedPerson>> {
        let mut script = ERASE_PERSON.on(&[
            &name::binding(person),
            &name::left(person),
            &name::session(person),
            &name::tries(person),
            &name::logins(person),
            &name::attempts(person),
            &name::calls(person, PersonalCall::Phone),
            &name::calls(person, PersonalCall::Check),
            &name::calls(person, PersonalCall::Reset),
            &name::calls(person, PersonalCall::EncryptKeys),
            &name::calls(person, PersonalCall::Logout),
            &name::calls(person, PersonalCall::Unbinding),
        ]);
        script.arg(NUMBERS_KEPT.as_secs());
        for user in struck {
            script.arg(user.as_str());
        }
        let erased: Vec<u64> = self.link.run_confirmed("erase_person", script).await?;
        match erased[..] {
            [bindings, session_keys, counters] => Ok(Some(ErasedPerson { bindings, session_keys, counters })),
            _ => Ok(None),
        }
    }

    async fn unionids_of(&self, user: &UserId) -> Result<Vec<UnionId>> {
        let (mut found, mut place) = (HashSet::new(), Some(Place::default()));
        while let Some(from) = place {
            // A key may have moved from a primary that was still to be read to one that had been.
            let Step::Page(page) = self.link.keys_like("walk", "wxmint:union:{*}", &from, Slots::AtRest).await? else {
                let reason = "its servers or slots changed while all keys were read, so some may have been missed: run the \
                              same command again when the Cluster is at rest";
                return Err(StoreError { reason: reason.into() });
            };
            let asked = page.found.iter().map(|key| self.link.run("unionids_of", Call::of("GET", key)));
            let users: Vec<Option<String>> = try_join_all(asked).await?;
            let linked = page.found.into_iter().zip(users);
            found.extend(linked.filter(|(_, linked)| linked.as_deref() == Some(user.as_str())).map(|(key, _)| key));
            place = page.next;
        }
        let unionid = |key: &String| key.strip_prefix("wxmint:union:{")?.strip_suffix('}')?.parse().ok();
        found.iter().map(|key| unionid(key).ok_or_else(|| unreadable("a unionid's key"))).collect()
    }

    async fn erase_unionid(&self, unionid: &UnionId, user: &UserId) -> Result<bool> {
        let script = replace(&name::union(unionid), user.as_str(), "");
        let held: Option<String> = self.link.run_confirmed("erase_unionid", script).await?;
        Ok(held.as_deref() == Some(user.as_str()))
    }

    async fn expire_list(&self, user: &UserId) -> Result<()> {
        let mut script = EXPIRE_LIST.on(&[&name::user(user), &name::gone(user)]);
        script.arg(EMPTY_LIST_KEPT.as_secs());
        Ok(self.link.run("expire_list", script).await?)
    }
}
