//! A walk over all keys of a kind, page by page.
//!
//! SCAN finds each key that is there from the walk's beginning to its end, some of them twice. What is made or deleted
//! meanwhile is found or not. The primaries of a Cluster are walked one after the other. A key could move from one that
//! is still to be walked to one that has been, so a page says when slots have moved. While a slot is on its way, keys
//! can be missed, and a page says so if it is asked for [`Slots::AtRest`].

use std::ops::RangeInclusive;

use redis::{Value, from_redis_value};

use super::failure::{Reason, Result};
use super::{cluster, info::member, link::RedisClient, url::Address};

/// Keys that one page looks at, about: a millisecond or two of Redis' time, in which it serves nobody else.
pub const PAGE: u64 = 1000;

/// A place between two pages; the default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    cursor: u64,
    /// The number of the primary, in the order of their addresses.
    primary: usize,
    /// The process that it is; empty at the beginning of each primary. Another one, or the same one started again,
    /// keeps its keys in another order.
    server: String,
    /// All primaries of a Cluster and their slots.
    layout: Vec<(Address, Vec<RangeInclusive<u16>>)>,
}

/// Whether keys may be missed because their slot is on its way to another primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    MayBeMoving,
    /// They may not: a page during which a slot is moving may miss keys.
    AtRest,
}

/// Some of what is looked for.
#[derive(Debug)]
pub struct Page<T> {
    /// In no order.
    pub found: Vec<T>,
    /// How many keys Redis has, of all kinds.
    pub of: u64,
    /// Where the next page begins, if this is not the last.
    pub next: Option<Place>,
    /// Whether the walk may have missed keys since the page before, because others are primaries now, slots have moved,
    /// or Redis was started again. Another walk finds them.
    pub may_miss: bool,
}

impl<T> Page<T> {
    /// The same page, on which this was found.
    pub fn with<U>(self, found: Vec<U>) -> Page<U> {
        Page { found, of: self.of, next: self.next, may_miss: self.may_miss }
    }
}

impl RedisClient {
    /// Reads the page of names of keys like `pattern` that begins at `from`.
    pub async fn keys_like(&self, pattern: &str, from: &Place, slots: Slots) -> Result<Page<String>> {
        let is_cluster = self.is_cluster();
        // A primary that was added is unknown until a call needs one of its slots.
        if is_cluster && *from == Place::default() {
            self.primaries().search().await?;
        }
        let primaries = self.all_primaries().await?;
        let Some((_, server)) = primaries.get(from.primary) else {
            return Ok(Page { found: Vec::new(), of: 0, next: None, may_miss: true });
        };
        let mut asked = redis::pipe();
        asked.cmd("INFO").arg("server").cmd("DBSIZE");
        asked.cmd("SCAN").arg(from.cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
        let asks_nodes = is_cluster && slots == Slots::AtRest;
        for (_, what) in [(is_cluster, "SLOTS"), (asks_nodes, "NODES")].into_iter().filter(|(is_asked, _)| *is_asked) {
            asked.cmd("CLUSTER").arg(what);
        }
        let mut answers: Vec<Value> = self.query_at("walk", server, &asked).await?;
        let nodes = answers.pop_if(|_| asks_nodes).and_then(|nodes| from_redis_value::<String>(nodes).ok());
        // Behind the slots of the server itself stand those that it receives and gives away.
        let is_moving = |line: &str| line.contains("myself") && line.contains(" [");
        let mut may_miss = nodes.is_some_and(|nodes| nodes.lines().any(is_moving));
        let mut layout = Vec::new();
        if is_cluster {
            let said = cluster::parse(answers.pop().unwrap_or(Value::Nil), &server.address)?;
            may_miss |=
                said.iter().map(|primary| &primary.address).ne(primaries.iter().map(|(known, _)| &known.address));
            layout = said.into_iter().map(|primary| (primary.address, primary.slots)).collect();
        }
        let unreadable = |_| Reason::from(format!("Redis at {}: its answer to SCAN cannot be read", server.name));
        let scanned = from_redis_value(Value::Array(answers)).map_err(unreadable)?;
        let (info, of, (cursor, found)): (String, u64, (u64, Vec<String>)) = scanned;
        // Changes with each start.
        let process = member(&info, "run_id").unwrap_or_default();
        let is_another = !["", process].contains(&from.server.as_str());
        may_miss |= is_another || (*from != Place::default() && from.layout != layout);
        let next = match (cursor, from.primary + 1) {
            _ if is_another => Some(Place { primary: from.primary, layout, ..Place::default() }),
            (0, next) if next == primaries.len() => None,
            (0, primary) => Some(Place { primary, layout, ..Place::default() }),
            (cursor, _) => Some(Place { cursor, layout, server: process.to_owned(), primary: from.primary }),
        };
        Ok(Page { found, of: of * primaries.len() as u64, next, may_miss })
    }
}
