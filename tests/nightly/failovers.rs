//! How long a failover takes, as newcomers feel it: from its beginning until the last first login that was refused, and
//! whether a first login that was answered is lost. `FAILOVERS=50 cargo test --test nightly failovers -- --nocapture
//! --test-threads=1` measures 50 of each kind.

use std::{env, time::Instant};

use crate::support::{load::Recorded, prelude::*};

const FAILED_OVER: Duration = Duration::from_secs(30);
/// Sentinels agree after `down-after-milliseconds`, servers of a Cluster after `cluster-node-timeout`; both are set to
/// a second or two in tests.
const AT_MOST: Duration = Duration::from_secs(15);

/// Minted at once; each is of somebody else.
const PEOPLE: usize = 2000;

/// First logins without end, each by somebody who has never logged in.
async fn newcomers<R>(bed: &TestBed<R>) -> Load {
    let name = format!("newcomer-{}", fastrand::u64(..));
    let codes = bed
        .wechat
        .mint_codes(json!({"person": name, "count": PEOPLE, "distinct_people": true}))
        .await;
    Load::of(
        bed,
        codes
            .into_iter()
            .enumerate()
            .map(move |(number, code)| (format!("{name}-{number}"), code)),
    )
}

/// Waits until 20 logins in a row have succeeded that began after this.
async fn in_full_service(newcomers: &Load, within: Duration) {
    let since = Instant::now();
    eventually("full service", within, async || {
        let answers = newcomers
            .answers()
            .into_iter()
            .map(|recorded| recorded.answer);
        let statuses: Vec<u16> = answers
            .filter(|it| it.sent > since)
            .map(|it| it.status)
            .collect();
        let last = statuses.len().checked_sub(20)?;
        statuses[last..]
            .iter()
            .all(|status| *status == 200)
            .then_some(())
    })
    .await;
}

/// Those whose first login was answered and who have become somebody else since.
async fn lost<R>(bed: &TestBed<R>, answered: &[Recorded]) -> usize {
    let mut lost = 0;
    for Recorded { person, answer } in answered {
        let again = eventually("a login", PATIENCE, async || {
            Some(bed.log_in(person).await).filter(|answer| answer.status == 200)
        })
        .await;
        let is_same = again.member("user_id") == answer.clone().expect_login().member("user_id")
            && again.json()["new_user"] == false;
        lost += usize::from(!is_same);
    }
    lost
}

async fn measure<R>(bed: &mut TestBed<R>, what: &str, step: impl AsyncFn(&mut R)) {
    let wanted =
        env::var("FAILOVERS").map_or(10, |count| count.parse().expect("FAILOVERS is a number"));
    let (mut took, mut answered, mut lost_people) = (Vec::new(), 0, 0);
    while took.len() < wanted {
        let newcomers = newcomers(bed).await;
        in_full_service(&newcomers, PATIENCE).await;
        let began = Instant::now();
        step(&mut bed.redis).await;
        in_full_service(&newcomers, FAILED_OVER).await;
        let (logins, refused): (Vec<_>, Vec<_>) = newcomers
            .stop()
            .await
            .into_iter()
            .partition(|it| it.answer.status == 200);
        let refused = refused
            .into_iter()
            .map(|it| it.answer.expect_problem(503, "store_unavailable").sent);
        took.push(
            refused
                .map(|sent| sent.saturating_duration_since(began).as_secs_f64())
                .fold(0.0, f64::max),
        );
        answered += logins.len();
        lost_people += lost(bed, &logins).await;
    }
    took.sort_by(f64::total_cmp);
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
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
    measure(
        &mut bed,
        "Sentinel, primary killed",
        kill_in_front_of_sentinels,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_a_cluster_takes_over_because_it_is_told_to_or_its_primary_is_killed() {
    let mut bed = TestBed::builder()
        .start_on(RedisCluster::start().await)
        .await;
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
    let replica = eventually("a replica", PATIENCE, async || {
        redis.replicas_of(primary).first().copied()
    })
    .await;
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
