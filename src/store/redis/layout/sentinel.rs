//! Sentinels know which server is the primary. One may be behind, so the server must say itself that it is one.

use std::collections::HashSet;

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::aio::ConnectionLike;

use super::{
    super::{
        super::{Result, StoreError},
        connector::Connector,
        reason::describe,
        url::Address,
    },
    at, in_time,
};

/// Asks all Sentinels at once. The first primary that one of them names is taken; `failing` only if no other is named.
pub(super) async fn find(
    connector: &Connector,
    sentinels: &[Address],
    master: &str,
    failing: Option<&Address>,
) -> Result<Address> {
    let mut answers: FuturesUnordered<_> = sentinels.iter().map(|sentinel| ask(connector, sentinel, master)).collect();
    let (mut tried, mut reason) = (HashSet::new(), "no Sentinel is known".to_owned());
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(named) if Some(&named) == failing || !tried.insert(named.clone()) => {}
            Ok(named) => match is_primary(connector, &named).await {
                Ok(()) => return Ok(named),
                Err(error) => reason = error.reason,
            },
            Err(error) => reason = error.reason,
        }
    }
    if let Some(failing) = failing
        && is_primary(connector, failing).await.inspect_err(|error| reason.clone_from(&error.reason)).is_ok()
    {
        return Ok(failing.clone());
    }
    Err(StoreError { reason: format!("the Sentinels name no server that is the primary of {master}; {reason}") })
}

async fn ask(connector: &Connector, sentinel: &Address, master: &str) -> Result<Address> {
    let answer = in_time(async {
        let mut connection = connector.connect_to_sentinel(sentinel).await?;
        let mut asked = redis::cmd("SENTINEL");
        asked.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer: Option<(String, u16)> =
            asked.query_async(&mut connection).await.map_err(|error| describe(&error))?;
        let unknown = || StoreError { reason: format!("it watches no master named {master}") };
        answer.map(|(host, port)| Address { host, port }).ok_or_else(unknown)
    });
    at(sentinel, answer.await)
}

/// By `INFO replication` and not by `ROLE`, because every user of wxmint has the right to the first.
async fn is_primary(connector: &Connector, address: &Address) -> Result<()> {
    let answer = in_time(async {
        let mut connection = connector.connect(address).await?;
        let info = connection.req_packed_command(redis::cmd("INFO").arg("replication")).await;
        let info: String = info
            .and_then(|info| Ok(redis::from_redis_value(info.extract_error()?)?))
            .map_err(|error| describe(&error))?;
        match info.lines().any(|line| line.trim() == "role:master") {
            true => Ok(()),
            false => Err(StoreError { reason: "it is a replica".into() }),
        }
    });
    at(address, answer.await)
}
