//! A Cluster of three primaries, each with a replica in tests of failovers.

use std::{collections::BTreeSet, sync::LazyLock, time::Instant};

use futures_util::future::join_all;
use wxmint_redis_link::scan::{Place, Slots};
use wxmint_redis_link::{Call, Confirm, RedisClient, Script};

use super::confirmed::outcomes;
use super::support::{
    FAST, PATIENCE, RedisCluster, RedisServer, Writer, is_there, link, link_with, until, write,
};

/// The example of README.md.
#[path = "../../examples/confirmed.rs"]
#[expect(dead_code, reason = "its `main` is not called")]
mod example;

static COUNT: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('EXISTS', KEYS[1], KEYS[2])"));

#[tokio::test(flavor = "local")]
async fn calls_follow_primaries_that_are_replaced_killed_or_frozen_and_no_confirmed_write_is_lost()
{
    let mut cluster = RedisCluster::start().await;
    example::pay(&cluster.url()).await.expect("confirmed");
    assert_eq!(is_there(&link(&cluster.url()), "order:7").await, Ok(true));
    let writer = Writer::start(link(&cluster.url()));
    writer.is_served().await;
    cluster.fail_over_to(cluster.replicas_of(0)[0]).await;
    writer.is_served().await;
    let slot = cluster.slot_at(1);
    cluster.kill(1);
    cluster.successor(slot, 1).await;
    cluster.start_again(1).await;
    writer.is_served().await;
    let slot = cluster.slot_at(2);
    cluster.node(2).freeze();
    cluster.successor(slot, 2).await;
    cluster.node(2).thaw();
    cluster.whole().await;
    writer.is_served().await;
    assert!(
        writer.loses_nothing().await > 0,
        "while nobody has the slots, writes are refused"
    );
    succeeds_as_soon_as_another_has_taken_over(&cluster).await;
}

/// A call to a frozen primary.
async fn succeeds_as_soon_as_another_has_taken_over(cluster: &RedisCluster) {
    let link = link(&cluster.url());
    let primary = cluster.primaries()[0];
    let slot = cluster.slot_at(primary);
    let key = (0..)
        .map(|n| format!("key-{n}"))
        .find(|key| cluster.slot(key) == slot + 7)
        .expect("a key");
    write(&link, &key).await.expect("answered");
    cluster.node(primary).freeze();
    let began = Instant::now();
    write(&link, &key).await.expect_err("nobody has taken over");
    assert!(began.elapsed() < FAST, "{:?}", began.elapsed());
    let successor = cluster.successor(slot, primary).await;
    let began = Instant::now();
    until("answered", PATIENCE, async || {
        write(&link, &key).await.is_ok()
    })
    .await;
    assert!(
        began.elapsed() < FAST,
        "{:?} after the failover",
        began.elapsed()
    );
    assert!(cluster.node(successor).command::<bool>(&["EXISTS", &key]));
    cluster.node(primary).thaw();
}

#[tokio::test(flavor = "local")]
async fn without_replicas_none_is_waited_for_and_calls_find_their_keys_while_slots_move_and_primaries_are_lost()
 {
    let cluster = RedisCluster::of(0, &["--cluster-require-full-coverage", "no"], "").await;
    let links =
        [Confirm::Auto, Confirm::Replicas(1)].map(|confirm| link_with(&cluster.url(), confirm));
    assert_eq!(
        outcomes(&links).await,
        [true, false],
        "nobody could take over"
    );
    let [link, _] = &links;
    a_walk_finds_each_key_of_three_primaries_also_while_slots_move(&cluster, link).await;
    while_a_slot_moves_its_calls_are_answered_wherever_their_keys_are(&cluster, link).await;
    while_a_primary_is_lost_its_calls_fail_in_time_and_all_others_are_answered(cluster, link).await;
}

/// Tests MOVED, ASK and TRYAGAIN.
async fn while_a_slot_moves_its_calls_are_answered_wherever_their_keys_are(
    cluster: &RedisCluster,
    link: &RedisClient,
) {
    write(link, "{tag}here").await.expect("answered");
    let slot = cluster.slot("{tag}");
    let from = cluster.primary_of(slot).expect("an owner");
    let to = (from + 1) % 3;
    let errors = |node: usize| {
        cluster
            .node(node)
            .command::<String>(&["INFO", "errorstats"])
    };
    let moved = |node| {
        errors(node)
            .lines()
            .find(|line| line.starts_with("errorstat_MOVED"))
            .map(str::to_owned)
    };

    cluster.begin_move(slot, from, to);
    assert_eq!(is_there(link, "{tag}here").await, Ok(true));
    write(link, "{tag}new")
        .await
        .expect("the new owner takes it");
    assert!(
        errors(from).contains("errorstat_ASK") && cluster.node(to).calls().contains_key("asking")
    );
    let each = || {
        Call::of("GET", "{tag}absent")
            .cmd("GET")
            .arg("{tag}here")
            .cmd("GET")
            .arg("{tag}new")
    };
    assert_eq!(
        link.run("read", each()).await,
        Ok((None::<u8>, Some(1), Some(1))),
        "each is read where it is"
    );
    assert_eq!(
        link.run_confirmed("read", each()).await,
        Ok((None::<u8>, Some(1), Some(1))),
        "both have no replicas"
    );
    let count = link.run::<u8>("count", COUNT.on(&["{tag}here", "{tag}new"]));
    let move_on = async {
        until("TRYAGAIN", PATIENCE, async || {
            errors(from).contains("errorstat_TRYAGAIN")
        })
        .await;
        cluster.move_keys(slot, from, to);
    };
    assert_eq!(
        tokio::join!(count, move_on).0,
        Ok(2),
        "each of the two had one of them"
    );
    cluster.end_move(slot, to);
    assert_eq!(is_there(link, "{tag}here").await, Ok(true));
    assert!(errors(from).contains("errorstat_MOVED"));
    until("the new owner is asked at once", PATIENCE, async || {
        let before = moved(from);
        assert_eq!(is_there(link, "{tag}here").await, Ok(true));
        moved(from) == before
    })
    .await;
}

