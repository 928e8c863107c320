//! The erasure of what is stored of a user's people, in Redis.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::LazyLock,
};

use async_trait::async_trait;

use super::{
    super::{EMPTY_LIST_KEPT, ErasedPerson, Erasure, NUMBERS_KEPT, Person, PersonalCall, Result, StoreError},
    Redis, Script,
    binding::{NO_PEOPLE, person_of},
    name,
    node::Node,
    script, unreadable,
    walk::{Place, Slots, Step},
};
use crate::ids::{UnionId, UserId};

static ERASE_PERSON: LazyLock<Script> = script!("erase_person");
static ERASE_UNIONID: LazyLock<Script> = script!("erase_unionid");
static ERASE_LIST: LazyLock<Script> = script!("erase_list");
static EXPIRE_LIST: LazyLock<Script> = script!("expire_list");

#[async_trait(?Send)]
impl Erasure for Redis {
    async fn ever_of(&self, user: &UserId) -> Result<Vec<Person>> {
        let mut asked = redis::pipe();
        let key = name::user(user).to_string();
        asked.hgetall(&key).hgetall(name::gone(user).to_string());
        type Entries = HashMap<String, String>;
        let (list, gone): (Entries, Entries) = self.link.query("ever_of", &key, &asked).await?;
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
        let erased: Vec<u64> = self.link.run_confirmed("erase_person", &script).await?;
        match erased[..] {
            [bindings, session_keys, counters] => Ok(Some(ErasedPerson { bindings, session_keys, counters })),
            _ => Ok(None),
        }
    }

    async fn erase_attempts(&self, people: &[Person]) -> Result<u64> {
        const PATTERN: &str = "wxmint:{*}:limit:name:*";
        let of_people: HashSet<_> = people.iter().map(|person| name::attempts(person).to_string()).collect();
        let mut erased = 0;
        self.scan(PATTERN, async |_, keys| {
            for key in keys {
                let own = key.rsplit_once(':').is_some_and(|(prefix, _)| of_people.contains(prefix));
                if own {
                    let mut erasing = redis::pipe();
                    erasing.del(&key);
                    let (count,): (u64,) = self.link.query("erase_attempts", &key, &erasing).await?;
                    erased += count;
                }
            }
            Ok(())
        })
        .await?;
        Ok(erased)
    }

    async fn unionids_of(&self, user: &UserId) -> Result<Vec<UnionId>> {
        let mut found = HashMap::new();
        self.scan("wxmint:union:{*}", async |node, keys| {
            let asked = keys.iter().map(|key| (key.as_str(), redis::Cmd::get(key))).collect();
            let users: Vec<Option<String>> = self.link.query_each("unionids_of", node, asked).await?;
            found.extend(keys.into_iter().zip(users).filter(|(_, linked)| linked.as_deref() == Some(user.as_str())));
            Ok(())
        })
        .await?;
        let unionid = |key: &String| key.strip_prefix("wxmint:union:{")?.strip_suffix('}')?.parse().ok();
        found.keys().map(|key| unionid(key).ok_or_else(|| unreadable("a unionid's key"))).collect()
    }

    async fn erase_unionid(&self, unionid: &UnionId, user: &UserId) -> Result<bool> {
        let mut script = ERASE_UNIONID.on(&[&name::union(unionid)]);
        script.arg(user.as_str());
        let erased: u8 = self.link.run_confirmed("erase_unionid", &script).await?;
        Ok(erased == 1)
    }

    async fn erase_list(&self, user: &UserId) -> Result<bool> {
        let mut script = ERASE_LIST.on(&[&name::user(user), &name::gone(user)]);
        script.arg(NUMBERS_KEPT.as_secs());
        let empty: u8 = self.link.run_confirmed("erase_list", &script).await?;
        Ok(empty == 1)
    }

    async fn expire_list(&self, user: &UserId) -> Result<()> {
        let mut script = EXPIRE_LIST.on(&[&name::user(user), &name::gone(user)]);
        script.arg(EMPTY_LIST_KEPT.as_secs());
        self.link.run("expire_list", &script).await
    }
}

impl Redis {
    /// Takes all keys like `pattern` of each primary, page by page; some keys come twice. Fails if a key may have been missed,
    /// because it moved from a primary that was still to be read to one that had been.
    async fn scan(&self, pattern: &str, mut take: impl AsyncFnMut(&Rc<Node>, Vec<String>) -> Result<()>) -> Result<()> {
        let mut place = Some(Place::default());
        while let Some(from) = place {
            let read = async |node: &Rc<Node>, keys| take(node, keys).await.map(|()| Vec::<()>::new());
            let Step::Page(page) = self.step(&from, pattern, Slots::AtRest, read).await? else {
                let reason = "its servers or slots changed while all keys were read, so some may have been missed: run the \
                              same command again when the Cluster is at rest";
                return Err(StoreError { reason: reason.into() });
            };
            place = page.next;
        }
        Ok(())
    }
}
