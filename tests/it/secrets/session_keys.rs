//! The same for session keys at work: what they open goes to who asks for it, and nowhere else.

use serde_json::{Value, json};

use super::{Run, scan::Secret};
use crate::support::{PATIENCE, eventually};

const NUMBER: &str = "13912345678";
const NICKNAME: &str = "planted-nickname-5b1e";
const CHECK: &str = "/wxa/checksession";
const RESET: &str = "/wxa/resetusersessionkey";

/// Requests of one person by token.
struct Work {
    run: Run,
    token: String,
}

impl Work {
    async fn start() -> Self {
        let mut run = Run::start().await;
        run.bed.wechat.phone_of("lin", NUMBER).await;
        run.note(Secret::new("phone number", NUMBER));
        run.note(Secret::new("nickname", NICKNAME));
        let mut work = Self { run, token: String::new() };
        work.log_in().await;
        work
    }

    async fn log_in(&mut self) {
        self.token = self.run.log_in().await.expect_login().member("access_token");
    }

    /// What was opened is for who has asked, and no leak. Each reset makes a new session key.
    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> u16 {
        let mut answer = self.run.bed.service().ask(method, path, &self.token, body).await;
        if answer.status == 200 {
            answer.body = answer.body.replace(NUMBER, "").replace(NICKNAME, "");
        }
        self.run.traces.answer(&answer);
        self.run.note_people().await;
        answer.status
    }

    async fn handed(&mut self, kind: &str, under: &str, members: Value) -> (Value, Value) {
        let wanted = json!({"person": "lin", "kind": kind, "under": under, "members": members});
        let mut sealed = self.run.bed.wechat.hand_over(wanted).await;
        let signed = json!({"rawData": sealed["rawData"].take(), "signature": sealed["signature"].take()});
        self.run.note(Secret::new("encrypted data", sealed["encryptedData"].as_str().expect("text")));
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
            let code = self.run.bed.wechat.mint_phone_code(if status == 200 { "lin" } else { "mei" }).await;
            self.run.note(Secret::new("phone code", &code));
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
                self.run.bed.faults(json!([fault])).await;
                self.ask(method, path, &Value::Null).await;
                self.run.bed.faults(json!([])).await;
                self.log_in().await;
                assert!(self.ask(method, path, &Value::Null).await < 300);
            }
        }
    }

    async fn without_redis(&mut self) {
        let (sealed, _) = self.handed("phone", "current", json!({})).await;
        self.run.bed.redis_link().stall().await;
        assert_eq!(self.ask("POST", "/wechat/userdata", &sealed).await, 503);
        assert_eq!(self.ask("POST", "/logout", &Value::Null).await, 503);
        self.run.bed.redis_link().restore().await;
        let served = async || (self.ask("GET", "/wechat/session", &Value::Null).await == 200).then_some(());
        eventually("Redis is back", PATIENCE, served).await;
        self.run.traces.redis(&self.run.bed.redis);
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
    let mut run = work.run;
    run.note(Secret::new("access token", run.bed.wechat.access_token().await));
    run.expect_no_leaks().await;
}
