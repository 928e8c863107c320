//! The erasure of what is stored of a user's people, in Redis.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::{
    super::{EMPTY_LIST_KEPT, ErasedPerson, Erasure, NUMBERS_KEPT, Person, PersonalCall, Result, StoreError},
    Call, Redis, Script,
    binding::{NO_PEOPLE, person_of},
    name, replace, script, unreadable,
    walk::{Place, Slots, Step},
};
use crate::ids::{UnionId, UserId};

static ERASE_PERSON: LazyLock<Script> = script!("erase_person");
static EMPTY_LIST: LazyLock<Script> = script!("empty_list");

#[async_trait(?Send)]
impl Erasure for Redis {
    async fn ever_of(&self, user: &UserId) -> Result<Vec<Person>> {
        let key = name::user(user).to_string();
        let mut asked = Call::at(&key);
        asked.cmd("HGETALL").arg(&key).cmd("HGETALL").text(name::gone(user));
        type Entries = HashMap<String, String>;
        let (list, gone): (Entries, Entries) = self.link.run("ever_of", asked).await?;
        let people = list.keys().chain(gone.keys()).filter(|name| !NO_PEOPLE.contains(&name.as_str()));
        people.map(|name| person_of(name)).collect()
    }

    async fn erase_person(&self, person: &Person) -> Result<Option<ErasedPerson>> {
        let mut script = ERASE_PERSON.on(&[
            &name::binding(person),
            &name::session(person),
            &name::tries(person),
            &name::logins(person),
            &name::calls(person, PersonalCall::Phone),
            &name::calls(person, PersonalCall::Check),
            &name::calls(person, PersonalCall::Reset),
            &name::calls(person, PersonalCall::Logout),
            &name::calls(person, PersonalCall::Unbinding),
        ]);
        script.arg(NUMBERS_KEPT.as_secs());
        let erased: Vec<u64> = self.link.run_confirmed("erase_person", script).await?;
        match erased[..] {
            [bindings, session_keys, counters] => Ok(Some(ErasedPerson { bindings, session_keys, counters })),
            _ => Ok(None),
        }
    }

    async fn erase_attempts(&self, people: &[Person]) -> Result<u64> {
        const PATTERN: &str = "wxmint:{*}:limit:eighths:name:*";
        let of_people: HashSet<_> = people.iter().map(|person| name::attempts(person).to_string()).collect();
        let mut erased = 0;
        self.scan(PATTERN, async |keys| {
            for key in keys {
                let own = key.rsplit_once(':').is_some_and(|(prefix, _)| of_people.contains(prefix));
                if own {
                    let mut erasing = Call::at(&key);
                    erasing.cmd("DEL").arg(&key);
                    erased += self.link.run::<u64>("erase_attempts", erasing).await?;
                }
            }
            Ok(())
        })
        .await?;
        Ok(erased)
    }

    async fn unionids_of(&self, user: &UserId) -> Result<Vec<UnionId>> {
        let mut found = HashMap::new();
        self.scan("wxmint:union:{*}", async |keys| {
            let asked = keys.iter().map(|key| {
                let mut asked = Call::at(key);
                asked.cmd("GET").arg(key);
                self.link.run("unionids_of", asked)
            });
            let users: Vec<Option<String>> = try_join_all(asked).await?;
            found.extend(keys.into_iter().zip(users).filter(|(_, linked)| linked.as_deref() == Some(user.as_str())));
            Ok(())
        })
        .await?;
        let unionid = |key: &String| key.strip_prefix("wxmint:union:{")?.strip_suffix('}')?.parse().ok();
        found.keys().map(|key| unionid(key).ok_or_else(|| unreadable("a unionid's key"))).collect()
    }

    async fn erase_unionid(&self, unionid: &UnionId, user: &UserId) -> Result<bool> {
        let script = replace(&name::union(unionid), user.as_str(), "");
        let held: Option<String> = self.link.run_confirmed("erase_unionid", script).await?;
        Ok(held.as_deref() == Some(user.as_str()))
    }

    async fn erase_list(&self, user: &UserId) -> Result<bool> {
        let mut script = EMPTY_LIST.on(&[&name::user(user), &name::gone(user)]);
        script.arg("erase").arg(NUMBERS_KEPT.as_secs());
        let empty: u8 = self.link.run_confirmed("erase_list", script).await?;
        Ok(empty == 1)
    }

    async fn expire_list(&self, user: &UserId) -> Result<()> {
        let mut script = EMPTY_LIST.on(&[&name::user(user), &name::gone(user)]);
        script.arg("expire").arg(EMPTY_LIST_KEPT.as_secs());
        self.link.run("expire_list", script).await
    }
}

impl Redis {
    /// Takes all keys like `pattern` of each primary, page by page; some keys come twice. Fails if a key may have been missed,
    /// because it moved from a primary that was still to be read to one that had been.
    async fn scan(&self, pattern: &str, mut take: impl AsyncFnMut(Vec<String>) -> Result<()>) -> Result<()> {
        let mut place = Some(Place::default());
        while let Some(from) = place {
            let Step::Page(page) = self.keys_like(pattern, &from, Slots::AtRest).await? else {
                let reason = "its servers or slots changed while all keys were read, so some may have been missed: run the \
                              same command again when the Cluster is at rest";
                return Err(StoreError { reason: reason.into() });
            };
            take(page.found).await?;
            place = page.next;
        }
        Ok(())
    }
}
