//! Readiness is given by a write like a login's own, at the start and after each lost connection.

use crate::support::prelude::*;

#[tokio::test]
async fn a_redis_that_takes_no_writes_or_evicts_bindings_leaves_no_process_ready_until_it_is_mended()
 {
    let mut bed = TestBed::builder().services(0).start().await;
    bed.redis
        .command::<()>(&["ACL", "SETUSER", "few", "on", ">few", "~wxmint:*", "+@all"]);
    bed.configuration.set(
        "WXMINT_REDIS_URL",
        &bed.redis.url().replace("redis://", "redis://few:few@"),
    );
    let (keep, refused) = (
        "CONFIG SET maxmemory-policy noeviction",
        "Redis does not take the write of a login",
    );
    for (fault, words, mend) in [
        (
            "CONFIG SET maxmemory 1",
            "its memory is full",
            "CONFIG SET maxmemory 0",
        ),
        ("CONFIG SET maxmemory-policy allkeys-lru", keep, keep),
        ("ACL SETUSER few -set", refused, "ACL SETUSER few +@all"),
        ("ACL SETUSER few -hincrby", refused, "ACL SETUSER few +@all"),
    ] {
        let tell = |command: &str| {
            bed.redis
                .command::<()>(&command.split(' ').collect::<Vec<_>>());
        };
        tell(fault);
        let service = Service::start(&bed.configuration, bed.http.clone()).await;
        service.readyz_says(503, words).await;
        let feed = bed.http.get(&service.url("/revocations")).await;
        assert_eq!(
            feed.status, 200,
            "verifiers need the ends all the same: {feed:?}"
        );
        tell(mend);
        service.ready().await;
        service
            .login(&bed.mint_code("lin").await)
            .await
            .expect_login();
    }
    let replica = RedisServer::replica_of(&bed.redis).await;
    bed.configuration.set("WXMINT_REDIS_URL", &replica.url());
    Service::start(&bed.configuration, bed.http.clone())
        .await
        .readyz_says(503, "READONLY")
        .await;
}

/// As a former primary does after a failover, or a server that comes back with another configuration.
#[tokio::test]
async fn after_a_lost_connection_a_write_decides_again_and_a_redis_that_is_gone_does_not() {
    let mut bed = TestBed::start().await;
    bed.redis.kill();
    bed.log_in("lin")
        .await
        .expect_problem(503, "store_unavailable");
    assert_eq!(
        bed.service().readyz().await.status,
        200,
        "all replicas would leave at once"
    );
    bed.service()
        .readyz_says(200, "ok\nwarning: logins fail: Redis does not answer\n")
        .await;
    assert_eq!(bed.service().metric("wxmint_ready").await, 1.0);
    bed.redis.start_again().await;
    let no_warning = async || !bed.service().readyz().await.body.contains("logins fail");
    until("no warning is left", READ_AGAIN_WITHIN, no_warning).await;
    bed.redis.command::<()>(&[
        "CONFIG",
        "SET",
        "min-replicas-to-write",
        "1",
        "maxmemory-policy",
        "allkeys-lru",
    ]);
    bed.service().readyz_says(503, "too few replicas").await;
    bed.redis
        .command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    bed.service().readyz_says(503, "allkeys-lru").await;
    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    bed.service().ready().await;
    bed.log_in("lin").await.expect_login();
    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]);
    bed.service().readyz_says(503, "allkeys-lfu").await;
}

#[tokio::test]
async fn what_a_server_says_when_it_hangs_up_is_repeated() {
    let crowded = TestBed::builder()
        .services(0)
        .redis_options(&["--maxclients", "1"])
        .start()
        .await;
    let _only = redis::Client::open(crowded.redis.url())
        .expect("a URL")
        .get_connection()
        .expect("the only one");
    let service = Service::start(&crowded.configuration, crowded.http.clone()).await;
    service
        .readyz_says(503, "max number of clients reached")
        .await;
    service.says("raise maxclients").await;
}
