//! examples/peers/haproxy and examples/peers/apache: both verify by themselves, with keys that a script writes of the JWKS.
//! Apache does so with mod_oauth2 and mod_lua, HAProxy with PEM files.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    ops::Deref,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use wxmint::clock::now;

use crate::{
    back_end::BackEnd,
    checks,
    example::{Example, Started, proxy_folder},
    key_source::{KeySource, Look, follow, keys_of, keys_with_odd_kids},
    raw::Request,
    scene::Scene,
    support::{PATIENCE, Process, Signal, eventually, kid_of},
};

pub(crate) struct Kind {
    name: &'static str,
    /// A folder that it needs besides.
    folder: &'static str,
    /// Writes there what else it needs to start.
    prepares: fn(&Path),
    /// What the script makes.
    keys: &'static str,
    /// By which it reads its configuration again.
    signal: &'static str,
    command: fn(&Path) -> Command,
}

pub(crate) const APACHE: Kind = Kind {
    name: "apache",
    folder: "run",
    prepares: |_| {},
    keys: "keys.conf",
    signal: "-USR1",
    command: |folder| {
        let mut apache = Command::new("/usr/sbin/apache2");
        // mod_lua looks there.
        apache.current_dir(folder);
        apache.arg("-d").arg(folder).args(["-f", "httpd.conf", "-DFOREGROUND"]);
        apache
    },
};

pub(crate) const HAPROXY: Kind = Kind {
    name: "haproxy",
    folder: "keys",
    // As wxmint-revocations.py leaves it, which tests/peers/ended starts.
    prepares: |folder| {
        let now = now().timestamp();
        fs::write(folder.join("keys/revocations.map"), format!("page {now}\nkeys {now}\nversion 1\n")).expect("a file");
    },
    keys: "keys",
    signal: "-USR2",
    command: |folder| {
        let mut haproxy = Command::new("/usr/sbin/haproxy");
        haproxy.arg("-W").arg("-C").arg(folder).args(["-f", "haproxy.cfg", "-f", "keys/keys.cfg"]);
        haproxy
    },
};

impl Kind {
    /// Its folder, and where it listens.
    pub(crate) fn folder(&self, issuer: SocketAddr, back_end: &BackEnd, settings: &[(&str, &str)]) -> (u16, TempDir) {
        let (port, folder) = proxy_folder(self.name, issuer, back_end.address, settings);
        fs::create_dir_all(folder.path().join(self.folder)).expect("a folder");
        (port, folder)
    }

    pub(crate) async fn start(&self, scene: &Scene, jwks_url: &str) -> Running {
        let (port, folder) = self.folder(scene.address(), &scene.back_end, &[]);
        // Apache's children are another user's where the test is root's.
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("our own folder");
        let output = self.write_keys(folder.path(), jwks_url, &[]);
        assert!(output.status.success(), "{output:?}");
        (self.prepares)(folder.path());
        let process = self.run(folder.path());
        let running = Running(Started { example: Example::new(self.name, port), process, folder });
        eventually("it takes a token", PATIENCE, async || scene.is_let_in(&running.example).await).await;
        running
    }

    fn run(&self, folder: &Path) -> Process {
        Process::spawn(self.name, &mut (self.command)(folder))
    }

    /// Runs the example's script, which makes its keys of a JWKS and then runs `reload`.
    pub(crate) fn write_keys(&self, folder: &Path, jwks_url: &str, reload: &[&str]) -> Output {
        let mut script = Command::new(folder.join("wxmint-keys.py"));
        // A proxy of the machine's would be asked for the keys.
        script.current_dir(folder).arg(jwks_url).arg(self.keys).args(reload).env("no_proxy", "127.0.0.1");
        script.output().expect("python3")
    }

    /// The folder in which the script has written the keys of the scene, and none of those with odd names.
    async fn written_beside_odd_kids(&self, scene: &Scene) -> TempDir {
        let source = KeySource::start(scene).await;
        source.give(&[keys_with_odd_kids(scene), keys_of(&scene.bed).await].concat());
        let (_, folder) = self.folder(scene.address(), &scene.back_end, &[]);
        let output = self.write_keys(folder.path(), &source.url(), &[]);
        assert!(output.status.success(), "{output:?}");
        folder
    }

    async fn takes_our_tokens_alone(&self) {
        let scene = Scene::start().await;
        let running = self.start(&scene, &scene.jwks_url()).await;
        checks::verifies_before_a_back_end(&scene, &running.example).await;
    }

    async fn follows_the_keys(&self, scene: &Scene) -> Running {
        let source = KeySource::start(scene).await;
        let running = self.start(scene, &source.url()).await;
        let process = running.process.id().to_string();
        follow(scene, &running.example, &source, async |look| {
            let reload = ["kill", self.signal, &process];
            let output = self.write_keys(running.folder.path(), &source.url(), &reload);
            assert_eq!(output.status.success(), look == Look::AtNewKeys, "{output:?}");
        })
        .await;
        running
    }
}

pub(crate) struct Running(Started);

impl Deref for Running {
    type Target = Started;

    fn deref(&self) -> &Started {
        &self.0
    }
}

/// Killed, Apache would leave its children behind.
impl Drop for Running {
    fn drop(&mut self) {
        let process = &mut self.0.process;
        if process.ended().is_none() {
            process.signal(Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while process.ended().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_with_mod_oauth2_takes_our_tokens_alone() {
    APACHE.takes_our_tokens_alone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_takes_our_tokens_alone() {
    HAPROXY.takes_our_tokens_alone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_follows_the_keys_and_keeps_the_last_good_ones() {
    APACHE.follows_the_keys(&Scene::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_follows_the_keys_and_keeps_the_last_good_ones() {
    let scene = Scene::start().await;
    let mut haproxy = HAPROXY.follows_the_keys(&scene).await;
    // It starts with what is left, though there is nobody to ask.
    haproxy.0.process.kill();
    haproxy.0.process = HAPROXY.run(haproxy.folder.path());
    eventually("HAProxy is back", PATIENCE, async || {
        Request::get("/public/hello").send(haproxy.example.address).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_reload_until_it_has_worked_and_then_no_more() {
    let scene = Scene::start().await;
    for kind in [APACHE, HAPROXY] {
        let (_, folder) = kind.folder(scene.address(), &scene.back_end, &[]);
        let run = |reload: &str| kind.write_keys(folder.path(), &scene.jwks_url(), &[reload]).status.success();
        assert!(!run("false"), "{}: a reload that fails is a failure", kind.name);
        assert!(!run("false"), "{}: and is tried again", kind.name);
        assert!(run("true"), "{}", kind.name);
        assert!(run("false"), "{}: nothing has changed", kind.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_write_no_kid_that_is_no_word_or_no_file_name() {
    let scene = Scene::start().await;
    let lines = |file: &Path| fs::read_to_string(file).expect("text").lines().count();
    let folder = APACHE.written_beside_odd_kids(&scene).await;
    assert_eq!(lines(&folder.path().join("keys.conf")), 1);

    let folder = HAPROXY.written_beside_odd_kids(&scene).await;
    let keys = folder.path().join("keys");
    let files = fs::read_dir(&keys).expect("a folder");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").file_name()).collect();
    files.sort();
    let pem = format!("{}.pem", kid_of(&scene.lin.token));
    let mut expected = ["algorithms.map", "keys.cfg", "loaded.json", &pem];
    expected.sort_unstable();
    assert_eq!(files, expected);
    assert!(!folder.path().join("above.pem").exists());
    assert_eq!(lines(&keys.join("keys.cfg")), 3);
}
