//! On a Redis Cluster of real servers: what a login costs there, and what is answered and kept while the Cluster changes.

use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::support::{
    APPID, BUSY, Newcomers, PATIENCE, RedisCluster, Service, Shape, TestBed, command_on, eventually, lost, redis_keys,
    said, until,
};

/// A failover takes the Cluster a second or two, of which the service knows nothing.
const FAILED_OVER: Duration = Duration::from_secs(30);
/// The deadline of 1 s for the store.
const FAST: Duration = BUSY.saturating_add(Duration::from_secs(1));

/// Three primaries without replicas, at which nothing is confirmed.
async fn bare(options: &[&str]) -> TestBed<RedisCluster> {
    let options = options.iter().map(|&option| option.to_owned()).collect();
    let cluster = RedisCluster::of(Shape { replicas: 0, options, ..Shape::default() }).await;
    TestBed::builder().env("WXMINT_REDIS_CONFIRM", "0").start_on(cluster).await
}

impl TestBed<RedisCluster> {
    /// The slot of all that is kept of a person who has logged in.
    async fn slot_of(&self, person: &str) -> usize {
        self.redis.slot(&redis_keys::binding(APPID, &self.wechat.openid(person).await))
    }

    /// How many calls of silent logins each node has answered. A login makes three: it counts the address (HINCRBY), claims the
    /// code (SET), and records the login (SET, within its script).
    fn calls(&self) -> Vec<u64> {
        let of = |node| {
            let calls = self.redis.node(node).calls();
            ["hincrby", "set"].into_iter().filter_map(|name| calls.get(name)).sum()
        };
        (0..self.redis.nodes()).map(of).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_login_waits_for_the_cluster_twice() {
    let cluster = RedisCluster::of(Shape { replicas: 0, ..Shape::default() }).await;
    let proxies = cluster.behind_proxies().await;
    let builder = TestBed::builder().env("WXMINT_REDIS_CONFIRM", "0");
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
            let nodes = bed.calls().iter().zip(&before).filter(|(now, before)| now > before).count();
            for proxy in &proxies {
                proxy.restore().await;
            }
            nodes
        };
        let (login, nodes) = tokio::join!(bed.login(&code), asked);
        login.expect_login();
        assert_eq!(bed.calls().iter().sum::<u64>(), before.iter().sum::<u64>() + 3, "and one for the rest");
        apart += nodes - 1;
    }
}

/// What is not there yet belongs to the new owner (ASK), and of what is half there nobody answers for it (TRYAGAIN).
#[tokio::test(flavor = "multi_thread")]
async fn a_first_login_whose_slot_is_moving_is_answered() {
    let bed = TestBed::builder().start_on(RedisCluster::start().await).await;
    let code = bed.mint_code("lin").await;
    let slot = bed.slot_of("lin").await;
    let from = bed.redis.primary_of(slot).expect("an owner");
    let to = (from + 1) % 3;
    bed.redis.begin_move(slot, from, to);
    let move_on = async {
        let asked = async || bed.redis.node(to).calls().contains_key("asking");
        until("the new owner is asked", PATIENCE, asked).await;
        bed.redis.move_keys(slot, from, to);
        bed.redis.end_move(slot, to);
    };
    let (login, ()) = tokio::join!(bed.login(&code), move_on);
    let user = login.expect_login().member("user_id");
    assert_eq!(bed.log_in("lin").await.expect_login().member("user_id"), user);
    assert_eq!(bed.redis.primary_of(slot), Some(to));
}

