//! `wxmint sidecar`, and what a proxy asks of it.

use std::{collections::BTreeMap, process::Command, time::Duration};

use super::{Answer, BUSY, Ended, Http, ISSUER, Pace, Process, Received, Service, wxmint};

/// The deadline of requests that are sent at once: one for which keys are fetched is answered in 2 s.
const PROMPT: Duration = BUSY.saturating_add(Duration::from_secs(2));

/// Its public listener answers `/verify`.
pub(crate) type Sidecar = Service;

/// The environment of a `wxmint sidecar`: complete and right, until a test changes something.
#[derive(Clone)]
pub(crate) struct SidecarSettings(BTreeMap<String, String>);

impl SidecarSettings {
    /// The settings of the usual issuer, whose keys are at this URL.
    pub(crate) fn new(jwks_url: &str) -> Self {
        let settings = Self(BTreeMap::new())
            .with("WXMINT_ISSUER", ISSUER)
            .with("WXMINT_AUDIENCE", ISSUER);
        settings
            .with("WXMINT_JWKS_URL", jwks_url)
            // Few stand-ins have a feed, and without one a sidecar takes 10 s to be ready.
            .with("WXMINT_REVOCATIONS_URL", "off")
            .with("WXMINT_SIDECAR_LISTEN", "127.0.0.1:0")
            .with("WXMINT_ADMIN_LISTEN", "127.0.0.1:0")
    }

    /// The same, and it follows the feed of the issuer at this URL.
    pub(crate) fn following(url: &str) -> Self {
        Self::new(&format!("{url}/.well-known/jwks.json")).without("WXMINT_REVOCATIONS_URL")
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
        let [public, admin] = process.listens(["verify", "admin"]).await;
        Sidecar {
            public,
            admin,
            audit: None,
            http: Http::new(),
            process,
        }
    }

    /// Started, and it has keys.
    pub(crate) async fn ready(&self) -> Sidecar {
        let sidecar = self.start().await;
        sidecar.ready().await;
        sidecar
    }
}

impl Sidecar {
    pub(crate) async fn verify(&self, token: &str) -> Answer {
        self.http
            .send(self.http.0.get(self.url("/verify")).bearer_auth(token))
            .await
    }

    /// A request as it is written: a line (`GET /verify HTTP/1.1`), further lines, and a body.
    pub(crate) async fn raw(&self, line: &str, headers: &[&str], body: &str) -> Received {
        let headers: String = headers
            .iter()
            .map(|header| format!("{header}\r\n"))
            .collect();
        self.bytes(
            format!("{line}\r\nHost: sidecar\r\nConnection: close\r\n{headers}\r\n{body}")
                .as_bytes(),
        )
        .await
    }

    pub(crate) async fn bytes(&self, bytes: &[u8]) -> Received {
        Received::after(self.public, bytes, Pace::AtOnce, PROMPT).await
    }
}
