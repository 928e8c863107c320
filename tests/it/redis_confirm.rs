//! How many replicas have a first login before it is answered: none, one, more. The tests of crates/redis-link hold
//! which replicas are waited for.

mod one_primary;

use std::time::Duration;

use crate::support::{BUSY, PATIENCE, RedisServer, Service, TestBed, until};

/// Redis is looked at every 10 s.
const LOOKED_AT: Duration = BUSY.saturating_add(Duration::from_secs(12));

/// A service beside the bed's, with a setting of its own.
async fn service(bed: &mut TestBed, confirm: &str) -> Service {
    bed.configuration.set("WXMINT_REDIS_CONFIRM", confirm);
    let service = Service::start(&bed.configuration, bed.http.clone()).await;
    service.ready().await;
    service
}

/// The status of a first login.
async fn newcomer<R>(bed: &TestBed<R>, service: &Service) -> u16 {
    let name = format!("person-{}", fastrand::u64(..));
    let answer = service.login(&bed.mint_code(&name).await).await;
    match answer.status {
        200 => answer.expect_login().status,
        _ => answer.expect_problem(503, "store_unavailable").status,
    }
}

async fn statuses<const N: usize>(bed: &TestBed, services: &[Service; N]) -> [u16; N] {
    let mut statuses = [0; N];
    for (status, service) in statuses.iter_mut().zip(services) {
        *status = newcomer(bed, service).await;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_replicas_confirm_as_the_setting_says() {
    let mut bed = TestBed::start().await;
    let known = bed.log_in("lin").await.expect_login().member("user_id");
    let mut services = Vec::new();
    for confirm in ["auto", "0", "1", "2"] {
        services.push(service(&mut bed, confirm).await);
    }
    let services: [Service; 4] = services.try_into().ok().expect("four");
    assert_eq!(statuses(&bed, &services).await, [200, 200, 503, 503], "no replica");
    let primary = format!("127.0.0.1:{}", bed.redis.port());
    let warning = format!("warning: Redis at {primary} has 0 replicas online, and 1 must confirm");
    until("warned", PATIENCE, async || services[2].readyz().await.body.contains(&warning)).await;
    assert!(services[2].readyz().await.body.contains("set WXMINT_REDIS_CONFIRM=0 if that is meant"));
    services[2].says("must confirm").await;

    let first = RedisServer::replica_of(&bed.redis).await;
    until("served", PATIENCE, async || statuses(&bed, &services).await == [200, 200, 200, 503]).await;
    until("no warning", LOOKED_AT, async || services[2].readyz().await.body == "ok\n").await;
    for (metric, value) in [
        ("wxmint_redis_primaries", 1.0),
        (&format!("wxmint_redis_replicas_online{{primary=\"{primary}\"}}"), 1.0),
        ("wxmint_redis_replicas_wanted", 1.0),
    ] {
        assert_eq!(services[2].metric(metric).await, value, "{metric}");
    }
    assert!(services[2].metric("wxmint_redis_slots_covered").await.is_nan(), "this is no Cluster");
    first.freeze();
    assert_eq!(statuses(&bed, &services).await, [503, 200, 503, 503]);
    assert_eq!(bed.log_in("lin").await.expect_login().member("user_id"), known, "who is bound needs no confirmation");
    first.thaw();
}
