//! examples/peers/haproxy: HAProxy verifies by itself, with PEM files that a script makes of the JWKS.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;
use wxmint::http::now;

use crate::{
    checks,
    example::{Example, example_folder},
    key_source::{KeySource, Look, follow, keys_of, keys_with_odd_kids, reloads_until_it_has_worked, write_keys},
    raw::Request,
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port, kid_of},
};

const HAPROXY: &str = "/usr/sbin/haproxy";

pub(crate) struct Haproxy {
    pub(crate) example: Example,
    folder: TempDir,
    /// The master. Its worker ends with it.
    process: Process,
}

impl Haproxy {
    pub(crate) async fn start(scene: &Scene, jwks_url: &str) -> Self {
        let port = free_port();
        let addresses = [
            ("127.0.0.1:8080", &*scene.address().to_string()),
            ("127.0.0.1:8000", &format!("127.0.0.1:{port}")),
            ("127.0.0.1:3000", &scene.back_end.address.to_string()),
        ];
        let folder = example_folder("haproxy", &addresses);
        fs::create_dir_all(folder.path().join("keys")).expect("a folder");
        let output = wxmint_keys(folder.path(), jwks_url, &[]);
        assert!(output.status.success(), "{output:?}");
        // As wxmint-ends.py leaves it, which tests/peers/ended starts.
        let now = now().timestamp();
        fs::write(folder.path().join("keys/ends.map"), format!("page {now}\nkeys {now}\nversion 1\n")).expect("a file");
        let process = run(folder.path());
        let example = Example::new("haproxy", port);
        eventually("HAProxy takes a token", PATIENCE, async || scene.is_let_in(&example).await).await;
        Self { example, folder, process }
    }

    fn look(&self, jwks_url: &str) -> Output {
        wxmint_keys(self.folder.path(), jwks_url, &["kill", "-USR2", &self.process.id().to_string()])
    }
}

fn run(folder: &Path) -> Process {
    let mut haproxy = Command::new(HAPROXY);
    haproxy.arg("-W").arg("-C").arg(folder).args(["-f", "haproxy.cfg", "-f", "keys/keys.cfg"]);
    Process::spawn("haproxy", &mut haproxy)
}

fn wxmint_keys(folder: &Path, jwks_url: &str, reload: &[&str]) -> Output {
    write_keys(folder, jwks_url, "keys", reload)
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_takes_our_tokens_alone() {
    let scene = Scene::start().await;
    let haproxy = Haproxy::start(&scene, &scene.jwks_url()).await;
    checks::verifies_before_a_back_end(&scene, &haproxy.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_follows_the_keys_and_keeps_the_last_good_ones() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let haproxy = Haproxy::start(&scene, &source.url()).await;
    follow(&scene, &haproxy.example, &source, async |look| {
        let output = haproxy.look(&source.url());
        assert_eq!(output.status.success(), look == Look::AtNewKeys, "{output:?}");
    })
    .await;
    // It starts with what is left, though there is nobody to ask.
    drop(haproxy.process);
    let _process = run(haproxy.folder.path());
    eventually("HAProxy is back", PATIENCE, async || {
        Request::get("/public/hello").send(haproxy.example.address).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_for_haproxy_reloads_until_it_has_worked_and_then_no_more() {
    let scene = Scene::start().await;
    let folder = example_folder("haproxy", &[]);
    fs::create_dir_all(folder.path().join("keys")).expect("a folder");
    reloads_until_it_has_worked(|reload| wxmint_keys(folder.path(), &scene.jwks_url(), reload));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_for_haproxy_writes_no_kid_that_is_no_file_name() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    source.give(&[keys_with_odd_kids(&scene), keys_of(&scene.bed).await].concat());
    let folder = example_folder("haproxy", &[]);
    let keys = folder.path().join("keys");
    fs::create_dir_all(&keys).expect("a folder");
    let output = wxmint_keys(folder.path(), &source.url(), &[]);
    assert!(output.status.success(), "{output:?}");
    let mut files: Vec<_> =
        fs::read_dir(&keys).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    files.sort();
    let pem = format!("{}.pem", kid_of(&scene.lin.token));
    let mut expected = ["algorithms.map", "keys.cfg", "loaded.json", &pem];
    expected.sort_unstable();
    assert_eq!(files, expected);
    assert!(!folder.path().join("above.pem").exists());
    assert_eq!(fs::read_to_string(keys.join("keys.cfg")).expect("text").lines().count(), 3);
}
