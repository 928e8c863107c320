//! Which servers are primaries, and which slots each of them has.

mod cluster;
mod sentinel;

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use super::{
    super::{Result, StoreError},
    connector::{Connection, Connector},
    slot::SLOTS,
    url::{Address, Layout},
};

pub(super) use self::cluster::parse as parse_slots;

/// For each server that is asked where the primaries are.
const ASKED_FOR: Duration = Duration::from_millis(400);

/// The primaries, ordered by address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Found(pub(super) Vec<Primary>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Primary {
    pub(super) address: Address,
    /// Empty where there is no Cluster.
    pub(super) slots: Vec<Range>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Range(pub(super) u16, pub(super) u16);

/// A server that may know, and a connection to it if there is one.
pub(super) struct Known {
    pub(super) address: Address,
    pub(super) connection: Option<Connection>,
}

/// Asks who the primaries are. `failing` is asked last and believed least.
pub(super) async fn find(connector: Arc<Connector>, known: Vec<Known>, failing: Option<Address>) -> Result<Found> {
    match connector.layout() {
        Layout::Single(address) => Ok(Found::one(address)),
        Layout::Cluster(seeds) => cluster::find(&connector, known, seeds, failing).await,
        Layout::Sentinel { sentinels, master } => {
            sentinel::find(&connector, &sentinels, &master, failing.as_ref()).await.map(Found::one)
        }
    }
}

impl Found {
    pub(super) fn one(address: Address) -> Self {
        Self(vec![Primary { address, slots: Vec::new() }])
    }

    /// For each slot the number of its primary, or one that no primary has.
    pub(super) fn table(&self) -> Box<[u16]> {
        let mut table = vec![u16::MAX; SLOTS].into_boxed_slice();
        for (number, primary) in (0..).zip(&self.0) {
            primary.slots.iter().for_each(|range| table[range.indices()].fill(number));
        }
        table
    }

    /// Changes with each primary and each slot.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl Primary {
    /// How many slots it has.
    pub(super) fn covered(&self) -> usize {
        self.slots.iter().map(|Range(first, last)| usize::from(last - first) + 1).sum()
    }
}

impl Range {
    fn indices(&self) -> RangeInclusive<usize> {
        self.0.into()..=self.1.into()
    }
}

async fn in_time<T>(asking: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| StoreError { reason: "no answer within 400 ms".into() };
    tokio::time::timeout(ASKED_FOR, asking).await.map_err(late).flatten()
}

/// Puts the address in front of the reason.
fn at<T>(address: &Address, outcome: Result<T>) -> Result<T> {
    outcome.map_err(|error| StoreError { reason: format!("Redis at {address}: {}", error.reason) })
}
