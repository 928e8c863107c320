//! No secret is in a log, metric, span or answer, at any level and on any path, and in Redis only sealed. The end of
//! every bed and service is searched for that (tests/it/support/secrets.rs). Here everything goes wrong at the level
//! that says most, what is sent to Redis is searched too, and the search itself finds what is planted.

use std::{net::Ipv4Addr, panic};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::prelude::*;
use crate::support::scan::{Scan, two_pages};
use crate::support::secrets::{OF_WECHAT, OF_WXMINT, Place, Secrets};

const REDIS_PASSWORD: &str = "planted-redis-password-9f2c";
/// The password of the only user that the account service has.
const PASSWORD: &str = "wonderland";
const PEER: &str = "planted-secret-of-a-peer-5c0e7714";

/// Everything that people, pages and peers ask for, each a few times as what they ask fails.
struct Run {
    bed: TestBed,
    /// The token of the last login that succeeded.
    token: String,
    user: String,
}

impl Run {
    async fn log_in(&mut self) -> Answer {
        let answer = self
            .bed
            .log_in_with("lin", json!({"username": "alice", "password": PASSWORD}))
            .await;
        if answer.status == 200 {
            (self.token, self.user) = (answer.member("access_token"), answer.member("user_id"));
        }
        answer
    }

    async fn by_phone(&self) -> Answer {
        let phone_code = self.bed.wechat.mint_phone_code("mei").await;
        self.bed
            .log_in_with("mei", json!({"phone_code": phone_code}))
            .await
    }

    async fn of_session_key(&self) {
        let sealed = self
            .bed
            .wechat
            .hand_over(json!({"person": "lin", "kind": "phone"}))
            .await;
        let data = json!({"encryptedData": sealed["encryptedData"], "iv": sealed["iv"]});
        for (method, path, body) in [
            ("POST", "/wechat/userdata", data),
            (
                "POST",
                "/wechat/userdata",
                json!({"encryptedData": sealed["encryptedData"], "iv": "AAAA"}),
            ),
            ("GET", "/wechat/session", Value::Null),
            ("POST", "/wechat/session/reset", Value::Null),
        ] {
            self.bed
                .service()
                .ask(method, path, &self.token, &body)
                .await;
            self.bed.wechat.account("lin").await;
        }
    }

    async fn as_peer(&self) {
        let (user, service) = (
            format!("/users/{}/wechat/{APPID}", self.user),
            self.bed.service(),
        );
        let access_token = format!("/wechat/{APPID}/access-token");
        service
            .operate(
                "POST",
                &format!("{user}/signature"),
                PEER,
                &json!({"data": "an order"}),
            )
            .await;
        service
            .operate("GET", &format!("{user}/encrypt-keys"), PEER, &Value::Null)
            .await;
        service
            .operate("GET", &access_token, PEER, &Value::Null)
            .await;
        service
            .operate(
                "POST",
                &access_token,
                PEER,
                &json!({"invalid": "not the one that is in use"}),
            )
            .await;
    }

    async fn everything(&mut self) {
        self.log_in().await;
        self.by_phone().await;
        self.of_session_key().await;
        self.as_peer().await;
        self.by_scan().await;
    }

    /// A page that asks twice for its token, unless Redis is away.
    async fn by_scan(&self) {
        let scan = Scan::begin(&self.bed, "shop-web").await;
        if scan.asked.status == 503 {
            return drop(scan.asked.expect_problem(503, "store_unavailable"));
        }
        let (code, number) = (scan.user_code(), scan.number());
        self.bed
            .service()
            .get(&format!("/device/{code}/code.jpg"))
            .await;
        self.bed
            .service()
            .ask("GET", &format!("/device/{code}"), &self.token, &Value::Null)
            .await;
        self.bed
            .approve(None, "lin", &code, number.as_deref())
            .await;
        for _ in 0..2 {
            self.bed.poll(&scan).await;
        }
    }

