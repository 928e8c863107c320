//! Who could take over from a primary, by the word of those who decide it, and how old that word may be.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{
    super::{Result, StoreError},
    layout::Successors,
    node::Node,
    primaries::{PAUSE, Primaries},
    url::Address,
};

/// A failover takes longer, because nobody is taken for dead sooner.
const FRESH: Duration = Duration::from_secs(1);
/// While the deciders do not answer. A replica that they have come to know meanwhile is not waited for.
const HOLDS: Duration = Duration::from_secs(30);

impl Primaries {
    /// The replicas of a primary that could take over from it, after a write there.
    ///
    /// If all that are known have confirmed a write, it does not matter whether one of them has just taken over: that one would
    /// not have confirmed. If some are left out, or there are none, the deciders must say after the write that none of them has
    /// taken over. `asked_anew`: they are asked in any case.
    pub(super) async fn successors(&self, primary: &Node, asked_anew: bool) -> Result<Vec<Address>, String> {
        let written = Instant::now();
        // What was known holds for a while.
        _ = self.known_since(written - FRESH).await;
        let known = |since| self.known(&primary.address).filter(|_| self.is_known_since(since));
        if !asked_anew && let Some(Successors { replicas, are_all: true, .. }) = known(written - HOLDS) {
            return Ok(replicas);
        }
        self.known_since(written).await.map_err(|error| error.reason)?;
        match known(written) {
            Some(Successors { replicas, are_all, are_agreed }) if are_all || are_agreed => Ok(replicas),
            Some(_) => Err(format!("too few of the servers that decide who takes over from {} answer", primary.name)),
            None => Err(format!("{} is no primary any more", primary.name)),
        }
    }

    /// Finds the primaries again, unless they have been found since.
    async fn known_since(&self, since: Instant) -> Result<(), StoreError> {
        while !self.is_known_since(since) {
            match self.search(None) {
                Some((number, running)) => self.take(number, running.await)?,
                None => sleep_until(Instant::now() + PAUSE).await,
            }
        }
        Ok(())
    }
}
