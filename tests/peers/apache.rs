//! examples/peers/apache: Apache verifies by itself, with mod_oauth2, mod_lua, and keys that a script writes.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    checks,
    example::{Example, example_folder},
    key_source::{KeySource, Look, follow, keys_of, keys_with_odd_kids, reloads_until_it_has_worked, write_keys},
    scene::Scene,
    support::{PATIENCE, Process, Signal, eventually, free_port},
};

const APACHE: &str = "/usr/sbin/apache2";

pub(crate) struct Apache {
    pub(crate) example: Example,
    folder: TempDir,
    process: Process,
}

impl Apache {
    pub(crate) async fn start(scene: &Scene, jwks_url: &str) -> Self {
        let port = free_port();
        let addresses = [
            ("127.0.0.1:8080", &*scene.address().to_string()),
            ("127.0.0.1:8000", &format!("127.0.0.1:{port}")),
            ("127.0.0.1:3000", &scene.back_end.address.to_string()),
        ];
        let folder = example_folder("apache", &addresses);
        // Its children are another user's where the test is root's.
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("our own folder");
        fs::create_dir_all(folder.path().join("run")).expect("a folder");
        let output = wxmint_keys(folder.path(), jwks_url, &[]);
        assert!(output.status.success(), "{output:?}");
        let process = run(folder.path());
        let apache = Self { example: Example::new("apache", port), folder, process };
        eventually("Apache takes a token", PATIENCE, async || scene.is_let_in(&apache.example).await).await;
        apache
    }

    fn look(&self, jwks_url: &str) -> Output {
        wxmint_keys(self.folder.path(), jwks_url, &["kill", "-USR1", &self.process.id().to_string()])
    }
}

/// Killed, it would leave its children behind.
impl Drop for Apache {
    fn drop(&mut self) {
        if self.process.ended().is_none() {
            self.process.signal(Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while self.process.ended().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn run(folder: &Path) -> Process {
    let mut apache = Command::new(APACHE);
    // mod_lua looks there.
    apache.current_dir(folder);
    apache.arg("-d").arg(folder).args(["-f", "httpd.conf", "-DFOREGROUND"]);
    Process::spawn("apache2", &mut apache)
}

fn wxmint_keys(folder: &Path, jwks_url: &str, reload: &[&str]) -> Output {
    write_keys(folder, jwks_url, "keys.conf", reload)
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_with_mod_oauth2_takes_our_tokens_alone() {
    let scene = Scene::start().await;
    let apache = Apache::start(&scene, &scene.jwks_url()).await;
    checks::verifies_before_a_back_end(&scene, &apache.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_follows_the_keys_and_keeps_the_last_good_ones() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let apache = Apache::start(&scene, &source.url()).await;
    follow(&scene, &apache.example, &source, async |look| {
        let output = apache.look(&source.url());
        assert_eq!(output.status.success(), look == Look::AtNewKeys, "{output:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_for_apache_reloads_until_it_has_worked_and_then_no_more() {
    let scene = Scene::start().await;
    let folder = example_folder("apache", &[]);
    reloads_until_it_has_worked(|reload| wxmint_keys(folder.path(), &scene.jwks_url(), reload));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_for_apache_writes_no_kid_that_is_no_word() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    source.give(&[keys_with_odd_kids(&scene), keys_of(&scene.bed).await].concat());
    let folder = example_folder("apache", &[]);
    let output = wxmint_keys(folder.path(), &source.url(), &[]);
    assert!(output.status.success(), "{output:?}");
    let written = fs::read_to_string(folder.path().join("keys.conf")).expect("text");
    assert_eq!(written.lines().count(), 1, "{written}");
}
