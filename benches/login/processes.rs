//! The processes of a benchmark: a real Redis, the simulator and the service. Each has its own port and ends when its
//! value is dropped.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint::{clock::now, secret_files::create_private};
use wxmint_keys::{PrivateJwk, StoredKeys};
use wxmint_verify::Algorithm;

use crate::Fault;

/// The mini program that the simulator and the service know.
pub(crate) const APP: &str = "wxbe4c000000000001";
/// The AppSecret of the mini program.
pub(crate) const SECRET: &str = "be4c5ec2e7000000be4c5ec2e7000000";
/// The variables of the bare server: where it listens, and the addresses of Redis and of the stand-in for WeChat.
pub(crate) const BARE_LISTEN: &str = "BARE_LISTEN";
pub(crate) const BARE_REDIS: &str = "BARE_REDIS";
pub(crate) const BARE_WECHAT: &str = "BARE_WECHAT";
/// Set if it is the plain handler.
pub(crate) const PLAIN: &str = "PLAIN";
/// A users file with one user, whose hash is one that `wxmint users add` makes.
const USERS: &str = "alice $argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s u-1\n";
/// The most codes that the simulator makes per request.
const CODES_AT_ONCE: usize = 10_000;
/// The interval of polling, short beside what it measures.
const POLL: Duration = Duration::from_micros(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that ends when this value is dropped.
pub(crate) struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Result<Self, Fault> {
        let program = command.get_program().to_string_lossy().into_owned();
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        started
            .map(Self)
            .map_err(|error| format!("{program} cannot be started: {error}").into())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A Redis without persistence.
pub(crate) struct Redis {
    process: Process,
    address: SocketAddr,
}

impl Redis {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn start() -> Result<Self, Fault> {
        let address = free_address()?;
        let port = address.port().to_string();
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let process = Process::start(&mut command)?;
        until(|| TcpStream::connect(address).is_ok())?;
        Ok(Self { process, address })
    }

    /// The memory of a key with its value, in bytes.
    pub(crate) fn size_of(&self, key: &str) -> Result<f64, Fault> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("MEMORY USAGE {key} SAMPLES 0\r\n").as_bytes())?;
        let mut answer = [0; 32];
        let length = stream.read(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer[..length]);
        Ok(answer
            .trim()
            .strip_prefix(':')
            .ok_or_else(|| format!("no number: {answer}"))?
            .parse()?)
    }

    /// Leaves these revocations of users in the stream, and no others.
    pub(crate) fn revoke(&self, count: usize) -> Result<(), Fault> {
        let add = "redis.call('XADD', KEYS[1], '*', 'end', string.format('sub 1795132800 4102444800 0193f5b2-9c5e-7cc0-8000-%012d', number))";
        let script =
            format!("redis.call('DEL', KEYS[1]) for number = 1, {count} do {add} end return 1");
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("EVAL \"{script}\" 1 wxmint:revoked\r\n").as_bytes())?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer == *b":1\r\n" {
            Ok(())
        } else {
            Err("Redis has refused the revocations".into())
        }
    }
}

/// The people to whom codes belong.
pub(crate) enum People {
    /// At most 10,000 people who come again and again.
    Returning {
        /// Distinguishes these people from others.
        group: &'static str,
        /// The number of people.
        number: usize,
    },
    /// Each person comes once.
    New {
        /// Distinguishes these people from others.
        group: String,
    },
}

/// The WeChat simulator.
pub(crate) struct StandIn {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl StandIn {
    /// Starts a simulator that delays each response by `latency` and sends unionids.
    pub(crate) fn start(latency: Duration) -> Result<Self, Fault> {
        Self::start_with(latency, &format!("{APP}:{SECRET}"))
    }

    /// Starts a simulator that sends no unionids.
    pub(crate) fn start_without_unionids() -> Result<Self, Fault> {
        Self::start_with(Duration::ZERO, &format!("{APP}:{SECRET}:no-unionid"))
    }

