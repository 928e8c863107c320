//! examples/peers/node: Express and jose.

use std::{net::SocketAddr, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    checks,
    example::{Example, copy_example, installs_what_is_tested},
    key_source::{KeySource, bad_keys_spoil_themselves_only},
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port, tools},
};

/// As its README.md starts it.
pub(crate) struct Express {
    pub(crate) example: Example,
    _process: Process,
    _folder: TempDir,
}

impl Express {
    pub(crate) fn start(scene: &Scene) -> Self {
        Self::with(scene, &[])
    }

    /// With settings of its own, in place of those that the file has.
    fn with(scene: &Scene, settings: &[(&str, &str)]) -> Self {
        Self::at(scene.address(), settings)
    }

    /// Of the issuer at this address.
    pub(crate) fn at(issuer: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let (issuer, listen) = (issuer.to_string(), format!("listen({port},"));
        // Node looks for packages above the script's own folder.
        let folder = TempDir::new_in(tools("node")).expect("a folder");
        let addresses = [("127.0.0.1:8080", &*issuer), ("listen(8000,", &*listen)];
        copy_example("node", &[&addresses, settings].concat(), folder.path());
        let process = Process::spawn("node", Command::new("node").current_dir(&folder).arg("app.mjs"));
        Self { example: Example::new("node", port), _process: process, _folder: folder }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn express_with_jose_takes_our_tokens_alone_and_says_503_until_it_has_keys() {
    let scene = Scene::without_issuer().await;
    let Express { example, .. } = &Express::start(&scene);
    checks::starts_before_the_issuer(&scene, example).await;
    let twice = ("duplicate member", "if a member occurs twice, it takes the last one");
    checks::verifies_by_itself(&scene, example, &[twice], checks::LOOKS_AT_THE_FEED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_learns_of_a_new_key_and_of_a_removed_one_when_it_looks() {
    let scene = Scene::start().await;
    let Express { example, .. } = &Express::with(&scene, &[("EVERY = 300_000;", "EVERY = 1_000;")]);
    eventually("node has keys", PATIENCE, async || scene.is_let_in(example).await).await;
    checks::learns_of_keys(&scene, example, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_spoils_nothing_but_itself_for_express() {
    let scene = Scene::start().await;
    let source = KeySource::with_bad_keys(&scene).await;
    let Express { example, .. } = &Express::with(&scene, &[("${ISSUER}/.well-known/jwks.json", &source.url())]);
    bad_keys_spoil_themselves_only(&scene, example).await;
}

#[test]
fn the_node_example_installs_what_is_tested() {
    installs_what_is_tested("examples/peers/node/package.json", "tests/tools/package.json");
}
