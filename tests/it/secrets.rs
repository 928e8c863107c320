//! What is secret is in no log, metric, span or answer, at any level and on any path, and in Redis only
//! sealed.
//!
//! One run takes every path with secrets that are known here, keeps all traces, and one scan searches them. Other tests
//! plant secrets where they must not be and expect the same scan to find them.

mod peers;
mod redis;
mod scan;
mod session_keys;

use std::{collections::BTreeSet, fs};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::scan::{Place, Secret, Traces, leaks};
use crate::support::{
    APP_SECRET, APPID, AccountService, Answer, Collector, PASSWORD, PATIENCE, Pace, Received, Signal, TestBed,
    UsersFile, WRONG_PASSWORD, eventually, until,
};

const REDIS_PASSWORD: &str = "planted-redis-password-9f2c";
const OTHER_REDIS_PASSWORD: &str = "planted-redis-password-77aa";
const USER_PASSWORD: &str = "planted-user-password-3e8d";
/// Fits a code, and none that WeChat has given.
const MADE_UP_CODE: &str = "planted+made/up=code&17b4";
const JSON: &str = "application/json";
const ERRCODES: [i64; 12] = [-1, 40002, 40013, 40029, 40125, 40163, 40164, 40226, 41002, 45009, 45011, 61024];

/// A run in which every code, session key and token is noted, and every answer kept.
struct Run {
    bed: TestBed,
    collector: Collector,
    secrets: Vec<Secret>,
    traces: Traces,
    _folder: TempDir,
}

impl Run {
    /// With audit events in the log.
    async fn start() -> Self {
        Self::with(&[("WXMINT_AUDIT", "log")]).await
    }

    /// With audit events in a file, unless `environment` says otherwise.
    async fn with(environment: &[(&str, &str)]) -> Self {
        let (collector, folder) = (Collector::start(), tempfile::tempdir().expect("a folder"));
        let audit = format!("file:{}", folder.path().join("audit").display());
        let environment = &[&[("WXMINT_AUDIT", audit.as_str())], environment].concat();
        let bed = TestBed::builder().redis_password(REDIS_PASSWORD).env("RUST_LOG", "trace").envs(environment);
        let bed = collector.environment().iter().fold(bed, |bed, (name, value)| bed.env(name, value));
        let bed = bed.breakable_redis().breakable_wechat().start().await;
        let (secrets, traces) = (configured(&bed), Traces::default());
        let mut run = Self { secrets, bed, collector, traces, _folder: folder };
        run.secrets.push(Secret::new("user's password", USER_PASSWORD));
        run.secrets.push(Secret::new("made-up code", MADE_UP_CODE));
        run
    }

    fn note(&mut self, secret: Secret) {
        if !self.secrets.iter().any(|known| known.is_the_same_as(&secret)) {
            self.secrets.push(secret);
        }
    }

    /// A code that counts as a secret from here on.
    async fn code(&mut self) -> String {
        let code = self.bed.mint_code("lin").await;
        self.note(Secret::new("code", &code));
        code
    }

    /// Keeps an answer. A token may be in the answer that gives it, and nowhere else.
    async fn keep(&mut self, mut answer: Answer) -> Answer {
        let given = answer.clone();
        if answer.body.starts_with("{\"access_token\":") {
            let token = answer.member("access_token");
            answer.body = answer.body.replacen(&token, "", 1);
            let (_, claims_and_signature) = token.split_once('.').expect("three parts");
            let (claims, signature) = claims_and_signature.split_once('.').expect("three parts");
            self.note(Secret::new("token's claims", claims));
            self.note(Secret::new("token's signature", signature));
        }
        self.traces.answer(&answer);
        self.note_people().await;
        given
    }

