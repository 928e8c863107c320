//! A primary as a search finds it: where it is, which slots it has, and who could take over from it.

use std::ops::RangeInclusive;

use super::{slot::CLUSTER_SLOTS, url::Address};

/// What a search finds of one primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Where it is.
    pub address: Address,
    /// All, where there is no Cluster.
    pub slots: Vec<RangeInclusive<u16>>,
    pub(crate) successors: Successors,
}

/// Who could take over from a primary, as those say who decide it: the Sentinels, or the other primaries of a Cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Successors {
    /// Every replica that the deciders know. They know some.
    All(Vec<Address>),
    /// When the deciders were asked, so many of them said that no other replica could take over that the others could promote
    /// none.
    Only(Vec<Address>),
    /// Too few deciders answer.
    Unknown,
}

impl Successors {
    pub(crate) fn replicas(&self) -> &[Address] {
        match self {
            Self::All(replicas) | Self::Only(replicas) => replicas,
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

    /// Whether it is known who could take over.
    pub(crate) fn is_settled(&self) -> bool {
        self.successors != Successors::Unknown
    }
}
