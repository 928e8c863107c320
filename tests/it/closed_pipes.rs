//! Whoever reads a command's output may go away before its end, as in `wxmint keys list | head -1`.

use crate::support::prelude::*;
use std::fs::{self, File};
use std::io::Write;
use std::process::{Output, Stdio};

/// 128 and the number of SIGPIPE.
const CLOSED: Option<i32> = Some(141);
const ONE_BINDING: &str = "{\"appid\":\"wx0123456789abcdef\",\"openid\":\"o1\",\"user_id\":\"u-1\"}\n";

/// Keys, users, vault keys and a Redis, for every command that prints.
struct Scene {
    folder: TempDir,
    redis: RedisServer,
}

impl Scene {
    async fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().expect("a folder"), redis: RedisServer::start(&[], "").await };
        keys(&scene.path("keys.json"), &["generate"]);
        write_private(&scene.path("vault.key"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
        fs::write(scene.path("bindings"), ONE_BINDING).expect("written");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// In the scene's folder, with the settings of its `wxmint serve`.
    fn command(&self, words: &str) -> Command {
        let mut command = wxmint();
        command.args(words.split(' ')).current_dir(self.folder.path()).env_clear();
        command.env("WXMINT_KEYS", "keys.json").env("WXMINT_ACCOUNTS", "file:users");
        command.env("WXMINT_VAULT_KEY_FILE", "vault.key").env("WXMINT_REDIS_URL", self.redis.url());
        command
    }
}

/// Runs it to its end with a password on its standard input.
fn run(command: &mut Command) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("wxmint runs");
    // Whoever asks for no password reads nothing, and the pipe breaks.
    let _ = child.stdin.take().expect("a pipe").write_all(b"correct horse\n");
    child.wait_with_output().expect("its end")
}

/// A command of each kind of output. They are in this order, so that each has something to print.
const COMMANDS: [&str; 7] = [
    "--help",
    "keys list",
    "keys rotate --alg EdDSA",
    "users add alice",
    "vault rotate",
    "bindings import --no-trailer bindings",
    "bindings export",
];
/// Its words stand on standard error.
const SILENT: &str = "bindings import --no-trailer bindings";

#[tokio::test]
async fn a_command_whose_reader_goes_away_ends_quietly_and_has_done_its_work_and_a_full_disk_is_said() {
    let scene = Scene::new().await;
    for words in COMMANDS {
        let mut command = scene.command(words);
        let unread = run(command.stdout(closed_pipe()).stderr(Stdio::piped()));
        let wanted = if words == SILENT { Some(0) } else { CLOSED };
        assert_eq!(unread.status.code(), wanted, "{words}: {}", said(&unread));
        assert!(!said(&unread).contains("panicked") && !said(&unread).contains("pipe"), "{words}: {}", said(&unread));
    }
    assert_eq!(said(&run(scene.command("keys list --json").stdout(Stdio::piped()))).matches("kid").count(), 2);
    assert!(scene.path("users").exists());
    assert_eq!(fs::read_to_string(scene.path("vault.key")).expect("a file").lines().count(), 2);
    // An emergency, of which nobody reads anything at all.
    let kid = kids_of(&serde_json::from_str(&keys(&scene.path("keys.json"), &["jwks"])).expect("JSON")).remove(0);
    let mut retire = scene.command(&format!("keys retire {kid} --now --yes"));
    let status = retire.stdout(closed_pipe()).stderr(closed_pipe()).status().expect("wxmint runs");
    assert_eq!(status.code(), CLOSED);
    assert!(keys(&scene.path("keys.json"), &["list"]).contains(&format!("{kid}  ended")));
    for words in ["--help", "keys list", "keys jwks", "bindings export"] {
        let full = File::options().write(true).open("/dev/full").expect("Linux");
        let output = run(scene.command(words).stdout(full).stderr(Stdio::piped()));
        assert_eq!(output.status.code(), Some(1), "{words}: {}", said(&output));
        assert!(said(&output).contains("standard output: No space left on device"), "{words}: {}", said(&output));
    }
}

#[tokio::test]
async fn a_server_goes_on_although_nobody_reads_what_it_says() {
    let http = Http::new();
    let address = format!("127.0.0.1:{}", free_port());
    let mut demo = wxmint();
    demo.args(["demo", "--listen", &address]).env_clear();
    let mut simulator = wxmint();
    let port = format!("127.0.0.1:{}", free_port());
    simulator.args(["simulator", "--listen", &port]).env_clear();
    let mut configuration = Configuration::new("ES256");
    let listen = format!("127.0.0.1:{}", free_port());
    configuration.set("WXMINT_LISTEN", &listen);
    for (name, command, url) in [
        ("wxmint demo", &mut demo, format!("http://{address}/.well-known/jwks.json")),
        ("wxmint simulator", &mut simulator, format!("http://{port}/_simulator/journal")),
        ("wxmint serve", &mut configuration.command(), format!("http://{listen}/.well-known/jwks.json")),
    ] {
        let _server = Process::unread(name, command);
        eventually(name, PATIENCE, async || {
            let answer = http.try_send(http.0.get(&url)).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }
}
