//! The sites that may read each answer.

use reqwest::{Method, RequestBuilder};

use super::{ACCOUNT, ORIGIN, SITE, builder};
use crate::support::prelude::*;

#[rustfmt::skip]
const STRANGERS: [&str; 6] = [
    "https://evil.example.com", "https://m.example.com.evil.example", "http://m.example.com",
    "https://x.m.example.com", "null", "*",
];

/// A request of a page of this site.
async fn of_page(
    bed: &TestBed,
    method: Method,
    path: &str,
    origin: &str,
    token: Option<&str>,
    body: &str,
) -> Answer {
    let request = bed
        .http
        .0
        .request(method, bed.service().url(path))
        .header("origin", origin)
        .body(body.to_owned());
    let request = if body.is_empty() {
        request
    } else {
        request.header("content-type", "application/json")
    };
    bed.http
        .send(token.into_iter().fold(request, RequestBuilder::bearer_auth))
        .await
}

/// The site that may read the answer.
pub(crate) fn reader(answer: &Answer) -> Option<&str> {
    assert!(
        !answer
            .headers
            .contains_key("access-control-allow-credentials"),
        "{answer:?}"
    );
    let reader = answer
        .headers
        .get("access-control-allow-origin")?
        .to_str()
        .expect("ASCII");
    assert_eq!(
        answer.header("access-control-expose-headers"),
        "Retry-After, WWW-Authenticate, X-Request-Id"
    );
    assert!(answer.header("vary").contains("Origin"), "{answer:?}");
    Some(reader)
}

async fn log_in(bed: &TestBed, appid: &str, origin: &str) -> Answer {
    let code = bed.wechat.mint_code_in(appid, "lin").await;
    let body = json!({"code": code, "appid": appid}).to_string();
    of_page(bed, Method::POST, "/login", origin, None, &body)
        .await
        .expect_login()
}

/// A page that adds a header of tracing asks by OPTIONS first.
#[tokio::test]
async fn every_page_may_read_the_public_documents_whatever_headers_it_adds() {
    let (builder, _folder) = builder();
    for bed in [builder.start().await, TestBed::start().await] {
        for name in [
            "jwks.json",
            "openid-configuration",
            "oauth-authorization-server",
        ] {
            let path = format!("/.well-known/{name}");
            let preflight = of_page(&bed, Method::OPTIONS, &path, STRANGERS[0], None, "").await;
            let told = ["origin", "methods", "headers"]
                .map(|what| preflight.header(&format!("access-control-allow-{what}")));
            assert_eq!(
                (preflight.status, told),
                (204, ["*", "GET, HEAD", "*"]),
                "{path}"
            );
            let read = of_page(&bed, Method::GET, &path, STRANGERS[0], None, "").await;
            assert_eq!(
                (read.status, read.header("access-control-allow-origin")),
                (200, "*"),
                "{path}"
            );
        }
        // Without a folder of apps no page may log in.
        let answer = of_page(&bed, Method::OPTIONS, "/login", STRANGERS[0], None, "").await;
        assert_eq!(reader(&answer), None, "{answer:?}");
    }
}

const OTHER_ORIGIN: &str = "https://shop.example.com";
const PATHS: [(&str, Method); 3] = [
    ("/login", Method::POST),
    ("/logout", Method::POST),
    ("/binding", Method::DELETE),
];

/// The file of the website, with this origin.
fn set_origin(folder: &TempDir, origin: &str) {
    let file = json!({"kind": "website", "secret": OTHER_SECRET, "origins": [origin]}).to_string();
    fs::write(folder.path().join(SITE), file).expect("written");
}

/// Whether pages of this site may ask, on each of the three paths.
async fn may_ask(bed: &TestBed, origin: &str) -> [bool; 3] {
    let mut may = [false; 3];
    for (index, (path, method)) in PATHS.into_iter().enumerate() {
        let preflight = of_page(bed, Method::OPTIONS, path, origin, None, "").await;
        assert_eq!(preflight.status, 204, "{path}");
        may[index] = reader(&preflight) == Some(origin);
        assert!(
            preflight
                .header("access-control-allow-methods")
                .contains(method.as_str()),
            "{preflight:?}"
        );
        assert_eq!(
            preflight.header("access-control-allow-headers"),
            "Authorization, Content-Type"
        );
    }
    may
}

#[tokio::test]
async fn pages_of_two_apps_may_ask_all_three_paths_and_each_reads_its_own_apps_answers_alone() {
    let (builder, folder) = builder();
    set_origin(&folder, OTHER_ORIGIN);
    let bed = builder.start().await;
    for (appid, own, other) in [
        (ACCOUNT, ORIGIN, OTHER_ORIGIN),
        (SITE, OTHER_ORIGIN, ORIGIN),
    ] {
        assert_eq!(may_ask(&bed, own).await, [true; 3], "{own}");
        for (origin, may) in [(own, Some(own)), (other, None)] {
            assert_eq!(
                reader(&log_in(&bed, appid, origin).await),
                may,
                "/login {appid} {origin}"
            );
            for (path, method) in PATHS.into_iter().skip(1) {
                let token = log_in(&bed, appid, own).await.member("access_token");
                let left = of_page(&bed, method, path, origin, Some(&token), "").await;
                assert_eq!(reader(&left), may, "{path} {appid} {origin}");
                if path == "/logout" {
                    let again =
                        of_page(&bed, Method::DELETE, "/binding", origin, Some(&token), "").await;
                    assert_eq!(
                        reader(&again.expect_problem(401, "invalid_token")),
                        may,
                        "an ended token, {origin}"
                    );
                }
            }
        }
    }
    let never = json!({"code": "never", "appid": ACCOUNT}).to_string();
    let refused = of_page(&bed, Method::POST, "/login", ORIGIN, None, &never).await;
    assert_eq!(
        reader(&refused.expect_problem(400, "code_invalid")),
        Some(ORIGIN),
        "a refusal too"
    );
    for stranger in STRANGERS {
        assert_eq!(
            reader(&log_in(&bed, ACCOUNT, stranger).await),
            None,
            "{stranger}"
        );
        assert_eq!(may_ask(&bed, stranger).await, [false; 3], "{stranger}");
    }
    for (path, method) in PATHS.into_iter().skip(1) {
        let login = log_in(&bed, APPID, ORIGIN).await;
        assert_eq!(reader(&login), None, "a mini program has no pages");
        for (token, status, may) in [
            ("a.b.c", 401, Some(ORIGIN)),
            (&login.member("access_token"), 204, None),
        ] {
            let left = of_page(&bed, method.clone(), path, ORIGIN, Some(token), "").await;
            assert_eq!(
                (left.status, reader(&left)),
                (status, may),
                "{path}: nobody's token, and a mini program's"
            );
        }
    }
    let elsewhere = of_page(&bed, Method::OPTIONS, "/wechat/userdata", ORIGIN, None, "").await;
    assert_eq!(reader(&elsewhere), None, "no other path is theirs");

    // A site that leaves its app's file reads nothing any more.
    let newer = "https://new.example.com";
    set_origin(&folder, newer);
    until("the file is read again", PATIENCE, async || {
        may_ask(&bed, newer).await == [true; 3]
    })
    .await;
    assert_eq!(may_ask(&bed, OTHER_ORIGIN).await, [false; 3]);
    for (origin, may) in [(OTHER_ORIGIN, None), (newer, Some(newer))] {
        assert_eq!(
            reader(&log_in(&bed, SITE, origin).await),
            may,
            "/login {origin}"
        );
    }
}
