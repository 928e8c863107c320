//! On a Redis Cluster of real servers: what a login costs there, and that nobody is called forgotten while slots move.
//! The tests of crates/redis-link hold what is answered and kept while a Cluster changes, tests/nightly what newcomers
//! feel.

use tokio::task::block_in_place;

use crate::support::prelude::*;

/// Three primaries without replicas, at which nothing is confirmed.
async fn bare() -> (RedisCluster, Builder) {
    let cluster = RedisCluster::of(0, &[], "").await;
    (cluster, TestBed::builder().env("WXMINT_REDIS_CONFIRM", "0"))
}

impl TestBed<RedisCluster> {
    /// How many calls of silent logins each node has answered. A login makes three: it counts the address (HINCRBY),
    /// claims the code (SET), and records the login (SET, within its script).
    fn calls(&self) -> Vec<u64> {
        let of = |node| {
            let calls = self.redis.node(node).calls();
            ["hincrby", "set"]
                .into_iter()
                .filter_map(|name| calls.get(name))
                .sum()
        };
        (0..self.redis.nodes()).map(of).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_login_waits_for_the_cluster_twice() {
    let (cluster, builder) = bare().await;
    let proxies = cluster.behind_proxies().await;
    let bed = builder.start_on(cluster).await;
    // Until there is a connection to every node, and every node knows the scripts.
    for _ in 0..30 {
        bed.log_in("lin").await.expect_login();
    }

    let mut apart = 0;
    while apart < 3 {
        let code = bed.mint_code("lin").await;
        let before = bed.calls();
        for proxy in &proxies {
            proxy.withhold_answers().await;
        }
        let asked = async {
            // One of them to count, one to claim the code: neither waits for the other's answer.
            until("two calls are answered", PATIENCE, async || {
                bed.calls().iter().sum::<u64>() == before.iter().sum::<u64>() + 2
            })
            .await;
            let nodes = bed
                .calls()
                .iter()
                .zip(&before)
                .filter(|(now, before)| now > before)
                .count();
            for proxy in &proxies {
                proxy.restore().await;
            }
            nodes
        };
        let (login, nodes) = tokio::join!(bed.login(&code), asked);
        login.expect_login();
        assert_eq!(
            bed.calls().iter().sum::<u64>(),
            before.iter().sum::<u64>() + 3,
            "and one for the rest"
        );
        apart += nodes - 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_slot_of_a_user_is_moving_a_token_is_accepted_until_the_user_is_blocked_who_stays_out()
 {
    let (cluster, builder) = bare().await;
    let bed = builder.operator().start_on(cluster).await;
    let log_in = async || bed.log_in("lin").await;
    // Then the keys that a revocation needs are at the old owner, and all other keys of the user count as missing.
    bed.log_out(&log_in().await.expect_login(), true).await;
    let login = bed.for_good(log_in).await;
    let slot = bed
        .redis
        .slot(&redis_keys::revocations_of(&login.member("user_id")));
    let from = bed.redis.primary_of(slot).expect("an owner");
    let clients = redis_keys::clients_of(&login.member("user_id"));
    bed.redis.node(from).command::<()>(&[
        "ZADD",
        &clients,
        "1",
        "a-client-of-before wx0123456789abcdef",
    ]);
    block_in_place(|| bed.redis.begin_move(slot, from, (from + 1) % 3));
    assert!(bed.accepts(&login).await);
    bed.revokes_user("block", "lin", &login, OPERATOR).await;
    assert!(!bed.accepts(&login).await);
    block_in_place(|| bed.redis.move_slot(slot, (from + 1) % 3));
    log_in().await.expect_problem(403, "user_blocked");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn a_user_is_not_called_forgotten_while_slots_are_moving() {
    let (cluster, builder) = bare().await;
    let bed = builder.start_on(cluster).await;
    let user = bed.log_in("lin").await.expect_login().member("user_id");
    let forget = || {
        command_on(&bed.redis.url(), &["users", "erase", &user, "--yes"])
            .output()
            .expect("wxmint runs")
    };
    let (slot, from, to) = (bed.redis.slot_at(0), 0, 1);
    block_in_place(|| bed.redis.begin_move(slot, from, to));
    let output = block_in_place(forget);
    assert!(
        !output.status.success() && said(&output).contains("at rest"),
        "{}",
        said(&output)
    );
    block_in_place(|| {
        bed.redis.move_keys(slot, from, to);
        bed.redis.end_move(slot, to);
    });
    until("forgotten", PATIENCE, async || {
        block_in_place(forget).status.success()
    })
    .await;
    assert_ne!(
        bed.log_in("lin").await.expect_login().member("user_id"),
        user
    );
}
