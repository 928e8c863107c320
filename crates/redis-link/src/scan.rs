//! A walk over all keys of a kind, page by page.
//!
//! SCAN finds each key that exists from the walk's beginning to its end, some of them twice. A key
//! that is made or deleted during the walk may be found or not. The primaries of a Cluster are
//! walked one after the other. A key could move from a primary that was not walked yet to one that
//! was, so a page says when slots have moved. While a slot is moving, keys can be missed; a page
//! says so if [`Slots::AtRest`] is requested.

use std::ops::RangeInclusive;

use redis::{Value, from_redis_value};

use super::failure::{Cause, Result};
use super::{cluster, info::member, link::RedisClient, url::Address};

/// About how many keys one page examines. This takes a millisecond or two of Redis' time, in which
/// it serves no other client.
pub const PAGE: u64 = 1000;

/// A position between two pages; the default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    cursor: u64,
    /// The index of the primary, in the order of the addresses.
    primary: usize,
    /// The `run_id` of the primary's process; empty at the beginning of each primary. Another
    /// process, also the same server after a restart, has its keys in another order.
    server: String,
    /// All primaries of a Cluster and their slots.
    layout: Vec<(Address, Vec<RangeInclusive<u16>>)>,
}

/// Whether keys may be missed because their slot is moving to another primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// Keys of a moving slot may be missed.
    MayBeMoving,
    /// Such keys must not be missed: if a slot is moving, the page says that it may miss keys.
    AtRest,
}

/// A page of a walk: some of the things that are searched for.
#[derive(Debug)]
pub struct Page<T> {
    /// The things that were found, in no order.
    pub found: Vec<T>,
    /// The number of keys that Redis has, of all kinds.
    pub of: u64,
    /// The position of the next page; `None` on the last page.
    pub next: Option<Place>,
    /// Whether the walk may have missed keys since the previous page, because the primaries have
    /// changed, slots have moved, or Redis was restarted. Another walk finds them.
    pub may_miss: bool,
}

impl<T> Page<T> {
    /// The same page with other things found.
    pub fn with<U>(self, found: Vec<U>) -> Page<U> {
        Page {
            found,
            of: self.of,
            next: self.next,
            may_miss: self.may_miss,
        }
    }
}

impl RedisClient {
    /// Reads the page that begins at `from`: names of keys that match `pattern`.
    pub async fn keys_like(
        &self,
        pattern: &str,
        from: &Place,
        slots: Slots,
    ) -> Result<Page<String>> {
        let is_cluster = self.is_cluster();
        // An added primary is unknown until a call needs one of its slots, so the primaries are
        // searched first.
        if is_cluster && *from == Place::default() {
            self.primaries().search().await?;
        }
        let primaries = self.all_primaries().await?;
        let Some((_, server)) = primaries.get(from.primary) else {
            return Ok(Page {
                found: Vec::new(),
                of: 0,
                next: None,
                may_miss: true,
            });
        };
        let mut asked = redis::pipe();
        asked.cmd("INFO").arg("server").cmd("DBSIZE");
        asked
            .cmd("SCAN")
            .arg(from.cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(PAGE);
        let asks_nodes = is_cluster && slots == Slots::AtRest;
        for (_, what) in [(is_cluster, "SLOTS"), (asks_nodes, "NODES")]
            .into_iter()
            .filter(|(is_asked, _)| *is_asked)
        {
            asked.cmd("CLUSTER").arg(what);
        }
        let mut answers: Vec<Value> = self.query_at("walk", server, &asked).await?;
        let nodes = answers
            .pop_if(|_| asks_nodes)
            .and_then(|nodes| from_redis_value::<String>(nodes).ok());
        // In its own line, a server lists the slots that it receives or gives away in brackets
        // after its slots.
        let mut may_miss = nodes.is_some_and(|nodes| {
            nodes
                .lines()
                .any(|line| line.contains("myself") && line.contains(" ["))
        });
        let mut layout = Vec::new();
        if is_cluster {
            let said = cluster::parse(answers.pop().unwrap_or(Value::Nil), &server.address)?;
            may_miss |= said
                .iter()
                .map(|primary| &primary.address)
                .ne(primaries.iter().map(|(known, _)| &known.address));
            layout = said
                .into_iter()
                .map(|primary| (primary.address, primary.slots))
                .collect();
        }
        let scanned = from_redis_value(Value::Array(answers)).map_err(|_| {
            Cause::UnexpectedAnswer.because(format!(
                "Redis at {}: its answer to SCAN cannot be read",
                server.name
            ))
        })?;
        let (info, of, (cursor, found)): (String, u64, (u64, Vec<String>)) = scanned;
        // Changes with each start.
        let process = member(&info, "run_id").unwrap_or_default();
        let is_another = !["", process].contains(&from.server.as_str());
        may_miss |= is_another || (*from != Place::default() && from.layout != layout);
        let next = match (cursor, from.primary + 1) {
            _ if is_another => Some(Place {
                primary: from.primary,
                layout,
                ..Place::default()
            }),
            (0, next) if next == primaries.len() => None,
            (0, primary) => Some(Place {
                primary,
                layout,
                ..Place::default()
            }),
            (cursor, _) => Some(Place {
                cursor,
                layout,
                server: process.to_owned(),
                primary: from.primary,
            }),
        };
        Ok(Page {
            found,
            of: of * primaries.len() as u64,
            next,
            may_miss,
        })
    }
}
