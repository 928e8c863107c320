//! A server of the test's own: a task for each connection.

use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

/// Accepts connections until it is dropped, and drops them then.
pub(crate) struct Accepting {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Accepting {
    /// On a port that is free, each connection to `serve`.
    pub(crate) fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a TCP connection");
                connections.spawn(serve(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, task }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}
