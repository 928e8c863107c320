//! Makes one connection to one server: TCP, TLS, AUTH, SELECT, each within a limit of time.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::AbortHandle,
    time::timeout,
};

use super::{
    super::{Result, StoreError},
    access::{Confirm, RedisAccess},
    reason::{describe, not_let_in},
    url::{Address, Layout, RedisUrl},
};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Opens the connections of one worker thread.
pub(super) struct Connector {
    access: RedisAccess,
}

/// A connection whose clones share one socket, which closes when the last of them is dropped.
#[derive(Clone)]
pub(super) struct Connection {
    shared: MultiplexedConnection,
    _driver: Arc<Driver>,
}

/// The task that reads and writes. redis-rs would let it live until the last command is answered, and a frozen server answers
/// none.
struct Driver(AbortHandle);

impl Connector {
    pub(super) fn new(access: &RedisAccess) -> Self {
        Self { access: access.clone() }
    }

    /// Of the current URL.
    pub(super) fn url(&self) -> Arc<RedisUrl> {
        self.access.url()
    }

    /// Changes when the URL is replaced: connections of the old URL are to be dropped then.
    pub(super) fn generation(&self) -> u64 {
        self.access.generation()
    }

    pub(super) fn confirm(&self) -> Confirm {
        self.access.confirm()
    }

    /// Of the current URL.
    pub(super) fn layout(&self) -> Layout {
        self.url().layout().clone()
    }

    /// To a data server, as the URL's user and in its database.
    pub(super) async fn connect(&self, to: &Address) -> Result<Connection> {
        let url = self.url();
        in_time(self.open(to, credentials(&url).set_db(url.db().into()))).await
    }

    /// To a Sentinel, which has no database. It gets the URL's password only if it lets nobody in without one.
    pub(super) async fn connect_to_sentinel(&self, to: &Address) -> Result<Connection> {
        in_time(async {
            let mut open = self.open(to, nobody()).await?;
            match redis::cmd("PING").query_async::<()>(&mut open).await {
                Err(error) if error.code() == Some("NOAUTH") => self.open(to, credentials(&self.url())).await,
                Err(error) => Err(describe(&error)),
                Ok(()) => Ok(open),
            }
        })
        .await
    }

    async fn open(&self, to: &Address, who: RedisConnectionInfo) -> Result<Connection> {
        let stream = tcp(to).await.map_err(|error| StoreError { reason: error.to_string() })?;
        handshake(stream, who).await
    }
}

async fn in_time(opening: impl Future<Output = Result<Connection>>) -> Result<Connection> {
    let late = |_| StoreError { reason: "no connection within 400 ms".into() };
    timeout(CONNECT_TIMEOUT, opening).await.map_err(late).flatten()
}

/// At the first of the host's addresses that answers.
async fn tcp(to: &Address) -> io::Result<TcpStream> {
    let found: Vec<_> = lookup_host((to.host.as_str(), to.port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::other("the name has no address"));
    }
    let (stream, _) = select_ok(found.into_iter().map(|address| Box::pin(TcpStream::connect(address)))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake<S>(stream: S, who: RedisConnectionInfo) -> Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT));
    let made = MultiplexedConnection::new_with_config(&who, stream, config).await;
    let (shared, driver) = made.map_err(|error| not_let_in(&who, &error))?;
    let driver = Arc::new(Driver(tokio::spawn(driver).abort_handle()));
    Ok(Connection { shared, _driver: driver })
}

/// Without `CLIENT SETINFO`, which some proxies refuse.
fn nobody() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}

fn credentials(url: &RedisUrl) -> RedisConnectionInfo {
    let mut who = nobody();
    if let Some(user) = url.user() {
        who = who.set_username(user);
    }
    match url.password() {
        Some(password) => who.set_password(password),
        None => who,
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.shared.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.shared.req_packed_commands(commands, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.shared.get_db()
    }
}
