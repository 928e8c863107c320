//! Finds the primary with Sentinels, which know the primary and decide which replica takes over. A
//! Sentinel may be behind, so the answer with the newest epoch counts, and the server must say
//! itself that it is a primary.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::{cell::Cell, cmp::Reverse, rc::Rc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{FromRedisValue, Value, from_redis_value};

use super::failure::{Cause, Reason, describe};
use super::primaries::{Primary, Successors, ask};
use super::{connector::Connector, info::member, server::Server, url::Address};

/// A replica is not promoted if its link to the primary has been down for longer than this times
/// `down-after-milliseconds`.
const LINK_DOWN_FACTOR: u64 = 10;

/// A Sentinel's answer about the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    epoch: u64,
    primary: Address,
    /// Whether it neither holds the primary for dead nor replaces it.
    is_sure: bool,
    /// The replicas that it knows, each with whether it might promote the replica.
    replicas: Vec<(Address, bool)>,
}

pub(crate) struct Sentinels {
    servers: Vec<Server>,
    master: String,
    /// The epoch of the primary that was found last. It increases with each failover.
    epoch: Cell<Option<u64>>,
}

impl Sentinels {
    pub(crate) fn new(addresses: &[Address], master: &str, connector: &Connector) -> Self {
        let connector = Rc::new(Connector {
            to_sentinels: true,
            ..connector.clone()
        });
        let servers = addresses
            .iter()
            .map(|address| Server::new(address.clone(), &connector))
            .collect();
        Self {
            servers,
            master: master.to_owned(),
            epoch: Cell::default(),
        }
    }

