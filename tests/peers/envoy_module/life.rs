//! The module through Envoy's updates, restarts and ends, and under a crowd that makes up keys.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{ISSUER, NAME, started, with_module};
use crate::envoy;
use crate::raw::Request;
use crate::scene::Scene;
use crate::support::{Http, PATIENCE, Process, Signal, eventually, free_port, tools, until};

const PATH: &str = "/orders";

/// Clients that ask with a good token again and again.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn of(clients: usize, address: SocketAddr, token: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let client = |_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let request = Request::get(PATH).bearer(token);
            tokio::spawn(async move {
                let mut refused = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match request.send(address).await {
                        Ok(reply) if reply.status == 200 => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        other => refused.push(format!("{other:?}")),
                    }
                }
                refused
            })
        };
        Self {
            clients: (0..clients).map(client).collect(),
            stop,
            answered,
        }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the clients. Returns how many answers were 200, and all others.
    async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut refused = Vec::new();
        for client in self.clients {
            refused.extend(client.await.expect("a client"));
        }
        (self.answered.load(Ordering::Relaxed), refused)
    }
}

/// The example's Envoy, whose listener is a file that can be replaced.
struct Updated {
    folder: TempDir,
    listener: String,
    admin: SocketAddr,
    address: SocketAddr,
    process: Process,
}

impl Updated {
    async fn start(scene: &Scene) -> Self {
        let folder = envoy::folder(scene, NAME, &[(ISSUER, &scene.address().to_string())]);
        let whole = fs::read_to_string(folder.path().join("envoy.yaml")).expect("the example");
        let (head, rest) = whole.split_once("  listeners:\n").expect("listeners");
        let (listener, clusters) = rest.split_once("\n  clusters:\n").expect("clusters");
        let [admin, address] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let kind = "    - \"@type\": type.googleapis.com/envoy.config.listener.v3.Listener\n      name: peer";
        let listener = listener.replacen("    - name: peer", kind, 1).replacen(
            "port_value: 0 }",
            &envoy::port_value(address),
            1,
        );
        let head = head.replacen("port_value: 0 }", &envoy::port_value(admin), 1);
        let bootstrap = format!(
            "node: {{ id: peer, cluster: peer }}\ndynamic_resources:\n  lds_config: {{ path_config_source: {{ path: {} }} }}\n{head}  clusters:\n{clusters}",
            folder.path().join("lds.yaml").display(),
        );
        fs::write(folder.path().join("bootstrap.yaml"), bootstrap).expect("the folder");
        publish(folder.path(), &listener);
        let mut command = with_module(Command::new(tools("python/bin/envoy")));
        command.args([
            "--concurrency",
            "2",
            "--disable-hot-restart",
            "--log-level",
            "error",
        ]);
        command
            .arg("--config-path")
            .arg(folder.path().join("bootstrap.yaml"));
        let process = Process::spawn("envoy", &mut command);
        Self {
            folder,
            listener,
            admin,
            address,
            process,
        }
    }

    /// Replaces the listener, and waits until Envoy's `counter` of updates has counted it.
    async fn update(&self, http: &Http, listener: &str, counter: &str) {
        let before = self.count(http, counter).await;
        publish(self.folder.path(), listener);
        until("the update", PATIENCE, async || {
            self.count(http, counter).await > before
        })
        .await;
    }

    async fn count(&self, http: &Http, counter: &str) -> u64 {
        let url = format!(
            "http://{}/stats?filter=listener_manager.lds.{counter}",
            self.admin
        );
        let told = http.get(&url).await.body;
        let value = told.trim().rsplit(' ').next().expect("a value");
        value.parse().unwrap_or_else(|_| panic!("{told}"))
    }
}

