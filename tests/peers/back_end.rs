//! The back end behind a proxy: it answers with all that it was sent, and remembers it.

use std::future::ready;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::raw::{Head, listen};

pub(crate) struct BackEnd {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Every line: the name with all that stood before the colon, and the value without blanks around it.
    pub(crate) headers: Vec<(String, String)>,
}

impl BackEnd {
    /// Answers 200 and `{"method","path","headers":[[name,value],…]}` to everything.
    pub(crate) async fn start() -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let sees = Arc::clone(&seen);
        let (address, server) = listen(move |head| {
            let request = Seen::of(head);
            let echo = request.echo();
            sees.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(request);
            ready(Some(echo))
        })
        .await;
        Self {
            address,
            seen,
            server,
        }
    }

    pub(crate) fn take(&self) -> Vec<Seen> {
        mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seen {
    fn of(head: Head) -> Self {
        let mut words = head.first.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Self {
            method: word(),
            path: word(),
            headers: head.headers,
        }
    }

    fn echo(&self) -> String {
        let body =
            json!({"method": self.method, "path": self.path, "headers": self.headers}).to_string();
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        self.server.abort();
    }
}
