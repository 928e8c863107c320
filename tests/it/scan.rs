//! Scan to log in: a page asks, the phone says yes, the page has a token of the same user (RFC 8628, RFC 10027).

mod assertions;
mod attacks;
mod command;
mod limits;
mod oauth;
mod revocations;

use crate::support::prelude::*;
use crate::support::scan::{GRANT, SECRET, with_form};

const ORIGIN: &str = "https://shop.example.com";
const AUDIENCE: &str = "https://api.example.com";
/// The metrics of a service that serves pages.
const OF_THE_DOOR: [&str; 3] = [
    "wxmint_device_requests_total{",
    "route=\"/token\"",
    "route=\"/device",
];

/// A page, a back end, a command line that asks for no number, and a page of a mini program that is not configured.
fn clients() -> Value {
    json!([
        {"client_id": "shop-web", "name": "晨光商城 网页版", "appid": APPID, "page": "pages/scan/index", "origins": [ORIGIN],
         "audience": [AUDIENCE], "token_ttl": "12h"},
        {"client_id": "shop", "name": "晨光商城", "appid": APPID, "secret_sha256": sha256(SECRET)},
        {"client_id": "cli.1", "name": "命令行", "appid": APPID, "match": false},
        {"client_id": "elsewhere", "name": "Elsewhere", "appid": "wx00000000000000ff"},
    ])
}

fn sha256(secret: &str) -> String {
    const_hex::encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        secret.as_bytes(),
    ))
}

fn builder() -> Builder {
    TestBed::builder().clients(&clients())
}

/// Until a verifier has learned that the token was ended.
async fn refuses(sidecar: &Sidecar, answer: &Answer) {
    let token = answer.member("access_token");
    until("the token is refused", PATIENCE, async || {
        sidecar.verify(&token).await.status == 401
    })
    .await;
}

impl Answer {
    /// An error in OAuth's own form (RFC 6749 section 5.2).
    #[track_caller]
    fn expect_oauth(self, status: u16, error: &str) -> Self {
        assert_eq!(
            (self.status, self.header("content-type")),
            (status, "application/json"),
            "{self:?}"
        );
        assert_eq!(
            (self.member("error").as_str(), self.header("cache-control")),
            (error, "no-store"),
            "{self:?}"
        );
        let allowed = |byte: u8| matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~');
        let description = self.member("error_description");
        assert!(
            !description.is_empty() && description.bytes().all(allowed),
            "{description}"
        );
        self
    }
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "the test is a story that reads from top to bottom"
)]
async fn the_phone_logs_the_page_in_and_the_page_has_one_token_of_the_same_user() {
    let bed = builder().start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let request = bed.ask().await;
    let asked = request.asked.json();
    let (code, number) = (request.user_code(), request.number().expect("a number"));
    assert_eq!(
        (&asked["expires_in"], &asked["interval"]),
        (&180.into(), &2.into())
    );
    assert_eq!(asked["verification_uri"], format!("{ISSUER}/device"));
    assert_eq!(
        asked["verification_uri_complete"],
        format!("{ISSUER}/device?user_code={code}")
    );
    assert_eq!(
        asked["mini_program_code_uri"],
        format!("{ISSUER}/device/{code}/code.jpg")
    );
    let (device_code, cached) = (
        request.asked.member("device_code"),
        request.asked.header("cache-control"),
    );
    assert_eq!((device_code.len(), cached), (43, "no-store"));

    let looked = bed
        .look(&phone, &code.to_lowercase().replace('-', " "))
        .await;
    assert_eq!(
        (looked.status, looked.header("cache-control")),
        (200, "no-store")
    );
    let shown = looked.json();
    assert_eq!(
        (&shown["client_id"], &shown["client_name"]),
        (&"shop-web".into(), &"晨光商城 网页版".into())
    );
    assert_eq!(
        (&shown["address"], &shown["user_agent"]),
        (&"127.0.0.1".into(), &"Firefox".into())
    );
    assert!(
        (165..=180).contains(&shown["expires_in"].as_u64().expect("seconds")),
        "{shown}"
    );
    let choices: Vec<_> = shown["choices"]
        .as_array()
        .expect("numbers")
        .iter()
        .map(|choice| choice.as_str())
        .collect();
    assert!(
        choices.len() == 3 && choices.contains(&Some(&number)),
        "{shown}"
    );
    assert_eq!(
        bed.look(&phone, &code).await.json()["choices"],
        shown["choices"],
        "always the same"
    );

    // RFC 8628 section 3.5. `attacks` has a request at which nobody has looked.
    let pending = bed
        .poll(&request)
        .await
        .expect_oauth(400, "authorization_pending");
    assert_eq!(pending.json()["scanned"], true);
    let too_early = async || {
        Some(bed.poll(&request).await).filter(|polled| polled.member("error") == "slow_down")
    };
    eventually("a poll within two seconds", PATIENCE, too_early)
        .await
        .expect_oauth(400, "slow_down");
    assert_eq!(
        bed.approve(Some(&phone), "lin", &code, Some(&number))
            .await
            .status,
        204
    );
    let page = bed.poll(&request).await.expect_login();
    let (own, of_phone) = (page.claims(), phone.claims());
    assert_eq!(
        (&own["sub"], &own["iss"]),
        (&of_phone["sub"], &of_phone["iss"])
    );
    assert_eq!(
        (&own["client_id"], &own["aud"]),
        (&"shop-web".into(), &AUDIENCE.into())
    );
    assert_eq!(
        own["exp"].as_i64().expect("exp") - own["iat"].as_i64().expect("iat"),
        12 * 3600
    );
    assert_eq!(
        (&page.json()["user_id"], &page.json()["token_type"]),
        (&own["sub"], &"Bearer".into())
    );
    assert!(
        (12 * 3600 - 15..=12 * 3600)
            .contains(&page.json()["expires_in"].as_i64().expect("seconds"))
    );
    assert!(page.json().get("new_user").is_none());
    let metrics = bed.service().metrics().await;
    assert!(
        OF_THE_DOOR.iter().all(|name| metrics.contains(name)),
        "{metrics}"
    );
    bed.service().expect_no_faults().await;
}

