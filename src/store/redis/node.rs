//! One server, and the connections to it. Each is made when it is first needed, and again when it has become useless.
//!
//! This replaces redis-rs' `ConnectionManager`, which (as of 1.8.1) stays connected to a server that has become a replica
//! (READONLY), remembers one refused password for ever, and lets a command wait 9 s for a dead server.

use std::{borrow::Cow, cell::RefCell, collections::HashMap, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use redis::{Cmd, Pipeline, RedisResult, Value, aio::ConnectionLike};
use smallvec::{SmallVec, smallvec};
use tokio::{
    task::spawn_local,
    time::{Instant, error::Elapsed, timeout, timeout_at},
};

use super::{
    super::{Result, StoreError},
    confirm::Waits,
    connector::{Connection, Connector},
    failure::{Failure, Trouble},
    outage::OUTAGE,
    url::Address,
};

/// After a refused connection, calls fail at once for this time. So a dead Redis costs nothing, and one that is back is found
/// soon.
const PAUSE: Duration = Duration::from_millis(200);

const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) struct Node {
    pub(super) address: Address,
    /// The address as text, for the log.
    pub(super) name: String,
    connector: Arc<Connector>,
    /// For calls that are answered at once.
    prompt: Line,
    /// For calls that wait for replicas, during which nothing else can be sent on the connection.
    waiting: Line,
    pub(super) waits: Waits,
    /// On a Cluster: the replicas that only this server knows, and since when.
    pub(super) newcomers: RefCell<HashMap<Address, Instant>>,
}

/// Which connection a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Prompt,
    Waiting,
}

/// What is sent in one go.
pub(super) enum Commands<'a> {
    One(&'a Cmd),
    Several(Cow<'a, Pipeline>),
}

/// An answer to each command. One needs no memory of its own.
pub(super) type Values = SmallVec<[Value; 1]>;

/// One connection.
#[derive(Default)]
struct Line(RefCell<State>);

#[derive(Default)]
struct State {
    /// Differs for each connection, so that a late failure of an old connection does not drop the new one.
    generation: u64,
    connecting: Option<Connecting>,
    refused: Option<(Instant, StoreError)>,
}

type Connecting = Shared<LocalBoxFuture<'static, Result<Connection>>>;

impl Node {
    pub(super) fn new(address: Address, connector: &Arc<Connector>) -> Self {
        let (name, connector) = (address.to_string(), Arc::clone(connector));
        let (prompt, waiting) = (Line::default(), Line::default());
        let (waits, newcomers) = (Waits::default(), RefCell::default());
        Self { address, name, connector, prompt, waiting, waits, newcomers }
    }

    /// Sends the commands once. Errors that the server answers are among the answers.
    pub(super) async fn send(&self, via: Via, commands: &Commands<'_>, deadline: Instant) -> Result<Values, Failure> {
        let line = match via {
            Via::Prompt => &self.prompt,
            Via::Waiting => &self.waiting,
        };
        let unreachable = |error: StoreError| self.failure(Trouble::Unreachable, error.reason);
        let (generation, connecting) = line.connecting(self).map_err(unreachable)?;
        let made = match connecting.peek() {
            Some(made) => made.clone(),
            None => timeout_at(deadline, connecting).await.map_err(|_| self.late())?,
        };
        let refused = |error: &StoreError| line.refused(generation, error);
        let mut connection = made.inspect_err(refused).map_err(unreachable)?;
        let outcome = self.ask(&mut connection, commands, deadline).await;
        let failed = |answers: &Values| answers.iter().find_map(|answer| Failure::of(answer, &self.address));
        match outcome.as_ref().map_or_else(|failure| Some(failure.clone()), failed) {
            None => OUTAGE.answered(&self.name),
            Some(failure) if failure.trouble.spoils_connection() => line.forget(generation),
            Some(_) => {}
        }
        outcome
    }

    /// Sends a command whose answer nobody needs, if there is a connection.
    pub(super) async fn tell(&self, mut command: Cmd) {
        if let Some(mut connection) = self.connection() {
            // Whoever sends it does not need it done either.
            _ = timeout(RESPONSE_TIMEOUT, connection.req_packed_command(command.set_no_response(true))).await;
        }
    }

    /// A connection that has been made and not been dropped since.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.prompt.0.borrow().connecting.as_ref()?.peek()?.clone().ok()
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        commands: &Commands<'_>,
        deadline: Instant,
    ) -> Result<Values, Failure> {
        let until = deadline.min(Instant::now() + RESPONSE_TIMEOUT);
        match commands {
            Commands::One(command) => Ok(smallvec![self.answered(timeout_at(until, connection.one(command)).await)?]),
            Commands::Several(commands) => {
                Ok(self.answered(timeout_at(until, connection.several(commands)).await)?.into())
            }
        }
    }

    fn answered<T>(&self, answer: Result<RedisResult<T>, Elapsed>) -> Result<T, Failure> {
        let answer = answer.map_err(|_| self.late())?;
        answer.map_err(|error| Failure::from_error(&error, &self.address))
    }

    /// Makes new connections from now on, because the name leads to several servers.
    pub(super) fn reconnect(&self) {
        [&self.prompt, &self.waiting].into_iter().for_each(|line| line.0.borrow_mut().connecting = None);
    }

    fn late(&self) -> Failure {
        self.failure(Trouble::Silent, "no answer in time".into())
    }

    fn failure(&self, trouble: Trouble, reason: String) -> Failure {
        Failure { server: self.name.clone(), trouble, reason }
    }
}

