//! The example of README.md.

use super::support::RedisCluster;

#[path = "../../examples/confirmed.rs"]
#[expect(dead_code, reason = "its `main` is not called")]
mod confirmed;

#[tokio::test(flavor = "local")]
async fn the_example_writes_to_a_cluster_and_waits_until_what_could_take_over_has_it() {
    let cluster = RedisCluster::start().await;
    confirmed::pay(&cluster.url()).await.expect("confirmed");
    assert!(
        cluster
            .node(cluster.primary_of(cluster.slot("order:7")).expect("an owner"))
            .command::<bool>(&["EXISTS", "order:7"])
    );
}
