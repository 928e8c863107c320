//! An HTTP proxy that opens tunnels, and notes what it sees.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::locked;

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
    proxy: JoinHandle<()>,
}

struct Seen {
    gate: Gate,
    /// The head of each request.
    heads: Vec<String>,
}

impl ConnectProxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let seen = Arc::new(Mutex::new(Seen { gate: Gate::Opens, heads: Vec::new() }));
        Self { address, proxy: tokio::spawn(accept(listener, Arc::clone(&seen))), seen }
    }

    pub(crate) fn does(&self, gate: Gate) {
        locked(&self.seen).gate = gate;
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        locked(&self.seen).heads.clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.proxy.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&seen)));
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
