//! The store under test, in memory or in a Redis of the test's own, and what the scheduler does to it: it moves the
//! clock, lets each step wait, loses it or its answer, and takes back what no replica has.

use std::{cell::Cell, fs::File, os::unix::fs::FileExt, rc::Rc};

use chrono::{DateTime, Utc};
use redis::{Pipeline, Value};
use wxmint_redis_link::{Confirm, members};
use wxmint_store::{Store, StoreAccess};

use crate::stepping::{Answer, Answers, Call, answers};
use crate::support::prelude::*;
use crate::{DAY, Millis, at};

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

/// A call of the store. It takes a step whenever its fate is given, and looks on its own.
pub(crate) struct StoreCall<T>(Call<Answer<T>>);

impl<T> StoreCall<T> {
    /// Its result, if that was its last step.
    pub(crate) async fn go_on(&mut self, stores: &Stores, fate: Fate) -> Option<Answer<T>> {
        let step = self.0.step();
        let said = if fate == Fate::NotTaken {
            None
        } else {
            stores.answers(&step.commands).await
        };
        step.answer(said.filter(|_| fate == Fate::Taken));
        self.come_to_a_step(stores).await
    }

    async fn come_to_a_step(&mut self, stores: &Stores) -> Option<Answer<T>> {
        loop {
            let done = self.0.go_on().await;
            if done.is_some() {
                return done;
            }
            let step = self.0.step();
            if !step.only_looks() {
                return None;
            }
            step.answer(stores.answers(&step.commands).await);
        }
    }
}

pub(crate) struct Stores {
    /// For a look, and for steps that are not under test.
    pub(crate) directly: Store,
    /// The server that can lose something: in memory nothing is lost.
    pub(crate) server: Option<Rc<Server>>,
}

impl Stores {
    /// Empty.
    pub(crate) fn memory() -> Self {
        Self {
            directly: Store::new(&StoreAccess::in_memory(clock), DAY, clock, ()),
            server: None,
        }
    }

    /// Begins a call; it waits before its first step.
    pub(crate) async fn call<T>(
        &self,
        run: impl AsyncFn(&Store) -> Answer<T> + 'static,
    ) -> StoreCall<T> {
        let call = Call::new(|steps| {
            let store = steps.store(clock, Confirm::Replicas(1));
            async move { run(&store).await }
        });
        let mut call = StoreCall(call);
        assert!(
            call.come_to_a_step(self).await.is_none(),
            "a call has a step"
        );
        call
    }

    async fn answers(&self, commands: &Pipeline) -> Answers {
        let Some(server) = &self.server else {
            return answers(&self.directly, commands).await;
        };
        let mut all = Vec::new();
        for command in commands.cmd_iter() {
            all.push(match members(command).next() {
                Some(b"INFO") => server.info(),
                Some(b"WAIT") if server.replicate() => Value::Int(1),
                Some(b"WAIT") => return None,
                _ => answers(&self.directly, redis::pipe().add_command(command.clone()))
                    .await?
                    .remove(0),
            });
        }
        Some(all)
    }

    /// `own` is what the machines of wxmint have, unless the store is in one of them.
    pub(crate) fn set_clock(&self, now: Millis, own: Millis) {
        CLOCK.set(if self.server.is_some() { own } else { now });
        if let Some(server) = &self.server {
            // In microseconds.
            server
                .clock
                .write_all_at(&(now * 1_000).to_ne_bytes(), 0)
                .expect("our own file");
        }
    }
}

/// One server. Its replica is a copy of its keys.
pub(crate) struct Server {
    server: RedisServer,
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
}

/// Name, content, and when it expires.
type Copied = (Vec<u8>, Vec<u8>, i64);

const COPY: &str = "local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do \
    all[#all + 1] = {key, redis.call('DUMP', key), redis.call('PEXPIRETIME', key)} end return all";

impl Server {
    pub(crate) fn start() -> Rc<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, library) = (folder.path().join("clock"), folder.path().join("clock.so"));
        fs::write(&clock, 0_i64.to_ne_bytes()).expect("our own folder");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(repository("tests/proofs/revocations/clock.c"));
        assert!(
            compiler.status().is_ok_and(|status| status.success()),
            "cc is needed; try: make setup"
        );
        let variables = [("LD_PRELOAD", &library), ("CLOCK", &clock)];
        let variables = variables.map(|(name, path)| format!("env:{name}={}", path.display()));
        let server = RedisServer::with(|| variables.to_vec(), "");
        let clock = File::options()
            .write(true)
            .open(clock)
            .expect("our own file");
        let (copied, is_alone, written, confirmed, primaries) = Default::default();
        Rc::new(Self {
            server,
            clock,
            _folder: folder,
            copied,
            is_alone,
            written,
            confirmed,
            primaries,
        })
    }

    pub(crate) fn emptied(self: &Rc<Self>) -> Stores {
        self.copied.take();
        self.fail_over();
        let access = StoreAccess::new(wxmint_redis_link::RedisAccess::fixed(
            self.server.url().parse().expect("a URL"),
        ));
        Stores {
            directly: Store::new(&access, DAY, clock, ()),
            server: Some(Rc::clone(self)),
        }
    }

    /// The replica gets what the primary has, unless it is cut off. Whether it confirms.
    pub(crate) fn replicate(&self) -> bool {
        if self.is_alone.get() {
            return false;
        }
        self.copied.set(self.server.command(&["EVAL", COPY, "0"]));
        self.confirmed.set(self.written.get());
        true
    }

    /// The primary's answer to `INFO replication`.
    fn info(&self) -> Value {
        let Self {
            written,
            confirmed,
            primaries,
            ..
        } = self;
        written.update(|asked| asked + 1);
        let (written, confirmed, primary) = (written.get(), confirmed.get(), primaries.get());
        let info = format!(
            "role:master\r\nslave0:ip=127.0.0.1,port=1,state=online,offset={confirmed},lag=0\r\n\
             master_replid:{primary}\r\nmaster_repl_offset:{written}\r\n"
        );
        Value::BulkString(info.into())
    }

    /// The replica becomes the primary, with a replica that has the same.
    pub(crate) fn fail_over(&self) {
        let mut restored = redis::pipe();
        restored.cmd("FLUSHALL");
        for (name, content, expires) in self.copied.take() {
            restored
                .cmd("RESTORE")
                .arg(name)
                .arg(expires.max(0))
                .arg(content)
                .arg("ABSTTL");
        }
        restored
            .exec(&mut self.server.connection().expect("it listens"))
            .expect("restored");
        self.is_alone.set(false);
        self.replicate();
        self.primaries.update(|primaries| primaries + 1);
    }
}