    /// Each exchange makes a new session_key.
    async fn note_people(&mut self) {
        let people = self.bed.http.get(&format!("{}/_simulator/people", self.bed.wechat.url())).await.json();
        for app in people["people"].as_array().expect("people").iter().map(|person| &person["apps"][APPID]) {
            let member = |name: &str| app[name].as_str();
            member("openid").into_iter().for_each(|id| self.note(Secret::openid("openid", id)));
            member("unionid").into_iter().for_each(|id| self.note(Secret::openid("unionid", id)));
            if let Some(key) = member("session_key") {
                self.note(Secret::new("session_key", key));
                self.note(Secret::new("session_key's bytes", STANDARD.decode(key).expect("base64")));
            }
        }
    }

    async fn log_in(&mut self) -> Answer {
        let code = self.code().await;
        let answer = self.bed.login(&code).await;
        self.keep(answer).await
    }

    async fn post(&mut self, content_type: &str, body: String) -> Answer {
        let request = self.bed.http.0.post(self.bed.service().url("/login")).header("content-type", content_type);
        let answer = self.bed.http.send(request.body(body)).await;
        self.keep(answer).await
    }

    async fn get(&mut self, path: &str) -> Answer {
        let answer = self.bed.service().get(path).await;
        self.keep(answer).await
    }

    async fn logins_that_succeed(&mut self) {
        self.log_in().await.expect_login();
        let form = format!("code={}", self.code().await);
        self.post("application/x-www-form-urlencoded", form).await.expect_login();
        let query = format!("/login?code={}", self.code().await);
        self.get(&query).await.expect_login();
        self.bed.wechat.block("lin", true).await;
        self.log_in().await.expect_problem(403, "user_blocked");
        self.bed.wechat.block("lin", false).await;
    }

    async fn requests_that_are_wrong(&mut self) {
        let code = self.code().await;
        let once = json!({"code": code}).to_string();
        self.post(JSON, once.clone()).await.expect_login();
        self.post(JSON, once).await.expect_problem(400, "code_used");
        self.post(JSON, json!({"code": MADE_UP_CODE}).to_string()).await.expect_problem(400, "code_invalid");
        let wrong_app = json!({"code": self.code().await, "appid": USER_PASSWORD}).to_string();
        self.post(JSON, wrong_app).await.expect_problem(400, "unknown_app");
        let code = self.code().await;
        for body in [
            format!("{{\"code\":\"{code}\""),
            format!("{{\"code\":[\"{code}\"]}}"),
            format!("[\"{code}\"]"),
            format!("{{\"code\":\"{code}\",\"code\":\"{code}\"}}"),
            format!("{{\"code\":\"{code}\\u0000\"}}"),
            json!({"code": code, "username": "lin", "password": USER_PASSWORD}).to_string(),
        ] {
            self.post(JSON, body.clone()).await.expect_problem(400, "invalid_request");
            self.post("text/plain", body).await.expect_problem(415, "invalid_request");
        }
        for path in [
            format!("/login?code={code}&username=lin&password={USER_PASSWORD}"),
            format!("/login?password={USER_PASSWORD}"),
        ] {
            self.get(&path).await.expect_problem(400, "credentials_in_query");
        }
        self.get(&format!("/{code}?code={code}")).await.expect_problem(404, "invalid_request");
        let torn =
            format!("GET /login?code={code} HTTP/1.1\r\nAuthorization: Bearer {USER_PASSWORD}\r\nno colon\r\n\r\n");
        let answer = Received::after(self.bed.service().public, torn.as_bytes(), Pace::AtOnce, PATIENCE).await;
        self.traces.add(Place::Answer, answer.text());
    }

