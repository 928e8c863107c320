//! Session keys at work, from outside: what a mini program sends to be opened, checked, reset and forgotten, at two
//! replicas. The tests seal as WeChat does on the phone, and so can also seal what WeChat never would.

mod believing;
mod failures;
mod hanging_up;
mod kinds;
mod logout;
mod oracle;
mod outages;
mod race;
mod sealing;
mod unionid;
pub(crate) mod vault_keys;
pub(crate) mod wechat;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde_json::{Value, json};

use crate::support::{APPID, Answer, OTHER_APPID, TestBed};

const NUMBER: &str = "13800138000";

const USER_DATA: &str = "/wechat/userdata";
const PHONE: &str = "/wechat/phone";
const SESSION: &str = "/wechat/session";
const RESET: &str = "/wechat/session/reset";
const LOGIN: &str = "/login";
const LOGOUT: &str = "/logout";
const BINDING: &str = "/binding";

/// Every endpoint that wants a token, with its method and a body that is well-formed.
pub(crate) fn endpoints() -> [(&'static str, &'static str, Value); 6] {
    let data = sealing::seal("AAECAwQFBgcICQoLDA0ODw==", "{}");
    [
        ("POST", USER_DATA, data),
        ("POST", PHONE, json!({"code": "a-code-of-the-button"})),
        ("GET", SESSION, Value::Null),
        ("POST", RESET, Value::Null),
        ("POST", LOGOUT, json!({"everywhere": true})),
        ("DELETE", BINDING, Value::Null),
    ]
}

struct Replicas(TestBed);

/// Somebody who has logged in, with what WeChat alone knows.
#[derive(Debug, Clone)]
struct Session {
    token: String,
    user: String,
    openid: String,
    /// The one that WeChat had at this login.
    key: String,
}

impl Replicas {
    async fn start() -> Self {
        Self(TestBed::builder().services(2).start().await)
    }

    async fn of_two_apps() -> Self {
        Self(TestBed::builder().services(2).two_apps().start().await)
    }

    async fn log_in_in(&self, app: &str, person: &str) -> Session {
        self.session(app, person, &self.0.log_in_at(app, person, json!({})).await).await
    }

    async fn log_in(&self, person: &str) -> Session {
        self.log_in_at(0, person).await
    }

    async fn log_in_at(&self, replica: usize, person: &str) -> Session {
        let code = self.0.mint_code(person).await;
        self.session(APPID, person, &self.0.services[replica].login(&code).await).await
    }

    /// Of a login of `person` in an app.
    async fn session(&self, app: &str, person: &str, login: &Answer) -> Session {
        let login = login.clone().expect_login();
        let account = self.0.wechat.account_in(app, person).await;
        let known = |name: &str| account[name].as_str().expect("known after a login").to_owned();
        Session {
            token: login.member("access_token"),
            user: login.member("user_id"),
            openid: known("openid"),
            key: known("session_key"),
        }
    }

    /// A request by `token`, without a body where that is null.
    async fn ask(&self, replica: usize, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        self.0.services[replica].ask(method, path, token, body).await
    }

    async fn decrypt(&self, replica: usize, session: &Session, data: &Value) -> Answer {
        self.ask(replica, "POST", USER_DATA, &session.token, data).await
    }

    fn lines(&self, session: &Session) -> Vec<String> {
        self.0.redis.command(&["LRANGE", &key_of(APPID, session, "session"), "0", "-1"])
    }

    /// The kept session keys, sealed: the current one and, if there is one, the one before.
    fn kept(&self, session: &Session) -> Vec<Vec<u8>> {
        let mut lines = self.lines(session);
        lines.sort_unstable_by(|one, other| other.cmp(one));
        let sealed = lines.iter().filter(|line| !line.starts_with(' ')).take(2);
        let sealed = sealed.map(|line| line.rsplit_once(' ').expect("a sealed key").1);
        sealed.map(|sealed| BASE64_STANDARD_NO_PAD.decode(sealed).expect("Base64")).collect()
    }

    /// Puts back by `time` when the exchanges of the kept session keys began, as if it had passed since.
    fn age(&self, session: &Session, time: Duration) {
        let key = key_of(APPID, session, "session");
        for (at, line) in self.lines(session).iter().enumerate() {
            let Some((order, _)) = line.split_once('-') else { continue };
            let micros = u64::from_str_radix(order, 16).expect("microseconds") - time.as_micros() as u64;
            let aged = format!("{micros:016x}{}", &line[order.len()..]);
            self.0.redis.command::<()>(&["LSET", &key, &at.to_string(), &aged]);
        }
    }

    /// As if the window of failures had passed.
    fn forget_failures(&self, session: &Session) {
        self.0.redis.command::<i64>(&["DEL", &key_of(APPID, session, "limit:tries")]);
    }

    /// Nothing of ours has panicked or answered 500 so far.
    async fn expect_no_faults(&self) {
        for service in &self.0.services {
            service.expect_no_faults().await;
        }
    }
}

/// What lies in Redis for a person of an app.
fn key_of(app: &str, session: &Session, what: &str) -> String {
    format!("wxmint:{{{app}:{}}}:{what}", session.openid)
}

/// The data of an answer that has some, and that no cache keeps.
#[track_caller]
fn data_of(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    let mut body = answer.json();
    let data = body["data"].take();
    assert!(data.is_object() && body.as_object().expect("an object").len() == 1, "{answer:?}");
    data
}

#[track_caller]
fn expect_undecryptable(answer: Answer) -> Answer {
    answer.expect_problem(422, "data_undecryptable")
}