/// Moved into its place, because Envoy looks at moves alone.
fn publish(folder: &Path, listener: &str) {
    let written = folder.join("next.yaml");
    fs::write(&written, format!("resources:\n{listener}\n")).expect("the folder");
    fs::rename(written, folder.join("lds.yaml")).expect("the folder");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn forty_updates_under_load_cost_no_request_and_a_wrong_one_leaves_the_old() {
    let scene = Scene::start().await;
    let mut envoy = Updated::start(&scene).await;
    let http = Http::new();
    let good = Request::get(PATH).bearer(&scene.lin.token);
    eventually("it has keys", PATIENCE, async || {
        let reply = good.send(envoy.address).await.ok()?;
        (reply.status == 200).then_some(())
    })
    .await;
    let load = Load::of(4, envoy.address, &scene.lin.token);
    for number in 0..40 {
        let listener = envoy
            .listener
            .replace("[/public/*]", &format!("[/public/*, /v{number}]"));
        envoy.update(&http, &listener, "update_success").await;
        let before = load.answered();
        until("answers by the update", PATIENCE, async || {
            load.answered() > before + 10
        })
        .await;
    }
    let wrong = envoy.listener.replace("public: [", "publik: [");
    envoy.update(&http, &wrong, "update_rejected").await;
    let (answered, refused) = load.end().await;
    assert!(
        refused.is_empty() && answered > 400,
        "{answered}: {refused:#?}"
    );
    let open = Request::get("/v39")
        .send(envoy.address)
        .await
        .expect("an answer");
    assert_eq!(open.status, 200, "the last good update serves");

    // A new issuer has other keys: nothing of the old one is accepted while they are missing.
    let other = envoy.listener.replace(&scene.issuer, "http://127.0.0.1:1");
    envoy.update(&http, &other, "update_success").await;
    until("the new issuer's keys are missing", PATIENCE, async || {
        good.send(envoy.address)
            .await
            .is_ok_and(|reply| reply.status == 503)
    })
    .await;
    envoy.process.signal(Signal::TERM);
    assert!(envoy.process.end(PATIENCE).await.success());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn a_hot_restart_costs_no_request_and_both_processes_end_well() {
    let scene = Scene::start().await;
    let folder = envoy::folder(&scene, NAME, &[(ISSUER, &scene.address().to_string())]);
    let whole = fs::read_to_string(folder.path().join("envoy.yaml")).expect("the example");
    let [admin, address] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
    let whole = whole
        .replacen("port_value: 0 }", &envoy::port_value(admin), 1)
        .replacen("port_value: 0 }", &envoy::port_value(address), 1);
    fs::write(folder.path().join("envoy.yaml"), whole).expect("the folder");
    let epoch = |number: &str| {
        let mut command = with_module(Command::new(tools("python/bin/envoy")));
        // The id tells this Envoy's shared memory from that of others.
        let id = admin.port().to_string();
        command.args([
            "--base-id",
            &id,
            "--restart-epoch",
            number,
            "--concurrency",
            "2",
        ]);
        command.args([
            "--drain-time-s",
            "1",
            "--parent-shutdown-time-s",
            "2",
            "--log-level",
            "error",
        ]);
        command
            .arg("--config-path")
            .arg(folder.path().join("envoy.yaml"));
        Process::spawn("envoy", &mut command)
    };
    let mut first = epoch("0");
    let good = Request::get(PATH).bearer(&scene.lin.token);
    eventually("it has keys", PATIENCE, async || {
        let reply = good.send(address).await.ok()?;
        (reply.status == 200).then_some(())
    })
    .await;
    let load = Load::of(4, address, &scene.lin.token);
    let mut second = epoch("1");
    assert!(first.end(PATIENCE).await.success(), "{}", first.log());
    let before = load.answered();
    until("answers by the second", PATIENCE, async || {
        load.answered() > before + 100
    })
    .await;
    let (answered, refused) = load.end().await;
    // The second process listens before it has keys: the first tokens wait for them.
    assert!(
        refused.is_empty() && answered > 200,
        "{answered}: {refused:#?}"
    );
    second.signal(Signal::TERM);
    assert!(second.end(PATIENCE).await.success(), "{}", second.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn four_hundred_made_up_keys_stop_no_good_token_while_the_issuer_hangs() {
    let scene = Scene::start().await;
    let envoy = started(&scene).await;
    let address = envoy.example.address;
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(&envoy.example).await
    })
    .await;
    let forge = scene.forge();
    scene.link.stall().await;
    let made_up: Vec<_> = (0..400)
        .map(|number| {
            let header = forge.header_with(json!({"kid": format!("made-up-{number}")}));
            Request::get(PATH).bearer(&forge.by_other(&header, &forge.claims))
        })
        .collect();
    let mut waiting = Vec::new();
    for (number, request) in made_up.into_iter().enumerate() {
        // Every second client leaves while its token waits.
        let patience = Duration::from_millis(if number % 2 == 0 { 500 } else { 10_000 });
        waiting.push(tokio::spawn(async move {
            request
                .send_within(address, patience)
                .await
                .map(|reply| reply.status)
        }));
    }
    let good = Request::get(PATH).bearer(&scene.lin.token);
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let asked = Instant::now();
        let reply = good.send(address).await.expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
        slowest = slowest.max(asked.elapsed());
    }
    // The module's own bound for an unknown key is 2 s.
    assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
    for (number, waiting) in waiting.into_iter().enumerate() {
        match waiting.await.expect("a client") {
            Ok(status) => assert_eq!(status, 401, "{number}"),
            Err(_) => assert_eq!(number % 2, 0, "only those who left have no answer"),
        }
    }
    assert_eq!(scene.is_let_in(&envoy.example).await, Some(()));
}
