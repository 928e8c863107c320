//! A Redis of the test's own, emptied for each case.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use wxmint::{
    store::{self, Store},
    telemetry::Metrics,
};

use crate::{DAY, clock};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Redis {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed; try: make setup");
        let redis = Self { child, url: format!("redis://{address}"), _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen within {PATIENCE:?}");
            thread::yield_now();
        }
        redis
    }

    pub(crate) fn empty_store(&self) -> Box<dyn Store> {
        let client = redis::Client::open(self.url.as_str()).expect("a URL");
        let emptied = client.get_connection().and_then(|mut link| redis::cmd("FLUSHALL").query::<()>(&mut link));
        emptied.expect("an empty Redis");
        let url = self.url.parse().expect("a URL");
        Box::new(store::Redis::new(&store::RedisAccess::fixed(url), DAY, clock, Metrics::default()))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Fails only on a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