    /// Each fault of WeChat that ends at once, with a login that succeeds after each, which keeps the breaker closed.
    async fn faults_of_wechat(&mut self) {
        let mut faults: Vec<Value> =
            ["reset", "html", "truncated", "empty", "huge", "garbage"].map(|kind| json!({"kind": kind})).into();
        faults.push(json!({"kind": "reset", "after": true}));
        faults.push(json!({"kind": "status", "status": 502}));
        faults.push(json!({"kind": "status", "status": 302}));
        faults.extend(ERRCODES.map(|errcode| json!({"kind": "errcode", "errcode": errcode})));
        for fault in faults {
            self.bed.faults(json!([fault])).await;
            assert!(self.log_in().await.status >= 400, "{fault}");
            self.bed.faults(json!([])).await;
            self.log_in().await.expect_login();
        }
        self.bed.faults(json!([{"kind": "stall", "times": 1}, {"kind": "drip", "times": 1}])).await;
        let codes = [self.code().await, self.code().await];
        for answer in join_all(codes.iter().map(|code| self.bed.login(code))).await {
            self.keep(answer).await.expect_problem(503, "wechat_unavailable");
        }
        self.bed.wechat_link().cut().await;
        self.log_in().await.expect_problem(503, "wechat_unavailable");
        self.bed.wechat_link().restore().await;
        self.log_in().await.expect_login();
    }

    async fn faults_of_redis(&mut self) {
        self.bed.redis_link().cut().await;
        self.log_in().await.expect_problem(503, "store_unavailable");
        self.bed.redis_link().restore().await;
        self.until_served().await;
        self.bed.redis_link().stall().await;
        self.log_in().await.expect_problem(503, "store_unavailable");
        self.bed.redis_link().restore().await;
        self.until_served().await;
        self.bed.redis.change_password(OTHER_REDIS_PASSWORD);
        self.log_in().await.expect_problem(503, "store_unavailable");
        self.bed.redis.change_password(REDIS_PASSWORD);
        self.until_served().await;
    }

    async fn until_served(&mut self) {
        let served = async || (self.log_in().await.status == 200).then_some(());
        eventually("logins succeed again", PATIENCE, served).await;
    }

