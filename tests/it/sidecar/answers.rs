//! The answers of `/verify`: who is asking, or one refusal for all that is wrong.

use super::forge::Forge;
use super::{INVALID_REQUEST, INVALID_TOKEN, LONG, NO_TOKEN, Signer, named, refused};
use crate::bad_input::no_http;
use crate::services::now;
use crate::support::prelude::*;

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "PROPFIND", "ANYTHING",
];
/// On `/verify` and below it, as a proxy may put its own request's path there.
const TARGETS: [&str; 8] = [
    "/verify",
    "/verify?a=/b&c=%zz",
    "/verify/orders/1/lines?page=2",
    "/verify//../%2e%2e/..%2forders;v=1",
    "/verify/%E4%BD%A0%E5%A5%BD/{orders}",
    "/verify/livez",
    "/verify/metrics",
    "http://sidecar/verify/orders",
];

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_logins_token_says_who_is_asking_by_any_method_and_at_any_path() {
    let bed = TestBed::start().await;
    let login = bed.log_in("lin").await.expect_login();
    let (token, user) = (login.member("access_token"), login.member("user_id"));
    let id = decoded(&token).1["jti"].as_str().expect("a jti").to_owned();
    let sidecar = bed.sidecar().ready().await;
    for method in METHODS {
        for target in TARGETS {
            let line = format!("{method} {target} HTTP/1.1");
            let received = sidecar.raw(&line, &[&bearer(&token)], "").await;
            assert_eq!(named(&line, &received), [&user, APPID, &id]);
            refused(&line, &sidecar.raw(&line, &[], "").await, NO_TOKEN);
        }
    }
    let asked = (METHODS.len() * TARGETS.len()) as f64;
    let counted =
        |outcome: &str| format!("wxmint_sidecar_verifications_total{{outcome=\"{outcome}\"}}");
    assert_eq!(
        sidecar.metric(&counted("verified")).await,
        1.0,
        "one signature is checked once"
    );
    assert_eq!(sidecar.metric(&counted("remembered")).await, asked - 1.0);
    assert_eq!(sidecar.metric(&counted("no_token")).await, asked);
}

/// Each is good but for one thing. The tests of crates/verify hold each rule by itself.
#[tokio::test(flavor = "multi_thread")]
async fn every_bad_token_is_refused_with_one_and_the_same_answer_and_nothing_is_fetched_for_it() {
    let bed = TestBed::start().await;
    let real = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    let (signer, stranger) = (
        Signer::of_file(bed.configuration.value("WXMINT_KEYS").as_ref()),
        Signer::new(),
    );
    let (header, claims) = decoded(&real);
    let forge = Forge {
        header,
        claims,
        issuer: signer.key,
        other: &stranger.key,
        now: now(),
    };
    let sidecar = bed.sidecar().ready().await;
    // Whoever asks it gets the stranger's key.
    let canary = Answering::of(&stranger.set(), 1);
    // The means of spoiling spoil nothing by themselves.
    let odd_header = forge.header_with(json!({"typ": "application/AT+JWT", "x5t": "AQAB"}));
    for good in [&real, &forge.by_issuer(&odd_header, &forge.claims)] {
        assert_eq!(sidecar.verify(good).await.status, 200);
    }
    let mut told = BTreeSet::new();
    // These have answers of their own.
    let others = ["no token", "empty token", "two tokens", "long token"];
    let urls = (&*canary.url("/jwks"), &*canary.url("/x5u"));
    for bad in forge
        .bad_tokens(&real, &real, urls)
        .into_iter()
        .filter(|bad| !others.contains(&bad.name))
    {
        let (name, token) = (
            bad.name,
            bad.credentials.0[0].rsplit(' ').next().expect("a token"),
        );
        // Once more: a refusal is not remembered as anything better.
        for _ in 0..2 {
            let answer = sidecar.verify(token).await;
            assert_eq!(answer.status, 401, "{name}: {answer:?}");
            let answer = answer.expect_problem(401, "invalid_token");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with(INVALID_TOKEN), "{name}: {answer:?}");
            assert!(
                !answer.headers.contains_key("x-user-id"),
                "{name}: {answer:?}"
            );
            told.insert(answer.told());
        }
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(canary.calls().is_empty(), "{:?}", canary.calls());
    assert_eq!(sidecar.verify(&real).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_token_or_two_is_told_so_and_an_odd_request_is_let_in_with_a_good_one_alone() {
    let signer = Signer::new();
    let issuer = Answering::of(&signer.set(), LONG);
    let sidecar = SidecarSettings::new(&issuer.url("/jwks")).ready().await;
    let token = signer.token();
    // crates/http/src/bearer.rs has a row for each form of the header.
    let cookie = format!("Cookie: access_token={token}; Authorization={token}");
    refused(
        "a cookie",
        &sidecar.raw("GET /verify HTTP/1.1", &[&cookie], "").await,
        NO_TOKEN,
    );
    let two = [&*bearer(&token), &bearer(&signer.token())];
    refused(
        "two tokens",
        &sidecar.raw("GET /verify HTTP/1.1", &two, "").await,
        INVALID_REQUEST,
    );
    // RFC 6750 has two further places, which end up in logs.
    let target = format!("GET /verify?access_token={token} HTTP/1.1");
    refused(
        "in the query",
        &sidecar.raw(&target, &[], "").await,
        NO_TOKEN,
    );
    let body = format!("access_token={token}");
    let form = format!(
        "Content-Length: {}\r\nContent-Type: application/x-www-form-urlencoded",
        body.len()
    );
    refused(
        "in the body",
        &sidecar.raw("POST /verify HTTP/1.1", &[&form], &body).await,
        NO_TOKEN,
    );

    for (name, request) in no_http("/verify") {
        let received = sidecar.bytes(request.as_bytes()).await;
        let refused = received
            .status()
            .is_none_or(|status| (400..500).contains(&status));
        assert!(
            refused && received.answers() <= 1,
            "{name}: {}",
            received.text()
        );
        assert_eq!(
            sidecar.verify(&signer.token()).await.status,
            200,
            "after {name}"
        );
    }
    let with = |line: &str, headers: &str| {
        format!("{line}\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{headers}\r\n").into_bytes()
    };
    let get = |headers: &str| with("GET /verify HTTP/1.1", headers);
    let megabyte = [
        with("PUT /verify HTTP/1.1", "Content-Length: 1048576\r\n"),
        vec![b'x'; 1024 * 1024],
    ]
    .concat();
    for (name, request) in [
        ("HTTP/1.0", with("GET /verify HTTP/1.0", "")),
        (
            "an absolute target",
            with("GET http://sidecar/verify/orders HTTP/1.1", ""),
        ),
        (
            "an identity of its own",
            get("X-User-Id: admin\r\nx-user-id: root\r\nX_User_Id: admin\r\n"),
        ),
        (
            "headers that are to be dropped",
            get("Connection: X-User-Id, Authorization, close\r\n"),
        ),
        (
            "a head of 30 KiB",
            get(&format!("Cookie: {}\r\n", "x".repeat(30 * 1024))),
        ),
        (
            "a User-Agent of 8 KiB",
            get(&format!("User-Agent: {}\r\n", "x".repeat(8 * 1024))),
        ),
        ("a body that nobody reads", megabyte),
        (
            "a body that was announced and never comes",
            with("POST /verify HTTP/1.1", "Content-Length: 5\r\n"),
        ),
    ] {
        let received = sidecar.bytes(&request).await;
        assert_eq!(named(name, &received)[..2], ["lin", APPID], "{name}");
        assert_eq!(received.answers(), 1, "{name}: {}", received.text());
    }
}
