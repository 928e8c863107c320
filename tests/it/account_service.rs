//! The business's own account service behind `WXMINT_ACCOUNTS=https://…`: what is asked of it, and what comes of an
//! answer that is none. Here the client by itself, and docs/accounts.openapi.yaml against what is sent and believed.

mod admissions;
mod example;
mod logins;
mod outages;

use std::sync::Arc;

use crate::support::prelude::*;
use wxmint::accounts::{
    Accounts, AccountsError, Named, ServiceAccounts, read_admission, read_checked, read_found,
    read_made,
};
use wxmint::clock::now;
use wxmint_ids::{AppId, Phone, UserId};
use wxmint_keys::token::{ExtraClaims, Minter};
use wxmint_keys::{KeyRing, KeySet, PrivateJwk, StoredKeys};
use wxmint_telemetry::Metrics;
use wxmint_upstream::Tls;
use wxmint_verify::{Algorithm, TokenTyp};

fn minter(issuer: &str, keys: KeySet) -> Arc<Minter> {
    let ring = KeyRing::new(keys, now()).expect("keys that sign");
    let (audience, life) = (vec![issuer.to_owned()], Duration::from_mins(1));
    Arc::new(Minter::new(
        issuer.to_owned(),
        audience,
        TokenTyp::AccessToken,
        life,
        Arc::new(ring),
    ))
}

/// One worker's client, with a key of its own.
struct Client {
    accounts: ServiceAccounts,
    metrics: Metrics,
}

fn app() -> AppId {
    APPID.parse().expect("an AppID")
}

impl Client {
    fn of(base: &str) -> Self {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        Self::with_keys(base, ISSUER, StoredKeys::of([key]).check().expect("a set"))
    }

    fn with_keys(base: &str, issuer: &str, keys: KeySet) -> Self {
        let (minter, base) = (minter(issuer, keys), base.parse().expect("a URL"));
        let (tls, metrics) = (
            Tls::from_system().expect("root certificates"),
            Metrics::default(),
        );
        // So many workers that each has the least room.
        let accounts = ServiceAccounts::new(&base, &tls, 64, minter, metrics.clone(), now, true)
            .expect("a client");
        Self { accounts, metrics }
    }

    async fn password(&self, name: &str, password: &str) -> Result<Option<UserId>, AccountsError> {
        let (name, password) = (
            name.parse().expect("a name"),
            password.parse().expect("a password"),
        );
        self.accounts
            .check_password(&app(), &name, &password, "192.0.2.1")
            .await
    }

    async fn alice(&self) -> Result<Option<UserId>, AccountsError> {
        self.password("alice", "wonderland").await
    }

    async fn phone(
        &self,
        country_code: &str,
        number: &str,
    ) -> Result<Option<Named>, AccountsError> {
        let number = number.to_owned();
        let phone = Phone {
            pure_number: number.clone(),
            number,
            country_code: country_code.to_owned(),
        };
        self.accounts.user_of_phone(&app(), &phone).await
    }

    async fn admission(&self, user: &str) -> Result<Option<ExtraClaims>, AccountsError> {
        self.accounts
            .check_login(&app(), &user.parse().expect("a user"))
            .await
    }

    async fn new_user(&self, key: &str) -> Result<Named, AccountsError> {
        self.accounts.new_user(&app(), key, now()).await
    }

    /// How many requests of this outcome are counted.
    fn counted(&self, call: &str, outcome: &str) -> usize {
        let exposition = self.metrics.exposition([]);
        let name = format!(
            "wxmint_accounts_request_duration_seconds_count{{call=\"{call}\",outcome=\"{outcome}\"}} "
        );
        exposition
            .lines()
            .find_map(|line| line.strip_prefix(&name)?.parse().ok())
            .unwrap_or_default()
    }
}

