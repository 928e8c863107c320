//! Walks over all people in Redis, page by page. [`wxmint_redis_link::scan`] says what a walk finds.

use std::collections::HashSet;

use chrono::DateTime;
use futures_util::future::try_join_all;
use wxmint_ids::{AppId, UserId};
use wxmint_redis_link::scan::Slots;
pub use wxmint_redis_link::scan::{PAGE, Page, Place};

use super::stored::{StoredBinding, stored_binding};
use super::{Redis, name, packed, session, unreadable};
use crate::{Binding, Person, Result, Sealed};

#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Bound(Binding),
    /// Bound to nobody, as they wished.
    Dissolved(Person),
    /// Being bound or freed: the next login ends it.
    HalfDone,
}

impl Redis {
    /// The people of the page, of one app or of all, who have a binding or once had one.
    pub async fn walk_people(&self, app: Option<&AppId>, from: &Place) -> Result<Option<Page<Person>>> {
        let pattern = app.map_or_else(|| "wxmint:{*".to_owned(), |app| format!("wxmint:{{{app}:*"));
        // People whose user ids are computed have the session alone.
        let person = |key: &String| owner(key, "binding").or_else(|_| owner(key, "session")).ok();
        let Some(page) = self.link.keys_like(&pattern, from, Slots::MayBeMoving).await? else { return Ok(None) };
        let people: HashSet<_> = page.found.iter().filter_map(person).collect();
        Ok(Some(page.with(people.into_iter().collect())))
    }

    /// Reads the page of bindings that begins at `from`.
    pub async fn walk(&self, from: &Place) -> Result<Option<Page<Found>>> {
        let page = self.link.keys_like("wxmint:{*}:binding", from, Slots::MayBeMoving).await?;
        let Some(page) = page else { return Ok(None) };
        let people: Vec<Person> = page.found.iter().map(|key| owner(key, "binding")).collect::<Result<_, _>>()?;
        let rows = try_join_all(people.iter().map(|person| self.link.run("walk", stored_binding(person)))).await?;
        let found = people.into_iter().zip(rows).filter_map(|(person, row)| found(person, &row).transpose());
        Ok(Some(page.with(found.collect::<Result<_, _>>()?)))
    }

    /// The blocked users of the page that begins at `from`.
    pub async fn walk_blocked(&self, from: &Place) -> Result<Option<Page<UserId>>> {
        let page = self.link.keys_like("wxmint:user:{*}", from, Slots::MayBeMoving).await?;
        let Some(page) = page else { return Ok(None) };
        let users: Vec<_> = page.found.iter().filter_map(|key| name::user_of(key)).collect();
        let states = try_join_all(users.iter().map(|user| self.user_state(user))).await?;
        let blocked = users.into_iter().zip(states).filter(|(_, state)| state.blocked).map(|(user, _)| user);
        Ok(Some(page.with(blocked.collect())))
    }

    /// How many people there are on the first page of all: with computed user ids, and bound.
    pub async fn some_people(&self) -> Result<(usize, usize)> {
        let Some(page) = self.walk_people(None, &Place::default()).await? else { return Ok((0, 0)) };
        let of =
            async |person| self.link.run("walk", stored_binding(person).cmd("GET").arg(name::session(person))).await;
        let rows: Vec<(StoredBinding, Option<Vec<u8>>)> = try_join_all(page.found.iter().map(of)).await?;
        let (bound, others): (Vec<_>, Vec<_>) = rows.iter().partition(|(stored, _)| stored.field(b'u').is_some());
        let computed = others.iter().filter(|(_, session)| session.as_deref().and_then(session::owner).is_some());
        Ok((computed.count(), bound.len()))
    }

    /// Some sealed session keys, and whose they are. Needs the right to `SCAN`.
    pub async fn some_session_keys(&self) -> Result<Vec<(Person, Sealed)>> {
        const ENOUGH: usize = 3;
        let page = self.link.keys_like("wxmint:{*}:session", &Place::default(), Slots::MayBeMoving).await?;
        let mut found = Vec::new();
        for key in page.iter().flat_map(|page| &page.found).take(ENOUGH) {
            let person = owner(key, "session")?;
            let keys = self.session_keys(&person).await?;
            found.extend(keys.into_iter().next().map(|current| (person, current)));
        }
        Ok(found)
    }
}

/// Reads the person from the key's name.
pub(super) fn owner(key: &str, what: &str) -> Result<Person> {
    let rest = key.strip_prefix("wxmint:{").and_then(|rest| rest.strip_suffix(what));
    let entry = rest.and_then(|rest| rest.strip_suffix("}:"));
    Ok(packed::read_person(entry.ok_or_else(|| unreadable("the name of a key"))?.as_bytes())?)
}

/// `None` for a person of whom nothing is left, or nothing but a number.
pub(super) fn found(person: Person, stored: &StoredBinding) -> Result<Option<Found>> {
    let Some(user) = stored.field(b'u') else {
        let half_done = stored.field(b'i').or(stored.field(b'q')).map(|_| Found::HalfDone);
        return Ok(half_done.or(stored.field(b'v').map(|_| Found::Dissolved(person))));
    };
    let bound_at = stored.number(b'b').and_then(|second| DateTime::from_timestamp(second, 0));
    Ok(Some(Found::Bound(Binding {
        person,
        user: packed::read_user(user)?,
        unionid: stored.field(b'n').map(packed::read_unionid).transpose()?,
        others: stored.field(b'o').map(packed::read_unionids).transpose()?.unwrap_or_default(),
        conflict: stored.field(b'c').map(packed::read_user).transpose()?,
        bound_at: bound_at.ok_or_else(|| unreadable("a binding's time"))?,
    })))
}