    async fn the_rest(&mut self) {
        for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/openapi.json", "/docs/"] {
            self.get(path).await;
        }
        for path in ["/livez", "/readyz", "/nothing"] {
            let answer = self.bed.service().admin(path).await;
            self.keep(answer).await;
        }
    }

    /// Searches all that there is.
    async fn expect_no_leaks(mut self) {
        self.collector.spans_with("POST /login").await;
        self.traces.bed(&self.bed).await;
        self.traces.add(Place::Spans, self.collector.raw());
        let is_audited = self.traces.0.iter().any(|(_, bytes)| bytes.0.contains(r#""event_code":"login""#));
        assert!(is_audited, "no audit events");
        assert_eq!(leaks(&self.secrets, &self.traces), BTreeSet::new());
    }

    /// Told to stop with a login in flight.
    async fn stop(&mut self) {
        self.traces.metrics(self.bed.service()).await;
        self.traces.redis(&self.bed.redis);
        self.bed.faults(json!([{"kind": "latency", "ms": 300}])).await;
        let (code, before) = (self.code().await, self.bed.wechat.exchanges().await);
        let told = async {
            until("the login waits for WeChat", PATIENCE, async || self.bed.wechat.exchanges().await > before).await;
            self.bed.service().signal(Signal::TERM);
        };
        let (answer, ()) = tokio::join!(self.bed.login(&code), told);
        self.keep(answer).await.expect_login();
        let status = self.bed.services[0].end(PATIENCE).await;
        assert!(status.success(), "{status}");
        self.traces.log(self.bed.service());
        self.traces.redis(&self.bed.redis);
        self.traces.add(Place::Spans, self.collector.raw());
    }
}

/// What the service is configured with.
fn configured(bed: &TestBed) -> Vec<Secret> {
    let read = |name: &str| fs::read_to_string(bed.configuration.value(name)).expect("a file of the configuration");
    let vault = read("WXMINT_VAULT_KEY_FILE");
    let keys: Value = serde_json::from_str(&read("WXMINT_KEYS")).expect("JSON");
    let private = keys["keys"][0]["d"].as_str().expect("a private key");
    vec![
        Secret::new("AppSecret", APP_SECRET),
        Secret::new("Redis password", REDIS_PASSWORD),
        Secret::new("other Redis password", OTHER_REDIS_PASSWORD),
        Secret::new("vault key", vault.trim()),
        Secret::new("vault key's bytes", STANDARD.decode(vault.trim()).expect("base64")),
        Secret::new("signing key", private),
        Secret::new("signing key's bytes", URL_SAFE_NO_PAD.decode(private).expect("base64url")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_metric_or_answer_and_in_redis_only_sealed() {
    let mut run = Run::start().await;
    run.logins_that_succeed().await;
    run.requests_that_are_wrong().await;
    run.faults_of_wechat().await;
    run.faults_of_redis().await;
    run.the_rest().await;
    run.stop().await;
    for name in ["code", "session_key", "openid", "unionid", "token's claims", "token's signature"] {
        assert!(run.secrets.iter().any(|secret| secret.name == name), "no {name} was searched for");
    }
    for place in [Place::Log, Place::Metrics, Place::Spans, Place::Answer, Place::Redis] {
        assert!(run.traces.0.iter().any(|(found, bytes)| *found == place && !bytes.0.is_empty()), "{place:?} is empty");
    }
    assert_eq!(leaks(&run.secrets, &run.traces), BTreeSet::new());
}

#[tokio::test]
async fn a_login_by_phone_shows_neither_its_codes_nor_the_number_nor_the_access_token() {
    let accounts = AccountService::start();
    let mut run = Run::with(&[("WXMINT_ACCOUNTS", &accounts.url())]).await;
    run.bed.wechat.phone_of("lin", "13912345678").await;
    run.note(Secret::new("phone number", "13912345678"));
    let kinds = [json!({"kind": "errcode", "errcode": 40001}), json!({"kind": "truncated"}), json!({"kind": "reset"})];
    let faults = kinds.into_iter().map(|mut fault| {
        fault["path"] = json!("/wxa/business/getuserphonenumber");
        json!([fault])
    });
    for (status, faults) in [(200, json!([]))].into_iter().chain(faults.map(|faults| (503, faults))) {
        run.bed.faults(faults).await;
        let (code, phone_code) = (run.code().await, run.bed.wechat.mint_phone_code("lin").await);
        run.note(Secret::new("phone code", &phone_code));
        let answer = run.bed.service().log_in_with(&json!({"code": code, "phone_code": phone_code})).await;
        assert_eq!(run.keep(answer).await.status, status);
    }
    assert_eq!(run.bed.redis.command::<i64>(&["EXISTS", &format!("wxmint:{{{APPID}}}:access-token")]), 1);
    run.note(Secret::new("access token", run.bed.wechat.access_token().await));
    run.expect_no_leaks().await;
}

#[tokio::test]
async fn binding_by_password_shows_neither_name_nor_password_nor_ticket() {
    let name = "planted-user-name-40d9";
    let users = UsersFile::of(&[]);
    users.add(name, "user-1");
    let mut run = Run::with(&[("WXMINT_ACCOUNTS", &users.setting())]).await;
    for (what, secret) in [("user name", name), ("password", PASSWORD), ("wrong password", WRONG_PASSWORD)] {
        run.note(Secret::new(what, secret));
    }
    let mut token = String::new();
    for (password, status) in [(WRONG_PASSWORD, 403), (PASSWORD, 200)] {
        let ticket = run.bed.log_in("lin").await.expect_problem(403, "binding_required").member("bind_ticket");
        run.note(Secret::new("ticket", &ticket));
        let attempt = json!({"bind_ticket": ticket, "username": name, "password": password});
        let answer = run.bed.service().log_in_with(&attempt).await;
        let answer = run.keep(answer).await;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 200 {
            token = answer.member("access_token");
        }
    }
    for status in [204, 401] {
        let answer = run.bed.service().unbind(&token).await;
        assert_eq!(run.keep(answer).await.status, status);
    }
    run.expect_no_leaks().await;
}
