//! OpenID Connect: a site logs a person in with WeChat, by the code flow with PKCE (OpenID Connect Core, RFC 9700).

mod attacks;
mod backchannel;
mod budgets;
mod conformance;
mod dates;
mod erasure;
mod faults;
mod foreign;
mod readable;
mod revocations;
mod wechat;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;

use crate::support::prelude::*;
use crate::support::scan::{SECRET, told, with_form};

const BACK: &str = "https://grafana.example.com/login/generic_oauth";
const LEFT: &str = "https://grafana.example.com/login";
const ORIGIN: &str = "https://shop.example.com";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

const GRAFANA: [(&str, &str); 2] = [("client_id", "grafana"), ("client_secret", SECRET)];

/// Every act that revokes a login of a site: see [`TestBed::revoke_site_login`].
const ACTS: [&str; 9] = [
    "everywhere",
    "unbind",
    "end",
    "block",
    "end_person",
    "dissolve",
    "logout",
    "revoke",
    "clients end",
];

/// A person who is logged in at the mini program and at the site.
struct SiteLogin {
    person: String,
    phone: Answer,
    /// The site's tokens of the login.
    first: Answer,
    /// Its tokens after a renewal.
    renewed: Answer,
}

/// The form by which a code is redeemed.
fn grant<'a>(code: &'a str, redirect_uri: &'a str) -> [(&'a str, &'a str); 4] {
    let grant = ("grant_type", "authorization_code");
    [
        grant,
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", VERIFIER),
    ]
}

/// A back end, a page alone, and a page that is no site.
fn clients() -> Value {
    let secret = const_hex::encode(digest(&SHA256, SECRET.as_bytes()));
    json!([
        {"client_id": "grafana", "name": "Grafana <晨光>", "color": "#0a63a8", "appid": APPID, "page": "pages/scan/index",
         "secret_sha256": secret, "redirect_uris": [BACK], "post_logout_redirect_uris": [LEFT], "refresh": "30d"},
        {"client_id": "spa", "name": "Shop", "appid": APPID, "origins": [ORIGIN], "redirect_uris": ["http://127.0.0.1/cb", ORIGIN]},
        {"client_id": "tv", "name": "TV", "appid": APPID, "page": "pages/scan/index"},
    ])
}

fn builder() -> Builder {
    TestBed::builder()
        .clients(&clients())
        .env("RUST_LOG", "trace")
}

fn query(members: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://q", members).expect("a URL");
    url.query().unwrap_or_default().to_owned()
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// A site sends a browser to wxmint with this query.
fn asks(client: &str, redirect_uri: &str) -> String {
    let challenge = challenge(VERIFIER);
    query(&[
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("response_type", "code"),
        ("scope", "openid offline_access"),
        ("state", "s t&1"),
        ("nonce", "n-0S6_WzA2Mj"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ])
}

impl<R> TestBed<R> {
    /// Grafana's code for `person`.
    async fn code(&self, person: &str) -> String {
        told(&self.let_in_site(&asks("grafana", BACK), person).await)["code"].clone()
    }

    async fn token(&self, grant: &[(&str, &str)]) -> Answer {
        self.form("/token", &[&GRAFANA[..], grant].concat()).await
    }

    async fn redeem(&self, code: &str) -> Answer {
        self.token(&grant(code, BACK)).await
    }

    async fn renew(&self, tokens: &Answer) -> Answer {
        self.token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", &tokens.member("refresh_token")),
        ])
        .await
    }

    async fn revoke(&self, token: &str) {
        let revoked = self
            .form("/revoke", &[&GRAFANA[..], &[("token", token)]].concat())
            .await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
    }

    async fn log_in_site(&self, person: &str) -> Answer {
        self.redeem(&self.code(person).await).await.expect_login()
    }

    /// A new person, for a test that tries each of [`ACTS`].
    async fn log_in_for(&self, act: &str) -> SiteLogin {
        let person = format!("person-of-{}", act.replace(['_', ' '], "-"));
        let phone = self.log_in(&person).await.expect_login();
        let first = self.log_in_site(&person).await;
        let renewed = self.renew(&first).await.expect_login();
        SiteLogin {
            person,
            phone,
            first,
            renewed,
        }
    }

    /// Revokes a login of a site by one of [`ACTS`]. `shown` is the token that `revoke` shows: `access_token` or
    /// `refresh_token`.
    async fn revoke_site_login(&self, act: &str, login: &SiteLogin, shown: &str) {
        match act {
            "logout" => self.log_out(&login.first, false).await,
            "revoke" => self.revoke(&login.renewed.member(shown)).await,
            "clients end" => {
                let mut command = self
                    .configuration
                    .command_of(&["clients", "end", "grafana"]);
                Ended::of(&mut command, "").expect_success();
            }
            _ => {
                self.revokes_user(act, &login.person, &login.phone, OPERATOR)
                    .await;
            }
        }
    }

    async fn userinfo(&self, tokens: &Answer) -> Answer {
        self.service()
            .ask(
                "GET",
                "/userinfo",
                &tokens.member("access_token"),
                &Value::Null,
            )
            .await
    }

    /// The family has ended: neither token does anything.
    async fn expect_ended(&self, tokens: &Answer, why: &str) {
        assert_eq!(self.userinfo(tokens).await.status, 401, "{why}");
        let refused = self.renew(tokens).await;
        assert_eq!(
            (refused.status, refused.member("error").as_str()),
            (400, "invalid_grant"),
            "{why}: {refused:?}"
        );
    }
}

