//! A login through real HTTP, Redis and simulator, and what is published beside it.

use reqwest::{Method, Url};

use crate::support::prelude::*;
use crate::support::scan::with_form;
use crate::support::wxmint as wxmint_command;

fn assert_token_answer(answer: &Answer) {
    let body = answer.json();
    let members: Vec<&str> = body
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "access_token",
            "expires_in",
            "new_user",
            "token_type",
            "user_id"
        ]
    );
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&json!("Bearer"), &json!(86_400))
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_login_makes_a_user_once_finds_it_again_in_whatever_form_it_comes_and_says_who_for_whom_and_until_when()
 {
    let bed = TestBed::start().await;
    let first = bed.log_in("lin").await.expect_login();
    assert_token_answer(&first);
    assert_eq!(first.json()["new_user"], true);
    let again = bed.log_in("lin").await.expect_login();
    assert_eq!(again.json()["new_user"], false);
    assert_eq!(again.member("user_id"), first.member("user_id"));
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    let other = bed.log_in("mei").await.expect_login();
    assert_eq!(other.json()["new_user"], true);
    assert_ne!(other.member("user_id"), first.member("user_id"));

    let form = bed.http.0.post(bed.service().url("/login"));
    let form = with_form(form, &[("code", &bed.mint_code("lin").await)]);
    let by_form = bed.http.send(form).await.expect_login();
    let by_get = bed
        .service()
        .get(&format!("/login?code={}", bed.mint_code("lin").await))
        .await
        .expect_login();
    for answer in [by_form, by_get] {
        assert_token_answer(&answer);
        assert_eq!(answer.member("user_id"), first.member("user_id"));
    }

    let (header, claims) = decoded(&first.member("access_token"));
    assert_eq!(
        header,
        json!({"alg": "ES256", "typ": "at+jwt", "kid": jwks_kids(&bed).await[0]})
    );
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["client_id"]),
        (&json!(ISSUER), &json!(ISSUER), &json!(APPID))
    );
    assert_eq!(claims["sub"], first.json()["user_id"]);
    assert_eq!(
        claims["exp"]
            .as_i64()
            .zip(claims["iat"].as_i64())
            .map(|(exp, iat)| exp - iat),
        Some(86_400)
    );
    assert!(
        claims["jti"].as_str().is_some_and(|jti| jti.len() >= 22),
        "128 random bits"
    );
    assert!(!claims.to_string().contains("openid") && !claims.to_string().contains("unionid"));
}

#[tokio::test]
async fn of_fifty_parallel_copies_of_a_code_at_two_processes_one_is_exchanged_and_forty_nine_are_told_so()
 {
    let bed = TestBed::builder().services(2).start().await;
    // Long enough that all copies are there before the first is answered.
    bed.faults(json!([{"kind": "latency", "ms": 300}])).await;
    let code = bed.mint_code("lin").await;
    let copies = (0..50).map(|number| bed.services[number % 2].login(&code));
    let (granted, refused): (Vec<_>, Vec<_>) = join_all(copies)
        .await
        .into_iter()
        .partition(|answer| answer.status == 200);
    assert_eq!((granted.len(), refused.len()), (1, 49));
    for answer in refused {
        answer.expect_problem(400, "code_used");
    }
    assert_eq!(bed.wechat.exchanges().await, 1);
    assert_eq!(bed.wechat.stats().await["exchanges_ok"], 1);
}

