//! Mini programs as people publish them, on a stand-in of WeChat's runtime: `tests/miniprogram` has the runtime, the
//! pages of others, and the stories of what is done with them; `examples/mini-program` has the recommended pages and
//! the sample, which a browser shows. The phone's clock is moved on by days; ours is not.

pub(crate) mod client;
mod sample;

use crate::scan_examples::{copy, printed};
use crate::support::prelude::*;

const ALICE: &str = "id-of-alice";
/// A website that users of the mini program log in to by scanning.
const WEBSITE: &str = "shop-web";
const WEBSITE_NAME: &str = "晨光商城 网页版";
const DANGEROUS: &str = "WXMINT_DANGEROUS_PASSWORD_IN_QUERY";

/// A service that is set for pages of older back ends, and whose users file has alice.
struct Business {
    bed: TestBed,
}

impl Business {
    async fn start(variables: &[(&str, &str)]) -> Self {
        Self {
            bed: Self::builder().envs(variables).start().await,
        }
    }

    fn builder() -> Builder {
        let for_older_pages = [
            ("WXMINT_LOGIN_PATHS", "/user/login"),
            ("WXMINT_TOKEN_ALIASES", "sessionId,token"),
        ];
        TestBed::builder().users(&["alice"]).envs(&for_older_pages)
    }

    /// The same, where lin has been bound to alice before.
    async fn start_bound() -> Self {
        let business = Self::start(&[]).await;
        business.bind("lin").await.expect_login();
        business
    }

    async fn bind(&self, person: &str) -> Answer {
        self.bed.log_in_with(person, password_of("alice")).await
    }

    /// Plays a story with lin's phone, and returns what was seen.
    fn play(&self, story: &str) -> Value {
        let asked = json!({
            "story": story, "person": "lin", "appid": APPID, "issuer": ISSUER,
            "password": PASSWORD, "wrong_password": WRONG_PASSWORD, "service": self.bed.service().url(""), "simulator": self.bed.wechat.url(),
        });
        serde_json::from_str(&node(&["run.mjs", &asked.to_string()])).expect("JSON")
    }
}

/// Runs a script of `tests/miniprogram` to its end, and returns what it prints.
pub(crate) fn node(arguments: &[&str]) -> String {
    let folder = node_folder();
    copy(&repository("tests/miniprogram"), folder.path());
    copy(
        &repository("examples/mini-program"),
        &folder.path().join("recommended"),
    );
    printed(Command::new("node").args(arguments).current_dir(&folder))
}

fn website() -> Value {
    json!([{"client_id": WEBSITE, "name": WEBSITE_NAME, "appid": APPID}])
}

fn each(told: &Value, pointer: &str) -> Vec<Value> {
    let visits = told["visits"].as_array().expect("visits");
    visits
        .iter()
        .map(|visit| visit.pointer(pointer).cloned().unwrap_or_default())
        .collect()
}

/// The users for whom the peer took the tokens of a visit; all were valid.
fn users(visit: &Value) -> Vec<&str> {
    let answers = visit["peer"].as_array().expect("answers").iter();
    let taken = answers.inspect(|answer| assert_eq!(answer["status"], 200, "{visit}"));
    taken
        .map(|answer| answer["user"].as_str().expect("a user"))
        .collect()
}

/// The logins among the requests of the phone.
fn logins(told: &Value) -> Vec<&Value> {
    let requests = told["network"].as_array().expect("requests").iter();
    requests
        .filter(|request| {
            request["url"]
                .as_str()
                .is_some_and(|url| url.contains("/login"))
        })
        .collect()
}

#[test]
fn the_stand_in_has_the_defaults_and_quirks_of_wechats_runtime() {
    let printed = node(&["--test", "--test-reporter=tap", "runtime.test.mjs"]);
    assert!(
        printed.contains("\nok 1 - ") && printed.contains("# skipped 0"),
        "{printed}"
    );
}

