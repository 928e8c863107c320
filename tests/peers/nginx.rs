//! examples/peers/nginx: `auth_request`.

use std::{net::SocketAddr, path::Path, process::Command};

use crate::{checks, forward_auth::ForwardAuth, scene::Scene, sidecar::Sidecar, support::Breakable};

#[tokio::test]
async fn nginx_with_the_sidecar_lets_good_tokens_through_and_nothing_else() {
    let scene = Scene::start().await;
    let sidecar = Sidecar::start(&scene).await;
    let link = Breakable::before(sidecar.address).await;
    let nginx = started(&scene, link.address()).await;
    checks::asks_a_sidecar(&scene, &nginx.example, &link).await;
}

#[tokio::test]
async fn nginx_shows_the_sidecar_the_token_and_the_path_and_nothing_else_of_the_clients() {
    let scene = Scene::start().await;
    let sidecar = Sidecar::start(&scene).await;
    let link = Breakable::before(sidecar.address).await;
    let (target, headers) = started(&scene, link.address()).await.question(&scene, &link).await;
    assert_eq!(target, "GET /verify");
    let names: Vec<_> = headers.keys().map(String::as_str).collect();
    assert_eq!(names, ["authorization", "host", "x-original-uri"]);
    assert_eq!((&*headers["authorization"], &*headers["x-original-uri"]), ("Bearer a.b.c", "/orders?page=2"));
}

#[tokio::test]
async fn nginx_without_its_sidecar_says_when_to_come_again() {
    let scene = Scene::start().await;
    let sidecar = Sidecar::start(&scene).await;
    let link = Breakable::before(sidecar.address).await;
    started(&scene, link.address()).await.says_when_to_come_again(&scene, &link).await;
}

pub(crate) async fn started(scene: &Scene, sidecar: SocketAddr) -> ForwardAuth {
    ForwardAuth::start(scene, sidecar, ("nginx", "127.0.0.1:8000"), program()).await
}

/// Without a master, whose workers would outlive it when it is killed.
fn program() -> Command {
    // Where Debian has it, which is not in everybody's PATH.
    let debian = Path::new("/usr/sbin/nginx");
    let mut program = Command::new(if debian.exists() { debian } else { Path::new("nginx") });
    program.args(["-p", ".", "-c", "nginx.conf", "-g", "daemon off; master_process off;"]);
    program
}
