//! A walk over all people in Redis, page by page, to move bindings. Not part of the trait `Store`, because it makes no
//! sense for the store in memory.
//!
//! SCAN finds each key that is there from the walk's beginning to its end, some of them twice. What is made or dissolved
//! meanwhile is found or not. The primaries of a Cluster are walked one after the other. A key could move from one that is
//! still to be walked to one that has been, so the walk ends when slots have moved. While a slot is on its way, keys can be
//! missed, unless the walk asks for `Slots::AtRest`.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use redis::{Value, from_redis_value};

use super::{
    super::{Binding, Person, Result, StoreError},
    Redis,
    binding::{parse_user, person_of, stored_binding},
    cluster,
    fitness::member,
    stored_binding::StoredBinding,
    unreadable,
};
use crate::ids::UnionId;

/// Keys that one page looks at: a millisecond or two of Redis' time, in which it serves nobody else.
const PAGE: usize = 1000;

/// In metrics.
const STEP: &str = "walk";

/// A place between two pages; the default is the beginning. Holds for one process of Redis: another, or the same one
/// started again, keeps its keys in another order. On a Cluster it holds as long as each primary has the same slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    cursor: u64,
    /// The number of the primary, in the order of their addresses.
    primary: usize,
    /// Which process it is; empty at the beginning of each primary.
    server: String,
    /// The fingerprint of all primaries and their slots.
    layout: u64,
}

#[derive(Debug)]
pub enum Step<T> {
    Page(Page<T>),
    /// The place is one in another Redis. Only the beginning is everywhere. Or slots are moving and should not.
    Elsewhere,
}

/// Whether keys may be missed because their slot is on its way to another primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slots {
    MayBeMoving,
    AtRest,
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
        let keys = self.keys_like("wxmint:{*}:binding", from, Slots::MayBeMoving).await?;
        let Step::Page(Page { found: names, keys, of, next }) = keys else { return Ok(Step::Elsewhere) };
        let people: Vec<Person> = names.iter().map(|key| owner(key)).collect::<Result<_, _>>()?;
        let rows = try_join_all(people.iter().map(|person| self.link.run(STEP, stored_binding(person)))).await?;
        let found = people.into_iter().zip(rows).filter_map(|(person, row)| found(person, &row).transpose());
        Ok(Step::Page(Page { found: found.collect::<Result<_, _>>()?, keys, of, next }))
    }

    /// Reads the page of names of keys like `pattern` that begins at `from`.
    pub(super) async fn keys_like(&self, pattern: &str, from: &Place, slots: Slots) -> Result<Step<String>> {
        let primaries = self.link.all_primaries().await?;
        let Some((_, server)) = primaries.get(from.primary) else { return Ok(Step::Elsewhere) };
        let mut asked = redis::pipe();
        asked.cmd("INFO").arg("server").cmd("DBSIZE");
        asked.cmd("SCAN").arg(from.cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
        let is_cluster = self.link.primaries().is_cluster();
        if is_cluster {
            asked.cmd("CLUSTER").arg("SLOTS");
        }
        let asks_nodes = is_cluster && slots == Slots::AtRest;
        if asks_nodes {
            asked.cmd("CLUSTER").arg("NODES");
        }
        let mut answers: Vec<Value> = self.link.query_at(STEP, server, &asked).await?;
        if asks_nodes && slots_are_moving(answers.pop()) {
            return Ok(Step::Elsewhere);
        }
        let layout = match is_cluster {
            true => {
                let primaries = cluster::parse(answers.pop().unwrap_or(Value::Nil), &server.address);
                cluster::fingerprint(&primaries.map_err(|reason| StoreError { reason })?)
            }
            false => 0,
        };
        let scanned = from_redis_value(Value::Array(answers)).map_err(|_| unreadable("a page of keys"))?;
        let (info, of, (cursor, found)): (String, u64, (u64, Vec<String>)) = scanned;
        // Changes with each start.
        let process = member(&info, "run_id").unwrap_or_default();
        if *from != Place::default() && (from.layout != layout || !["", process].contains(&from.server.as_str())) {
            return Ok(Step::Elsewhere);
        }
        let next = match (cursor, from.primary + 1) {
            (0, next) if next == primaries.len() => None,
            (0, primary) => Some(Place { primary, layout, ..Place::default() }),
            (cursor, _) => Some(Place { cursor, layout, server: process.to_owned(), ..*from }),
        };
        Ok(Step::Page(Page { found, keys: PAGE as u64, of: of * primaries.len() as u64, next }))
    }
}

/// By `CLUSTER NODES`: behind the slots of the server itself stand those that it receives and gives away.
fn slots_are_moving(answer: Option<Value>) -> bool {
    let nodes: String = answer.and_then(|answer| from_redis_value(answer).ok()).unwrap_or_default();
    nodes.lines().any(|line| line.contains("myself") && line.contains(" ["))
}

fn owner(key: &str) -> Result<Person> {
    let entry = key.strip_prefix("wxmint:{").and_then(|rest| rest.strip_suffix("}:binding"));
    person_of(entry.ok_or_else(|| unreadable("a binding's key"))?)
}

/// `None` for a person of whom nothing is left, or nothing but a number.
pub(super) fn found(person: Person, stored: &StoredBinding) -> Result<Option<Found>> {
    let Some(user) = stored.field("user_id") else {
        let half_done = stored.field("intent_user").or(stored.field("leaving_user")).map(|_| Found::HalfDone);
        return Ok(half_done.or(stored.field("dissolved").map(|_| Found::Dissolved(person))));
    };
    let unionid = stored.field("unionid").map(|text| text.parse().map_err(|_| unreadable("a unionid")));
    Ok(Some(Found::Bound(Binding {
        person,
        user: parse_user(user)?,
        unionid: unionid.transpose()?,
        others: stored.field("unionid_others").map(parse_unionids).transpose()?.unwrap_or_default(),
        conflict: stored.field("unionid_conflict").map(parse_user).transpose()?,
        bound_at: stored.field("bound_at").and_then(instant).ok_or_else(|| unreadable("a binding's time"))?,
    })))
}

fn instant(millis: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis.parse().ok()?)
}

/// With blanks between them.
pub(super) fn parse_unionids(text: &str) -> Result<Vec<UnionId>> {
    text.split_whitespace().map(|unionid| unionid.parse().map_err(|_| unreadable("a unionid"))).collect()
}
