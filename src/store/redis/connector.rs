//! Makes one connection to one server: TCP, TLS, AUTH, SELECT, each within a limit of time.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    task::{AbortHandle, spawn_local},
    time::{Instant, timeout_at},
};

use super::{
    super::{Result, StoreError},
    access::{Confirm, RedisAccess},
    reason::not_let_in,
    url::{Address, Layout, RedisUrl},
};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);

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
        self.open(to, &url, |_| credentials(&url).set_db(url.db().into())).await
    }

    /// To a Sentinel, which has no database. It gets the URL's password only if it lets nobody in without one.
    pub(super) async fn connect_to_sentinel(&self, to: &Address) -> Result<Connection> {
        let url = self.url();
        let who = |answer: &[u8]| if answer.starts_with(b"-NOAUTH") { credentials(&url) } else { nobody() };
        self.open(to, &url, who).await
    }

    /// `who` gets the server's answer to a first `PING`.
    async fn open(
        &self,
        to: &Address,
        url: &RedisUrl,
        who: impl FnOnce(&[u8]) -> RedisConnectionInfo,
    ) -> Result<Connection> {
        let until = Instant::now() + CONNECT_TIMEOUT;
        let stream = timeout_at(until, tcp(to)).await.map_err(|_| failure("no connection within 400 ms"))?;
        let stream = stream.map_err(|error| failure(error.to_string()))?;
        let entering = async {
            let (stream, answer) = self.greet(stream, to, url).await?;
            let_in(stream, who(&answer)).await
        };
        let silent = match url.has_tls() {
            true => "it accepts connections, but did not answer within 400 ms: does it speak TLS on this port?",
            false => "it accepts connections, but did not answer within 400 ms",
        };
        timeout_at(until, entering).await.map_err(|_| failure(silent)).flatten()
    }

    /// Begins TLS, if the URL says so, and sends a `PING`. Otherwise faults of TLS would come to light only with a caller's
    /// first command: a server says only after the handshake that it wants a certificate.
    async fn greet(&self, stream: TcpStream, to: &Address, url: &RedisUrl) -> Result<(Box<dyn Stream>, Vec<u8>)> {
        let tls = self.access.tls();
        let mut stream: Box<dyn Stream> = match url.has_tls() {
            true => Box::new(tls.encrypt(stream, &to.host).await?),
            false => Box::new(stream),
        };
        let answer = ping(&mut stream).await.map_err(|error| match url.has_tls() {
            true => failure(tls.describe(&error, &to.host)),
            false => failure(format!("{error}: does it want TLS on this port (rediss)?")),
        })?;
        Ok((stream, answer))
    }
}

fn failure(reason: impl Into<String>) -> StoreError {
    StoreError { reason: reason.into() }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

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

/// The line that the server answers; no line that it answers to `PING` is as long as the limit.
async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Vec<u8>> {
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
    stream.flush().await?;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") && line.len() < 1024 {
        line.push(stream.read_u8().await?);
    }
    Ok(line)
}

async fn let_in(stream: Box<dyn Stream>, who: RedisConnectionInfo) -> Result<Connection> {
    // Whoever asks has a limit of time.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let made = MultiplexedConnection::new_with_config(&who, stream, config).await;
    let (shared, driver) = made.map_err(|error| not_let_in(&who, &error))?;
    let driver = Arc::new(Driver(spawn_local(driver).abort_handle()));
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

impl Connection {
    pub(super) async fn one(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.shared.send_packed_command(command).await
    }

    pub(super) async fn several(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        self.shared.send_packed_commands(commands, 0, commands.len()).await
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
