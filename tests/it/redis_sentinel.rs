//! Under Sentinel.

use crate::support::{Sentinel, tell};

#[tokio::test(flavor = "multi_thread")]
async fn scratch() {
    let start = std::time::Instant::now();
    let mut sentinel = Sentinel::start().await;
    tell(&format!("{:?} {:?}", start.elapsed(), sentinel.primary()));
    let start = std::time::Instant::now();
    let next = sentinel.fail_over().await;
    tell(&format!("fail over {next} {:?} {:?}", start.elapsed(), sentinel.think_they_are_primary()));
    sentinel.whole().await;
    tell(&format!("whole {next} {:?} {:?}", start.elapsed(), sentinel.think_they_are_primary()));
    let start = std::time::Instant::now();
    sentinel.kill(next);
    let after = sentinel.successor(next).await;
    tell(&format!("killed {next} {after} {:?} {:?}", start.elapsed(), sentinel.think_they_are_primary()));
    sentinel.start_again(next).await;
    tell(&format!("again {next} {after} {:?} {:?}", start.elapsed(), sentinel.think_they_are_primary()));
    sentinel.whole().await;
    tell(&format!("whole {next} {after} {:?} {:?}", start.elapsed(), sentinel.think_they_are_primary()));
    let start = std::time::Instant::now();
    sentinel.freeze(after);
    let last = sentinel.successor(after).await;
    tell(&format!("frozen {after} {last} {:?} {:?}", start.elapsed(), sentinel.think_they_are_primary()));
    sentinel.thaw(after);
    tell(&format!("thawed {:?} {:?}", start.elapsed(), sentinel.think_they_are_primary()));
    sentinel.whole().await;
    tell(&format!("whole {:?} {:?}", start.elapsed(), sentinel.think_they_are_primary()));
}
