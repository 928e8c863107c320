//! One server and the connection to it, which is made when it is first needed, and anew when it has become useless.
//!
//! This replaces redis-rs' `ConnectionManager`, which (as of 1.8.1) stays connected to a server that has become a replica
//! (READONLY), remembers one refused password for ever, and lets a command wait 9 s for a dead server.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use redis::{Cmd, Pipeline, Value};
use tokio::{
    task::spawn_local,
    time::{Instant, timeout, timeout_at},
};

use super::{
    super::{Result, StoreError},
    confirm::RunningWait,
    connector::{Connection, Connector},
    failure::{Failure, Problem},
    outage::OUTAGE,
    url::Address,
};

/// After a refused connection, calls fail at once for this time. So a dead Redis costs nothing, and one that is back is found
/// soon.
const PAUSE: Duration = Duration::from_millis(200);

const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) struct Server {
    pub(super) address: Address,
    /// The address as text, for the log.
    pub(super) name: String,
    connector: Rc<Connector>,
    state: RefCell<State>,
    /// See [`Self::for_waits`].
    second: OnceCell<Rc<Server>>,
    /// The `WAIT` that was sent last; see `confirm.rs`.
    pub(super) last_wait: RefCell<Option<RunningWait>>,
    /// On a Cluster: the replicas that only this server knows, and since when.
    pub(super) newcomers: RefCell<HashMap<Address, Instant>>,
}

#[derive(Default)]
struct State {
    /// Differs for each connection, so that a late failure of an old connection does not drop the new one.
    generation: u64,
    connecting: Option<InBackground<Result<Connection>>>,
    refused: Option<(Instant, StoreError)>,
}

/// Work whose outcome several callers wait for.
pub(super) type InBackground<T> = Shared<LocalBoxFuture<'static, T>>;

/// Does the work in a task of its own, because all callers may give up.
pub(super) fn in_background<T: Clone + 'static>(work: impl Future<Output = T> + 'static) -> InBackground<T> {
    let shared = work.boxed_local().shared();
    spawn_local(shared.clone());
    shared
}

impl Server {
    pub(super) fn new(address: Address, connector: &Rc<Connector>) -> Self {
        Self {
            name: address.to_string(),
            address,
            connector: Rc::clone(connector),
            state: RefCell::default(),
            second: OnceCell::new(),
            last_wait: RefCell::default(),
            newcomers: RefCell::default(),
        }
    }

    /// The same server by a connection of its own: while a connection waits for replicas, nothing else is answered on it.
    pub(super) fn for_waits(&self) -> &Rc<Self> {
        self.second.get_or_init(|| Rc::new(Self::new(self.address.clone(), &self.connector)))
    }

    /// Sends the commands once. Fails if an answer is an error that does not concern its command alone, like MOVED or READONLY.
    pub(super) async fn send(&self, commands: &Pipeline, deadline: Instant) -> Result<Vec<Value>, Failure> {
        let (values, failure) = self.answers(commands, deadline).await?;
        failure.map_or(Ok(values), Err)
    }

    /// Sends the commands, and once more on a new connection if the old one has become useless.
    pub(super) async fn send_twice(&self, commands: &Pipeline, deadline: Instant) -> Result<Vec<Value>, Failure> {
        match self.send(commands, deadline).await {
            Err(failure) if failure.problem.is_of_the_connection() => self.send(commands, deadline).await,
            outcome => outcome,
        }
    }

    /// Sends the commands to a server that a slot is moving to: it has their keys, but not the slot yet.
    pub(super) async fn send_asking(&self, commands: &Pipeline, deadline: Instant) -> Result<Vec<Value>, Failure> {
        let mut asking = redis::pipe();
        commands.cmd_iter().for_each(|command| _ = asking.cmd("ASKING").add_command(command.clone()));
        Ok(self.send(&asking, deadline).await?.into_iter().skip(1).step_by(2).collect())
    }

    /// Sends the commands once. All errors that the server answers are among the answers.
    pub(super) async fn exchange(&self, commands: &Pipeline, deadline: Instant) -> Result<Vec<Value>, Failure> {
        Ok(self.answers(commands, deadline).await?.0)
    }

