//! The stand-in WeChat as a process, and its control side.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{APP_SECRET, APPID, Answer, Http, Process, wxmint};

const CODE2SESSION: &str = "/sns/jscode2session";

pub(crate) struct Simulator {
    pub(crate) address: SocketAddr,
    http: Http,
    _process: Process,
}

impl Simulator {
    /// With the app of the [`Configuration`](super::Configuration), further options, and variables of its own.
    pub(crate) async fn start(
        http: Http,
        further: &[String],
        variables: &[(String, String)],
    ) -> Self {
        let mut command = wxmint();
        command
            .args([
                "simulator",
                "--listen",
                "127.0.0.1:0",
                "--app",
                &format!("{APPID}:{APP_SECRET}"),
            ])
            .env_clear();
        command.args(further).envs(variables.iter().cloned());
        let mut process = Process::spawn("wxmint simulator", &mut command);
        let address = process.printed_address().await;
        Self {
            address,
            http,
            _process: process,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A login code of `person`, as wx.login gives it on the phone.
    pub(crate) async fn mint_code(&self, person: &str) -> String {
        self.mint_codes(json!({"person": person})).await.remove(0)
    }

    pub(crate) async fn mint_code_in(&self, app: &str, person: &str) -> String {
        self.mint_codes(json!({"person": person, "appid": app}))
            .await
            .remove(0)
    }

    /// Codes as the control side is asked for them (`count`, `distinct_people`, `age_seconds`).
    pub(crate) async fn mint_codes(&self, wanted: Value) -> Vec<String> {
        let answer = self.control("codes", "POST", &wanted).await;
        serde_json::from_value(answer.json()["codes"].take()).expect("codes")
    }

    /// A code of the button `getPhoneNumber`, pressed by `person`.
    pub(crate) async fn mint_phone_code(&self, person: &str) -> String {
        self.mint_phone_code_in(APPID, person).await
    }

    pub(crate) async fn mint_phone_code_in(&self, app: &str, person: &str) -> String {
        self.control(
            "phone-codes",
            "POST",
            &json!({"person": person, "appid": app}),
        )
        .await
        .member("code")
    }

    pub(crate) async fn phone_of(&self, person: &str, phone: &str) {
        self.control(&format!("people/{person}"), "PUT", &json!({"phone": phone}))
            .await;
    }

    /// WeChat knows this of `person` in the first app: `openid`, `unionid`, `session_key`.
    pub(crate) async fn account(&self, person: &str) -> Value {
        self.account_in(APPID, person).await
    }

    pub(crate) async fn account_in(&self, app: &str, person: &str) -> Value {
        self.person(person).await["apps"][app].take()
    }

    /// The openid of `person` in the first app.
    pub(crate) async fn openid(&self, person: &str) -> String {
        self.account(person).await["openid"]
            .as_str()
            .expect("known after a login")
            .to_owned()
    }

    /// All that WeChat knows of `person`, in all apps.
    pub(crate) async fn person(&self, person: &str) -> Value {
        self.control(&format!("people/{person}"), "PUT", &json!({}))
            .await
            .json()
    }

    /// The data that the phone hands its mini program, by the fields of the control side (`person`, `kind`, …).
    pub(crate) async fn hand_over(&self, wanted: Value) -> Value {
        self.control("user-data", "POST", &wanted).await.json()
    }

    /// WeChat gives it to whoever asks with the AppSecret.
    pub(crate) async fn access_token(&self) -> String {
        self.stable_token(false).await
    }

    /// The same, with or without `force_refresh`.
    pub(crate) async fn stable_token(&self, force: bool) -> String {
        let wanted = json!({
            "grant_type": "client_credential", "appid": APPID, "secret": APP_SECRET, "force_refresh": force,
        });
        let request = self
            .http
            .0
            .post(format!("{}/cgi-bin/stable_token", self.url()))
            .json(&wanted);
        self.http.send(request).await.member("access_token")
    }

    /// From now on the access tokens given so far are wrong.
    pub(crate) async fn revoke_access_tokens(&self) {
        self.control("access-tokens", "POST", &json!({"revoke": true}))
            .await;
    }

    /// Puts these faults in place of all; `json!([])` heals.
    pub(crate) async fn faults(&self, faults: Value) {
        self.control("faults", "PUT", &json!({"faults": faults}))
            .await;
    }

    pub(crate) async fn block(&self, person: &str, blocked: bool) {
        self.control(
            &format!("people/{person}"),
            "PUT",
            &json!({"blocked": blocked}),
        )
        .await;
    }

    /// Changes an app's secrets, and whether it gives unionids (`appid`, `secret`, `drop_old_secrets`, `unionid`).
    pub(crate) async fn change_app(&self, change: Value) {
        self.control("apps", "POST", &change).await;
    }

    /// Whether it names unionids to an app.
    pub(crate) async fn names_unionids(&self, app: &str, named: bool) {
        self.change_app(json!({"appid": app, "unionid": named}))
            .await;
    }

    pub(crate) async fn stats(&self) -> Value {
        self.http
            .get(&format!("{}/_simulator/stats", self.url()))
            .await
            .json()
    }

    pub(crate) async fn exchanges(&self) -> u64 {
        self.asked(CODE2SESSION).await
    }

    pub(crate) async fn asked(&self, path: &str) -> u64 {
        self.stats().await["requests"][path]
            .as_u64()
            .unwrap_or_default()
    }

    pub(crate) async fn control(&self, path: &str, method: &str, body: &Value) -> Answer {
        let method = method.parse().expect("a method");
        let request = self
            .http
            .0
            .request(method, format!("{}/_simulator/{path}", self.url()))
            .json(body);
        let send = async || {
            self.http
                .send(request.try_clone().expect("a body of JSON"))
                .await
        };
        let mut answer = send().await;
        if answer.status == 408 {
            // On a busy machine it gives up a request that arrives slowly, and has done nothing then.
            answer = send().await;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}
