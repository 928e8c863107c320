//! examples/peers/envoy-module: Envoy verifies with wxmint's module, `crates/envoy`.

mod life;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::checks;
use crate::envoy::{self, leaves_nothing_to_interpretation, passes_on_who_it_is_and_no_token};
use crate::example::Started;
use crate::raw::{Reply, Request};
use crate::scene::Scene;
use crate::support::{Ended, PATIENCE, eventually, repository, tools};

const NAME: &str = "envoy-module";

#[tokio::test(flavor = "multi_thread")]
async fn envoy_with_the_module_lets_good_tokens_through_and_nothing_else_and_says_503_until_it_has_keys()
 {
    let scene = Scene::without_issuer().await;
    let Started { example, .. } = &started(&scene).await;
    checks::starts_before_the_issuer(&scene, example).await;
    checks::verifies_by_itself(&scene, example, &[], 1).await;
    checks::identity_headers(&scene, example).await;
    passes_on_who_it_is_and_no_token(&scene, example, false).await;
    leaves_nothing_to_interpretation(&scene, example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_with_the_module_obeys_a_logout_and_the_emergency_retirement_of_a_key() {
    let scene = Scene::start().await;
    let Started { example, .. } = &started(&scene).await;
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    checks::obeys_revocations(&scene, example).await;
}

/// Body, status and headers are the sidecar's, but for the id of the request.
#[tokio::test(flavor = "multi_thread")]
async fn the_module_answers_as_the_sidecar_does() {
    let scene = Scene::start().await;
    let sidecar = scene.sidecar().await;
    let envoy = started(&scene).await;
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(&envoy.example).await
    })
    .await;
    let mut refused: Vec<_> = scene
        .bad_tokens()
        .into_iter()
        .map(|bad| (bad.name, bad.credentials.0))
        .collect();
    let line = |text: &str| format!("Authorization: {text}");
    refused.push(("no token", Vec::new()));
    refused.push((
        "two tokens",
        vec![line("Bearer a.b.c"), line("Bearer a.b.c")],
    ));
    refused.push(("Basic", vec![line("Basic YTpi")]));
    assert!(refused.len() > 20, "{}", refused.len());
    for (name, lines) in refused {
        let answer = async |target: &str, address| {
            let request = Request::get(target).lines(lines.iter().map(String::as_str));
            request.send(address).await.expect("an answer")
        };
        let of_module = answer("/orders", envoy.example.address).await;
        // Envoy itself refuses headers of more than 16 KiB.
        if of_module.status != 431 {
            let of_sidecar = answer("/verify/orders", sidecar.public).await;
            assert_eq!(essence(&of_module), essence(&of_sidecar), "{name}");
        }
    }
}

/// The parts of a refusal that a client sees.
fn essence(reply: &Reply) -> Value {
    let mut body: Value = serde_json::from_str(&reply.body).unwrap_or_else(|error| {
        panic!("{error}: {reply:?}");
    });
    let id = body["request_id"].take();
    assert!(id.as_str().is_some_and(|id| id.len() == 36), "{reply:?}");
    let headers = [
        "content-type",
        "cache-control",
        "www-authenticate",
        "retry-after",
    ]
    .map(|name| reply.header(name));
    json!([reply.status, headers, body.to_string()])
}

/// An Envoy of each version that the module is for, and whether its ABI has the module's version.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs two more Envoys; make nightly installs them"]
async fn the_module_runs_in_three_versions_of_envoy() {
    let scene = Scene::start().await;
    for (program, version) in [
        ("envoy-1.38/envoy/_bin/envoy", "/1.38."),
        ("envoy-1.39/envoy/_bin/envoy", "/1.39."),
        ("python/bin/envoy", "/1.40."),
    ] {
        let program = tools(program);
        let told = Ended::of(Command::new(&program).arg("--version"), "").stdout;
        assert!(told.contains(version), "{told}");
        let folder = envoy::folder(&scene, NAME, &[(ISSUER, &scene.address().to_string())]);
        let mut command = with_module(Command::new(&program));
        command.args(["--concurrency", "4"]);
        let envoy = envoy::run_by(command, NAME, folder, "envoy.yaml").await;
        eventually("it has keys", PATIENCE, async || {
            scene.is_let_in(&envoy.example).await
        })
        .await;
        checks::tokens(&scene, &envoy.example, &[]).await;
        checks::identity_headers(&scene, &envoy.example).await;
        checks::unknown_keys(&scene, &envoy.example, 1).await;
    }
}

const ISSUER: &str = "127.0.0.1:8080";

async fn started(scene: &Scene) -> Started {
    let folder = envoy::folder(scene, NAME, &[(ISSUER, &scene.address().to_string())]);
    let mut command = with_module(Command::new(tools("python/bin/envoy")));
    command.args(["--concurrency", "2"]);
    envoy::run_by(command, NAME, folder, "envoy.yaml").await
}

/// Envoy before this back end, for the issuer at this address, with `settings` in place of `public`.
pub(crate) async fn before(back_end: SocketAddr, issuer: SocketAddr, settings: &str) -> Started {
    let issuer = issuer.to_string();
    let settings = [(ISSUER, issuer.as_str()), ("public: [/public/*]", settings)];
    let folder = envoy::folder_before(back_end, NAME, &settings);
    let mut command = with_module(Command::new(tools("python/bin/envoy")));
    command.args(["--concurrency", "2"]);
    envoy::run_by(command, NAME, folder, "envoy.yaml").await
}

fn with_module(mut command: Command) -> Command {
    command.env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", module());
    command
}

/// The folder of `libwxmint_envoy.so`. Cargo builds it beside the folder of these tests, if it has not done so.
fn module() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--package", "wxmint-envoy"])
            .current_dir(repository("."))
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        let tests = env::current_exe().expect("this program");
        let folder = tests.ancestors().nth(2).expect("the build's folder");
        assert!(folder.join("libwxmint_envoy.so").exists(), "{said}");
        folder.to_owned()
    })
}