    /// Sends the commands once. Returns the answers, and the failure among them that does not concern its command alone.
    async fn answers(&self, commands: &Pipeline, deadline: Instant) -> Result<(Vec<Value>, Option<Failure>), Failure> {
        let unreachable = |error: StoreError| self.failure(Problem::Unreachable, error.reason);
        let (generation, connecting) = self.connecting().map_err(unreachable)?;
        let made = match connecting.peek() {
            Some(made) => made.clone(),
            None => timeout_at(deadline, connecting).await.map_err(|_| self.late())?,
        };
        let mut connection = made.inspect_err(|error| self.refused(generation, error)).map_err(unreachable)?;
        let until = deadline.min(Instant::now() + RESPONSE_TIMEOUT);
        let outcome = match timeout_at(until, connection.send(commands)).await {
            Ok(answer) => answer.map_err(|error| Failure::from_error(&error, &self.address)),
            Err(_) => Err(self.late()),
        };
        let among = outcome.as_ref().ok().and_then(|values| Failure::among(values, &self.address));
        match outcome.as_ref().err().or(among.as_ref()) {
            None => OUTAGE.answered(&self.name),
            Some(failure) if failure.problem.spoils_connection() => self.forget(generation),
            Some(_) => {}
        }
        outcome.map(|values| (values, among))
    }

    /// Sends a command whose answer nobody needs, if there is a connection.
    pub(super) async fn tell(&self, mut command: Cmd) {
        if let Some(mut connection) = self.connection() {
            // It does not matter if this fails.
            _ = timeout(RESPONSE_TIMEOUT, connection.tell(command.set_no_response(true))).await;
        }
    }

    /// A connection that has been made and not been dropped since.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.state.borrow().connecting.as_ref()?.peek()?.clone().ok()
    }

    /// Makes new connections from now on, because the two led to different servers of the same name.
    pub(super) fn reconnect(&self) {
        self.state.borrow_mut().connecting = None;
        if let Some(second) = self.second.get() {
            second.state.borrow_mut().connecting = None;
        }
    }

    /// The connection, or the one attempt to make it that all callers share.
    fn connecting(&self) -> Result<(u64, InBackground<Result<Connection>>)> {
        let mut state = self.state.borrow_mut();
        if let Some((until, error)) = &state.refused
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        // All callers of an attempt that failed may have given up before it did.
        if let Some(made) = state.connecting.as_ref().filter(|made| !matches!(made.peek(), Some(Err(_)))) {
            return Ok((state.generation, made.clone()));
        }
        let (connector, to) = (Rc::clone(&self.connector), self.address.clone());
        let connecting = in_background(async move { connector.connect(&to).await });
        state.generation += 1;
        state.connecting = Some(connecting.clone());
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
        if state.generation == generation && state.connecting.take().is_some() {
            state.refused = Some((Instant::now() + PAUSE, error.clone()));
        }
    }

    fn late(&self) -> Failure {
        self.failure(Problem::Silent, "no answer in time".into())
    }

    fn failure(&self, problem: Problem, reason: String) -> Failure {
        Failure { server: self.name.clone(), problem, reason }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::LocalSet,
    };

    use super::{super::access::RedisAccess, *};

    /// A server that lets everybody in after it was told to.
    async fn slow_server() -> (TcpListener, Server) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let access = RedisAccess::fixed(format!("redis://127.0.0.1:{port}").parse().expect("a URL"));
        let address = Address { host: "127.0.0.1".into(), port };
        (listener, Server::new(address, &Rc::new(access.connector())))
    }

    async fn is_refused_by(server: &Server, deadline: Instant) -> Failure {
        server.send(redis::pipe().cmd("PING"), deadline).await.expect_err("no answer")
    }

    #[tokio::test]
    async fn a_connection_that_its_only_caller_gives_up_is_made_all_the_same() {
        let (listener, server) = slow_server().await;
        LocalSet::new()
            .run_until(async {
                assert_eq!(is_refused_by(&server, Instant::now()).await.problem, Problem::Silent);
                let (mut accepted, _) = listener.accept().await.expect("a connection");
                let mut ping = [0; 14];
                accepted.read_exact(&mut ping).await.expect("a PING");
                accepted.write_all(b"+PONG\r\n").await.expect("writable");
                let made = async {
                    while server.connection().is_none() {
                        tokio::task::yield_now().await;
                    }
                };
                timeout(Duration::from_secs(60), made).await.expect("a connection without a caller");
            })
            .await;
    }

    #[tokio::test]
    async fn a_failure_that_nobody_saw_fails_nobody_later() {
        let (listener, server) = slow_server().await;
        LocalSet::new()
            .run_until(async {
                assert_eq!(is_refused_by(&server, Instant::now()).await.problem, Problem::Silent);
                drop(listener.accept().await.expect("a connection"));
                let failed = || server.state.borrow().connecting.as_ref().is_some_and(|made| made.peek().is_some());
                let connecting = server.state.borrow().connecting.clone().expect("an attempt");
                _ = connecting.await;
                assert!(failed());
                let asked = is_refused_by(&server, Instant::now() + Duration::from_secs(60));
                let (failure, accepted) = futures_util::future::join(asked, listener.accept()).await;
                drop(accepted.expect("another attempt"));
                assert_eq!(failure.problem, Problem::Unreachable);
            })
            .await;
    }
}
