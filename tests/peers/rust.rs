//! examples/peers/rust: actix-web and axum, with wxmint's own verifier.

use std::{env, process::Command};

use crate::checks;
use crate::example::Example;
use crate::scene::Scene;
use crate::support::{Process, free_port};

/// As `cargo run --example` starts it.
pub(crate) struct RustApi {
    pub(crate) example: Example,
    _process: Process,
}

impl RustApi {
    pub(crate) fn start(scene: &Scene, name: &'static str) -> Self {
        let port = free_port();
        // `cargo test` builds the examples beside the folder of its tests.
        let tests = env::current_exe().expect("this program");
        let program = tests
            .ancestors()
            .nth(2)
            .expect("the build's folder")
            .join("examples")
            .join(name);
        assert!(
            program.exists(),
            "{} is missing; run: cargo build --examples",
            program.display()
        );
        let mut command = Command::new(program);
        command
            .env("ISSUER", &scene.issuer)
            .env("LISTEN", format!("127.0.0.1:{port}"));
        Self {
            example: Example::new("rust", port),
            _process: Process::spawn(name, &mut command),
        }
    }
}

async fn takes_our_tokens_alone(name: &'static str) {
    let scene = Scene::without_issuer().await;
    let RustApi { example, .. } = &RustApi::start(&scene, name);
    checks::starts_before_the_issuer(&scene, example).await;
    checks::verifies_by_itself(&scene, example, &[], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actix_web_takes_our_tokens_alone_and_says_503_until_it_has_keys() {
    takes_our_tokens_alone("peer-actix").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axum_takes_our_tokens_alone_and_says_503_until_it_has_keys() {
    takes_our_tokens_alone("peer-axum").await;
}
