//! Finds the primaries of a Cluster. Each of its servers knows all primaries, their slots, and
//! their replicas.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::{ops::RangeInclusive, rc::Rc, time::Duration};

use futures_util::{StreamExt, stream};
use redis::{Value, from_redis_value};
use tokio::time::Instant;

use super::failure::{Cause, Reason, describe};
use super::primaries::{Primary, Successors, ask};
use super::{call::CLUSTER_SLOTS, server::Server, url::Address};

/// How many servers are asked at a time. There are two because one may be frozen.
const AT_A_TIME: usize = 2;
/// How long a replica counts that only its primary knows. The other primaries hear of it within
/// half of `cluster-node-timeout`, which is 15 s by default. The time is limited so that a replica
/// that never gets the data does not block writes.
const HEARD_OF_WITHIN: Duration = Duration::from_secs(15);

/// A server of the Cluster, and the primaries that it knows. In a view,
/// [`Successors::EveryReplica`] may be an empty list.
type View = (Address, Vec<Primary>);

/// Asks the servers, those whose last call failed last, until the successors of each primary are
/// known. If they cannot be found out, all servers have been asked.
pub(crate) async fn find(mut servers: Vec<Rc<Server>>) -> Result<Vec<Primary>, Reason> {
    servers.sort_by_key(|server| server.fails.get());
    let mut seen = HashSet::new();
    servers.retain(|server| seen.insert(server.address.clone()));
    let mut answers = stream::iter(servers)
        .map(view_of)
        .buffer_unordered(AT_A_TIME);
    let mut views = Vec::new();
    let mut reason = Reason::from("");
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(view) => views.push(view),
            Err(error) => reason = error,
        }
        if together(&views).is_some_and(|found| {
            found
                .iter()
                .all(|found| found.successors != Successors::Unknown)
        }) {
            break;
        }
    }
    together(&views).ok_or_else(|| {
        reason.cause.because(format!(
            "no server of the Cluster says where its primaries are; {reason}"
        ))
    })
}

async fn view_of(server: Rc<Server>) -> Result<View, Reason> {
    let read = |mut answers: Vec<Value>| {
        let answer = answers.pop().unwrap_or(Value::Nil).extract_error();
        let answer = answer.map_err(|error| match error.detail() {
            Some(words) if words.contains("cluster support disabled") => Cause::NoCluster
                .because("it is no Cluster: write redis:// instead of redis+cluster://"),
            _ => describe(&error),
        })?;
        parse(answer, &server.address)
    };
    let primaries = ask(&server, redis::pipe().cmd("CLUSTER").arg("SLOTS"), read).await?;
    Ok((server.address.clone(), primaries))
}

/// The replicas that only this primary knows, for [`HEARD_OF_WITHIN`]. A replica that has just come
/// back with all the data and then loses its link could take over before the other primaries have
/// heard that it has data.
pub(crate) async fn newcomers(primary: &Server, deadline: Instant) -> Result<Vec<Address>, Reason> {
    let said = primary
        .answers(redis::pipe().cmd("CLUSTER").arg("NODES"), deadline)
        .await?
        .pop();
    // The user of Redis may lack the right to `CLUSTER NODES`.
    let named = own_replicas(
        &said
            .and_then(|said| from_redis_value::<String>(said).ok())
            .unwrap_or_default(),
    );
    let mut newcomers = primary.newcomers.borrow_mut();
    newcomers.retain(|replica, _| named.contains(replica));
    let new = named.into_iter().filter(|one| {
        let heard_of = newcomers.entry(one.clone()).or_insert_with(Instant::now);
        heard_of.elapsed() < HEARD_OF_WITHIN
    });
    Ok(new.collect())
}

