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
    keys::{Algorithm, PrivateJwk, StoredKeys, create_private},
};

use crate::Fault;

/// The mini program that stand-in and service know.
pub(crate) const APP: &str = "wxbe4c000000000001";
/// Its AppSecret.
pub(crate) const SECRET: &str = "be4c5ec2e7000000be4c5ec2e7000000";
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

/// The stand-in WeChat.
pub(crate) struct StandIn {
    process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl StandIn {
    /// Starts one that delays each answer by `latency`.
    pub(crate) fn start(latency: Duration) -> Result<Self, Fault> {
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxmint"));
        command.args(["simulator", "--no-journal", "--listen", &address.to_string()]);
        command.args(["--app", &format!("{APP}:{SECRET}"), "--latency", &format!("{}ms", latency.as_millis())]);
        let process = Process::start(&mut command)?;
        until(|| TcpStream::connect(address).is_ok())?;
        Ok(Self { process, address })
    }

    /// The kernel's name for it.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Forgets all earlier codes and mints at least `count`, for 10,000 people, who so come back again and again.
    pub(crate) fn mint_codes(&self, count: usize) -> Result<Vec<String>, Fault> {
        fetch(self.address, "POST", "/_simulator/reset", "")?;
        let order = format!(r#"{{"person":"bench","count":{CODES_AT_ONCE},"distinct_people":true}}"#);
        let mut codes = Vec::new();
        while codes.len() < count {
            let (status, body) = fetch(self.address, "POST", "/_simulator/codes", &order)?;
            let minted: serde_json::Value = serde_json::from_str(&body)?;
            let minted = minted["codes"].as_array().ok_or_else(|| format!("no codes, but {status}: {body}"))?;
            codes.extend(minted.iter().filter_map(|code| code.as_str().map(str::to_owned)));
        }
        Ok(codes)
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
    /// Starts it; see [`Service::started`] for when it serves.
    pub(crate) fn start(files: &Files, redis: &Redis, stand_in: &StandIn) -> Result<Self, Fault> {
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
            .stderr(File::create(&files.log)?);
        let started = Instant::now();
        Ok(Self { process: Process::start(&mut command)?, public, admin, started })
    }

    /// The kernel's name for it.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
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

/// What the service reads and writes, in a folder that lives as long as this value.
pub(crate) struct Files {
    folder: PathBuf,
    keys: PathBuf,
    vault_key: PathBuf,
    log: PathBuf,
}

impl Files {
    /// Makes an ES256 key, a vault key and a place for the log.
    pub(crate) fn create(folder: &Path) -> Result<Self, Fault> {
        let folder = folder.join(format!("login-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let [keys, vault_key, log] = ["keys.json", "vault.key", "log"].map(|name| folder.join(name));
        create_private(&keys, &StoredKeys::of(PrivateJwk::generate(Algorithm::Es256, now())?).content())?;
        let mut bits = [0; 32];
        rand::fill(&mut bits).map_err(|_| "no random bits")?;
        create_private(&vault_key, STANDARD.encode(bits).as_bytes())?;
        Ok(Self { folder, keys, vault_key, log })
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
fn fetch(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, String), Fault> {
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