    /// Starts a simulator that plays a third-party platform, with these apps.
    pub(crate) fn start_platform(
        apps: impl Iterator<Item = String>,
        platform: &str,
    ) -> Result<Self, Fault> {
        let apps = apps.flat_map(|app| ["--app".to_owned(), app]);
        Self::start_as(apps.chain(["--platform".to_owned(), platform.to_owned()]))
    }

    fn start_with(latency: Duration, app: &str) -> Result<Self, Fault> {
        let latency = format!("{}ms", latency.as_millis());
        Self::start_as(
            ["--app", app, "--latency", &latency]
                .map(str::to_owned)
                .into_iter(),
        )
    }

    fn start_as(options: impl Iterator<Item = String>) -> Result<Self, Fault> {
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxmint"));
        command
            .args([
                "simulator",
                "--no-journal",
                "--listen",
                &address.to_string(),
            ])
            .args(options);
        let process = Process::start(&mut command)?;
        until(|| TcpStream::connect(address).is_ok())?;
        Ok(Self { process, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn forget_codes(&self) -> Result<(), Fault> {
        fetch(self.address, "POST", "/_simulator/reset", "{}").map(drop)
    }

    /// Makes at least `count` codes for people who come again and again.
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

    /// Makes one code for each of `count` people.
    fn mint_for(&self, group: &str, number: usize) -> Result<Vec<String>, Fault> {
        self.mint_in(APP, group, number)
    }

    /// The same in an app.
    pub(crate) fn mint_in(
        &self,
        app: &str,
        group: &str,
        number: usize,
    ) -> Result<Vec<String>, Fault> {
        let order = format!(
            r#"{{"person":"{group}","appid":"{app}","count":{number},"distinct_people":true}}"#
        );
        let (status, body) = fetch(self.address, "POST", "/_simulator/codes", &order)?;
        let minted: serde_json::Value = serde_json::from_str(&body)?;
        let minted = minted["codes"]
            .as_array()
            .ok_or_else(|| format!("no codes, but {status}: {body}"))?;
        Ok(minted
            .iter()
            .filter_map(|code| code.as_str().map(str::to_owned))
            .collect())
    }
}

/// The bare limit of a login, or the plain handler, which is this program started again.
pub(crate) struct Bare {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Bare {
    pub(crate) fn start(redis: &Redis, stand_in: &StandIn, is_plain: bool) -> Result<Self, Fault> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.envs(is_plain.then_some((PLAIN, "1")));
        let addresses = [
            (BARE_LISTEN, address),
            (BARE_REDIS, redis.address),
            (BARE_WECHAT, stand_in.address),
        ];
        command.envs(addresses.map(|(name, address)| (name, address.to_string())));
        let process = Process::start(&mut command)?;
        until(|| TcpStream::connect(address).is_ok())?;
        Ok(Self { process, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// `wxmint serve` with all features.
pub(crate) struct Service {
    process: Process,
    /// The address of the public listener.
    pub(crate) public: SocketAddr,
    started: Instant,
    admin: SocketAddr,
}

impl Service {
    /// Starts the service; [`Service::started`] waits until it serves. A first login makes a user.
    pub(crate) fn start(files: &Files, redis: &Redis, stand_in: &StandIn) -> Result<Self, Fault> {
        Self::start_with(files, redis, stand_in, &[])
    }

    /// The same with a users file.
    pub(crate) fn start_with_passwords(
        files: &Files,
        redis: &Redis,
        stand_in: &StandIn,
    ) -> Result<Self, Fault> {
        let accounts = format!("file:{}", files.users.display());
        let passwords = [
            ("WXMINT_ACCOUNTS", accounts.as_str()),
            ("WXMINT_AUTO_PROVISION", "true"),
        ];
        Self::start_with(files, redis, stand_in, &passwords)
    }

    /// The same with clients that may ask for a scan.
    pub(crate) fn start_with_clients(
        files: &Files,
        redis: &Redis,
        stand_in: &StandIn,
        clients: &Path,
    ) -> Result<Self, Fault> {
        Self::start_with(
            files,
            redis,
            stand_in,
            &[("WXMINT_CLIENTS_FILE", &clients.to_string_lossy())],
        )
    }

    /// The same with receivers of events.
    pub(crate) fn start_with_admin_tokens(
        files: &Files,
        redis: &Redis,
        stand_in: &StandIn,
        tokens: &Path,
    ) -> Result<Self, Fault> {
        Self::start_with(
            files,
            redis,
            stand_in,
            &[("WXMINT_ADMIN_TOKENS_FILE", &tokens.to_string_lossy())],
        )
    }

    /// The same with further variables.
    pub(crate) fn start_with(
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
            // All load comes from one address, so the limits are high. They are counted all the same.
            .env("WXMINT_LIMIT_IP", "1000000/1s")
            .env("WXMINT_LIMIT_OPENID", "1000000/1s")
            .env("WXMINT_LISTEN", public.to_string())
            .env("WXMINT_ADMIN_LISTEN", admin.to_string())
            .env("WXMINT_WECHAT_URL", format!("http://{}", stand_in.address))
            // With doors, to see what they cost: name the file where the bench is started.
            .envs(env::var_os("WXMINT_CLIENTS_FILE").map(|file| ("WXMINT_CLIENTS_FILE", file)))
            .envs(environment.iter().copied())
            .stderr(File::create(&files.log)?);
        let started = Instant::now();
        Ok(Self {
            process: Process::start(&mut command)?,
            public,
            admin,
            started,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The number of logins with this outcome.
    pub(crate) fn ended(&self, outcome: &str) -> Result<f64, Fault> {
        let (_, metrics) = fetch(self.admin, "GET", "/metrics", "")?;
        let name = format!("wxmint_login_duration_seconds_count{{outcome=\"{outcome}\"}} ");
        Ok(metrics
            .lines()
            .find_map(|line| line.strip_prefix(&name)?.parse().ok())
            .unwrap_or_default())
    }

    /// Waits until the service serves. Returns the times from its start until `/readyz` and the JWKS answered with 200.
    pub(crate) fn started(&self) -> Result<(Duration, Duration), Fault> {
        let answers = |address, path| {
            until(|| fetch(address, "GET", path, "").is_ok_and(|(status, _)| status == 200))
        };
        thread::scope(|scope| {
            let ready =
                scope.spawn(|| answers(self.admin, "/readyz").map(|()| self.started.elapsed()));
            let jwks =
                answers(self.public, "/.well-known/jwks.json").map(|()| self.started.elapsed())?;
            Ok((ready.join().map_err(|_| "a thread panicked")??, jwks))
        })
    }
}

impl Service {
    /// The `iss` of its tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.public)
    }
}

/// `wxmint sidecar` with the keys of a service.
pub(crate) struct Sidecar {
    process: Process,
    /// The address that answers requests.
    pub(crate) address: SocketAddr,
}

impl Sidecar {
    /// Starts the sidecar and waits for its keys.
    pub(crate) fn start(files: &Files, service: &Service) -> Result<Self, Fault> {
        let (address, admin) = (free_address()?, free_address()?);
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxmint"));
        command
            .arg("sidecar")
            .env_clear()
            .env("WXMINT_ISSUER", service.issuer())
            .env("WXMINT_AUDIENCE", service.issuer())
            .env(
                "WXMINT_JWKS_URL",
                format!("{}/.well-known/jwks.json", service.issuer()),
            )
            .env("WXMINT_SIDECAR_LISTEN", address.to_string())
            .env("WXMINT_ADMIN_LISTEN", admin.to_string())
            .stderr(File::create(files.folder.join("sidecar.log"))?);
        let process = Process::start(&mut command)?;
        until(|| fetch(admin, "GET", "/readyz", "").is_ok_and(|(status, _)| status == 200))?;
        Ok(Self { process, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// A real Envoy with two workers.
pub(crate) struct Envoy {
    process: Process,
    /// The address that answers requests.
    pub(crate) address: SocketAddr,
}

impl Envoy {
    /// Starts Envoy and waits until it has the keys.
    pub(crate) fn start(files: &Files, configuration: &serde_json::Value) -> Result<Self, Fault> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin/envoy");
        if !program.exists() {
            return Err("there is no Envoy; run: make setup".into());
        }
        let [settings, admin] = ["envoy.json", "envoy.admin"].map(|name| files.folder.join(name));
        std::fs::write(&settings, configuration.to_string())?;
        // Removes the file of an earlier Envoy.
        let _ = std::fs::remove_file(&admin);
        let mut command = Command::new(program);
        command.args([
            "--concurrency",
            "2",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "--config-path",
        ]);
        command
            .arg(settings)
            .arg("--admin-address-path")
            .arg(&admin)
            .stderr(Stdio::null());
        let process = Process::start(&mut command)?;
        let mut address = None;
        until(|| {
            address = Self::listens(&admin);
            address.is_some()
        })?;
        Ok(Self {
            process,
            address: address.ok_or("no address")?,
        })
    }

    fn listens(admin: &Path) -> Option<SocketAddr> {
        let admin = std::fs::read_to_string(admin).ok()?.parse().ok()?;
        let (status, _) = fetch(admin, "GET", "/ready", "").ok()?;
        let (_, listeners) = fetch(admin, "GET", "/listeners", "").ok()?;
        let address = listeners
            .lines()
            .find_map(|line| line.trim().strip_prefix("peer::")?.parse().ok())?;
        (status == 200).then_some(address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// The folder with the service's files, removed when dropped.
pub(crate) struct Files {
    folder: PathBuf,
    keys: PathBuf,
    vault_key: PathBuf,
    users: PathBuf,
    log: PathBuf,
}

impl Files {
    /// Makes an ES256 key, a vault key, a users file and a log file.
    pub(crate) fn create(folder: &Path) -> Result<Self, Fault> {
        let folder = folder.join(format!("login-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let [keys, vault_key, users, log] =
            ["keys.json", "vault.key", "users", "log"].map(|name| folder.join(name));
        create_private(
            &keys,
            &StoredKeys::of([PrivateJwk::generate(Algorithm::Es256, now())?]).content(),
        )?;
        let mut bits = [0; 32];
        rand::fill(&mut bits).map_err(|_| "no random bits")?;
        create_private(&vault_key, (STANDARD.encode(bits) + "\n").as_bytes())?;
        create_private(&users, USERS.as_bytes())?;
        Ok(Self {
            folder,
            keys,
            vault_key,
            users,
            log,
        })
    }
}

impl Files {
    /// A file that only its owner can read, if it is not there already.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf, Fault> {
        let path = self.folder.join(name);
        if !path.exists() {
            create_private(&path, content.as_bytes())?;
        }
        Ok(path)
    }

    /// The service's private key set.
    pub(crate) fn signing_keys(&self) -> Result<Vec<u8>, Fault> {
        Ok(std::fs::read(&self.keys)?)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A folder that cannot be removed stays under target/ and does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A free port.
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

/// Sends one request on a new connection. Returns status and body.
pub(crate) fn fetch(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), Fault> {
    fetch_as("application/json", address, method, path, body)
}

/// The same with a body of another kind.
pub(crate) fn fetch_as(
    kind: &str,
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), Fault> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    stream.write_all(
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("an answer without a head")?;
    let status = head
        .split(' ')
        .nth(1)
        .ok_or("an answer without a status")?
        .parse()?;
    Ok((status, body.to_owned()))
}
