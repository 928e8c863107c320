//! A Cluster: any of its servers knows all primaries and their slots.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::{StreamExt, stream, stream::FuturesUnordered};
use redis::{Value, from_redis_value};

use super::{
    super::{
        super::{Result, StoreError},
        connector::Connector,
        reason::describe,
        slot::CLUSTER_SLOTS,
        url::Address,
    },
    Before, Found, Known, Primary, Range, Successors, at, in_time,
};

/// How many servers are asked at a time: if one of them is frozen, the other answers.
const AT_A_TIME: usize = 2;

pub(super) async fn find(
    connector: &Connector,
    Before { known, failing, some_have_no_successor, .. }: Before,
    seeds: Vec<Address>,
) -> Result<Found> {
    let connections: Vec<_> = known.iter().map(|one| (one.address.clone(), one.connection.clone())).collect();
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
            Ok((_, found)) if !some_have_no_successor => return Ok(found),
            Ok(first) => {
                let others = first.1.primaries.iter().filter(|primary| primary.address != first.0).map(|primary| {
                    let known = connections.iter().find(|(address, _)| *address == primary.address);
                    let connection = known.and_then(|(_, connection)| connection.clone());
                    Known { address: primary.address.clone(), connection }
                });
                let asked = others.map(|one| ask(connector, one)).collect::<FuturesUnordered<_>>();
                return Ok(agreed(first, asked).await);
            }
            Err(error) => reason = error.reason,
        }
    }
    Err(StoreError { reason: format!("no server of the Cluster says where its primaries are; {reason}") })
}

/// What a server of the Cluster says, and which it is.
type View = (Address, Found);

/// The first view, with the successors that the others name too. Waits for as many of them as it takes to agree.
async fn agreed(first: View, mut others: impl futures_util::Stream<Item = Result<View>> + Unpin) -> Found {
    let mut views = vec![first];
    loop {
        let found = together(&views);
        if found.primaries.iter().all(|primary| primary.successors.are_agreed) {
            return found;
        }
        match others.next().await {
            Some(view) => views.extend(view),
            None => return found,
        }
    }
}

/// Who votes for a successor are the primaries, a majority of which it takes. A primary is no witness for itself, and if the
/// witnesses and it are half of all or more, the others are no majority.
fn together(views: &[View]) -> Found {
    let mut found = views[0].1.clone();
    let votes = found.primaries.len();
    let is_voter = |one: &Address| views[0].1.primaries.iter().any(|primary| primary.address == *one);
    for primary in &mut found.primaries {
        let same = |other: &&Primary| other.address == primary.address;
        let views_of = views.iter().filter_map(|(by, view)| Some((by, view.primaries.iter().find(same)?)));
        let witnesses = views_of.clone().filter(|(by, _)| **by != primary.address && is_voter(by)).count();
        let named: BTreeSet<_> = views_of.flat_map(|(_, view)| view.successors.replicas.iter().cloned()).collect();
        let are_all = !named.is_empty();
        primary.successors =
            Successors { replicas: named.into_iter().collect(), are_all, are_agreed: witnesses >= votes / 2 };
    }
    found
}

async fn ask(connector: &Connector, one: Known) -> Result<View> {
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
    at(&one.address, answer.await).map(|found| (one.address, found))
}

/// The answer to `CLUSTER SLOTS`: the first server of each range is its primary. Its host is missing if that is the one
/// that was asked. The others are its replicas, without those that a majority of the primaries holds for dead, and without
/// those that have received nothing.
pub(in super::super) fn parse(answer: Value, asked: &Address) -> Result<Found> {
    let unreadable = || StoreError { reason: "its answer to CLUSTER SLOTS cannot be read".into() };
    let mut primaries = BTreeMap::<Address, (Vec<Range>, BTreeSet<Address>)>::new();
    let ranges: Vec<Vec<Value>> = from_redis_value(answer).map_err(|_| unreadable())?;
    for range in ranges {
        let mut members = range.into_iter();
        let mut member = || members.next().ok_or_else(unreadable);
        let mut number = || from_redis_value::<u16>(member()?).map_err(|_| unreadable());
        let (first, last) = (number()?, number()?);
        if first > last || usize::from(last) >= CLUSTER_SLOTS {
            return Err(unreadable());
        }
        let address = |server| address(server, asked).ok_or_else(unreadable);
        let (slots, replicas) = primaries.entry(address(member()?)?).or_default();
        slots.push(Range(first, last));
        for replica in members {
            replicas.insert(address(replica)?);
        }
    }
    if primaries.is_empty() {
        return Err(StoreError { reason: "it knows no slots: the Cluster is not set up".into() });
    }
    let sorted = primaries.into_iter().map(|(address, (mut slots, replicas))| {
        slots.sort();
        let (replicas, are_all) = (replicas.iter().cloned().collect(), !replicas.is_empty());
        Primary { address, slots, successors: Successors { replicas, are_all, are_agreed: false } }
    });
    Ok(Found { primaries: sorted.collect(), ..Found::default() })
}

/// The replicas of the server that answered `CLUSTER NODES`, without those that a majority of the primaries holds for dead.
pub(in super::super) fn own_replicas(nodes: &str) -> Vec<Address> {
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
            successors: Successors::default(),
        };
        let of = |primaries| Found { primaries, ..Found::default() };
        let found = of(vec![at("a", &[(0, 1), (4, 16383)]), at("b", &[(2, 2)])]);
        assert_eq!(found.table()[..6], [0, 0, 1, u16::MAX, 0, 0]);
        assert_eq!((found.table()[16383], found.primaries.iter().map(Primary::covered).sum::<usize>()), (0, 16383));
        let moved = of(vec![at("a", &[(0, 2), (4, 16383)])]);
        assert_ne!(moved.fingerprint(), found.fingerprint());
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
        (address(by), Found { primaries: primaries.iter().map(primary).collect(), epoch: 0 })
    }

    #[test]
    fn that_a_primary_has_no_successor_is_for_other_primaries_to_say() {
        let all: [(&str, &[&str]); 3] = [("a", &[]), ("b", &["y"]), ("c", &[])];
        let of_a = |views: &[View]| together(views).primaries.remove(0).successors;
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