/// The wrong password first, then the right one on three days.
fn expect_password_page(told: &Value) {
    const IN: &str = "登录成功";
    assert_eq!(
        each(told, "/data/tip"),
        ["登录失败，请检查账号和密码", IN, IN, IN],
        "{told}"
    );
    assert_eq!(each(told, "/logins"), [1, 1, 1, 1]);
    let visits = told["visits"].as_array().expect("visits");
    assert_eq!(
        visits.iter().map(users).collect::<Vec<_>>(),
        [&[][..], &[ALICE], &[ALICE], &[ALICE]],
        "{told}"
    );
    assert_eq!(
        each(told, "/data/user"),
        [Value::Null, ALICE.into(), ALICE.into(), ALICE.into()]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_sends_its_password_by_get_works_with_the_dangerous_switch() {
    let business = Business::start(&[(DANGEROUS, "true")]).await;
    let told = business.play("passwordPage");
    expect_password_page(&told);
    assert!(
        logins(&told).iter().all(|login| login["method"] == "GET"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_switch_the_refusal_names_the_line_that_mends_the_page() {
    let business = Business::start(&[]).await;
    let told = business.play("passwordPageMended");
    let refused = &logins(&told)[0]["answer"];
    assert_eq!(
        (&refused["statusCode"], &refused["data"]["code"]),
        (&400.into(), &"credentials_in_query".into())
    );
    assert!(
        told["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("method: 'POST'")),
        "{told}"
    );
    assert_eq!(told["refused"]["logins"], 0, "WeChat is not asked");

    expect_password_page(&told);
    assert!(
        logins(&told)[1..]
            .iter()
            .all(|login| login["method"] == "POST"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_logs_in_for_each_of_its_requests_has_one_user() {
    let business = Business::start_bound().await;
    let told = business.play("userLoginPage");
    assert_eq!(
        each(&told, "/logins"),
        [6, 6, 6],
        "one at launch, and one for each of five requests: {told}"
    );
    for visit in told["visits"].as_array().expect("visits") {
        assert_eq!(users(visit), [ALICE; 5], "{told}");
    }
    let url = logins(&told)[0]["url"].as_str().expect("a URL");
    assert!(
        url.starts_with("https://login.example.com/user/login?code="),
        "{url}"
    );
}

fn fields(login: &Value) -> Vec<&String> {
    login["data"].as_object().expect("fields").keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recommended_page_asks_for_the_password_once_and_logs_in_once_a_day() {
    let business = Business::start(&[]).await;
    let told = business.play("ordersPage");
    let seen = each(&told, "/data/problem");
    assert_eq!(
        seen[..3],
        ["binding_required", "invalid_credentials", ""],
        "{told}"
    );
    assert!(seen[3..].iter().all(|problem| problem == ""), "{told}");
    assert_eq!(each(&told, "/data/asksWho")[..3], [true, true, false]);

    // The ticket is spent by the first attempt, and the second brings a code of its own. From then on a token is used
    // for nine tenths of its day, over restarts.
    assert_eq!(each(&told, "/logins"), [1, 0, 1, 0, 0, 1, 0, 1], "{told}");
    let sent: Vec<_> = logins(&told).into_iter().map(fields).collect();
    let expected = [
        &["code"][..],
        &["bind_ticket", "password", "username"],
        &["code", "password", "username"],
    ];
    assert_eq!(sent[..3], expected, "{told}");
    assert!(sent[3..].iter().all(|fields| *fields == ["code"]), "{told}");
    for visit in &told["visits"].as_array().expect("visits")[2..] {
        assert_eq!(users(visit), [ALICE], "{told}");
        assert_eq!(
            visit["data"]["orders"],
            json!([format!("an order of {ALICE}")])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recommended_page_knows_a_person_by_phone_number() {
    let accounts = AccountService::start();
    let business = Business::start(&[("WXMINT_ACCOUNTS", &accounts.url())]).await;
    let told = business.play("ordersPageByPhone");
    assert_eq!(
        each(&told, "/data/problem"),
        ["binding_required", "", ""],
        "{told}"
    );
    let sent: Vec<_> = logins(&told).into_iter().map(fields).collect();
    assert_eq!(
        sent,
        [&["code"][..], &["bind_ticket", "phone_code"], &["code"]],
        "{told}"
    );
    let visits = told["visits"].as_array().expect("visits");
    assert_eq!(
        visits.iter().map(users).collect::<Vec<_>>(),
        [&[][..], &["user-1002"], &["user-1002"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recommended_page_shares_one_login_and_answers_401_once() {
    let business = Business::start_bound().await;
    let told = business.play("sharedLogin");
    assert_eq!(
        each(&told, "/data"),
        [200, 200, 200, 401].map(|status| json!(vec![status; 5])),
        "{told}"
    );
    assert_eq!(each(&told, "/logins"), [1, 0, 1, 1], "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recommended_page_logs_in_before_wechat_seals_and_again_where_the_seal_does_not_open() {
    let business = Business::start_bound().await;
    let told = business.play("stepsPage");
    assert_eq!(
        each(&told, "/data/problem"),
        ["", "", "", "decryption_failed"],
        "{told}"
    );
    assert_eq!(
        each(&told, "/data/days")
            .iter()
            .map(|days| days.as_array().map_or(0, Vec::len))
            .max(),
        Some(3),
        "{told}"
    );
    assert_eq!(each(&told, "/logins"), [1, 0, 1, 1], "{told}");
    let requests = told["network"].as_array().expect("requests").iter();
    let asked: Vec<_> = requests
        .map(|request| request["url"].as_str().expect("a URL").rsplit('/').next())
        .collect();
    assert_eq!(
        asked[..3],
        [Some("login"), Some("session"), Some("userdata")],
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_recommended_file_throws_is_an_error_with_a_code_and_it_keeps_out_of_others_storage()
 {
    let business = Business::start_bound().await;
    let fault =
        json!([{"kind": "errcode", "errcode": 40029, "times": 2, "path": "/sns/jscode2session"}]);
    business.bed.faults(fault).await;
    let told = business.play("failures");
    let [refused, answered, unreachable] = &told["visits"].as_array().expect("visits")[..] else {
        panic!("{told}")
    };
    for (thrown, code) in [(refused, "code_invalid"), (unreachable, "network")] {
        assert_eq!(
            (&thrown["isError"], &thrown["code"]),
            (&json!(true), &json!(code)),
            "{told}"
        );
        assert!(
            thrown["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{told}"
        );
    }
    assert!(
        refused["request_id"].is_string(),
        "the log's line is found by it: {told}"
    );
    assert_eq!(answered, 200, "{told}");
    assert_eq!(told["stored"]["token"]["text"], "of another page", "{told}");
    assert!(
        told["stored"]["ours"]["text"]
            .as_str()
            .is_some_and(|token| token.starts_with("ey")),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recommended_page_calls_wx_login_again_once_where_that_helps() {
    let business = Business::start_bound().await;
    for (errcode, times, logins, problem) in [
        (40029, 1, 2, ""),
        (40029, 2, 2, "code_invalid"),
        (-1, 2, 3, ""),
    ] {
        let fault = json!([{"kind": "errcode", "errcode": errcode, "times": times, "path": "/sns/jscode2session"}]);
        business.bed.faults(fault).await;
        let told = business.play("ordersPageOnce");
        let visit = &told["visits"][0];
        assert_eq!(
            (&visit["data"]["problem"], &visit["logins"]),
            (&problem.into(), &logins.into()),
            "{told}"
        );
    }
}