async fn while_a_primary_is_lost_its_calls_fail_in_time_and_all_others_are_answered(
    mut cluster: RedisCluster,
    link: &RedisClient,
) {
    let keys: Vec<_> = (0..30).map(|number| format!("key-{number}")).collect();
    let (lost, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| cluster.slot(key) <= 5460);
    let slots =
        |node: &RedisServer, command| node.command::<()>(&["CLUSTER", command, "0", "5460"]);
    let all_are_answered = async || {
        join_all(keys.iter().map(|key| write(link, key)))
            .await
            .iter()
            .all(Result::is_ok)
    };
    for how in ["killed", "frozen", "without its slots"] {
        until("all are answered", PATIENCE, all_are_answered).await;
        match how {
            "killed" => cluster.kill(0),
            "frozen" => cluster.node(0).freeze(),
            _ => (0..3).for_each(|node| slots(cluster.node(node), "DELSLOTSRANGE")),
        }
        for _ in 0..3 {
            let began = Instant::now();
            let [refused, answered] =
                [&lost, &others].map(|keys| join_all(keys.iter().map(|key| write(link, key))));
            let (refused, answered) = tokio::join!(refused, answered);
            assert!(began.elapsed() < FAST, "{how}: {:?}", began.elapsed());
            assert!(
                refused.iter().all(Result::is_err) && answered.iter().all(Result::is_ok),
                "{how}: {refused:?} {answered:?}"
            );
        }
        match how {
            "killed" => cluster.start_again(0).await,
            "frozen" => cluster.node(0).thaw(),
            _ => slots(cluster.node(0), "ADDSLOTSRANGE"),
        }
    }
    until("all are answered", PATIENCE, all_are_answered).await;
}

/// Walks over the names of all keys, and says whether some may be missing. Calls `meanwhile` before
/// each page.
async fn walk(
    link: &RedisClient,
    slots: Slots,
    mut meanwhile: impl FnMut(usize),
) -> (BTreeSet<String>, bool) {
    let (mut found, mut next, mut may_miss) = (BTreeSet::new(), Some(Place::default()), false);
    for number in 0.. {
        let Some(place) = next.take() else { break };
        meanwhile(number);
        let page = link
            .keys_like("key-*", &place, slots)
            .await
            .expect("an answer");
        found.extend(page.found);
        (next, may_miss) = (page.next, may_miss || page.may_miss);
    }
    (found, may_miss)
}

async fn a_walk_finds_each_key_of_three_primaries_also_while_slots_move(
    cluster: &RedisCluster,
    link: &RedisClient,
) {
    let third = |command, node| {
        cluster
            .node(node)
            .command::<()>(&["CLUSTER", command, "10922", "16383"]);
    };
    // The node that has the slots comes first, because its messages would undo the change.
    (0..3).rev().for_each(|node| third("DELSLOTSRANGE", node));
    let stale = link_with(&cluster.url(), Confirm::Auto);
    assert_eq!(stale.all_primaries().await.map(|two| two.len()), Ok(2));
    third("ADDSLOTSRANGE", 2);
    let keys: BTreeSet<_> = (0..5000).map(|number| format!("key-{number}")).collect();
    for some in keys.iter().collect::<Vec<_>>().chunks(250) {
        assert!(
            join_all(some.iter().map(|key| write(link, key)))
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
    write(link, "another").await.expect("answered");
    let all = (keys.clone(), false);
    let finds_all = async |link| walk(link, Slots::AtRest, |_| {}).await == all;
    until("all are found", PATIENCE, async || {
        finds_all(link).await && finds_all(&stale).await
    })
    .await;
    let slot_of = |key: &String| usize::from(wxmint_redis_link::slot_of(key.as_bytes()));
    let slot = keys
        .iter()
        .map(slot_of)
        .find(|slot| cluster.primary_of(*slot) == Some(0))
        .expect("a key");
    let moves = |page| {
        [1, 0, 1]
            .get(page)
            .into_iter()
            .for_each(|to| cluster.move_slot(slot, *to));
    };
    let (found, may_miss) = walk(link, Slots::MayBeMoving, moves).await;
    assert!(
        may_miss && keys.difference(&found).all(|key| slot_of(key) == slot),
        "some may be where the walk has been"
    );
    cluster.begin_move(slot, 1, 0);
    assert_eq!(
        walk(link, Slots::AtRest, |_| {}).await,
        (keys, true),
        "a key may be on its way"
    );
    assert_eq!(walk(link, Slots::MayBeMoving, |_| {}).await, all);
    cluster.move_keys(slot, 1, 0);
    cluster.end_move(slot, 0);
}
