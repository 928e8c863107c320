//! How many replicas have a first login before it is answered: none, one, more, and those that have nothing yet.

use crate::support::{PATIENCE, RedisServer, Service, TestBed, eventually, until};

/// A service beside the bed's, with a setting of its own.
async fn service(bed: &mut TestBed, confirm: &str) -> Service {
    bed.configuration.set("WXMINT_REDIS_CONFIRM", confirm);
    let service = Service::start(&bed.configuration, bed.http.clone()).await;
    service.ready().await;
    service
}

/// The status of a first login.
async fn newcomer(bed: &TestBed, service: &Service) -> u16 {
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

/// Waits until every service answers a first login.
async fn all_answered<const N: usize>(bed: &TestBed, services: &[Service; N]) {
    until("all are answered", PATIENCE, async || statuses(bed, services).await == [200; N]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_replicas_confirm_as_the_setting_says() {
    let mut bed = TestBed::start().await;
    let mut services = Vec::new();
    for confirm in ["auto", "0", "1", "2"] {
        services.push(service(&mut bed, confirm).await);
    }
    let services: [Service; 4] = services.try_into().ok().expect("four");
    assert_eq!(statuses(&bed, &services).await, [200, 200, 503, 503], "no replica");
    services[2].says("WXMINT_REDIS_CONFIRM").await;

    let first = RedisServer::replica_of(&bed.redis).await;
    until("served", PATIENCE, async || statuses(&bed, &services).await == [200, 200, 200, 503]).await;
    let second = RedisServer::replica_of(&bed.redis).await;
    all_answered(&bed, &services).await;

    first.freeze();
    assert_eq!(statuses(&bed, &services).await, [200, 200, 200, 503], "one of two is frozen");
    second.freeze();
    assert_eq!(statuses(&bed, &services).await, [503, 200, 503, 503], "both are frozen");
    first.thaw();
    second.thaw();
    all_answered(&bed, &services).await;
}

/// A replica that is connected and has not received the data yet. `auto` waits for it no more than for none.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_still_copying_holds_up_nobody_who_has_not_asked_for_it() {
    let options = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "3600"];
    let mut bed = TestBed::builder().redis_options(&options).start().await;
    let copying = RedisServer::start(&[], "").await;
    copying.command::<()>(&["REPLICAOF", "127.0.0.1", &bed.redis.port().to_string()]);
    eventually("a replica that waits for the data", PATIENCE, async || {
        let said: String = bed.redis.command(&["INFO", "replication"]);
        said.contains("state=wait_bgsave").then_some(())
    })
    .await;
    let services = [service(&mut bed, "auto").await, service(&mut bed, "0").await, service(&mut bed, "1").await];
    assert_eq!(statuses(&bed, &services).await, [200, 200, 503]);
    bed.redis.command::<()>(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    all_answered(&bed, &services).await;
}
