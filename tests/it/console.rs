//! The console in a real browser: `tests/browser/console.mjs` has what people do there, and attackers.

use std::{env, time::Instant};

use futures_util::future::join;

use crate::support::prelude::*;
use crate::support::scan::{Scan, two_pages};

const SECRET: &str = "planted-secret-of-the-one-on-duty-5e0c1d";
const WATCHER: &str = "planted-secret-of-who-may-look-a77b20f9";
const PEER: &str = "planted-secret-of-a-service-0912ab34cd56";
const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
/// A user id may be any visible ASCII.
const HOSTILE: &str = "<img/src=x/onerror=alert(1)>\"'/../%2e%2e?a#b&{{7*7}}";

struct Duty {
    bed: TestBed,
    apps: TempDir,
}

impl Duty {
    async fn start() -> Self {
        let lines =
            format!("on-call {SECRET} read,operate\nwatcher {WATCHER} read\nshop {PEER} wechat\n");
        let apps = apps_folder(&[(APPID, APP_SECRET)]);
        let builder = TestBed::builder()
            .app(OTHER_APPID, &format!("{OTHER_SECRET}:website"))
            .apps_folder(apps.path());
        let bed = builder
            .users(&["lin"])
            .operators(&lines)
            .clients(&two_pages())
            .start()
            .await;
        bed.users().add("mallory", HOSTILE);
        bed.service().says("\"users\":2").await;
        Self { bed, apps }
    }

    async fn ask(&self, path: &str, secret: &str) -> Answer {
        self.bed
            .service()
            .operate("GET", path, secret, &Value::Null)
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_on_duty_finds_users_acts_and_sees_what_goes_on_and_no_page_of_another_origin_can()
 {
    let duty = Duty::start().await;
    let phone = duty
        .bed
        .log_in_with("lin", password_of("lin"))
        .await
        .expect_login();
    let [fetched, _open] = [
        Scan::begin(&duty.bed, "shop-web").await,
        Scan::begin(&duty.bed, "shop-web").await,
    ];
    assert_eq!(
        duty.bed.look(&phone, &fetched.user_code()).await.status,
        200
    );
    duty.bed.approves(&phone, "lin", &fetched).await;
    duty.bed.poll(&fetched).await.expect_login();
    duty.bed
        .log_in_with("chen", password_of("mallory"))
        .await
        .expect_login();
    let website = json!({"kind": "website", "secret": OTHER_SECRET}).to_string();
    write_private(&duty.apps.path().join(OTHER_APPID), &website);
    duty.bed.service().says("\"added\":").await;
    duty.bed
        .log_in_at(OTHER_APPID, "lin", json!({}))
        .await
        .expect_login();
    let openid = duty.bed.wechat.openid("chen").await;
    let unionid = duty.bed.wechat.account("chen").await["unionid"]
        .as_str()
        .expect("a text")
        .to_owned();
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(duty.bed.mint_code("chen").await);
    }
    let key_file = duty.bed.configuration.value("WXMINT_KEYS");
    keys(key_file.as_ref(), &["rotate", "--alg", "EdDSA"]);

    let folder = node_folder();
    for script in ["console.mjs", "means.mjs"] {
        fs::copy(
            repository("tests/browser").join(script),
            folder.path().join(script),
        )
        .expect("our own script");
    }
    let pictures = env::var_os("WXMINT_TEST_PICTURES")
        .map(|_| repository("target/screenshots"))
        .unwrap_or_default();
    let known = json!({"secret": SECRET, "watcher": WATCHER, "peer": PEER, "user": HOSTILE, "app": APPID, "openid": openid,
        "unionid": unionid, "other": "id-of-lin", "login": duty.bed.service().url("/login"), "codes": codes,
        "scan": duty.bed.service().url("/device_authorization")});
    let mut browser = Command::new("node");
    browser
        .arg(folder.path().join("console.mjs"))
        .arg(format!("http://{}", duty.bed.service().admin))
        .arg(pictures);
    let browser = browser.env("CONSOLE", known.to_string()).output();
    let browser = browser.unwrap_or_else(|error| panic!("node: {error}; run: make setup"));
    let said = [browser.stdout, browser.stderr]
        .map(|output| String::from_utf8_lossy(&output).into_owned())
        .concat();
    assert!(
        browser.status.success() && said.contains("all as expected"),
        "{said}"
    );
}

const FILES: &str = "/console /console/early.js /console/look.css /console/theme.js /console/console.css /console/console.js \
                     /console/user.js /console/watch.js /console/words.js /console/doors.js /console/scans.js";

#[tokio::test]
async fn the_console_is_there_where_secrets_are_and_tells_browsers_what_they_may_do() {
    let (duty, without) = (Duty::start().await, TestBed::start().await);
    let http = &duty.bed.http;
    for file in FILES.split(' ') {
        let url = format!("http://{}{file}", duty.bed.service().admin);
        let page = http.get(&url).await;
        let policies = page.headers.get_all("content-security-policy").iter();
        let policy = policies
            .map(|policy| policy.to_str().expect("visible ASCII"))
            .collect::<Vec<_>>()
            .join("; ");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ] {
            assert!(policy.contains(rule), "{file}: {policy}");
        }
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("access-control-allow-origin", ""),
            ("set-cookie", ""),
        ] {
            assert_eq!(
                (page.status, page.header(name)),
                (200, value),
                "{file}: {name}"
            );
        }
        let rebound = http
            .send(http.0.get(&url).header("host", "evil.example"))
            .await;
        rebound.expect_problem(421, "invalid_request");
        let preflight = http
            .0
            .request("OPTIONS".parse().expect("a method"), &url)
            .header("origin", "https://evil.example");
        assert_eq!(
            http.send(preflight)
                .await
                .header("access-control-allow-origin"),
            ""
        );
        without
            .service()
            .admin(file)
            .await
            .expect_problem(404, "invalid_request");
        duty.bed
            .service()
            .get(file)
            .await
            .expect_problem(404, "invalid_request");
    }
    for file in [
        "/docs/",
        "/docs/viewer.js",
        "/docs/swagger-ui-bundle.js",
        "/openapi.json",
    ] {
        let page = duty.bed.service().admin(file).await;
        let is_json = page.header("content-type") == "application/json";
        let policy = page.header("content-security-policy");
        assert!(
            page.status == 200 && (is_json || policy.contains("default-src 'none'")),
            "{file}: {page:?}"
        );
        without
            .service()
            .admin(file)
            .await
            .expect_problem(404, "invalid_request");
    }
    let holder = duty.ask("/whoami", SECRET).await.json();
    assert_eq!(
        holder,
        json!({"name": "on-call", "rights": ["read", "operate"]})
    );
}

