//! How many replicas have a first login before it is answered: none, one, more, and those that have nothing yet. And a dead
//! replica, which holds up newcomers until those have noticed who would promote it.

mod one_primary;

use std::time::Duration;

use crate::support::{
    BUSY, PATIENCE, RedisCluster, RedisServer, Sentinel, Service, Shape, TestBed, eventually, redis_keys, tell, until,
};

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

/// Waits until every service answers a first login.
async fn all_answered<const N: usize>(bed: &TestBed, services: &[Service; N]) {
    until("all are answered", PATIENCE, async || statuses(bed, services).await == [200; N]).await;
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
    let warning = format!("warning: Redis at {primary} has 0 replicas that are online, and 1 must confirm");
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
    let second = RedisServer::replica_of(&bed.redis).await;
    all_answered(&bed, &services).await;

    first.freeze();
    assert_eq!(statuses(&bed, &services).await, [503, 200, 200, 503], "one of two is frozen");
    second.freeze();
    assert_eq!(statuses(&bed, &services).await, [503, 200, 503, 503], "both are frozen");
    assert_eq!(bed.log_in("lin").await.expect_login().member("user_id"), known, "who is bound needs no confirmation");
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

/// Those who decide who takes over, and what they know of one replica of each primary.
trait Deciders {
    /// Whether all of them, or some, hold the replicas for dead.
    fn hold_for_dead(&self) -> (bool, bool);
    /// A replica may say nothing for so long before they hold it for dead.
    fn notice_after(&self, silence: Duration);
    fn kill_replicas(&mut self);
    async fn start_replicas_again(&mut self);
    fn freeze_replicas(&self);
    fn thaw_replicas(&self);
}

/// A primary with one replica, which is server 1.
impl Deciders for Sentinel {
    fn hold_for_dead(&self) -> (bool, bool) {
        self.hold_down(1)
    }

    fn notice_after(&self, silence: Duration) {
        let silence = silence.as_millis().to_string();
        for number in 0..3 {
            let set = ["SENTINEL", "SET", "wxmint", "down-after-milliseconds", &silence];
            self.sentinel(number).command::<()>(&set);
        }
    }

    fn kill_replicas(&mut self) {
        self.kill(1);
    }

    async fn start_replicas_again(&mut self) {
        self.start_again(1).await;
        self.whole().await;
    }

    fn freeze_replicas(&self) {
        self.server(1).freeze();
    }

    fn thaw_replicas(&self) {
        self.server(1).thaw();
    }
}

/// Three primaries with a replica each, which are nodes 3 to 5.
impl Deciders for RedisCluster {
    fn hold_for_dead(&self) -> (bool, bool) {
        let held = [3, 4, 5].map(|replica| self.hold_failed(replica));
        (held.iter().all(|(all, _)| *all), held.iter().any(|(_, some)| *some))
    }

    fn notice_after(&self, silence: Duration) {
        let silence = silence.as_millis().to_string();
        for primary in 0..3 {
            self.node(primary).command::<()>(&["CONFIG", "SET", "cluster-node-timeout", &silence]);
        }
    }

    fn kill_replicas(&mut self) {
        [3, 4, 5].into_iter().for_each(|replica| self.kill(replica));
    }

    async fn start_replicas_again(&mut self) {
        for replica in 3..=5 {
            self.start_again(replica).await;
        }
        self.whole().await;
    }

    fn freeze_replicas(&self) {
        [3, 4, 5].into_iter().for_each(|replica| self.freeze(replica));
    }

    fn thaw_replicas(&self) {
        [3, 4, 5].into_iter().for_each(|replica| self.thaw(replica));
    }
}

/// A dead replica costs newcomers no more than the time in which the deciders notice, and it is waited for again when it is
/// back.
async fn a_dead_replica_is_waited_for_until_it_is_noticed<R: Deciders>(mut bed: TestBed<R>) {
    assert_eq!(newcomer(&bed, bed.service()).await, 200);
    bed.redis.notice_after(6 * PATIENCE);
    bed.redis.kill_replicas();
    assert_eq!(newcomer(&bed, bed.service()).await, 503, "who has not been noticed could take over");
    bed.redis.notice_after(Duration::from_secs(1));
    until("all have noticed", 3 * PATIENCE, async || {
        let (noticed, _) = bed.redis.hold_for_dead();
        let status = newcomer(&bed, bed.service()).await;
        let (_, some) = bed.redis.hold_for_dead();
        tell(&format!("all have noticed: {noticed}, some have noticed: {some}, first login: {status}"));
        assert!(some || status == 503, "who has not been noticed could take over");
        assert!(!noticed || status == 200, "{}", bed.service().log());
        noticed
    })
    .await;
    for person in ["lin", "mei"] {
        let token = bed.log_in(person).await.expect_login().member("access_token");
        let logout = bed.service().ask("POST", "/logout", &token, &serde_json::json!({})).await;
        let token = bed.log_in(person).await.expect_login().member("access_token");
        let unbinding = bed.service().unbind(&token).await;
        assert_eq!([logout.status, unbinding.status], [204, 204], "{logout:?} {unbinding:?}");
    }

    bed.redis.start_replicas_again().await;
    until("served", PATIENCE, async || newcomer(&bed, bed.service()).await == 200).await;
    bed.redis.freeze_replicas();
    assert_eq!(newcomer(&bed, bed.service()).await, 503, "it is back, and is waited for");
    bed.redis.thaw_replicas();
    until("served again", PATIENCE, async || newcomer(&bed, bed.service()).await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_replica_holds_up_newcomers_until_the_sentinels_have_noticed() {
    a_dead_replica_is_waited_for_until_it_is_noticed(TestBed::builder().start_on(Sentinel::of(1, &[]).await).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_replica_holds_up_newcomers_until_the_cluster_has_noticed() {
    a_dead_replica_is_waited_for_until_it_is_noticed(TestBed::builder().start_on(RedisCluster::start().await).await)
        .await;
}

/// A primary that comes back copies all the data of its successor, follows it, and then loses its link. It could take over again,
/// and the other primaries have not heard yet that it has data.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_has_just_come_back_to_a_cluster_is_waited_for() {
    // It copies all, because the backlog is too short for less, and a second late: by then the others have heard that it is back
    // and has nothing. They hear of it again within half of the time-out.
    let options = ["--repl-backlog-size", "16384", "--repl-diskless-sync-delay", "1"].map(str::to_owned).to_vec();
    let shape = Shape { node_timeout: Duration::from_secs(3), options, ..Shape::default() };
    let mut bed = TestBed::builder().start_on(RedisCluster::of(shape).await).await;
    let slot = bed.redis.slot_at(0);
    bed.redis.kill(0);
    let successor = bed.redis.successor(slot, 0).await;
    let bindings = |bed: &TestBed<RedisCluster>| -> Vec<String> {
        bed.redis.node(successor).command(&["KEYS", &redis_keys::binding("*", "*").replace(['{', '}'], "*")])
    };
    until("the successor serves alone", PATIENCE, async || {
        newcomer(&bed, bed.service()).await == 200 && !bindings(&bed).is_empty()
    })
    .await;
    let in_same_slot = bindings(&bed)[0].replace("binding", "filling");
    bed.redis.node(successor).command::<()>(&["SET", &in_same_slot, &"a".repeat(100_000)]);
    bed.redis.start_again(0).await;
    bed.redis.whole().await;
    bed.redis.freeze(0);
    bed.redis.node(successor).command::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]);

    // Those of the other two primaries are answered.
    let before = bindings(&bed).len();
    until("a newcomer of this primary", 3 * PATIENCE, async || {
        let answered = newcomer(&bed, bed.service()).await == 200;
        let is_safe = !answered || bindings(&bed).len() == before;
        assert!(is_safe, "who could be lost was answered: {}", bed.service().log());
        !answered
    })
    .await;
    bed.redis.thaw(0);
    until("served", PATIENCE, async || newcomer(&bed, bed.service()).await == 200).await;
}
