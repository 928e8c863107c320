//! The store under test, in memory or in a Redis of the test's own, and what the scheduler does to it: it moves the
//! clock, lets each step wait, loses it or its answer, and takes back what no replica has.

use std::cell::Cell;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use chrono::{DateTime, Utc};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::sleep;
use wxmint_redis_link::{Confirm, Program, TlsFiles};
use wxmint_store::{Memory, RedisAccess, Store, StoreError};
use wxmint_telemetry::Metrics;

use super::resp::{ask, command, text};
use super::verifiers::at;
use crate::DAY;
use crate::stepping::{self, About, Answer, Call, Steps, Stepwise, What};
use crate::support::prelude::*;

/// Milliseconds since 1970 by the true clock, unless it says whose.
pub(crate) type Millis = i64;
pub(crate) const SECOND: Millis = 1_000;

thread_local! {
    /// The clock of the store in memory, or of the machines that ask the one in Redis.
    static CLOCK: Cell<Millis> = const { Cell::new(0) };
}

fn clock() -> DateTime<Utc> {
    at(CLOCK.get())
}

/// The fate of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    AnswerLost,
    NotTaken,
}

/// A call of the store. It takes a step whenever its fate is given: a command in Redis, the whole call in memory.
pub(crate) struct StoreCall<T>(Call<Answer<T>>);

impl<T> StoreCall<T> {
    /// Its result, if that was its last step.
    pub(crate) async fn go_on(&mut self, fate: Fate) -> Option<Answer<T>> {
        let step = self.0.step();
        if fate != Fate::NotTaken {
            step.take(fate == Fate::Taken).await;
        }
        if fate != Fate::Taken {
            step.fail();
        }
        self.0.go_on().await
    }
}

pub(crate) enum Stores {
    Memory(Rc<Memory>),
    Redis(Rc<Redis>),
}

impl Stores {
    /// Empty, and with a replica that is empty.
    pub(crate) fn memory() -> Self {
        Self::Memory(Rc::new(Memory::new(clock, DAY)))
    }

    /// For a look, and for steps that are not under test.
    pub(crate) fn directly(&self) -> Rc<dyn Store> {
        match self {
            Self::Memory(memory) => Rc::<Memory>::clone(memory),
            Self::Redis(redis) => Rc::clone(&redis.directly),
        }
    }

