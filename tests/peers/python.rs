//! examples/peers/python: FastAPI and PyJWT.

use std::{net::SocketAddr, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    checks,
    example::{Example, example_folder, installs_what_is_tested},
    key_source::{KeySource, bad_keys_spoil_themselves_only},
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port, tools},
};

/// As its README.md starts it.
pub(crate) struct FastApi {
    pub(crate) example: Example,
    _process: Process,
    _folder: TempDir,
}

impl FastApi {
    pub(crate) fn start(scene: &Scene) -> Self {
        Self::with(scene, &[])
    }

    /// With settings of its own, in place of those that the file has.
    fn with(scene: &Scene, settings: &[(&str, &str)]) -> Self {
        Self::at(scene.address(), settings)
    }

    /// Of the issuer at this address.
    pub(crate) fn at(issuer: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let issuer = issuer.to_string();
        let folder = example_folder("python", &[&[("127.0.0.1:8080", &*issuer)], settings].concat());
        let port = free_port();
        let mut uvicorn = Command::new(tools("python/bin/uvicorn"));
        uvicorn.current_dir(&folder).args(["app:app", "--port", &port.to_string()]);
        // A proxy of the machine's would be asked for the keys.
        uvicorn.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1"), ("PYTHONDONTWRITEBYTECODE", "1")]);
        let process = Process::spawn("uvicorn", &mut uvicorn);
        Self { example: Example::new("python", port), _process: process, _folder: folder }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_with_pyjwt_takes_our_tokens_alone_and_says_503_until_it_has_keys() {
    let scene = Scene::without_issuer().await;
    let FastApi { example, .. } = &FastApi::start(&scene);
    checks::starts_before_the_issuer(&scene, example).await;
    let twice = ("duplicate member", "if a member occurs twice, it takes the last one");
    checks::verifies_by_itself(&scene, example, &[twice], checks::LOOKS_AT_THE_FEED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_learns_of_a_new_key_and_of_a_removed_one_when_it_looks() {
    let scene = Scene::start().await;
    let FastApi { example, .. } = &FastApi::with(&scene, &[("EVERY = 300 ", "EVERY = 1 ")]);
    eventually("uvicorn has keys", PATIENCE, async || scene.is_let_in(example).await).await;
    checks::learns_of_keys(&scene, example, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_spoils_nothing_but_itself_for_fastapi() {
    let scene = Scene::start().await;
    let source = KeySource::with_bad_keys(&scene).await;
    let FastApi { example, .. } = &FastApi::with(&scene, &[("{ISSUER}/.well-known/jwks.json", &source.url())]);
    bad_keys_spoil_themselves_only(&scene, example).await;
}

#[test]
fn the_python_example_installs_what_is_tested() {
    installs_what_is_tested("examples/peers/python/requirements.txt", "tests/tools/requirements.txt");
}
