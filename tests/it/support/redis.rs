//! A Redis server of the test's own, that can be killed, frozen, and told anything.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

use super::{PATIENCE, Process, Signal, eventually, ports::free_port, repository, until};

/// In each server's folder. Sentinel writes its configuration to the file that it was started with.
pub(super) const EMPTY_FILE: &str = "written-by-itself.conf";
const CLOCK: &str = "tests/it/support/clock_of_redis.c";

pub(crate) struct RedisServer {
    port: u16,
    password: String,
    options: Vec<String>,
    process: Process,
    folder: TempDir,
    /// Neither killed nor frozen.
    answers: AtomicBool,
}

impl RedisServer {
    /// With further `options` of its command line; an empty `password` means none.
    pub(crate) async fn start(options: &[String], password: &str) -> Self {
        Self::start_with(|| options.to_vec(), password).await
    }

    /// The same where an option is a port, which may have to be another one.
    pub(crate) async fn start_with(options: impl Fn() -> Vec<String>, password: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(EMPTY_FILE), "").expect("written");
        let (port, options, process) = loop {
            let (port, options) = (free_port(), options());
            let mut process = spawn(port, &options, password, folder.path());
            match up(port, password, &mut process).await {
                true => break (port, options, process),
                false => assert!(
                    process.stdout().iter().any(|line| line.contains("Address already in use")),
                    "{:?}",
                    process.stdout()
                ),
            }
        };
        Self { port, password: password.to_owned(), options, process, folder, answers: AtomicBool::new(true) }
    }

    /// A replica of `primary`, with all that the primary has.
    pub(crate) async fn replica_of(primary: &Self) -> Self {
        let replica = Self::start(&[], "").await;
        // Else the primary waits 5 s for more replicas.
        primary.command::<()>(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
        replica.command::<()>(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
        until("a replica", PATIENCE, async || {
            let online = format!("port={},state=online", replica.port);
            let said: String = primary.command(&["INFO", "replication"]);
            said.contains(&online) && primary.is_confirmed_by(said.matches("state=online").count())
        })
        .await;
        replica
    }

    /// Whether so many replicas confirm a write. A primary says `state=online`, and a replica `master_link_status:up`, up to a
    /// second before the primary sends that replica anything.
    pub(super) fn is_confirmed_by(&self, replicas: usize) -> bool {
        let Ok(mut connection) = self.connection() else { return false };
        let mut confirmed_by = |number: usize| {
            let (key, mut write) = (format!("written{number}"), redis::pipe());
            write.cmd("SET").arg(&key).arg(1).ignore().cmd("DEL").arg(&key).ignore();
            let confirmed: RedisResult<(usize,)> = write.cmd("WAIT").arg(replicas).arg(100).query(&mut connection);
            confirmed.ok()
        };
        // A node of a Cluster refuses the keys of others.
        (0..100).find_map(&mut confirmed_by).is_some_and(|(count,)| count >= replicas)
    }

    fn connection(&self) -> RedisResult<redis::Connection> {
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

    /// Of its URL: what stands before the host.
    pub(crate) fn user_part(&self) -> String {
        user_part(&self.password)
    }

    /// Whether it is neither killed nor frozen.
    pub(super) fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command as an administrator.
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same where the server may refuse it, be frozen or be gone.
    pub(crate) fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let (name, arguments) = words.split_first().expect("a command");
        redis::cmd(name).arg(arguments).query(&mut self.connection()?)
    }

    /// Each key with all that its value consists of. A kind of value that this does not know fails the test.
    pub(crate) fn everything(&self) -> Vec<(String, Vec<Vec<u8>>)> {
        let parts = |key: &str| match self.command::<String>(&["TYPE", key]).as_str() {
            "string" => vec![self.command(&["GET", key])],
            "hash" => self.command(&["HGETALL", key]),
            "list" => self.command(&["LRANGE", key, "0", "-1"]),
            "stream" => {
                let entries: Vec<(String, Vec<Vec<u8>>)> = self.command(&["XRANGE", key, "-", "+"]);
                entries.into_iter().flat_map(|(_, fields)| fields).collect()
            }
            // It has expired since.
            "none" => Vec::new(),
            other => panic!("{key} is a {other}, which this test cannot read"),
        };
        let keys: Vec<String> = self.command(&["KEYS", "*"]);
        keys.into_iter().map(|key| (key.clone(), parts(&key))).collect()
    }

    /// How often each command has been called, within scripts too.
    pub(crate) fn calls(&self) -> BTreeMap<String, u64> {
        let stats: String = self.command(&["INFO", "commandstats"]);
        let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let number = |rest: &str| rest.split(',').next().expect("a number").parse().expect("calls");
        lines.map(|(name, rest)| (name.to_owned(), number(rest))).collect()
    }

    /// What has been called more often since `before`, but for this question.
    pub(crate) fn calls_since(&self, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let more = |(name, calls): (String, u64)| {
            let more = calls - before.get(&name).copied().unwrap_or_default();
            (name, more)
        };
        self.calls().into_iter().map(more).filter(|(name, more)| *more > 0 && name != "info").collect()
    }

    /// Lets nobody in who does not know the new password, those who were in already included.
    pub(crate) fn change_password(&mut self, password: &str) {
        self.command::<()>(&["CONFIG", "SET", "requirepass", password]);
        self.password = password.to_owned();
        // A node of a Cluster presents it to its primary, too.
        if let Some(option) = self.options.iter().position(|option| option == "--masterauth") {
            self.options[option + 1] = password.to_owned();
            self.command::<()>(&["CONFIG", "SET", "masterauth", password]);
        }
        self.command::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    }

    /// Its clock is ahead of the true one by so much from now on, or behind. The options have [`movable_clock`].
    pub(crate) fn move_clock(&self, seconds: i64) {
        fs::write(self.folder.path().join("clock"), (seconds * 1_000_000).to_ne_bytes()).expect("its own folder");
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(&mut self) {
        self.answers.store(false, Ordering::Relaxed);
        self.process.kill();
    }

    /// On the same port and folder.
    pub(crate) async fn start_again(&mut self) {
        self.process = spawn(self.port, &self.options, &self.password, self.folder.path());
        assert!(up(self.port, &self.password, &mut self.process).await, "{:?}", self.process.stdout());
        self.answers.store(true, Ordering::Relaxed);
    }

    /// Accepts connections, as the kernel does that for it, and answers nothing.
    pub(crate) fn freeze(&self) {
        self.answers.store(false, Ordering::Relaxed);
        self.process.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::CONT);
        self.answers.store(true, Ordering::Relaxed);
    }
}

/// The option of a server whose clock can be moved. `folder` is there as long as the server.
pub(crate) fn movable_clock(folder: &Path) -> String {
    let library = folder.join("clock.so");
    let mut compiler = Command::new("cc");
    let made = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(repository(CLOCK)).status();
    assert!(made.is_ok_and(|status| status.success()), "the C compiler is missing; run: make setup");
    format!("env:LD_PRELOAD={}", library.display())
}

fn url(port: u16, password: &str) -> String {
    format!("redis://{}127.0.0.1:{port}", user_part(password))
}

fn user_part(password: &str) -> String {
    if password.is_empty() { String::new() } else { format!(":{password}@") }
}

fn spawn(port: u16, options: &[String], password: &str, folder: &Path) -> Process {
    let program = server_program();
    let mut command = Command::new(&program);
    // The name of a configuration file has to come first.
    // An option `env:NAME=VALUE` is a variable of its environment.
    let variables = options.iter().filter_map(|option| option.strip_prefix("env:")?.split_once('='));
    command.current_dir(folder).envs(variables).args(options.iter().filter(|option| !option.starts_with("env:")));
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "3600 1000000", "--dir"]).arg(folder);
    if !password.is_empty() {
        command.args(["--requirepass", password]);
    }
    Process::spawn(&program.to_string_lossy(), &mut command)
}

/// `redis-server`, or the path of what stands in for it; `make nightly` names Valkey's.
fn server_program() -> PathBuf {
    match env::var_os("WXMINT_TEST_REDIS") {
        Some(path) => repository(path),
        None => "redis-server".into(),
    }
}

/// Waits until it answers, and nobody else on its port; false if it has ended instead.
async fn up(port: u16, password: &str, process: &mut Process) -> bool {
    let client = redis::Client::open(url(port, password)).expect("a URL");
    eventually("Redis answers", PATIENCE, async || {
        if process.ended().is_some() {
            return Some(false);
        }
        let info = client.get_connection().and_then(|mut it| redis::cmd("INFO").arg("server").query::<String>(&mut it));
        info.is_ok_and(|info| info.contains(&format!("process_id:{}\r", process.id()))).then_some(true)
    })
    .await
}
