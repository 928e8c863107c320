//! examples/peers/nginx-njs: nginx verifies in njs.

use std::{fs, path::Path, process::Command, time::SystemTime};

use crate::{
    checks,
    example::{Example, Started, example_folder},
    key_source::{KeySource, follow},
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port},
};

const NGINX: &str = "/usr/sbin/nginx";

pub(crate) struct Nginx(pub(crate) Started);

impl Nginx {
    pub(crate) async fn start(scene: &Scene, jwks_url: &str) -> Self {
        let nginx = Self::begin(scene, jwks_url);
        eventually("nginx has keys", PATIENCE, async || scene.is_let_in(&nginx.0.example).await).await;
        nginx
    }

    fn begin(scene: &Scene, jwks_url: &str) -> Self {
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
        Self(Started { example: Example::new("nginx-njs", port), process, folder })
    }

    fn start_again(&mut self) {
        self.0.process.kill();
        self.0.process = run(self.0.folder.path());
    }

    /// As if the keys had been fetched, and looked for, long ago.
    fn years_pass(&self) {
        let keys = self.0.folder.path().join("keys");
        for entry in fs::read_dir(&keys).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                fs::remove_dir(path).expect("an empty folder");
            }
        }
        let file = fs::File::options().append(true).open(keys.join("jwks.json")).expect("the keys");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("another time");
    }
}

/// In one process, which ends with the test.
fn run(folder: &Path) -> Process {
    let mut nginx = Command::new(NGINX);
    nginx.arg("-p").arg(folder).args(["-c", "nginx.conf", "-g", "daemon off; master_process off;"]);
    Process::spawn("nginx", &mut nginx)
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_takes_our_tokens_alone_and_says_503_until_it_has_keys() {
    let scene = Scene::without_issuer().await;
    let nginx = Nginx::begin(&scene, &scene.jwks_url());
    checks::starts_before_the_issuer(&scene, &nginx.0.example).await;
    checks::tokens(&scene, &nginx.0.example, &[]).await;
    checks::strict(&scene, &nginx.0.example, &[]).await;
    checks::identity_headers(&scene, &nginx.0.example).await;
    checks::paths(&scene, &nginx.0.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_follows_the_keys_and_keeps_the_last_good_ones() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let nginx = Nginx::start(&scene, &source.url()).await;
    follow(&scene, &nginx.0.example, &source, async |_| nginx.years_pass()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_does_without_the_issuer_and_asks_it_once_in_ten_seconds() {
    let scene = Scene::start().await;
    let mut nginx = Nginx::start(&scene, &scene.jwks_url()).await;
    nginx.years_pass();
    // Twice on a machine that is too slow for forty tokens in ten seconds, or where they begin within the tenth.
    checks::unknown_keys(&scene, &nginx.0.example, 2).await;
    nginx.years_pass();
    checks::issuer_away(&scene, &nginx.0.example).await;

    scene.link.cut().await;
    nginx.years_pass();
    nginx.start_again();
    eventually("a token is taken", PATIENCE, async || scene.is_let_in(&nginx.0.example).await).await;
}
