//! The erasure of what is stored of a user's people, in memory. The scripts in `redis/lua` must behave the same.

use async_trait::async_trait;
use wxmint_ids::{UnionId, UserId};

use super::{LOGINS, Memory};
use crate::{ErasedPerson, Erasure, LimitKey, Person, Result, Scope};

#[async_trait(?Send)]
impl Erasure for Memory {
    async fn ever_of(&self, user: &UserId) -> Result<Vec<Person>> {
        Ok(self.shelves().users.get(user).map(|list| list.decided.keys().cloned().collect()).unwrap_or_default())
    }

    async fn left_by(&self, person: &Person) -> Result<Vec<(UserId, Vec<UnionId>)>> {
        let shelves = self.shelves();
        let left = shelves.bindings.get(person).into_iter().flat_map(|binding| &binding.left);
        Ok(left.map(|(user, unionids)| (user.clone(), unionids.iter().cloned().collect())).collect())
    }

    async fn strike_off(&self, user: &UserId, person: &Person) -> Result<()> {
        if let Some(list) = self.shelves().users.get_mut(user) {
            list.strike_off(person);
        }
        Ok(())
    }

    async fn erase_person(&self, person: &Person, struck: &[&UserId], limits: &[&str]) -> Result<Option<ErasedPerson>> {
        let shelves = &mut *self.shelves();
        let binding = shelves.bindings.entry(person.clone()).or_default();
        binding.left.retain(|user, _| !struck.contains(&user));
        let Some(bindings) = binding.erase() else { return Ok(None) };
        let is_erased = |key: &LimitKey| {
            key.scope == Scope::Person(person.clone()) && (key.kind == LOGINS || limits.contains(&key.kind))
        };
        let before = shelves.cells.len();
        shelves.cells.retain(|key, _| !is_erased(key));
        let cells = (before - shelves.cells.len()) as u64;
        Ok(Some(ErasedPerson {
            bindings: bindings.into(),
            session_keys: shelves.sessions.remove(person).is_some().into(),
            counters: cells + u64::from(shelves.tries.remove(person).is_some()),
        }))
    }

    async fn unionids_of(&self, user: &UserId) -> Result<Vec<UnionId>> {
        let shelves = self.shelves();
        let of_user = shelves.unionids.iter().filter(|(_, link)| link.user == *user);
        Ok(of_user.map(|(unionid, _)| unionid.clone()).collect())
    }

    async fn erase_unionid(&self, unionid: &UnionId, user: &UserId) -> Result<bool> {
        let mut shelves = self.shelves();
        shelves.shared.get_mut(unionid).into_iter().for_each(|users| _ = users.remove(user));
        let linked = shelves.unionids.get(unionid).is_some_and(|link| link.user == *user);
        if linked {
            shelves.unionids.remove(unionid);
        }
        Ok(linked)
    }

    /// The demo does not live as long.
    async fn expire_list(&self, _user: &UserId) -> Result<()> {
        Ok(())
    }
}
