//! Services that verify our tokens: the sidecar, and with what others wrote Envoy, jose and PyJWT, each a process of its own that
//! fetches the JWKS as it does anywhere. Asked over HTTP with a bearer token; whatever is not 200 is a refusal.

use std::{any::Any, fs, net::SocketAddr, process::Command, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    envoy,
    support::{Connection, Http, ISSUER, PATIENCE, Process, SidecarSettings, eventually, repository, tools},
};

const JWKS: &str = "/.well-known/jwks.json";

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) settings: String,
    /// The longest time for which it uses a set without looking again.
    pub(crate) age: Duration,
    address: SocketAddr,
    /// The request's line without its version.
    asks: &'static str,
    _running: Box<dyn Any + Send>,
}

impl Peer {
    /// jwt_authn with `async_fetch`, which looks every `age` (of at most 5 s; of longer ones it takes 5 s off) and
    /// never because of a token. Asks all `replicas` in turn.
    pub(crate) async fn envoy(replicas: &[SocketAddr], age: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (configuration, admin) = (folder.path().join("envoy.json"), folder.path().join("admin"));
        fs::write(&configuration, envoy::configuration(replicas, Some(envoy_provider(age))).to_string())
            .expect("written");
        let mut command = Command::new(tools("python/bin/envoy"));
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "--config-path"]);
        command.arg(configuration).arg("--admin-address-path").arg(&admin);
        let mut process = Process::spawn("envoy", &mut command);
        let http = Http::new();
        // It listens when it has fetched the keys.
        let address = eventually("Envoy listens", PATIENCE, async || {
            assert!(process.ended().is_none(), "Envoy ends: {:?}", process.stderr());
            let admin = fs::read_to_string(&admin).ok()?;
            http.0.get(format!("http://{admin}/ready")).send().await.ok()?.error_for_status().ok()?;
            http.get(&format!("http://{admin}/listeners")).await.body.trim().strip_prefix("peer::")?.parse().ok()
        })
        .await;
        let settings = format!("async_fetch, cache_duration {age:?}");
        Self { name: "Envoy", settings, age, address, asks: "GET /", _running: Box::new((process, folder)) }
    }

    /// `createRemoteJWKSet`: looks when its set is older than `age`, and on an unknown `kid` once in a `cooldown`.
    pub(crate) async fn jose(replica: SocketAddr, age: Duration, cooldown: Duration) -> Self {
        // Node looks for packages above the script's own folder.
        let folder = TempDir::new_in(tools("node")).expect("a folder");
        let script = folder.path().join("stream.mjs");
        fs::copy(repository("tests/verifiers/stream.mjs"), &script).expect("our own script");
        let mut command = Command::new("node");
        command.arg(script);
        Self::script("jose", command, folder, replica, ("cacheMaxAge", age), ("cooldownDuration", cooldown)).await
    }

    /// `PyJWKClient`: as jose.
    pub(crate) async fn pyjwt(replica: SocketAddr, age: Duration, cooldown: Duration) -> Self {
        let mut command = Command::new(tools("python/bin/python"));
        command.arg(repository("tests/verifiers/stream.py"));
        let folder = tempfile::tempdir().expect("a folder");
        Self::script("PyJWT", command, folder, replica, ("lifespan", age), ("cooldown_duration", cooldown)).await
    }

    /// `wxmint sidecar`, which looks again after 7 s at the soonest.
    pub(crate) async fn sidecar(replica: SocketAddr, age: Duration) -> Self {
        let sidecar = SidecarSettings::new(&format!("http://{replica}{JWKS}")).ready().await;
        let (settings, address) = ("usual settings".to_owned(), sidecar.address);
        Self { name: "the sidecar", settings, age, address, asks: "GET /verify", _running: Box::new(sidecar) }
    }

    async fn script(
        name: &'static str,
        mut command: Command,
        folder: TempDir,
        replica: SocketAddr,
        (age_name, age): (&str, Duration),
        (cooldown_name, cooldown): (&str, Duration),
    ) -> Self {
        command.args([format!("http://{replica}{JWKS}"), ISSUER.to_owned()]);
        command.args([age, cooldown].map(|time| time.as_secs_f64().to_string()));
        // A proxy of the machine's would be asked for the keys.
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        let mut process = Process::spawn(name, &mut command);
        let address = eventually("its address", PATIENCE, async || {
            assert!(process.ended().is_none(), "{name} ends: {:?}", process.stderr());
            process.stdout().first()?.strip_prefix("http://")?.parse().ok()
        })
        .await;
        let settings = format!("{age_name} {age:?}, {cooldown_name} {cooldown:?}");
        Self { name, settings, age, address, asks: "GET /", _running: Box::new((process, folder)) }
    }

    pub(crate) async fn connect(&self) -> Verifying {
        Verifying(Connection::to(self.address).await, self.asks)
    }
}

pub(crate) struct Verifying(Connection, &'static str);

impl Verifying {
    /// Why the peer refuses `token`, if it does.
    pub(crate) async fn refusal(&mut self, token: &str) -> Option<String> {
        let (status, body) = self.0.send(self.1, &format!("Authorization: Bearer {token}\r\n"), "").await;
        (status != 200).then(|| format!("{status} {body}"))
    }
}

fn envoy_provider(age: Duration) -> Value {
    json!({
        "issuer": ISSUER,
        "audiences": [ISSUER],
        // Without it Envoy accepts tokens without `exp`.
        "require_expiration": true,
        "remote_jwks": {
            "http_uri": {"uri": envoy::JWKS_URL, "cluster": "issuer", "timeout": "1s"},
            "cache_duration": format!("{}s", age.as_secs()),
            "async_fetch": {"failed_refetch_duration": "1s"},
        },
    })
}
