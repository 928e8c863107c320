//! One process of `wxmint serve`, and what a mini program, a peer and an operator ask of it.

use std::{fs, net::SocketAddr, process::ExitStatus, time::Duration};

use reqwest::{Error, RequestBuilder};
use serde_json::{Value, json};

use super::{Answer, Configuration, Http, PATIENCE, Process, Signal, eventually};

pub(crate) struct Service {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    http: Http,
    process: Process,
}

impl Service {
    /// Started, and listening; not yet asked whether it is ready.
    pub(crate) async fn start(configuration: &Configuration, http: Http) -> Self {
        let mut process = Process::spawn("wxmint serve", &mut configuration.command());
        let (public, admin) = eventually("wxmint serve listens", PATIENCE, async || {
            assert!(process.ended().is_none(), "wxmint serve ends: {:?}", process.stderr());
            let events = process.events();
            let event = events.iter().find(|event| event["message"] == "listening")?;
            Some((event["public"].as_str()?.parse().ok()?, event["admin"].as_str()?.parse().ok()?))
        })
        .await;
        Self { public, admin, http, process }
    }

    pub(crate) async fn ready(&self) {
        eventually("ready", PATIENCE, async || (self.readyz().await.status == 200).then_some(())).await;
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

    pub(crate) async fn metrics(&self) -> String {
        self.admin("/metrics").await.body
    }

    /// It has not panicked, nor answered 500, so far.
    pub(crate) async fn expect_no_faults(&self) {
        let (log, metrics) = (self.log(), self.metrics().await);
        let faults = metrics.lines().filter(|line| line.contains("internal_error") && !line.ends_with(" 0"));
        assert!(!log.contains("panicked") && faults.count() == 0, "{log}\n{metrics}");
    }

    /// `POST /login` with these members.
    pub(crate) async fn log_in_with(&self, body: &Value) -> Answer {
        self.http.send(self.http.0.post(self.url("/login")).json(body)).await
    }

    pub(crate) async fn login(&self, code: &str) -> Answer {
        self.try_login(code).await.expect("an answer")
    }

    /// The same where the connection may break.
    pub(crate) async fn try_login(&self, code: &str) -> Result<Answer, Error> {
        self.http.try_send(self.login_request(code)).await
    }

    fn login_request(&self, code: &str) -> RequestBuilder {
        self.http.0.post(self.url("/login")).json(&json!({"code": code}))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub(crate) async fn end(&mut self, within: Duration) -> ExitStatus {
        self.process.end(within).await
    }

    /// What it has logged so far: its JSON lines.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.process.events()
    }

    /// What it has logged so far, as it was written.
    pub(crate) fn log(&self) -> String {
        [self.process.stdout(), self.process.stderr()].concat().join("\n")
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How many files and connections it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("Linux").count()
    }

    pub(crate) fn memory(&self) -> u64 {
        self.process.status("VmRSS")
    }

    /// The most resident memory so far, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.process.status("VmHWM")
    }
}
