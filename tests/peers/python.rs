//! examples/peers/python: FastAPI and PyJWT.

use std::process::Command;

use crate::{
    checks,
    example::{Example, example_folder, installs_what_is_tested},
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port, tools},
};

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_with_pyjwt_takes_our_tokens_alone() {
    let scene = Scene::start().await;
    let folder = example_folder("python", &[("127.0.0.1:8080", &scene.address().to_string())]);
    let port = free_port();
    let mut uvicorn = Command::new(tools("python/bin/uvicorn"));
    uvicorn.current_dir(&folder).args(["app:app", "--port", &port.to_string()]);
    // A proxy of the machine's would be asked for the keys.
    uvicorn.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1"), ("PYTHONDONTWRITEBYTECODE", "1")]);
    let _process = Process::spawn("uvicorn", &mut uvicorn);
    let example = Example::new("python", port);
    eventually("uvicorn has keys", PATIENCE, async || scene.is_let_in(&example).await).await;

    let twice = ("duplicate member", "of a member that stands twice it takes the last");
    checks::tokens(&scene, &example, &[twice]).await;
    checks::paths(&scene, &example).await;
}

#[test]
fn the_python_example_installs_what_is_tested() {
    installs_what_is_tested("examples/peers/python/requirements.txt", "tests/tools/requirements.txt");
}
