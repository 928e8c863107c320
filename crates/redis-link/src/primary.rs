//! A primary as a search finds it: where it is, which slots it has, and who could take over from it.

use std::ops::RangeInclusive;

use super::{slot::CLUSTER_SLOTS, url::Address};

/// A search finds this of one primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    pub(crate) address: Address,
    /// All, where there is no Cluster.
    pub slots: Vec<RangeInclusive<u16>>,
    pub(crate) successors: Successors,
}

/// The replicas that could take over from a primary, as those say who decide it: the Sentinels, or the other primaries
/// of a Cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Successors {
    /// Every replica that the deciders know. They know some.
    EveryReplica(Vec<Address>),
    /// None but these, which may be no replica: so many deciders said so that the others could promote none.
    NoneBut(Vec<Address>),
    /// Too few deciders answer.
    Unknown,
}

impl Successors {
    pub(crate) fn replicas(&self) -> &[Address] {
        match self {
            Self::EveryReplica(replicas) | Self::NoneBut(replicas) => replicas,
            Self::Unknown => &[],
        }
    }
}

impl Primary {
    /// The primary of all slots.
    pub(crate) fn alone(address: &Address) -> Self {
        let slots = vec![0..=CLUSTER_SLOTS as u16 - 1];
        Self { address: address.clone(), slots, successors: Successors::Unknown }
    }

    pub(crate) fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| range.contains(&slot))
    }
}
