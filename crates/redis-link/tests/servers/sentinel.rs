//! Tests with Sentinels: a primary, two replicas, three Sentinels.

use wxmint_redis_link::Confirm;

use super::support::{PATIENCE, Sentinel, Writer, confirmed, kept, link, link_with, until, write};

async fn written_to() -> (Sentinel, Writer) {
    let redis = Sentinel::start().await;
    let writer = Writer::start(link(&redis.url()));
    writer.is_served().await;
    (redis, writer)
}

#[tokio::test(flavor = "local")]
async fn calls_follow_a_primary_that_is_replaced_killed_or_frozen_and_not_the_old_one_when_it_is_back()
 {
    let (mut redis, writer) = written_to().await;
    for _ in 0..2 {
        redis.fail_over().await;
        writer.is_served().await;
        redis.whole().await;
    }
    let killed = redis.primary().expect("a primary");
    redis.kill(killed);
    let frozen = redis.successor(killed).await;
    writer.is_served().await;
    redis.start_again(killed).await;
    redis.whole().await;
    assert_eq!(redis.think_they_are_primary(), [frozen]);
    writer.is_served().await;
    redis.server(frozen).freeze();
    redis.successor(frozen).await;
    writer.is_served().await;
    redis.server(frozen).thaw();
    writer.is_served().await;
    assert!(
        writer.loses_nothing().await > 0,
        "while there is no primary, writes are refused"
    );
    redis.whole().await;
    sentinels_may_have_a_password_of_their_own_and_one_that_answers_is_enough(redis).await;
}

/// The Sentinels have another password than the servers.
async fn sentinels_may_have_a_password_of_their_own_and_one_that_answers_is_enough(
    mut redis: Sentinel,
) {
    redis.give_sentinels_the_password("their own");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "their own\n").expect("our file");
    let with = format!(
        "{}?sentinel_password_file={}",
        redis.url(),
        file.path().display()
    );
    redis.kill_sentinel(0);
    redis.sentinel(1).freeze();
    let served = link(&with);
    until("confirmed", PATIENCE, async || {
        confirmed(&served, "a").await.is_ok()
    })
    .await;
    assert!(kept(&served, "a").await);
    redis.sentinel(1).thaw();
    let refused = write(&link(&redis.url()), "b")
        .await
        .expect_err("by the password of the servers");
    assert!(
        refused
            .to_string()
            .contains("refuses the user name or the password"),
        "{refused}"
    );
    std::fs::write(&file, "another\n").expect("our file");
    let refused = write(&link(&with), "c")
        .await
        .expect_err("by a wrong password");
    assert!(
        refused
            .to_string()
            .contains("refuses the user name or the password"),
        "{refused}"
    );
}

/// The Sentinels and the replicas cannot reach the old primary, but the client can: its writes
/// there would be lost.
#[tokio::test(flavor = "local")]
async fn a_primary_that_the_sentinels_have_replaced_and_the_link_still_reaches_confirms_nothing_and_is_left()
 {
    let (mut redis, writer) = written_to().await;
    let unconfirmed = link_with(&redis.url(), Confirm::Replicas(0));
    write(&unconfirmed, "a").await.expect("answered");
    redis.cut_off(0);
    let successor = redis.successor(0).await;
    assert!(redis.think_they_are_primary().contains(&0));
    until("the successor is written to", PATIENCE, async || {
        write(&unconfirmed, "b").await.is_ok()
            && redis.server(successor).command::<bool>(&["EXISTS", "b"])
    })
    .await;
    writer.is_served().await;
    writer.loses_nothing().await;
}