/// The same commands, whether or not pages may ask. What a replica asks Redis by itself meanwhile is under half a
/// command.
#[tokio::test]
async fn the_door_is_not_there_without_its_setting_and_with_it_a_login_costs_redis_the_same() {
    const LOGINS: u64 = 50;
    // However slow the machine is, no other part of the limit's period begins meanwhile, which would cost something.
    let limited = |builder: Builder| builder.env("WXMINT_LIMIT_IP", "1000000/1h");
    let bed = limited(TestBed::builder()).start().await;
    for path in [
        "/device_authorization",
        "/token",
        "/device/WDJBMJHT/approve",
        "/device/WDJBMJHT/deny",
    ] {
        bed.form(path, &[("client_id", "shop-web")])
            .await
            .expect_problem(404, "invalid_request");
    }
    for path in [
        "/device",
        "/device/WDJBMJHT",
        "/device/WDJBMJHT/code.jpg",
        "/check.txt",
        "/device/check.txt",
    ] {
        bed.service()
            .get(path)
            .await
            .expect_problem(404, "invalid_request");
    }
    let metadata = bed
        .service()
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert!(
        metadata.get("token_endpoint").is_none() && metadata.get("grant_types_supported").is_none(),
        "{metadata}"
    );
    assert!(
        !bed.service()
            .get("/openapi.json")
            .await
            .body
            .contains("/device")
    );
    let metrics = bed.service().metrics().await;
    assert!(
        OF_THE_DOOR.iter().all(|name| !metrics.contains(name)),
        "{metrics}"
    );

    let mut costs = Vec::new();
    for bed in [bed, limited(builder()).start().await] {
        let mut before = BTreeMap::new();
        for login in 0..LOGINS + 5 {
            if login == 5 {
                before = bed.redis.calls();
            }
            bed.log_in("lin").await.expect_login();
        }
        let calls = bed.redis.calls_since(&before).into_iter();
        let of_a_login = calls
            .map(|(name, calls)| (name, (calls + LOGINS / 2) / LOGINS))
            .filter(|(_, calls)| *calls > 0);
        costs.push(of_a_login.collect::<BTreeMap<_, _>>());
    }
    assert!(
        costs[0].contains_key("evalsha") && costs[0] == costs[1],
        "{costs:?}"
    );
}