#[tokio::test]
async fn a_command_logs_a_person_in_where_there_is_no_shell() {
    let bed = TestBed::start().await;
    let log_in = |wxmint: &str, further: &[&str]| {
        let mut command = wxmint_command();
        command.args([
            "simulator",
            "log-in",
            wxmint,
            "--simulator",
            &bed.wechat.url(),
            "--person",
            "mei",
        ]);
        command
            .args(further)
            .env_clear()
            .output()
            .expect("wxmint runs")
    };
    let done = log_in(&bed.service().url(""), &["--appid", APPID]);
    assert!(done.status.success(), "{done:?}");
    let known = bed.log_in("mei").await.expect_login();
    assert_eq!(
        (said(&done).trim_end(), &known.json()["new_user"]),
        (&*known.member("user_id"), &json!(false))
    );
    for (wxmint, further, why) in [
        (
            bed.service().url(""),
            &["--appid", "wxffffffffffffffff"][..],
            "/_simulator/codes",
        ),
        (bed.wechat.url(), &[], "/login"),
        (
            "http://127.0.0.1:1".to_owned(),
            &[],
            "/login at http://127.0.0.1:1",
        ),
    ] {
        let refused = log_in(&wxmint, further);
        assert!(
            refused.status.code() == Some(1) && said(&refused).contains(why),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_request_keeps_the_id_that_a_trusted_proxy_gave_it() {
    let longest = "0123456789abcdef".repeat(4);
    let too_long = format!("{longest}0");
    for (proxies, is_kept) in [("127.0.0.0/8", true), ("none", false)] {
        let bed = TestBed::builder()
            .env("WXMINT_TRUSTED_PROXIES", proxies)
            .start()
            .await;
        let ask = async |ids: &[&str]| {
            let request = bed
                .http
                .0
                .post(bed.service().url("/login"))
                .json(&json!({"code": "nobody's"}));
            bed.http
                .send(
                    ids.iter()
                        .fold(request, |request, id| request.header("x-request-id", *id)),
                )
                .await
        };
        for id in ["from/the-proxy=1", &longest] {
            let refused = ask(&[id]).await;
            assert_eq!(refused.header("x-request-id") == id, is_kept, "{refused:?}");
            assert_eq!(refused.member("request_id"), refused.header("x-request-id"));
            bed.service().says(refused.header("x-request-id")).await;
            assert_eq!(bed.service().log().contains(id), is_kept);
        }
        for ids in [
            &[""][..],
            &["two words"],
            &[&too_long],
            &["ä"],
            &["one", "other"],
        ] {
            let id = ask(ids).await.header("x-request-id").to_owned();
            assert!(
                id.len() == 36 && !ids.contains(&id.as_str()),
                "{ids:?}: {id}"
            );
        }
    }
}

#[tokio::test]
async fn the_jwks_is_public_cacheable_and_without_private_members_and_the_metadata_name_the_issuer_byte_for_byte()
 {
    let bed = TestBed::start().await;
    let jwks = bed.service().get("/.well-known/jwks.json").await;
    assert_eq!(
        (jwks.status, jwks.header("content-type")),
        (200, "application/jwk-set+json")
    );
    assert_eq!(jwks.header("access-control-allow-origin"), "*");
    assert!(
        jwks.header("cache-control").starts_with("public, max-age="),
        "{jwks:?}"
    );
    let keys = jwks.json()["keys"].as_array().expect("keys").clone();
    assert_eq!(keys.len(), 1);
    let members: Vec<&String> = keys[0].as_object().expect("a key").keys().collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);

    let url = bed.service().url("/.well-known/jwks.json");
    let unchanged = bed
        .http
        .send(
            bed.http
                .0
                .get(&url)
                .header("if-none-match", jwks.header("etag")),
        )
        .await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), jwks.header("etag"));
    let changed = bed
        .http
        .send(bed.http.0.get(&url).header("if-none-match", "\"another\""))
        .await;
    assert_eq!((changed.status, &changed.body), (200, &jwks.body));
    let head = bed.http.send(bed.http.0.request(Method::HEAD, &url)).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), jwks.body.len().to_string());
    assert_eq!(head.header("etag"), jwks.header("etag"));

    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let answer = bed.service().get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/json"),
            "{path}"
        );
        assert_eq!(answer.member("issuer"), ISSUER);
        assert_eq!(
            answer.member("jwks_uri"),
            format!("{ISSUER}/.well-known/jwks.json")
        );
        assert_eq!(
            answer.member("revocation_feed_uri"),
            format!("{ISSUER}/revocations")
        );
        assert_eq!(
            answer.json()["id_token_signing_alg_values_supported"],
            json!(["ES256"])
        );
    }
}

#[tokio::test]
async fn the_api_is_described_its_viewer_loads_nothing_from_elsewhere_and_each_example_fits_its_schema()
 {
    let bed = TestBed::builder()
        .operators("on-call 0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f6071\n")
        .start()
        .await;
    let served = bed.service().get("/openapi.json").await;
    let described = served.json();
    for path in [
        "/login",
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
    ] {
        assert!(
            described["paths"].get(path).is_some(),
            "{path}: {described}"
        );
    }
    assert_eq!(described["servers"], json!([{"url": ISSUER}]));
    let root = bed.service().get("/").await;
    assert_eq!((root.status, root.header("location")), (307, "docs/"));
    let folder = bed.service().get("/docs").await;
    let at: Url = bed.service().url("/docs").parse().expect("a URL");
    let page_url = at.join(folder.header("location")).expect("a place");
    let page = bed.http.get(page_url.as_str()).await;
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{page:?}"
    );
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'"),
        "{page:?}"
    );
    let references = ["src=\"", "href=\""]
        .into_iter()
        .flat_map(|attribute| page.body.split(attribute).skip(1));
    let parts: Vec<_> = references
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(parts.len() > 2, "{page:?}");
    for part in parts {
        let url = page_url.join(part).expect("a URL");
        if url.scheme() == "data" {
            continue;
        }
        assert_eq!(url.origin(), page_url.origin(), "{part} is elsewhere");
        assert_eq!(bed.http.get(url.as_str()).await.status, 200, "{part}");
    }

    let folder = TempDir::new().expect("a folder");
    let [public, admin] = ["public.json", "admin.json"].map(|name| folder.path().join(name));
    fs::write(&public, served.body).expect("a file");
    fs::write(&admin, bed.service().admin("/openapi.json").await.body).expect("a file");
    let documents = [repository("docs/accounts.openapi.yaml"), public, admin];
    let mut node = Command::new("node");
    node.arg("tests/tools/openapi_valid.mjs")
        .args(&documents)
        .current_dir(repository("."));
    let node = node
        .output()
        .unwrap_or_else(|error| panic!("node: {error}; run: make setup"));
    assert!(node.status.success(), "{node:?}");
    for document in &documents {
        openapi_check(&[document.as_os_str()], &json!([]));
    }
}
