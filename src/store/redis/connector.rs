//! Makes one connection to one server: TCP, TLS, AUTH, SELECT, each within a limit of time.
//!
//! redis-rs could do this too, but it reads the system's certificates anew for each connection, even if a CA file is named, and
//! fails if one of them cannot be read. And it runs the connection outside of the worker's `LocalSet`, which is then woken once
//! more for each answer.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    task::{AbortHandle, spawn_local},
    time::{Instant, timeout_at},
};

use super::{
    super::{Result, StoreError},
    failure::not_let_in,
    tls::Tls,
    url::{Address, RedisUrl},
};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);

/// Opens connections as one URL says.
pub(super) struct Connector {
    pub(super) url: Arc<RedisUrl>,
    pub(super) tls: Arc<Tls>,
}

/// A connection whose clones share one socket, which closes when the last of them is dropped.
#[derive(Clone)]
pub(super) struct Connection {
    shared: MultiplexedConnection,
    _driver: Arc<Driver>,
}

/// The task that reads and writes. It ends with the connection. Otherwise it would go on until the server has answered the last
/// command, which a frozen server never does.
struct Driver(AbortHandle);

impl Connector {
    /// To a data server, as the URL's user and in its database.
    pub(super) async fn connect(&self, to: &Address) -> Result<Connection> {
        self.open(to, |_| self.user().set_db(self.url.db.into())).await
    }

    /// To a Sentinel, which has no database. It gets the URL's password only if it lets nobody in without one.
    pub(super) async fn connect_to_sentinel(&self, to: &Address) -> Result<Connection> {
        self.open(to, |answer| if answer.starts_with(b"-NOAUTH") { self.user() } else { nobody() }).await
    }

    /// `who` gets the server's answer to a first `PING`.
    async fn open(&self, to: &Address, who: impl FnOnce(&[u8]) -> RedisConnectionInfo) -> Result<Connection> {
        let until = Instant::now() + CONNECT_TIMEOUT;
        let stream = timeout_at(until, tcp(to)).await.map_err(|_| failure("no connection within 400 ms"))?;
        let stream = stream.map_err(|error| failure(error.to_string()))?;
        let entered = match self.url.has_tls() {
            true => {
                let encrypted = async {
                    let stream = self.tls.encrypt(stream, &to.host).await?;
                    enter(stream, who, |error| self.tls.describe(error, &to.host)).await
                };
                timeout_at(until, encrypted).await
            }
            false => {
                let plain = |error: &io::Error| format!("{error}: does it want TLS on this port (rediss)?");
                timeout_at(until, enter(stream, who, plain)).await
            }
        };
        let question = if self.url.has_tls() { ": does it speak TLS on this port?" } else { "" };
        let silent = |_| failure(format!("it accepts connections, but did not answer within 400 ms{question}"));
        entered.map_err(silent).flatten()
    }

    fn user(&self) -> RedisConnectionInfo {
        let mut who = nobody();
        if let Some(user) = &self.url.user {
            who = who.set_username(user);
        }
        match &self.url.password {
            Some(password) => who.set_password(password.as_str()),
            None => who,
        }
    }
}

/// Without `CLIENT SETINFO`, which some proxies refuse.
fn nobody() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}

fn failure(reason: impl Into<String>) -> StoreError {
    StoreError { reason: reason.into() }
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

/// Sends a `PING`, and logs in. Without the `PING`, faults of TLS would come to light only with a caller's first command: a
/// server says only after the handshake that it wants a certificate.
async fn enter(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    who: impl FnOnce(&[u8]) -> RedisConnectionInfo,
    describe: impl FnOnce(&io::Error) -> String,
) -> Result<Connection> {
    let answer = ping(&mut stream).await.map_err(|error| failure(describe(&error)))?;
    let who = who(&answer);
    // Each call has a limit of time of its own.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let made = MultiplexedConnection::new_with_config(&who, stream, config).await;
    let (shared, driver) = made.map_err(|error| not_let_in(&who, &error))?;
    let driver = Arc::new(Driver(spawn_local(driver).abort_handle()));
    Ok(Connection { shared, _driver: driver })
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

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    pub(super) async fn send(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        self.shared.send_packed_commands(commands, 0, commands.len()).await
    }

    /// Sends a command, and waits for no answer if the command says so.
    pub(super) async fn tell(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.shared.send_packed_command(command).await
    }
}