/// Checks messages against docs/accounts.openapi.yaml: the path, `request` or `answer`, and the message.
fn documented(messages: &[(&str, &str, String)]) -> Vec<bool> {
    let document = repository("docs/accounts.openapi.yaml");
    openapi_check(&[document.as_os_str()], &messages)
        .iter()
        .map(|line| line == "ok")
        .collect()
}

/// `example` has a service check the signature of each, by another program.
#[tokio::test]
async fn what_is_sent_is_what_the_openapi_document_says_and_the_connection_is_kept() {
    let service = AccountService::start();
    let client = Client::of(&service.url());
    client.password("名", "p").await.expect("an answer");
    client.phone("852", "85250100").await.expect("an answer");
    client.new_user("one key").await.expect("a user");
    client.admission("user-alice").await.expect("an answer");
    let calls = service.take_calls();
    let bodies = [
        (
            "/password-checks",
            json!({"client_id": APPID, "username": "名", "password": "p"}),
        ),
        (
            "/users/by-phone",
            json!({"client_id": APPID, "phone_number": "85250100", "pure_phone_number": "85250100", "country_code": "852"}),
        ),
        (
            "/users",
            json!({"client_id": APPID, "idempotency_key": "one key"}),
        ),
        (
            "/login-checks",
            json!({"client_id": APPID, "user_id": "user-alice"}),
        ),
    ];
    assert_eq!(calls.len(), bodies.len());
    for (call, (path, body)) in calls.iter().zip(bodies) {
        assert_eq!((&call.path, call.json()), (&format!("/wxmint{path}"), body));
        assert_eq!(call.headers["content-type"], "application/json");
        assert_eq!(call.from, calls[0].from, "one connection");
        assert_eq!(
            documented(&[(
                path,
                "request",
                String::from_utf8(call.body.clone()).expect("text")
            )]),
            [true],
            "{path}"
        );
    }
    assert_eq!(calls[2].headers["idempotency-key"], "one key");
}

