//! One server and the connection to it. The connection is made when it is first needed, and
//! replaced when it has become useless.
//!
//! This replaces redis-rs' `ConnectionManager`, which (as of 1.8.1) stays connected to a server
//! that has become a replica (READONLY), never retries after a refused password, and lets a command
//! wait 9 s for a dead server.

use std::cell::{Cell, OnceCell, RefCell};
use std::{collections::HashMap, rc::Rc, time::Duration};

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use redis::{FromRedisValue, Pipeline, ServerErrorKind, Value, from_redis_value};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::connector::{Connection, Connector};
use super::failure::{Cause, Failure, Problem, Reason};
use super::{info::Replication, outage, url::Address};

/// How long calls fail at once after a failed attempt to connect, so that a dead Redis costs
/// nothing and is soon found again.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);
/// The longest time of a call, including connecting, searching for the primary, and repetitions.
pub const DEADLINE: Duration = Duration::from_secs(1);
/// The longest wait for the answers of one server.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A server, with the connection to it.
pub struct Server {
    pub(crate) address: Address,
    /// The address as text, for the log.
    pub name: String,
    pub(crate) connector: Rc<Connector>,
    attempt: RefCell<Option<Attempt>>,
    /// Whether the last call has failed.
    pub(crate) fails: Cell<bool>,
    /// See [`Self::for_waits`].
    second: OnceCell<Rc<Server>>,
    /// The `WAIT` that was sent last; see `confirm.rs`.
    pub(crate) last_wait: RefCell<Option<RunningWait>>,
    /// On a Cluster: the replicas that only this server knows, and since when it knows them.
    pub(crate) newcomers: RefCell<HashMap<Address, Instant>>,
}

/// An answer for each command that was sent. It may be an error of that command alone.
pub(crate) type Answers = Result<Vec<Value>, Failure>;

/// An attempt to connect, shared by all callers. Its outcome is the connection, or when and why it
/// failed.
type Attempt = InBackground<Result<Connection, (Instant, Reason)>>;

/// A wait of a primary for its replicas. Its outcome is the replication state after the wait;
/// `None` if the primary refuses to wait.
pub(crate) type RunningWait = InBackground<Result<Option<Rc<Replication>>, Failure>>;

/// A future whose outcome several callers await.
pub(crate) type InBackground<T> = Shared<LocalBoxFuture<'static, T>>;

/// Runs the work in a task of its own, so that it completes even if all callers give up.
pub(crate) fn in_background<T: Clone + 'static>(
    work: impl Future<Output = T> + 'static,
) -> InBackground<T> {
    let shared = work.boxed_local().shared();
    spawn_local(shared.clone());
    shared
}

impl Server {
    pub(crate) fn new(address: Address, connector: &Rc<Connector>) -> Self {
        let name = address.to_string();
        let connector = Rc::clone(connector);
        let (attempt, fails, second, last_wait, newcomers) = Default::default();
        Self {
            address,
            name,
            connector,
            attempt,
            fails,
            second,
            last_wait,
            newcomers,
        }
    }

    /// The same server with a second connection, for `WAIT`: a connection that waits for replicas
    /// answers nothing else.
    pub(crate) fn for_waits(&self) -> &Rc<Self> {
        self.second
            .get_or_init(|| Rc::new(Self::new(self.address.clone(), &self.connector)))
    }