#[tokio::test]
async fn the_console_has_words_in_both_languages_for_each_outcome_of_a_login() {
    let duty = Duty::start().await;
    let service = duty.bed.service();
    let public = service.get("/openapi.json").await.json();
    let answers = ["/login", "/device/{user_code}/approve"]
        .into_iter()
        .flat_map(|path| public["paths"][path].as_object().expect("a path").values())
        .flat_map(|operation| {
            operation["responses"]
                .as_object()
                .expect("answers")
                .values()
        });
    let of_answer = |it: &Value| {
        it["content"]["application/problem+json"]["examples"]
            .as_object()
            .cloned()
    };
    let outcomes: Vec<String> = answers
        .filter_map(of_answer)
        .flatten()
        .map(|(code, _)| code)
        .collect();
    assert!(outcomes.len() > 40, "{outcomes:?}");
    let within = |script: &Answer, from: &str, to: &str| {
        script
            .body
            .split(from)
            .skip(1)
            .filter_map(|rest| rest.split(to).next())
            .collect::<String>()
    };
    let words = within(
        &service.admin("/console/words.js").await,
        " outcomes: {",
        "}",
    );
    let words = words + &within(&service.admin("/console/scans.js").await, "learn(", ");");
    let missing = |code: &&String| words.matches(&format!(" {code}: \"")).count() != 2;
    assert_eq!(outcomes.iter().filter(missing).collect::<Vec<_>>(), [""; 0]);
}

/// WeChat gives access tokens slowly; logins need none.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_examines_once_for_all_who_ask_and_holds_up_neither_logins_nor_acts() {
    let duty = Duty::start().await;
    duty.bed
        .faults(json!([{"path": STABLE_TOKEN, "kind": "latency", "ms": 1500}]))
        .await;
    let finished = async |asking| (asking, Instant::now());
    let doctors =
        join_all((0..5).map(|_| async { finished(duty.ask("/doctor", WATCHER).await).await }));
    let others = async {
        duty.bed
            .log_in_with("lin", password_of("lin"))
            .await
            .expect_login();
        finished(duty.ask("/users/id-of-lin", WATCHER).await).await
    };
    let (doctors, (_, others)) = join(doctors, others).await;
    assert!(
        doctors.iter().all(|(_, at)| *at > others),
        "a login or an act has waited for the doctor"
    );
    let first = &doctors[0].0;
    assert!(
        doctors
            .iter()
            .all(|(answer, _)| answer.status == 200 && answer.body == first.body),
        "{doctors:?}"
    );
    assert_eq!(duty.bed.wechat.asked(STABLE_TOKEN).await, 1);
    assert_eq!(first.header("cache-control"), "no-store");

    let command = duty
        .bed
        .configuration
        .command_of(&["doctor", "--json"])
        .output()
        .expect("wxmint runs");
    let by_command: Value = serde_json::from_slice(&command.stdout).expect("JSON");
    let of = |report: &Value| -> Vec<_> {
        let checks = report["checks"].as_array().expect("checks").iter();
        checks
            .map(|check| (check["name"].clone(), check["status"].clone()))
            .collect()
    };
    assert_eq!(of(&first.json()), of(&by_command));
    assert_eq!(
        first.json()["checks_zh"][0],
        json!({"name": "settings", "status": "ok", "found": "齐全", "advice": ""})
    );
    duty.bed.service().expect_no_faults().await;
}
