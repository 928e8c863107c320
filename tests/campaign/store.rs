//! The Redis of the campaign, and what is done to it.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep};

use crate::support::{RedisCluster, RedisServer};

/// How long Redis is frozen: longer than any request waits for it.
const FROZEN: Duration = Duration::from_secs(3);
/// How far the replica of a killed primary is behind: less than the Cluster takes to notice.
const LAG: Duration = Duration::from_millis(600);
const FULL: Duration = Duration::from_secs(2);
const CUT: Duration = Duration::from_secs(2);
/// Slots that move to another primary and back: of about sixteen thousand.
const MOVED: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedisFault {
    FailedOver,
    Killed,
    KilledTwice,
    Frozen,
    CutOff,
    SlotsMoved,
    Full,
    PasswordChanged,
    /// Where user ids are computed.
    Emptied,
}

/// In the order of the short form, as the report names them.
pub(crate) const FAULTS: [(RedisFault, &str); 9] = [
    (RedisFault::FailedOver, "failover on request"),
    (RedisFault::Killed, "primary killed"),
    (RedisFault::Frozen, "primary frozen for 3 s"),
    (RedisFault::SlotsMoved, "slots move, and back"),
    (
        RedisFault::CutOff,
        "connections to Redis cut again and again",
    ),
    (RedisFault::Full, "Redis has no memory left"),
    (RedisFault::PasswordChanged, "password of Redis changed"),
    (
        RedisFault::KilledTwice,
        "primary killed, then its successor",
    ),
    (RedisFault::Emptied, "Redis emptied"),
];

/// Returns when Redis is well again, and has all of its replicas.
pub(crate) async fn suffer(cluster: &mut RedisCluster, fault: RedisFault, password: &str) {
    let primaries = cluster.primaries();
    let victim = primaries[fastrand::usize(..primaries.len())];
    match fault {
        RedisFault::FailedOver => {
            let replica = cluster.replicas_of(victim)[0];
            cluster.fail_over_to(replica).await;
        }
        RedisFault::Killed => {
            kill(cluster, victim).await;
        }
        RedisFault::KilledTwice => {
            let successor = kill(cluster, victim).await;
            cluster.whole().await;
            kill(cluster, successor).await;
        }
        RedisFault::Frozen => {
            cluster.node(victim).freeze();
            sleep(FROZEN).await;
            cluster.node(victim).thaw();
        }
        RedisFault::SlotsMoved => move_slots(cluster, victim).await,
        RedisFault::CutOff => cut_off(&servers(cluster, &primaries)).await,
        RedisFault::Full => fill_up(&servers(cluster, &primaries)).await,
        RedisFault::PasswordChanged => cluster.change_password(password),
        RedisFault::Emptied => {
            for server in servers(cluster, &primaries) {
                server.command::<()>(&["FLUSHALL"]);
            }
        }
    }
    cluster.whole().await;
}

fn servers<'a>(cluster: &'a RedisCluster, nodes: &[usize]) -> Vec<&'a RedisServer> {
    nodes.iter().map(|node| cluster.node(*node)).collect()
}

/// Kills a primary whose replica lags behind, and starts it again once it has a successor, which it then follows.
async fn kill(cluster: &mut RedisCluster, primary: usize) -> usize {
    let mut some_slots = (0..16_384).step_by(1_000);
    let slot = some_slots
        .find(|slot| cluster.primary_of(*slot) == Some(primary))
        .expect("a slot of the primary");
    // A write that nobody has confirmed is lost: the replica is not connected, and cannot connect again.
    let replicas = cluster.replicas_of(primary);
    for replica in &replicas {
        cluster.node(*replica).freeze();
    }
    cluster
        .node(primary)
        .command::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]);
    sleep(LAG).await;
    cluster.kill(primary);
    for replica in &replicas {
        cluster.node(*replica).thaw();
    }
    let successor = cluster.successor(slot, primary).await;
    cluster.start_again(primary).await;
    successor
}

/// Moves slots that have keys, and back again.
async fn move_slots(cluster: &RedisCluster, from: usize) {
    let to = *cluster
        .primaries()
        .iter()
        .find(|node| **node != from)
        .expect("another primary");
    let keys: Vec<String> = cluster.node(from).command(&["KEYS", "wxmint:*"]);
    // A slot may have several keys, and is moved once.
    let slots: BTreeSet<usize> = keys
        .iter()
        .take(MOVED)
        .map(|key| cluster.slot(key))
        .collect();
    for slot in &slots {
        cluster.move_slot(*slot, to);
        // Requests meet a slot that is gone, and the load goes on.
        sleep(Duration::from_millis(20)).await;
    }
    for slot in slots {
        cluster.move_slot(slot, from);
    }
}

/// All connections are closed, again and again.
async fn cut_off(servers: &[&RedisServer]) {
    let end = Instant::now() + CUT;
    while Instant::now() < end {
        for server in servers {
            // The connection that says so is closed too.
            let _ = server.try_command::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// There is no memory left for writes.
async fn fill_up(servers: &[&RedisServer]) {
    let limit = |bytes: &str| {
        for server in servers {
            server.command::<()>(&["CONFIG", "SET", "maxmemory", bytes]);
        }
    };
    limit("1");
    sleep(FULL).await;
    limit("0");
}
