//! One connection to Redis. It is made when it is first needed, and again when it has become useless.
//!
//! This replaces redis-rs' `ConnectionManager`, which (as of 1.8.1) stays connected to a server that has become a replica
//! (READONLY), remembers one refused password for ever, and lets a command wait 9 s for a dead server.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use redis::{ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ScriptInvocation, ServerErrorKind};

use super::{
    super::{Result, StoreError},
    access::RedisAccess,
    connector::{Connection, Connector},
    outage::OUTAGE,
    reason::describe,
    url::{Address, Layout},
};
use crate::telemetry::Metrics;

/// For a call with connecting and one repetition. A login waits for two of these and for WeChat, 5 s at most.
const DEADLINE: Duration = Duration::from_secs(1);
/// A healthy replica confirms within a millisecond.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(400);
/// After a refused connection, calls fail at once for this time. So a dead Redis costs nothing, and one that is back is found
/// soon.
const PAUSE: Duration = Duration::from_millis(200);

/// Errors of a server to which this connection should not talk any more. A new connection may reach the right server behind
/// the same name, or may be allowed in again.
const WRONG_SERVER: &[&str] = &["READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM"];

type Connecting = Shared<LocalBoxFuture<'static, Result<Connection>>>;

pub(super) struct Link {
    connector: Rc<Connector>,
    address: Address,
    state: RefCell<State>,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    /// Differs for each connection, so that a late failure of an old connection does not drop the new one.
    generation: u64,
    connecting: Option<Connecting>,
    refused: Option<(Instant, StoreError)>,
}

impl Link {
    pub(super) fn new(access: &RedisAccess, metrics: Metrics) -> Self {
        let connector = Rc::new(Connector::new(access));
        let address = match connector.layout() {
            Layout::Single(address) => address,
            // Until the link knows the other layouts.
            Layout::Cluster(mut servers) | Layout::Sentinel { sentinels: mut servers, .. } => servers.remove(0),
        };
        Self { connector, address, state: RefCell::default(), metrics }
    }

    /// Runs a script within [`DEADLINE`]. If the connection is dead or leads to the wrong server, the script is repeated once
    /// on a new connection. Every script is idempotent.
    pub(super) async fn run<T: FromRedisValue>(&self, step: &'static str, script: &ScriptInvocation<'_>) -> Result<T> {
        self.measured(step, async |mut connection| script.invoke_async(&mut connection).await).await
    }

    /// Runs two scripts in one round trip, in this order. Their keys may lie in different slots. If Redis does not know one of
    /// the scripts yet, that script alone is repeated, because the other one has run already and would count twice.
    pub(super) async fn run_both<A: FromRedisValue, B: FromRedisValue>(
        &self,
        step: &'static str,
        first: &ScriptInvocation<'_>,
        second: &ScriptInvocation<'_>,
    ) -> Result<(A, B)> {
        let mut both = redis::pipe();
        both.invoke_script(first).invoke_script(second).ignore_errors();
        self.measured(step, async |mut connection| {
            let (one, other) = both.query_async(&mut connection).await?;
            let one = or_loaded(one, first, &mut connection).await?;
            Ok((one, or_loaded(other, second, &mut connection).await?))
        })
        .await
    }

    /// Runs reading commands in one round trip.
    pub(super) async fn query<T: FromRedisValue>(&self, step: &'static str, commands: &Pipeline) -> Result<T> {
        self.measured(step, async |mut connection| commands.query_async(&mut connection).await).await
    }

    /// `INFO section`.
    pub(super) async fn info(&self, section: &str) -> Result<String> {
        self.within_deadline(async |mut connection| redis::cmd("INFO").arg(section).query_async(&mut connection).await)
            .await
    }

