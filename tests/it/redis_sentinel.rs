//! Under Sentinel, with real sentinels: the primary changes under first logins, and none that was answered is lost.

use std::time::{Duration, Instant};

use crate::support::{BUSY, Newcomers, PATIENCE, Sentinel, TestBed, lost, tell};

/// A failover takes the sentinels some seconds, of which the service knows nothing.
const FAILED_OVER: Duration = Duration::from_secs(30);
/// The deadline of 1 s for the store.
const FAST: Duration = BUSY.saturating_add(Duration::from_secs(1));

async fn no_newcomer_is_lost(bed: &TestBed<Sentinel>, newcomers: Newcomers) {
    newcomers.in_full_service(Instant::now(), FAILED_OVER).await;
    let record = newcomers.stop().await;
    let slow = record.iter().find(|it| it.answer.took >= FAST);
    assert!(slow.is_none(), "{slow:?}");
    let refused = record.iter().filter(|it| it.answer.status != 200).count();
    tell(&format!("{} first logins, {refused} refused", record.len()));
    assert_eq!(lost(bed, &record).await, Vec::<String>::new());
    bed.service().expect_no_faults().await;
}

async fn served() -> (TestBed<Sentinel>, Newcomers) {
    let bed = TestBed::builder().start_on(Sentinel::start().await).await;
    let newcomers = Newcomers::start(&bed).await;
    newcomers.in_full_service(Instant::now(), PATIENCE).await;
    (bed, newcomers)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_changed_in_order_and_then_killed_and_comes_back_believing_that_it_is_the_primary() {
    let (mut bed, newcomers) = served().await;
    let second = bed.redis.fail_over().await;
    newcomers.in_full_service(Instant::now(), FAILED_OVER).await;
    bed.redis.whole().await;
    bed.redis.kill(second);
    let successor = bed.redis.successor(second).await;
    newcomers.in_full_service(Instant::now(), FAILED_OVER).await;
    bed.redis.start_again(second).await;
    bed.redis.whole().await;
    assert_eq!(bed.redis.think_they_are_primary(), [successor]);
    no_newcomer_is_lost(&bed, newcomers).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn the_primary_is_frozen_and_wakes_believing_that_it_is_the_primary() {
    let (bed, newcomers) = served().await;
    bed.redis.server(0).freeze();
    bed.redis.successor(0).await;
    newcomers.in_full_service(Instant::now(), FAILED_OVER).await;
    bed.redis.server(0).thaw();
    no_newcomer_is_lost(&bed, newcomers).await;
}

/// The sentinels cannot reach the old primary, and the service can: what it would write there is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_the_sentinels_have_lost_and_the_service_has_not_confirms_nothing() {
    let (mut bed, newcomers) = served().await;
    bed.redis.cut_off(0);
    bed.redis.successor(0).await;
    assert!(bed.redis.think_they_are_primary().contains(&0));
    newcomers.in_full_service(Instant::now(), FAILED_OVER).await;
    no_newcomer_is_lost(&bed, newcomers).await;
}