impl Commands<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Cmd> {
        let (one, several) = match self {
            Self::One(command) => (Some(*command), None),
            Self::Several(commands) => (None, Some(&**commands)),
        };
        one.into_iter().chain(several.into_iter().flat_map(Pipeline::cmd_iter))
    }
}

impl<'a> From<&'a Pipeline> for Commands<'a> {
    fn from(commands: &'a Pipeline) -> Self {
        Self::Several(Cow::Borrowed(commands))
    }
}

impl Line {
    /// The connection, or the one attempt to make it that all callers share.
    fn connecting(&self, node: &Node) -> Result<(u64, Connecting)> {
        let mut state = self.0.borrow_mut();
        if let Some((until, error)) = &state.refused
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let State { generation, connecting, .. } = &mut *state;
        // All callers of an attempt that failed may have given up before it did.
        let connecting = match connecting.take().filter(|made| !matches!(made.peek(), Some(Err(_)))) {
            Some(made) => connecting.insert(made),
            None => {
                *generation += 1;
                connecting.insert(connect(Arc::clone(&node.connector), node.address.clone()))
            }
        };
        Ok((*generation, connecting.clone()))
    }

    fn forget(&self, generation: u64) {
        let mut state = self.0.borrow_mut();
        if state.generation == generation {
            state.connecting = None;
        }
    }

    fn refused(&self, generation: u64, error: &StoreError) {
        let mut state = self.0.borrow_mut();
        if state.generation == generation && state.connecting.is_some() {
            state.connecting = None;
            state.refused = Some((Instant::now() + PAUSE, error.clone()));
        }
    }
}

/// Goes on in a task of its own, because all callers may give up.
fn connect(connector: Arc<Connector>, to: Address) -> Connecting {
    let connecting = async move { connector.connect(&to).await }.boxed_local().shared();
    spawn_local(connecting.clone());
    connecting
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::LocalSet,
    };

    use super::{
        super::{access::RedisAccess, url::Layout},
        *,
    };

    /// A server that lets everybody in after it was told to, and the node that it is.
    async fn slow_server() -> (TcpListener, Node) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("redis://127.0.0.1:{}", listener.local_addr().expect("an address").port());
        let connector = Connector::new(&RedisAccess::fixed(url.parse().expect("a URL")));
        let Layout::Single(address) = connector.layout() else { unreachable!("it is one server") };
        (listener, Node::new(address, &Arc::new(connector)))
    }

    async fn is_refused_by(node: &Node, deadline: Instant) -> Failure {
        let ping = redis::cmd("PING");
        node.send(Via::Prompt, &Commands::One(&ping), deadline).await.expect_err("no answer")
    }

    #[tokio::test]
    async fn a_connection_that_its_only_caller_gives_up_is_made_all_the_same() {
        let (listener, node) = slow_server().await;
        LocalSet::new()
            .run_until(async {
                assert_eq!(is_refused_by(&node, Instant::now()).await.trouble, Trouble::Silent);
                let (mut accepted, _) = listener.accept().await.expect("a connection");
                let mut ping = [0; 14];
                accepted.read_exact(&mut ping).await.expect("a PING");
                accepted.write_all(b"+PONG\r\n").await.expect("writable");
                let made = async {
                    while node.connection().is_none() {
                        tokio::task::yield_now().await;
                    }
                };
                timeout(Duration::from_secs(60), made).await.expect("a connection without a caller");
            })
            .await;
    }

    #[tokio::test]
    async fn a_failure_that_nobody_saw_fails_nobody_later() {
        let (listener, node) = slow_server().await;
        LocalSet::new()
            .run_until(async {
                assert_eq!(is_refused_by(&node, Instant::now()).await.trouble, Trouble::Silent);
                drop(listener.accept().await.expect("a connection"));
                let failed = || node.prompt.0.borrow().connecting.as_ref().is_some_and(|made| made.peek().is_some());
                let connecting = node.prompt.0.borrow().connecting.clone().expect("an attempt");
                _ = connecting.await;
                assert!(failed());
                let asked = is_refused_by(&node, Instant::now() + Duration::from_secs(60));
                let (failure, accepted) = futures_util::future::join(asked, listener.accept()).await;
                drop(accepted.expect("another attempt"));
                assert_eq!(failure.trouble, Trouble::Unreachable);
            })
            .await;
    }
}
