//! examples/peers/caddy: `forward_auth`.

use std::{net::SocketAddr, process::Command};

use crate::{
    checks,
    forward_auth::ForwardAuth,
    scene::Scene,
    sidecar::Sidecar,
    support::{Breakable, tools},
};

#[tokio::test]
async fn caddy_with_the_sidecar_lets_good_tokens_through_and_nothing_else() {
    let scene = Scene::start().await;
    let sidecar = Sidecar::start(&scene).await;
    let link = Breakable::before(sidecar.address).await;
    let caddy = started(&scene, link.address()).await;
    checks::asks_a_sidecar(&scene, &caddy.example, &link).await;
}

#[tokio::test]
async fn caddy_shows_the_sidecar_the_token_and_the_path_and_nothing_else_of_the_clients() {
    let scene = Scene::start().await;
    let sidecar = Sidecar::start(&scene).await;
    let link = Breakable::before(sidecar.address).await;
    let (target, headers) = started(&scene, link.address()).await.question(&scene, &link).await;
    assert_eq!(target, "GET /verify");
    let names: Vec<_> = headers.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["accept-encoding", "authorization", "host", "user-agent", "x-forwarded-method", "x-forwarded-uri"]
    );
    assert_eq!((&*headers["authorization"], &*headers["x-forwarded-uri"]), ("Bearer a.b.c", "/orders?page=2"));
}

#[tokio::test]
async fn caddy_without_its_sidecar_says_when_to_come_again() {
    let scene = Scene::start().await;
    let sidecar = Sidecar::start(&scene).await;
    let link = Breakable::before(sidecar.address).await;
    started(&scene, link.address()).await.says_when_to_come_again(&scene, &link).await;
}

pub(crate) async fn started(scene: &Scene, sidecar: SocketAddr) -> ForwardAuth {
    let mut program = Command::new(tools("python/bin/caddy"));
    program.args(["run", "--config", "Caddyfile"]);
    ForwardAuth::start(scene, sidecar, ("caddy", ":8000"), program).await
}
