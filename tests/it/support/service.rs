//! One process of `wxmint serve` or `wxmint sidecar`, and what a mini program, a peer and an operator ask of it.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Configuration, Http, PATIENCE, Process, READ_AGAIN_WITHIN, eventually, until};

pub(crate) struct Service {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The file of its audit events, if they go into one.
    pub(super) audit: Option<String>,
    pub(crate) http: Http,
    pub(super) process: Process,
}

impl Service {
    /// Started, and listening; not yet asked whether it is ready.
    pub(crate) async fn start(configuration: &Configuration, http: Http) -> Self {
        let mut process = Process::spawn("wxmint serve", &mut configuration.command());
        let [public, admin] = process.listens(["public", "admin"]).await;
        http.1.note_configuration(configuration);
        let audit = configuration
            .get("WXMINT_AUDIT")
            .and_then(|to| to.strip_prefix("file:"))
            .map(str::to_owned);
        Self {
            public,
            admin,
            audit,
            http,
            process,
        }
    }

    pub(crate) async fn ready(&self) {
        self.ready_within(PATIENCE).await;
    }

    pub(crate) async fn ready_within(&self, within: Duration) {
        until("ready", within, async || self.readyz().await.status == 200).await;
    }

    /// The URL of a path on the public listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.http.get(&self.url(path)).await
    }

    pub(crate) async fn admin(&self, path: &str) -> Answer {
        self.http.get(&format!("http://{}{path}", self.admin)).await
    }

    pub(crate) async fn readyz(&self) -> Answer {
        self.admin("/readyz").await
    }

    /// Waits until it is answered so, perhaps because of a file that is read again, and returns all that is said.
    pub(crate) async fn readyz_says(&self, status: u16, words: &str) -> String {
        eventually(words, READ_AGAIN_WITHIN, async || {
            let readyz = self.readyz().await;
            (readyz.status == status && readyz.body.contains(words)).then_some(readyz.body)
        })
        .await
    }

    pub(crate) async fn metrics(&self) -> String {
        self.admin("/metrics").await.body
    }

    /// It has not panicked, nor answered 500, so far.
    pub(crate) async fn expect_no_faults(&self) {
        let (log, metrics) = (self.log(), self.metrics().await);
        let faults = metrics
            .lines()
            .filter(|line| line.contains("internal_error") && !line.ends_with(" 0"));
        assert!(
            !log.contains("panicked") && faults.count() == 0,
            "{log}\n{metrics}"
        );
    }

    /// `POST /login` with these members.
    pub(crate) async fn log_in_with(&self, body: &Value) -> Answer {
        self.http
            .send(self.http.0.post(self.url("/login")).json(body))
            .await
    }

    pub(crate) async fn login(&self, code: &str) -> Answer {
        self.log_in_with(&json!({"code": code})).await
    }

    /// A request by `token`, without a body where that is null.
    pub(crate) async fn ask(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        self.ask_at(&self.url(path), method, token, body).await
    }

    /// The same on the admin listener, by the secret of an operator or a peer.
    pub(crate) async fn operate(
        &self,
        method: &str,
        path: &str,
        secret: &str,
        body: &Value,
    ) -> Answer {
        self.ask_at(
            &format!("http://{}{path}", self.admin),
            method,
            secret,
            body,
        )
        .await
    }

    async fn ask_at(&self, url: &str, method: &str, token: &str, body: &Value) -> Answer {
        let request = self
            .http
            .0
            .request(method.parse().expect("a method"), url)
            .bearer_auth(token);
        self.http
            .send(if body.is_null() {
                request
            } else {
                request.json(body)
            })
            .await
    }

    pub(crate) async fn unbind(&self, token: &str) -> Answer {
        self.ask("DELETE", "/binding", token, &Value::Null).await
    }

    pub(crate) async fn metric(&self, name: &str) -> f64 {
        sample(&self.metrics().await, name)
    }

    /// The reasons of the lines of a level so far.
    pub(crate) fn reasons(&self, level: &str) -> Vec<String> {
        let lines = self
            .events()
            .into_iter()
            .filter(|event| event["level"] == level);
        lines
            .map(|event| event["reason"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// The value of a line of metrics, by all that stands before it; 0 where there is none.
pub(crate) fn sample(metrics: &str, name: &str) -> f64 {
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values
        .next()
        .map_or(0.0, |value| value.parse().expect("a number"))
}

impl Drop for Service {
    fn drop(&mut self) {
        self.http
            .1
            .expect_none_of_service(&self.process.log(), self.admin, self.audit.as_deref());
    }
}

impl Deref for Service {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Service {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