/// The story, each step as a site, a browser and a phone see it.
#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "the test is a story that reads from top to bottom"
)]
async fn a_site_logs_a_person_in_and_renews_its_tokens_until_it_logs_out() {
    let bed = builder().start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let asked = asks("grafana", BACK);
    let page = bed.service().get(&format!("/authorize?{asked}")).await;
    assert_eq!(
        (page.status, page.header("cache-control")),
        (200, "no-store")
    );
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe")
            && !page.body.contains("<style")
            && !page.body.contains(" style="),
        "{page:?}"
    );
    assert!(
        page.body.contains("Grafana &lt;晨光&gt;") && page.body.contains("data-color=\"#0a63a8\""),
        "{page:?}"
    );
    assert!(
        page.body.contains("id=\"blank\"") && page.body.contains("error=access_denied"),
        "{page:?}"
    );

    let shown = bed.step("scan", &asked, &[]).await;
    let user_code = shown.member("user_code");
    assert_eq!(
        bed.service()
            .get(&format!("/device/{user_code}/code.jpg"))
            .await
            .header("content-type"),
        "image/jpeg"
    );
    let code = [("device_code", &*shown.member("device_code"))];
    assert_eq!(
        bed.step("poll", &asked, &code).await.json(),
        json!({"state": "wait"})
    );
    let looked = bed.look(&phone, &user_code).await;
    assert_eq!(looked.json()["client_name"], "Grafana <晨光>");
    tokio::time::sleep(Duration::from_secs(
        shown.json()["interval"].as_u64().expect("seconds"),
    ))
    .await; // as the page does
    assert_eq!(
        bed.step("poll", &asked, &code).await.json(),
        json!({"state": "scanned"})
    );
    until("slow", PATIENCE, async || {
        bed.step("poll", &asked, &code).await.json() == json!({"state": "slow"})
    })
    .await;
    bed.approve(
        Some(&phone),
        "lin",
        &user_code,
        shown.json()["match"].as_str(),
    )
    .await;
    let to = bed.step("poll", &asked, &code).await.member("location");
    let back = told(&to);
    assert!(
        to.starts_with(&format!("{BACK}?")) && back.len() == 3,
        "{to}"
    );
    assert_eq!(
        (
            back["state"].as_str(),
            back["iss"].as_str(),
            back["code"].len()
        ),
        ("s t&1", ISSUER, 43)
    );

    let tokens = bed.redeem(&back["code"]).await.expect_login();
    assert_eq!(
        (tokens.header("cache-control"), tokens.header("pragma")),
        ("no-store", "no-cache")
    );
    let (header, id) = decoded(&tokens.member("id_token"));
    let access = tokens.claims();
    assert_eq!(
        (&header["typ"], &id["iss"], &id["aud"]),
        (&"JWT".into(), &ISSUER.into(), &"grafana".into())
    );
    assert_eq!(
        (&id["nonce"], &id["amr"]),
        (&"n-0S6_WzA2Mj".into(), &json!(["wechat"]))
    );
    assert_eq!(
        [&id["sub"], &id["auth_time"], &id["sid"]],
        [&phone.claims()["sub"], &access["iat"], &access["jti"]]
    );
    assert_eq!(
        id["exp"].as_i64().expect("exp") - id["iat"].as_i64().expect("iat"),
        600
    );
    let half = &digest(&SHA256, tokens.member("access_token").as_bytes()).as_ref()[..16].to_vec();
    assert_eq!(id["at_hash"], URL_SAFE_NO_PAD.encode(half));
    assert!(
        id.get("jti").is_none() && id.get("client_id").is_none(),
        "{id}"
    );
    assert_eq!(
        bed.userinfo(&tokens).await.json(),
        json!({"sub": access["sub"]})
    );

    let renewed = bed.renew(&tokens).await.expect_login();
    let (again, first) = (decoded(&renewed.member("id_token")).1, renewed.claims());
    assert_eq!(
        (&again["sid"], &again["auth_time"], again.get("nonce")),
        (&id["sid"], &id["auth_time"], None)
    );
    assert!(
        first["jti"] != access["jti"] && first["sub"] == access["sub"],
        "{first}"
    );
    assert_ne!(
        renewed.member("refresh_token"),
        tokens.member("refresh_token")
    );
    let repeated = bed.renew(&tokens).await.expect_login();
    assert_eq!(
        repeated.member("refresh_token"),
        renewed.member("refresh_token"),
        "an answer that was lost"
    );
    assert_eq!(repeated.claims(), first);

    let out = query(&[
        ("id_token_hint", &renewed.member("id_token")),
        ("post_logout_redirect_uri", LEFT),
        ("state", "x y"),
    ]);
    let left = bed.service().get(&format!("/end_session?{out}")).await;
    assert_eq!(
        (left.status, left.header("location")),
        (303, format!("{LEFT}?state=x+y").as_str())
    );
    assert_eq!(bed.userinfo(&tokens).await.status, 401);
    bed.expect_ended(&renewed, "logged out").await;
    assert!(bed.accepts(&phone).await, "the phone stays logged in");
    let metrics = bed.service().metrics().await;
    let dashboard = fs::read_to_string(repository("k8s/chart/monitoring/dashboards/wxmint.json"))
        .expect("readable");
    for (outcome, count) in [
        ("logged_in", 1),
        ("renewed", 2),
        ("logged_out", 1),
        ("unknown", 1),
    ] {
        let counted = format!(
            "wxmint_oidc_logins_total{{client=\"grafana\",outcome=\"{outcome}\"}} {count}\n"
        );
        assert!(
            metrics.contains(&counted) && dashboard.contains("wxmint_oidc_logins_total"),
            "{counted}: {metrics}"
        );
    }
    let told = [
        ("site_login", None),
        ("site_renewal", None),
        ("logout", None),
        ("site_renewal", Some("unknown")),
    ];
    for (code, refused) in told {
        let is_it = |event: &Value| {
            event["metadata"]["event_code"] == code && event["status_detail"].as_str() == refused
        };
        let event = eventually(code, BUSY, async || {
            bed.service().events().into_iter().find(is_it)
        })
        .await;
        let user = if refused.is_none() {
            id["sub"].clone()
        } else {
            Value::Null
        };
        assert_eq!(
            (&event["unmapped"]["client"], &event["user"]["uid"]),
            (&"grafana".into(), &user),
            "{event}"
        );
    }
    bed.service().expect_no_faults().await;
}

