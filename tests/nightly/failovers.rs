//! How long a failover takes, as newcomers feel it: from its beginning until the last first login that was refused, and whether
//! a first login that was answered is lost. `FAILOVERS=50 cargo test --test nightly failovers -- --nocapture --test-threads=1`
//! measures 50 of each kind.

use std::{
    env,
    time::{Duration, Instant},
};

use crate::support::{Newcomers, PATIENCE, RedisCluster, Sentinel, TestBed, eventually, lost, tell};

const FAILED_OVER: Duration = Duration::from_secs(30);
/// Sentinels agree after `down-after-milliseconds`, servers of a Cluster after `cluster-node-timeout`; both are set to a second
/// or two in tests.
const AT_MOST: Duration = Duration::from_secs(15);

/// Whose primary can be replaced, in one way or another.
trait FailsOver {
    async fn fail_over_in_order(&mut self);
    /// Answers once there is a successor.
    async fn lose_primary(&mut self) -> usize;
    async fn come_back(&mut self, server: usize);
}

impl FailsOver for Sentinel {
    async fn fail_over_in_order(&mut self) {
        self.fail_over().await;
        self.whole().await;
    }

    async fn lose_primary(&mut self) -> usize {
        let primary = self.primary().expect("a primary");
        self.kill(primary);
        self.successor(primary).await;
        primary
    }

    async fn come_back(&mut self, server: usize) {
        self.start_again(server).await;
        self.whole().await;
    }
}

impl FailsOver for RedisCluster {
    async fn fail_over_in_order(&mut self) {
        let primary = self.primaries()[0];
        // After the failover before, the new primary learns of its replica a little later.
        let replica = eventually("a replica", PATIENCE, async || self.replicas_of(primary).first().copied()).await;
        self.fail_over_to(replica).await;
        self.whole().await;
    }

    async fn lose_primary(&mut self) -> usize {
        let primary = self.primaries()[0];
        let slot = self.slot_at(primary);
        self.kill(primary);
        self.successor(slot, primary).await;
        primary
    }

    async fn come_back(&mut self, server: usize) {
        self.start_again(server).await;
        self.whole().await;
    }
}

async fn measure<R: FailsOver>(mut bed: TestBed<R>, what: &str, step: impl AsyncFn(&mut R)) {
    let wanted = env::var("FAILOVERS").map_or(10, |count| count.parse().expect("FAILOVERS is a number"));
    let (mut took, mut answered, mut lost_people) = (Vec::new(), 0, Vec::new());
    while took.len() < wanted {
        let newcomers = Newcomers::start(&bed).await;
        newcomers.in_full_service(Instant::now(), PATIENCE).await;
        let began = Instant::now();
        step(&mut bed.redis).await;
        newcomers.in_full_service(Instant::now(), FAILED_OVER).await;
        let record = newcomers.stop().await;
        let refused = record.iter().filter(|it| it.answer.status != 200 && it.answer.sent >= began);
        took.push(refused.map(|it| (it.answer.sent - began).as_secs_f64()).fold(0.0, f64::max));
        answered += record.iter().filter(|it| it.answer.status == 200).count();
        lost_people.extend(lost(&bed, &record).await);
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
async fn sentinels_are_told_to_replace_the_primary() {
    let bed = TestBed::builder().start_on(Sentinel::start().await).await;
    measure(bed, "SENTINEL FAILOVER", in_order::<Sentinel>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_sentinels_is_killed() {
    let bed = TestBed::builder().start_on(Sentinel::start().await).await;
    measure(bed, "Sentinel, primary killed", kill::<Sentinel>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_a_cluster_is_told_to_take_over() {
    let bed = TestBed::builder().start_on(RedisCluster::start().await).await;
    measure(bed, "CLUSTER FAILOVER", in_order::<RedisCluster>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_a_cluster_is_killed() {
    let bed = TestBed::builder().start_on(RedisCluster::start().await).await;
    measure(bed, "Cluster, primary killed", kill::<RedisCluster>).await;
}

async fn in_order<R: FailsOver>(redis: &mut R) {
    redis.fail_over_in_order().await;
}

/// The old primary comes back at once after it has a successor, because a Cluster with one replica for each primary confirms
/// nothing without it.
async fn kill<R: FailsOver>(redis: &mut R) {
    let lost = redis.lose_primary().await;
    redis.come_back(lost).await;
}
