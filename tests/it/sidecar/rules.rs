//! The rules that depend on the path that the proxy was asked for, by each of the three ways in which proxies tell it.
//! crates/http/src/path_rules.rs has the table of paths.

use super::{IDENTITY, INVALID_REQUEST, INVALID_TOKEN, LONG, NO_TOKEN, Signer, named, refused, values};
use crate::support::prelude::*;

const ORDERS: &str = "https://orders.example.com";
const PAY: &str = "https://pay.example.com";

/// How the path is told: the setting, and a request that tells it.
struct Way {
    setting: &'static str,
    ask: fn(&str) -> (String, Vec<String>),
}

const WAYS: [Way; 3] = [
    Way { setting: "X-Forwarded-Uri", ask: |path| header("X-Forwarded-Uri", path) },
    Way { setting: "X-Original-URI", ask: |path| header("x-original-uri", path) },
    Way { setting: "path", ask: |path| (format!("GET /verify{path} HTTP/1.1"), Vec::new()) },
];

fn header(name: &str, path: &str) -> (String, Vec<String>) {
    ("GET /verify HTTP/1.1".to_owned(), vec![format!("{name}: {path}")])
}

impl Way {
    async fn ask(&self, sidecar: &Sidecar, path: &str, token: Option<&str>) -> Received {
        let (line, mut headers) = (self.ask)(path);
        headers.extend(token.map(|token| format!("Authorization: Bearer {token}")));
        sidecar.raw(&line, &headers.iter().map(String::as_str).collect::<Vec<_>>(), "").await
    }

    async fn sidecar(&self, issuer: &JwksServer, rules: &[(&str, &str)]) -> Sidecar {
        let settings = SidecarSettings::new(&issuer.url("/jwks"))
            .with("WXMINT_AUDIENCE", &format!("{ISSUER},{ORDERS},{PAY}"))
            .with("WXMINT_SIDECAR_PATH_HEADER", self.setting);
        rules.iter().fold(settings, |settings, (name, value)| settings.with(name, value)).ready().await
    }
}

/// 200 that names nobody, in headers that are there.
#[track_caller]
fn anonymous(what: &str, received: &Received) {
    assert_eq!(named(what, received), ["", "", ""]);
    let text = received.text();
    assert!(IDENTITY.iter().all(|name| values(&text, name) == [""]), "{what}: {text}");
}

/// Paths that two programs could read in two ways, and others with escapes: one of each kind that `path_rules` knows.
const NOT_PLAIN: &str = r"
    /public//x /public/./x /public/../orders /public/%2e%2e/orders /public/..%2forders /public/..;/orders
    /public\..\orders /public/%00 /public/%zz /public/%c0%ae%c0%ae/orders /public/..%E2%88%95orders /public/a+b";
const PUBLIC: [&str; 6] =
    ["/public", "/public/", "/public/a", "/public/a?to=/../orders", "/health", "/public/logo@2x.png"];

