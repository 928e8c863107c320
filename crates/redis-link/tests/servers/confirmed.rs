//! A confirmed write is answered once every replica has it that could take over, by the word of those who decide that.

use std::{rc::Rc, time::Duration};

use tokio::time::Instant;
use wxmint_redis_link::{Confirm, Link};

use super::support::{FAST, PATIENCE, RedisCluster, RedisServer, Sentinel, Shape, confirmed, link, link_with, until};

/// Whether a write is confirmed by each of the links.
async fn outcomes<const N: usize>(links: &[Rc<Link>; N]) -> [bool; N] {
    let mut outcomes = [false; N];
    for (outcome, link) in outcomes.iter_mut().zip(links) {
        let began = Instant::now();
        *outcome = confirmed(link, "key").await.is_ok();
        assert!(began.elapsed() < FAST, "{:?}", began.elapsed());
    }
    outcomes
}

async fn are_confirmed<const N: usize>(links: &[Rc<Link>; N], expected: [bool; N]) {
    until("the outcomes", PATIENCE, async || outcomes(links).await == expected).await;
}

#[tokio::test(flavor = "local")]
async fn so_many_replicas_confirm_as_are_asked_for_or_all_that_one_server_names() {
    let server = RedisServer::start(&[], "").await;
    let links = [Confirm::Auto, Confirm::Replicas(0), Confirm::Replicas(1), Confirm::Replicas(2)]
        .map(|confirm| link_with(&server.url(), confirm));
    assert_eq!(outcomes(&links).await, [true, true, false, false], "no replica");
    let reason = confirmed(&links[3], "key").await.expect_err("no replica").reason;
    assert!(reason.found.contains("0 of 2 replicas that could take over have confirmed the write in time"), "{reason}");
    let first = RedisServer::replica_of(&server).await;
    are_confirmed(&links, [true, true, true, false]).await;
    let second = RedisServer::replica_of(&server).await;
    are_confirmed(&links, [true; 4]).await;
    first.freeze();
    assert_eq!(outcomes(&links).await, [false, true, true, false], "one of two is frozen");
    second.freeze();
    assert_eq!(outcomes(&links).await, [false, true, false, false], "both are frozen");
    first.thaw();
    second.thaw();
    are_confirmed(&links, [true; 4]).await;
}

#[tokio::test(flavor = "local")]
async fn in_a_cluster_without_replicas_nobody_could_take_over_and_none_is_waited_for_unless_it_is_asked_for() {
    let cluster = RedisCluster::of(Shape { replicas: 0, ..Shape::default() }).await;
    let links = [Confirm::Auto, Confirm::Replicas(1)].map(|confirm| link_with(&cluster.url(), confirm));
    assert_eq!(outcomes(&links).await, [true, false]);
}

