//! Sentinels know which server is the primary, and decide who takes over from it. One may be behind: the newest answer counts,
//! and the server must say itself that it is a primary.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{FromRedisValue, Value, from_redis_value};

use super::{
    super::{Result, StoreError},
    connector::Connection,
    failure::describe,
    primaries::{Primaries, Primary, Successors, ask},
    url::Address,
};

/// A replica without a link to its primary for longer than this times `down-after-milliseconds` is not promoted.
const LINK_DOWN_FACTOR: u64 = 10;

/// What a worker has of the Sentinels.
#[derive(Default)]
pub(super) struct Sentinels {
    /// They are asked every second.
    connections: RefCell<HashMap<Address, Connection>>,
    /// Of the primary until now. It increases with each failover.
    epoch: Cell<u64>,
}

/// What a Sentinel says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    epoch: u64,
    primary: Address,
    /// It does not hold the primary for dead, and is not replacing it.
    is_sure: bool,
    /// The replicas that it knows, and whether it might promote each.
    replicas: Vec<(Address, bool)>,
}

impl Primaries {
    /// Asks all Sentinels at once, and waits for all of them, unless one names a newer primary than the one until now.
    pub(super) async fn find_by_sentinels(
        &self,
        sentinels: &[Address],
        master: &str,
        failing: Option<&Address>,
    ) -> Result<Vec<Primary>> {
        let asked = sentinels.iter().map(|sentinel| self.ask_sentinel(sentinel, master));
        let (mut answers, mut words) = (asked.collect::<FuturesUnordered<_>>(), Vec::<Word>::new());
        let before = self.sentinels.epoch.get();
        let found = |primary: &Address, epoch, words: &[Word]| {
            self.sentinels.epoch.set(epoch);
            let successors = successors(primary, words, sentinels.len());
            Ok(vec![Primary { successors, ..Primary::alone(primary) }])
        };
        let mut reason = "no Sentinel is known".to_owned();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(word) => {
                    let (epoch, primary) = (word.epoch, word.primary.clone());
                    words.push(word);
                    if before > 0 && epoch > before && self.is_primary(&primary, failing).await.is_ok() {
                        return found(&primary, epoch, &words);
                    }
                }
                Err(error) => reason = error.reason,
            }
        }
        let named = words.iter().map(|word| (word.epoch, word.primary.clone())).collect();
        for (epoch, primary) in best_first(named, failing) {
            match self.is_primary(&primary, failing).await {
                Ok(()) => return found(&primary, epoch, &words),
                Err(error) => reason = error.reason,
            }
        }
        Err(StoreError { reason: format!("the Sentinels name no server that is the primary of {master}; {reason}") })
    }

    async fn ask_sentinel(&self, sentinel: &Address, master: &str) -> Result<Word> {
        let kept = &self.sentinels.connections;
        let asking = async {
            let connection = kept.borrow().get(sentinel).cloned();
            if let Some(connection) = connection
                && let Ok(word) = word(connection, master).await
            {
                return Ok(word);
            }
            let connection = self.connector.connect_to_sentinel(sentinel).await?;
            kept.borrow_mut().insert(sentinel.clone(), connection.clone());
            word(connection, master).await
        };
        let answer = ask(sentinel, asking).await;
        if answer.is_err() {
            kept.borrow_mut().remove(sentinel);
        }
        answer
    }

    /// That a server says of itself that it is a primary. By `INFO replication` and not by `ROLE`, because every user of wxmint
    /// has the right to the first. A `failing` one is asked by a new connection.
    async fn is_primary(&self, address: &Address, failing: Option<&Address>) -> Result<()> {
        let asking = async {
            let mut connection = match failing == Some(address) {
                true => self.connector.connect(address).await?,
                false => self.connection(address).await?,
            };
            let asked = connection.send(redis::pipe().cmd("INFO").arg("replication")).await;
            let answer = asked.map_err(|error| describe(&error))?.pop().unwrap_or(Value::Nil);
            let info: String = read(answer)?;
            match info.lines().any(|line| line.trim() == "role:master") {
                true => Ok(()),
                false => Err(StoreError { reason: "it is a replica".into() }),
            }
        };
        ask(address, asking).await
    }
}

/// Whom a Sentinel names, and in which of its epochs.
type Named = (u64, Address);

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

/// Who could take over from a primary. One Sentinel that might promote a replica is enough, and if no majority of the
/// `sentinels` is sure of the primary, any replica may be promoted.
fn successors(primary: &Address, words: &[Word], sentinels: usize) -> Successors {
    let of_it = || words.iter().filter(|word| word.primary == *primary);
    let mut known = BTreeMap::<&Address, bool>::new();
    for (replica, is_fit) in of_it().flat_map(|word| &word.replicas) {
        *known.entry(replica).or_default() |= is_fit;
    }
    let are_agreed = of_it().filter(|word| word.is_sure).count() > sentinels / 2;
    let count = known.len();
    let could = known.into_iter().filter(|(_, is_fit)| *is_fit || !are_agreed);
    let replicas: Vec<_> = could.map(|(replica, _)| replica.clone()).collect();
    Successors { are_all: count > 0 && replicas.len() == count, are_agreed, replicas }
}

