//! examples/peers/traefik: ForwardAuth.

use std::{process::Command, time::Duration};

use crate::{
    checks,
    forward_auth::ForwardAuth,
    scene::Scene,
    stand_in::Sidecar,
    support::{Breakable, tools},
};

#[tokio::test]
async fn traefik_with_the_sidecar_lets_good_tokens_through_and_nothing_else() {
    let scene = Scene::start().await;
    let sidecar = Sidecar::start(&scene).await;
    let link = Breakable::before(sidecar.address).await;
    let traefik = started(&scene, &link).await;
    checks::tokens(&scene, &traefik.example, &[]).await;
    checks::identity_headers(&scene, &traefik.example).await;
    checks::paths(&scene, &traefik.example).await;
    checks::fails_closed(&scene, &traefik.example, &link).await;
}

#[tokio::test]
async fn traefik_shows_the_sidecar_the_token_and_the_path_and_nothing_else_of_the_clients() {
    let scene = Scene::start().await;
    let sidecar = Sidecar::start(&scene).await;
    let link = Breakable::before(sidecar.address).await;
    let (target, headers) = started(&scene, &link).await.question(&scene, &link).await;
    assert_eq!(target, "GET /verify");
    let names: Vec<_> = headers.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "authorization",
            "host",
            "user-agent",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-method",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-forwarded-uri"
        ]
    );
    assert_eq!((&*headers["authorization"], &*headers["x-forwarded-uri"]), ("Bearer a.b.c", "/orders?page=2"));
}

async fn started(scene: &Scene, sidecar: &Breakable) -> ForwardAuth {
    let mut program = Command::new(tools("python/bin/traefik"));
    program.arg("--configFile=traefik.yml");
    let mut traefik = ForwardAuth::start(scene, sidecar, ("traefik", "127.0.0.1:8000"), program).await;
    // It gives a silent sidecar 30 s.
    traefik.example.longest = Duration::from_secs(35);
    traefik
}