#[tokio::test(flavor = "local")]
async fn a_replica_that_is_still_copying_is_not_waited_for_unless_it_is_asked_for() {
    let options = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "3600"].map(str::to_owned);
    let server = RedisServer::start(&options, "").await;
    let copying = RedisServer::start(&[], "").await;
    copying.command::<()>(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
    until("it waits for the data", PATIENCE, async || {
        server.command::<String>(&["INFO", "replication"]).contains("state=wait_bgsave")
    })
    .await;
    let links = [Confirm::Auto, Confirm::Replicas(1)].map(|confirm| link_with(&server.url(), confirm));
    assert_eq!(outcomes(&links).await, [true, false]);
    server.command::<()>(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    are_confirmed(&links, [true; 2]).await;
}

/// Those who decide who takes over, and what they know of one replica.
trait Deciders {
    /// Whether all of them, or some, hold the replica for dead.
    fn hold_for_dead(&self) -> (bool, bool);
    /// A replica may say nothing for so long before they hold it for dead.
    fn notice_after(&self, silence: Duration);
    fn replica(&self) -> &RedisServer;
}

impl Deciders for Sentinel {
    fn hold_for_dead(&self) -> (bool, bool) {
        self.hold_down(1)
    }

    fn notice_after(&self, silence: Duration) {
        let silence = silence.as_millis().to_string();
        (0..3).for_each(|number| {
            self.sentinel(number).command(&["SENTINEL", "SET", "wxmint", "down-after-milliseconds", &silence])
        });
    }

    fn replica(&self) -> &RedisServer {
        self.server(1)
    }
}

/// The replica of node 0.
impl Deciders for RedisCluster {
    fn hold_for_dead(&self) -> (bool, bool) {
        self.hold_failed(3)
    }

    fn notice_after(&self, silence: Duration) {
        let silence = silence.as_millis().to_string();
        (0..3).for_each(|node| self.node(node).command(&["CONFIG", "SET", "cluster-node-timeout", &silence]));
    }

    fn replica(&self) -> &RedisServer {
        self.node(3)
    }
}

/// Writes to `key` wait for a frozen replica until the deciders have noticed, and again when it is back.
async fn is_waited_for_until_it_is_noticed(deciders: impl Deciders, link: Rc<Link>, key: &str) {
    until("confirmed", PATIENCE, async || confirmed(&link, key).await.is_ok()).await;
    deciders.notice_after(6 * PATIENCE);
    deciders.replica().freeze();
    let began = Instant::now();
    confirmed(&link, key).await.expect_err("who has not been noticed could take over");
    assert!(began.elapsed() < FAST, "{:?}", began.elapsed());
    deciders.notice_after(Duration::from_secs(1));
    until("all have noticed", 3 * PATIENCE, async || {
        let (noticed, _) = deciders.hold_for_dead();
        let outcome = confirmed(&link, key).await;
        let (_, some) = deciders.hold_for_dead();
        assert!(some || outcome.is_err(), "who has not been noticed could take over");
        // Its primary takes it for alive a second longer.
        noticed && outcome.is_ok()
    })
    .await;
    deciders.replica().thaw();
    until("it is not held for dead", PATIENCE, async || deciders.hold_for_dead() == (false, false)).await;
    deciders.notice_after(6 * PATIENCE);
    deciders.replica().freeze();
    until("it is back, and is waited for", PATIENCE, async || confirmed(&link, key).await.is_err()).await;
    deciders.replica().thaw();
    until("confirmed again", PATIENCE, async || confirmed(&link, key).await.is_ok()).await;
}

#[tokio::test(flavor = "local")]
async fn a_frozen_replica_is_waited_for_until_the_sentinels_hold_it_for_dead() {
    let redis = Sentinel::of(1, &[]).await;
    let link = link(&redis.url());
    is_waited_for_until_it_is_noticed(redis, link, "key").await;
}

#[tokio::test(flavor = "local")]
async fn a_frozen_replica_is_waited_for_until_the_other_primaries_hold_it_for_dead() {
    let cluster = RedisCluster::start().await;
    let (link, key) = (link(&cluster.url()), key_at(&cluster, 0));
    is_waited_for_until_it_is_noticed(cluster, link, &key).await;
}

#[tokio::test(flavor = "local")]
async fn a_write_is_confirmed_at_its_own_primary_whatever_becomes_of_other_replicas() {
    let shape = Shape { node_timeout: Duration::from_secs(60), ..Shape::default() };
    let cluster = RedisCluster::of(shape).await;
    let (link, keys) = (link(&cluster.url()), [0, 1].map(|node| key_at(&cluster, node)));
    cluster.freeze(3);
    confirmed(&link, &keys[1]).await.expect("the replica of node 1 answers");
    confirmed(&link, &keys[0]).await.expect_err("the replica of node 0 is frozen");
    confirmed(&link, &keys[1]).await.expect("the replica of node 1 answers");
    cluster.thaw(3);
    until("confirmed", PATIENCE, async || confirmed(&link, &keys[0]).await.is_ok()).await;
}

/// A primary that comes back copies all the data of its successor, follows it, and then loses its link. It could take
/// over again, and the other primaries have not heard yet that it has data.
#[tokio::test(flavor = "local")]
async fn a_replica_that_has_just_come_back_to_a_cluster_is_waited_for() {
    // It copies all, because the backlog is too short for less, and a second late: by then the others have heard that
    // it is back and has nothing. They hear of it again within half of the time-out.
    let options = ["--repl-backlog-size", "16384", "--repl-diskless-sync-delay", "1"].map(str::to_owned).to_vec();
    let shape = Shape { node_timeout: Duration::from_secs(3), options, ..Shape::default() };
    let mut cluster = RedisCluster::of(shape).await;
    let (link, key, slot) = (link(&cluster.url()), key_at(&cluster, 0), cluster.slot_at(0));
    cluster.kill(0);
    let successor = cluster.successor(slot, 0).await;
    until("the successor serves alone", PATIENCE, async || confirmed(&link, &key).await.is_ok()).await;
    cluster.node(successor).command::<()>(&["SET", &key, &"a".repeat(100_000)]);
    cluster.start_again(0).await;
    cluster.whole().await;
    cluster.freeze(0);
    cluster.node(successor).command::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]);
    confirmed(&link, &key).await.expect_err("it could take over");
    cluster.thaw(0);
    until("confirmed", PATIENCE, async || confirmed(&link, &key).await.is_ok()).await;
}

/// A key that this primary has.
fn key_at(cluster: &RedisCluster, primary: usize) -> String {
    let is_there = |key: &String| cluster.primary_of(cluster.slot(key)) == Some(primary);
    (0..).map(|number| format!("key-{number}")).find(is_there).expect("a key")
}
