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
    slot::CLUSTER_SLOTS,
    url::{Address, Layout},
};

pub(super) use self::{
    cluster::{own_replicas, parse as parse_slots},
    sentinel::Sentinels,
};

/// For each server that is asked where the primaries are.
const ASKED_FOR: Duration = Duration::from_millis(400);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Ordered by address.
    pub(super) primaries: Vec<Primary>,
    /// Of Sentinel: increases with each failover.
    pub(super) epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Primary {
    pub(super) address: Address,
    /// Empty where there is no Cluster.
    pub(super) slots: Vec<Range>,
    pub(super) successors: Successors,
}

/// Who could take over from a primary, by the word of those who decide it: the Sentinels, or the other primaries of a Cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Successors {
    pub(super) replicas: Vec<Address>,
    /// The deciders know of no replica beside these, and of one at least.
    pub(super) are_all: bool,
    /// So many deciders say it that the others could promote nobody.
    pub(super) are_agreed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Range(pub(super) u16, pub(super) u16);

/// What is known before a search.
#[derive(Default)]
pub(super) struct Before {
    /// The primaries until now.
    pub(super) known: Vec<Known>,
    /// A primary that does not serve. It is asked last and believed least.
    pub(super) failing: Option<Address>,
    pub(super) epoch: u64,
    /// A primary had no successor. That is to be agreed on.
    pub(super) some_have_no_successor: bool,
    pub(super) sentinels: Arc<Sentinels>,
}

/// A server, and a connection to it if there is one.
pub(super) struct Known {
    pub(super) address: Address,
    pub(super) connection: Option<Connection>,
}

/// Asks who the primaries are.
pub(super) async fn find(connector: Arc<Connector>, before: Before) -> Result<Found> {
    match connector.layout() {
        Layout::Single(address) => Ok(Found::one(address)),
        Layout::Cluster(seeds) => cluster::find(&connector, before, seeds).await,
        Layout::Sentinel { sentinels, master } => sentinel::find(&connector, &before, &sentinels, &master).await,
    }
}

impl Found {
    pub(super) fn one(address: Address) -> Self {
        Self::succeeded_by(address, Successors::default())
    }

    fn succeeded_by(address: Address, successors: Successors) -> Self {
        Self { primaries: vec![Primary { address, slots: Vec::new(), successors }], epoch: 0 }
    }

    pub(super) fn lacks_successors(&self) -> bool {
        self.primaries.iter().any(|primary| primary.successors.replicas.is_empty())
    }

    /// For each slot the number of its primary, or one that no primary has.
    pub(super) fn table(&self) -> Box<[u16]> {
        let mut table = vec![u16::MAX; CLUSTER_SLOTS].into_boxed_slice();
        for (number, primary) in (0..).zip(&self.primaries) {
            primary.slots.iter().for_each(|range| table[range.indices()].fill(number));
        }
        table
    }

    /// Changes with each primary and each slot.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.primaries.iter().for_each(|primary| (&primary.address, &primary.slots).hash(&mut hasher));
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
