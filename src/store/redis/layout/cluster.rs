//! A Cluster: any of its servers knows all primaries and their slots.

use std::collections::{BTreeMap, HashSet};

use futures_util::{StreamExt, stream};
use redis::{Value, from_redis_value};

use super::{
    super::{
        super::{Result, StoreError},
        connector::Connector,
        reason::describe,
        slot::CLUSTER_SLOTS,
        url::Address,
    },
    Before, Found, Known, Primary, Range, at, in_time,
};

/// How many servers are asked at a time: if one of them is frozen, the other answers.
const AT_A_TIME: usize = 2;

pub(super) async fn find(
    connector: &Connector,
    Before { known, failing, .. }: Before,
    seeds: Vec<Address>,
) -> Result<Found> {
    let seeds = seeds.into_iter().map(|address| Known { address, connection: None });
    let (mut last, mut asked) = (Vec::new(), HashSet::new());
    let mut first: Vec<Known> =
        known.into_iter().chain(seeds).filter(|one| asked.insert(one.address.clone())).collect();
    if let Some(index) = first.iter().position(|one| Some(&one.address) == failing.as_ref()) {
        last.push(first.remove(index));
    }
    let asking = first.into_iter().chain(last).map(|one| ask(connector, one));
    let mut answers = stream::iter(asking).buffer_unordered(AT_A_TIME);
    let mut reason = "no server of the Cluster is known".to_owned();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(found) => return Ok(found),
            Err(error) => reason = error.reason,
        }
    }
    Err(StoreError { reason: format!("no server of the Cluster says where its primaries are; {reason}") })
}

async fn ask(connector: &Connector, one: Known) -> Result<Found> {
    let answer = in_time(async {
        let mut connection = match one.connection {
            Some(connection) => connection,
            None => connector.connect(&one.address).await?,
        };
        let asked = redis::cmd("CLUSTER").arg("SLOTS").query_async::<Value>(&mut connection).await;
        let is_no_cluster = |words: &str| words.contains("cluster support disabled");
        let answer = asked.map_err(|error| match error.detail().is_some_and(is_no_cluster) {
            true => StoreError { reason: "it is no Cluster: write redis:// instead of redis+cluster://".into() },
            false => describe(&error),
        })?;
        parse(answer, &one.address)
    });
    at(&one.address, answer.await)
}

/// The answer to `CLUSTER SLOTS`: the first server of each range is its primary. Its host is missing if that is the one
/// that was asked.
pub(in super::super) fn parse(answer: Value, asked: &Address) -> Result<Found> {
    let unreadable = || StoreError { reason: "its answer to CLUSTER SLOTS cannot be read".into() };
    let mut primaries = BTreeMap::<Address, Vec<Range>>::new();
    let ranges: Vec<Vec<Value>> = from_redis_value(answer).map_err(|_| unreadable())?;
    for range in ranges {
        let mut members = range.into_iter();
        let mut member = || members.next().ok_or_else(unreadable);
        let mut number = || from_redis_value::<u16>(member()?).map_err(|_| unreadable());
        let (first, last) = (number()?, number()?);
        let (host, port) = host_and_port(member()?).ok_or_else(unreadable)?;
        if first > last || usize::from(last) >= CLUSTER_SLOTS {
            return Err(unreadable());
        }
        let host = host.filter(|host| !["", "?"].contains(&host.as_str())).unwrap_or_else(|| asked.host.clone());
        primaries.entry(Address { host, port }).or_default().push(Range(first, last));
    }
    if primaries.is_empty() {
        return Err(StoreError { reason: "it knows no slots: the Cluster is not set up".into() });
    }
    let sorted = primaries.into_iter().map(|(address, mut slots)| {
        slots.sort();
        Primary { address, slots }
    });
    Ok(Found { primaries: sorted.collect(), ..Found::default() })
}

/// Behind them stand a name and more.
fn host_and_port(server: Value) -> Option<(Option<String>, u16)> {
    let mut members: Vec<Value> = from_redis_value(server).ok()?;
    members.truncate(2);
    let port = from_redis_value(members.pop()?).ok()?;
    Some((from_redis_value(members.pop()?).ok()?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A primary as text, and its ranges of slots.
    type Row = (String, Vec<(u16, u16)>);

    fn parsed(answer: &str) -> Result<Vec<Row>> {
        let asked = Address { host: "10.0.0.9".into(), port: 6379 };
        let answer = redis::parse_redis_value(answer.replace(' ', "\r\n").as_bytes()).expect("RESP");
        let found = parse(answer, &asked)?;
        let row = |primary: Primary| {
            (primary.address.to_string(), primary.slots.iter().map(|Range(first, last)| (*first, *last)).collect())
        };
        Ok(found.primaries.into_iter().map(row).collect())
    }

    #[test]
    fn the_first_server_of_a_range_is_its_primary() {
        let node = |host: &str| format!("*4 {host} :7000 $2 id *0 ");
        let range =
            |first: u16, last: u16, host: &str| format!("*4 :{first} :{last} {}{}", node(host), node("$8 10.0.0.5"));
        let one = |host: &str| parsed(&format!("*1 {}", range(0, 16383, host))).map(|mut found| found.remove(0).0);
        assert_eq!(one("$8 10.0.0.1"), Ok("10.0.0.1:7000".into()));
        assert_eq!(one("$-1"), Ok("10.0.0.9:7000".into()), "Redis 7 that knows no host");
        assert_eq!(one("$0 "), Ok("10.0.0.9:7000".into()), "Redis 6 that knows no host");
        assert_eq!(one("$1 ?"), Ok("10.0.0.9:7000".into()), "a host name that is not set");
        assert_eq!(one("$11 one.example"), Ok("one.example:7000".into()));
        assert_eq!(one("$11 2001:db8::1"), Ok("[2001:db8::1]:7000".into()));

        let three = [range(9, 10, "$1 b"), range(0, 4, "$1 b"), range(5, 5, "$1 a")].concat();
        let expected = vec![("a:7000".into(), vec![(5, 5)]), ("b:7000".into(), vec![(0, 4), (9, 10)])];
        assert_eq!(parsed(&format!("*3 {three}")), Ok(expected));
        assert!(parsed("*0 ").is_err_and(|error| error.reason.contains("not set up")));
        for bad in ["+OK ", &format!("*1 {}", range(0, 16384, "$1 a")), &format!("*1 {}", range(3, 2, "$1 a"))] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_table_of_slots_names_the_primary_of_each() {
        let at = |host: &str, slots: &[(u16, u16)]| Primary {
            address: Address { host: host.into(), port: 1 },
            slots: slots.iter().map(|(first, last)| Range(*first, *last)).collect(),
        };
        let of = |primaries| Found { primaries, ..Found::default() };
        let found = of(vec![at("a", &[(0, 1), (4, 16383)]), at("b", &[(2, 2)])]);
        assert_eq!(found.table()[..6], [0, 0, 1, u16::MAX, 0, 0]);
        assert_eq!((found.table()[16383], found.primaries.iter().map(Primary::covered).sum::<usize>()), (0, 16383));
        let moved = of(vec![at("a", &[(0, 2), (4, 16383)])]);
        assert_ne!(moved.fingerprint(), found.fingerprint());
    }
}
