//! A first login is answered once replicas have it. The tests of crates/redis-link hold how many, and which.

mod one_primary;

use crate::support::prelude::*;

/// Redis is looked at every 10 s.
const LOOKED_AT: Duration = BUSY.saturating_add(Duration::from_secs(12));

/// The status of a first login.
async fn newcomer<R>(bed: &TestBed<R>, service: &Service) -> u16 {
    let name = format!("person-{}", fastrand::u64(..));
    let answer = service.login(&bed.mint_code(&name).await).await;
    match answer.status {
        200 => answer.expect_login().status,
        _ => answer.expect_problem(503, "store_unavailable").status,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_replicas_confirm_as_the_setting_says() {
    let bed = TestBed::builder()
        .env("WXMINT_REDIS_CONFIRM", "1")
        .start()
        .await;
    let service = bed.service();
    assert_eq!(newcomer(&bed, service).await, 503, "no replica");
    let primary = format!("127.0.0.1:{}", bed.redis.port());
    let warning = format!("warning: Redis at {primary} has 0 replicas online, and 1 must confirm");
    assert!(
        service
            .readyz_says(200, &warning)
            .await
            .contains("set WXMINT_REDIS_CONFIRM=0 if that is meant")
    );
    service.says("must confirm").await;

    let replica = RedisServer::replica_of(&bed.redis).await;
    until("served", PATIENCE, async || {
        newcomer(&bed, service).await == 200
    })
    .await;
    let known = bed.log_in("lin").await.expect_login().member("user_id");
    until("no warning", LOOKED_AT, async || {
        service.readyz().await.body == "ok\n"
    })
    .await;
    for (metric, value) in [
        ("wxmint_redis_primaries", 1.0),
        (
            &format!("wxmint_redis_replicas_online{{primary=\"{primary}\"}}"),
            1.0,
        ),
        ("wxmint_redis_replicas_wanted", 1.0),
    ] {
        assert_eq!(service.metric(metric).await, value, "{metric}");
    }
    assert!(
        service.metric("wxmint_redis_slots_covered").await.is_nan(),
        "this is no Cluster"
    );
    replica.freeze();
    assert_eq!(newcomer(&bed, service).await, 503);
    assert_eq!(
        bed.log_in("lin").await.expect_login().member("user_id"),
        known,
        "who is bound needs no confirmation"
    );
    replica.thaw();
}