/// Merges the views: the primaries of the first view, with the replicas that any view names.
///
/// The primaries elect a successor by a majority of votes. A primary does not count as a witness
/// for itself. If the primary and the witnesses that know no replica of it are at least half of all
/// primaries, the others have no majority to elect a successor.
fn together(views: &[View]) -> Option<Vec<Primary>> {
    let (_, primaries) = views.first()?;
    let is_voter = |one: &Address| primaries.iter().any(|primary| primary.address == *one);
    let with_successors = primaries.iter().map(|primary| {
        let views = || {
            views.iter().filter_map(|(by, view)| {
                let same = view.iter().find(|other| other.address == primary.address)?;
                Some((by, same))
            })
        };
        let witnesses = views()
            .filter(|(by, _)| **by != primary.address && is_voter(by))
            .count();
        let named = views().filter_map(|(_, view)| match &view.successors {
            Successors::EveryReplica(replicas) => Some(replicas),
            _ => None,
        });
        let named: BTreeSet<_> = named.flatten().collect();
        let successors = match named.is_empty() {
            false => Successors::EveryReplica(named.into_iter().cloned().collect()),
            true if witnesses >= primaries.len() / 2 => Successors::NoneBut(Vec::new()),
            true => Successors::Unknown,
        };
        Primary {
            successors,
            ..primary.clone()
        }
    });
    Some(with_successors.collect())
}

/// Parses the answer to `CLUSTER SLOTS`: the first and the last slot of each range, and its
/// servers. The first server is the primary, the others are its replicas. Redis leaves out replicas
/// that a majority of the primaries holds for dead, or that have received no data.
pub(crate) fn parse(answer: Value, asked: &Address) -> Result<Vec<Primary>, Reason> {
    let unreadable =
        || Cause::UnexpectedAnswer.because("its answer to CLUSTER SLOTS cannot be read");
    let mut primaries = BTreeMap::<Address, (Vec<RangeInclusive<u16>>, BTreeSet<Address>)>::new();
    let ranges: Vec<Vec<Value>> = from_redis_value(answer).map_err(|_| unreadable())?;
    for range in ranges {
        let (slots, servers) = read_range(range, asked).ok_or_else(unreadable)?;
        let (primary, replicas) = servers.split_first().ok_or_else(unreadable)?;
        let known = primaries.entry(primary.clone()).or_default();
        known.0.push(slots);
        known.1.extend(replicas.iter().cloned());
    }
    if primaries.is_empty() {
        return Err("it knows no slots: the Cluster is not set up".into());
    }
    let sorted = primaries
        .into_iter()
        .map(|(address, (mut slots, replicas))| {
            slots.sort_by_key(|range| *range.start());
            Primary {
                address,
                slots,
                successors: Successors::EveryReplica(replicas.into_iter().collect()),
            }
        });
    Ok(sorted.collect())
}

fn read_range(range: Vec<Value>, asked: &Address) -> Option<(RangeInclusive<u16>, Vec<Address>)> {
    let mut members = range.into_iter();
    let first: u16 = from_redis_value(members.next()?).ok()?;
    let last: u16 = from_redis_value(members.next()?).ok()?;
    let servers = members
        .map(|server| address(server, asked))
        .collect::<Option<_>>()?;
    (first <= last && usize::from(last) < CLUSTER_SLOTS).then_some((first..=last, servers))
}

/// Reads the host and the port of a server. The host is missing if it is that of the server that
/// was asked.
fn address(server: Value, asked: &Address) -> Option<Address> {
    let mut members = from_redis_value::<Vec<Value>>(server).ok()?.into_iter();
    let host: Option<String> = from_redis_value(members.next()?).ok()?;
    let port = from_redis_value(members.next()?).ok()?;
    let host = host
        .filter(|host| !["", "?"].contains(&host.as_str()))
        .unwrap_or_else(|| asked.host.clone());
    Some(Address { host, port })
}

