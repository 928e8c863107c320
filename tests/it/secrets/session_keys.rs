//! The same for session keys at work: what they open goes to who asks for it, and nowhere else.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::scan::{Secret, Traces, leaks};
use crate::support::{APP_SECRET, Answer, PATIENCE, TestBed, eventually};

const NUMBER: &str = "13912345678";
const NICKNAME: &str = "planted-nickname-5b1e";
const CHECK: &str = "/wxa/checksession";
const RESET: &str = "/wxa/resetusersessionkey";

/// Requests of one person after another, whose secrets are noted and whose answers are kept.
struct Work {
    bed: TestBed,
    token: String,
    secrets: Vec<Secret>,
    traces: Traces,
}

impl Work {
    async fn start() -> Self {
        let bed = TestBed::builder().env("RUST_LOG", "trace").breakable_redis().start().await;
        bed.wechat.phone_of("lin", NUMBER).await;
        let secrets = vec![
            Secret::new("AppSecret", APP_SECRET),
            Secret::new("phone number", NUMBER),
            Secret::new("nickname", NICKNAME),
        ];
        let mut work = Self { bed, token: String::new(), secrets, traces: Traces::default() };
        work.log_in().await;
        work
    }

    async fn log_in(&mut self) {
        self.token = self.bed.log_in("lin").await.expect_login().member("access_token");
        self.secrets.push(Secret::new("token's signature", self.token.rsplit('.').next().expect("three parts")));
        self.note_key().await;
    }

    /// Each exchange and each reset makes a new one.
    async fn note_key(&mut self) {
        let account = self.bed.wechat.account("lin").await;
        let known = |name: &str| account[name].as_str().expect("known after a login").to_owned();
        self.secrets.push(Secret::new("session_key", known("session_key")));
        let bytes = STANDARD.decode(known("session_key")).expect("base64");
        self.secrets.push(Secret::new("session_key's bytes", bytes));
        self.secrets.push(Secret::openid("openid", &known("openid")));
        self.secrets.push(Secret::openid("unionid", &known("unionid")));
    }

    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> u16 {
        let answer = self.bed.service().ask(method, path, &self.token, body).await;
        self.keep(answer.clone());
        answer.status
    }

    /// What was opened is for who has asked, and no leak.
    fn keep(&mut self, mut answer: Answer) {
        if answer.status == 200 {
            answer.body = answer.body.replace(NUMBER, "").replace(NICKNAME, "");
        }
        self.traces.answer(&answer);
    }

    async fn handed(&mut self, kind: &str, under: &str, members: Value) -> (Value, Value) {
        let wanted = json!({"person": "lin", "kind": kind, "under": under, "members": members});
        let mut sealed = self.bed.wechat.hand_over(wanted).await;
        let signed = json!({"rawData": sealed["rawData"].take(), "signature": sealed["signature"].take()});
        self.secrets.push(Secret::new("encrypted data", sealed["encryptedData"].as_str().expect("text")));
        (json!({"encryptedData": sealed["encryptedData"], "iv": sealed["iv"]}), signed)
    }

    async fn data(&mut self) {
        self.log_in().await;
        for under in ["current", "previous"] {
            let (sealed, signed) = self.handed("user_info", under, json!({"nickName": NICKNAME})).await;
            assert_eq!(self.ask("POST", "/wechat/userdata", &sealed).await, 200);
            assert_eq!(self.ask("POST", "/wechat/userdata", &signed).await, 200);
            let mut cut = sealed;
            cut["iv"] = "AAAA".into();
            assert_eq!(self.ask("POST", "/wechat/userdata", &cut).await, 422);
        }
        for failure in 1..=9 {
            let members = json!({"nickName": NICKNAME, "openId": format!("oAnother{failure}")});
            let (sealed, _) = self.handed("user_info", "current", members).await;
            assert_eq!(self.ask("POST", "/wechat/userdata", &sealed).await, 422);
        }
        self.log_in().await;
    }

    async fn phone(&mut self) {
        for status in [200, 400] {
            let code = self.bed.wechat.mint_phone_code(if status == 200 { "lin" } else { "mei" }).await;
            self.secrets.push(Secret::new("phone code", &code));
            assert_eq!(self.ask("POST", "/wechat/phone", &json!({"code": code})).await, status);
        }
        let (sealed, _) = self.handed("phone", "current", json!({})).await;
        assert_eq!(self.ask("POST", "/wechat/userdata", &sealed).await, 200);
    }

    async fn checks_and_resets(&mut self) {
        let errcode = |errcode: i64| json!({"kind": "errcode", "errcode": errcode});
        let faults =
            [errcode(40001), errcode(45009), errcode(87009), json!({"kind": "truncated"}), json!({"kind": "reset"})];
        for mut fault in faults {
            for (method, path, of_wechat) in
                [("GET", "/wechat/session", CHECK), ("POST", "/wechat/session/reset", RESET)]
            {
                fault["path"] = of_wechat.into();
                self.bed.faults(json!([fault])).await;
                self.ask(method, path, &Value::Null).await;
                self.bed.faults(json!([])).await;
                self.note_key().await;
                self.log_in().await;
                assert!(self.ask(method, path, &Value::Null).await < 300);
                self.note_key().await;
            }
        }
    }

    async fn without_redis(&mut self) {
        let (sealed, _) = self.handed("phone", "current", json!({})).await;
        self.bed.redis_link().stall().await;
        assert_eq!(self.ask("POST", "/wechat/userdata", &sealed).await, 503);
        assert_eq!(self.ask("POST", "/logout", &Value::Null).await, 503);
        self.bed.redis_link().restore().await;
        let served = async || (self.ask("GET", "/wechat/session", &Value::Null).await == 200).then_some(());
        eventually("Redis is back", PATIENCE, served).await;
        self.traces.redis(&self.bed.redis);
        assert_eq!(self.ask("POST", "/logout", &json!({"everywhere": true})).await, 204);
        assert_eq!(self.ask("POST", "/wechat/userdata", &sealed).await, 401);
    }
}

#[tokio::test]
async fn session_keys_at_work_show_neither_themselves_nor_what_they_open() {
    let mut work = Work::start().await;
    work.data().await;
    work.phone().await;
    work.checks_and_resets().await;
    work.without_redis().await;
    let Work { bed, mut secrets, mut traces, .. } = work;
    secrets.push(Secret::new("access token", bed.wechat.access_token().await));
    traces.bed(&bed).await;
    assert_eq!(leaks(&secrets, &traces), BTreeSet::new());
}
