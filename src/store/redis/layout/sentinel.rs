//! Sentinels know which server is the primary. One may be behind: the newest answer counts, and the server must say itself that
//! it is a primary.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{Cmd, FromRedisValue};

use super::{
    super::{
        super::{Result, StoreError},
        connector::{Connection, Connector},
        followers::online,
        reason::describe,
        url::Address,
    },
    Before, Found, at, in_time,
};

/// Connections to Sentinels, which are asked every second.
#[derive(Default)]
pub(in super::super) struct Sentinels(Mutex<HashMap<Address, Connection>>);

/// Whom a Sentinel names, and in which of its epochs.
type Named = (u64, Address);

/// Asks all Sentinels at once, and waits for all of them, unless one names a newer primary than the one until now.
pub(super) async fn find(connector: &Connector, before: &Before, sentinels: &[Address], master: &str) -> Result<Found> {
    let asked = sentinels.iter().map(|sentinel| ask(connector, &before.sentinels, sentinel, master));
    let (mut answers, mut all) = (asked.collect::<FuturesUnordered<_>>(), Vec::new());
    let mut reason = "no Sentinel is known".to_owned();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok((epoch, address)) => {
                let is_newer = before.epoch > 0 && epoch > before.epoch;
                if is_newer && let Ok(followers) = is_primary(connector, before, &address).await {
                    return Ok(Found { epoch, followers, ..Found::one(address) });
                }
                all.push((epoch, address));
            }
            Err(error) => reason = error.reason,
        }
    }
    for (epoch, address) in best_first(all, before.failing.as_ref()) {
        match is_primary(connector, before, &address).await {
            Ok(followers) => return Ok(Found { epoch, followers, ..Found::one(address) }),
            Err(error) => reason = error.reason,
        }
    }
    Err(StoreError { reason: format!("the Sentinels name no server that is the primary of {master}; {reason}") })
}

/// The newest first, each address once, and of the same age those that do not fail.
fn best_first(mut all: Vec<Named>, failing: Option<&Address>) -> Vec<Named> {
    all.sort_by_key(|(epoch, address)| (Reverse(*epoch), Some(address) == failing, address.clone()));
    let mut best: Vec<Named> = Vec::new();
    for named in all {
        if best.iter().all(|(_, address)| *address != named.1) {
            best.push(named);
        }
    }
    best
}

async fn ask(connector: &Connector, kept: &Sentinels, sentinel: &Address, master: &str) -> Result<Named> {
    let answer = in_time(async {
        if let Some(connection) = kept.of(sentinel)
            && let Ok(named) = named(connection, master).await
        {
            return Ok(named);
        }
        let connection = connector.connect_to_sentinel(sentinel).await?;
        kept.keep(sentinel, Some(connection.clone()));
        named(connection, master).await
    });
    at(sentinel, answer.await.inspect_err(|_| kept.keep(sentinel, None)))
}

async fn named(mut connection: Connection, master: &str) -> Result<Named> {
    let ask = |what: &str| {
        let mut command = redis::cmd("SENTINEL");
        command.arg(what).arg(master);
        command
    };
    let named: Option<(String, u16)> = query(&mut connection, &ask("GET-MASTER-ADDR-BY-NAME")).await?;
    let unknown = || StoreError { reason: format!("it watches no master named {master}") };
    let (host, port) = named.ok_or_else(unknown)?;
    let fields: HashMap<String, String> = query(&mut connection, &ask("MASTER")).await?;
    let epoch = fields.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
    Ok((epoch, Address { host, port }))
}

/// The replicas of a server that says of itself that it is a primary. By `INFO replication` and not by `ROLE`, because every
/// user of wxmint has the right to the first.
pub(in super::super) async fn is_primary(
    connector: &Connector,
    before: &Before,
    address: &Address,
) -> Result<Vec<Address>> {
    let known = before.known.iter().find(|known| known.address == *address && before.failing.as_ref() != Some(address));
    let answer = in_time(async {
        let mut connection = match known.and_then(|known| known.connection.clone()) {
            Some(connection) => connection,
            None => connector.connect(address).await?,
        };
        let info: String = query(&mut connection, redis::cmd("INFO").arg("replication")).await?;
        match info.lines().any(|line| line.trim() == "role:master") {
            true => Ok(online(&info)),
            false => Err(StoreError { reason: "it is a replica".into() }),
        }
    });
    at(address, answer.await)
}

async fn query<T: FromRedisValue>(connection: &mut Connection, command: &Cmd) -> Result<T> {
    command.query_async(connection).await.map_err(|error| describe(&error))
}

impl Sentinels {
    fn of(&self, sentinel: &Address) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(sentinel).cloned()
    }

    fn keep(&self, sentinel: &Address, connection: Option<Connection>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) => _ = kept.insert(sentinel.clone(), connection),
            None => _ = kept.remove(sentinel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_answer_counts_and_of_the_same_age_one_that_does_not_fail() {
        let named = |epoch: u64, host: &str| (epoch, Address { host: host.into(), port: 1 });
        let (old, new, other) = (named(1, "old"), named(2, "new"), named(2, "other"));
        let all = || vec![old.clone(), new.clone(), other.clone(), named(1, "new")];
        assert_eq!(best_first(all(), None), [new.clone(), other.clone(), old.clone()]);
        assert_eq!(best_first(all(), Some(&new.1)), [other, new, old]);
    }
}
