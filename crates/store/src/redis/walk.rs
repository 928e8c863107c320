//! Walks over all persons in Redis, page by page. [`wxmint_redis_link::scan`] documents which keys
//! a walk finds.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use wxmint_ids::{AppId, UserId};
use wxmint_redis_link::scan::Slots;
pub use wxmint_redis_link::scan::{PAGE, Page, Place};

use super::{Store, name, packed};
use crate::{BindingState, Bound, Generation, Person, Result, Sealed, StoreError};

impl Store {
    /// The persons on the page that begins at `from`, of one app or of all apps, who have or had a
    /// binding, or have a session.
    pub async fn walk_people(&self, app: Option<&AppId>, from: &Place) -> Result<Page<Person>> {
        let pattern = app.map_or_else(|| "wxmint:{*".to_owned(), |app| format!("wxmint:{{{app}:*"));
        // A person with a computed user id has a session but no binding.
        let person = |key: &String| {
            owner(key, "binding")
                .or_else(|_| owner(key, "session"))
                .ok()
        };
        let page = self
            .link
            .keys_like(&pattern, from, Slots::MayBeMoving)
            .await?;
        let people: HashSet<_> = page.found.iter().filter_map(person).collect();
        Ok(page.with(people.into_iter().collect()))
    }

    /// Reads the page of persons and their bindings that begins at `from`. A person may have no
    /// binding any more.
    pub async fn walk(&self, from: &Place) -> Result<Page<(Person, BindingState)>> {
        let page = self
            .link
            .keys_like("wxmint:{*}:binding", from, Slots::MayBeMoving)
            .await?;
        let people: Vec<Person> = page
            .found
            .iter()
            .map(|key| owner(key, "binding"))
            .collect::<Result<_, _>>()?;
        let states = try_join_all(people.iter().map(|person| self.stored_state(person))).await?;
        Ok(page.with(people.into_iter().zip(states).collect()))
    }

    /// The blocked users on the page that begins at `from`.
    pub async fn walk_blocked(&self, from: &Place) -> Result<Page<UserId>> {
        let page = self
            .link
            .keys_like("wxmint:user:{*}", from, Slots::MayBeMoving)
            .await?;
        let users: Vec<_> = page
            .found
            .iter()
            .filter_map(|key| name::user_of(key))
            .collect();
        let states = try_join_all(users.iter().map(|user| self.user_state(user))).await?;
        let blocked = users
            .into_iter()
            .zip(states)
            .filter(|(_, state)| state.blocked)
            .map(|(user, _)| user);
        Ok(page.with(blocked.collect()))
    }

    /// The number of persons on the first page: with computed user ids, and with bindings.
    pub async fn some_people(&self) -> Result<(usize, usize)> {
        let page = self.walk_people(None, &Place::default()).await?;
        let bindings = try_join_all(page.found.iter().map(|person| self.binding(person))).await?;
        let is_computed = |bound: &Bound| bound.generation == Generation::Computed;
        let (computed, bound): (Vec<_>, Vec<_>) =
            bindings.into_iter().flatten().partition(is_computed);
        Ok((computed.len(), bound.len()))
    }

    /// Up to three sealed session keys and their persons. Needs the right to `SCAN`.
    pub async fn some_session_keys(&self) -> Result<Vec<(Person, Sealed)>> {
        const ENOUGH: usize = 3;
        let page = self
            .link
            .keys_like("wxmint:{*}:session", &Place::default(), Slots::MayBeMoving)
            .await?;
        let people = page
            .found
            .iter()
            .take(ENOUGH)
            .map(|key| owner(key, "session"))
            .collect::<Result<Vec<_>>>()?;
        let keys = try_join_all(people.iter().map(|person| self.session_keys(person))).await?;
        Ok(people
            .into_iter()
            .zip(keys)
            .filter_map(|(person, keys)| Some((person, keys.into_iter().next()?)))
            .collect())
    }
}

/// Reads the person from the name of a key.
pub(super) fn owner(key: &str, what: &str) -> Result<Person> {
    let entry = key
        .strip_prefix("wxmint:{")
        .and_then(|rest| rest.strip_suffix(what)?.strip_suffix("}:"));
    Ok(packed::read_person(
        entry
            .ok_or(StoreError::Damaged("the name of a key"))?
            .as_bytes(),
    )?)
}
