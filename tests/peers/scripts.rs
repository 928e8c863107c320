//! examples/peers/node, with Express and jose, and examples/peers/python, with FastAPI and PyJWT.

use std::{net::SocketAddr, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    checks::{self, Exceptions},
    example::{Example, Started, copy_example, example_folder, installs_what_is_tested},
    key_source::{KeySource, bad_keys_spoil_themselves_only},
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port, tools},
};

/// Takes what `checks::tokens` calls so.
const EXCEPTIONS: Exceptions<'_> = &[("duplicate member", "if a member occurs twice, it takes the last one")];

type Start = fn(SocketAddr, &[(&str, &str)]) -> Started;

/// As its README.md starts it, of the issuer at this address, with settings in place of those that the file has.
pub(crate) fn express(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let port = free_port();
    let (issuer, listen) = (issuer.to_string(), format!("listen({port},"));
    // Node looks for packages above the script's own folder.
    let folder = TempDir::new_in(tools("node")).expect("a folder");
    let addresses = [("127.0.0.1:8080", &*issuer), ("listen(8000,", &*listen)];
    copy_example("node", &[&addresses, settings].concat(), folder.path());
    let process = Process::spawn("node", Command::new("node").current_dir(&folder).arg("app.mjs"));
    Started { example: Example::new("node", port), process, folder }
}

pub(crate) fn fastapi(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let port = free_port();
    let issuer = issuer.to_string();
    let folder = example_folder("python", &[&[("127.0.0.1:8080", &*issuer)], settings].concat());
    let mut uvicorn = Command::new(tools("python/bin/uvicorn"));
    uvicorn.current_dir(&folder).args(["app:app", "--port", &port.to_string()]);
    // A proxy of the machine's would be asked for the keys.
    uvicorn.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1"), ("PYTHONDONTWRITEBYTECODE", "1")]);
    let process = Process::spawn("uvicorn", &mut uvicorn);
    Started { example: Example::new("python", port), process, folder }
}

async fn takes_our_tokens_alone_and_says_503_until_it_has_keys(start: Start) {
    let scene = Scene::without_issuer().await;
    let Started { example, .. } = &start(scene.address(), &[]);
    checks::starts_before_the_issuer(&scene, example).await;
    checks::verifies_by_itself(&scene, example, EXCEPTIONS, checks::LOOKS_AT_THE_FEED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_with_jose_takes_our_tokens_alone_and_says_503_until_it_has_keys() {
    takes_our_tokens_alone_and_says_503_until_it_has_keys(express).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_with_pyjwt_takes_our_tokens_alone_and_says_503_until_it_has_keys() {
    takes_our_tokens_alone_and_says_503_until_it_has_keys(fastapi).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_and_fastapi_learn_of_a_new_key_and_of_a_removed_one_when_they_look() {
    let starts =
        [(express as Start, ("EVERY = 300_000;", "EVERY = 1_000;")), (fastapi, ("EVERY = 300 ", "EVERY = 1 "))];
    for (start, every_second) in starts {
        let scene = Scene::start().await;
        let Started { example, .. } = &start(scene.address(), &[every_second]);
        eventually("it has keys", PATIENCE, async || scene.is_let_in(example).await).await;
        checks::learns_of_keys(&scene, example, Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_spoils_nothing_but_itself_for_express_and_fastapi() {
    for (start, issuer) in [(express as Start, "${ISSUER}"), (fastapi, "{ISSUER}")] {
        let scene = Scene::start().await;
        let source = KeySource::with_bad_keys(&scene).await;
        let jwks_url = format!("{issuer}/.well-known/jwks.json");
        let Started { example, .. } = &start(scene.address(), &[(&jwks_url, &source.url())]);
        bad_keys_spoil_themselves_only(&scene, example).await;
    }
}

#[test]
fn the_node_and_python_examples_install_what_is_tested() {
    installs_what_is_tested("examples/peers/node/package.json", "tests/tools/package.json");
    installs_what_is_tested("examples/peers/python/requirements.txt", "tests/tools/requirements.txt");
}
