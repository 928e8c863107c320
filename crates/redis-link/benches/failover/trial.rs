//! One trial: it starts servers, makes 1,000 confirmed writes a second, causes a fault, and checks
//! the writes.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use tokio::runtime::LocalRuntime;
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use wxmint_redis_link::RedisClient;

use super::Writer;
use super::redis_rs::{Place, Watched};
use super::support::{RedisCluster, RedisServer, Sentinel, confirmed, link};

/// The time between two writes: 1,000 a second.
const PACE: Duration = Duration::from_millis(1);
const BEFORE: Duration = Duration::from_secs(2);
/// The time from the fault until the lost primary comes back. A failover takes 2 to 4 s.
const LOST_FOR: Duration = Duration::from_secs(12);
/// The time from then until the last write.
const BACK_FOR: Duration = Duration::from_secs(3);
/// The number of hash tags, and so of slots, that are written to.
const TAGS: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    ClusterKilled,
    ClusterFrozen,
    SentinelKilled,
    SentinelFrozen,
    /// The Sentinels and the replicas cannot reach the primary, but its clients can.
    SentinelCutOff,
}

pub(crate) struct Outcome {
    /// The longest time after the fault without an answered write of the lost primary's slots.
    /// `None` if no write was answered after it.
    pub(crate) outage: Option<Duration>,
    pub(crate) failed: usize,
    /// Writes that were answered but are no longer there.
    pub(crate) lost: usize,
}

enum Servers {
    Cluster(RedisCluster),
    Sentinel(Sentinel),
}

enum Client {
    Ours(Rc<RedisClient>),
    Cluster(Rc<Watched<ClusterConnection>>),
    Sentinel(Rc<Watched<MultiplexedConnection>>),
}

struct Written {
    key: String,
    tag: usize,
    ended: Instant,
    is_answered: bool,
}

pub(crate) fn trial(fault: Fault, writer: Writer) -> Outcome {
    LocalRuntime::new().expect("a runtime").block_on(async {
        let mut servers = Servers::start(fault).await;
        let client = Rc::new(servers.client(writer).await);
        let affected: Vec<bool> = (0..TAGS).map(|tag| servers.primary_of(tag) == 0).collect();
        let written = Rc::<RefCell<Vec<Written>>>::default();
        let lost_at = Instant::now() + BEFORE;
        let until = lost_at + LOST_FOR + BACK_FOR;
        let load = spawn_local(load(Rc::clone(&client), Rc::clone(&written), until));
        sleep_until(lost_at).await;
        servers.spoil(fault);
        sleep(LOST_FOR).await;
        servers.mend(fault).await;
        load.await.expect("a load");
        // The last writes have a deadline of a second.
        sleep(Duration::from_secs(2)).await;
        servers.are_settled(fault).await;
        outcome(&written.borrow(), &servers, &affected, lost_at)
    })
}

async fn load(client: Rc<Client>, written: Rc<RefCell<Vec<Written>>>, until: Instant) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        pace.tick().await;
        if Instant::now() >= until {
            return;
        }
        let (client, written, tag) = (Rc::clone(&client), Rc::clone(&written), number % TAGS);
        spawn_local(async move {
            let key = format!("{{t{tag}}}{number}");
            let is_answered = client.write(&key).await;
            written.borrow_mut().push(Written {
                key,
                tag,
                ended: Instant::now(),
                is_answered,
            });
        });
    }
}

impl Client {
    async fn write(&self, key: &str) -> bool {
        match self {
            Self::Ours(link) => confirmed(link, key).await.is_ok(),
            Self::Cluster(client) => client.write(key).await,
            Self::Sentinel(client) => client.write(key).await,
        }
    }
}

fn outcome(written: &[Written], servers: &Servers, affected: &[bool], lost_at: Instant) -> Outcome {
    let answered = written
        .iter()
        .filter(|it| it.is_answered && affected[it.tag] && it.ended > lost_at);
    let mut times: Vec<_> = answered.map(|it| it.ended).collect();
    times.sort();
    let end = lost_at + LOST_FOR;
    let is_back = times
        .last()
        .is_some_and(|last| *last + Duration::from_secs(1) > end);
    let starts = [lost_at].into_iter().chain(times.iter().copied());
    let longest = starts
        .zip(times.iter().copied().chain([end]))
        .map(|(start, next)| next.duration_since(start))
        .max();
    Outcome {
        outage: longest.filter(|_| is_back),
        failed: written.iter().filter(|it| !it.is_answered).count(),
        lost: servers.missing(written.iter().filter(|it| it.is_answered)),
    }
}

