//! examples/peers/go: net/http and golang-jwt.

use std::{ffi::OsString, fs, path::Path, process::Command};

use crate::{
    checks,
    example::{Example, copy_example},
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port, repository},
};

/// Debian's packages of Go libraries.
const LIBRARIES: &str = "/usr/share/gocode";

#[tokio::test(flavor = "multi_thread")]
async fn net_http_with_golang_jwt_takes_our_tokens_alone() {
    let scene = Scene::start().await;
    let port = free_port();
    let workspace = tempfile::tempdir().expect("a folder");
    let source = workspace.path().join("src/orders");
    fs::create_dir_all(&source).expect("a folder");
    let (issuer, address) = (scene.address().to_string(), format!("127.0.0.1:{port}"));
    copy_example("go", &[("127.0.0.1:8080", &issuer), ("127.0.0.1:8000", &address)], &source);
    let mut orders = Command::new(build(workspace.path(), &source));
    // A proxy of the machine's would be asked for the keys.
    orders.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")]);
    let _process = Process::spawn("orders", &mut orders);
    let example = Example::new("go", port);
    eventually("it has keys", PATIENCE, async || scene.is_let_in(&example).await).await;

    checks::tokens(&scene, &example, &[]).await;
    checks::paths(&scene, &example).await;
}

/// Without modules, since there is no module proxy: the example's go.mod makes Go read `…/jwt/v4` as Debian's `…/jwt`.
fn build(workspace: &Path, source: &Path) -> OsString {
    let program = workspace.join("orders");
    let mut build = Command::new("go");
    build.current_dir(source).args(["build", "-o"]).arg(&program);
    build.env("GO111MODULE", "off").env("GOCACHE", repository("target/tools/go-cache"));
    build.env("GOPATH", format!("{}:{LIBRARIES}", workspace.display()));
    let built = build.output().unwrap_or_else(|error| panic!("go: {error}; run: make setup"));
    assert!(built.status.success(), "{}\nrun: make setup", String::from_utf8_lossy(&built.stderr));
    program.into()
}
