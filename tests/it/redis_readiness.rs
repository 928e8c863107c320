//! Readiness is given by a write like a login's own, at the start and after each lost connection.

use crate::support::prelude::*;

/// A service that starts with what this Redis cannot take is not ready, and says why.
async fn never_ready(service: &Service, words: &str) {
    until(words, PATIENCE, async || {
        let readyz = service.readyz().await;
        readyz.status == 503 && readyz.body.contains(words)
    })
    .await;
}

fn not_ready(options: &[&str]) -> Builder {
    TestBed::builder().redis_options(options).not_ready()
}

/// On a Redis at another place than the bed's own.
async fn at(bed: &mut TestBed, url: &str) -> Service {
    bed.configuration.set("WXMINT_REDIS_URL", url);
    Service::start(&bed.configuration, bed.http.clone()).await
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_or_evicts_bindings_leaves_no_process_ready_until_it_is_mended() {
    let mut bed = TestBed::start().await;
    let replica = RedisServer::replica_of(&bed.redis).await;
    never_ready(&at(&mut bed, &replica.url()).await, "READONLY").await;
    for (options, words, mended) in [
        (&["--maxmemory", "1"][..], "its memory is full", ["maxmemory", "0"]),
        (
            &["--maxmemory-policy", "allkeys-lru"],
            "CONFIG SET maxmemory-policy noeviction",
            ["maxmemory-policy", "noeviction"],
        ),
    ] {
        let bed = not_ready(options).start().await;
        never_ready(bed.service(), words).await;
        bed.redis.command::<()>(&[&["CONFIG", "SET"], &mended[..]].concat());
        bed.service().ready().await;
        bed.log_in("lin").await.expect_login();
    }
}

#[tokio::test]
async fn a_user_who_lacks_a_command_of_the_login_leaves_no_process_ready() {
    for lacks in ["-set", "-hincrby"] {
        let mut bed = TestBed::builder().services(0).start().await;
        let rules = ["ACL", "SETUSER", "few", "on", ">few", "~wxmint:*", "+@all", lacks];
        bed.redis.command::<()>(&rules);
        let url = bed.redis.url().replace("redis://", "redis://few:few@");
        let service = at(&mut bed, &url).await;
        never_ready(&service, "Redis does not take the write of a login").await;
        bed.redis.command::<()>(&["ACL", "SETUSER", "few", "+@all"]);
        service.ready().await;
    }
}

/// As a former primary does after a failover, or a server that comes back with another configuration.
#[tokio::test]
async fn after_a_lost_connection_a_write_decides_again_and_a_redis_that_is_gone_does_not() {
    let mut bed = TestBed::start().await;
    bed.redis.kill();
    bed.log_in("lin").await.expect_problem(503, "store_unavailable");
    assert_eq!(bed.service().readyz().await.status, 200, "all replicas would leave at once");
    bed.redis.start_again().await;
    bed.redis.command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    never_ready(bed.service(), "too few replicas").await;
    bed.redis.command::<()>(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    until("ready again", PATIENCE, async || bed.service().readyz().await.status == 200).await;
    bed.log_in("lin").await.expect_login();
}

#[tokio::test]
async fn what_a_server_says_when_it_hangs_up_is_repeated() {
    let crowded = not_ready(&["--maxclients", "1"]).services(0).start().await;
    let _only = redis::Client::open(crowded.redis.url()).expect("a URL").get_connection().expect("the only one");
    let service = Service::start(&crowded.configuration, crowded.http.clone()).await;
    never_ready(&service, "max number of clients reached").await;
    service.says("raise maxclients").await;
}
