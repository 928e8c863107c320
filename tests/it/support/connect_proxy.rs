//! An HTTP proxy that opens tunnels, and notes what it sees.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::{Accepting, locked};

/// The act of the proxy on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Opens,
    /// Answers with this status instead.
    Refuses(&'static str),
    /// Closes the connection without an answer.
    Closes,
    /// Gives no answer.
    Hangs,
}

pub(crate) struct ConnectProxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _proxy: Accepting,
}

struct Seen {
    gate: Gate,
    /// The head of each request.
    heads: Vec<String>,
}

impl ConnectProxy {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Seen { gate: Gate::Opens, heads: Vec::new() }));
        let known = Arc::clone(&seen);
        let proxy = Accepting::start(move |stream| serve(stream, Arc::clone(&known))).await;
        Self { address: proxy.address, seen, _proxy: proxy }
    }

    pub(crate) fn does(&self, gate: Gate) {
        locked(&self.seen).gate = gate;
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        locked(&self.seen).heads.clone()
    }
}

async fn serve(mut client: TcpStream, seen: Arc<Mutex<Seen>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let gate = {
        let mut seen = locked(&seen);
        seen.heads.push(head.clone());
        seen.gate
    };
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    match gate {
        Gate::Opens => {
            let mut server = TcpStream::connect(target).await.ok()?;
            [&client, &server].into_iter().try_for_each(|socket| socket.set_nodelay(true)).ok()?;
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
            copy_bidirectional(&mut client, &mut server).await.ok()?;
        }
        Gate::Refuses(status) => client.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.ok()?,
        Gate::Closes => {}
        Gate::Hangs => _ = client.read_u8().await,
    }
    Some(())
}