#[tokio::test(flavor = "multi_thread")]
async fn below_an_anonymous_path_nobody_need_say_who_they_are_and_whoever_lies_is_refused() {
    let signer = Signer::new();
    let issuer = JwksServer::of(&signer.set(), LONG).await;
    for way in WAYS {
        let sidecar = way.sidecar(&issuer, &[("WXMINT_SIDECAR_ANONYMOUS", "/public,/health")]).await;
        let (good, bad) = (signer.token(), signer.token_with(json!({"aud": "https://another.example"})));
        for path in PUBLIC {
            let what = format!("{}: {path}", way.setting);
            anonymous(&what, &way.ask(&sidecar, path, None).await);
            assert_eq!(named(&what, &way.ask(&sidecar, path, Some(&good)).await)[0], "lin");
            refused(&what, &way.ask(&sidecar, path, Some(&bad)).await, INVALID_TOKEN);
            let (line, mut headers) = (way.ask)(path);
            headers.extend([format!("Authorization: Bearer {good}"), format!("Authorization: Bearer {good}")]);
            let lines: Vec<_> = headers.iter().map(String::as_str).collect();
            refused(&what, &sidecar.raw(&line, &lines, "").await, INVALID_REQUEST);
        }
        let others = ["/", "", "/publicity", "/PUBLIC", "/orders?x=/public", "?/public"];
        for path in NOT_PLAIN.split_whitespace().chain(others) {
            let what = format!("{}: {path}", way.setting);
            refused(&what, &way.ask(&sidecar, path, None).await, NO_TOKEN);
            assert_eq!(named(&what, &way.ask(&sidecar, path, Some(&good)).await)[0], "lin");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_path_with_an_audience_a_token_must_name_it_and_the_longest_path_decides() {
    let signer = Signer::new();
    let issuer = JwksServer::of(&signer.set(), LONG).await;
    let of = |audience: &[&str]| signer.token_with(json!({"aud": audience}));
    let (any, orders, pay, both) = (of(&[ISSUER]), of(&[ORDERS]), of(&[ISSUER, PAY]), of(&[PAY, ORDERS]));
    let rules = [
        ("WXMINT_SIDECAR_AUDIENCES", format!("/orders={ORDERS}, /orders/refunds={PAY},/pay={PAY}")),
        ("WXMINT_SIDECAR_ANONYMOUS", "/public,/orders/open,/pay/".to_owned()),
    ];
    let rules = rules.each_ref().map(|(name, value)| (*name, value.as_str()));
    let sidecar = WAYS[0].sidecar(&issuer, &rules).await;
    let ask = async |path: &str, token: Option<&str>| WAYS[0].ask(&sidecar, path, token).await;
    for (path, [is_any, is_orders, is_pay, is_both]) in [
        ("/ordersheet", [true; 4]),
        ("/Orders", [false, true, false, true]),
        ("/orders/1?x=/pay", [false, true, false, true]),
        ("/orders/refunds/1", [false, false, true, true]),
        ("/orders/Refunds/1", [false, false, false, true]),
        ("/orders/open/1", [true; 4]),
        // The audience depends on who reads it, so that the token must name all of them.
        ("/public/../orders", [false, false, false, true]),
    ] {
        // First as unknown tokens, then as remembered ones.
        for round in ["once", "again"] {
            let taken = [(&any, is_any), (&orders, is_orders), (&pay, is_pay), (&both, is_both)];
            for (place, (token, is_taken)) in taken.into_iter().enumerate() {
                let (what, received) = (format!("{path}, token {place}, {round}"), ask(path, Some(token)).await);
                match is_taken {
                    true => assert_eq!(named(&what, &received)[0], "lin"),
                    false => refused(&what, &received, INVALID_TOKEN),
                }
            }
        }
    }
    anonymous("an open path below a closed one", &ask("/orders/open", None).await);
    // The careful rule holds of an audience and no audience for the same path.
    for path in ["/pay", "/orders/openx", "/public/../orders"] {
        refused(path, &ask(path, None).await, NO_TOKEN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_missing_or_there_twice_or_anothers_tells_no_path() {
    let signer = Signer::new();
    let issuer = JwksServer::of(&signer.set(), LONG).await;
    let sidecar = WAYS[0].sidecar(&issuer, &[("WXMINT_SIDECAR_ANONYMOUS", "/")]).await;
    anonymous("the header", &sidecar.raw("GET /verify HTTP/1.1", &["X-Forwarded-Uri: /public"], "").await);
    for headers in [
        &[][..],
        &["X-Forwarded-Uri: /public", "X-Forwarded-Uri: /public"],
        &["X-Forwarded-Uri: /public", "x-forwarded-uri: /orders"],
        &["X-Forwarded-Uri: /public", "X-Forwarded-Uri:"],
        &["X-Forwarded-Uri:"],
        &["X-Forwarded-Uri: /public, /orders"],
        &["X-Forwarded-Uri: public"],
        &["X-Forwarded-Uri: http://sidecar/public"],
        &["X-Forwarded-Uri: /public#/../orders"],
        &["X-Forwarded-Uri: /público"],
        &["X_Forwarded_Uri: /public"],
        &["X-Forwarded-Path: /public"],
        &["X-Original-URI: /public"],
    ] {
        for target in ["/verify", "/verify/public"] {
            let received = sidecar.raw(&format!("GET {target} HTTP/1.1"), headers, "").await;
            refused(&format!("{target}, {headers:?}"), &received, NO_TOKEN);
        }
    }
    // Told in the path, headers say nothing.
    let sidecar = WAYS[2].sidecar(&issuer, &[("WXMINT_SIDECAR_ANONYMOUS", "/public")]).await;
    let headers = ["X-Forwarded-Uri: /public", "X-Original-URI: /public"];
    for target in ["/verify", "/verify/", "/verify/orders", "/%76erify/public"] {
        let received = sidecar.raw(&format!("GET {target} HTTP/1.1"), &headers, "").await;
        refused(target, &received, NO_TOKEN);
    }
    anonymous("an absolute target", &sidecar.raw("GET http://sidecar/verify/public HTTP/1.1", &[], "").await);
}
