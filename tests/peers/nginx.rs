//! examples/peers/nginx: `auth_request`.

use std::{net::SocketAddr, path::Path, process::Command};

use crate::{
    forward_auth::{ForwardAuth, Stage},
    scene::Scene,
};

#[tokio::test]
async fn nginx_with_the_sidecar_lets_good_tokens_through_and_nothing_else_and_without_it_says_when_to_come_again() {
    let stage = Stage::with(&[], started).await;
    stage.lets_good_tokens_through_and_nothing_else().await;
    stage.says_when_to_come_again().await;
}

#[tokio::test]
async fn nginx_shows_the_sidecar_the_token_and_the_path_and_nothing_else_of_the_clients() {
    Stage::with(&[], started)
        .await
        .shows_the_sidecar("x-original-uri", &["authorization", "host", "x-original-uri"])
        .await;
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
