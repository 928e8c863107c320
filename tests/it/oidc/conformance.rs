//! The modules of the OpenID Foundation's plans for Basic OP and Config OP (its conformance suite of August 2026, by
//! their names without `oidcc-`), each with PKCE, which wxmint requires. What they find stands in docs/scan-login.md.

use super::*;

const PASS: &str = "pass";
/// The suite warns of something that is optional.
const WARN: &str = "pass with a warning";
const SKIP: &str = "skipped";
const FAIL: &str = "fail, for want of a session in browsers";

/// Each request differs so from an ordinary one, and gets this error, or a login if that is empty.
type Module = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);
const BY_URI: &[(&str, &str)] = &[("request_uri", "https://a.example/r")];
const OBJECT: &[(&str, &str)] = &[("request", "e30.e30.")];
const MODULES: &[Module] = &[
    ("server", PASS, &[], ""),
    (
        "response-type-missing",
        PASS,
        &[("response_type", "")],
        "invalid_request",
    ),
    (
        "ensure-request-without-nonce-succeeds-for-code-flow",
        PASS,
        &[("nonce", "")],
        "",
    ),
    ("scope-profile", WARN, &[("scope", "openid profile")], ""),
    ("scope-email", SKIP, &[("scope", "openid email")], ""),
    ("scope-address", SKIP, &[("scope", "openid address")], ""),
    ("scope-phone", SKIP, &[("scope", "openid phone")], ""),
    (
        "scope-all",
        SKIP,
        &[("scope", "openid email phone address profile")],
        "",
    ),
    (
        "alternate-happy-flow",
        PASS,
        &[("scope", "offline_access openid"), ("client_id", "grafana")],
        "",
    ),
    ("display-page", PASS, &[("display", "page")], ""),
    ("display-popup", PASS, &[("display", "popup")], ""),
    ("prompt-login", PASS, &[("prompt", "login")], ""),
    (
        "prompt-none-not-logged-in",
        PASS,
        &[("prompt", "none"), ("state", LONG_STATE)],
        "login_required",
    ),
    (
        "prompt-none-logged-in",
        FAIL,
        &[("prompt", "none")],
        "login_required",
    ),
    (
        "id-token-hint",
        FAIL,
        &[("prompt", "none"), ("id_token_hint", "e30.e30.")],
        "login_required",
    ),
    ("max-age-1", PASS, &[("max_age", "1")], ""),
    ("max-age-10000", FAIL, &[("max_age", "10000")], ""),
    (
        "ensure-request-with-unknown-parameter-succeeds",
        PASS,
        &[("extra", "foobar")],
        "",
    ),
    (
        "login-hint",
        PASS,
        &[("login_hint", "buffy@login.example.com")],
        "",
    ),
    ("ui-locales", PASS, &[("ui_locales", "se")], ""),
    ("claims-locales", PASS, &[("claims_locales", "se")], ""),
    (
        "ensure-request-with-acr-values-succeeds",
        WARN,
        &[("acr_values", "1 2")],
        "",
    ),
    (
        "claims-essential",
        WARN,
        &[("claims", r#"{"userinfo":{"name":{"essential":true}}}"#)],
        "",
    ),
    ("ensure-request-with-valid-pkce-succeeds", PASS, &[], ""),
    (
        "request-uri-unsigned-supported-correctly-or-rejected-as-unsupported",
        SKIP,
        BY_URI,
        "request_uri_not_supported",
    ),
    (
        "unsigned-request-object-supported-correctly-or-rejected-as-unsupported",
        PASS,
        OBJECT,
        "request_not_supported",
    ),
    (
        "ensure-request-object-with-redirect-uri",
        SKIP,
        OBJECT,
        "request_not_supported",
    ),
];
/// Other tests do what these do: the story in `super`, and in `attacks` those of an address that is not registered, of
/// a code and of a refresh token that come again.
#[rustfmt::skip]
const ELSEWHERE: [&str; 6] = [
    "userinfo-get", "server-client-secret-post", "ensure-registered-redirect-uri", "codereuse",
    "codereuse-30seconds", "refresh-token",
];
const LONG_STATE: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!$()*-._~+/=:;@0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO";

fn changed(by: &[(&str, &str)]) -> String {
    let ordinary = told(&format!("http://q?{}", asks("grafana", BACK)));
    let kept = ordinary
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let kept = kept.filter(|(name, _)| by.iter().all(|(other, _)| other != name));
    query(
        &kept
            .chain(by.iter().copied().filter(|(_, value)| !value.is_empty()))
            .collect::<Vec<_>>(),
    )
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "it has a row for each module")]
async fn each_module_of_the_plans_finds_what_the_page_says() {
    let bed = builder().algorithm("RS256").start().await;
    let (mut found, mut last) = (BTreeMap::new(), None);
    for (module, verdict, by, error) in MODULES {
        found.insert(*module, *verdict);
        let (asked, begun) = (changed(by), bed.redis.command::<(i64, i64)>(&["TIME"]).0);
        let page = bed.service().get(&format!("/authorize?{asked}")).await;
        let state = told(&format!("http://q?{asked}"))["state"].clone();
        if !error.is_empty() {
            let back = told(page.header("location"));
            assert_eq!(
                (page.status, &*back["error"], &back["state"]),
                (303, *error, &state),
                "{module}"
            );
            continue;
        }
        assert_eq!(page.status, 200, "{module}");
        let back = told(
            &bed.let_in_site(&asked, &format!("person-{}", found.len()))
                .await,
        );
        let tokens = bed.redeem(&back["code"]).await.expect_login();
        let (header, id) = decoded(&tokens.member("id_token"));
        assert_eq!(
            (&back["state"], &header["alg"]),
            (&state, &"RS256".into()),
            "{module}"
        );
        assert_eq!(
            id.get("nonce").is_some(),
            asked.contains("nonce"),
            "{module}: {id}"
        );
        assert!(
            id["auth_time"].as_i64() >= Some(begun),
            "{module}: nobody stays logged in: {id}"
        );
        assert!(
            tokens.member("scope").starts_with("openid"),
            "{module}: {tokens:?}"
        );
        last = Some(tokens);
    }

    let tokens = last.expect("a login");
    let (access, refresh) = (
        tokens.member("access_token"),
        tokens.member("refresh_token"),
    );
    assert_eq!(
        bed.form("/userinfo", &[("access_token", &access)])
            .await
            .status,
        401
    );
    found.insert("userinfo-post-body", WARN);
    let by_post = bed
        .service()
        .ask("POST", "/userinfo", &access, &Value::Null)
        .await;
    assert_eq!(by_post.status, 200, "{by_post:?}");
    found.insert("userinfo-post-header", PASS);
    // Others post the secret.
    let basic = bed
        .http
        .0
        .post(bed.service().url("/token"))
        .basic_auth("grafana", Some(SECRET));
    let renewal = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*refresh),
    ];
    bed.http
        .send(with_form(basic, &renewal))
        .await
        .expect_login();

    let asked = changed(&[("state", LONG_STATE)]);
    let post = || bed.http.0.post(bed.service().url("/authorize"));
    let posted = bed.http.send(post().body(asked.clone())).await;
    let to = posted.header("location");
    assert_eq!(
        (posted.status, told(&format!("http://q{to}"))),
        (303, told(&format!("http://q?{asked}")))
    );
    assert_eq!(bed.service().get(to).await.status, 200, "{to}");
    let long = "é".repeat(1020);
    let refused = bed
        .http
        .send(post().body(changed(&[("state", &long), ("nonce", &long)])))
        .await;
    assert_eq!(
        told(refused.header("location"))["error"],
        "invalid_request",
        "{refused:?}"
    );
    found.insert("ensure-post-request-succeeds", PASS);

    found.extend(ELSEWHERE.map(|module| (module, PASS)));
    // For clients that register themselves.
    found.extend([("idtoken-signature", SKIP), ("idtoken-unsigned", SKIP)]);
    let metadata = bed.service().get("/.well-known/openid-configuration").await;
    let told = metadata.json();
    assert_eq!(
        (metadata.status, metadata.header("content-type")),
        (200, "application/json")
    );
    assert_eq!(
        (&told["issuer"], &told["subject_types_supported"]),
        (&ISSUER.into(), &json!(["public"]))
    );
    assert_eq!(
        told["id_token_signing_alg_values_supported"],
        json!(["RS256"])
    );
    assert!(
        told["claims_supported"].is_array() && told["scopes_supported"][0] == "openid",
        "{told}"
    );
    found.insert("discovery-endpoint-verification", PASS);
    assert_eq!(found, documented());
}

/// The list of the page, by module.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let page: &'static str = fs::read_to_string(repository("docs/scan-login.md"))
        .expect("readable")
        .leak();
    let list = page
        .split("### Conformance")
        .nth(1)
        .and_then(|rest| rest.split("\n#").next())
        .expect("the list");
    let rows = list
        .lines()
        .filter_map(|row| row.strip_prefix("- ")?.split_once(": "));
    rows.flat_map(|(verdict, modules)| {
        modules
            .split('`')
            .skip(1)
            .step_by(2)
            .map(move |name| (name, verdict))
    })
    .collect()
}