/// The metadata is the door's only where a client is a site, and each fault of a request goes where it belongs.
#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "the test is a story that reads from top to bottom"
)]
async fn the_metadata_name_what_is_there_a_page_alone_fetches_its_tokens_and_nothing_is_there_without_a_site()
 {
    let mut more = clients();
    let by_token = json!({"client_id": "k8s", "name": "K", "appid": APPID, "issuer": "https://a.example", "subject": "b"});
    more.as_array_mut().expect("clients").push(by_token);
    // The first client by its id has fewer grants than a site.
    let device = json!({"client_id": "a-tv", "name": "A", "appid": APPID});
    more.as_array_mut().expect("clients").push(device);
    let bed = TestBed::builder().clients(&more).start().await;
    let metadata = bed.service().get("/.well-known/openid-configuration").await;
    let named = metadata.json();
    for of_client in [
        "auth_methods_supported",
        "auth_signing_alg_values_supported",
    ] {
        let [revocation, token] =
            ["revocation", "token"].map(|place| &named[format!("{place}_endpoint_{of_client}")]);
        assert!(
            revocation == token && revocation.as_array().is_some_and(|all| all.len() == 4),
            "{named}"
        );
    }
    for name in ["token", "userinfo", "end_session"] {
        assert_eq!(
            named[format!("{name}_endpoint")],
            format!("{ISSUER}/{name}")
        );
    }
    assert_eq!(
        named["authorization_endpoint"],
        format!("{ISSUER}/authorize")
    );
    assert_eq!(named["revocation_endpoint"], format!("{ISSUER}/revoke"));
    assert_eq!(named["response_types_supported"], json!(["code"]));
    assert_eq!(named["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(
        named["authorization_response_iss_parameter_supported"],
        true
    );
    assert_eq!(named["request_uri_parameter_supported"], false);
    assert_eq!(
        named["grant_types_supported"].as_array().map(Vec::len),
        Some(3)
    );
    assert_eq!(
        metadata.body.matches("response_types_supported").count(),
        1,
        "{metadata:?}"
    );

    // A page alone reads its answers, and nobody else's page does; no refresh token where the file gives none.
    for redirect_uri in [ORIGIN, "http://127.0.0.1:49152/cb"] {
        let back = told(&bed.let_in_site(&asks("spa", redirect_uri), "lin").await);
        let form = [
            &grant(&back["code"], redirect_uri)[..],
            &[("client_id", "spa")],
        ]
        .concat();
        let post = bed
            .http
            .0
            .post(bed.service().url("/token"))
            .header("origin", ORIGIN);
        let tokens = bed.http.send(with_form(post, &form)).await.expect_login();
        assert_eq!(tokens.header("access-control-allow-origin"), ORIGIN);
        assert!(tokens.json().get("refresh_token").is_none(), "{tokens:?}");
        for (origin, allowed) in [(ORIGIN, ORIGIN), ("https://evil.example", "")] {
            let get = bed
                .http
                .0
                .get(bed.service().url("/userinfo"))
                .bearer_auth(tokens.member("access_token"));
            let info = bed.http.send(get.header("origin", origin)).await;
            assert_eq!(
                (info.status, info.header("access-control-allow-origin")),
                (200, allowed)
            );
        }
    }

    let own = [
        " or authorization_code or refresh_token",
        " or authorization_code",
        "",
    ];
    for (client, own) in ["grafana", "spa", "tv"].into_iter().zip(own) {
        let secret = [("client_secret", SECRET)];
        let secret = if client == "grafana" {
            &secret[..]
        } else {
            &[]
        };
        let form = [&[("grant_type", "password"), ("client_id", client)], secret].concat();
        let refused = bed.form("/token", &form).await;
        let told =
            format!("`grant_type` must be urn:ietf:params:oauth:grant-type:device_code{own}.");
        assert_eq!(
            [refused.member("error"), refused.member("error_description")],
            ["unsupported_grant_type", &told]
        );
    }

    let mut fewer = clients();
    fewer.as_array_mut().expect("clients").drain(..2);
    let bed = TestBed::builder().clients(&fewer).start().await;
    let named = bed
        .service()
        .get("/.well-known/openid-configuration")
        .await
        .json();
    assert!(
        named.get("authorization_endpoint").is_none() && named["token_endpoint"].is_string(),
        "{named}"
    );
    assert_eq!(named["response_types_supported"], json!(["id_token"]));
    for path in [
        "/authorize",
        "/authorize/web",
        "/authorize/wechat",
        "/end_session",
        "/userinfo",
    ] {
        bed.service()
            .get(path)
            .await
            .expect_problem(404, "invalid_request");
    }
    let login = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    for (method, path) in [
        ("GET", "/userinfo"),
        ("POST", "/userinfo"),
        ("POST", "/revoke"),
        ("POST", "/end_session"),
    ] {
        let absent = bed.service().ask(method, path, &login, &Value::Null).await;
        absent.expect_problem(404, "invalid_request");
    }
    bed.form("/revoke", &[("client_id", "tv"), ("token", &login)])
        .await
        .expect_problem(404, "invalid_request");
    let grant = [
        ("grant_type", "authorization_code"),
        ("client_id", "tv"),
        ("code", "x"),
    ];
    assert_eq!(
        bed.form("/token", &grant).await.member("error"),
        "unsupported_grant_type"
    );
}
