//! Acts of operators on users, on the admin listener and by command.

mod commands;
mod duty;
mod forgetting;
mod people;
mod unknown;

use crate::support::prelude::*;
use base64::{Engine, engine::general_purpose};
use wxmint_verify::revocations::RevocationHash;

const NAME: &str = "on-call";

/// A service that operators can ask.
async fn office(builder: Builder) -> TestBed {
    let lines = format!("# operators\n\n{NAME} {OPERATOR} read,operate,wechat\n");
    builder.breakable_redis().operators(&lines).start().await
}

impl TestBed {
    async fn done(&self, method: &str, path: &str) {
        let answer = self.operate(method, path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (204, ""),
            "{method} {path}: {answer:?}"
        );
    }

    async fn show(&self, user: &str) -> Value {
        let answer = self.operate("GET", &format!("/users/{user}")).await;
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, "no-store"),
            "{answer:?}"
        );
        answer.json()
    }

    async fn log_in_for_good(&self, person: &str) -> Answer {
        self.for_good(async || self.log_in(person).await).await
    }

    /// The output of `wxmint users`, which must succeed.
    #[track_caller]
    fn must(&self, words: &[&str]) -> String {
        self.run(&[&["users"], words].concat())
            .expect_success()
            .stdout
    }

    /// The audit events of requests in the log, without what differs each time.
    fn audited(&self) -> Vec<Value> {
        let told = |event: Value| {
            assert!(
                event["request_id"]
                    .as_str()
                    .is_some_and(|id| !id.is_empty()),
                "{event}"
            );
            json!([
                event["action"],
                event["by"],
                event["user"],
                event["outcome"]
            ])
        };
        audit::requests(self.service())
            .into_iter()
            .map(told)
            .collect()
    }

    /// Waits until the log has these audit events and no others, but for those of looking.
    async fn expect_audited(&self, expected: &[(&str, &str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(act, user, outcome)| json!([act, NAME, user, outcome]))
            .collect();
        until("the audit events", BUSY, async || {
            let mut found = self.audited();
            found.retain(|act| act[0] != "show" || act[3] != "ok");
            found == expected
        })
        .await;
    }
}

#[tokio::test]
async fn an_operator_sees_what_is_stored_of_a_user_and_dissolves_a_binding_as_its_owner_can() {
    let office = office(TestBed::builder()).await;
    let login = office.log_in("lin").await.expect_login();
    let (user, iat) = (
        login.member("user_id"),
        login.claims()["iat"].as_i64().expect("seconds"),
    );
    let account = office.wechat.account("lin").await;
    let mut shown = office.show(&user).await;
    let bound_at = shown["wechat"][0]["bound_at"]
        .take()
        .as_i64()
        .expect("seconds");
    let last_login = shown["last_login"].take().as_i64().expect("seconds");
    assert!(
        (iat - last_login).abs() <= 10 && (iat - bound_at).abs() <= 10,
        "{iat} {last_login} {bound_at}"
    );
    let wechat = json!([{"appid": APPID, "openid": account["openid"], "unionid": account["unionid"], "bound_at": null}]);
    let mut expected = json!({"user_id": user, "blocked": false, "revoked_before": null, "last_login": null, "wechat": wechat});
    assert_eq!(shown, expected);
    assert_eq!(
        office.must(&["show", &user]).trim(),
        office.operate("GET", &format!("/users/{user}")).await.body
    );
    let identities = office
        .operate("GET", &format!("/users/{user}/wechat"))
        .await;
    assert_eq!(
        (identities.status, identities.header("cache-control")),
        (200, "no-store"),
        "{identities:?}"
    );
    expected["wechat"][0]["bound_at"] = bound_at.into();
    assert_eq!(
        identities.json(),
        json!({"user_id": user, "wechat": expected["wechat"]})
    );

    // The end forgets the session key, which told the last login.
    office.done("POST", &format!("/users/{user}/revoke")).await;
    let ended = office.show(&user).await;
    assert_eq!(ended["last_login"], last_login);
    assert!(
        ended["revoked_before"]
            .as_i64()
            .is_some_and(|before| before >= iat),
        "{ended}"
    );
    assert!(!office.accepts(&login).await);
    let later = office.log_in_for_good("lin").await;
    let now = office.show(&user).await["last_login"]
        .as_i64()
        .expect("seconds");
    // The code may have been claimed in the second of the first login, and the login recorded in the next.
    assert!(now >= last_login && now <= later.claims()["iat"].as_i64().expect("seconds"));

    let unknown = json!({"user_id": "nobody", "blocked": false, "revoked_before": null, "last_login": null, "wechat": []});
    assert_eq!(office.show("nobody").await, unknown);

    let path = format!("/users/{user}/wechat/{APPID}");
    office
        .operate("DELETE", &format!("/users/{user}/wechat/{OTHER_APPID}"))
        .await
        .expect_problem(400, "unknown_app");
    assert!(office.accepts(&later).await, "another app's binding");
    office.done("DELETE", &path).await;
    assert!(!office.accepts(&later).await);
    assert_eq!(office.show(&user).await["wechat"], json!([]));
    office.done("DELETE", &path).await;
    let again = office.log_in_for_good("lin").await;
    assert_ne!(
        again.member("user_id"),
        user,
        "a new user, as after DELETE /binding"
    );
    let [refused, done] = ["unknown_app", "ok"].map(|outcome| ("dissolve", user.as_str(), outcome));
    office
        .expect_audited(&[
            ("look_up", &user, "ok"),
            ("end", &user, "ok"),
            refused,
            done,
            done,
        ])
        .await;
}

