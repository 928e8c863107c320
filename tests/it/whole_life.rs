//! wxmint's whole life, on whatever stands in for one plain Redis: everything that people, pages and operators can do.

use crate::support::prelude::*;

/// A service with the business's account service.
pub(crate) struct Life<R> {
    pub(crate) bed: TestBed<R>,
    _accounts: AccountService,
}

impl<R: Reachable> Life<R> {
    pub(crate) async fn on(redis: R) -> Self {
        let accounts = AccountService::start();
        let builder = TestBed::builder()
            .two_apps()
            .env("WXMINT_ACCOUNTS", &accounts.url());
        Self {
            bed: builder.start_on(redis).await,
            _accounts: accounts,
        }
    }

    pub(crate) async fn is_lived(&self) {
        self.logs_in().await;
        self.uses_the_session_key().await;
        self.leaves().await;
        self.is_operated().await;
        self.moves();
        self.bed.service().expect_no_faults().await;
    }

    /// The user of a login that succeeds.
    pub(crate) async fn user(&self, app: &str, person: &str, more: Value) -> String {
        self.bed
            .log_in_at(app, person, more)
            .await
            .expect_login()
            .member("user_id")
    }

    async fn ask(&self, method: &str, path: &str, login: &Answer, body: &Value) -> Answer {
        self.bed
            .service()
            .ask(method, path, &login.member("access_token"), body)
            .await
    }

    async fn alice_for_good(&self) -> Answer {
        self.bed
            .for_good(async || self.bed.log_in_at(APPID, "lin", alice()).await)
            .await
    }

    async fn logs_in(&self) {
        self.bed
            .log_in_at(APPID, "lin", json!({}))
            .await
            .expect_problem(403, "binding_required");
        assert_eq!(self.user(APPID, "lin", alice()).await, "user-alice");
        assert_eq!(self.user(APPID, "lin", json!({})).await, "user-alice");
        assert_eq!(
            self.user(OTHER_APPID, "lin", json!({})).await,
            "user-alice",
            "by the unionid"
        );
        let phone = self.bed.wechat.mint_phone_code("mei").await;
        let mei = self.user(APPID, "mei", json!({"phone_code": phone})).await;
        assert_eq!(self.user(APPID, "mei", json!({})).await, mei);
    }

    async fn uses_the_session_key(&self) {
        let login = self
            .bed
            .log_in_at(APPID, "lin", json!({}))
            .await
            .expect_login();
        let sealed = self
            .bed
            .wechat
            .hand_over(json!({"person": "lin", "kind": "phone"}))
            .await;
        let data = self.ask("POST", "/wechat/userdata", &login, &sealed).await;
        assert!(
            data.status == 200 && data.json()["data"]["phoneNumber"].is_string(),
            "{data:?}"
        );
        assert_eq!(
            self.ask("POST", "/wechat/session/reset", &login, &Value::Null)
                .await
                .status,
            204
        );
    }

    pub(crate) async fn leaves(&self) {
        for (method, path, body) in [
            ("POST", "/logout", Value::Null),
            ("POST", "/logout", json!({"everywhere": true})),
            ("DELETE", "/binding", Value::Null),
        ] {
            let login = self.alice_for_good().await;
            let left = self.ask(method, path, &login, &body).await;
            assert_eq!(left.status, 204, "{left:?}");
            assert!(!self.bed.accepts(&login).await, "{path} {body}");
        }
    }

    async fn is_operated(&self) {
        let login = self.alice_for_good().await;
        self.bed
            .run(&["users", "revoke", "user-alice"])
            .expect_success();
        assert!(!self.bed.accepts(&login).await);
        self.bed
            .run(&["users", "block", "user-alice"])
            .expect_success();
        self.bed
            .log_in_at(APPID, "lin", alice())
            .await
            .expect_problem(403, "user_blocked");
        assert!(
            self.bed
                .run(&["users", "show", "user-alice"])
                .expect_success()
                .stdout
                .contains("\"blocked\":true")
        );
        self.bed
            .run(&["users", "unblock", "user-alice"])
            .expect_success();
        self.bed
            .run(&["users", "erase", "user-alice", "--yes"])
            .expect_success();
        self.alice_for_good().await;
    }

    fn moves(&self) {
        let file = self.bed.configuration.path("bindings.ndjson");
        let file = file.to_str().expect("UTF-8");
        self.bed
            .run(&["bindings", "export", "--out", file])
            .expect_end(0, &["exported 2 people"]);
        self.bed
            .run(&["bindings", "import", file])
            .expect_end(0, &["2 were unchanged"]);
    }
}

pub(crate) fn alice() -> Value {
    json!({"username": "alice", "password": "wonderland"})
}

#[tokio::test(flavor = "multi_thread")]
async fn wxmint_lives_on_a_cluster() {
    Life::on(RedisCluster::start().await).await.is_lived().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wxmint_lives_under_sentinel() {
    Life::on(Sentinel::start().await).await.is_lived().await;
}