    /// Sends commands that only read, and reads their answers. `T` is the answer to a single
    /// command, or a tuple of the answers to several.
    pub async fn query<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
        deadline: Instant,
    ) -> Result<T, Reason> {
        self.send(commands, deadline)
            .await
            .and_then(|values| read(values, &self.address))
            .map_err(Reason::from)
    }

    /// Sends the commands. An error of a single command is among the answers. The reason of a
    /// failure does not name the server.
    pub async fn answers(
        &self,
        commands: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Value>, Reason> {
        self.send(commands, deadline)
            .await
            .map_err(|failure| failure.reason)
    }

    /// Sends the commands, and once more on a new connection if the old one has become useless.
    /// Fails if an answer is an error that concerns more than its command, such as MOVED or
    /// READONLY.
    pub(crate) async fn send(&self, commands: &Pipeline, deadline: Instant) -> Answers {
        match self.send_once(commands, deadline).await {
            Err(Failure {
                problem: Problem::BadConnection,
                ..
            }) => Box::pin(self.send_once(commands, deadline)).await,
            outcome => outcome,
        }
    }

    /// Sends the commands once. An error that concerns more than its command is a failure of all.
    async fn send_once(&self, commands: &Pipeline, deadline: Instant) -> Answers {
        let late = || self.silent(Cause::NoAnswer.because("no answer in time"));
        if let Some(stand_in) = &self.connector.access.stand_in {
            return stand_in.answer(commands).await.ok_or_else(late);
        }
        let attempt = self.attempt();
        let answers = async {
            let made = match attempt.peek() {
                Some(made) => made.clone(),
                None => timeout_at(deadline, attempt.clone())
                    .await
                    .map_err(|_| late())?,
            };
            let mut connection = made.map_err(|(_, reason)| self.silent(reason))?;
            let until = deadline.min(Instant::now() + RESPONSE_TIMEOUT);
            let sent = connection
                .shared
                .send_packed_commands(commands, 0, commands.len());
            let answers = timeout_at(until, sent).await.map_err(|_| late())?;
            let values = answers.map_err(|error| Failure::from_error(&error, &self.address))?;
            usable(values, &self.address)
        };
        let answers = answers.await;
        self.fails.set(answers.is_err());
        match answers.as_ref().map_err(|failure| &failure.problem) {
            Ok(_) => outage::answered(&self.name),
            Err(Problem::BadConnection | Problem::Silent) => self.drop_connection(&attempt),
            _ => {}
        }
        answers
    }

    fn silent(&self, reason: Reason) -> Failure {
        Failure {
            server: self.name.clone(),
            problem: Problem::Silent,
            reason,
        }
    }

    /// The attempt to connect that all callers share. A failed attempt counts for [`PAUSE`].
    fn attempt(&self) -> Attempt {
        let mut last = self.attempt.borrow_mut();
        drop(last.take_if(
            |attempt| matches!(attempt.peek(), Some(Err((at, _))) if at.elapsed() >= PAUSE),
        ));
        let attempt = last.get_or_insert_with(|| {
            let connector = Rc::clone(&self.connector);
            let to = self.address.clone();
            in_background(async move {
                connector
                    .connect(&to)
                    .await
                    .map_err(|reason| (Instant::now(), reason))
            })
        });
        attempt.clone()
    }

    /// Drops the connection that `attempt` has made, but not a newer one. An attempt that is in
    /// progress or has failed stays.
    fn drop_connection(&self, attempt: &Attempt) {
        let is_made = matches!(attempt.peek(), Some(Ok(_)));
        self.attempt
            .borrow_mut()
            .take_if(|current| is_made && current.ptr_eq(attempt));
    }

    /// Drops both connections, because they led to different servers behind the same name.
    pub(crate) fn reconnect(&self) {
        self.attempt.take();
        self.for_waits().attempt.take();
    }
}

/// Checks the answers. Fails with the first error that concerns more than its command.
pub(crate) fn usable(answers: Vec<Value>, asked: &Address) -> Answers {
    let failure = answers.iter().find_map(|answer| {
        let Value::ServerError(error) = answer else {
            return None;
        };
        let failure = Failure::from_error(&error.clone().into(), asked);
        (failure.problem != Problem::Refused).then_some(failure)
    });
    let Some(mut failure) = failure else {
        return Ok(answers);
    };
    if let Problem::Asked(_, all) = &mut failure.problem {
        *all = Rc::new(answers);
    }
    Err(failure)
}

/// Whether the answer is an error of this kind.
pub(crate) fn is(kind: ServerErrorKind, answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(kind))
}

