//! The questions to WeChat about a session, and its acts meanwhile: checksession, resetusersessionkey, the phone
//! number, and the access token that all of them want.

use super::{
    NUMBER, PHONE, RESET, Replicas, SESSION, Session, data_of, expect_undecryptable,
    sealing::sealed_phone,
};
use crate::support::prelude::*;

const CHECK: &str = "/wxa/checksession";
const RESET_KEY: &str = "/wxa/resetusersessionkey";

impl Replicas {
    pub(super) async fn check(&self, replica: usize, session: &Session) -> Answer {
        self.ask(replica, "GET", SESSION, &session.token, &Value::Null)
            .await
    }

    async fn reset(&self, replica: usize, session: &Session) -> Answer {
        self.ask(replica, "POST", RESET, &session.token, &Value::Null)
            .await
    }

    async fn phone(&self, replica: usize, session: &Session, body: &Value) -> Answer {
        self.ask(replica, "POST", PHONE, &session.token, body).await
    }

    async fn fault_at(&self, path: &str, mut fault: Value) {
        fault["path"] = path.into();
        self.0.faults(json!([fault])).await;
    }
}

/// The phone logs in where another service listens: WeChat has a new key, and nobody here knows it.
pub(crate) async fn exchange_elsewhere(bed: &TestBed, person: &str) {
    let query = format!(
        "appid={APPID}&secret={APP_SECRET}&js_code={}&grant_type=authorization_code",
        bed.mint_code(person).await
    );
    let exchanged = bed
        .http
        .get(&format!("{}/sns/jscode2session?{query}", bed.wechat.url()))
        .await;
    assert!(exchanged.json()["session_key"].is_string(), "{exchanged:?}");
}

/// The session key that WeChat has now.
pub(crate) async fn session_key(bed: &TestBed, person: &str) -> String {
    bed.wechat.account(person).await["session_key"]
        .as_str()
        .expect("a key")
        .to_owned()
}

#[track_caller]
pub(super) fn validity(answer: &Answer) -> bool {
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, "no-store"),
        "{answer:?}"
    );
    let body = answer.json();
    let valid = body["valid"].as_bool().expect("a boolean");
    assert_eq!(body, json!({"valid": valid}));
    valid
}

#[tokio::test]
async fn after_a_reset_data_under_the_old_key_opens_for_ten_minutes_and_one_whose_answer_was_lost_is_mended_by_a_login()
 {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    for replica in [0, 1] {
        let old = session_key(&replicas.0, "lin").await;
        let answer = replicas.reset(replica, &lin).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (204, ""),
            "{answer:?}"
        );
        let new = session_key(&replicas.0, "lin").await;
        assert_ne!(old, new);
        assert!(validity(&replicas.check(1 - replica, &lin).await));
        for key in [&old, &new] {
            let answer = replicas
                .decrypt(1 - replica, &lin, &sealed_phone(key, NUMBER))
                .await;
            assert_eq!(data_of(&answer)["phoneNumber"], NUMBER);
        }
        replicas.age(&lin, Duration::from_mins(10));
        expect_undecryptable(
            replicas
                .decrypt(replica, &lin, &sealed_phone(&old, NUMBER))
                .await,
        );
        data_of(
            &replicas
                .decrypt(replica, &lin, &sealed_phone(&new, NUMBER))
                .await,
        );
    }

    let (kept, asked) = (
        session_key(&replicas.0, "lin").await,
        replicas.0.wechat.asked(RESET_KEY).await,
    );
    replicas
        .fault_at(
            RESET_KEY,
            json!({"kind": "reset", "after": true, "times": 1}),
        )
        .await;
    replicas
        .reset(0, &lin)
        .await
        .expect_problem(503, "wechat_unavailable");
    assert_eq!(
        replicas.0.wechat.asked(RESET_KEY).await,
        asked + 1,
        "not asked again"
    );
    assert!(!validity(&replicas.check(1, &lin).await));
    data_of(
        &replicas
            .decrypt(1, &lin, &sealed_phone(&kept, NUMBER))
            .await,
    );
    let again = replicas.log_in("lin").await;
    assert!(validity(&replicas.check(0, &again).await));
}

