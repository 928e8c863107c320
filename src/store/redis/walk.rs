//! A walk over all people in Redis, page by page: to move bindings, and to find which vault keys are in use. Not part of the
//! trait `Store`, because it makes no sense for the store in memory.
//!
//! SCAN finds each key that is there from the walk's beginning to its end, some of them twice. What is made or dissolved
//! meanwhile is found or not. SCAN knows the keys of one node: in a Cluster each would be walked by itself.

mod sealed;

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use redis::Script;

pub use self::sealed::{SealedAt, SealedUnder, What};
use super::{
    super::{AttemptId, Binding, Person, Result},
    Redis,
    binding::{parse_user, person_of},
    link::Link,
    name, script, unreadable,
};

/// Keys that one page looks at: a millisecond or two of Redis' time, in which it serves nobody else.
const PAGE: usize = 1000;

/// In metrics.
const STEP: &str = "walk";

static NOTE_DISSOLVED: LazyLock<Script> = script!("binding_state", "note_dissolved");

/// A place between two pages; the default is the beginning. Holds for one process of Redis: another, or the same one
/// started again, keeps its keys in another order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    cursor: u64,
    server: String,
}

#[derive(Debug)]
pub enum Step<T> {
    Page(Page<T>),
    /// The place is one in another Redis. Only the beginning is everywhere.
    Elsewhere,
}

/// Some of what is looked for.
#[derive(Debug)]
pub struct Page<T> {
    /// In no order.
    pub found: Vec<T>,
    /// How many keys the page looked at, about.
    pub keys: u64,
    /// How many keys Redis has, of all kinds.
    pub of: u64,
    /// Where the next page begins, if this is not the last.
    pub next: Option<Place>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Bound(Binding),
    /// Bound to nobody, as they wished.
    Dissolved(Person),
    /// Being bound or freed: the next login ends it.
    HalfDone,
}

impl Redis {
    /// Reads the page of bindings that begins at `from`.
    pub async fn walk(&self, from: &Place) -> Result<Step<Found>> {
        self.step(from, "wxmint:{*}:binding", async |keys| {
            let people: Vec<Person> = keys.iter().map(|key| owner(key)).collect::<Result<_, _>>()?;
            let rows = read(&self.link, STEP, &people).await?;
            let found = people.into_iter().zip(rows).filter_map(|(person, row)| row.found(person).transpose());
            found.collect()
        })
        .await
    }

    /// Reads the page of keys like `pattern` that begins at `from`, and of each what is looked for.
    async fn step<T>(
        &self,
        from: &Place,
        pattern: &str,
        read: impl AsyncFnOnce(Vec<String>) -> Result<Vec<T>>,
    ) -> Result<Step<T>> {
        let mut asked = redis::pipe();
        asked.cmd("INFO").arg("server").cmd("DBSIZE");
        asked.cmd("SCAN").arg(from.cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
        let (info, of, (cursor, keys)): (String, u64, (u64, Vec<String>)) = self.link.query(STEP, &asked).await?;
        let server = run_id(&info);
        if *from != Place::default() && from.server != server {
            return Ok(Step::Elsewhere);
        }
        let found = read(keys).await?;
        let next = (cursor != 0).then(|| Place { cursor, server: server.to_owned() });
        Ok(Step::Page(Page { found, keys: PAGE as u64, of, next }))
    }

    /// Notes that a free person has dissolved their last binding, in another Redis. Whether that is news.
    pub async fn note_dissolved(&self, person: &Person, attempt: &AttemptId) -> Result<bool> {
        let mut script = NOTE_DISSOLVED.key(name::binding(person));
        script.arg(attempt.as_str());
        self.link.run("note_dissolved", &script).await
    }
}

/// See [`super::super::Store::binding`].
pub(super) async fn binding_of(link: &Link, person: &Person) -> Result<Option<Binding>> {
    let row = read(link, "binding", std::slice::from_ref(person)).await?.pop();
    match row.map(|row| row.found(person.clone())).transpose()?.flatten() {
        Some(Found::Bound(binding)) => Ok(Some(binding)),
        _ => Ok(None),
    }
}

/// Changes with each start, and names the process that answers.
fn run_id(info: &str) -> &str {
    info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().trim()
}

fn owner(key: &str) -> Result<Person> {
    let entry = key.strip_prefix("wxmint:{").and_then(|rest| rest.strip_suffix("}:binding"));
    person_of(entry.ok_or_else(|| unreadable("a binding's key"))?)
}

/// What is kept of a person, field by field.
struct Row([Option<String>; FIELDS.len()]);

const FIELDS: [&str; 7] =
    ["user_id", "unionid", "unionid_conflict", "bound_at", "intent_user", "leaving_user", "dissolved"];

async fn read(link: &Link, step: &'static str, people: &[Person]) -> Result<Vec<Row>> {
    if people.is_empty() {
        return Ok(Vec::new());
    }
    let mut asked = redis::pipe();
    for person in people {
        asked.cmd("HMGET").arg(name::binding(person)).arg(&FIELDS);
    }
    let rows: Vec<Vec<Option<String>>> = link.query(step, &asked).await?;
    rows.into_iter().map(|row| row.try_into().map(Row).map_err(|_| unreadable("a binding"))).collect()
}

impl Row {
    /// `None` for one of whom nothing is left, or nothing but a number.
    fn found(self, person: Person) -> Result<Option<Found>> {
        let [user, unionid, conflict, bound_at, intended, leaving, dissolved] = self.0;
        let Some(user) = user else {
            let half_done = intended.or(leaving).map(|_| Found::HalfDone);
            return Ok(half_done.or(dissolved.map(|_| Found::Dissolved(person))));
        };
        Ok(Some(Found::Bound(Binding {
            person,
            user: parse_user(&user)?,
            unionid: unionid.map(|text| text.parse().map_err(|_| unreadable("a unionid"))).transpose()?,
            conflict: conflict.map(|user| parse_user(&user)).transpose()?,
            bound_at: bound_at.as_deref().and_then(instant).ok_or_else(|| unreadable("a binding's time"))?,
        })))
    }
}

fn instant(millis: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis.parse().ok()?)
}
