//! The process' memory of late, the search for a user, and the doctor: what the console shows.

use super::{NAME, office};
use crate::support::prelude::*;
use crate::support::scan::{Scan, two_pages};

/// The events without their times, newest first.
async fn events(office: &TestBed, user: &str) -> Vec<Value> {
    let answer = office.operate("GET", &format!("/users/{user}/events")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    let mut told = answer.json();
    assert!(told["known_since"].as_i64().is_some_and(|since| since > 1_700_000_000), "{told}");
    let events = told["events"].as_array_mut().expect("a list");
    events.iter_mut().for_each(|event| assert!(event["at"].take().as_i64() >= Some(1_700_000_000), "{event}"));
    std::mem::take(events)
}

/// An event of this app, without its time.
fn event(name: &str, outcome: &str, by: Option<&str>) -> Value {
    json!({"at": null, "event": name, "appid": APPID, "outcome": outcome, "by": by})
}

#[tokio::test]
async fn a_users_last_events_are_told_with_the_refusals_and_acts_but_no_look_ups() {
    let office = office(TestBed::builder()).await;
    let first = office.log_in("lin").await.expect_login();
    let user = first.member("user_id");
    office.log_out(&first, false).await;
    office.done("PUT", &format!("/users/{user}/block")).await;
    office.log_in("lin").await.expect_problem(403, "user_blocked");
    office.log_in("chen").await.expect_login();
    office.show(&user).await;
    let act = |name: &str, app: Value| json!({"at": null, "event": name, "appid": app, "outcome": "ok", "by": NAME});
    let expected = [
        event("login", "user_blocked", None),
        act("block", Value::Null),
        event("logout", "ok", None),
        event("login", "ok", None),
        event("bind", "ok", None),
    ];
    assert_eq!(events(&office, &user).await, expected);
    assert_eq!(events(&office, "nobody").await, [json!(null); 0]);
    let openid = office.wechat.openid("lin").await;
    let by_openid = format!("/wechat/{APPID}/people/{openid}");
    office.done("POST", &format!("{by_openid}/end")).await;
    // The erased person is another user when somebody looks.
    office.done("DELETE", &by_openid).await;
    office.done("DELETE", &by_openid).await;
    let later = office.log_in_for_good("lin").await.member("user_id");
    let acts = ["forget", "end"].map(|name| act(name, APPID.into()));
    assert_eq!(events(&office, &user).await[..2], acts, "by openid");
    assert_eq!(events(&office, &later).await, ["login", "bind"].map(|name| event(name, "ok", None)));
    let told = office.service().events();
    for code in ["end", "forget", "end_person", "erase_person"] {
        let event = told.iter().find(|event| event["metadata"]["event_code"] == code).expect(code);
        let uid = if event["user"].is_null() { &event["resources"][0]["uid"] } else { &event["user"]["uid"] };
        assert_eq!(uid, &user, "{event}");
    }
    let elsewhere = format!("/users/{user}/events");
    office.service().get(&elsewhere).await.expect_problem(404, "invalid_request");
}

/// crates/telemetry/src/recent/tests.rs holds how they are counted.
#[tokio::test]
async fn the_logins_of_the_last_hour_are_counted_by_outcome_and_mini_program() {
    let office = office(TestBed::builder().two_apps()).await;
    for (app, person) in [(APPID, "lin"), (OTHER_APPID, "lin"), (APPID, "chen")] {
        office.log_in_at(app, person, json!({})).await.expect_login();
    }
    let refused = json!({"code": "made-up", "appid": APPID});
    office.service().log_in_with(&refused).await.expect_problem(400, "code_invalid");
    let of = |app: &str, ok, refused| json!({"appid": app, "ok": ok, "refused": refused});
    for (query, outcomes, apps) in [
        (String::new(), json!(["code_invalid", "ok"]), json!([of(APPID, 2, 1), of(OTHER_APPID, 1, 0)])),
        (format!("?appid={OTHER_APPID}"), json!(["ok"]), json!([of(OTHER_APPID, 1, 0)])),
    ] {
        let answer = office.operate("GET", &format!("/activity{query}")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
        let told = answer.json();
        let found: Vec<_> = told["logins"].as_array().expect("a list").iter().map(|row| &row["outcome"]).collect();
        assert_eq!((json!(found), &told["apps"]), (outcomes, &apps), "{told}");
    }
    office.operate("GET", "/activity?appid=wx0").await.expect_problem(400, "unknown_app");
    office.operate("GET", "/activity?appid=a%20b").await.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn one_search_finds_a_user_by_each_id_and_a_request_by_its_own() {
    let office = office(TestBed::builder().two_apps()).await;
    office.log_in_at(OTHER_APPID, "lin", json!({})).await.expect_login();
    let login = office.log_in_at(APPID, "lin", json!({})).await.expect_login();
    let (user, service) = (login.member("user_id"), office.service());
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
        assert_eq!(find(text).await, json!({"found": found, "requests": []}));
    }
    for nobody in ["nobody", "0193f5b2-9c5e-7cc0-8000-000000000000"] {
        assert_eq!(find(nobody).await, json!({"found": [], "requests": []}));
    }
    for wrong in ["/find", "/find?q=", "/find?q=a%20b", "/find?Q=lin"] {
        let refused = office.operate("GET", wrong).await.expect_problem(400, "invalid_request");
        assert!(refused.member("detail").contains("`q`"), "{wrong}: {refused:?}");
    }

    let stranger = service.log_in_with(&json!({"code": "made-up", "appid": APPID})).await;
    let left = service.ask("POST", "/logout", &login.member("access_token"), &Value::Null).await;
    let refused = service.unbind(&login.member("access_token")).await;
    let act = office.operate("POST", &format!("/wechat/{APPID}/people/{openid}/end")).await;
    for (answer, user, mut expected) in [
        (stranger, Value::Null, event("login", "code_invalid", None)),
        (left, json!(user), event("logout", "ok", None)),
        (refused, json!(user), event("unbind", "invalid_token", None)),
        (act, json!(user), event("end", "ok", Some(NAME))),
    ] {
        let mut told = find(answer.header("x-request-id")).await["requests"].take();
        assert!(told[0]["at"].take().as_i64() >= Some(1_700_000_000), "{told}");
        expected["user_id"] = user;
        assert_eq!(told, json!([expected]));
    }
    // A business may have made openids its user ids.
    office.http.1.publish(openid);
    office.done("PUT", &format!("/users/{openid}/block")).await;
    let both = find(openid).await["found"].take();
    assert_eq!([&both[0]["by"], &both[1]["by"]], ["user_id", "openid"], "{both}");
}

/// Each holds a connection, which the probes and the other secrets need.
#[tokio::test]
async fn few_wait_for_the_doctor_and_the_others_are_told_to_come_again() {
    let office = office(TestBed::builder().breakable_wechat()).await;
    office.wechat_link().stall().await;
    let (http, url) = (office.http.clone(), format!("http://{}/doctor", office.service().admin));
    let asked = (0..40).map(|_| {
        let (http, request) = (http.clone(), http.0.get(&url).bearer_auth(OPERATOR));
        tokio::spawn(async move { http.send(request).await })
    });
    let answers: Vec<_> = join_all(asked).await.into_iter().map(|answer| answer.expect("an answer")).collect();
    let (busy, answered): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 429);
    assert!(!busy.is_empty() && !answered.is_empty(), "{} {}", busy.len(), answered.len());
    for refused in busy {
        assert_eq!(refused.expect_problem(429, "rate_limited").header("retry-after"), "5");
    }
    let examined: BTreeSet<_> = answered.iter().map(|answer| answer.json()["examined_at"].as_i64()).collect();
    assert_eq!(examined.len(), 1, "{examined:?}");
    assert_eq!(office.operate("GET", "/doctor").await.status, 200);
}

#[tokio::test]
async fn scans_are_counted_by_client_of_the_file_and_nobody_else_adds_one() {
    let bed = &TestBed::builder().clients(&two_pages()).start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let [first, second, third] =
        [Scan::begin(bed, "shop-web").await, Scan::begin(bed, "shop-web").await, Scan::begin(bed, "shop-web").await];
    assert_eq!(bed.look(&phone, &first.user_code()).await.status, 200);
    bed.approves(&phone, "lin", &first).await;
    bed.poll(&first).await.expect_login();
    assert_eq!(bed.look(&phone, &second.user_code()).await.status, 200);
    assert_eq!(bed.deny(&phone, &second.user_code()).await.status, 204);
    assert_eq!(bed.poll(&first).await.member("error"), "invalid_grant");
    assert_eq!(Scan::begin(bed, "stranger").await.asked.status, 401);
    for (outcome, count) in [("asked", 3), ("scanned", 2), ("fetched", 1), ("denied", 1), ("repeated", 1)] {
        let name = format!("wxmint_device_requests_total{{client=\"shop-web\",outcome=\"{outcome}\"}}");
        assert_eq!(bed.service().metric(&name).await, f64::from(count), "{outcome}");
    }
    let metrics = bed.service().metrics().await;
    assert!(!["stranger", "refused"].iter().any(|other| metrics.contains(&format!("=\"{other}\""))), "{metrics}");
    let left = json!({"clients": [two_pages()[1]]});
    fs::write(bed.configuration.value("WXMINT_CLIENTS_FILE"), left.to_string()).expect("our file");
    let is_gone = async || !bed.service().metrics().await.contains("shop-web");
    until("the file is read again", PATIENCE, is_gone).await;
    // The phone may still say no to a page that has left, and it is not counted.
    assert_eq!(bed.deny(&phone, &third.user_code()).await.status, 204);
    assert!(!bed.service().metrics().await.contains("shop-web"), "its counters are gone");
}
