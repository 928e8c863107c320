//! Replicas: a code goes upstream once across all of them.

use crate::support::prelude::*;

#[tokio::test]
async fn of_fifty_parallel_copies_of_a_code_at_two_processes_one_is_exchanged_and_forty_nine_are_told_so() {
    let bed = TestBed::builder().services(2).start().await;
    // Long enough that all copies are there before the first is answered.
    bed.faults(json!([{"kind": "latency", "ms": 300}])).await;
    let code = bed.mint_code("lin").await;
    let copies = (0..50).map(|number| bed.services[number % 2].login(&code));
    let (granted, refused): (Vec<_>, Vec<_>) =
        join_all(copies).await.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((granted.len(), refused.len()), (1, 49));
    for answer in refused {
        answer.expect_problem(400, "code_used");
    }
    assert_eq!(bed.wechat.exchanges().await, 1);
    assert_eq!(bed.wechat.stats().await["exchanges_ok"], 1);
}
