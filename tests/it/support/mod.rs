//! The harness: a real Redis, the simulator and `wxmint serve`, each a process of its own, on ports of their own.
//!
//! Everything that is started is valid by default, so that a test names only what it spoils. Nothing here sleeps and
//! hopes: waits end when their condition holds, and fail at their deadline.

mod accepting;
mod account_service;
mod answer;
mod answering;
pub(crate) mod audit;
mod bed;
mod collector;
mod configuration;
mod connection;
mod demo;
mod ended;
mod keys;
pub(crate) mod limit;
pub(crate) mod load;
mod process;
mod proxy;
#[expect(
    dead_code,
    reason = "tests/nightly and the tests of crates/redis-link need more of it"
)]
mod redis_cluster;
pub(crate) mod redis_keys;
mod redis_server;
pub(crate) mod scan;
pub(crate) mod secrets;
#[expect(
    dead_code,
    reason = "tests/nightly and the tests of crates/redis-link need more of it"
)]
mod sentinel;
mod service;
mod sidecar;
mod simulator;
mod terminal;
mod tls;
mod users;
mod wait;
mod wire;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tempfile::TempDir;

pub(crate) use self::accepting::Accepting;
pub(crate) use self::account_service::{AccountService, Reply};
pub(crate) use self::answer::{Answer, Http};
pub(crate) use self::answering::{Answering, Call, Manner, Step, answer};
pub(crate) use self::bed::{Builder, Clock, Reachable, TestBed};
pub(crate) use self::bed::{OPERATOR, PLATFORM, PLATFORM_KEY, PLATFORM_SECRET, PLATFORM_TOKEN};
pub(crate) use self::collector::Collector;
pub(crate) use self::configuration::{
    APP_SECRET, APPID, Configuration, ISSUER, ONE_THREAD, OTHER_APPID, OTHER_SECRET, apps_folder,
    replace, set_mode, write_private,
};
pub(crate) use self::connection::Connection;
pub(crate) use self::demo::Demo;
pub(crate) use self::ended::Ended;
pub(crate) use self::keys::{
    READ_AGAIN_WITHIN, decoded, jwks_kids, keys, keys_command, kid_of, kids_of, private_parts,
    said, signs,
};
pub(crate) use self::load::Load;
pub(crate) use self::process::{Process, Signal, closed_pipe, on_a_full_disk, raise_open_files};
pub(crate) use self::proxy::Breakable;
pub(crate) use self::redis_cluster::RedisCluster;
pub(crate) use self::redis_server::{PATIENCE, RedisServer, free_port, movable_clock};
pub(crate) use self::sentinel::Sentinel;
pub(crate) use self::service::{Service, sample};
pub(crate) use self::sidecar::{Sidecar, SidecarSettings};
pub(crate) use self::simulator::Simulator;
pub(crate) use self::terminal::Terminal;
pub(crate) use self::tls::{Authority, Terminator};
pub(crate) use self::users::{
    PASSWORD, UsersFile, WRONG_PASSWORD, password_of, users_command, wrong_password_of,
};
pub(crate) use self::wait::{eventually, until};
pub(crate) use self::wire::{Impatient, Pace, Received, wire_request};

/// The names that most tests use.
pub(crate) mod prelude {
    pub(crate) use std::collections::{BTreeMap, BTreeSet};
    pub(crate) use std::path::{Path, PathBuf};
    pub(crate) use std::{fs, process::Command, time::Duration};

    pub(crate) use futures_util::future::join_all;
    pub(crate) use serde_json::{Value, json};
    pub(crate) use tempfile::TempDir;

    pub(crate) use super::*;
}

/// The tools that `make setup` has installed for the tests.
pub(crate) fn tools(path: &str) -> PathBuf {
    let tool = repository("target/tools").join(path);
    assert!(
        tool.exists(),
        "{} is missing; run: make setup",
        tool.display()
    );
    tool
}

/// The Go of `make setup`, which installs one where the machine's own is missing or too old; otherwise the machine's.
pub(crate) fn go() -> PathBuf {
    let installed = repository("target/tools/golang/go/bin/go");
    if installed.exists() {
        installed
    } else {
        "go".into()
    }
}

/// For scripts of Node, which looks for packages above a script's own folder.
pub(crate) fn node_folder() -> TempDir {
    TempDir::new_in(tools("node")).expect("a folder")
}

