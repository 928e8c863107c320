//! The processes of a benchmark: a real Redis, the stand-in WeChat and the service, each on a port of its own and
//! ended with the value that stands for it.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint::{
    http::now,
    keys::{PrivateJwk, StoredKeys},
    secret_files::create_private,
    verify::Algorithm,
};

use crate::Fault;

/// The mini program that stand-in and service know.
pub(crate) const APP: &str = "wxbe4c000000000001";
/// Its AppSecret.
pub(crate) const SECRET: &str = "be4c5ec2e7000000be4c5ec2e7000000";
/// One user, with a hash as `wxmint users add` makes them.
const USERS: &str =
    "alice $argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s u-1\n";
/// The most codes that the stand-in mints at once.
const CODES_AT_ONCE: usize = 10_000;
/// Short beside what is measured by it.
const POLL: Duration = Duration::from_micros(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that ends with this value.
pub(crate) struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Result<Self, Fault> {
        let program = command.get_program().to_string_lossy().into_owned();
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        started.map(Self).map_err(|error| format!("{program} cannot be started: {error}").into())
    }

    /// The kernel's name for it.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only for a process that has ended already.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A Redis that keeps nothing on disk.
pub(crate) struct Redis {
    _process: Process,
    address: SocketAddr,
}

impl Redis {
    /// Starts one.
    pub(crate) fn start() -> Result<Self, Fault> {
        let address = free_address()?;
        let port = address.port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        let process = Process::start(&mut command)?;
        until(|| TcpStream::connect(address).is_ok())?;
        Ok(Self { _process: process, address })
    }
}

/// Whose codes they are.
pub(crate) enum People {
    /// So many, at most 10,000, who come back again and again.
    Returning {
        /// Tells them from others.
        group: &'static str,
        /// How many.
        number: usize,
    },
    /// Everybody comes once.
    New {
        /// Tells them from others.
        group: String,
    },
}

/// The stand-in WeChat.
pub(crate) struct StandIn {
    process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl StandIn {
    /// Starts one that delays each answer by `latency`, and gives unionids.
    pub(crate) fn start(latency: Duration) -> Result<Self, Fault> {
        Self::start_with(latency, &format!("{APP}:{SECRET}"))
    }

    /// Starts one that knows people in this app alone.
    pub(crate) fn start_without_unionids() -> Result<Self, Fault> {
        Self::start_with(Duration::ZERO, &format!("{APP}:{SECRET}:no-unionid"))
    }

    fn start_with(latency: Duration, app: &str) -> Result<Self, Fault> {
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxmint"));
        command.args(["simulator", "--no-journal", "--listen", &address.to_string()]);
        command.args(["--app", app, "--latency", &format!("{}ms", latency.as_millis())]);
        let process = Process::start(&mut command)?;
        until(|| TcpStream::connect(address).is_ok())?;
        Ok(Self { process, address })
    }

    /// The kernel's name for it.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Forgets all earlier codes.
    pub(crate) fn forget_codes(&self) -> Result<(), Fault> {
        fetch(self.address, "POST", "/_simulator/reset", "{}").map(drop)
    }

    /// Mints at least `count` codes for people who come back again and again.
    pub(crate) fn mint_codes(&self, count: usize, people: &People) -> Result<Vec<String>, Fault> {
        let mut codes = Vec::new();
        for round in 0.. {
            if codes.len() >= count {
                break;
            }
            let (group, number) = match people {
                People::Returning { group, number } => ((*group).to_owned(), *number),
                People::New { group } => (format!("{group}-{round}"), CODES_AT_ONCE),
            };
            codes.extend(self.mint_for(&group, number)?);
        }
        Ok(codes)
    }

    /// A code for each of so many people.
    fn mint_for(&self, group: &str, number: usize) -> Result<Vec<String>, Fault> {
        let order = format!(r#"{{"person":"{group}","count":{number},"distinct_people":true}}"#);
        let (status, body) = fetch(self.address, "POST", "/_simulator/codes", &order)?;
        let minted: serde_json::Value = serde_json::from_str(&body)?;
        let minted = minted["codes"].as_array().ok_or_else(|| format!("no codes, but {status}: {body}"))?;
        Ok(minted.iter().filter_map(|code| code.as_str().map(str::to_owned)).collect())
    }
}

/// `wxmint serve` with everything on.
pub(crate) struct Service {
    process: Process,
    /// The public listener.
    pub(crate) public: SocketAddr,
    started: Instant,
    admin: SocketAddr,
}

impl Service {
    /// Starts it; see [`Service::started`] for when it serves. A first login makes a user.
    pub(crate) fn start(files: &Files, redis: &Redis, stand_in: &StandIn) -> Result<Self, Fault> {
        Self::start_with(files, redis, stand_in, &[])
    }

    /// The same where users may have passwords.
    pub(crate) fn start_with_passwords(files: &Files, redis: &Redis, stand_in: &StandIn) -> Result<Self, Fault> {
        let accounts = format!("file:{}", files.users.display());
        let passwords = [("WXMINT_ACCOUNTS", accounts.as_str()), ("WXMINT_AUTO_PROVISION", "true")];
        Self::start_with(files, redis, stand_in, &passwords)
    }

    fn start_with(
        files: &Files,
        redis: &Redis,
        stand_in: &StandIn,
        environment: &[(&str, &str)],
    ) -> Result<Self, Fault> {
        let (public, admin) = (free_address()?, free_address()?);
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxmint"));
        command
            .arg("serve")
            .env_clear()
            .env("WXMINT_ISSUER", format!("http://{public}"))
            .env("WXMINT_APPID", APP)
            .env("WXMINT_APP_SECRET", SECRET)
            .env("WXMINT_REDIS_URL", format!("redis://{}", redis.address))
            .env("WXMINT_KEYS", &files.keys)
            .env("WXMINT_VAULT_KEY_FILE", &files.vault_key)
            // All load comes from one address. The limits are counted all the same.
            .env("WXMINT_LIMIT_IP", "1000000/1s")
            .env("WXMINT_LIMIT_OPENID", "1000000/1s")
            .env("WXMINT_LISTEN", public.to_string())
            .env("WXMINT_ADMIN_LISTEN", admin.to_string())
            .env("WXMINT_WECHAT_URL", format!("http://{}", stand_in.address))
            .envs(environment.iter().copied())
            .stderr(File::create(&files.log)?);
        let started = Instant::now();
        Ok(Self { process: Process::start(&mut command)?, public, admin, started })
    }

    /// The kernel's name for it.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How many logins have ended so.
    pub(crate) fn ended(&self, outcome: &str) -> Result<f64, Fault> {
        let (_, metrics) = fetch(self.admin, "GET", "/metrics", "")?;
        let name = format!("wxmint_logins_total{{outcome=\"{outcome}\"}} ");
        Ok(metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default())
    }

    /// Waits until it serves. How long that took from its start until `/readyz` and the JWKS each answered with 200.
    pub(crate) fn started(&self) -> Result<(Duration, Duration), Fault> {
        let answers = |address, path| until(|| fetch(address, "GET", path, "").is_ok_and(|(status, _)| status == 200));
        thread::scope(|scope| {
            let ready = scope.spawn(|| answers(self.admin, "/readyz").map(|()| self.started.elapsed()));
            let jwks = answers(self.public, "/.well-known/jwks.json").map(|()| self.started.elapsed())?;
            Ok((ready.join().map_err(|_| "a thread panicked")??, jwks))
        })
    }
}

impl Service {
    /// What it calls itself in its tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.public)
    }
}

/// `wxmint sidecar` with the keys of a service.
pub(crate) struct Sidecar {
    process: Process,
    /// Where it is asked.
    pub(crate) address: SocketAddr,
}

impl Sidecar {
    /// Starts it, and waits for its keys.
    pub(crate) fn start(files: &Files, service: &Service) -> Result<Self, Fault> {
        let (address, admin) = (free_address()?, free_address()?);
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxmint"));
        command
            .arg("sidecar")
            .env_clear()
            .env("WXMINT_ISSUER", service.issuer())
            .env("WXMINT_AUDIENCE", service.issuer())
            .env("WXMINT_JWKS_URL", format!("{}/.well-known/jwks.json", service.issuer()))
            .env("WXMINT_SIDECAR_LISTEN", address.to_string())
            .env("WXMINT_ADMIN_LISTEN", admin.to_string())
            .stderr(File::create(files.folder.join("sidecar.log"))?);
        let process = Process::start(&mut command)?;
        until(|| fetch(admin, "GET", "/readyz", "").is_ok_and(|(status, _)| status == 200))?;
        Ok(Self { process, address })
    }

    /// The kernel's name for it.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// A real Envoy with two workers.
pub(crate) struct Envoy {
    process: Process,
    /// Where it is asked.
    pub(crate) address: SocketAddr,
}

impl Envoy {
    /// Starts one, and waits until it has what it verifies with.
    pub(crate) fn start(files: &Files, configuration: &serde_json::Value) -> Result<Self, Fault> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin/envoy");
        if !program.exists() {
            return Err("there is no Envoy; run: make setup".into());
        }
        let [settings, admin] = ["envoy.json", "envoy.admin"].map(|name| files.folder.join(name));
        std::fs::write(&settings, configuration.to_string())?;
        // Left over from another.
        let _ = std::fs::remove_file(&admin);
        let mut command = Command::new(program);
        command.args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "error", "--config-path"]);
        command.arg(settings).arg("--admin-address-path").arg(&admin).stderr(Stdio::null());
        let process = Process::start(&mut command)?;
        let mut address = None;
        until(|| {
            address = Self::listens(&admin);
            address.is_some()
        })?;
        Ok(Self { process, address: address.ok_or("no address")? })
    }

    fn listens(admin: &Path) -> Option<SocketAddr> {
        let admin = std::fs::read_to_string(admin).ok()?.parse().ok()?;
        let (status, _) = fetch(admin, "GET", "/ready", "").ok()?;
        let (_, listeners) = fetch(admin, "GET", "/listeners", "").ok()?;
        let address = listeners.lines().find_map(|line| line.trim().strip_prefix("peer::")?.parse().ok())?;
        (status == 200).then_some(address)
    }

    /// The kernel's name for it.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// What the service reads and writes, in a folder that lives as long as this value.
pub(crate) struct Files {
    folder: PathBuf,
    keys: PathBuf,
    vault_key: PathBuf,
    users: PathBuf,
    log: PathBuf,
}

impl Files {
    /// Makes an ES256 key, a vault key, a users file and a place for the log.
    pub(crate) fn create(folder: &Path) -> Result<Self, Fault> {
        let folder = folder.join(format!("login-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let [keys, vault_key, users, log] = ["keys.json", "vault.key", "users", "log"].map(|name| folder.join(name));
        create_private(&keys, &StoredKeys::of(PrivateJwk::generate(Algorithm::Es256, now())?).content())?;
        let mut bits = [0; 32];
        rand::fill(&mut bits).map_err(|_| "no random bits")?;
        create_private(&vault_key, STANDARD.encode(bits).as_bytes())?;
        create_private(&users, USERS.as_bytes())?;
        Ok(Self { folder, keys, vault_key, users, log })
    }
}

impl Files {
    /// The service's own private set.
    pub(crate) fn signing_keys(&self) -> Result<Vec<u8>, Fault> {
        Ok(std::fs::read(&self.keys)?)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What stays behind lies under target/ and harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that nobody else has now.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn until(mut condition: impl FnMut() -> bool) -> Result<(), String> {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > PATIENCE {
            return Err("a process did not come up within 10 s".into());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// One request on a connection of its own: status and body.
pub(crate) fn fetch(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, String), Fault> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    stream.write_all(
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a head")?;
    let status = head.split(' ').nth(1).ok_or("an answer without a status")?.parse()?;
    Ok((status, body.to_owned()))
}
