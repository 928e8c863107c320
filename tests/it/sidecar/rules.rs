//! The rules that depend on the path that the proxy was asked for, by each of the three ways in which proxies tell it.
//! crates/http/src/path_rules.rs has the table of paths.

use super::{INVALID_REQUEST, INVALID_TOKEN, LONG, NO_TOKEN, Signer, named, refused};
use crate::support::prelude::*;

const ORDERS: &str = "https://orders.example.com";
const PAY: &str = "https://pay.example.com";

/// The header that tells the path, or that the path of the request itself does.
const WAYS: [&str; 3] = ["X-Forwarded-Uri", "X-Original-URI", "path"];

struct Ruled {
    way: &'static str,
    sidecar: Sidecar,
    _issuer: Answering,
}

impl Ruled {
    async fn start(way: &'static str, signer: &Signer, rules: &[(&str, &str)]) -> Self {
        let issuer = Answering::of(&signer.set(), LONG);
        let settings = SidecarSettings::new(&issuer.url("/jwks"))
            .with("WXMINT_AUDIENCE", &format!("{ISSUER},{ORDERS},{PAY}"))
            .with("WXMINT_SIDECAR_PATH_HEADER", way);
        let settings = rules.iter().fold(settings, |settings, (name, value)| settings.with(name, value));
        Self { way, sidecar: settings.ready().await, _issuer: issuer }
    }

    async fn ask(&self, path: &str, tokens: &[&str]) -> Received {
        let (line, told) = match self.way {
            "path" => (format!("GET /verify{path} HTTP/1.1"), None),
            header => ("GET /verify HTTP/1.1".to_owned(), Some(format!("{header}: {path}"))),
        };
        let shown = tokens.iter().map(|token| format!("Authorization: Bearer {token}"));
        let headers: Vec<_> = told.into_iter().chain(shown).collect();
        self.sidecar.raw(&line, &headers.iter().map(String::as_str).collect::<Vec<_>>(), "").await
    }
}

/// 200 that names nobody, in headers that are there.
#[track_caller]
fn anonymous(what: &str, received: &Received) {
    assert_eq!(named(what, received), ["", "", ""]);
}

/// Others than those below `/public`, and paths that two programs could read in two ways: some that `path_rules` knows.
#[rustfmt::skip]
const CLOSED: [&str; 9] = [
    "/", "", "/publicity", "/PUBLIC", "?/public", "/public/../orders", "/public/%2e%2e/orders",
    "/public/..;/orders", "/public/%c0%ae%c0%ae/orders",
];

#[tokio::test(flavor = "multi_thread")]
async fn below_an_anonymous_path_nobody_need_say_who_they_are_and_whoever_lies_is_refused() {
    let signer = Signer::new();
    let (good, bad) = (signer.token(), signer.token_with(json!({"aud": "https://another.example"})));
    for way in WAYS {
        let ruled = Ruled::start(way, &signer, &[("WXMINT_SIDECAR_ANONYMOUS", "/public,/health")]).await;
        for path in ["/public", "/public/a?to=/../orders", "/health"] {
            let what = format!("{way}: {path}");
            anonymous(&what, &ruled.ask(path, &[]).await);
            assert_eq!(named(&what, &ruled.ask(path, &[&good]).await)[0], "lin");
            refused(&what, &ruled.ask(path, &[&bad]).await, INVALID_TOKEN);
            refused(&what, &ruled.ask(path, &[&good, &good]).await, INVALID_REQUEST);
        }
        for path in CLOSED {
            let what = format!("{way}: {path}");
            refused(&what, &ruled.ask(path, &[]).await, NO_TOKEN);
            assert_eq!(named(&what, &ruled.ask(path, &[&good]).await)[0], "lin");
        }
        if way == "path" {
            // The path of the request itself tells the path, and no header.
            let (sidecar, headers) = (&ruled.sidecar, ["X-Forwarded-Uri: /public", "X-Original-URI: /public"]);
            for target in ["/verify", "/verify/", "/verify/orders", "/%76erify/public"] {
                refused(target, &sidecar.raw(&format!("GET {target} HTTP/1.1"), &headers, "").await, NO_TOKEN);
            }
            let absolute = sidecar.raw("GET http://sidecar/verify/public HTTP/1.1", &[], "").await;
            anonymous("an absolute target", &absolute);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_path_with_an_audience_a_token_must_name_it_and_the_longest_path_decides() {
    let signer = Signer::new();
    let of = |audience: &[&str]| signer.token_with(json!({"aud": audience}));
    let tokens = [of(&[ISSUER]), of(&[ORDERS]), of(&[PAY, ORDERS])];
    let rules = [
        ("WXMINT_SIDECAR_AUDIENCES", &*format!("/orders={ORDERS}, /orders/refunds={PAY},/pay={PAY}")),
        ("WXMINT_SIDECAR_ANONYMOUS", "/public,/orders/open,/pay/"),
    ];
    let ruled = Ruled::start(WAYS[0], &signer, &rules).await;
    for (path, taken) in [
        ("/ordersheet", [true; 3]),
        ("/orders/1?x=/pay", [false, true, true]),
        ("/orders/refunds/1", [false, false, true]),
        ("/orders/open/1", [true; 3]),
        // The audience depends on who reads it, so that the token must name all of them.
        ("/public/../orders", [false, false, true]),
    ] {
        // First as unknown tokens, then as remembered ones.
        for round in ["once", "again"] {
            for (token, is_taken) in tokens.iter().zip(taken) {
                let (what, received) = (format!("{path}, {round}, {token}"), ruled.ask(path, &[token]).await);
                match is_taken {
                    true => assert_eq!(named(&what, &received)[0], "lin"),
                    false => refused(&what, &received, INVALID_TOKEN),
                }
            }
        }
    }
    anonymous("an open path below a closed one", &ruled.ask("/orders/open", &[]).await);
    // The careful rule holds of an audience and no audience for the same path.
    for path in ["/pay", "/orders/openx", "/public/../orders"] {
        refused(path, &ruled.ask(path, &[]).await, NO_TOKEN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_missing_or_there_twice_or_anothers_tells_no_path() {
    let signer = Signer::new();
    let Ruled { sidecar, .. } = Ruled::start(WAYS[0], &signer, &[("WXMINT_SIDECAR_ANONYMOUS", "/")]).await;
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
}
