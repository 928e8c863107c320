//! One process of `wxmint sidecar`, and what a proxy and an operator ask of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::time::Duration;

use super::{Answer, BUSY, Ended, Http, ISSUER, PATIENCE, Pace, Process, Received, until, wxmint};

/// The deadline of requests that are sent at once: one for which keys are fetched is answered in 2 s.
const PROMPT: Duration = BUSY.saturating_add(Duration::from_secs(2));

pub(crate) struct Sidecar {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) http: Http,
    process: Process,
}

pub(crate) struct Metrics(pub(super) String);

/// The environment of a `wxmint sidecar`: complete and right, until a test changes something.
#[derive(Clone)]
pub(crate) struct SidecarSettings(BTreeMap<String, String>);

impl SidecarSettings {
    /// The settings of the usual issuer, whose keys are at this URL.
    pub(crate) fn new(jwks_url: &str) -> Self {
        let settings = Self(BTreeMap::new()).with("WXMINT_ISSUER", ISSUER).with("WXMINT_AUDIENCE", ISSUER);
        settings
            .with("WXMINT_JWKS_URL", jwks_url)
            // Few stand-ins have a feed, and without one a sidecar takes 10 s to be ready.
            .with("WXMINT_REVOCATIONS_URL", "off")
            .with("WXMINT_SIDECAR_LISTEN", "127.0.0.1:0")
            .with("WXMINT_ADMIN_LISTEN", "127.0.0.1:0")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    fn command(&self) -> Command {
        let mut command = wxmint();
        command.arg("sidecar").env_clear().envs(&self.0);
        command
    }

    /// Runs it where it should not come up, to its end.
    pub(crate) async fn run(&self) -> Ended {
        Ended::within_patience(&mut self.command()).await
    }

    /// Started, and listening; it may have no keys yet.
    pub(crate) async fn start(&self) -> Sidecar {
        let mut process = Process::spawn("wxmint sidecar", &mut self.command());
        let [address, admin] = process.listens(["verify", "admin"]).await;
        Sidecar { address, admin, http: Http::new(), process }
    }

    /// Started, and it has keys.
    pub(crate) async fn ready(&self) -> Sidecar {
        let sidecar = self.start().await;
        sidecar.ready_within(PATIENCE).await;
        sidecar
    }
}

impl Metrics {
    /// The value of a line, by all that stands before it; 0 where there is none.
    pub(crate) fn of(&self, name: &str) -> f64 {
        let mut values = self.0.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().map_or(0.0, |value| value.parse().expect("a number"))
    }
}

impl Sidecar {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn verify(&self, token: &str) -> Answer {
        self.http.send(self.http.0.get(self.url("/verify")).bearer_auth(token)).await
    }

    /// A request as it is written: a line (`GET /verify HTTP/1.1`), further lines, and a body.
    pub(crate) async fn raw(&self, line: &str, headers: &[&str], body: &str) -> Received {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        self.bytes(format!("{line}\r\nHost: sidecar\r\nConnection: close\r\n{headers}\r\n{body}").as_bytes()).await
    }

    pub(crate) async fn bytes(&self, bytes: &[u8]) -> Received {
        Received::after(self.address, bytes, Pace::AtOnce, PROMPT).await
    }

    pub(crate) async fn admin(&self, path: &str) -> Answer {
        self.http.get(&format!("http://{}{path}", self.admin)).await
    }

    pub(crate) async fn ready_within(&self, within: Duration) {
        until("ready", within, async || self.admin("/readyz").await.status == 200).await;
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics(self.admin("/metrics").await.body)
    }

    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.metrics().await.of(name)
    }
}

impl Deref for Sidecar {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Sidecar {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