/// WeChat bills each number that it verifies, and has a packet that may be used up.
#[tokio::test]
async fn a_phone_number_is_the_persons_own_its_code_is_good_once_and_a_refusal_costs_nothing() {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    let billed =
        format!("wxmint_wechat_billed_calls_total{{api=\"getuserphonenumber\",app=\"{APPID}\"}}");
    let counted = async || {
        let [first, second] =
            [0, 1].map(|replica: usize| replicas.0.services[replica].metric(&billed));
        first.await + second.await
    };
    replicas.0.wechat.phone_of("lin", "13912345678").await;
    let code = replicas.0.wechat.mint_phone_code("lin").await;
    assert_eq!(counted().await, 0.0);
    let answer = replicas.phone(0, &lin, &json!({"code": code})).await;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, "no-store"),
        "{answer:?}"
    );
    let number = json!({"phoneNumber": "13912345678", "purePhoneNumber": "13912345678", "countryCode": "86"});
    assert_eq!(answer.json(), number);
    assert_eq!(counted().await, 1.0);

    let anothers = replicas.0.wechat.mint_phone_code("mei").await;
    let of_wx_login = replicas.0.mint_code("lin").await;
    for (code, expected) in [
        (&code, "code_used"),
        (&anothers, "code_invalid"),
        (&of_wx_login, "code_invalid"),
        (&lin.key, "code_invalid"),
    ] {
        let refused = replicas
            .phone(1, &lin, &json!({"code": code, "openid": "oAnother"}))
            .await;
        let refused = refused.expect_problem(400, expected);
        let (title, detail) = (refused.member("title"), refused.member("detail"));
        assert!(
            detail.contains("this `code`") || detail.contains("This `code`"),
            "{detail}"
        );
        assert!(
            detail.ends_with("press the button getPhoneNumber again, and send the new code."),
            "{detail}"
        );
        assert!(
            !detail.contains("phone_code") && !title.contains("login"),
            "{title}: {detail}"
        );
    }
    replicas
        .fault_at(
            "/wxa/business/getuserphonenumber",
            json!({"kind": "errcode", "errcode": 1400001}),
        )
        .await;
    let another = json!({"code": replicas.0.wechat.mint_phone_code("lin").await});
    let refused = replicas
        .phone(0, &lin, &another)
        .await
        .expect_problem(502, "phone_quota_exhausted");
    assert!(
        refused.member("detail").contains("another way"),
        "{refused:?}"
    );
    replicas.0.services[0]
        .says("the app has no paid phone numbers left")
        .await;
    // The app's owner has switched on API 安全. A code that were sent again would be refused, too.
    replicas
        .fault_at(
            "/wxa/business/getuserphonenumber",
            json!({"kind": "errcode", "errcode": 40234}),
        )
        .await;
    let refused = replicas
        .phone(0, &lin, &another)
        .await
        .expect_problem(502, "wechat_misconfigured");
    assert!(!refused.headers.contains_key("retry-after"), "{refused:?}");
    assert_eq!(counted().await, 1.0);
}

/// WeChat's answers to a call by access token, and what the page is told: one errcode for each meaning.
const ERRCODES: [(i64, u16, &str); 8] = [
    (45009, 502, "wechat_misconfigured"),
    (45011, 429, "rate_limited"),
    (50002, 403, "user_blocked"),
    (-1, 503, "wechat_unavailable"),
    (40234, 502, "wechat_misconfigured"),
    (61024, 502, "wechat_misconfigured"),
    (40029, 502, "wechat_misconfigured"),
    // WeChat has just given this token.
    (40001, 502, "wechat_misconfigured"),
];

#[tokio::test]
async fn each_errcode_of_a_call_by_access_token_becomes_a_problem_and_a_session_holds_until_wechat_has_another_key()
 {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    for (errcode, status, code) in ERRCODES {
        for path in [CHECK, RESET_KEY] {
            replicas
                .fault_at(path, json!({"kind": "errcode", "errcode": errcode}))
                .await;
            let answer = if path == CHECK {
                replicas.check(0, &lin).await
            } else {
                replicas.reset(0, &lin).await
            };
            let detail = answer.expect_problem(status, code).member("detail");
            assert!(
                !detail.contains("rid") && !detail.contains(&errcode.to_string()),
                "{detail}"
            );
            let of_a_login = ["wx.login", "log in", "logs in", "code"]
                .iter()
                .find(|word| detail.contains(**word));
            assert_eq!(of_a_login, None, "{detail}");
        }
    }
    replicas.0.faults(json!([])).await;
    assert!(validity(&replicas.check(0, &lin).await) && validity(&replicas.check(1, &lin).await));
    data_of(
        &replicas
            .decrypt(0, &lin, &sealed_phone(&lin.key, NUMBER))
            .await,
    );

    exchange_elsewhere(&replicas.0, "lin").await;
    let resets = replicas.0.wechat.asked(RESET_KEY).await;
    for replica in 0..2 {
        assert!(!validity(&replicas.check(replica, &lin).await), "87009");
        let detail = expect_undecryptable(replicas.reset(replica, &lin).await).member("detail");
        assert!(
            detail.contains("session key") && !detail.contains("data"),
            "a reset has no data: {detail}"
        );
    }
    assert_eq!(
        replicas.0.wechat.asked(RESET_KEY).await,
        resets + 2,
        "each was sent once"
    );
    assert_eq!(
        replicas.kept(&lin).len(),
        1,
        "nothing of it has cost the key"
    );
    let again = replicas.log_in("lin").await;
    assert!(validity(&replicas.check(0, &lin).await) && validity(&replicas.check(1, &again).await));

    replicas
        .0
        .redis
        .command::<i64>(&["DEL", &super::key_of(APPID, &lin, "session")]);
    let asked = async || {
        [
            replicas.0.wechat.asked(CHECK).await,
            replicas.0.wechat.asked(RESET_KEY).await,
        ]
    };
    let before = asked().await;
    assert!(
        !validity(&replicas.check(0, &lin).await),
        "where no key is kept, none holds"
    );
    expect_undecryptable(replicas.reset(0, &lin).await);
    assert_eq!(asked().await, before, "WeChat is not asked");
}
