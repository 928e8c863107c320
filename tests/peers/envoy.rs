//! Envoy, run with the configuration of an example.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use crate::example::{Example, Started, example_folder};
use crate::raw::Request;
use crate::scene::Scene;
use crate::support::{Breakable, Http, PATIENCE, Process, eventually, tools, until};
use serde_json::json;
use tempfile::TempDir;

/// Where Envoy writes the address of its admin interface, in the example's folder.
const ADMIN: &str = "admin";

/// Envoy listens, before the scene's back end. `addresses` are those of examples/peers/`name` besides.
pub(crate) async fn start(
    scene: &Scene,
    name: &'static str,
    addresses: &[(&str, &str)],
) -> Started {
    let folder = folder(scene, name, addresses);
    run(name, folder, "envoy.yaml").await
}

/// A copy of examples/peers/`name`, before the scene's back end.
pub(crate) fn folder(scene: &Scene, name: &str, addresses: &[(&str, &str)]) -> TempDir {
    folder_before(scene.back_end.address, name, addresses)
}

/// The same, before a back end at this address. Envoy chooses where it listens, and says so.
pub(crate) fn folder_before(
    back_end: SocketAddr,
    name: &str,
    addresses: &[(&str, &str)],
) -> TempDir {
    let back_end = port_value(back_end);
    let own = ["port_value: 8000 }", "port_value: 9901 }"].map(|port| (port, "port_value: 0 }"));
    let addresses = [&own[..], &[("port_value: 3000 }", &*back_end)], addresses].concat();
    example_folder(name, &addresses)
}

/// Envoy with a configuration in `folder`, which has it choose the ports of "peer" and of its admin interface.
pub(crate) async fn run(name: &'static str, folder: TempDir, configuration: &str) -> Started {
    let mut command = Command::new(tools("python/bin/envoy"));
    command.args(["--concurrency", "1"]);
    run_by(command, name, folder, configuration).await
}

/// The same by a `command` that has chosen an Envoy and what is particular about it.
pub(crate) async fn run_by(
    mut command: Command,
    name: &'static str,
    folder: TempDir,
    configuration: &str,
) -> Started {
    let admin = folder.path().join(ADMIN);
    command.args(["--disable-hot-restart", "--log-level", "error"]);
    command
        .arg("--admin-address-path")
        .arg(&admin)
        .arg("--config-path")
        .arg(folder.path().join(configuration));
    let mut process = Process::spawn("envoy", &mut command);
    let http = Http::new();
    let address = eventually("Envoy listens", 4 * PATIENCE, async || {
        assert!(
            process.ended().is_none(),
            "Envoy ends: {:?}",
            process.stderr()
        );
        listener(&http, &admin).await
    })
    .await;
    Started {
        example: Example::new(name, address.port()),
        _process: process,
        folder,
    }
}

/// Returns once Envoy has fetched keys, by its own count.
pub(crate) async fn has_fetched_keys(envoy: &Started) {
    let admin = fs::read_to_string(envoy.folder.path().join(ADMIN)).expect("Envoy listens");
    let (http, counts) = (
        Http::new(),
        format!("http://{admin}/stats?filter=jwks_fetch_success"),
    );
    until("Envoy fetches keys", PATIENCE, async || {
        let told = http.get(&counts).await.body;
        told.trim()
            .rsplit(' ')
            .next()
            .and_then(|count| count.parse().ok())
            .is_some_and(|count: u32| count > 0)
    })
    .await;
}

/// Examples with open paths do this besides, with a good token; `open` is whether they look at it there too.
pub(crate) async fn passes_on_who_it_is_and_no_token(scene: &Scene, example: &Example, open: bool) {
    for target in [example.protected, "/public/hello"] {
        let reply = Request::get(target)
            .bearer(&scene.lin.token)
            .send(example.address)
            .await
            .expect("an answer");
        assert_eq!(reply.status, 200, "{target}: {reply:?}");
        assert!(
            !reply.body.contains(&scene.lin.token),
            "the back end is given the token: {reply:?}"
        );
        let body = reply.body.to_ascii_lowercase();
        let told = scene.lin.identity().map(|(name, value)| {
            body.contains(&json!([name, value]).to_string().to_ascii_lowercase())
        });
        assert_eq!(
            told,
            [open || target == example.protected; 3],
            "{target}: {reply:?}"
        );
    }
}

/// So that Envoy and what stands behind it mean the same by a path and by a header.
pub(crate) async fn leaves_nothing_to_interpretation(scene: &Scene, example: &Example) {
    let sent = async |target: &str, line: &str| {
        scene.back_end.take();
        let reply = Request::get(target)
            .bearer(&scene.lin.token)
            .line(line)
            .send(example.address)
            .await;
        let seen: Vec<_> = scene
            .back_end
            .take()
            .into_iter()
            .map(|seen| seen.path)
            .collect();
        (reply.expect("an answer").status, seen.concat())
    };
    for target in [
        "//orders",
        "/x/../orders",
        "/x/%2e%2e/./orders",
        r"/x\..\orders",
        "/%6frders",
    ] {
        assert_eq!(
            sent(target, "Accept: */*").await,
            (200, "/orders".to_owned()),
            "{target}"
        );
    }
    for target in ["/orders%2f1", "/orders%5C1"] {
        assert_eq!(
            sent(target, "Accept: */*").await,
            (400, String::new()),
            "{target}"
        );
    }
    assert_eq!(
        sent("/orders", "X_Forwarded_For: 192.0.2.1").await,
        (400, String::new()),
        "an underscore"
    );
}

/// A sidecar that restarts costs nobody an answer, and the answer of one that is away blames no token.
pub(crate) async fn asks_again_and_blames_no_token(
    scene: &Scene,
    example: &Example,
    sidecar: &Breakable,
) {
    let refused = Request::get("/orders")
        .send(example.address)
        .await
        .expect("an answer");
    assert_eq!(
        refused.header("content-type"),
        ["application/problem+json"],
        "the sidecar's answer: {refused:?}"
    );
    sidecar.lose_answer(1);
    assert_eq!(scene.is_let_in(example).await, Some(()), "asked again");
    assert!(sidecar.has_lost_answer());
    blames_no_token(scene, example, sidecar).await;
}

/// The sidecar is away afterwards.
pub(crate) async fn blames_no_token(scene: &Scene, example: &Example, sidecar: &Breakable) {
    sidecar.cut().await;
    let reply = Request::get("/orders")
        .bearer(&scene.mei.token)
        .send(example.address)
        .await
        .expect("an answer");
    assert_eq!(reply.status, 503, "{reply:?}");
}

async fn listener(http: &Http, admin: &Path) -> Option<SocketAddr> {
    let admin = fs::read_to_string(admin).ok()?;
    http.0
        .get(format!("http://{admin}/ready"))
        .send()
        .await
        .ok()?
        .error_for_status()
        .ok()?;
    http.get(&format!("http://{admin}/listeners"))
        .await
        .body
        .trim()
        .strip_prefix("peer::")?
        .parse()
        .ok()
}

/// As the examples write it, which tells 3000 from 30001.
pub(crate) fn port_value(address: SocketAddr) -> String {
    format!("port_value: {} }}", address.port())
}
