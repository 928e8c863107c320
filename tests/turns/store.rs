//! The store of the turns: the one in memory, or a Redis, before which a call is lost, its answer is lost, or somebody
//! else comes first.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use std::{env, thread};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use redis::{Pipeline, ServerErrorKind, Value};
use tokio::time::Instant;
use wxmint::clock::now;
use wxmint_redis_link::{Confirm, DEADLINE, StandIn, members};
use wxmint_store::{Store, StoreAccess};

/// The fault at one call of a use case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The call is not executed, and nothing answers.
    Before,
    /// The call is executed, and its answer is lost.
    After,
    /// The call and the next ones are not executed: the store is away for [`AWAY`] calls.
    AwayBefore,
    /// The call is executed, its answer is lost, and the next ones are not executed.
    AwayAfter,
    /// Another use case is done from its beginning to its end, and the call is executed after it.
    Between,
}

impl Fault {
    /// Those that need nobody else.
    pub(crate) const ALONE: [Self; 4] =
        [Self::Before, Self::After, Self::AwayBefore, Self::AwayAfter];
}

/// For how many calls the store is away. What is given up `retry_for_5_s` is given up then.
const AWAY: usize = 4;

/// Somebody else, who comes between.
pub(crate) type Rival = Rc<dyn Fn() -> LocalBoxFuture<'static, ()>>;

/// The turns of one use case under test.
#[derive(Default)]
struct Turns {
    store: Option<Rc<Store>>,
    /// The number of the call at which something goes wrong, and what.
    planned: Option<(usize, Fault)>,
    rival: Option<Rival>,
    /// Whether calls are counted: those of the use case under test, and not those of preparations and laws.
    counts: bool,
    /// The calls so far.
    calls: Vec<String>,
    /// The call at which something has gone wrong.
    met: Option<String>,
    /// For how many calls more the store is away.
    away: usize,
}

thread_local! {
    static TURNS: RefCell<Turns> = RefCell::default();
    /// Seconds that the clock of the store is ahead.
    static PASSED: Cell<i64> = const { Cell::new(0) };
}

/// A Redis of this thread's own. It ends with the thread.
struct Server {
    process: Child,
    port: u16,
}

