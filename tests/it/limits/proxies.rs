//! The limits of clients behind proxies and without. `crates/http/src/client_address` has every form of the headers.

use crate::support::prelude::*;

type Header<'a> = (&'a str, &'a str);

/// A login of somebody by a request with these headers.
async fn log_in_by(bed: &TestBed, headers: &[Header<'_>]) -> Answer {
    let code = bed.mint_code("lin").await;
    let request = bed
        .http
        .0
        .post(bed.service().url("/login"))
        .json(&json!({"code": code}));
    bed.http
        .send(headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        }))
        .await
}

/// Two logins fill the limit of one client, who is who in all three requests.
async fn are_one_client(bed: &TestBed, requests: [&[Header<'_>]; 3]) {
    let [first, second, third] = requests;
    for headers in [first, second] {
        assert_eq!(log_in_by(bed, headers).await.status, 200, "{headers:?}");
    }
    assert_eq!(log_in_by(bed, third).await.status, 429, "{third:?}");
}

async fn bed(trusted: &str) -> TestBed {
    TestBed::builder()
        .env("WXMINT_LIMIT_IP", "2/1h")
        .env(SETTING, trusted)
        .start()
        .await
}

const XFF: &str = "X-Forwarded-For";
const SETTING: &str = "WXMINT_TRUSTED_PROXIES";

#[tokio::test]
async fn what_a_stranger_forges_changes_nothing_and_is_warned_about_once() {
    let bed = bed("10.0.0.0/8").await;
    let forged: [&[Header<'_>]; 3] = [
        &[(XFF, "198.51.100.1"), ("X-Real-IP", "198.51.100.1")],
        &[
            ("Forwarded", "for=198.51.100.2"),
            ("Client-IP", "198.51.100.2"),
        ],
        &[
            (XFF, "198.51.100.3"),
            ("Forwarded", "for=198.51.100.3"),
            ("CF-Connecting-IP", "198.51.100.3"),
        ],
    ];
    are_one_client(&bed, forged).await;
    until("a warning", PATIENCE, async || {
        !bed.service().told(SETTING).is_empty()
    })
    .await;
    let [warned] = &bed.service().told(SETTING)[..] else {
        panic!("once: {}", bed.service().log())
    };
    assert_eq!(
        (&warned["level"], &warned["peer"]),
        (&"WARN".into(), &"127.0.0.1".into()),
        "{warned}"
    );
}

/// The default. A launch behind a proxy would otherwise meet the limit of one address.
#[tokio::test]
async fn a_proxy_in_the_private_network_is_trusted_unless_another_is_named() {
    let bed = bed("").await;
    let told = [
        "198.51.100.2, 172.16.0.1",
        "198.51.100.2:4711, 10.0.0.1",
        "192.0.2.1, 198.51.100.2, 100.64.0.1, fd00::1",
    ];
    let [first, second, third] = told.map(|told| [(XFF, told)]);
    are_one_client(&bed, [&first, &second, &third]).await;
    assert_eq!(bed.service().told(SETTING).len(), 0);
}
