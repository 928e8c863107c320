//! More logins than a WeChat that does not answer can take.

use crate::support::prelude::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_logins_at_a_stalled_wechat_are_answered_503_in_bounded_memory_and_come_as_far_as_wechat()
 {
    raise_open_files();
    let bed = TestBed::builder().breakable_wechat().start().await;
    let codes = bed
        .wechat
        .mint_codes(json!({"person": "crowd", "count": 1000, "distinct_people": true}))
        .await;
    bed.log_in("lin").await.expect_login();
    let before = bed.service().memory();

    bed.wechat_link().stall().await;
    let mut at_wechat = 0;
    for answer in join_all(codes.iter().map(|code| bed.login(code))).await {
        assert!(
            answer.took < 2 * (BUSY + Duration::from_secs(5)),
            "{answer:?}"
        );
        // On a machine that does something else too, 1,000 claims may overrun the store's deadline of 1 s.
        let is_of_store = answer.json()["code"] == "store_unavailable";
        answer.expect_problem(
            503,
            if is_of_store {
                "store_unavailable"
            } else {
                "wechat_unavailable"
            },
        );
        at_wechat += usize::from(!is_of_store);
    }
    let grown = bed.service().peak_memory().saturating_sub(before);
    // Some 4 MiB of it because the allocator that wipes moves what the system's would let grow in its place.
    assert!(
        grown < 48 * 1024,
        "{grown} KiB more than the {before} KiB before"
    );

    bed.wechat_link().restore().await;
    until("logins succeed again", PATIENCE, async || {
        bed.log_in("lin").await.status == 200
    })
    .await;
    assert!(at_wechat > 512, "only {at_wechat}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_that_fills_its_places_at_a_slow_wechat_leaves_others_theirs() {
    raise_open_files();
    let bed = TestBed::builder()
        .env("WXMINT_TRUSTED_PROXIES", "127.0.0.1/32")
        .start()
        .await;
    let codes = bed
        .wechat
        .mint_codes(json!({"person": "crowd", "count": 600, "distinct_people": true}))
        .await;
    let by = async |address: &str, code: &str| {
        let request = bed
            .http
            .0
            .post(bed.service().url("/login"))
            .header("x-forwarded-for", address);
        bed.http.send(request.json(&json!({"code": code}))).await
    };
    by("192.0.2.2", &bed.mint_code("lin").await)
        .await
        .expect_login();
    bed.faults(json!([{"kind": "latency", "ms": 4000}])).await;
    let (crowd, lin) = tokio::join!(
        join_all(codes.iter().map(|code| by("192.0.2.1", code))),
        async {
            let some_wait = async || bed.service().metric("wxmint_logins_in_flight").await >= 300.0;
            until("the crowd waits for WeChat", PATIENCE, some_wait).await;
            by("192.0.2.2", &bed.mint_code("lin").await).await
        }
    );
    lin.expect_login();
    let answered = crowd.iter().filter(|answer| answer.status == 200).count();
    assert!((200..400).contains(&answered), "{answered} of the crowd");
}
