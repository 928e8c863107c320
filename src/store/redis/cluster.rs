//! A Cluster: any of its servers knows all primaries and their slots.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    ops::RangeInclusive,
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream, stream::FuturesUnordered};
use redis::{Value, from_redis_value};
use tokio::time::Instant;

use super::{
    super::{Result, StoreError},
    failure::{Failure, describe},
    primaries::{Primaries, Primary, Successors, ask},
    server::Server,
    slot::CLUSTER_SLOTS,
    url::Address,
};

/// How many servers are asked at a time: if one of them is frozen, the other answers.
const AT_A_TIME: usize = 2;

/// How long a replica counts that its primary alone knows. The other primaries hear of it within half of
/// `cluster-node-timeout`, which is 15 s by default; a replica that never gets the data is not to hold up newcomers for ever.
const HEARD_OF_WITHIN: Duration = Duration::from_secs(15);

/// What a server of the Cluster says, and which it is.
type View = (Address, Vec<Primary>);

impl Primaries {
    /// Asks the servers that are known and those that the URL names. A `failing` one is asked last.
    pub(super) async fn find_in_cluster(&self, seeds: &[Address], failing: Option<&Address>) -> Result<Vec<Primary>> {
        let mut servers = self.addresses();
        servers.extend_from_slice(seeds);
        let mut seen = HashSet::new();
        servers.retain(|server| seen.insert(server.clone()));
        servers.sort_by_key(|server| Some(server) == failing);
        let some_had_no_successor = self.all().iter().any(|(primary, _)| primary.successors.replicas.is_empty());
        let mut answers = stream::iter(servers).map(|server| self.view_of(server)).buffer_unordered(AT_A_TIME);
        let mut reason = "no server of the Cluster is known".to_owned();
        while let Some(answer) = answers.next().await {
            match answer {
                // That a primary has no successor must be agreed on.
                Ok(view) if some_had_no_successor => {
                    let others = view.1.iter().map(|primary| &primary.address).filter(|other| **other != view.0);
                    let others = others.map(|other| self.view_of(other.clone())).collect::<FuturesUnordered<_>>();
                    return Ok(agreed(view, others).await);
                }
                Ok((_, primaries)) => return Ok(primaries),
                Err(error) => reason = error.reason,
            }
        }
        Err(StoreError { reason: format!("no server of the Cluster says where its primaries are; {reason}") })
    }

    async fn view_of(&self, server: Address) -> Result<View> {
        let asking = async {
            let asked = self.connection(&server).await?.send(redis::pipe().cmd("CLUSTER").arg("SLOTS")).await;
            let answer = asked.and_then(|mut answers| answers.pop().unwrap_or(Value::Nil).extract_error());
            let is_no_cluster = |words: &str| words.contains("cluster support disabled");
            let answer = answer.map_err(|error| match error.detail().is_some_and(is_no_cluster) {
                true => StoreError { reason: "it is no Cluster: write redis:// instead of redis+cluster://".into() },
                false => describe(&error),
            })?;
            parse(answer, &server)
        };
        let primaries = ask(&server, asking).await?;
        Ok((server, primaries))
    }
}

/// The replicas of a primary that only this primary knows. One that has just come back, has all the data and loses its link again
/// could take over before the other primaries have heard that it has data.
pub(super) async fn newcomers(primary: &Server, deadline: Instant) -> Result<Vec<Address>, Failure> {
    let mut asked = redis::pipe();
    asked.cmd("CLUSTER").arg("NODES");
    let said = primary.exchange(&asked, deadline).await?.pop();
    // A user of Redis may lack the right to ask.
    let named = own_replicas(&said.and_then(|said| from_redis_value::<String>(said).ok()).unwrap_or_default());
    let mut newcomers = primary.newcomers.borrow_mut();
    newcomers.retain(|replica, _| named.contains(replica));
    let is_new =
        |replica: &Address| newcomers.entry(replica.clone()).or_insert_with(Instant::now).elapsed() < HEARD_OF_WITHIN;
    Ok(named.into_iter().filter(is_new).collect())
}

/// The first view, with the successors that the others name too. Waits for as many of them as it takes to agree.
async fn agreed(first: View, mut others: impl Stream<Item = Result<View>> + Unpin) -> Vec<Primary> {
    let mut views = vec![first];
    loop {
        let found = together(&views);
        if found.iter().all(|primary| primary.successors.are_agreed) {
            return found;
        }
        match others.next().await {
            Some(view) => views.extend(view),
            None => return found,
        }
    }
}

