//! The bounds of what a receiver of events may take, and the end of polls when something fails.

use super::{OTHER, SECRET, events, ids, poll_at, read_events, receivers, users};
use crate::revocations::{fill, who_does_not_read};
use crate::support::prelude::*;

#[tokio::test]
async fn a_receiver_that_polls_too_often_has_to_wait_at_every_replica_and_no_other_receiver_has() {
    let bed = receivers().services(2).start().await;
    let (mut admitted, mut refused, none) = (0, [None, None], json!({"maxEvents": 0}));
    // After a refusal one more is admitted every 50 ms.
    while refused.iter().any(Option::is_none) {
        assert!(admitted < 2_000, "nothing bounds it");
        let polls = (0..4).map(|number| poll_at(&bed, number % 2, SECRET, none.clone()));
        for (number, answer) in join_all(polls).await.into_iter().enumerate() {
            match answer.status {
                200 => admitted += 1,
                _ => refused[number % 2] = Some(answer),
            }
        }
    }
    for refused in refused.into_iter().flatten() {
        let wait: u64 = refused
            .expect_problem(429, "rate_limited")
            .header("retry-after")
            .parse()
            .expect("seconds");
        assert!(
            (1..=12).contains(&wait) && admitted >= 200,
            "{admitted}, then {wait} s"
        );
    }
    assert_eq!(poll_at(&bed, 1, OTHER, none).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_reads_no_more_than_it_answers_fills_its_receivers_places_alone_and_loses_nothing_while_redis_is_away()
 {
    let bed = receivers().breakable_redis().start().await;
    fill(&bed, users(1..1501));
    let sent = || {
        let stats: String = bed.redis.command(&["INFO", "stats"]);
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"))
            .expect("a number");
        line.parse::<u64>().expect("a number")
    };
    let mut ack = Vec::new();
    for _ in 0..3 {
        let before = sent();
        let (page, more) = events(&bed, SECRET, json!({"maxEvents": 10, "ack": ack})).await;
        let used = sent() - before;
        assert!(
            page.len() == 10 && more && used < 20_000,
            "{used} bytes; a thousand ends have 80,000"
        );
        ack = page.into_keys().collect();
    }

    let body = json!({"maxEvents": 250, "returnImmediately": true});
    let head = format!(
        "Authorization: Bearer {SECRET}\r\nContent-Length: {}\r\n",
        body.to_string().len()
    );
    let request = wire_request("POST /ssf/poll", "a", &head, &body.to_string());
    let statuses = || {
        (0..6)
            .map(|_| who_does_not_read(bed.service(), &request))
            .unzip()
    };
    let (unread, statuses): (Vec<_>, Vec<_>) = statuses();
    assert_eq!(
        statuses,
        ["200", "200", "200", "200", "429", "429"],
        "as long as the answers are not read"
    );
    assert_eq!(events(&bed, OTHER, body.clone()).await.0.len(), 250);
    assert_eq!(
        bed.http
            .get(&bed.service().url("/revocations"))
            .await
            .status,
        200
    );
    drop(unread);
    until("there is room again", BUSY, async || {
        poll_at(&bed, 0, SECRET, body.clone()).await.status == 200
    })
    .await;

    let (first, _) = events(&bed, SECRET, body.clone()).await;
    bed.redis_link().cut().await;
    poll_at(&bed, 0, SECRET, json!({"ack": ids(&first)}))
        .await
        .expect_problem(503, "store_unavailable");
    bed.redis_link().restore().await;
    // Each worker finds Redis by itself.
    let poll = async || {
        Some(poll_at(&bed, 0, SECRET, body.clone()).await).filter(|answer| answer.status == 200)
    };
    let again = eventually("Redis is back", PATIENCE, poll).await;
    assert_eq!(ids(&read_events(&bed, &again).await.0), ids(&first));
}
