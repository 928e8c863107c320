//! What stands behind a proxy: answers with all that it was sent, and remembers it.

use std::{
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::raw::{Head, head};

pub(crate) struct BackEnd {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// The request's target.
    pub(crate) path: String,
    /// Every line: the name with all that stood before the colon, and the value without blanks around it.
    pub(crate) headers: Vec<(String, String)>,
}

impl BackEnd {
    /// Answers 200 and `{"method","path","headers":[[name,value],…]}` to everything.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, seen) = (listener.local_addr().expect("its address"), Arc::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&seen)));
        Self { address, seen, server }
    }

    /// What arrived since this was last asked.
    pub(crate) fn take(&self) -> Vec<Seen> {
        mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seen {
    fn of(head: Head) -> Self {
        let mut words = head.first.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Self { method: word(), path: word(), headers: head.headers }
    }

    fn echo(&self) -> Value {
        json!({"method": self.method, "path": self.path, "headers": self.headers})
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&seen)));
    }
}

/// Requests without a body, on a connection that is kept. Whoever asked may be gone.
async fn answer(stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(head)) = head(&mut stream).await {
        let request = Seen::of(head);
        let echo = request.echo().to_string();
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{echo}",
            echo.len()
        );
        if stream.get_mut().write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        self.server.abort();
    }
}