/// The lines of `tests/tools/openapi_check.py` about messages, one for each. `arguments`: the document, and options.
pub(crate) fn openapi_check(arguments: &[&OsStr], messages: &impl Serialize) -> Vec<String> {
    let mut check = Command::new(tools("python/bin/python"));
    check
        .arg(repository("tests/tools/openapi_check.py"))
        .args(arguments);
    let messages = serde_json::to_string(messages).expect("texts");
    Ended::of(&mut check, &messages)
        .expect_success()
        .stdout
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The library that moves a program's clock, in a folder of the architecture. The one without MT may tell one of two
/// threads that ask at once the true time.
pub(crate) fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib")
        .expect("a folder")
        .filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    found
        .find(|library| Path::new(library).exists())
        .expect("libfaketime is missing; run: make setup")
}

/// The variables by which a program's clock is ahead by `+30s`, or behind.
pub(crate) fn clock_off_by(time: &str) -> [(&'static str, String); 3] {
    let library = libfaketime().to_string_lossy().into_owned();
    [
        ("LD_PRELOAD", library),
        ("FAKETIME", time.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// Those by which it is what this file says, and only as long as that says it.
pub(crate) fn clock_of(file: &Path) -> [(&'static str, String); 4] {
    let [library, file] =
        [libfaketime(), file.to_owned()].map(|path| path.to_string_lossy().into_owned());
    let [cache, monotonic] =
        ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC"].map(|name| (name, "1".to_owned()));
    [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", file),
        cache,
        monotonic,
    ]
}

/// `PATH` for a shell that runs `wxmint`.
pub(crate) fn path_with_wxmint() -> String {
    let programs = Path::new(WXMINT)
        .parent()
        .expect("a folder of programs")
        .display();
    format!("{programs}:{}", std::env::var("PATH").unwrap_or_default())
}

pub(crate) fn repository(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) const WXMINT: &str = env!("CARGO_BIN_EXE_wxmint");

/// The program, in a folder where nobody has a `.env`, which a checkout may have.
pub(crate) fn wxmint() -> Command {
    limit::at_most(LIMIT);
    let mut command = Command::new(WXMINT);
    command.current_dir("/");
    command
}

/// A command of wxmint in this folder, with nothing of our environment.
pub(crate) fn wxmint_in(folder: impl AsRef<Path>, words: &[&str]) -> Command {
    let mut command = wxmint();
    command.args(words).env_clear().current_dir(folder);
    command
}

/// A command of wxmint for the Redis at this URL, with nothing else of our environment.
pub(crate) fn command_on(redis_url: &str, words: &[&str]) -> Command {
    let mut command = wxmint();
    command
        .args(words)
        .env_clear()
        .env("WXMINT_REDIS_URL", redis_url);
    command
}

/// Makes the user of docs/redis.md for wxmint, with `more` rights; the URL by which that one connects.
pub(crate) fn url_of_documented_user(redis: &RedisServer, password: &str, more: &str) -> String {
    let page = fs::read_to_string(repository("docs/redis.md")).expect("a page");
    let rule = page
        .lines()
        .find(|line| line.starts_with("ACL SETUSER wxmint"))
        .expect("a rule");
    let rule = format!(
        "{} {more}",
        rule.replace(">PASSWORD", &format!(">{password}"))
    );
    redis.command::<()>(&rule.split_whitespace().collect::<Vec<_>>());
    format!("redis://wxmint:{password}@127.0.0.1:{}", redis.port())
}

/// The machine may add this to a deadline that the service keeps. In `make nightly` it does nothing else.
pub(crate) const BUSY: Duration = match env!("CARGO_CRATE_NAME").as_bytes() {
    b"nightly" => Duration::from_millis(1500),
    _ => PATIENCE,
};

/// A test that takes longer hangs. It ends the whole program, so it is far more than a busy machine takes: a test takes
/// a minute at most on an idle one. What is to be done within a time has a deadline of its own, and the proofs count
/// steps. The campaign takes as long as it is told to.
const LIMIT: Duration = match env!("CARGO_CRATE_NAME").as_bytes() {
    b"nightly" | b"proofs" => Duration::from_mins(30),
    b"campaign" => Duration::MAX,
    _ => Duration::from_mins(10),
};

/// A lock that a panicked test left behind will do for those that go on.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shown even if the test passes; println! would not be.
pub(crate) fn tell(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("standard error");
}