    /// Asks all Sentinels at once, and waits for all of them, unless one names a primary with a
    /// newer epoch than the last one.
    pub(crate) async fn find(
        &self,
        server: impl Fn(&Address) -> Rc<Server>,
    ) -> Result<Primary, Reason> {
        let asked = self
            .servers
            .iter()
            .map(|sentinel| word(sentinel, &self.master));
        let mut answers = asked.collect::<FuturesUnordered<_>>();
        let mut words = Vec::<Word>::new();
        let mut reason = Reason::from("");
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(word) => {
                    let is_newer = self.epoch.get().is_some_and(|epoch| word.epoch > epoch);
                    words.push(word);
                    if is_newer && let Ok(primary) = self.newest(&words, &server).await {
                        return Ok(primary);
                    }
                }
                Err(error) => reason = error,
            }
        }
        self.newest(&words, &server).await.map_err(|error| {
            let reason = if words.is_empty() { reason } else { error };
            let cause = match reason.cause {
                Cause::NotPermitted | Cause::Refused | Cause::UnexpectedAnswer | Cause::Other => {
                    Cause::NoPrimaryNamed
                }
                cause => cause,
            };
            cause.because(format!(
                "the Sentinels name no server that is the primary of {}; {reason}",
                self.master
            ))
        })
    }

    /// The named server with the newest epoch that says itself that it is a primary.
    async fn newest(
        &self,
        words: &[Word],
        server: impl Fn(&Address) -> Rc<Server>,
    ) -> Result<Primary, Reason> {
        let named: BTreeSet<_> = words
            .iter()
            .map(|word| (Reverse(word.epoch), &word.primary))
            .collect();
        let mut reason = Reason::from("");
        for (Reverse(epoch), address) in named {
            match is_primary(&server(address)).await {
                Ok(()) => {
                    self.epoch.set(Some(epoch));
                    let successors = successors(address, words, self.servers.len());
                    return Ok(Primary {
                        successors,
                        ..Primary::alone(address)
                    });
                }
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }
}

/// Checks that a server says itself that it is a primary. Uses `INFO replication` and not `ROLE`,
/// because users of Redis usually have the right to the former.
async fn is_primary(server: &Server) -> Result<(), Reason> {
    let read = |mut answers: Vec<Value>| {
        let info: String = read(answers.pop().unwrap_or(Value::Nil))?;
        (member(&info, "role") == Some("master"))
            .then_some(())
            .ok_or_else(|| "it is a replica".into())
    };
    ask(server, redis::pipe().cmd("INFO").arg("replication"), read).await
}

/// Finds the replicas that could take over from a primary. A replica counts if one Sentinel might
/// promote it. If no majority of the `sentinels` is sure of the primary, every replica counts.
fn successors(primary: &Address, words: &[Word], sentinels: usize) -> Successors {
    let of_it = || words.iter().filter(|word| word.primary == *primary);
    let mut known = BTreeMap::<&Address, bool>::new();
    // During a failover, its leader names the promoted server among the replicas although it is
    // already the primary.
    for (replica, is_fit) in of_it()
        .flat_map(|word| &word.replicas)
        .filter(|(replica, _)| replica != primary)
    {
        *known.entry(replica).or_default() |= is_fit;
    }
    let is_majority_sure = of_it().filter(|word| word.is_sure).count() > sentinels / 2;
    let could = known
        .iter()
        .filter(|(_, is_fit)| **is_fit || !is_majority_sure);
    let could: Vec<_> = could.map(|(&replica, _)| replica.clone()).collect();
    match known.len() {
        0 if !is_majority_sure => Successors::Unknown,
        all if all > 0 && all == could.len() => Successors::EveryReplica(could),
        _ => Successors::NoneBut(could),
    }
}

async fn word(sentinel: &Server, master: &str) -> Result<Word, Reason> {
    let mut question = redis::pipe();
    for what in ["GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS"] {
        question.cmd("SENTINEL").arg(what).arg(master);
    }
    ask(sentinel, &question, |answers| read_word(answers, master)).await
}

fn read_word(answers: Vec<Value>, master: &str) -> Result<Word, Reason> {
    let [named, fields, replicas] = answers.try_into().unwrap_or([const { Value::Nil }; 3]);
    let named: Option<(String, u16)> = read(named)?;
    let (host, port) = named
        .ok_or_else(|| Cause::NoMaster.because(format!("it watches no master named {master}")))?;
    let fields: Fields = read(fields)?;
    // The user of the Sentinel may lack this right. Then it is unknown which replicas could take
    // over.
    let replicas: Option<Vec<Fields>> = read(replicas).ok();
    let promoted = |replica: &Fields| {
        replica
            .get("role-reported")
            .is_some_and(|role| role == "master")
    };
    let is_sure = !["s_down", "o_down", "failover_in_progress"]
        .into_iter()
        .any(|flag| has(&fields, flag));
    Ok(Word {
        epoch: number(&fields, "config-epoch").unwrap_or_default(),
        primary: Address { host, port },
        is_sure: is_sure
            && replicas
                .as_ref()
                .is_some_and(|replicas| !replicas.iter().any(promoted)),
        replicas: replicas
            .unwrap_or_default()
            .iter()
            .filter_map(replica)
            .collect(),
    })
}

type Fields = HashMap<String, String>;

/// A replica's address, and whether the Sentinel might promote it. The rule is that of
/// `sentinelSelectSlave` of Redis, but accepts a little more.
fn replica(fields: &Fields) -> Option<(Address, bool)> {
    let address = Address {
        host: fields.get("ip")?.clone(),
        port: number(fields, "port")?.try_into().ok()?,
    };
    let is_down = has(fields, "s_down") || has(fields, "o_down");
    let is_behind = fields
        .get("master-link-status")
        .is_some_and(|status| status != "ok")
        && number(fields, "master-link-down-time")
            > Some(LINK_DOWN_FACTOR * number(fields, "down-after-milliseconds")?);
    let is_excluded = number(fields, "slave-priority") == Some(0);
    Some((address, !is_down && !is_behind && !is_excluded))
}

fn has(fields: &Fields, flag: &str) -> bool {
    fields
        .get("flags")
        .is_some_and(|flags| flags.split(',').any(|one| one == flag))
}

fn number(fields: &Fields, name: &str) -> Option<u64> {
    fields.get(name)?.parse().ok()
}

fn read<T: FromRedisValue>(answer: Value) -> Result<T, Reason> {
    let answer = answer.extract_error().map_err(|error| describe(&error))?;
    from_redis_value(answer).map_err(|error| describe(&error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_the_sentinels_says_which_replica_could_not_take_over() {
        let address = |host: &str| Address {
            host: host.into(),
            port: 1,
        };
        let word = |is_sure, x: bool, y: bool| Word {
            epoch: 1,
            primary: address("a"),
            is_sure,
            replicas: vec![(address("x"), x), (address("y"), y)],
        };
        let elsewhere = Word {
            primary: address("b"),
            ..word(true, true, true)
        };
        let in_failover = Word {
            replicas: vec![(address("a"), true)],
            ..word(false, true, true)
        };
        let all = |hosts: &[&str]| {
            Successors::EveryReplica(hosts.iter().map(|host| address(host)).collect())
        };
        let only =
            |hosts: &[&str]| Successors::NoneBut(hosts.iter().map(|host| address(host)).collect());
        for (words, expected) in [
            (vec![word(true, true, true)], all(&["x", "y"])),
            (vec![word(true, true, false)], all(&["x", "y"])),
            (
                vec![word(true, true, false), word(true, true, false)],
                only(&["x"]),
            ),
            (
                vec![
                    word(true, false, false),
                    word(true, false, false),
                    word(true, true, false),
                ],
                only(&["x"]),
            ),
            (
                vec![word(true, false, false), word(false, false, false)],
                all(&["x", "y"]),
            ),
            (vec![word(true, false, false), elsewhere], all(&["x", "y"])),
            (
                vec![word(true, false, false), word(true, false, false)],
                only(&[]),
            ),
            (
                vec![Word {
                    replicas: vec![],
                    ..word(true, true, true)
                }],
                Successors::Unknown,
            ),
            (vec![in_failover, word(true, true, true)], all(&["x", "y"])),
        ] {
            assert_eq!(successors(&address("a"), &words, 3), expected, "{words:?}");
        }
    }

    #[test]
    fn a_replica_is_left_out_if_no_sentinel_would_promote_it() {
        let fit = |flags: &str, link: &str, down_for: u64, priority: u32| {
            let (down_for, priority) = (down_for.to_string(), priority.to_string());
            let fields = [
                ("ip", "10.0.0.1"),
                ("port", "6379"),
                ("flags", flags),
                ("master-link-status", link),
            ];
            let more = [
                ("down-after-milliseconds", "1000"),
                ("master-link-down-time", &down_for),
                ("slave-priority", &priority),
            ];
            let fields = fields
                .into_iter()
                .chain(more)
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            replica(&fields.collect()).expect("a replica").1
        };
        assert!(fit("slave", "ok", 0, 100));
        assert!(fit("slave,disconnected", "ok", 0, 100), "not down yet");
        assert!(!fit("slave,s_down,disconnected", "ok", 0, 100));
        assert!(
            fit("slave", "err", 10_000, 100),
            "the primary may be cut off"
        );
        assert!(!fit("slave", "err", 10_001, 100));
        assert!(!fit("slave", "ok", 0, 0));
    }
}
