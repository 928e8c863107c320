//! A confirmed write is answered once every replica that could take over has it, by the word of the
//! deciders.

use std::rc::Rc;

use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};
use wxmint_redis_link::{Confirm, RedisClient};

use super::support::{
    FAST, PATIENCE, RedisCluster, RedisServer, Sentinel, confirmed, link, link_with, until,
};

/// Whether a write by each of the clients is confirmed.
pub(super) async fn outcomes<const N: usize>(links: &[Rc<RedisClient>; N]) -> [bool; N] {
    let mut outcomes = [false; N];
    for (outcome, link) in outcomes.iter_mut().zip(links) {
        let began = Instant::now();
        *outcome = confirmed(link, "key").await.is_ok();
        assert!(began.elapsed() < FAST, "{:?}", began.elapsed());
    }
    outcomes
}

async fn are_confirmed<const N: usize>(links: &[Rc<RedisClient>; N], expected: [bool; N]) {
    until("the outcomes", PATIENCE, async || {
        outcomes(links).await == expected
    })
    .await;
}

#[tokio::test(flavor = "local")]
async fn so_many_replicas_confirm_as_are_asked_for_or_all_that_one_server_names() {
    let server = RedisServer::start(&[], "").await;
    let links = [
        Confirm::Auto,
        Confirm::Replicas(0),
        Confirm::Replicas(1),
        Confirm::Replicas(2),
    ]
    .map(|confirm| link_with(&server.url(), confirm));
    assert_eq!(
        outcomes(&links).await,
        [true, true, false, false],
        "no replica"
    );
    let reason = confirmed(&links[3], "key").await.expect_err("no replica");
    assert!(
        reason
            .found
            .contains("0 of 2 replicas that could take over have confirmed the write in time"),
        "{reason}"
    );
    let first = RedisServer::replica_of(&server).await;
    are_confirmed(&links, [true, true, true, false]).await;
    let second = RedisServer::replica_of(&server).await;
    are_confirmed(&links, [true; 4]).await;
    first.freeze();
    assert_eq!(
        outcomes(&links).await,
        [false, true, true, false],
        "one of two is frozen"
    );
    second.freeze();
    assert_eq!(
        outcomes(&links).await,
        [false, true, false, false],
        "both are frozen"
    );
    first.thaw();
    second.thaw();
    are_confirmed(&links, [true; 4]).await;
}

