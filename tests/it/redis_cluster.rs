//! On a Redis Cluster.

use crate::support::{RedisCluster, tell};

#[tokio::test(flavor = "multi_thread")]
async fn scratch() {
    let start = std::time::Instant::now();
    let mut cluster = RedisCluster::start().await;
    tell(&format!("{:?} {:?}", start.elapsed(), cluster.primaries()));
    let slot = cluster.slot("wxmint:{a}");
    let primary = cluster.primary_of(slot).unwrap();
    let replica = cluster.replicas_of(primary)[0];
    let start = std::time::Instant::now();
    cluster.fail_over_to(replica).await;
    tell(&format!("fail over {:?} {:?}", start.elapsed(), cluster.primaries()));
    cluster.whole().await;
    tell(&format!("whole {:?} {:?}", start.elapsed(), cluster.primaries()));
    cluster.node(replica).command::<()>(&["SET", "wxmint:{a}", "1"]);
    let to = cluster.primaries().into_iter().find(|it| *it != replica).unwrap();
    cluster.move_slot(slot, to);
    assert_eq!(cluster.primary_of(slot), Some(to));
    assert_eq!(cluster.node(to).command::<String>(&["GET", "wxmint:{a}"]), "1");
    cluster.whole().await;
    let start = std::time::Instant::now();
    cluster.kill(to);
    let next = cluster.successor(slot, to).await;
    tell(&format!("killed {to}, {next} {:?}", start.elapsed()));
    cluster.start_again(to).await;
    cluster.whole().await;
    tell(&format!("whole {:?} {:?}", start.elapsed(), cluster.primaries()));
    let start = std::time::Instant::now();
    cluster.freeze(next);
    let last = cluster.successor(slot, next).await;
    tell(&format!("frozen {next}, {last} {:?}", start.elapsed()));
    cluster.thaw(next);
    cluster.whole().await;
    tell(&format!("whole {:?} {:?}", start.elapsed(), cluster.primaries()));
}
