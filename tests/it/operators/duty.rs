//! For the person on duty: the logins of the last hour, the search for a user, the doctor, and the counts of scans.

use super::office;
use crate::support::prelude::*;
use crate::support::scan::{Scan, two_pages};

/// crates/telemetry/src/metrics/hour/tests.rs holds how they are counted.
#[tokio::test]
async fn the_logins_of_the_last_hour_are_counted_by_outcome_and_mini_program() {
    let office = office(TestBed::builder().two_apps()).await;
    for (app, person) in [(APPID, "lin"), (OTHER_APPID, "lin"), (APPID, "chen")] {
        office
            .log_in_at(app, person, json!({}))
            .await
            .expect_login();
    }
    let refused = json!({"code": "made-up", "appid": APPID});
    office
        .service()
        .log_in_with(&refused)
        .await
        .expect_problem(400, "code_invalid");
    let of = |app: &str, ok, refused| json!({"appid": app, "ok": ok, "refused": refused});
    for (query, outcomes, apps) in [
        (
            String::new(),
            json!(["code_invalid", "ok"]),
            json!([of(APPID, 2, 1), of(OTHER_APPID, 1, 0)]),
        ),
        (
            format!("?appid={OTHER_APPID}"),
            json!(["ok"]),
            json!([of(OTHER_APPID, 1, 0)]),
        ),
    ] {
        let answer = office.operate("GET", &format!("/activity{query}")).await;
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, "no-store"),
            "{answer:?}"
        );
        let told = answer.json();
        let found: Vec<_> = told["logins"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| &row["outcome"])
            .collect();
        assert_eq!((json!(found), &told["apps"]), (outcomes, &apps), "{told}");
    }
    office
        .operate("GET", "/activity?appid=wx0")
        .await
        .expect_problem(400, "unknown_app");
    office
        .operate("GET", "/activity?appid=a%20b")
        .await
        .expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn one_search_finds_a_user_by_each_id() {
    let office = office(TestBed::builder().two_apps()).await;
    office
        .log_in_at(OTHER_APPID, "lin", json!({}))
        .await
        .expect_login();
    let user = office
        .log_in_at(APPID, "lin", json!({}))
        .await
        .expect_login()
        .member("user_id");
    let find = async |text: &str| {
        let answer = office.operate("GET", &format!("/find?q={text}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let apps = office.wechat.person("lin").await["apps"].take();
    let id = |app: &str, name: &str| apps[app][name].as_str().expect("a text");
    let openid = id(APPID, "openid");
    for (text, by, app) in [
        (&*user, "user_id", Value::Null),
        (id(APPID, "unionid"), "unionid", Value::Null),
        (openid, "openid", APPID.into()),
        (id(OTHER_APPID, "openid"), "openid", OTHER_APPID.into()),
    ] {
        let found = json!([{"by": by, "appid": app, "user_id": user}]);
        assert_eq!(find(text).await, json!({"found": found}));
    }
    for nobody in ["nobody", "0193f5b2-9c5e-7cc0-8000-000000000000"] {
        assert_eq!(find(nobody).await, json!({"found": []}));
    }
    until("the audit tells who was found", BUSY, async || {
        let told = audit::requests(office.service())
            .into_iter()
            .filter(|event| event["action"] == "find");
        let told: Vec<_> = told.map(|event| event["user"].clone()).collect();
        told == [
            json!(user),
            json!(user),
            json!(user),
            json!(user),
            Value::Null,
            Value::Null,
        ]
    })
    .await;
    for wrong in ["/find", "/find?q=", "/find?q=a%20b", "/find?Q=lin"] {
        let refused = office
            .operate("GET", wrong)
            .await
            .expect_problem(400, "invalid_request");
        assert!(
            refused.member("detail").contains("`q`"),
            "{wrong}: {refused:?}"
        );
    }
    // A business may have made openids its user ids.
    office.http.1.publish(openid);
    office.done("PUT", &format!("/users/{openid}/block")).await;
    let both = find(openid).await["found"].take();
    assert_eq!(
        [&both[0]["by"], &both[1]["by"]],
        ["user_id", "openid"],
        "{both}"
    );
}

/// Each holds a connection, which the probes and the other secrets need.
#[tokio::test]
async fn few_wait_for_the_doctor_and_the_others_are_told_to_come_again() {
    let office = office(TestBed::builder().breakable_wechat()).await;
    office.wechat_link().stall().await;
    let (http, url) = (
        office.http.clone(),
        format!("http://{}/doctor", office.service().admin),
    );
    let asked = (0..40).map(|_| {
        let (http, request) = (http.clone(), http.0.get(&url).bearer_auth(OPERATOR));
        tokio::spawn(async move { http.send(request).await })
    });
    let answers: Vec<_> = join_all(asked)
        .await
        .into_iter()
        .map(|answer| answer.expect("an answer"))
        .collect();
    let (busy, answered): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 429);
    assert!(
        !busy.is_empty() && !answered.is_empty(),
        "{} {}",
        busy.len(),
        answered.len()
    );
    for refused in busy {
        assert_eq!(
            refused
                .expect_problem(429, "rate_limited")
                .header("retry-after"),
            "5"
        );
    }
    let examined: BTreeSet<_> = answered
        .iter()
        .map(|answer| answer.json()["examined_at"].as_i64())
        .collect();
    assert_eq!(examined.len(), 1, "{examined:?}");
    assert_eq!(office.operate("GET", "/doctor").await.status, 200);
}

#[tokio::test]
async fn scans_are_counted_by_client_of_the_file_and_nobody_else_adds_one() {
    let bed = &TestBed::builder().clients(&two_pages()).start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let [first, second, third] = [
        Scan::begin(bed, "shop-web").await,
        Scan::begin(bed, "shop-web").await,
        Scan::begin(bed, "shop-web").await,
    ];
    assert_eq!(bed.look(&phone, &first.user_code()).await.status, 200);
    bed.approves(&phone, "lin", &first).await;
    bed.poll(&first).await.expect_login();
    assert_eq!(bed.look(&phone, &second.user_code()).await.status, 200);
    assert_eq!(bed.deny(&phone, &second.user_code()).await.status, 204);
    assert_eq!(bed.poll(&first).await.member("error"), "invalid_grant");
    assert_eq!(Scan::begin(bed, "stranger").await.asked.status, 401);
    for (outcome, count) in [
        ("started", 3),
        ("viewed", 2),
        ("redeemed", 1),
        ("denied", 1),
        ("repeated", 1),
    ] {
        let name =
            format!("wxmint_device_requests_total{{client=\"shop-web\",outcome=\"{outcome}\"}}");
        assert_eq!(
            bed.service().metric(&name).await,
            f64::from(count),
            "{outcome}"
        );
    }
    let metrics = bed.service().metrics().await;
    assert!(
        !["stranger", "refused"]
            .iter()
            .any(|other| metrics.contains(&format!("=\"{other}\""))),
        "{metrics}"
    );
    let left = json!({"clients": [two_pages()[1]]});
    fs::write(
        bed.configuration.value("WXMINT_CLIENTS_FILE"),
        left.to_string(),
    )
    .expect("our file");
    let is_gone = async || !bed.service().metrics().await.contains("shop-web");
    until("the file is read again", PATIENCE, is_gone).await;
    // The phone may still say no to a page that has left, and it is not counted.
    assert_eq!(bed.deny(&phone, &third.user_code()).await.status, 204);
    assert!(
        !bed.service().metrics().await.contains("shop-web"),
        "its counters are gone"
    );
}
