//! THE starter of redis-server for all tests: a server of the test's own, that can be killed, frozen, and told
//! anything. By its options it is a node of a Cluster, a Sentinel, or has TLS. This file imports nothing of wxmint or
//! of the other tests, so that the tests of any crate can have it by `#[path]`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

/// How long tests wait for what takes milliseconds on an idle machine. The other waits of tests that start processes
/// are multiples of it, or have `BUSY` in them, which is as long. If `WXMINT_TEST_PATIENCE=30` is set when tests are
/// compiled, for a slow machine, it is 30 s.
pub(crate) const PATIENCE: Duration =
    Duration::from_secs(match option_env!("WXMINT_TEST_PATIENCE") {
        Some(text) => match u64::from_str_radix(text, 10) {
            Ok(seconds) => seconds,
            Err(_) => panic!("WXMINT_TEST_PATIENCE must be a number of seconds"),
        },
        None => 10,
    });
const POLL: Duration = Duration::from_millis(5);
/// In each server's folder. Sentinel writes its configuration to the file that it was started with.
pub(crate) const EMPTY_FILE: &str = "written-by-itself.conf";
const LOG: &str = "log";

pub(crate) struct RedisServer {
    port: u16,
    password: String,
    options: Vec<String>,
    process: Child,
    folder: TempDir,
    /// Neither killed nor frozen.
    answers: AtomicBool,
}

impl RedisServer {
    /// With further `options` of its command line; an empty `password` means none. It answers in milliseconds, for
    /// which a runtime may be held up.
    pub(crate) async fn start(options: &[String], password: &str) -> Self {
        Self::with(|| options.to_vec(), password)
    }

    /// The same where an option is a port, which may have to be another one.
    pub(crate) fn with(options: impl Fn() -> Vec<String>, password: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(EMPTY_FILE), "").expect("written");
        let (port, options, process) = loop {
            let (port, options) = (free_port(), options());
            let mut process = spawn(port, &options, password, folder.path());
            match up(port, password, &mut process) {
                true => break (port, options, process),
                false => assert!(
                    log(folder.path()).contains("Address already in use"),
                    "{}",
                    log(folder.path())
                ),
            }
        };
        Self {
            port,
            password: password.to_owned(),
            options,
            process,
            folder,
            answers: AtomicBool::new(true),
        }
    }

    /// A replica of `primary`, with all that the primary has.
    pub(crate) async fn replica_of(primary: &Self) -> Self {
        let replica = Self::with(Vec::new, "");
        // Else the primary waits 5 s for more replicas.
        primary.command::<()>(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
        replica.command::<()>(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
        until("a replica", || {
            let online = format!("port={},state=online", replica.port);
            let said: String = primary.command(&["INFO", "replication"]);
            said.contains(&online) && primary.is_confirmed_by(said.matches("state=online").count())
        });
        replica
    }

    /// Whether so many replicas confirm a write. A primary says `state=online`, and a replica `master_link_status:up`,
    /// up to a second before the primary sends that replica anything.
    pub(crate) fn is_confirmed_by(&self, replicas: usize) -> bool {
        let Ok(mut connection) = self.connection() else {
            return false;
        };
        let mut confirmed_by = |number: usize| {
            let (key, mut write) = (format!("written{number}"), redis::pipe());
            write
                .cmd("SET")
                .arg(&key)
                .arg(1)
                .ignore()
                .cmd("DEL")
                .arg(&key)
                .ignore();
            let confirmed: RedisResult<(usize,)> = write
                .cmd("WAIT")
                .arg(replicas)
                .arg(100)
                .query(&mut connection);
            confirmed.ok()
        };
        // A node of a Cluster refuses the keys of others.
        (0..100)
            .find_map(&mut confirmed_by)
            .is_some_and(|(count,)| count >= replicas)
    }

    /// As an administrator.
    pub(crate) fn connection(&self) -> RedisResult<redis::Connection> {
        let connection = redis::Client::open(self.url())?.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    pub(crate) fn url(&self) -> String {
        url(self.port, &self.password)
    }

    /// The same, with something in between.
    pub(crate) fn url_through(&self, port: u16) -> String {
        url(port, &self.password)
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// The part of its URL before the host.
    pub(crate) fn user_part(&self) -> String {
        user_part(&self.password)
    }

    /// Whether it is neither killed nor frozen.
    pub(crate) fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command as an administrator.
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same where the server may refuse it, be frozen or be gone.
    pub(crate) fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let (name, arguments) = words.split_first().expect("a command");
        redis::cmd(name)
            .arg(arguments)
            .query(&mut self.connection()?)
    }

    /// All that it holds, as it writes that to disk; nothing where it cannot be asked.
    pub(crate) fn held(&self) -> Vec<u8> {
        let saved = self.answers() && self.try_command::<()>(&["SAVE"]).is_ok();
        saved
            .then(|| fs::read(self.folder.path().join("dump.rdb")).ok())
            .flatten()
            .unwrap_or_default()
    }

    /// Each key with its value as DUMP has it, where texts stand as they are.
    pub(crate) fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let keys: Vec<String> = self.command(&["KEYS", "*"]);
        // It may have expired since.
        let value = |key: &str| {
            self.command::<Option<_>>(&["DUMP", key])
                .unwrap_or_default()
        };
        keys.into_iter()
            .map(|key| (key.clone(), value(&key)))
            .collect()
    }

    /// How often each command has been called, within scripts too.
    pub(crate) fn calls(&self) -> BTreeMap<String, u64> {
        let stats: String = self.command(&["INFO", "commandstats"]);
        let lines = stats
            .lines()
            .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let number = |rest: &str| {
            rest.split(',')
                .next()
                .expect("a number")
                .parse()
                .expect("calls")
        };
        lines
            .map(|(name, rest)| (name.to_owned(), number(rest)))
            .collect()
    }

    /// The commands that have been called more often since `before`, but for this question.
    pub(crate) fn calls_since(&self, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let more = |(name, calls): (String, u64)| {
            let more = calls - before.get(&name).copied().unwrap_or_default();
            (name, more)
        };
        self.calls()
            .into_iter()
            .map(more)
            .filter(|(name, more)| *more > 0 && name != "info")
            .collect()
    }

    /// Lets nobody in who does not know the new password, those who were in already included.
    pub(crate) fn change_password(&mut self, password: &str) {
        // A Sentinel has no CONFIG.
        self.command::<()>(&[
            "ACL",
            "SETUSER",
            "default",
            "resetpass",
            &format!(">{password}"),
        ]);
        password.clone_into(&mut self.password);
        // A node of a Cluster presents it to its primary, too.
        if let Some(option) = self
            .options
            .iter()
            .position(|option| option == "--masterauth")
        {
            password.clone_into(&mut self.options[option + 1]);
            self.command::<()>(&["CONFIG", "SET", "masterauth", password]);
        }
        self.command::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    }

    /// Its clock is ahead of the true one by so much from now on, or behind. The options have [`movable_clock`].
    pub(crate) fn move_clock(&self, seconds: i64) {
        fs::write(
            self.folder.path().join("clock"),
            (seconds * 1_000_000).to_ne_bytes(),
        )
        .expect("its own folder");
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(&mut self) {
        self.answers.store(false, Ordering::Relaxed);
        // Fails only on a process that has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// On the same port and folder.
    pub(crate) async fn start_again(&mut self) {
        self.process = spawn(self.port, &self.options, &self.password, self.folder.path());
        assert!(
            up(self.port, &self.password, &mut self.process),
            "{}",
            log(self.folder.path())
        );
        self.answers.store(true, Ordering::Relaxed);
    }

    /// Accepts connections, as the kernel does that for it, and answers nothing.
    pub(crate) fn freeze(&self) {
        self.answers.store(false, Ordering::Relaxed);
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
        self.answers.store(true, Ordering::Relaxed);
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.process.id().to_string()])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the server has ended: {}",
            log(self.folder.path())
        );
    }
}

