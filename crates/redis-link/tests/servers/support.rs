//! Servers, clients of them, and a writer that remembers which writes were answered.

#[path = "../../../../tests/it/support/accepting.rs"]
mod accepting;
#[path = "../../../../tests/it/support/limit.rs"]
mod limit;
#[expect(
    dead_code,
    reason = "of the service's tests, of which these need a part"
)]
#[path = "../../../../tests/it/support/proxy.rs"]
mod proxy;
#[expect(
    dead_code,
    reason = "of the service's tests, of which these need a part"
)]
#[path = "../../../../tests/it/support/redis_cluster.rs"]
mod redis_cluster;
#[expect(
    dead_code,
    reason = "of the service's tests, of which these need a part"
)]
#[path = "../../../../tests/it/support/redis_server.rs"]
mod redis_server;
#[path = "../../../../tests/it/support/sentinel.rs"]
mod sentinel;
#[expect(
    dead_code,
    reason = "of the service's tests, of which these need a part"
)]
#[path = "../../../../tests/it/support/tls.rs"]
mod tls;
#[path = "../../../../tests/it/support/wait.rs"]
mod wait;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;
use wxmint_redis_link::{
    Call, Confirm, DEADLINE, Program, Reason, RedisAccess, RedisClient, TlsFiles,
};

pub(crate) use self::accepting::Accepting;
pub(crate) use self::proxy::Breakable;
pub(crate) use self::redis_cluster::RedisCluster;
pub(crate) use self::redis_server::{EMPTY_FILE, PATIENCE, RedisServer, free_port};
pub(crate) use self::sentinel::Sentinel;
pub(crate) use self::tls::Authority;
pub(crate) use self::wait::{eventually, until};

/// The limit for a failover, which takes the servers some seconds.
pub(crate) const FAILED_OVER: Duration = PATIENCE.saturating_mul(3);
/// The deadline of a call, plus the delay of a busy machine.
pub(crate) const FAST: Duration = DEADLINE.saturating_add(Duration::from_secs(2));
/// The limit for a whole test.
const LIMIT: Duration = Duration::from_mins(3);

/// Writes the file of a TLS key.
fn write_private(path: &Path, content: &str) {
    fs::write(path, content).expect("written");
}

pub(crate) fn access(url: &str, confirm: Confirm) -> RedisAccess {
    let url = url.parse().expect("a URL");
    RedisAccess::new(url, TlsFiles::default(), confirm, Program::default())
        .expect("no files are named")
}

/// A client with [`Confirm::Auto`].
pub(crate) fn link(url: &str) -> Rc<RedisClient> {
    link_with(url, Confirm::Auto)
}

pub(crate) fn link_with(url: &str, confirm: Confirm) -> Rc<RedisClient> {
    Rc::new(RedisClient::new(&access(url, confirm), ()))
}

/// Sets a key to 1. The call may run twice.
pub(crate) fn set(key: &str) -> Call {
    Call::of("SET", key).arg(1)
}

pub(crate) async fn write(link: &RedisClient, key: &str) -> Result<(), Reason> {
    link.run("write", set(key)).await
}

pub(crate) async fn confirmed(link: &RedisClient, key: &str) -> Result<(), Reason> {
    link.run_confirmed("write", set(key)).await
}

pub(crate) async fn is_there(link: &RedisClient, key: &str) -> Result<bool, Reason> {
    link.run("read", Call::of("EXISTS", key)).await
}

/// Reads whether a key exists, and retries until Redis answers.
pub(crate) async fn kept(link: &RedisClient, key: &str) -> bool {
    eventually("an answer", PATIENCE, async || {
        is_there(link, key).await.ok()
    })
    .await
}

/// Makes confirmed writes of keys, one after the other, until it is told to stop.
pub(crate) struct Writer {
    link: Rc<RedisClient>,
    /// When the last answered write began.
    served: Rc<Cell<Option<Instant>>>,
    is_over: Rc<Cell<bool>>,
    /// The keys of the answered writes, the number of refused writes, and the time of the slowest.
    task: JoinHandle<(Vec<String>, usize, Duration)>,
}

impl Writer {
    pub(crate) fn start(link: Rc<RedisClient>) -> Self {
        let (served, is_over) = (Rc::default(), Rc::<Cell<bool>>::default());
        let (own, serves, ends) = (
            Rc::clone(&link),
            Rc::<Cell<_>>::clone(&served),
            Rc::clone(&is_over),
        );
        let task = spawn_local(async move {
            let (mut answered, mut refused, mut slowest) = (Vec::new(), 0, Duration::ZERO);
            for key in (0..)
                .map(|number| format!("key-{number}"))
                .take_while(|_| !ends.get())
            {
                let began = Instant::now();
                match confirmed(&own, &key).await {
                    Ok(()) => {
                        answered.push(key);
                        serves.set(Some(began));
                    }
                    Err(_) => refused += 1,
                }
                slowest = slowest.max(began.elapsed());
                tokio::task::yield_now().await;
            }
            (answered, refused, slowest)
        });
        Self {
            link,
            served,
            is_over,
            task,
        }
    }

    /// Waits until a write that begins from now on is answered.
    pub(crate) async fn is_served(&self) {
        let now = Some(Instant::now());
        until("served", FAILED_OVER, async || self.served.get() >= now).await;
    }

    /// Checks that each write was answered or refused in time, and that each answered write is
    /// still there. Returns how many were refused.
    pub(crate) async fn loses_nothing(self) -> usize {
        self.is_over.set(true);
        let (answered, refused, slowest) = self.task.await.expect("it ends");
        assert!(slowest < FAST, "{slowest:?}");
        for key in answered {
            assert!(
                kept(&self.link, &key).await,
                "{key} was answered, and is lost"
            );
        }
        refused
    }
}
