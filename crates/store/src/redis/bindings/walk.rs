//! Walks over the persons in Redis, page by page. [`wxmint_redis_link::scan`] documents which keys
//! a walk finds.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use wxmint_ids::{AppId, Person};
use wxmint_redis_link::scan::{Page, Place, Slots};

use super::Bindings;
use crate::redis::name;
use crate::{BindingState, Bound, Generation, Result};

impl Bindings {
    /// The persons on the page that begins at `from`, of one app or of all apps, who have or had a
    /// binding, or have a session.
    pub async fn walk_people(&self, app: Option<&AppId>, from: &Place) -> Result<Page<Person>> {
        let pattern = app.map_or_else(|| "wxmint:{*".to_owned(), |app| format!("wxmint:{{{app}:*"));
        // A person with a computed user id has a session but no binding.
        let person = |key: &String| {
            name::person_of(key, "binding")
                .or_else(|_| name::person_of(key, "session"))
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
            .map(|key| name::person_of(key, "binding"))
            .collect::<Result<_, _>>()?;
        let states = try_join_all(people.iter().map(|person| self.stored_state(person))).await?;
        Ok(page.with(people.into_iter().zip(states).collect()))
    }

    /// The number of persons on the first page: with computed user ids, and with bindings.
    pub async fn some_people(&self) -> Result<(usize, usize)> {
        let page = self.walk_people(None, &Place::default()).await?;
        let bindings = try_join_all(page.found.iter().map(|person| self.find(person))).await?;
        let is_computed = |bound: &Bound| bound.generation == Generation::Computed;
        let (computed, bound): (Vec<_>, Vec<_>) =
            bindings.into_iter().flatten().partition(is_computed);
        Ok((computed.len(), bound.len()))
    }
}
