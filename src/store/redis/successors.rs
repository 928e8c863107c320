//! Who could take over from a primary, by the word of those who decide it, and how old that word may be.

use std::time::Duration;

use redis::from_redis_value;
use tokio::time::{Instant, sleep_until};

use super::{
    super::{Result, StoreError},
    layout::{Successors, own_replicas},
    link::DEADLINE,
    node::{Commands, Node, Via},
    primaries::{Kind, PAUSE, Primaries},
    url::Address,
};

/// A failover takes longer, because nobody is taken for dead sooner.
const FRESH: Duration = Duration::from_secs(1);
/// While the deciders do not answer. A replica that they have come to know meanwhile is not waited for.
const HOLDS: Duration = Duration::from_secs(30);
/// How long a replica counts that its primary alone knows. The other primaries hear of it within half of
/// `cluster-node-timeout`, which is 15 s by default; a replica that never gets the data is not to hold up newcomers for ever.
const HEARD_OF_WITHIN: Duration = Duration::from_secs(15);

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
            Some(Successors { replicas, are_all: true, .. }) => {
                primary.newcomers.borrow_mut().clear();
                Ok(replicas)
            }
            Some(Successors { replicas, are_agreed: true, .. }) if replicas.is_empty() => self.newcomers(primary).await,
            Some(Successors { replicas, are_agreed: true, .. }) => Ok(replicas),
            Some(_) => Err(format!("too few of the servers that decide who takes over from {} answer", primary.name)),
            None => Err(format!("{} is no primary any more", primary.name)),
        }
    }

    /// The replicas of a primary of a Cluster that only this primary knows: one that has just come back, has all the data and
    /// loses its link again could take over before the other primaries have heard of it.
    async fn newcomers(&self, primary: &Node) -> Result<Vec<Address>, String> {
        if self.kind() != Kind::Cluster {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("CLUSTER");
        command.arg("NODES");
        let said = primary.send(Via::Prompt, &Commands::One(&command), Instant::now() + DEADLINE).await;
        let said = said.map_err(|failure| failure.reason)?.pop();
        // A user of Redis may lack the right to ask.
        let named = own_replicas(&said.and_then(|said| from_redis_value::<String>(said).ok()).unwrap_or_default());
        let mut newcomers = primary.newcomers.borrow_mut();
        newcomers.retain(|replica, _| named.contains(replica));
        let is_new = |replica: &Address| {
            newcomers.entry(replica.clone()).or_insert_with(Instant::now).elapsed() < HEARD_OF_WITHIN
        };
        Ok(named.into_iter().filter(is_new).collect())
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
