//! Reads answers of primaries to `INFO`, above all which replicas they have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{rc::Rc, sync::Arc};

use futures_util::future::join_all;
use redis::{FromRedisValue, Pipeline, Value, from_redis_value_ref};
use tokio::time::Instant;

use super::server::{Server, read};
use super::url::{Address, RedisUrl};
use super::{access::Confirm, failure::Result, link::RedisClient, primaries::Primary};

/// The value of a field in an answer to `INFO`.
pub fn member<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// The greatest lag of a live replica, in seconds. A replica reports each second, and at once when
/// its primary is told to WAIT.
const LIVE_LAG: i64 = 1;

/// The replication state of a primary, as it reports it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replication {
    /// The replication id (`master_replid`), which differs for each primary, even behind the same
    /// name.
    pub(crate) id: String,
    /// The primary's replication offset.
    offset: u64,
    /// The replicas that have all the data. A replica that is still copying confirms nothing.
    replicas: Vec<Replica>,
    /// The replicas that are still copying the data.
    pub(crate) copying: Vec<Replica>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) address: Address,
    is_online: bool,
    /// The offset that it has confirmed.
    offset: u64,
    /// Seconds since it last reported. It may be -1 at the beginning of a second, because Redis
    /// compares two clocks of its own.
    lag: i64,
}

impl Replication {
    /// Parses `INFO replication`; `None` if the fields are missing, as in the answer of a stand-in
    /// for Redis.
    pub(crate) fn parse(info: &str) -> Option<Self> {
        let id = member(info, "master_replid")?.to_owned();
        let offset = member(info, "master_repl_offset")?.parse().ok()?;
        let (replicas, copying) = info
            .lines()
            .filter_map(replica)
            .partition(|replica| replica.is_online);
        Some(Self {
            id,
            offset,
            replicas,
            copying,
        })
    }

    /// The addresses of the replicas that have all the data.
    pub(crate) fn online(&self) -> impl Iterator<Item = &Address> {
        self.replicas.iter().map(|replica| &replica.address)
    }

    /// The online replicas that have reported lately. Redis calls a silent replica online for
    /// another minute.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Address> {
        self.replicas
            .iter()
            .filter(|replica| replica.lag <= LIVE_LAG)
            .map(|replica| &replica.address)
    }

    /// The replicas that have all data that the primary had written at `before`. There are none if
    /// `before` is the state of another primary.
    pub(crate) fn confirmed<'a>(&'a self, before: &Self) -> impl Iterator<Item = &'a Address> {
        let is_same = self.id == before.id;
        let written = before.offset;
        self.replicas
            .iter()
            .filter(move |replica| is_same && replica.offset >= written)
            .map(|replica| &replica.address)
    }
}

/// Reads `slave0:ip=10.0.0.1,port=6379,state=online,offset=14,lag=0`. A replica with port 0 is a
/// backup, which cannot take over.
fn replica(line: &str) -> Option<Replica> {
    let (name, members) = line.strip_prefix("slave")?.split_once(':')?;
    let member = |name| {
        members
            .split(',')
            .find_map(|member| member.trim().strip_prefix(name))
    };
    name.parse::<u32>().ok()?;
    let port = member("port=")?.parse().ok().filter(|port| *port > 0)?;
    Some(Replica {
        address: Address {
            host: member("ip=")?.to_owned(),
            port,
        },
        is_online: member("state=") == Some("online"),
        offset: member("offset=")?.parse().ok()?,
        lag: member("lag=")?.parse().ok()?,
    })
}

/// Reads a server's answer to `INFO replication`; `None` if it refuses the command.
pub(crate) fn replication(server: &Server, info: &Value) -> Option<Replication> {
    Replication::parse(&from_redis_value_ref::<String>(not_refused(server, info)?).ok()?)
}

/// Returns the answer unless it is an error. The first error of the process is logged.
pub(crate) fn not_refused<'a>(server: &Server, answer: &'a Value) -> Option<&'a Value> {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let Value::ServerError(error) = answer else {
        return Some(answer);
    };
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            redis = server.name,
            code = error.code(),
            setting = server.connector.access.program.confirm,
            "Redis refuses the command WAIT (or INFO), so replicas cannot confirm a write before it is answered: a failover may \
             lose the last writes; set the setting to 0 if that is meant"
        );
    }
    None
}

/// The state of the primaries, as they report it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The addresses of the primaries that answer, each with the number of its online replicas.
    pub primaries: Vec<(String, u32)>,
    /// Whether all primaries answer.
    pub all_answer: bool,
    /// The number of slots that the answering primaries have; `None` without a Cluster.
    pub slots: Option<usize>,
    /// The number of replicas that each primary should have.
    pub wanted: u32,
    /// Whether confirmed writes fail if a primary has fewer replicas.
    pub are_required: bool,
    /// The difference between the slowest and the fastest clock of the answering primaries, in
    /// seconds; `None` if none answers.
    pub clock_difference: Option<f64>,
    /// The number of keys that the answering primaries have evicted since they were started,
    /// because their memory was full.
    pub evicted: u64,
}