    /// `tests/it/bad_input.rs` has every form.
    async fn requests_that_are_wrong(&self) {
        let (service, code) = (self.bed.service(), self.bed.mint_code("lin").await);
        for path in [
            format!("/login?code={code}&password={PEER}"),
            format!("/{code}?code={code}"),
        ] {
            assert!([400, 404].contains(&service.get(&path).await.status));
        }
        let torn = format!(
            "GET /login?code={code} HTTP/1.1\r\nAuthorization: Bearer {PEER}\r\nno colon\r\n\r\n"
        );
        let answer = Received::after(service.public, torn.as_bytes(), Pace::AtOnce, PATIENCE).await;
        self.bed.http.1.expect_none_in(Place::Answer, answer.text());
    }

    async fn until_served(&mut self) {
        until("logins succeed again", PATIENCE, async || {
            self.log_in().await.status == 200
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_level_that_says_most_no_secret_is_anywhere_whatever_goes_wrong() {
    let (collector, accounts) = (Collector::start(), AccountService::start());
    let folder = tempfile::tempdir().expect("a folder");
    let audit = format!("file:{}", folder.path().join("audit").display());
    let builder = TestBed::builder()
        .redis_password(REDIS_PASSWORD)
        .breakable_redis()
        .breakable_wechat();
    let builder = builder
        .clients(&two_pages())
        .operators(&format!("shop {PEER} wechat\n"))
        .env("WXMINT_ACCOUNTS", &accounts.url());
    let builder = collector
        .environment()
        .iter()
        .fold(builder, |builder, (name, value)| builder.env(name, value));
    let bed = builder
        .envs(&[("RUST_LOG", "trace"), ("WXMINT_AUDIT", &audit)])
        .start()
        .await;
    bed.http.1.note("password", &[], PASSWORD);
    bed.wechat.phone_of("mei", "13912345678").await;
    let mut run = Run {
        bed,
        token: String::new(),
        user: String::new(),
    };
    run.log_in().await.expect_login();
    run.by_phone().await.expect_login();
    run.everything().await;
    run.requests_that_are_wrong().await;
    run.bed.wechat.block("lin", true).await;
    run.log_in().await.expect_problem(403, "user_blocked");
    run.bed.wechat.block("lin", false).await;
    let kinds = ["reset", "html", "truncated"].map(|kind| json!({"kind": kind}));
    let errcodes =
        [-1, 40001, 40029, 87009].map(|code| json!({"kind": "errcode", "errcode": code}));
    for fault in kinds
        .into_iter()
        .chain(errcodes)
        .chain([json!({"kind": "status", "status": 302})])
    {
        run.bed.faults(json!([fault])).await;
        run.everything().await;
        run.bed.faults(json!([])).await;
        run.bed.wechat.revoke_access_tokens().await;
        run.until_served().await;
        run.everything().await;
    }
    run.bed.redis_link().cut().await;
    run.everything().await;
    run.bed.redis_link().restore().await;
    run.until_served().await;
    run.bed.redis.change_password("another-redis-password-77aa");
    run.log_in().await.expect_problem(503, "store_unavailable");
    run.bed.redis.change_password(REDIS_PASSWORD);
    run.until_served().await;
    run.bed
        .service()
        .ask("POST", "/logout", &run.token, &json!({"everywhere": true}))
        .await;
    run.until_served().await;
    run.bed.service().signal(Signal::TERM);
    assert!(run.bed.services[0].end(PATIENCE).await.success());
    let spans = collector.raw();
    assert!(spans.contains("POST /login") && run.bed.service().log().contains("DEBUG"));
    run.bed.http.1.expect_none_in(Place::Spans, spans);
    let names = run.bed.http.1.names();
    for name in OF_WECHAT
        .iter()
        .chain(&OF_WXMINT)
        .map(|(name, _)| *name)
        .filter(|name| *name != "bind_ticket")
    {
        assert!(
            names.contains(name),
            "no {name} was searched for: {names:?}"
        );
    }
}

/// MONITOR shows all commands of all clients. It escapes what is not printable, so keys' bytes are looked for in Redis
/// alone.
#[tokio::test]
async fn what_is_sent_to_redis_holds_session_keys_and_access_tokens_sealed_alone() {
    const LAST: &str = "the last command";
    let accounts = AccountService::start();
    let builder = TestBed::builder()
        .clients(&two_pages())
        .operators(&format!("shop {PEER} wechat\n"));
    let bed = builder
        .env("WXMINT_ACCOUNTS", &accounts.url())
        .start()
        .await;
    let mut monitor = TcpStream::connect((Ipv4Addr::LOCALHOST, bed.redis.port()))
        .await
        .expect("Redis");
    monitor.write_all(b"MONITOR\r\n").await.expect("sent");
    monitor.read_exact(&mut [0; 5]).await.expect("+OK");
    let mut run = Run {
        bed,
        token: String::new(),
        user: String::new(),
    };
    for _ in 0..2 {
        run.everything().await;
    }
    run.bed
        .service()
        .ask("POST", "/logout", &run.token, &json!({}))
        .await;
    run.bed.wechat.access_token().await;
    run.bed.redis.command::<String>(&["ECHO", LAST]);
    let mut sent = Vec::new();
    while !sent
        .windows(LAST.len())
        .any(|window| window == LAST.as_bytes())
    {
        assert!(
            monitor.read_buf(&mut sent).await.expect("Redis") > 0,
            "Redis closed the connection"
        );
    }
    let (sealed, names) = (String::from_utf8_lossy(&sent), run.bed.http.1.names());
    assert!(
        ["device_code", "encrypt_key"]
            .iter()
            .all(|name| names.contains(name)),
        "{names:?}"
    );
    assert!(
        ["}:session", "}:access-token"]
            .iter()
            .all(|name| sealed.contains(name)),
        "{sealed}"
    );
    run.bed.http.1.expect_none_in(Place::Redis, &sent);
}

#[tokio::test]
async fn the_end_of_a_bed_or_a_service_fails_a_test_that_leaves_a_secret_anywhere() {
    const PLANTED: &str = "planted-secret-31ab";
    for (place, secret) in [
        (Place::Log, "this key signs"),
        (Place::Metrics, "wxmint_build_info"),
        (Place::Redis, PLANTED),
        (Place::Answer, PLANTED),
    ] {
        let bed = TestBed::start().await;
        bed.redis.command::<()>(&["SET", "key", PLANTED]);
        bed.service().get(&format!("/docs?{PLANTED}")).await;
        bed.http.1.note_answer("/of-wxmint", "", PLANTED);
        bed.http.1.note(
            "secret",
            if place == Place::Redis {
                &[Place::Answer]
            } else {
                &[Place::Redis]
            },
            secret,
        );
        let ended = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(bed)));
        let why = *ended
            .expect_err("a failed test")
            .downcast::<String>()
            .expect("a text");
        assert!(why.contains(&format!("secret itself: {place:?}")), "{why}");
    }
}

#[test]
fn the_search_finds_a_secret_in_every_form() {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let (text, secrets) = ("Planted/+\"secret\"=", Secrets::default());
    secrets.note("secret", &[], text);
    for planted in [
        text.to_owned(),
        "https://api.weixin.qq.com/?secret=Planted%2F%2B%22secret%22%3D&x=1".to_owned(),
        "https://api.weixin.qq.com/?secret=Planted%2f%2b%22secret%22%3d&x=1".to_owned(),
        json!({"error": {"url": text}}).to_string(),
        json!({"session_key": text}).to_string().replace('/', "\\/"),
        format!("{:?}", text.as_bytes()),
        const_hex::encode(text),
        STANDARD.encode(text),
        STANDARD.encode(format!("a:{text}:b")),
        URL_SAFE_NO_PAD.encode(format!("{{{text}}}")),
        STANDARD.encode(format!("{{\"{text}\"}}")),
    ] {
        assert!(
            !secrets
                .found_in(Place::Log, format!("before {planted} after"))
                .is_empty(),
            "{planted}"
        );
    }
    assert!(
        secrets
            .found_in(Place::Log, "before Planted/+ secret after")
            .is_empty()
    );
    // The secrets in answers of WeChat and wxmint are known by their names.
    let http = Http::new();
    http.1.note_answer(
        "/_simulator/people",
        "",
        r#"{"apps":{"wx1":{"session_key":"HyVFkGl5F5OQWJZZaNzBBg=="}}}"#,
    );
    http.1.note_answer(
        "/login",
        "",
        r#"{"access_token":"eyJh.claims-of-it.signature-of-it"}"#,
    );
    for leaked in [
        "HyVFkGl5F5OQWJZZaNzBBg==",
        "claims-of-it",
        "signature-of-it",
    ] {
        assert!(!http.1.found_in(Place::Log, leaked).is_empty(), "{leaked}");
    }
}