/// Replies that are no answer: the reply, a word of what the operator is told, and how often the service is asked.
/// src/accounts/service/answer.rs has a row for each status and form.
const NO_ANSWERS: [(Reply, &str, usize); 6] = [
    (Reply::Status(401), "the audience", 1),
    (Reply::Redirect, "the final URL", 1),
    (Reply::Status(500), "500", 2),
    (
        Reply::Text(r#"{"user_id":"two words","new_user":true}"#),
        "",
        1,
    ),
    (Reply::Huge, "more than 64 KiB", 2),
    (Reply::Lost, "", 2),
];

#[tokio::test]
async fn what_is_no_answer_is_neither_yes_nor_no_and_repeats_no_secret() {
    let service = AccountService::start();
    for (reply, word, attempts) in NO_ANSWERS {
        let client = Client::of(&service.url());
        service.misbehave(reply.clone());
        let reasons = [
            client
                .password("alice", "wonderland")
                .await
                .expect_err("no answer"),
            client
                .phone("86", "13800138000")
                .await
                .expect_err("no answer"),
            client.new_user("one-key").await.expect_err("no answer"),
        ];
        for error in reasons {
            let (
                told,
                AccountsError {
                    reason,
                    retry_after,
                    ..
                },
            ) = (error.to_string(), error);
            assert!(
                !reason.is_empty() && told.contains(word),
                "{reply:?}: {told}"
            );
            for secret in [
                "alice",
                "wonderland",
                "1380",
                "one-key",
                "http",
                "127.0.0.1",
                "eyJ",
            ] {
                assert!(!told.contains(secret), "{secret} in {told}");
            }
            assert!(retry_after >= Duration::from_secs(1));
        }
        let calls = service.take_calls();
        assert_eq!(calls.len(), 3 * attempts, "{reply:?}");
        assert!(
            calls
                .iter()
                .all(|call| !call.path.starts_with("/elsewhere")),
            "a redirect was followed"
        );
    }
    // Whatever came of the answers.
    assert_eq!(service.users_made(), 2);
}

#[tokio::test]
async fn what_failed_once_is_asked_once_more_and_no_user_is_made_twice() {
    let service = AccountService::start();
    let client = Client::of(&service.url());
    for reply in [Reply::Lost, Reply::Status(500), Reply::Status(502)] {
        service.misbehave_once(reply.clone());
        let made = client
            .new_user(&format!("{reply:?}"))
            .await
            .expect("a user");
        assert!(made.made);
        let [first, second] = service.take_calls().try_into().expect("two attempts");
        assert_eq!(first.body, second.body);
        assert_eq!(
            first.headers["idempotency-key"],
            second.headers["idempotency-key"]
        );
        let [one, other] = [&first, &second].map(|call| decoded(call.token()).1["jti"].clone());
        assert_ne!(one, other, "a service may take each once");
    }
    assert_eq!(
        (
            service.users_made(),
            client.counted("new_user", "status_5xx")
        ),
        (3, 2)
    );

    service.misbehave_once(Reply::Lost);
    assert_eq!(
        client.alice().await,
        Ok(Some("user-alice".parse().expect("a user")))
    );
    service.misbehave_once(Reply::Lost);
    assert_eq!(
        client.admission("user-alice").await,
        Ok(Some(ExtraClaims::default()))
    );
    assert_eq!(client.admission("nobody").await, Ok(None));
    service.misbehave_once(Reply::Lost);
    let phone = client
        .phone("86", "13800138000")
        .await
        .expect("an answer")
        .expect("a user");
    assert_eq!(
        (phone.user.as_str(), service.users_made()),
        ("user-1005", 4)
    );
}

#[test]
fn what_is_believed_is_what_the_openapi_document_says() {
    let bodies = [
        r#"{"user_id":"u-1"}"#,
        r#"{"user_id":null}"#,
        r#"{"user_id":"u-1","new_user":true}"#,
        r#"{"user_id":"u-1","new_user":false}"#,
        r#"{"user_id":"u-1","new_user":null}"#,
        r#"{"user_id":"u-1","new_user":"true"}"#,
        r#"{"user_id":null,"new_user":false}"#,
        r#"{"user_id":null,"new_user":true}"#,
        r#"{"user_id":""}"#,
        r#"{"user_id":"two words","new_user":true}"#,
        r#"{"user_id":4711,"new_user":true}"#,
        r#"{"user_id":null,"error":"the database is away"}"#,
        r#"{"code":0,"data":{"user_id":"u-1"}}"#,
        r#"["u-1",true]"#,
        r#"{"claims":{}}"#,
        r#"{"claims":{"roles":["admin"],"tenant":"x","https://example.com/x":{"a":[1,null]}}}"#,
        r#"{"claims":{"roles":[]},"user_id":"u-1"}"#,
        r#"{"claims":null}"#,
        r#"{"claims":[]}"#,
        r#"{"claims":{"sub":"u-2"}}"#,
        r#"{"claims":{"subject":"x","CLIENT":"x"}}"#,
        r#"{"claims":{"":1}}"#,
        r#"{"claims":{"two words":1}}"#,
        r#"{"claims":{"角色":1}}"#,
        "{}",
        "null",
        "",
    ];
    let read = |path: &str, body: &str| match path {
        "/password-checks" => read_checked(200, body.as_bytes()).is_ok(),
        "/users/by-phone" => read_found(200, body.as_bytes()).is_ok(),
        "/login-checks" => read_admission(200, body.as_bytes()).is_ok(),
        _ => read_made(200, body.as_bytes()).is_ok(),
    };
    for path in [
        "/password-checks",
        "/users/by-phone",
        "/users",
        "/login-checks",
    ] {
        let believed: Vec<bool> = bodies.iter().map(|body| read(path, body)).collect();
        let messages = bodies.map(|body| (path, "answer", body.to_owned()));
        assert_eq!(believed, documented(&messages), "{path}: {bodies:?}");
    }
}
