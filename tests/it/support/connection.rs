//! One HTTP connection that is kept, for thousands of requests at a fraction of a general client's cost.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listener");
        stream.set_nodelay(true).expect("a TCP connection");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a request whose further header lines end with CRLF each; returns status and body.
    pub(crate) async fn send(&mut self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!("{line} HTTP/1.1\r\nHost: peer\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes()).await.expect("an open connection");
        self.answer().await
    }

    async fn answer(&mut self) -> (u16, String) {
        let status = self.line().await.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut length = 0;
        loop {
            let line = self.line().await.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a number"),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("a whole body");
        (status, String::from_utf8(body).expect("text"))
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.expect("an answer");
        assert!(read > 0, "the connection was closed");
        line.trim_end().to_owned()
    }
}
