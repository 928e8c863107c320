//! Back ends that read a path each in its own way: Express, Flask, Starlette, Python's http.server, and two imitations.
//! What reached an example's back end without a token is put to each of them, to learn whom it would reach.

use std::{collections::BTreeMap, net::SocketAddr, process::Command};

use crate::raw::Request;
use crate::support::{PATIENCE, Process, eventually, repository, tools};

pub(crate) struct Routers {
    addresses: BTreeMap<String, SocketAddr>,
    _processes: [Process; 2],
}

impl Routers {
    pub(crate) async fn start() -> Self {
        let script = |name| repository("tests/peers/routers").join(name);
        let mut node = Command::new("node");
        node.arg(script("express.cjs"))
            .env("NODE_PATH", tools("node/node_modules"));
        let mut python = Command::new(tools("python/bin/python"));
        python
            .arg(script("routers.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let processes = [
            Process::spawn("express.cjs", &mut node),
            Process::spawn("routers.py", &mut python),
        ];
        let mut addresses = BTreeMap::new();
        for process in &processes {
            let ports = eventually("the routers listen", PATIENCE, async || ports(process)).await;
            addresses.extend(
                ports
                    .into_iter()
                    .map(|(name, port)| (name, ([127, 0, 0, 1], port).into())),
            );
        }
        Self {
            addresses,
            _processes: processes,
        }
    }

    /// Those that take `target` for /orders or what is below it.
    pub(crate) async fn that_take(&self, target: &str) -> Vec<&str> {
        let mut takers = Vec::new();
        for (name, address) in &self.addresses {
            let reply = Request::get(target)
                .line("Connection: close")
                .send(*address)
                .await;
            if reply.is_ok_and(|reply| reply.status == 200 && reply.body == "/orders") {
                takers.push(name.as_str());
            }
        }
        takers
    }
}

/// The first line, once it is there.
fn ports(process: &Process) -> Option<BTreeMap<String, u16>> {
    serde_json::from_str(process.stdout().first()?).ok()
}

#[tokio::test]
async fn each_router_takes_some_odd_path_for_a_protected_one() {
    let routers = Routers::start().await;
    for (target, takers) in [
        ("/ORDERS", &["express", "imitated_windows"][..]),
        ("/orders.json", &["express", "imitated_spring"]),
        (
            "//orders",
            &[
                "flask",
                "http_server",
                "imitated_spring",
                "imitated_windows",
            ],
        ),
        (
            "/%6frders",
            &[
                "flask",
                "http_server",
                "imitated_spring",
                "imitated_windows",
                "starlette",
            ],
        ),
        (
            "/public/..%2forders",
            &["http_server", "imitated_spring", "imitated_windows"],
        ),
        ("/public/..;/orders", &["imitated_spring"]),
        ("/public/%c0%ae%c0%ae/orders", &["imitated_spring"]),
        ("/public/%e0%80%ae%e0%80%ae/orders", &["imitated_spring"]),
        ("/orders%20", &["imitated_windows"]),
        ("/public/..%20/orders", &["imitated_windows"]),
        ("/ordersx", &[]),
    ] {
        assert_eq!(routers.that_take(target).await, takers, "{target}");
    }
}
