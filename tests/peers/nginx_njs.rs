//! examples/peers/nginx-njs: nginx verifies in njs.

use std::{fs, path::Path, process::Command, time::SystemTime};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    checks,
    example::{Example, example_folder},
    key_source::{KeySource, follow},
    raw::Request,
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port},
};

const NGINX: &str = "/usr/sbin/nginx";

struct Nginx {
    example: Example,
    folder: TempDir,
    _process: Process,
}

impl Nginx {
    async fn start(scene: &Scene, jwks_url: &str) -> Self {
        let port = free_port();
        let addresses = [
            ("http://127.0.0.1:8080/.well-known/jwks.json", jwks_url),
            ("127.0.0.1:8080", &scene.address().to_string()),
            ("127.0.0.1:8000", &format!("127.0.0.1:{port}")),
            ("127.0.0.1:3000", &scene.back_end.address.to_string()),
        ];
        let folder = example_folder("nginx-njs", &addresses);
        for needed in ["keys", "tmp"] {
            fs::create_dir_all(folder.path().join(needed)).expect("a folder");
        }
        let process = run(folder.path());
        let example = Example::new("nginx-njs", port);
        eventually("nginx has keys", PATIENCE, async || scene.is_let_in(&example).await).await;
        Self { example, folder, _process: process }
    }

    /// As if the keys had been fetched, and looked for, an hour ago.
    fn an_hour_passes(&self) {
        let keys = self.folder.path().join("keys");
        for entry in fs::read_dir(&keys).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                fs::remove_dir(path).expect("an empty folder");
            }
        }
        let file = fs::File::options().append(true).open(keys.join("jwks.json")).expect("the keys");
        let an_hour_ago = SystemTime::now() - std::time::Duration::from_hours(1);
        file.set_modified(an_hour_ago).expect("another time");
    }
}

/// In one process, which ends with the test.
fn run(folder: &Path) -> Process {
    let mut nginx = Command::new(NGINX);
    nginx.arg("-p").arg(folder).args(["-c", "nginx.conf", "-g", "daemon off; master_process off;"]);
    Process::spawn("nginx", &mut nginx)
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_takes_our_tokens_alone() {
    let scene = Scene::start().await;
    let nginx = Nginx::start(&scene, &scene.jwks_url()).await;
    checks::tokens(&scene, &nginx.example, &[]).await;
    checks::identity_headers(&scene, &nginx.example).await;
    checks::paths(&scene, &nginx.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_follows_the_keys_and_keeps_the_last_good_ones() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let nginx = Nginx::start(&scene, &source.url()).await;
    follow(&scene, &nginx.example, &source, async |_| nginx.an_hour_passes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_starts_again_without_the_issuer() {
    let mut scene = Scene::start().await;
    let mut nginx = Nginx::start(&scene, &scene.jwks_url()).await;
    scene.bed.services.clear();
    nginx._process.kill();
    nginx.an_hour_passes();
    nginx._process = run(nginx.folder.path());
    eventually("a token is taken", PATIENCE, async || scene.is_let_in(&nginx.example).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_kids_have_nginx_fetch_once_in_ten_seconds() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let nginx = Nginx::start(&scene, &source.url()).await;
    nginx.an_hour_passes();
    let (forge, before) = (scene.forge(), source.asked());
    for number in 0..40 {
        let token = forge.by_other(&forge.header_with(json!({"kid": format!("kid-{number}")})), &forge.claims);
        let reply = Request::get("/orders").bearer(&token).send(nginx.example.address).await.expect("an answer");
        assert_eq!(reply.status, 401);
    }
    // On a slow machine this may have taken longer than ten seconds.
    let fetches = source.asked() - before;
    assert!((1..=2).contains(&fetches), "{fetches} fetches for 40 unknown kids");
}
