//! examples/peers/caddy: `forward_auth`.

use std::{net::SocketAddr, process::Command};

use crate::{
    forward_auth::{ForwardAuth, Stage},
    scene::Scene,
    support::tools,
};

#[tokio::test]
async fn caddy_with_the_sidecar_lets_good_tokens_through_and_nothing_else_and_without_it_says_when_to_come_again() {
    let stage = Stage::with(&[], started).await;
    stage.lets_good_tokens_through_and_nothing_else().await;
    stage.says_when_to_come_again().await;
}

#[tokio::test]
async fn caddy_shows_the_sidecar_the_token_and_the_path_and_nothing_else_of_the_clients() {
    Stage::with(&[], started)
        .await
        .shows_the_sidecar(
            "x-forwarded-uri",
            &["accept-encoding", "authorization", "host", "user-agent", "x-forwarded-method", "x-forwarded-uri"],
        )
        .await;
}

pub(crate) async fn started(scene: &Scene, sidecar: SocketAddr) -> ForwardAuth {
    let mut program = Command::new(tools("python/bin/caddy"));
    program.args(["run", "--config", "Caddyfile"]);
    ForwardAuth::start(scene, sidecar, ("caddy", ":8000"), program).await
}
