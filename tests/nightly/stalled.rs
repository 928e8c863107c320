//! More logins than a WeChat that does not answer can take.

use crate::support::prelude::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_logins_at_a_stalled_wechat_are_answered_503_in_bounded_memory_and_come_as_far_as_wechat() {
    raise_open_files();
    let bed = TestBed::builder().breakable_wechat().start().await;
    let codes = bed.wechat.mint_codes(json!({"person": "crowd", "count": 1000, "distinct_people": true})).await;
    bed.log_in("lin").await.expect_login();
    let before = bed.service().memory();

    bed.wechat_link().stall().await;
    let mut at_wechat = 0;
    for answer in join_all(codes.iter().map(|code| bed.login(code))).await {
        assert!(answer.took < 2 * (BUSY + Duration::from_secs(5)), "{answer:?}");
        // On a machine that does something else too, 1,000 claims may overrun the store's deadline of 1 s.
        let is_of_store = answer.json()["code"] == "store_unavailable";
        answer.expect_problem(503, if is_of_store { "store_unavailable" } else { "wechat_unavailable" });
        at_wechat += usize::from(!is_of_store);
    }
    let grown = bed.service().peak_memory().saturating_sub(before);
    // Some 4 MiB of it because the allocator that wipes moves what the system's would let grow in its place.
    assert!(grown < 48 * 1024, "{grown} KiB more than the {before} KiB before");

    bed.wechat_link().restore().await;
    until("logins succeed again", PATIENCE, async || bed.log_in("lin").await.status == 200).await;
    assert!(at_wechat > 512, "only {at_wechat}");
}