/// The primaries vote for a successor, which needs a majority of their votes. A primary is no witness for itself. If it and the
/// witnesses are half of all or more, the others are no majority.
fn together(views: &[View]) -> Vec<Primary> {
    let mut found = views[0].1.clone();
    let votes = found.len();
    let is_voter = |one: &Address| views[0].1.iter().any(|primary| primary.address == *one);
    for primary in &mut found {
        let same = |other: &&Primary| other.address == primary.address;
        let views_of = views.iter().filter_map(|(by, view)| Some((by, view.iter().find(same)?)));
        let witnesses = views_of.clone().filter(|(by, _)| **by != primary.address && is_voter(by)).count();
        let named: BTreeSet<_> = views_of.flat_map(|(_, view)| view.successors.replicas.iter().cloned()).collect();
        let are_all = !named.is_empty();
        primary.successors =
            Successors { replicas: named.into_iter().collect(), are_all, are_agreed: witnesses >= votes / 2 };
    }
    found
}

/// The answer to `CLUSTER SLOTS`: the first server of each range is its primary. Its host is missing if that is the one
/// that was asked. The others are its replicas, without those that a majority of the primaries holds for dead, and without
/// those that have received nothing.
pub(super) fn parse(answer: Value, asked: &Address) -> Result<Vec<Primary>> {
    let unreadable = || StoreError { reason: "its answer to CLUSTER SLOTS cannot be read".into() };
    let mut primaries = BTreeMap::<Address, (Vec<RangeInclusive<u16>>, BTreeSet<Address>)>::new();
    let ranges: Vec<(u16, u16, Vec<Value>)> = ranges(answer).ok_or_else(unreadable)?;
    for (first, last, servers) in ranges {
        if first > last || usize::from(last) >= CLUSTER_SLOTS {
            return Err(unreadable());
        }
        let mut servers = servers.into_iter().map(|server| address(server, asked).ok_or_else(unreadable));
        let primary = servers.next().ok_or_else(unreadable)??;
        let (slots, replicas) = primaries.entry(primary).or_default();
        slots.push(first..=last);
        for replica in servers {
            replicas.insert(replica?);
        }
    }
    if primaries.is_empty() {
        return Err(StoreError { reason: "it knows no slots: the Cluster is not set up".into() });
    }
    let sorted = primaries.into_iter().map(|(address, (mut slots, replicas))| {
        slots.sort_by_key(|range| *range.start());
        let are_all = !replicas.is_empty();
        let replicas = replicas.into_iter().collect();
        Primary { address, slots, successors: Successors { replicas, are_all, are_agreed: false } }
    });
    Ok(sorted.collect())
}

/// The first and the last slot of each range, and its servers.
fn ranges(answer: Value) -> Option<Vec<(u16, u16, Vec<Value>)>> {
    let ranges: Vec<Vec<Value>> = from_redis_value(answer).ok()?;
    let range = |range: Vec<Value>| {
        let mut members = range.into_iter();
        let mut slot = || from_redis_value(members.next()?).ok();
        let (first, last) = (slot()?, slot()?);
        Some((first, last, members.collect()))
    };
    ranges.into_iter().map(range).collect()
}

/// The replicas of the server that answered `CLUSTER NODES`, without those that a majority of the primaries holds for dead.
fn own_replicas(nodes: &str) -> Vec<Address> {
    let rows: Vec<Vec<_>> = nodes.lines().map(|line| line.split(' ').collect()).collect();
    let has = |row: &[&str], flag| row.get(2).is_some_and(|flags| flags.split(',').any(|one| one == flag));
    let Some(own) = rows.iter().find(|row| has(row, "myself")) else { return Vec::new() };
    let of_it = rows.iter().filter(|row| row.get(3) == own.first() && !has(row, "fail"));
    let address = |row: &Vec<&str>| {
        let (host, port) = row.get(1)?.split('@').next()?.rsplit_once(':')?;
        Some(Address { host: host.to_owned(), port: port.parse().ok()? })
    };
    of_it.filter_map(address).collect()
}

