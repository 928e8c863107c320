//! Session keys at work, from outside: what a mini program sends to be opened, checked, reset and forgotten, at two
//! replicas. The tests seal as WeChat does on the phone, and so can also seal what WeChat never would.

mod hanging_up;
mod kinds;
mod logout;
mod oracle;
mod sealing;
mod spliced;
mod unionid;
pub(crate) mod vault_keys;
pub(crate) mod wechat;

use crate::support::prelude::*;

const NUMBER: &str = "13800138000";

pub(crate) const USER_DATA: &str = "/wechat/userdata";
pub(crate) const PHONE: &str = "/wechat/phone";
pub(crate) const SESSION: &str = "/wechat/session";
pub(crate) const RESET: &str = "/wechat/session/reset";
const LOGIN: &str = "/login";
pub(crate) const LOGOUT: &str = "/logout";
const BINDING: &str = "/binding";

/// Every endpoint that wants a token, with its only method and a body that is well-formed.
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

    async fn log_in(&self, person: &str) -> Session {
        self.log_in_in(APPID, person).await
    }

    async fn log_in_in(&self, app: &str, person: &str) -> Session {
        let login = self
            .0
            .log_in_at(app, person, json!({}))
            .await
            .expect_login();
        let account = self.0.wechat.account_in(app, person).await;
        let known = |name: &str| {
            account[name]
                .as_str()
                .expect("known after a login")
                .to_owned()
        };
        Session {
            token: login.member("access_token"),
            user: login.member("user_id"),
            openid: known("openid"),
            key: known("session_key"),
        }
    }

    /// A request by `token`, without a body where that is null.
    async fn ask(
        &self,
        replica: usize,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Answer {
        self.0.services[replica]
            .ask(method, path, token, body)
            .await
    }

    async fn decrypt(&self, replica: usize, session: &Session, data: &Value) -> Answer {
        self.ask(replica, "POST", USER_DATA, &session.token, data)
            .await
    }

    /// The kept session keys, sealed. A stored session has lines, as the README of the store describes them: of the
    /// current key, and perhaps of the one before.
    fn kept(&self, session: &Session) -> Vec<Vec<u8>> {
        let held: Option<Vec<u8>> = self
            .0
            .redis
            .command(&["GET", &key_of(APPID, session, "session")]);
        let (mut rest, mut keys) = (held.unwrap_or_default(), Vec::new());
        while let [high @ 0..32, low, ..] = rest[..] {
            let end = 2 + usize::from(u16::from_be_bytes([high, low]));
            keys.push(rest[2 + 11..end].to_vec());
            rest.drain(..end);
        }
        keys
    }

    /// Puts back by `time` when the exchanges of the kept session keys began, as if it had passed since.
    fn age(&self, session: &Session, time: Duration) {
        let script = "local kept, at = redis.call('GET', KEYS[1]), 3 while at < #kept do \
            local high, low = struct.unpack('>I4I3', kept, at) \
            local micros = high * 1048576 + math.floor(low / 16) - ARGV[1] \
            local aged = struct.pack('>I4I3', math.floor(micros / 1048576), micros % 1048576 * 16) \
            redis.call('SETRANGE', KEYS[1], at - 1, aged) at = at + 2 + struct.unpack('>I2', kept, at - 2) end";
        let (key, time) = (
            key_of(APPID, session, "session"),
            time.as_micros().to_string(),
        );
        self.0
            .redis
            .command::<()>(&["EVAL", script, "1", &key, &time]);
    }
}

/// The name of a key in Redis of a person of an app.
fn key_of(app: &str, session: &Session, what: &str) -> String {
    format!("wxmint:{{{app}:{}}}:{what}", session.openid)
}

/// The data of an answer that has some, and that no cache keeps.
#[track_caller]
fn data_of(answer: &Answer) -> Value {
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, "no-store"),
        "{answer:?}"
    );
    let mut body = answer.json();
    let data = body["data"].take();
    assert!(
        data.is_object() && body.as_object().expect("an object").len() == 1,
        "{answer:?}"
    );
    data
}

#[track_caller]
fn expect_undecryptable(answer: Answer) -> Answer {
    answer.expect_problem(422, "decryption_failed")
}