/// So many lines of the log blame the operator, and none the account backend.
async fn expect_cause(service: &Service, times: usize) {
    until("the cause", BUSY, async || {
        let causes = service
            .events()
            .into_iter()
            .filter(|line| line["code"] == "user_blocked");
        let causes: Vec<Value> = causes.map(|line| line["cause"].clone()).collect();
        causes == vec!["an operator has blocked this user"; times]
    })
    .await;
}

/// `people` blocks a user whom wxmint has made.
#[tokio::test]
async fn a_user_of_the_users_file_can_be_blocked_also_against_a_right_password_and_is_let_in_again()
{
    let builder = TestBed::builder()
        .services(2)
        .users(&["alice"])
        .env("WXMINT_BINDINGS_PER_USER", "9");
    let office = office(builder).await;
    let first = office
        .log_in_with("lin", password_of("alice"))
        .await
        .expect_login();
    let user = first.member("user_id");
    let (block, iat) = (
        format!("/users/{user}/block"),
        first.claims()["iat"].as_i64().expect("seconds"),
    );
    office.done("PUT", &block).await;
    office.done("PUT", &block).await;
    assert!(!office.accepts(&first).await);
    for service in &office.services {
        let code = office.mint_code("lin").await;
        service
            .login(&code)
            .await
            .expect_problem(403, "user_blocked");
        expect_cause(service, 1).await;
    }
    let newcomer = async || office.log_in_with("mei", password_of("alice")).await;
    newcomer().await.expect_problem(403, "user_blocked");
    expect_cause(office.service(), 2).await;
    office
        .log_in_with("lin", password_of("alice"))
        .await
        .expect_problem(403, "user_blocked");
    assert_eq!(office.show(&user).await["blocked"], true);
    let hash = RevocationHash::of(office.configuration.value("WXMINT_ISSUER"), &user).to_string();
    until("the end is in the feed", BUSY, async || {
        let page = office.service().get("/revocations").await.body;
        let ended = decoded(&page).1["revoked"]
            .as_array()
            .expect("an array")
            .clone();
        let is_users = |end: &Value| {
            end[0] == "sub" && end[1] == hash.as_str() && end[2].as_i64() >= Some(iat)
        };
        ended.iter().any(is_users)
    })
    .await;

    office.done("DELETE", &block).await;
    let later = office.log_in_for_good("lin").await;
    assert_eq!(
        (
            later.member("user_id"),
            office.show(&user).await["blocked"].clone()
        ),
        (user.clone(), json!(false))
    );
    assert!(
        !office.accepts(&first).await,
        "what was revoked stays revoked"
    );
    newcomer().await.expect_login();
    office
        .expect_audited(&["block", "block", "unblock"].map(|act| (act, user.as_str(), "ok")))
        .await;
}

/// The keys that name one of these ids in their name or value: as text, in base64, or as what the text is base64url of.
pub(crate) fn keys_that_name(office: &TestBed, ids: &[&str]) -> Vec<String> {
    let forms = |id: &&str| {
        [
            (*id).into(),
            general_purpose::STANDARD_NO_PAD.encode(id).into(),
            general_purpose::URL_SAFE_NO_PAD.decode(id).expect(id),
        ]
    };
    let forms: Vec<Vec<u8>> = ids.iter().flat_map(forms).collect();
    let names = |text: &[u8]| {
        forms
            .iter()
            .any(|form| text.windows(form.len()).any(|some| some == form))
    };
    let all = office.redis.everything().into_iter();
    all.filter(|(key, value)| names(key.as_bytes()) || names(value))
        .map(|(key, _)| key)
        .collect()
}
