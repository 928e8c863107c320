//! HTTP/1.1 as bytes: what no client would send, and each line as it was received.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

pub(crate) const LONGEST: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub(crate) struct Request {
    target: String,
    lines: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn get(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            lines: Vec::new(),
        }
    }

    /// One more header line, sent as it is.
    pub(crate) fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    pub(crate) fn lines<'a>(self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        lines.into_iter().fold(self, Self::line)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.line(&format!("Authorization: Bearer {token}"))
    }

    /// Why there is no answer, or the answer.
    pub(crate) async fn send(&self, to: SocketAddr) -> Result<Reply, String> {
        self.send_within(to, LONGEST).await
    }

    pub(crate) async fn send_within(
        &self,
        to: SocketAddr,
        longest: Duration,
    ) -> Result<Reply, String> {
        let head: String = self
            .lines
            .iter()
            .map(|line| format!("{line}\r\n"))
            .collect();
        let bytes = format!("GET {} HTTP/1.1\r\nHost: {to}\r\n{head}\r\n", self.target);
        match timeout(longest, exchange(to, bytes.as_bytes())).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(format!("closed without an answer: {error}")),
            Err(_) => Err(format!("no answer within {longest:?}")),
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let named = self
            .headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| &**value).collect()
    }

    /// `null` where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

async fn exchange(to: SocketAddr, bytes: &[u8]) -> io::Result<Reply> {
    let (read, mut write) = TcpStream::connect(to).await?.into_split();
    let mut read = BufReader::new(read);
    // A long request may be answered and refused before it is sent to its end.
    let send = async {
        let _ = write.write_all(bytes).await;
        std::future::pending().await
    };
    tokio::select! {
        reply = answer(&mut read) => reply,
        never = send => never,
    }
}

async fn answer(from: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Reply> {
    let head = head(from)
        .await?
        .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let status = head
        .first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let mut reply = Reply {
        status: status.ok_or_else(no_http)?,
        headers: head.headers,
        body: String::new(),
    };
    reply.body = String::from_utf8_lossy(&body(from, &reply).await?).into_owned();
    Ok(reply)
}

/// The first line of a message, and its header lines.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    /// Names with all that stood before the colon, values without the blanks around them.
    pub(crate) headers: Vec<(String, String)>,
}

/// None where the connection is closed in place of a further message.
pub(crate) async fn head(from: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<Head>> {
    let Some(first) = line(from).await? else {
        return Ok(None);
    };
    let mut headers = Vec::new();
    loop {
        let line = line(from)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        if line.is_empty() {
            return Ok(Some(Head { first, headers }));
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Bytes that are not UTF-8 are shown as such.
async fn line(from: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(
        String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
    ))
}

async fn body(from: &mut (impl AsyncBufReadExt + Unpin), reply: &Reply) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = reply.header("content-length").first() {
        from.take(length.parse().map_err(|_| no_http())?)
            .read_to_end(&mut body)
            .await?;
    } else if reply.header("transfer-encoding").contains(&"chunked") {
        while let Some(length) = line(from).await?.filter(|length| length != "0") {
            let length = u64::from_str_radix(&length, 16).map_err(|_| no_http())?;
            from.take(length).read_to_end(&mut body).await?;
            line(from).await?;
        }
    } else {
        from.read_to_end(&mut body).await?;
    }
    Ok(body)
}

fn no_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not HTTP")
}

/// Answers the requests of each connection; without an answer, closes it.
pub(crate) async fn listen<F: Future<Output = Option<String>> + Send>(
    answer: impl Fn(Head) -> F + Send + Sync + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let answer = Arc::new(answer);
    let server = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            connections.spawn(async move { serve(stream, &*answer).await });
        }
    });
    (address, server)
}

async fn serve<F: Future<Output = Option<String>>>(stream: TcpStream, answer: &impl Fn(Head) -> F) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(head)) = head(&mut stream).await {
        let Some(answer) = answer(head).await else {
            return;
        };
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