impl Drop for RedisServer {
    #[allow(
        clippy::print_stderr,
        reason = "a failed test is explained by what its processes said"
    )]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "--- redis-server at port {} said:\n{}",
                self.port,
                log(self.folder.path())
            );
        }
    }
}

/// The option of a server whose clock can be moved. `folder` is there as long as the server.
pub(crate) fn movable_clock(folder: &Path) -> String {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, include_str!("clock_of_redis.c")).expect("written");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "the C compiler is missing; run: make setup"
    );
    format!("env:LD_PRELOAD={}", library.display())
}

fn url(port: u16, password: &str) -> String {
    format!("redis://{}127.0.0.1:{port}", user_part(password))
}

fn user_part(password: &str) -> String {
    if password.is_empty() {
        String::new()
    } else {
        format!(":{password}@")
    }
}

fn spawn(port: u16, options: &[String], password: &str, folder: &Path) -> Child {
    let mut command = Command::new(server_program());
    // The name of a configuration file has to come first.
    // An option `env:NAME=VALUE` is a variable of its environment.
    let variables = options
        .iter()
        .filter_map(|option| option.strip_prefix("env:")?.split_once('='));
    command
        .current_dir(folder)
        .envs(variables)
        .args(options.iter().filter(|option| !option.starts_with("env:")));
    command
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "3600 1000000",
            "--dir",
        ])
        .arg(folder);
    // In a compressed file no test would find a secret.
    command.args(["--rdbcompression", "no"]);
    if !password.is_empty() {
        command.args(["--requirepass", password]);
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join(LOG))
        .expect("a file");
    command
        .stdin(Stdio::null())
        .stdout(log)
        .spawn()
        .expect("redis-server is needed; try: make setup")
}

/// The text that it has written so far.
fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join(LOG)).unwrap_or_default()
}

/// `redis-server`, or the path of what stands in for it in the repository; `make nightly` names Valkey's.
fn server_program() -> PathBuf {
    let Some(named) = env::var_os("WXMINT_TEST_REDIS") else {
        return "redis-server".into();
    };
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders
        .map(|folder| folder.join(&named))
        .find(|path| path.exists())
        .expect("WXMINT_TEST_REDIS is a program")
}

/// Waits until it answers, and nobody else on its port; false if it has ended instead.
fn up(port: u16, password: &str, process: &mut Child) -> bool {
    let client = redis::Client::open(url(port, password)).expect("a URL");
    let (own, mut has_ended) = (format!("process_id:{}\r", process.id()), false);
    until("Redis answers", || {
        has_ended = process.try_wait().expect("a child of ours").is_some();
        let info = client
            .get_connection()
            .and_then(|mut it| redis::cmd("INFO").arg("server").query::<String>(&mut it));
        has_ended || info.is_ok_and(|info| info.contains(&own))
    });
    !has_ended
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(POLL);
    }
}

/// Below the range from which the system takes ports for outgoing connections, so that no client sits on the port of a
/// server that is down for a moment. Browsers and Node refuse to fetch from port 10080.
const FIRST: u16 = 10_081;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on, for those who cannot ask for "any" and say which: Redis, and what must come back at
/// the same place. Another process may be faster: be ready to take the next.
pub(crate) fn free_port() -> u16 {
    // Test runs at the same time begin at different places.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port =
            FIRST + (u32::from(start) * 61 + u32::from(step)).rem_euclid(u32::from(COUNT)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