/// Of a server: host, port, a name and more.
fn address(server: Value, asked: &Address) -> Option<Address> {
    let mut members: Vec<Value> = from_redis_value(server).ok()?;
    members.truncate(2);
    let port = from_redis_value(members.pop()?).ok()?;
    let host: Option<String> = from_redis_value(members.pop()?).ok()?;
    let host = host.filter(|host| !["", "?"].contains(&host.as_str())).unwrap_or_else(|| asked.host.clone());
    Some(Address { host, port })
}

/// Changes with each primary and each slot.
pub(super) fn fingerprint(primaries: &[Primary]) -> u64 {
    let mut hasher = DefaultHasher::new();
    primaries.iter().for_each(|primary| (&primary.address, &primary.slots).hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A primary as text, and its ranges of slots.
    type Row = (String, Vec<(u16, u16)>);

    fn parsed(answer: &str) -> Result<Vec<Row>> {
        let asked = Address { host: "10.0.0.9".into(), port: 6379 };
        let answer = redis::parse_redis_value(answer.replace(' ', "\r\n").as_bytes()).expect("RESP");
        let row = |primary: Primary| {
            (primary.address.to_string(), primary.slots.iter().map(|range| (*range.start(), *range.end())).collect())
        };
        Ok(parse(answer, &asked)?.into_iter().map(row).collect())
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
    fn a_fingerprint_changes_with_a_slot() {
        let of = |slots| fingerprint(&[Primary { slots, ..Primary::alone(&Address { host: "a".into(), port: 1 }) }]);
        assert_eq!(of(vec![0..=1]), of(vec![0..=1]));
        assert_ne!(of(vec![0..=1]), of(vec![0..=2]));
    }

    #[test]
    fn a_primary_names_its_own_replicas_but_those_that_are_held_for_dead() {
        let nodes = "a 10.0.0.1:1@2 master - 0 1 3 connected\n\
                     b 10.0.0.2:1@2,host myself,master - 0 0 2 connected 0-5\n\
                     c 10.0.0.3:1@2 slave b 0 1 2 connected\n\
                     d 10.0.0.4:1@2 slave,fail b 1 1 2 disconnected\n\
                     e fe80::1:1@2 slave,fail? b 1 1 2 connected\n\
                     f 10.0.0.6:1@2 slave a 0 1 3 connected\n";
        let named: Vec<_> = own_replicas(nodes).iter().map(Address::to_string).collect();
        assert_eq!(named, ["10.0.0.3:1", "[fe80::1]:1"]);
        assert_eq!(own_replicas("ERR"), []);
    }

    /// A view by `by` of primaries with their replicas.
    fn view(by: &str, primaries: &[(&str, &[&str])]) -> View {
        let address = |host: &str| Address { host: host.into(), port: 1 };
        let primary = |(host, replicas): &(&str, &[&str])| {
            let replicas = replicas.iter().map(|replica| address(replica)).collect();
            let successors = Successors { replicas, ..Successors::default() };
            Primary { address: address(host), slots: Vec::new(), successors }
        };
        (address(by), primaries.iter().map(primary).collect())
    }

    #[test]
    fn that_a_primary_has_no_successor_is_for_other_primaries_to_say() {
        let all: [(&str, &[&str]); 3] = [("a", &[]), ("b", &["y"]), ("c", &[])];
        let of_a = |views: &[View]| together(views).remove(0).successors;
        let agreed = |views: &[View]| (of_a(views).are_agreed, of_a(views).replicas.len());
        assert_eq!(agreed(&[view("a", &all)]), (false, 0), "its own word");
        assert_eq!(agreed(&[view("y", &all)]), (false, 0), "the word of a replica, which has no vote");
        assert_eq!(agreed(&[view("a", &all), view("c", &all)]), (true, 0), "then b alone elects nobody");
        let replaced: [(&str, &[&str]); 3] = [("b", &["y"]), ("c", &[]), ("x", &["a"])];
        assert_eq!(
            agreed(&[view("a", &all), view("c", &replaced)]),
            (false, 0),
            "it holds another one for the primary"
        );
        let with_x: [(&str, &[&str]); 3] = [("a", &["x"]), ("b", &["y"]), ("c", &[])];
        assert_eq!(agreed(&[view("b", &all), view("c", &with_x)]), (true, 1), "one of them knows a replica");
        assert!(of_a(&[view("b", &all), view("c", &with_x)]).are_all);
    }
}
