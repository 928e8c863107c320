//! Who may ask the admin listener about users.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use futures_util::future::join_all;

use super::{NAME, Office, SECRET, all_of_redis};
use crate::support::{BUSY, TestBed, eventually, write_private};

const PATHS: [(&str, &str); 8] = [
    ("GET", "/users/lin"),
    ("GET", "/users/lin/wechat"),
    ("DELETE", "/users/lin/wechat/wx0123456789abcdef"),
    ("POST", "/users/lin/end"),
    ("PUT", "/users/lin/block"),
    ("DELETE", "/users/lin/block"),
    ("POST", "/wechat/wx0123456789abcdef/people/oLin/end"),
    ("DELETE", "/wechat/wx0123456789abcdef/people/oLin"),
];

/// The file is looked at every 2 s.
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));

#[tokio::test]
async fn without_the_setting_the_admin_listener_has_no_paths_about_users() {
    let bed = TestBed::start().await;
    for (method, path) in PATHS {
        let url = format!("http://{}{path}", bed.service().admin);
        let request = bed.http.0.request(method.parse().expect("a method"), url).bearer_auth(SECRET);
        bed.http.send(request).await.expect_problem(404, "invalid_request");
    }
}

#[tokio::test]
async fn every_path_about_users_wants_a_secret_of_the_file() {
    let office = Office::start().await;
    let [near, long, shouted] = [&SECRET[1..], &format!("{SECRET}0"), &SECRET.to_uppercase()].map(str::to_owned);
    for (method, path) in PATHS {
        let url = format!("http://{}{path}", office.bed.service().admin);
        let bare = office.bed.http.0.request(method.parse().expect("a method"), url);
        let bare = office.bed.http.send(bare).await.expect_problem(401, "invalid_token");
        assert_eq!(bare.header("www-authenticate"), "Bearer");
        for wrong in [&near, &long, &shouted, NAME] {
            let refused = office.ask_with(method, path, wrong).await.expect_problem(401, "invalid_token");
            assert!(refused.header("www-authenticate").starts_with("Bearer error=\"invalid_token\""), "{refused:?}");
        }
        let status = if method == "GET" { 200 } else { 204 };
        assert_eq!(office.ask(method, path).await.status, status, "{method} {path}");
        let public = office.bed.http.0.request(method.parse().expect("a method"), office.bed.service().url(path));
        office.bed.http.send(public.bearer_auth(SECRET)).await.expect_problem(404, "invalid_request");
    }
    let (log, metrics) = (office.bed.service().log(), office.bed.service().metrics().await);
    let traces = format!("{log}\n{metrics}\n{:?}", all_of_redis(&office));
    assert!(![SECRET, &near, &shouted].iter().any(|secret| traces.contains(secret)), "{traces}");
}

fn replace(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    write_private(&beside, content);
    fs::rename(beside, path).expect("renamed");
}

#[tokio::test]
async fn the_file_is_read_again_and_a_bad_one_keeps_the_secrets_before_it() {
    const OTHER: &str = "another-secret-of-an-operator-77c0e2";
    let office = Office::start().await;
    let status = async |secret: &str| office.ask_with("GET", "/users/lin", secret).await.status;
    assert_eq!((status(SECRET).await, status(OTHER).await), (200, 401));
    replace(&office.tokens, &format!("{NAME} {OTHER}\n"));
    eventually("the new secret is in use", WITHIN, async || (status(OTHER).await == 200).then_some(())).await;
    assert_eq!(status(SECRET).await, 401);

    let refused = "wxmint_reload_refused{what=\"admin_tokens\"} ";
    let gauge = async |value: &str| {
        let line = format!("{refused}{value}");
        let told = async || office.bed.service().metrics().await.lines().any(|found| found == line).then_some(());
        eventually("the metric", WITHIN, told).await;
    };
    replace(&office.tokens, &format!("{NAME} too-short\n"));
    gauge("1").await;
    assert_eq!(status(OTHER).await, 200);
    replace(&office.tokens, &format!("{NAME} {SECRET}\n"));
    gauge("0").await;
    assert_eq!((status(SECRET).await, status(OTHER).await), (200, 401));
    office.bed.service().says("a secret must be at least 32").await;
    assert!(!office.bed.service().log().contains("too-short"), "{}", office.bed.service().log());
}

/// Each holds a connection, which the probes and the other secrets need.
#[tokio::test]
async fn few_wait_for_the_doctor_and_the_others_are_told_to_come_again() {
    let office = Office::of(TestBed::builder().breakable_wechat()).await;
    office.bed.wechat_link().stall().await;
    let (http, url) = (office.bed.http.clone(), format!("http://{}/doctor", office.bed.service().admin));
    let asked = (0..40).map(|_| {
        let (http, request) = (http.clone(), http.0.get(&url).bearer_auth(SECRET));
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
    assert_eq!(office.ask("GET", "/doctor").await.status, 200);
}
