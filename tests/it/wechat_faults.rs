//! The faults of WeChat, and the answer that each of them is turned into. Never a 500. crates/upstream/src/breaker.rs
//! holds that an app's trouble is its own, and tests/it/platforms/refusals.rs has a storm.

use crate::support::prelude::*;

/// 5 s in total.
const DEADLINE: Duration = BUSY.saturating_add(Duration::from_secs(5));

const UNAVAILABLE: (u16, &str) = (503, "wechat_unavailable");
const MISCONFIGURED: (u16, &str) = (502, "wechat_misconfigured");

/// One for each meaning: `crates/wechat` holds which errcode means which.
const ERRCODES: [(i64, (u16, &str)); 9] = [
    (40029, (400, "code_invalid")),
    (40163, (400, "code_used")),
    (40226, (403, "user_blocked")),
    (45011, (429, "rate_limited")),
    (45009, MISCONFIGURED),
    (40125, MISCONFIGURED),
    (-1, UNAVAILABLE),
    // The app's owner has switched on API 安全.
    (40234, MISCONFIGURED),
    // One that we do not know.
    (61024, MISCONFIGURED),
];

/// A login under this fault, and how often WeChat was asked. Afterwards all is well again, but the code is used.
async fn login_under(bed: &TestBed, fault: &Value) -> (Answer, u64) {
    let before = bed.wechat.exchanges().await;
    bed.faults(json!([fault])).await;
    let code = bed.mint_code("lin").await;
    let answer = bed.login(&code).await;
    bed.faults(json!([])).await;
    bed.login(&code).await.expect_problem(400, "code_used");
    let asked = bed.wechat.exchanges().await - before;
    bed.log_in("lin").await.expect_login();
    (answer, asked)
}

#[tokio::test]
async fn each_errcode_becomes_the_problem_of_the_table_and_no_other_fault_costs_more_than_the_deadline()
 {
    let bed = TestBed::start().await;
    for (errcode, (status, code)) in ERRCODES {
        let (answer, asked) =
            login_under(&bed, &json!({"kind": "errcode", "errcode": errcode})).await;
        let answer = answer.expect_problem(status, code);
        assert_eq!(asked, if errcode == -1 { 2 } else { 1 }, "{errcode}");
        let detail = answer.member("detail");
        assert!(
            !detail.contains("rid") && !detail.contains(&errcode.to_string()),
            "{answer:?}"
        );
        match code {
            "rate_limited" => assert_eq!(answer.header("retry-after"), "60"),
            "wechat_unavailable" => assert_eq!(answer.header("retry-after"), "2"),
            // The same would happen again, and a call may be billed.
            _ => assert!(!answer.headers.contains_key("retry-after"), "{answer:?}"),
        }
    }
    let causes: Vec<_> = bed
        .service()
        .events()
        .into_iter()
        .filter(|event| event["level"] == "ERROR")
        .collect();
    let refused = format!("WeChat refuses {APPID}: ");
    assert!(!causes.is_empty(), "each is mended by the operator");
    assert!(
        causes.iter().all(|event| event["cause"]
            .as_str()
            .is_some_and(|cause| cause.starts_with(&refused))),
        "{causes:?}"
    );
    let metrics = bed.service().metrics().await;
    let counted = "wxmint_wechat_errcodes_total{api=\"code2session\",errcode=\"40125\",app=\"wx0123456789abcdef\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(
        metrics.contains("errcode=\"other\",app=\"wx0123456789abcdef\"} 1")
            && !metrics.contains("61024"),
        "{metrics}"
    );

    let (answer, asked) =
        login_under(&bed, &json!({"kind": "errcode", "errcode": -1, "times": 1})).await;
    assert_eq!((answer.expect_login().status, asked), (200, 2), "busy once");
    // No answer that is not WeChat's is believed, or asked for again.
    for fault in [
        json!({"kind": "html"}),
        json!({"kind": "status", "status": 302}),
        json!({"kind": "truncated"}),
        json!({"kind": "huge"}),
        json!({"kind": "reset", "after": true}),
    ] {
        let (answer, asked) = login_under(&bed, &fault).await;
        assert_eq!(
            (
                answer.expect_problem(503, "wechat_unavailable").status,
                asked
            ),
            (503, 1),
            "{fault}"
        );
    }

    bed.faults(json!([{"kind": "stall", "times": 1}, {"kind": "drip", "times": 1}]))
        .await;
    for answer in join_all([bed.log_in("lin"), bed.log_in("mei")]).await {
        assert!(answer.took < DEADLINE, "{answer:?}");
        answer.expect_problem(503, "wechat_unavailable");
    }
    bed.log_in("lin").await.expect_login();
}

/// A firewall before WeChat answers them with a page of its own, as an outage would.
#[tokio::test]
async fn codes_that_cannot_be_wechats_are_refused_without_asking_and_shut_nobody_out() {
    let bed = TestBed::start().await;
    let token = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    let asked = bed.wechat.exchanges().await;
    bed.faults(json!([{"kind": "html"}])).await;
    for code in [
        "the code is a mock one",
        "' or 1=1 --",
        "../../etc/passwd",
        "<script>",
        "a+b/c=",
        "a.b",
    ] {
        for _ in 0..5 {
            bed.login(code).await.expect_problem(400, "code_invalid");
        }
        let phone = bed
            .service()
            .ask("POST", "/wechat/phone", &token, &json!({"code": code}))
            .await;
        phone.expect_problem(400, "code_invalid");
    }
    bed.faults(json!([])).await;
    assert_eq!(bed.wechat.exchanges().await, asked);
    assert_eq!(
        bed.wechat.asked("/wxa/business/getuserphonenumber").await,
        0
    );
    bed.log_in("lin").await.expect_login();
}

#[tokio::test]
async fn a_code_that_could_not_be_sent_is_good_when_wechat_is_back() {
    let bed = TestBed::builder().breakable_wechat().start().await;
    let outage = async || {
        let asked = bed.wechat.exchanges().await;
        bed.wechat_link().cut().await;
        let code = bed.mint_code("lin").await;
        let refused = bed.login(&code).await;
        bed.wechat_link().restore().await;
        let again = bed.login(&code).await;
        // A busy machine may be too slow for Redis' deadline, and then WeChat is not what refuses.
        let is_slow = [&refused, &again]
            .iter()
            .any(|answer| answer.json()["code"] == "store_unavailable");
        (!is_slow).then_some((refused, again, bed.wechat.exchanges().await - asked))
    };
    let (refused, again, asked) =
        eventually("a machine that is fast enough", 3 * PATIENCE, outage).await;
    refused.expect_problem(503, "wechat_unavailable");
    again.expect_login();
    assert_eq!(asked, 1);
}