async fn word(mut connection: Connection, master: &str) -> Result<Word> {
    let mut commands = redis::pipe();
    for what in ["GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS"] {
        commands.cmd("SENTINEL").arg(what).arg(master);
    }
    let answers = connection.send(&commands).await.map_err(|error| describe(&error))?;
    let [named, fields, replicas] = answers.try_into().unwrap_or([const { Value::Nil }; 3]);
    let unknown = || StoreError { reason: format!("it watches no master named {master}") };
    let (host, port) = read::<Option<(String, u16)>>(named)?.ok_or_else(unknown)?;
    let fields: Fields = read(fields)?;
    // A user of the Sentinel may lack this right. Then it is not known who could take over.
    let replicas: Option<Vec<Fields>> = read(replicas).ok();
    let promoted = |replica: &Fields| replica.get("role-reported").is_some_and(|role| role == "master");
    let is_sure = !["s_down", "o_down", "failover_in_progress"].into_iter().any(|flag| has(&fields, flag));
    Ok(Word {
        epoch: number(&fields, "config-epoch").unwrap_or_default(),
        primary: Address { host, port },
        is_sure: is_sure && replicas.as_ref().is_some_and(|replicas| !replicas.iter().any(promoted)),
        replicas: replicas.unwrap_or_default().iter().filter_map(replica).collect(),
    })
}

type Fields = HashMap<String, String>;

/// Its address, and whether the Sentinel might promote it: by `sentinelSelectSlave` of Redis, a little more generous.
fn replica(fields: &Fields) -> Option<(Address, bool)> {
    let address = Address { host: fields.get("ip")?.clone(), port: number(fields, "port")?.try_into().ok()? };
    let is_down = has(fields, "s_down") || has(fields, "o_down");
    let is_behind = fields.get("master-link-status").is_some_and(|status| status != "ok")
        && number(fields, "master-link-down-time")
            > Some(LINK_DOWN_FACTOR * number(fields, "down-after-milliseconds")?);
    let is_excluded = number(fields, "slave-priority") == Some(0);
    Some((address, !is_down && !is_behind && !is_excluded))
}

fn has(fields: &Fields, flag: &str) -> bool {
    fields.get("flags").is_some_and(|flags| flags.split(',').any(|one| one == flag))
}

fn number(fields: &Fields, name: &str) -> Option<u64> {
    fields.get(name)?.parse().ok()
}

fn read<T: FromRedisValue>(answer: Value) -> Result<T> {
    let answer = answer.extract_error().map_err(|error| describe(&error))?;
    from_redis_value(answer).map_err(|error| describe(&error.into()))
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

    #[test]
    fn a_majority_of_the_sentinels_says_which_replica_could_not_take_over() {
        let address = |host: &str| Address { host: host.into(), port: 1 };
        let word = |is_sure, x: bool, y: bool| Word {
            epoch: 1,
            primary: address("a"),
            is_sure,
            replicas: vec![(address("x"), x), (address("y"), y)],
        };
        let elsewhere = Word { primary: address("b"), ..word(true, true, true) };
        for (words, replicas, are_all, are_agreed) in [
            (vec![word(true, true, true)], "x y", true, false),
            (vec![word(true, true, false)], "x y", true, false),
            (vec![word(true, true, false), word(true, true, false)], "x", false, true),
            (vec![word(true, false, false), word(true, false, false), word(true, true, false)], "x", false, true),
            (vec![word(true, false, false), word(false, false, false)], "x y", true, false),
            (vec![word(true, false, false), elsewhere], "x y", true, false),
            (vec![word(true, false, false), word(true, false, false)], "", false, true),
            (vec![Word { replicas: vec![], ..word(true, true, true) }], "", false, false),
        ] {
            let found = successors(&address("a"), &words, 3);
            let hosts: Vec<_> = found.replicas.iter().map(|replica| replica.host.as_str()).collect();
            assert_eq!(
                (hosts.join(" ").as_str(), found.are_all, found.are_agreed),
                (replicas, are_all, are_agreed),
                "{words:?}"
            );
        }
    }

    #[test]
    fn a_replica_is_left_out_if_no_sentinel_would_promote_it() {
        let fit = |flags: &str, link: &str, down_for: u64, priority: u32| {
            let (down_for, priority) = (down_for.to_string(), priority.to_string());
            let fields = [("ip", "10.0.0.1"), ("port", "6379"), ("flags", flags), ("master-link-status", link)];
            let more = [
                ("down-after-milliseconds", "1000"),
                ("master-link-down-time", &down_for),
                ("slave-priority", &priority),
            ];
            let fields = fields.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value.to_owned()));
            replica(&fields.collect()).expect("a replica").1
        };
        assert!(fit("slave", "ok", 0, 100));
        assert!(fit("slave,disconnected", "ok", 0, 100), "not down yet");
        assert!(!fit("slave,s_down,disconnected", "ok", 0, 100));
        assert!(fit("slave", "err", 10_000, 100), "the primary may be cut off");
        assert!(!fit("slave", "err", 10_001, 100));
        assert!(!fit("slave", "ok", 0, 0));
    }
}