#[tokio::test(flavor = "local")]
async fn a_replica_that_is_still_copying_is_not_waited_for_unless_it_is_asked_for() {
    let options = [
        "--repl-diskless-sync",
        "yes",
        "--repl-diskless-sync-delay",
        "3600",
    ]
    .map(str::to_owned);
    let server = RedisServer::start(&options, "").await;
    let copying = RedisServer::start(&[], "").await;
    copying.command::<()>(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
    until("it waits for the data", PATIENCE, async || {
        server
            .command::<String>(&["INFO", "replication"])
            .contains("state=wait_bgsave")
    })
    .await;
    let links =
        [Confirm::Auto, Confirm::Replicas(1)].map(|confirm| link_with(&server.url(), confirm));
    assert_eq!(outcomes(&links).await, [true, false]);
    server.command::<()>(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    are_confirmed(&links, [true; 2]).await;
}

/// In milliseconds: longer than a test waits.
const A_MINUTE: &str = "60000";

/// Writes to `key` wait for a frozen replica until the deciders have noticed, and again when it is
/// back. A write to `other`, which has another primary, does not. `hold_for_dead`: whether all
/// `deciders` hold the replica for dead, and whether some do. `set` is the command that sets after
/// how many milliseconds of silence they do.
async fn is_waited_for_until_it_is_noticed(
    replica: &RedisServer,
    hold_for_dead: impl Fn() -> (bool, bool),
    (deciders, set): ([&RedisServer; 3], &[&str]),
    (link, key, other): (&RedisClient, &str, Option<&str>),
) {
    let notice_after =
        |silence| deciders.map(|decider| decider.command::<()>(&[set, &[silence]].concat()));
    until("confirmed", PATIENCE, async || {
        confirmed(link, key).await.is_ok()
    })
    .await;
    notice_after(A_MINUTE);
    replica.freeze();
    let began = Instant::now();
    confirmed(link, key)
        .await
        .expect_err("who has not been noticed could take over");
    assert!(began.elapsed() < FAST, "{:?}", began.elapsed());
    if let Some(other) = other {
        confirmed(link, other)
            .await
            .expect("its own replica answers");
        confirmed(link, key)
            .await
            .expect_err("the replica is still frozen");
        confirmed(link, other)
            .await
            .expect("its own replica answers");
    }
    notice_after("1000");
    until("all have noticed", 3 * PATIENCE, async || {
        let (noticed, _) = hold_for_dead();
        let outcome = confirmed(link, key).await;
        let (_, some) = hold_for_dead();
        assert!(
            some || outcome.is_err(),
            "who has not been noticed could take over"
        );
        // Its primary regards it as alive for a second longer.
        noticed && outcome.is_ok()
    })
    .await;
    replica.thaw();
    until("it is not held for dead", PATIENCE, async || {
        hold_for_dead() == (false, false)
    })
    .await;
    notice_after(A_MINUTE);
    replica.freeze();
    until("it is back, and is waited for", PATIENCE, async || {
        confirmed(link, key).await.is_err()
    })
    .await;
    replica.thaw();
    until("confirmed again", PATIENCE, async || {
        confirmed(link, key).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "local")]
async fn a_frozen_replica_is_waited_for_until_the_sentinels_hold_it_for_dead() {
    let redis = Sentinel::of(1).await;
    let set = ["SENTINEL", "SET", "wxmint", "down-after-milliseconds"];
    let (sentinels, writes) = (
        [0, 1, 2].map(|number| redis.sentinel(number)),
        (&*link(&redis.url()), "key", None),
    );
    is_waited_for_until_it_is_noticed(
        redis.server(1),
        || redis.hold_down(1),
        (sentinels, &set),
        writes,
    )
    .await;
}

#[tokio::test(flavor = "local")]
async fn a_replica_that_is_frozen_or_just_back_is_waited_for_until_the_other_primaries_hold_it_for_dead()
 {
    let cluster = RedisCluster::start().await;
    let (link, [key, other]) = (
        link(&cluster.url()),
        [0, 1].map(|node| key_at(&cluster, node)),
    );
    let (set, primaries) = (
        ["CONFIG", "SET", "cluster-node-timeout"],
        [0, 1, 2].map(|node| cluster.node(node)),
    );
    // The replica of node 0.
    let (replica, writes) = (cluster.node(3), (&*link, &*key, Some(&*other)));
    is_waited_for_until_it_is_noticed(
        replica,
        || cluster.hold_failed(3),
        (primaries, &set),
        writes,
    )
    .await;
    has_just_come_back(cluster, &link, &key).await;
}

/// A primary that comes back copies all the data of its successor, follows it, and then loses its
/// link. It could take over again although the other primaries have not heard yet that it has data.
async fn has_just_come_back(mut cluster: RedisCluster, link: &RedisClient, key: &str) {
    // It copies all data, because the backlog is too short for a partial copy, and it begins a
    // second late: by then the others have heard that it is back and has no data. They hear of it
    // again within half of the time-out.
    let slowly =
        "CONFIG SET cluster-node-timeout 3000 repl-backlog-size 16384 repl-diskless-sync-delay 1";
    let slowly: Vec<_> = slowly.split(' ').collect();
    (0..cluster.nodes()).for_each(|node| cluster.node(node).command(&slowly));
    let slot = cluster.slot_at(0);
    cluster.kill(0);
    let successor = cluster.successor(slot, 0).await;
    until("the successor serves alone", PATIENCE, async || {
        confirmed(link, key).await.is_ok()
    })
    .await;
    cluster
        .node(successor)
        .command::<()>(&["SET", key, &"a".repeat(100_000)]);
    cluster.start_again(0).await;
    cluster.node(0).command::<()>(&slowly);
    cluster.whole().await;
    cluster.node(0).freeze();
    cluster
        .node(successor)
        .command::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]);
    let mut backup = TcpStream::connect(("127.0.0.1", cluster.node(successor).port()))
        .await
        .expect("a connection");
    backup.write_all(b"SYNC\r\n").await.expect("sent");
    let is_seen = async || {
        cluster
            .node(successor)
            .command::<String>(&["INFO", "replication"])
            .contains("port=0")
    };
    until("a backup runs", PATIENCE, is_seen).await;
    confirmed(link, key).await.expect_err("it could take over");
    cluster.node(0).thaw();
    until("confirmed", PATIENCE, async || {
        confirmed(link, key).await.is_ok()
    })
    .await;
}

/// A key that this primary has.
fn key_at(cluster: &RedisCluster, primary: usize) -> String {
    let is_there = |key: &String| cluster.primary_of(cluster.slot(key)) == Some(primary);
    (0..)
        .map(|number| format!("key-{number}"))
        .find(is_there)
        .expect("a key")
}
