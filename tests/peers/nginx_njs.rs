//! examples/peers/nginx-njs: nginx verifies in njs.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use wxmint::clock::now;

use crate::{
    back_end::BackEnd,
    checks,
    example::{Example, Started, proxy_folder},
    key_source::{KeySource, follow},
    scene::Scene,
    support::{PATIENCE, Process, eventually},
};

const NGINX: &str = "/usr/sbin/nginx";

pub(crate) struct Nginx {
    pub(crate) started: Started,
    _ticker: Process,
}

impl Nginx {
    pub(crate) async fn start(scene: &Scene, jwks_url: &str) -> Self {
        let nginx = Self::begin(scene, jwks_url);
        eventually("nginx has keys", PATIENCE, async || scene.is_let_in(&nginx.started.example).await).await;
        nginx
    }

    fn begin(scene: &Scene, jwks_url: &str) -> Self {
        let jwks = [("http://127.0.0.1:8080/.well-known/jwks.json", jwks_url)];
        Self::at(scene.address(), &scene.back_end, "5", &jwks)
    }

    /// Of the issuer at this address, which is asked for ends after so many seconds each time.
    pub(crate) fn at(issuer: SocketAddr, back_end: &BackEnd, every: &str, settings: &[(&str, &str)]) -> Self {
        let (port, folder) = proxy_folder("nginx-njs", issuer, back_end.address, settings);
        for needed in ["keys", "tmp"] {
            fs::create_dir_all(folder.path().join(needed)).expect("a folder");
        }
        let process = run(folder.path());
        // As nginx.conf has it, but for the first time at once.
        let tick = format!("while true; do curl -s -m 2 http://127.0.0.1:{port}/_wxmint/look; sleep {every}; done");
        let ticker = Process::spawn("the ticker", Command::new("sh").args(["-c", &tick]));
        Self { started: Started { example: Example::new("nginx-njs", port), process, folder }, _ticker: ticker }
    }

    fn start_again(&mut self) {
        self.started.process.kill();
        self.started.process = run(self.started.folder.path());
    }

    /// As if the keys had been fetched, and looked for, an hour ago.
    fn an_hour_passes(&self) {
        let keys = self.started.folder.path().join("keys");
        for entry in fs::read_dir(&keys).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                fs::remove_dir(path).expect("an empty folder");
            }
        }
        let file = fs::File::options().append(true).open(keys.join("jwks.json")).expect("the keys");
        file.set_modified(SystemTime::from(now()) - Duration::from_secs(3600)).expect("another time");
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
    checks::starts_before_the_issuer(&scene, &nginx.started.example).await;
    checks::tokens(&scene, &nginx.started.example, &[]).await;
    checks::strict(&scene, &nginx.started.example, &[]).await;
    checks::identity_headers(&scene, &nginx.started.example).await;
    checks::paths(&scene, &nginx.started.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_follows_the_keys_and_keeps_the_last_good_ones() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let nginx = Nginx::start(&scene, &source.url()).await;
    follow(&scene, &nginx.started.example, &source, async |_| nginx.an_hour_passes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_njs_does_without_the_issuer_and_asks_it_once_in_ten_seconds() {
    let scene = Scene::start().await;
    let mut nginx = Nginx::start(&scene, &scene.jwks_url()).await;
    nginx.an_hour_passes();
    // Twice on a machine that is too slow for forty tokens in ten seconds, or where they begin within the tenth.
    checks::unknown_keys(&scene, &nginx.started.example, 2 + checks::LOOKS_AT_THE_FEED).await;
    nginx.an_hour_passes();
    checks::issuer_away(&scene, &nginx.started.example).await;

    scene.link.cut().await;
    nginx.an_hour_passes();
    nginx.start_again();
    eventually("a token is taken", PATIENCE, async || scene.is_let_in(&nginx.started.example).await).await;
}
