//! How long a failover takes, as newcomers feel it: from its beginning until the last first login that was refused, and
//! whether a first login that was answered is lost. `FAILOVERS=50 cargo test --test nightly failovers -- --nocapture
//! --test-threads=1` measures 50 of each kind.

use std::{env, time::Instant};

use crate::newcomers::{Newcomers, lost};
use crate::support::prelude::*;

const FAILED_OVER: Duration = Duration::from_secs(30);
/// Sentinels agree after `down-after-milliseconds`, servers of a Cluster after `cluster-node-timeout`; both are set to
/// a second or two in tests.
const AT_MOST: Duration = Duration::from_secs(15);

async fn measure<R>(bed: &mut TestBed<R>, what: &str, step: impl AsyncFn(&mut R)) {
    let wanted = env::var("FAILOVERS").map_or(10, |count| count.parse().expect("FAILOVERS is a number"));
    let (mut took, mut answered, mut lost_people) = (Vec::new(), 0, Vec::new());
    while took.len() < wanted {
        let newcomers = Newcomers::start(bed).await;
        newcomers.in_full_service(Instant::now(), PATIENCE).await;
        let began = Instant::now();
        step(&mut bed.redis).await;
        newcomers.in_full_service(Instant::now(), FAILED_OVER).await;
        let record = newcomers.stop().await;
        let refused = record.iter().filter(|it| it.answer.status != 200 && it.answer.sent >= began);
        took.push(refused.map(|it| (it.answer.sent - began).as_secs_f64()).fold(0.0, f64::max));
        answered += record.iter().filter(|it| it.answer.status == 200).count();
        lost_people.extend(lost(bed, &record).await);
    }
    took.sort_by(f64::total_cmp);
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    let lost_people = lost_people.len();
    tell(&format!(
        "{what}: {wanted} failovers, first logins refused for {median:.2} s (median), {worst:.2} s (worst); \
         {answered} answered, {lost_people} of them lost"
    ));
    assert_eq!(lost_people, 0);
    assert!(worst < AT_MOST.as_secs_f64(), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_replace_a_primary_because_they_are_told_to_or_it_is_killed() {
    let mut bed = TestBed::builder().start_on(Sentinel::start().await).await;
    measure(&mut bed, "SENTINEL FAILOVER", tell_sentinels).await;
    measure(&mut bed, "Sentinel, primary killed", kill_in_front_of_sentinels).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_a_cluster_takes_over_because_it_is_told_to_or_its_primary_is_killed() {
    let mut bed = TestBed::builder().start_on(RedisCluster::start().await).await;
    measure(&mut bed, "CLUSTER FAILOVER", tell_replica).await;
    measure(&mut bed, "Cluster, primary killed", kill_in_cluster).await;
}

async fn tell_sentinels(redis: &mut Sentinel) {
    redis.fail_over().await;
    redis.whole().await;
}

async fn kill_in_front_of_sentinels(redis: &mut Sentinel) {
    let primary = redis.primary().expect("a primary");
    redis.kill(primary);
    redis.successor(primary).await;
    redis.start_again(primary).await;
    redis.whole().await;
}

async fn tell_replica(redis: &mut RedisCluster) {
    let primary = redis.primaries()[0];
    // After the failover before, the new primary learns of its replica a little later.
    let replica = eventually("a replica", PATIENCE, async || redis.replicas_of(primary).first().copied()).await;
    redis.fail_over_to(replica).await;
    redis.whole().await;
}

/// The old primary comes back at once after it has a successor.
async fn kill_in_cluster(redis: &mut RedisCluster) {
    let primary = redis.primaries()[0];
    let slot = redis.slot_at(primary);
    redis.kill(primary);
    redis.successor(slot, primary).await;
    redis.start_again(primary).await;
    redis.whole().await;
}
