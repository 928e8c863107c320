//! The store of the turns: the one in memory, or a Redis, before which a call is lost, its answer is lost, or somebody
//! else comes first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use redis::{Pipeline, ServerErrorKind, Value};
use tokio::time::Instant;
use wxmint::clock::now;
use wxmint_redis_link::{Confirm, DEADLINE, StandIn, members};
use wxmint_store::{Redis, RedisAccess};

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
    pub(crate) const ALONE: [Self; 4] = [Self::Before, Self::After, Self::AwayBefore, Self::AwayAfter];
}

/// For how many calls the store is away. What is given up persistently is given up then.
const AWAY: usize = 4;

/// Somebody else, who comes between.
pub(crate) type Rival = Rc<dyn Fn() -> LocalBoxFuture<'static, ()>>;

/// The turns of one use case under test.
#[derive(Default)]
struct Turns {
    store: Option<Rc<Redis>>,
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

/// Puts an empty store in memory in place of the one before.
pub(crate) fn begin_anew() {
    PASSED.set(0);
    begin_at(&RedisAccess::in_memory(later));
}

/// Lets so many seconds pass by the clock of the store in memory.
pub(crate) fn let_pass(seconds: i64) {
    PASSED.set(PASSED.get() + seconds);
}

/// The time by the clock of the store in memory.
pub(crate) fn later() -> DateTime<Utc> {
    now() + TimeDelta::seconds(PASSED.get())
}

/// Puts this store in place of the one before.
pub(crate) fn begin_at(access: &RedisAccess) {
    let store = Rc::new(Redis::new(access, Duration::ZERO, now, ()));
    TURNS.with_borrow_mut(|turns| *turns = Turns { store: Some(store), ..Turns::default() });
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
pub(crate) fn access() -> RedisAccess {
    RedisAccess::new(wxmint_redis_link::RedisAccess::to(Way, Confirm::Replicas(0)))
}

/// The store as laws and preparations have it.
pub(crate) fn directly() -> Rc<Redis> {
    TURNS.with_borrow(|turns| turns.store.clone()).expect("a store was put in place")
}

struct Way;

impl StandIn for Way {
    fn answer<'a>(&'a self, commands: &'a Pipeline) -> LocalBoxFuture<'a, Option<Vec<Value>>> {
        answered(commands).boxed_local()
    }
}

async fn answered(commands: &Pipeline) -> Option<Vec<Value>> {
    let Some(fault) = come(commands) else { return executed(commands).await };
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
    if said.as_ref().is_some_and(|values| values.iter().any(is_unknown_script)) {
        // It is sent again as text: the two are one call. Which scripts are known depends on what was done before.
        TURNS.with_borrow_mut(|turns| take_back(turns, fault));
        return said;
    }
    said.filter(|_| !matches!(fault, Some(Fault::After | Fault::AwayAfter)))
}

/// Counts the call. `None` if calls are not counted, otherwise what goes wrong at it.
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
        let planned = turns.planned.filter(|(number, _)| *number == turns.calls.len()).map(|(_, fault)| fault);
        if let Some(fault) = planned {
            turns.met = turns.calls.last().cloned();
            turns.away = if matches!(fault, Fault::AwayBefore | Fault::AwayAfter) { AWAY } else { 0 };
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
    primaries.first()?.1.answers(commands, Instant::now() + DEADLINE).await.ok()
}

fn is_unknown_script(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// The commands and keys of a call, by which a failure names it.
fn text(commands: &Pipeline) -> String {
    let words = |command| {
        let short = members(command).filter(|word| !word.contains(&b'\n')).take(4);
        short.map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
    };
    commands.cmd_iter().map(words).collect::<Vec<_>>().join("; ")
}
