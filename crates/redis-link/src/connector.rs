//! Makes one connection to one server: TCP, TLS, login.
//!
//! redis-rs could do this too, but it reads the system's certificates for each connection, even if
//! a CA file is named, and fails if one of them cannot be read. It also runs the connection outside
//! of the worker's `LocalSet`, so that each answer wakes the `LocalSet` once more.

use std::{cell::Cell, io, rc::Rc, sync::Arc, time::Duration};

use futures_util::future::select_ok;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, aio::MultiplexedConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::{task::JoinSet, time::timeout};

use super::failure::{Cause, Reason, not_let_in};
use super::{access::RedisAccess, url::Address, url::RedisUrl};

/// The time for TCP, TLS and login together.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);

/// Opens connections by one URL. A failure is a reason for the log.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) url: Arc<RedisUrl>,
    pub(crate) access: RedisAccess,
    /// Whether the connections lead to Sentinels and not to data servers.
    pub(crate) to_sentinels: bool,
    /// The number of connections to data servers that have been made.
    pub(crate) made: Rc<Cell<u64>>,
}

/// A connection whose clones share one socket, which closes when the last of them is dropped.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) shared: MultiplexedConnection,
    /// The task that reads and writes. It is aborted when the connection is dropped, because
    /// otherwise it would run until the server has answered the last command, which a frozen server
    /// never does.
    _driver: Rc<JoinSet<()>>,
}

impl Connector {
    /// A connector without TLS files.
    #[cfg(test)]
    pub(crate) fn plain(url: &str) -> Self {
        RedisAccess::fixed(url.parse().expect("a URL")).connector()
    }

    /// A connection by this stream to whoever answers its `PING`.
    #[cfg(test)]
    pub(crate) async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Connection {
        self.enter(stream, |error| error.to_string().into())
            .await
            .unwrap_or_else(|reason| panic!("{reason}"))
    }

    pub(crate) async fn connect(&self, to: &Address) -> Result<Connection, Reason> {
        let has_tls = self.url.has_tls();
        let opening = async {
            let stream = tcp(to).await?;
            if has_tls {
                let stream = self.access.tls.encrypt(stream, &to.host).await?;
                self.enter(stream, |error| self.access.tls.describe(error, &to.host))
                    .await
            } else {
                let words = "it stops, or does it want TLS on this port (rediss)?";
                self.enter(stream, |error| {
                    Cause::Closed.because(format!("{error}: {words}"))
                })
                .await
            }
        };
        match timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) if has_tls => Err(Cause::NoAnswerByTls
                .because("no answer within 400 ms: does it speak TLS on this port?")),
            Err(_) => Err(Cause::NoAnswer.because("no answer within 400 ms")),
        }
    }

    /// Sends a `PING`, and logs in. Without the `PING`, TLS errors would appear only at a caller's
    /// first command, because a server says only after the handshake that it requires a
    /// certificate.
    async fn enter(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        describe: impl FnOnce(&io::Error) -> Reason,
    ) -> Result<Connection, Reason> {
        let answer = ping(&mut stream).await.map_err(|error| describe(&error))?;
        let is_refusal = answer.starts_with(b"-") && !answer.starts_with(b"-NOAUTH");
        // Some servers give a reason and hang up. Others refuse only the `PING`.
        if is_refusal && ping(&mut stream).await.is_err() {
            return Err(hangs_up(&String::from_utf8_lossy(&answer)));
        }
        let login = match self.to_sentinels {
            false => self.url.login.clone(),
            // A Sentinel gets a password only if it requires one, and has no database.
            true if answer.starts_with(b"-NOAUTH") => {
                match self.url.sentinel_password(self.access.program)? {
                    Some(own) => RedisConnectionInfo::default()
                        .set_password(own.as_str())
                        .set_skip_set_lib_name(),
                    None => self.url.login.clone().set_db(0),
                }
            }
            true => RedisConnectionInfo::default().set_skip_set_lib_name(),
        };
        if answer.starts_with(b"-NOAUTH") && login.password().is_none() {
            return Err(Cause::WantsPassword.because("it answered NOAUTH: it wants a password"));
        }
        // Each call has its own time limit.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&login, stream, config).await;
        let (shared, driver) = made.map_err(|error| not_let_in(&login, &error))?;
        self.made.update(|made| made + 1);
        let mut task = JoinSet::new();
        task.spawn_local(driver);
        Ok(Connection {
            shared,
            _driver: Rc::new(task),
        })
    }
}

/// Connects to the first of the host's addresses that answers.
async fn tcp(to: &Address) -> Result<TcpStream, Reason> {
    let found = lookup_host((to.host.as_str(), to.port)).await;
    let found: Vec<_> = found
        .map_err(|error| Cause::NoAddress.because(error.to_string()))?
        .collect();
    if found.is_empty() {
        return Err(Cause::NoAddress.because("the name has no address"));
    }
    let connected = select_ok(
        found
            .into_iter()
            .map(|address| Box::pin(TcpStream::connect(address))),
    )
    .await;
    let (stream, _) = connected.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::NobodyListens.because(error.to_string()),
        _ => error.to_string().into(),
    })?;
    stream
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Sends a `PING`, and returns the line that the server answers, up to 1 KiB. A server that hangs
/// up may have sent a reason although it reads no more, so an error while sending is reported only
/// if there is no line.
async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Vec<u8>> {
    let sent = async {
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
        stream.flush().await
    };
    let sent = sent.await;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") && line.len() < 1024 {
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(error) if line.is_empty() => return Err(sent.err().unwrap_or(error)),
            Err(_) => break,
        }
    }
    Ok(line)
}

/// The reason for a server that hangs up after this line. The line may be quoted, because it does
/// not answer a command of the caller.
fn hangs_up(line: &str) -> Reason {
    let words: String = line
        .trim_start_matches('-')
        .trim_end()
        .chars()
        .take(120)
        .collect();
    let because = |cause: Cause| cause.because(format!("it hangs up, and says: {words}"));
    match &words {
        words if words.contains("max number of clients") => because(Cause::TooManyClients)
            .with_cure(
                "raise maxclients in redis.conf, or end other programs' connections (CLIENT LIST)",
            ),
        words if words.starts_with("DENIED") => because(Cause::Protected).with_cure(
            "set a password (requirepass), or protected-mode no if nobody else reaches it",
        ),
        _ => because(Cause::Other),
    }
}
