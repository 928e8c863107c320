//! A Redis of the test's own.

use std::{
    ffi::OsStr,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::Connection;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct RedisServer {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl RedisServer {
    /// In `folder`, with these variables in its environment.
    pub(crate) fn start(folder: TempDir, environment: &[(&str, &OsStr)]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""])
            .current_dir(folder.path())
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed; try: make setup");
        Self { child, address, _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn link(&self) -> Connection {
        let (client, deadline) = (redis::Client::open(self.url()).expect("a URL"), Instant::now() + PATIENCE);
        loop {
            match client.get_connection() {
                Ok(link) => return link,
                Err(_) => assert!(Instant::now() < deadline, "redis-server does not listen within {PATIENCE:?}"),
            }
            thread::yield_now();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Fails only on a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