/// Converts the answers to `T`. An error that a key holds another type (WRONGTYPE) is left to `T`,
/// because another version has written that key.
pub(crate) fn read<T: FromRedisValue>(values: Vec<Value>, from: &Address) -> Result<T, Failure> {
    let read = values
        .into_iter()
        .map(|value| match &value {
            Value::ServerError(error) if error.code() == "WRONGTYPE" => Ok(value),
            _ => value.extract_error(),
        })
        .collect::<Result<Vec<_>, _>>()
        .and_then(|mut values| {
            let value = if values.len() == 1 {
                values.remove(0)
            } else {
                Value::Array(values)
            };
            Ok(from_redis_value(value)?)
        });
    read.map_err(|error| Failure::from_error(&error, from))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::future::{Either, join, select};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    use super::*;

    /// A listener that answers only when the test does.
    async fn slow_server() -> (TcpListener, Server) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connector = Connector::plain(&format!("redis://127.0.0.1:{port}"));
        (
            listener,
            Server::new(
                Address {
                    host: "127.0.0.1".into(),
                    port,
                },
                &Rc::new(connector),
            ),
        )
    }

    async fn is_refused_by(server: &Server, deadline: Instant) -> Failure {
        server
            .send(redis::pipe().cmd("PING"), deadline)
            .await
            .expect_err("no answer")
    }

    #[tokio::test]
    async fn a_connection_that_its_only_caller_gives_up_is_made_all_the_same() {
        let (listener, server) = slow_server().await;
        LocalSet::new()
            .run_until(async {
                assert_eq!(
                    is_refused_by(&server, Instant::now()).await.problem,
                    Problem::Silent
                );
                let (mut accepted, _) = listener.accept().await.expect("a connection");
                let mut ping = [0; 14];
                accepted.read_exact(&mut ping).await.expect("a PING");
                accepted.write_all(b"+PONG\r\n").await.expect("writable");
                let made = async {
                    while !server
                        .attempt
                        .borrow()
                        .as_ref()
                        .is_some_and(|made| matches!(made.peek(), Some(Ok(_))))
                    {
                        tokio::task::yield_now().await;
                    }
                };
                timeout(Duration::from_mins(1), made)
                    .await
                    .expect("a connection without a caller");
            })
            .await;
    }

    /// As where a firewall drops the packets of a connection, or its node has died: neither side is
    /// told.
    #[tokio::test]
    async fn after_a_call_without_an_answer_the_next_call_comes_by_another_connection() {
        let (listener, server) = slow_server().await;
        LocalSet::new()
            .run_until(async {
                // Nobody reads the other end of this connection any more.
                let (near, mut far) = duplex(1024);
                let entered = async {
                    let mut ping = [0; 14];
                    far.read_exact(&mut ping).await.expect("a PING");
                    far.write_all(b"+PONG\r\n").await.expect("writable");
                };
                let (connection, ()) = join(server.connector.over(near), entered).await;
                let attempt = in_background(async move { Ok(connection) });
                assert!(attempt.clone().await.is_ok());
                server.attempt.replace(Some(attempt));
                assert_eq!(
                    is_refused_by(&server, Instant::now()).await.problem,
                    Problem::Silent
                );
                let deadline = Instant::now() + Duration::from_mins(1);
                let refused = pin!(is_refused_by(&server, deadline));
                let accepted = pin!(listener.accept());
                let first = select(accepted, refused).await;
                assert!(matches!(first, Either::Left((Ok(_), _))));
            })
            .await;
    }

    #[tokio::test]
    async fn a_connection_that_failed_fails_nobody_after_a_pause() {
        let (listener, server) = slow_server().await;
        LocalSet::new()
            .run_until(async {
                assert_eq!(
                    is_refused_by(&server, Instant::now()).await.problem,
                    Problem::Silent
                );
                drop(listener.accept().await.expect("a connection"));
                let attempt = server.attempt.borrow().clone().expect("an attempt");
                assert!(attempt.await.is_err());
                assert_eq!(
                    is_refused_by(&server, Instant::now()).await.problem,
                    Problem::Silent
                );
                tokio::time::sleep(PAUSE).await;
                let asked = is_refused_by(&server, Instant::now() + Duration::from_mins(1));
                let (_, accepted) = join(asked, listener.accept()).await;
                drop(accepted.expect("another attempt"));
            })
            .await;
    }
}
