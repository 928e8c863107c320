//! One HTTP connection that is kept, for thousands of requests at a fraction of a general client's cost.

use std::net::SocketAddr;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::answering::message;

pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listener");
        stream.set_nodelay(true).expect("a TCP connection");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a request whose further header lines end with CRLF each; returns status and body.
    pub(crate) async fn send(&mut self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: peer\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .await
            .expect("an open connection");
        let (line, _, body) = message(&mut self.stream).await.expect("an answer");
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        (status, String::from_utf8(body).expect("text"))
    }
}
