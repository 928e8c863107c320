//! The stores that a suite runs on: in memory, on a real redis-server, and on a Cluster of three.
//! The doors of the service have this file by `#[path]`, for the suites of what they keep.

use std::{process::Command, time::Duration};

use chrono::{DateTime, Utc};
use wxmint_store::{Store, StoreAccess};

use self::starter::RedisServer as Started;
use crate::test_limit;

/// The starter of redis-server that all tests share.
#[expect(
    dead_code,
    reason = "of the service's tests, of which these need a part"
)]
#[path = "../../../../tests/it/support/redis_server.rs"]
mod starter;

/// Runs each case, a function of an `Rc<Store>`, on every store. Use it where the module `servers`
/// is in scope.
#[macro_export]
macro_rules! conformance {
    ($($case:ident)*) => {
        mod memory_store {
            $(#[tokio::test(flavor = "local")]
            async fn $case() {
                super::$case(std::rc::Rc::new(servers::memory())).await;
            })*
            use super::servers;
        }

        mod redis_store {
            $(#[tokio::test(flavor = "local")]
            async fn $case() {
                let server = servers::RedisServer::start().await;
                super::$case(std::rc::Rc::new(server.store())).await;
            })*
            use super::servers;
        }

        /// Three primaries. Each refuses keys of another one, and scripts whose keys lie in two
        /// slots.
        mod redis_cluster {
            /// All cases run in one test, because a Cluster takes two seconds to form.
            #[tokio::test(flavor = "local")]
            async fn every_case() {
                let cluster = servers::Cluster::start().await;
                $(
                    cluster.forget_all();
                    eprintln!("{}", stringify!($case));
                    super::$case(std::rc::Rc::new(cluster.store())).await;
                )*
            }
            use super::servers;
        }
    };
}

pub(crate) const DAY: Duration = Duration::from_hours(24);

#[expect(clippy::disallowed_methods, reason = "the border, in these tests")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

pub(crate) fn memory() -> Store {
    Store::new(&StoreAccess::in_memory(now), DAY, now, ())
}

/// A real redis-server for one test, stopped when it is dropped.
pub(crate) struct RedisServer(Started);

impl RedisServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(options: &[&str]) -> Self {
        test_limit::at_most(Duration::from_mins(2));
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        Self(Started::start(&options, "").await)
    }

    pub(crate) fn store(&self) -> Store {
        self.store_at(now)
    }

    pub(crate) fn store_at(&self, clock: fn() -> DateTime<Utc>) -> Store {
        store(&self.0.url(), clock)
    }

    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let port = self.0.port().to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port])
            .args(arguments)
            .output()
            .expect("redis-cli");
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim()
            .to_owned()
    }
}

fn store(url: &str, clock: fn() -> DateTime<Utc>) -> Store {
    let access = StoreAccess::new(wxmint_redis_link::RedisAccess::fixed(
        url.parse().expect("a URL"),
    ));
    Store::new(&access, DAY, clock, ())
}

/// A Cluster of three primaries without replicas.
pub(crate) struct Cluster(pub(crate) [RedisServer; 3]);

impl Cluster {
    pub(crate) async fn start() -> Self {
        let servers = [(); 3].map(|()| RedisServer::start_with(&["--cluster-enabled", "yes"]));
        let [one, two, three] = servers;
        let cluster = Self([one.await, two.await, three.await]);
        for (server, (first, last)) in
            cluster
                .0
                .iter()
                .zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")])
        {
            server.cli(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            server.cli(&[
                "CLUSTER",
                "MEET",
                "127.0.0.1",
                &cluster.0[0].0.port().to_string(),
            ]);
        }
        let is_up = |server: &RedisServer| {
            let info = server.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
        };
        let up = async {
            while !cluster.0.iter().all(is_up) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), up)
            .await
            .expect("the cluster is ok within a minute");
        cluster
    }

    pub(crate) fn forget_all(&self) {
        self.0
            .iter()
            .for_each(|server| _ = server.cli(&["FLUSHALL"]));
    }

    /// A store whose URL names one of the primaries.
    pub(crate) fn store(&self) -> Store {
        store(
            &format!("redis+cluster://127.0.0.1:{}", self.0[2].0.port()),
            now,
        )
    }
}