thread_local! {
    /// The store is a Redis where `TURNS_STORE=redis` says so.
    static SERVER: OnceCell<Option<Server>> = const { OnceCell::new() };
}

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port");
        let port = free.port();
        let options = [
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let process = Command::new("redis-server")
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server");
        let server = Self { process, port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::yield_now();
        }
        server
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn empty(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.write_all(b"FLUSHALL\r\n").expect("sent");
        let mut said = String::new();
        BufReader::new(stream)
            .read_line(&mut said)
            .expect("an answer");
        assert_eq!(said, "+OK\r\n");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Puts an empty store in memory in place of the one before, whose clock can be moved.
pub(crate) fn begin_in_memory() {
    PASSED.set(0);
    begin_at(&StoreAccess::in_memory(later));
}

/// Puts an empty store in place of the one before.
pub(crate) fn begin_anew() {
    PASSED.set(0);
    let is_redis = || env::var("TURNS_STORE").is_ok_and(|store| store == "redis");
    SERVER.with(
        |server| match server.get_or_init(|| is_redis().then(Server::start)) {
            None => begin_in_memory(),
            Some(server) => {
                server.empty();
                let url = server.url().parse().expect("a URL");
                begin_at(&StoreAccess::new(wxmint_redis_link::RedisAccess::fixed(
                    url,
                )));
            }
        },
    );
}

/// Lets so many seconds pass by the clock of the store in memory.
pub(crate) fn let_pass(seconds: i64) {
    PASSED.set(PASSED.get() + seconds);
}

/// The same where the store may be a Redis, which has the machine's clock: then they are waited for.
pub(crate) async fn let_pass_anywhere(seconds: i64) {
    let_pass(seconds);
    if SERVER.with(|server| server.get().is_some_and(Option::is_some)) {
        tokio::time::sleep(Duration::from_secs(seconds.unsigned_abs())).await;
    }
}

/// The time by the clock of the store in memory.
pub(crate) fn later() -> DateTime<Utc> {
    now() + TimeDelta::seconds(PASSED.get())
}

fn begin_at(access: &StoreAccess) {
    let store = Rc::new(Store::new(access, Duration::ZERO, now, ()));
    TURNS.with_borrow_mut(|turns| {
        *turns = Turns {
            store: Some(store),
            ..Turns::default()
        }
    });
}

/// Does `act` with the fault at this call of it. Also returns the call, if `act` has made so many.
pub(crate) async fn with_fault<T>(
    planned: Option<(usize, Fault)>,
    rival: Option<Rival>,
    act: impl Future<Output = T>,
) -> (T, Option<String>) {
    TURNS.with_borrow_mut(|turns| {
        (turns.planned, turns.rival, turns.counts) = (planned, rival, true);
        turns.calls.clear();
        turns.met = None;
    });
    let done = act.await;
    let met = TURNS.with_borrow_mut(|turns| {
        (turns.planned, turns.rival, turns.counts, turns.away) = (None, None, false, 0);
        turns.met.take()
    });
    (done, met)
}

/// A way to the store that is in place when it is asked, as a process has it.
pub(crate) fn access() -> StoreAccess {
    StoreAccess::new(wxmint_redis_link::RedisAccess::to(
        Way,
        Confirm::Replicas(0),
    ))
}

/// The store as laws and preparations have it.
pub(crate) fn directly() -> Rc<Store> {
    TURNS
        .with_borrow(|turns| turns.store.clone())
        .expect("a store was put in place")
}

struct Way;

impl StandIn for Way {
    fn answer<'a>(&'a self, commands: &'a Pipeline) -> LocalBoxFuture<'a, Option<Vec<Value>>> {
        answered(commands).boxed_local()
    }
}

async fn answered(commands: &Pipeline) -> Option<Vec<Value>> {
    let Some(fault) = come(commands) else {
        return executed(commands).await;
    };
    match fault {
        Some(Fault::Before | Fault::AwayBefore) => return None,
        Some(Fault::Between) => {
            if let Some(rival) = TURNS.with_borrow_mut(|turns| turns.rival.take()) {
                rival().await;
            }
            TURNS.with_borrow_mut(|turns| turns.counts = true);
        }
        Some(Fault::After | Fault::AwayAfter) | None => {}
    }
    let said = executed(commands).await;
    if said
        .as_ref()
        .is_some_and(|values| values.iter().any(is_unknown_script))
    {
        // It is sent again as text: the two are one call. Which scripts are known depends on what was done before.
        TURNS.with_borrow_mut(|turns| take_back(turns, fault));
        return said;
    }
    said.filter(|_| !matches!(fault, Some(Fault::After | Fault::AwayAfter)))
}

/// Counts the call. `None` if calls are not counted, otherwise what goes wrong at it.
#[expect(
    clippy::option_option,
    reason = "a call at which nothing goes wrong is counted too"
)]
fn come(commands: &Pipeline) -> Option<Option<Fault>> {
    TURNS.with_borrow_mut(|turns| {
        if !turns.counts {
            return None;
        }
        if turns.away > 0 {
            turns.away -= 1;
            return Some(Some(Fault::AwayBefore));
        }
        turns.calls.push(text(commands));
        let planned = turns
            .planned
            .filter(|(number, _)| *number == turns.calls.len())
            .map(|(_, fault)| fault);
        if let Some(fault) = planned {
            turns.met = turns.calls.last().cloned();
            turns.away = if matches!(fault, Fault::AwayBefore | Fault::AwayAfter) {
                AWAY
            } else {
                0
            };
            // The calls of somebody else are not counted.
            turns.counts = fault != Fault::Between;
        }
        Some(planned)
    })
}

fn take_back(turns: &mut Turns, fault: Option<Fault>) {
    turns.calls.pop();
    turns.away = 0;
    match fault {
        // Somebody else has come, and comes once.
        Some(Fault::Between) => turns.planned = None,
        Some(_) => turns.met = None,
        None => {}
    }
}

async fn executed(commands: &Pipeline) -> Option<Vec<Value>> {
    let primaries = directly().link.all_primaries().await.ok()?;
    primaries
        .first()?
        .1
        .answers(commands, Instant::now() + DEADLINE)
        .await
        .ok()
}

fn is_unknown_script(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// The commands and keys of a call, by which a failure names it.
fn text(commands: &Pipeline) -> String {
    let words = |command| {
        let short = members(command)
            .filter(|word| !word.contains(&b'\n'))
            .take(4);
        short
            .map(|word| word.escape_ascii().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    commands
        .cmd_iter()
        .map(words)
        .collect::<Vec<_>>()
        .join("; ")
}
