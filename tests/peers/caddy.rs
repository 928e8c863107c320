//! examples/peers/caddy: `forward_auth`.

use std::{net::SocketAddr, process::Command};

use crate::{
    checks,
    forward_auth::ForwardAuth,
    raw::Request,
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
    checks::tokens(&scene, &caddy.example, &[]).await;
    checks::identity_headers(&scene, &caddy.example).await;
    checks::paths(&scene, &caddy.example).await;
    checks::fails_closed(&scene, &caddy.example, &link).await;
    checks::issuer_away(&scene, &caddy.example).await;
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
    let caddy = started(&scene, link.address()).await;
    link.cut().await;
    let reply = Request::get("/orders").bearer(&scene.lin.token).send(caddy.example.address).await.expect("an answer");
    assert_eq!((reply.status, reply.header("retry-after")), (503, vec!["5"]));
    let public = Request::get("/public/hello").send(caddy.example.address).await.expect("an answer");
    assert_eq!(public.status, 200);
}

pub(crate) async fn started(scene: &Scene, sidecar: SocketAddr) -> ForwardAuth {
    let mut program = Command::new(tools("python/bin/caddy"));
    program.args(["run", "--config", "Caddyfile"]);
    ForwardAuth::start(scene, sidecar, ("caddy", ":8000"), program).await
}
