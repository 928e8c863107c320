//! HTTP as bytes, for requests that no client would send.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{interval, timeout};

use super::{PATIENCE, Process, until};

/// A client that has asked and hangs up before it is answered.
pub(crate) struct Impatient(TcpStream);

/// The bytes that came back on a connection until it was closed.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    AtOnce,
    /// Sends the first bytes at once and then one a second.
    Drip {
        at_once: usize,
    },
}

impl Impatient {
    pub(crate) async fn asks(listener: SocketAddr, line: &str, token: &str, body: &str) -> Self {
        let mut connection = TcpStream::connect(listener).await.expect("a listener");
        // As of a phone that is gone. What is only closed in order might still want its answer.
        connection.set_zero_linger().expect("a TCP connection");
        let (json, length) = ("Content-Type: application/json", body.len());
        let headers =
            format!("Authorization: Bearer {token}\r\n{json}\r\nContent-Length: {length}\r\n");
        connection
            .write_all(wire_request(line, "localhost", &headers, body).as_bytes())
            .await
            .expect("sent");
        Self(connection)
    }

    /// Whether there is an answer, or the server has hung up first.
    pub(crate) fn is_answered(&self) -> bool {
        !matches!(self.0.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// From when this returns, the service knows.
    pub(crate) async fn hang_up(self, service: &Process) {
        let open = service.open_files();
        drop(self);
        until("the service closes the connection", PATIENCE, async || {
            service.open_files() < open
        })
        .await;
    }
}

impl Received {
    /// Sends `bytes` on a connection of its own and reads until the server closes that.
    pub(crate) async fn after(
        listener: SocketAddr,
        bytes: &[u8],
        pace: Pace,
        within: Duration,
    ) -> Self {
        let connection = TcpStream::connect(listener).await.expect("a listener");
        let (read, write) = connection.into_split();
        let reading = timeout(within, read_to_close(read));
        tokio::select! {
            received = reading => {
                let bytes = received.unwrap_or_else(|_| panic!("neither answered nor closed within {within:?}"));
                Self { bytes }
            }
            never = send(write, bytes, pace) => never,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// None where the connection was closed without an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        let text = self.text();
        let line = text.lines().next()?;
        Some(
            line.strip_prefix("HTTP/1.1 ")
                .or(line.strip_prefix("HTTP/1.0 "))?[..3]
                .parse()
                .expect("a status"),
        )
    }

    /// How many answers came: two to one request would be a smuggled one's.
    pub(crate) fn answers(&self) -> usize {
        self.text().matches("HTTP/1.").count()
    }

    /// A header's value, or "" where there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        let text = self.text();
        let head = text
            .split_once("\r\n\r\n")
            .map_or(text.as_str(), |(head, _)| head);
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map_or(String::new(), |(_, value)| value.to_owned())
    }

    pub(crate) fn body(&self) -> String {
        self.text()
            .split_once("\r\n\r\n")
            .map_or(String::new(), |(_, body)| body.to_owned())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body())
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// A request as it is written: a line (`GET /livez`), the host, further lines that end with CRLF each, and a body.
pub(crate) fn wire_request(line: &str, host: &str, headers: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n{body}")
}

/// Until it is closed; a reset is a way to close, too.
async fn read_to_close(mut from: OwnedReadHalf) -> Vec<u8> {
    let mut received = Vec::new();
    let _ = from.read_to_end(&mut received).await;
    received
}

/// Never returns, so that what was sent stays open. The server may close before it has read everything.
async fn send(mut to: OwnedWriteHalf, bytes: &[u8], pace: Pace) -> ! {
    let at_once = match pace {
        Pace::AtOnce => bytes.len(),
        Pace::Drip { at_once } => at_once,
    };
    let _ = to.write_all(&bytes[..at_once]).await;
    let mut second = interval(Duration::from_secs(1));
    for byte in &bytes[at_once..] {
        second.tick().await;
        let _ = to.write_all(std::slice::from_ref(byte)).await;
    }
    std::future::pending().await
}