impl Servers {
    async fn start(fault: Fault) -> Self {
        match fault {
            Fault::ClusterKilled | Fault::ClusterFrozen => {
                Self::Cluster(RedisCluster::start().await)
            }
            _ => Self::Sentinel(Sentinel::start().await),
        }
    }

    async fn client(&self, writer: Writer) -> Client {
        match (self, writer) {
            (Self::Cluster(cluster), Writer::OurClient) => Client::Ours(link(&cluster.url())),
            (Self::Sentinel(sentinel), Writer::OurClient) => Client::Ours(link(&sentinel.url())),
            (
                Self::Cluster(cluster),
                Writer::RedisRs {
                    has_watchdog,
                    waits_for,
                },
            ) => {
                let ports = (0..cluster.nodes())
                    .map(|node| cluster.node(node).port())
                    .collect();
                let place = Place {
                    ports,
                    user: None,
                    master: "",
                };
                Client::Cluster(Watched::start(place, has_watchdog, waits_for).await)
            }
            (
                Self::Sentinel(sentinel),
                Writer::RedisRs {
                    has_watchdog,
                    waits_for,
                },
            ) => {
                let ports = (0..3)
                    .map(|number| sentinel.sentinel(number).port())
                    .collect();
                let place = Place {
                    ports,
                    user: Some("client"),
                    master: "wxmint",
                };
                Client::Sentinel(Watched::start(place, has_watchdog, waits_for).await)
            }
        }
    }

    /// The index of the server that has the keys with this tag.
    fn primary_of(&self, tag: usize) -> usize {
        match self {
            Self::Cluster(cluster) => cluster
                .primary_of(cluster.slot(&format!("{{t{tag}}}")))
                .expect("an owner"),
            Self::Sentinel(sentinel) => sentinel.primary().expect("a primary"),
        }
    }

    fn server(&self, number: usize) -> &RedisServer {
        match self {
            Self::Cluster(cluster) => cluster.node(number),
            Self::Sentinel(sentinel) => sentinel.server(number),
        }
    }

    /// Causes the fault at server 0.
    fn spoil(&mut self, fault: Fault) {
        match (self, fault) {
            (Self::Cluster(cluster), Fault::ClusterKilled) => cluster.kill(0),
            (Self::Sentinel(sentinel), Fault::SentinelKilled) => sentinel.kill(0),
            (Self::Sentinel(sentinel), Fault::SentinelCutOff) => sentinel.cut_off(0),
            (servers, _) => servers.server(0).freeze(),
        }
    }

    async fn mend(&mut self, fault: Fault) {
        match (self, fault) {
            (Self::Cluster(cluster), Fault::ClusterKilled) => cluster.start_again(0).await,
            (Self::Sentinel(sentinel), Fault::SentinelKilled) => sentinel.start_again(0).await,
            (_, Fault::SentinelCutOff) => {}
            (servers, _) => servers.server(0).thaw(),
        }
    }

    async fn are_settled(&self, fault: Fault) {
        match self {
            Self::Cluster(cluster) => cluster.whole().await,
            Self::Sentinel(sentinel) if fault != Fault::SentinelCutOff => sentinel.whole().await,
            Self::Sentinel(_) => {}
        }
    }

    /// How many of these keys are not at the primary of their slot.
    fn missing<'a>(&self, answered: impl Iterator<Item = &'a Written>) -> usize {
        let mut by_tag = HashMap::<usize, Vec<&str>>::new();
        answered.for_each(|it| by_tag.entry(it.tag).or_default().push(&it.key));
        let missing = |(tag, keys): (&usize, &Vec<&str>)| {
            let there: usize = self
                .server(self.primary_of(*tag))
                .command(&[&["EXISTS"], &keys[..]].concat());
            keys.len() - there
        };
        by_tag.iter().map(missing).sum()
    }
}