#[tokio::test(flavor = "multi_thread")]
async fn primaries_fail_over_under_first_logins_and_none_that_was_answered_is_lost() {
    let mut bed = TestBed::builder().start_on(RedisCluster::start().await).await;
    let newcomers = Newcomers::start(&bed).await;
    newcomers.in_full_service(Instant::now(), PATIENCE).await;

    bed.redis.fail_over_to(bed.redis.replicas_of(0)[0]).await;
    newcomers.in_full_service(Instant::now(), FAILED_OVER).await;

    // A primary that has just been promoted has no replica, until the old primary comes back as one.
    let slot = bed.redis.slot_at(1);
    bed.redis.kill(1);
    bed.redis.successor(slot, 1).await;
    bed.redis.start_again(1).await;
    newcomers.in_full_service(Instant::now(), FAILED_OVER).await;

    let slot = bed.redis.slot_at(2);
    bed.redis.freeze(2);
    bed.redis.successor(slot, 2).await;
    bed.redis.thaw(2);
    bed.redis.whole().await;
    newcomers.in_full_service(Instant::now(), FAILED_OVER).await;

    let record = newcomers.stop().await;
    assert!(record.iter().all(|it| it.answer.took < FAST), "{record:?}");
    assert_eq!(lost(&bed, &record).await, Vec::<String>::new());
    bed.service().expect_no_faults().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_replicas_nobody_could_take_over_and_first_logins_are_answered_unless_one_must_confirm() {
    let mut bare = bare(&[]).await;
    bare.log_in("lin").await.expect_login();
    let mut first_login = async |confirm: &str, person| {
        bare.configuration.set("WXMINT_REDIS_CONFIRM", confirm);
        let service = Service::start(&bare.configuration, bare.http.clone()).await;
        service.ready().await;
        let answer = service.login(&bare.wechat.mint_code(person).await).await;
        (service, answer)
    };
    first_login("auto", "an").await.1.expect_login();
    let (service, refused) = first_login("1", "mei").await;
    refused.expect_problem(503, "store_unavailable");
    service.login(&bare.wechat.mint_code("lin").await).await.expect_login();
    eventually("the log names the setting", PATIENCE, async || {
        service.log().contains("WXMINT_REDIS_CONFIRM").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn a_user_is_not_called_forgotten_while_slots_are_moving() {
    let bed = bare(&[]).await;
    let user = bed.log_in("lin").await.expect_login().member("user_id");
    let forget = || command_on(&bed.redis.url(), &["users", "forget", &user, "--yes"]).output().expect("wxmint runs");
    let (slot, from, to) = (bed.redis.slot_at(0), 0, 1);
    block_in_place(|| bed.redis.begin_move(slot, from, to));
    let output = block_in_place(forget);
    assert!(!output.status.success() && said(&output).contains("at rest"), "{}", said(&output));
    block_in_place(|| {
        bed.redis.move_keys(slot, from, to);
        bed.redis.end_move(slot, to);
    });
    until("forgotten", PATIENCE, async || block_in_place(forget).status.success()).await;
    assert_ne!(bed.log_in("lin").await.expect_login().member("user_id"), user);
}

/// Two people whose primaries differ, the first of whom is node 0's.
async fn two_people(bed: &TestBed<RedisCluster>) -> [String; 2] {
    let mut found = [const { None }; 2];
    for number in 0.. {
        let person = format!("person-{number}");
        bed.log_in(&person).await.expect_login();
        let away = bed.redis.primary_of(bed.slot_of(&person).await) != Some(0);
        found[usize::from(away)] = Some(person);
        if let [Some(here), Some(there)] = &found {
            return [here.clone(), there.clone()];
        }
    }
    unreachable!()
}

/// Logs both in until the first is refused, fast, and the second is served, and the other way round for what is claimed
/// at the lost primary: a login's code may be anybody's.
async fn one_is_refused(bed: &TestBed<RedisCluster>, [here, there]: &[String; 2]) {
    until("refused", PATIENCE, async || {
        let answer = bed.log_in(here).await;
        assert!(answer.took < FAST, "{answer:?}");
        answer.status == 503
    })
    .await;
    bed.log_in(here).await.expect_problem(503, "store_unavailable");
    until("served", PATIENCE, async || bed.log_in(there).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_primary_is_lost_its_people_are_refused_fast_and_all_others_log_in() {
    let mut bed = bare(&["--cluster-require-full-coverage", "no"]).await;
    let people = two_people(&bed).await;
    bed.redis.kill(0);
    one_is_refused(&bed, &people).await;
    bed.redis.start_again(0).await;
    until("served again", PATIENCE, async || bed.log_in(&people[0]).await.status == 200).await;

    let slot = bed.slot_of(&people[0]).await.to_string();
    for node in 0..bed.redis.nodes() {
        bed.redis.node(node).command::<()>(&["CLUSTER", "DELSLOTS", &slot]);
    }
    one_is_refused(&bed, &people).await;
    bed.redis.node(0).command::<()>(&["CLUSTER", "ADDSLOTS", &slot]);
    until("served again", PATIENCE, async || bed.log_in(&people[0]).await.status == 200).await;
    bed.service().expect_no_faults().await;
}