impl RedisClient {
    /// The number of connections that the client has made by its present URL, and that URL.
    pub fn connections_made(&self) -> (u64, Arc<RedisUrl>) {
        let primaries = self.primaries();
        (
            primaries.connector.made.get(),
            Arc::clone(&primaries.connector.url),
        )
    }

    /// Whether the URL names a Cluster.
    pub fn is_cluster(&self) -> bool {
        self.primaries().is_cluster()
    }

    /// The known primaries, in the order of their addresses. Searches for them if none is known.
    pub async fn all_primaries(&self) -> Result<Vec<(Primary, Rc<Server>)>> {
        let primaries = self.primaries();
        if primaries.all().is_empty() {
            primaries.search().await?;
        }
        Ok(primaries.all())
    }

    /// Runs commands that only read on one server.
    pub async fn query_at<T: FromRedisValue>(
        &self,
        step: &'static str,
        at: &Server,
        commands: &Pipeline,
    ) -> Result<T> {
        self.measured(step, async |_, deadline| {
            read(at.send(commands, deadline).await?, &at.address)
        })
        .await
    }

    /// Looks up the primaries and asks each of them, at the same time and within the deadline of a
    /// call.
    pub async fn state(&self) -> Result<State> {
        let known = self.primaries();
        known.search().await?;
        let found = known.all();
        let asked = Instant::now();
        let answers = join_all(found.iter().map(|(_, server)| self.ask(server, asked))).await;
        let mut state = State::default();
        let mut slots = 0;
        let mut times = Vec::new();
        for ((primary, _), answer) in found.iter().zip(answers) {
            let Ok((replicas, time, evicted)) = answer else {
                continue;
            };
            state
                .primaries
                .push((primary.address.to_string(), replicas));
            state.evicted += evicted;
            slots += primary
                .slots
                .iter()
                .map(ExactSizeIterator::len)
                .sum::<usize>();
            times.push(time);
        }
        state.all_answer = state.primaries.len() == found.len();
        state.slots = known.is_cluster().then_some(slots);
        state.clock_difference = spread(&times);
        (state.wanted, state.are_required) = match self.access.confirm {
            Confirm::Auto => (u32::from(!known.is_single()), false),
            Confirm::Replicas(count) => (count.into(), true),
        };
        Ok(state)
    }

    /// The number of online replicas of a primary, the time by its clock at `asked`, in seconds
    /// since 1970, and the number of keys that it has evicted.
    async fn ask(&self, server: &Server, asked: Instant) -> Result<(u32, f64, u64)> {
        let mut commands = redis::pipe();
        commands
            .cmd("INFO")
            .arg("replication")
            .cmd("TIME")
            .cmd("INFO")
            .arg("stats");
        let sent = asked.elapsed();
        type Answer = (String, (u64, u64), String);
        let (info, (second, micros), stats): Answer =
            self.query_at("status", server, &commands).await?;
        let evicted = member(&stats, "evicted_keys")
            .and_then(|keys| keys.parse().ok())
            .unwrap_or_default();
        // The server is assumed to read its clock halfway between send and receive.
        let since = (sent + asked.elapsed()).as_secs_f64() / 2.0;
        let replicas = Replication::parse(&info).map_or(0, |said| said.online().count() as u32);
        Ok((
            replicas,
            second as f64 + micros as f64 / 1e6 - since,
            evicted,
        ))
    }
}

fn spread(times: &[f64]) -> Option<f64> {
    Some(times.iter().copied().reduce(f64::max)? - times.iter().copied().reduce(f64::min)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "role:master\r\nconnected_slaves:5\r\n\
                        slave0:ip=10.0.0.1,port=1,state=online,offset=14,lag=0\r\n\
                        slave1:ip=10.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n\
                        slave2:ip=10.0.0.1,port=3,state=online,offset=13,lag=-1,type=replica\r\n\
                        slave3:ip=10.0.0.1,port=4,state=online,offset=9,lag=2\r\n\
                        slave4:ip=10.0.0.1,port=0,state=send_bulk,offset=0,lag=0\r\n\
                        master_replid:abc\r\nmaster_repl_offset:13\r\nslave_read_repl_offset:14\r\n";

    fn ports<'a>(found: impl Iterator<Item = &'a Address>) -> Vec<u16> {
        found.map(|address| address.port).collect()
    }

    #[test]
    fn a_replica_confirms_if_it_is_online_and_as_far_as_its_primary_was() {
        let said = Replication::parse(INFO).expect("readable");
        assert_eq!(ports(said.online()), [1, 3, 4]);
        assert_eq!(
            ports(said.copying.iter().map(|replica| &replica.address)),
            [2],
            "a backup has port 0"
        );
        assert_eq!(ports(said.live()), [1, 3]);
        assert_eq!(ports(said.confirmed(&said)), [1, 3]);
        let other = Replication {
            id: "another".into(),
            ..said.clone()
        };
        assert_eq!(
            ports(said.confirmed(&other)),
            [0; 0],
            "what another primary wrote is not here"
        );
        assert_eq!(Replication::parse("# Replication\r\nrole:master\r\n"), None);
    }

    #[test]
    fn clocks_differ_by_as_much_as_the_slowest_and_the_fastest() {
        assert_eq!((spread(&[1.0, 3.0, 2.0]), spread(&[])), (Some(2.0), None));
    }
}