    /// `CONFIG GET parameter`; `None` where Redis refuses to tell.
    pub(super) async fn configured(&self, parameter: &str) -> Result<Option<String>> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(parameter);
        let ask = async |mut connection| match get.query_async::<Vec<String>>(&mut connection).await {
            Err(error) if error.is_io_error() => Err(error),
            answer => Ok(answer.ok().and_then(|pair| pair.into_iter().nth(1))),
        };
        self.within_deadline(ask).await
    }

    /// Runs a script. If Redis has a replica, waits until a replica has all writes up to this one, because a replica that
    /// takes over must not have lost them. Nothing else can be sent on this connection meanwhile.
    pub(super) async fn run_confirmed<T: FromRedisValue>(
        &self,
        step: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T> {
        let mut commands = redis::pipe();
        commands.invoke_script(script).cmd("INFO").arg("replication").ignore_errors();
        let started = Instant::now();
        let outcome = self
            .within_deadline(async |mut connection| {
                let (answer, info) = commands.query_async(&mut connection).await?;
                let (answer, info): (_, RedisResult<String>) =
                    (or_loaded(answer, script, &mut connection).await?, info);
                Ok((answer, replicas(&info?) == 0 || is_confirmed(&mut connection).await?))
            })
            .await;
        self.metrics.redis_answered(step, matches!(outcome, Ok((_, true))), started.elapsed());
        match outcome? {
            (answer, true) => Ok(answer),
            (_, false) => Err(StoreError { reason: "no replica of Redis has confirmed the write in time".into() }),
        }
    }

    async fn measured<T>(&self, step: &'static str, command: impl AsyncFn(Connection) -> RedisResult<T>) -> Result<T> {
        let started = Instant::now();
        let outcome = self.within_deadline(command).await;
        self.metrics.redis_answered(step, outcome.is_ok(), started.elapsed());
        outcome
    }

    async fn within_deadline<T>(&self, command: impl AsyncFn(Connection) -> Result<T, RedisError>) -> Result<T> {
        let attempts = async {
            match self.attempt(&command).await {
                Err(Failure::Connection(_)) => self.attempt(&command).await,
                outcome => outcome,
            }
        };
        let late = |_| Failure::Final(StoreError { reason: "no answer within 1 s".into() });
        let outcome = tokio::time::timeout(DEADLINE, attempts).await.map_err(late).flatten();
        self.tell(&outcome);
        outcome.map_err(|failure| StoreError { reason: format!("Redis at {}: {}", self.address, failure.reason()) })
    }

    /// An error that Redis answered is told by whoever asked: Redis is there.
    fn tell<T>(&self, outcome: &Result<T, Failure>) {
        match outcome {
            Ok(_) => OUTAGE.answered(&self.address.to_string()),
            Err(Failure::Answer(_)) => {}
            Err(failure) => OUTAGE.failed(&self.address.to_string(), failure.reason()),
        }
    }

    async fn attempt<T>(&self, command: &impl AsyncFn(Connection) -> Result<T, RedisError>) -> Result<T, Failure> {
        let (generation, connecting) = self.connecting().map_err(Failure::Final)?;
        let connection =
            connecting.await.inspect_err(|error| self.refused(generation, error)).map_err(Failure::Final)?;
        command(connection).await.map_err(|error| {
            let described = describe(&error);
            if error.is_timeout() {
                self.forget(generation);
                return Failure::Final(described);
            }
            if is_wrong_server(&error) || error.is_io_error() || error.is_unrecoverable_error() {
                self.forget(generation);
                return Failure::Connection(described);
            }
            Failure::Answer(described)
        })
    }

    /// The connection, or the one attempt to make it that all callers share.
    fn connecting(&self) -> Result<(u64, Connecting)> {
        let mut state = self.state.borrow_mut();
        if let Some((until, error)) = &state.refused
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        if state.connecting.is_none() {
            state.generation += 1;
            state.connecting = Some(connect(Rc::clone(&self.connector), self.address.clone()));
        }
        let connecting = state.connecting.clone().ok_or_else(|| StoreError { reason: "not connected".into() })?;
        Ok((state.generation, connecting))
    }

    fn forget(&self, generation: u64) {
        let mut state = self.state.borrow_mut();
        if state.generation == generation {
            state.connecting = None;
        }
    }

    fn refused(&self, generation: u64, error: &StoreError) {
        let mut state = self.state.borrow_mut();
        if state.generation == generation && state.connecting.is_some() {
            state.connecting = None;
            state.refused = Some((Instant::now() + PAUSE, error.clone()));
        }
    }
}

async fn is_confirmed(connection: &mut Connection) -> RedisResult<bool> {
    let within = CONFIRMED_WITHIN.as_millis() as u64;
    let confirmed: u64 = redis::cmd("WAIT").arg(1).arg(within).query_async(connection).await?;
    Ok(confirmed > 0)
}

/// The number of replicas by `INFO replication`.
fn replicas(info: &str) -> u32 {
    let count = info.lines().find_map(|line| line.strip_prefix("connected_slaves:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

enum Failure {
    /// A new connection may do better.
    Connection(StoreError),
    Final(StoreError),
    /// The right server refused this command.
    Answer(StoreError),
}

impl Failure {
    fn reason(&self) -> &str {
        let (Self::Connection(error) | Self::Final(error) | Self::Answer(error)) = self;
        &error.reason
    }
}

fn connect(connector: Rc<Connector>, to: Address) -> Connecting {
    async move { connector.connect(&to).await }.boxed_local().shared()
}

async fn or_loaded<T: FromRedisValue>(
    answer: RedisResult<T>,
    script: &ScriptInvocation<'_>,
    connection: &mut Connection,
) -> RedisResult<T> {
    match answer {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script.invoke_async(connection).await
        }
        answer => answer,
    }
}

fn is_wrong_server(error: &RedisError) -> bool {
    // Redis 6 wraps the error of a command within a script.
    let wrapped = |code: &str| error.detail().is_some_and(|detail| detail.contains(code));
    error.kind() == ErrorKind::AuthenticationFailed
        || WRONG_SERVER.iter().any(|&code| error.code() == Some(code) || wrapped(code))
}