/// The replicas of the server that answered `CLUSTER NODES`, without those that a majority of the
/// primaries holds for dead.
fn own_replicas(nodes: &str) -> Vec<Address> {
    let rows: Vec<Vec<_>> = nodes
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    let has = |row: &[&str], flag| {
        row.get(2)
            .is_some_and(|flags| flags.split(',').any(|one| one == flag))
    };
    let Some(own) = rows.iter().find(|row| has(row, "myself")) else {
        return Vec::new();
    };
    let of_it = rows
        .iter()
        .filter(|row| row.get(3) == own.first() && !has(row, "fail"));
    let addresses = of_it.filter_map(|row| {
        let (host, port) = row.get(1)?.split('@').next()?.rsplit_once(':')?;
        Some(Address {
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A primary as text, and its ranges of slots.
    type Row = (String, Vec<(u16, u16)>);

    fn parsed(answer: &str) -> Result<Vec<Row>, String> {
        let asked = Address {
            host: "10.0.0.9".into(),
            port: 6379,
        };
        let answer =
            redis::parse_redis_value(answer.replace(' ', "\r\n").as_bytes()).expect("RESP");
        let row = |primary: Primary| {
            (
                primary.address.to_string(),
                primary
                    .slots
                    .iter()
                    .map(|range| (*range.start(), *range.end()))
                    .collect(),
            )
        };
        let found = parse(answer, &asked).map_err(|reason| reason.to_string())?;
        Ok(found.into_iter().map(row).collect())
    }

    #[test]
    fn the_first_server_of_a_range_is_its_primary() {
        let node = |host: &str| format!("*4 {host} :7000 $2 id *0 ");
        let range = |first: u16, last: u16, host: &str| {
            format!("*4 :{first} :{last} {}{}", node(host), node("$8 10.0.0.5"))
        };
        let one = |host: &str| {
            parsed(&format!("*1 {}", range(0, 16383, host))).map(|mut found| found.remove(0).0)
        };
        assert_eq!(one("$8 10.0.0.1"), Ok("10.0.0.1:7000".into()));
        assert_eq!(
            one("$-1"),
            Ok("10.0.0.9:7000".into()),
            "Redis 7 that knows no host"
        );
        assert_eq!(
            one("$0 "),
            Ok("10.0.0.9:7000".into()),
            "Redis 6 that knows no host"
        );
        assert_eq!(
            one("$1 ?"),
            Ok("10.0.0.9:7000".into()),
            "a host name that is not set"
        );
        assert_eq!(one("$11 one.example"), Ok("one.example:7000".into()));
        assert_eq!(one("$11 2001:db8::1"), Ok("[2001:db8::1]:7000".into()));

        let three = [
            range(9, 10, "$1 b"),
            range(0, 4, "$1 b"),
            range(5, 5, "$1 a"),
        ]
        .concat();
        let expected = vec![
            ("a:7000".into(), vec![(5, 5)]),
            ("b:7000".into(), vec![(0, 4), (9, 10)]),
        ];
        assert_eq!(parsed(&format!("*3 {three}")), Ok(expected));
        assert!(parsed("*0 ").is_err_and(|error| error.contains("not set up")));
        for bad in [
            "+OK ",
            &format!("*1 {}", range(0, 16384, "$1 a")),
            &format!("*1 {}", range(3, 2, "$1 a")),
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
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
        let address = |host: &str| Address {
            host: host.into(),
            port: 1,
        };
        let primary = |(host, replicas): &(&str, &[&str])| {
            let replicas = replicas.iter().map(|replica| address(replica)).collect();
            Primary {
                address: address(host),
                slots: Vec::new(),
                successors: Successors::EveryReplica(replicas),
            }
        };
        (address(by), primaries.iter().map(primary).collect())
    }

    #[test]
    fn that_a_primary_has_no_successor_is_for_other_primaries_to_say() {
        let all: [(&str, &[&str]); 3] = [("a", &[]), ("b", &["y"]), ("c", &[])];
        let of_a = |views: &[View]| together(views).expect("a view").remove(0).successors;
        let none = Successors::NoneBut(Vec::new());
        assert_eq!(
            of_a(&[view("a", &all)]),
            Successors::Unknown,
            "its own word"
        );
        assert_eq!(
            of_a(&[view("y", &all)]),
            Successors::Unknown,
            "the word of a replica, which has no vote"
        );
        assert_eq!(
            of_a(&[view("a", &all), view("c", &all)]),
            none,
            "then b alone elects nobody"
        );
        let replaced: [(&str, &[&str]); 3] = [("b", &["y"]), ("c", &[]), ("x", &["a"])];
        let views = [view("a", &all), view("c", &replaced)];
        assert_eq!(
            of_a(&views),
            Successors::Unknown,
            "it holds another one for the primary"
        );
        let with_x: [(&str, &[&str]); 3] = [("a", &["x"]), ("b", &["y"]), ("c", &[])];
        let x = Successors::EveryReplica(vec![Address {
            host: "x".into(),
            port: 1,
        }]);
        assert_eq!(
            of_a(&[view("b", &all), view("c", &with_x)]),
            x,
            "one of them knows a replica"
        );
    }
}
