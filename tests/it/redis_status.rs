//! What metrics and `/readyz` say of Redis while it works.

use std::time::Duration;

use crate::support::{BUSY, PATIENCE, RedisServer, Service, TestBed, until};

/// Redis is looked at every 10 s.
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(12));

#[tokio::test]
async fn a_replica_that_is_wanted_and_missing_is_warned_about_until_it_is_there() {
    let mut bed = TestBed::start().await;
    bed.configuration.set("WXMINT_REDIS_CONFIRM", "1");
    let service = Service::start(&bed.configuration, bed.http.clone()).await;
    service.ready().await;
    let primary = format!("127.0.0.1:{}", bed.redis.port());
    let warning = format!("warning: Redis at {primary} has 0 replicas that are online, and 1 must confirm");
    until("warned", PATIENCE, async || service.readyz().await.body.contains(&warning)).await;
    assert!(service.readyz().await.body.contains("set WXMINT_REDIS_CONFIRM=0 if that is meant"));
    service.says("must confirm").await;
    assert_eq!(service.log().matches("must confirm").count(), 1);

    let _replica = RedisServer::replica_of(&bed.redis).await;
    until("no warning", WITHIN, async || service.readyz().await.body == "ok\n").await;
    for (metric, value) in [
        ("wxmint_redis_primaries", 1.0),
        (&format!("wxmint_redis_replicas_online{{primary=\"{primary}\"}}"), 1.0),
        ("wxmint_redis_replicas_wanted", 1.0),
    ] {
        assert_eq!(service.metric(metric).await, value, "{metric}");
    }
    assert!(service.metric("wxmint_redis_slots_covered").await.is_nan(), "this is no Cluster");
    service.login(&bed.mint_code("lin").await).await.expect_login();
}