    /// Begins a call; it waits before its first step.
    pub(crate) async fn call<T>(&self, run: impl AsyncFn(&dyn Store) -> Answer<T> + 'static) -> StoreCall<T>
    where
        T: Debug + PartialEq + 'static,
    {
        let mut call = match self {
            Self::Memory(memory) => {
                let stores = stepping::Stores::of(vec![Rc::<Memory>::clone(memory)]);
                let whole = |steps| async move { Stepwise { stores, steps }.step(NOTHING_BOUND, run).await };
                Call::new(whole)
            }
            Self::Redis(redis) => Call::new(|steps| {
                let store = redis.through_a_gate(steps);
                async move { run(&store).await }
            }),
        };
        assert!(call.go_on().await.is_none(), "a call has a step");
        StoreCall(call)
    }

    /// `own` is what the machines of wxmint have, unless the store is in one of them.
    pub(crate) fn set_clock(&self, now: Millis, own: Millis) {
        match self {
            Self::Memory(_) => CLOCK.set(now),
            Self::Redis(redis) => {
                CLOCK.set(own);
                redis.set_clock(now);
            }
        }
    }

    /// The replica gets what the primary has, unless it is cut off.
    pub(crate) fn replicate(&self) {
        if let Self::Redis(redis) = self {
            redis.replicate();
        }
    }

    /// The store that can lose something: in memory nothing is lost.
    pub(crate) fn redis(&self) -> Option<&Redis> {
        match self {
            Self::Memory(_) => None,
            Self::Redis(redis) => Some(redis),
        }
    }
}

const NOTHING_BOUND: What = ("a step", About::Other, String::new());

/// One server. Its replica is a copy of its keys.
pub(crate) struct Redis {
    server: RedisServer,
    directly: Rc<dyn Store>,
    /// In microseconds.
    clock: File,
    _folder: TempDir,
    /// The keys that the replica has.
    copied: Cell<Vec<Copied>>,
    /// The replica hears nothing of the primary, and confirms nothing.
    pub(crate) is_alone: Cell<bool>,
    /// How often the primary was asked how far it has come, which stands for the bytes that it has written.
    written: Cell<u64>,
    /// The same when the replica last had all keys.
    confirmed: Cell<u64>,
    /// How many primaries there have been.
    primaries: Cell<u64>,
    /// How many waits nobody has confirmed.
    unconfirmed: Cell<u64>,
}

/// Name, content, and when it expires.
type Copied = (Vec<u8>, Vec<u8>, i64);

const COPY: &str = "local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do \
    all[#all + 1] = {key, redis.call('DUMP', key), redis.call('PEXPIRETIME', key)} end return all";

impl Redis {
    pub(crate) fn start() -> Rc<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, library) = (folder.path().join("clock"), folder.path().join("clock.so"));
        fs::write(&clock, 0_i64.to_ne_bytes()).expect("our own folder");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(repository("tests/proofs/ends/clock.c"));
        assert!(compiler.status().is_ok_and(|status| status.success()), "cc is needed; try: make setup");
        let variables = [("LD_PRELOAD", &library), ("CLOCK", &clock)];
        let variables = variables.map(|(name, path)| format!("env:{name}={}", path.display()));
        let server = RedisServer::with(|| variables.to_vec(), "");
        let directly = Rc::new(store_at(server.port(), Confirm::Replicas(0)));
        let clock = File::options().write(true).open(clock).expect("our own file");
        let (copied, is_alone, written, confirmed, primaries, unconfirmed) = Default::default();
        Rc::new(Self {
            server,
            directly,
            clock,
            _folder: folder,
            copied,
            is_alone,
            written,
            confirmed,
            primaries,
            unconfirmed,
        })
    }

    pub(crate) fn emptied(self: &Rc<Self>) -> Stores {
        self.copied.take();
        self.fail_over();
        Stores::Redis(Rc::clone(self))
    }

    fn set_clock(&self, now: Millis) {
        self.clock.write_all_at(&(now * 1_000).to_ne_bytes(), 0).expect("our own file");
    }

    /// Whether the replica confirms.
    fn replicate(&self) -> bool {
        if self.is_alone.get() {
            return false;
        }
        self.copied.set(self.server.command(&["EVAL", COPY, "0"]));
        self.confirmed.set(self.written.get());
        true
    }

    /// Whether a wait that nobody confirms ends with its connection. One in twenty lasts as long as it may, 400 ms,
    /// after which the write is not answered either.
    fn hangs_up(&self) -> bool {
        self.unconfirmed.update(|waits| waits + 1);
        !self.unconfirmed.get().is_multiple_of(20)
    }

    /// The primary's answer to `INFO replication`.
    fn info(&self) -> Vec<u8> {
        let Self { written, confirmed, primaries, .. } = self;
        written.update(|asked| asked + 1);
        let (written, confirmed, primary) = (written.get(), confirmed.get(), primaries.get());
        let info = format!(
            "role:master\r\nslave0:ip=127.0.0.1,port=1,state=online,offset={confirmed},lag=0\r\n\
             master_replid:{primary}\r\nmaster_repl_offset:{written}\r\n"
        );
        format!("${}\r\n{info}\r\n", info.len()).into_bytes()
    }

    /// The replica becomes the primary, with a replica that has the same.
    pub(crate) fn fail_over(&self) {
        let mut restored = redis::pipe();
        restored.cmd("FLUSHALL");
        for (name, content, expires) in self.copied.take() {
            restored.cmd("RESTORE").arg(name).arg(expires.max(0)).arg(content).arg("ABSTTL");
        }
        restored.exec(&mut self.server.connection().expect("it listens")).expect("restored");
        self.is_alone.set(false);
        self.replicate();
        self.primaries.update(|primaries| primaries + 1);
    }

    /// A store each of whose commands is a step. One for each call, which holds no others up while it waits.
    fn through_a_gate(self: &Rc<Self>, steps: Steps) -> wxmint_store::Redis {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let (near, redis) = (listener.local_addr().expect("a bound socket").port(), Rc::clone(self));
        actix_web::rt::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            while let Ok(Ok((near, _))) = tokio::time::timeout(PATIENCE, listener.accept()).await {
                actix_web::rt::spawn(gate(near, steps.clone(), Rc::clone(&redis)));
            }
        });
        store_at(near, Confirm::Replicas(1))
    }
}

/// Commands that make a connection, tell what the server is, or read what no step decides by.
const FREE: [&str; 14] = [
    "AUTH", "CLIENT", "CONFIG", "GET", "HELLO", "HGETALL", "HLEN", "HMGET", "INFO", "PING", "ROLE", "SCRIPT", "SELECT",
    "TIME",
];

async fn gate(near: TcpStream, steps: Steps, redis: Rc<Redis>) -> io::Result<()> {
    let far = TcpStream::connect(("127.0.0.1", redis.server.port())).await?;
    // Answers go out one by one, and the kernel would hold each back for 40 ms.
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut near, far) = (BufReader::new(near), Rc::new(Mutex::new(BufReader::new(far))));
    loop {
        let words = command(&mut near).await?;
        let name = text(&words[0]).to_ascii_uppercase();
        let answer = match name.as_str() {
            "INFO" if words.get(1).is_some_and(|section| text(section) == "replication") => redis.info(),
            "WAIT" if redis.replicate() => b":1\r\n".to_vec(),
            "WAIT" if redis.hangs_up() => return Ok(()),
            "WAIT" => {
                sleep(Duration::from_millis(text(&words[2]).parse().map_err(io::Error::other)?)).await;
                b":0\r\n".to_vec()
            }
            name if FREE.contains(&name) => ask(&words, &mut *far.lock().await).await?,
            _ => {
                let far = Rc::clone(&far);
                let asked = async move || ask(&words, &mut *far.lock().await).await.map_err(failed);
                let answer = steps.take(NOTHING_BOUND, asked).await;
                answer.unwrap_or_else(|StoreError { reason }| format!("-ERR {reason}\r\n").into_bytes())
            }
        };
        near.write_all(&answer).await?;
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError { reason: error.to_string() }
}

fn store_at(port: u16, confirm: Confirm) -> wxmint_store::Redis {
    let url = format!("redis://127.0.0.1:{port}").parse().expect("a URL");
    let link = wxmint_redis_link::RedisAccess::new(url, TlsFiles::default(), confirm, Program::default());
    let access = RedisAccess::new(link.expect("no files are named"));
    wxmint_store::Redis::new(&access, DAY, clock, Metrics::default())
}
