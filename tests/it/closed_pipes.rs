//! Whoever reads a command's output may go away before its end, as in `wxmint keys list | head -1`.

use crate::support::prelude::*;
use std::fs::File;
use std::io::Write;
use std::process::{Output, Stdio};

/// 128 and the number of SIGPIPE.
const CLOSED: Option<i32> = Some(141);
const ONE_BINDING: &str =
    "{\"appid\":\"wx0123456789abcdef\",\"openid\":\"o1\",\"user_id\":\"u-1\"}\n";

/// Runs it to its end with a password on its standard input.
fn run(command: &mut Command) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("wxmint runs");
    // Whoever asks for no password reads nothing, and the pipe breaks.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"correct horse\n");
    child.wait_with_output().expect("its end")
}

/// A command of each kind of output. They are in this order, so that each has something to print.
#[rustfmt::skip]
const COMMANDS: [&str; 7] = [
    "--help", "keys list", "keys rotate --alg EdDSA", "users add alice", "vault rotate",
    "bindings import --no-trailer bindings", "bindings export",
];
/// Its words stand on standard error.
const SILENT: &str = "bindings import --no-trailer bindings";

#[tokio::test]
async fn a_command_whose_reader_goes_away_ends_quietly_and_has_done_its_work_and_a_full_disk_is_said()
 {
    let (redis, mut configuration) = (
        RedisServer::start(&[], "").await,
        Configuration::new("ES256"),
    );
    let [keys_file, vault_file, users_file, bindings_file] =
        ["keys.json", "vault.key", "users", "bindings"].map(|name| configuration.path(name));
    fs::write(bindings_file, ONE_BINDING).expect("written");
    configuration.set("WXMINT_REDIS_URL", &redis.url());
    configuration.set("WXMINT_ACCOUNTS", "file:users");
    let command = |words: &str| {
        let mut command = configuration.command_of(&words.split(' ').collect::<Vec<_>>());
        command.current_dir(configuration.path(""));
        command
    };
    for words in COMMANDS {
        let mut command = command(words);
        let unread = run(command.stdout(closed_pipe()).stderr(Stdio::piped()));
        let wanted = if words == SILENT { Some(0) } else { CLOSED };
        assert_eq!(unread.status.code(), wanted, "{words}: {}", said(&unread));
        assert!(
            !said(&unread).contains("panicked") && !said(&unread).contains("pipe"),
            "{words}: {}",
            said(&unread)
        );
    }
    assert_eq!(
        said(&run(command("keys list --json").stdout(Stdio::piped())))
            .matches("kid")
            .count(),
        2
    );
    assert!(users_file.exists());
    assert_eq!(
        fs::read_to_string(vault_file)
            .expect("a file")
            .lines()
            .count(),
        2
    );
    // An emergency, of which nobody reads anything at all.
    let kid = kids_of(&serde_json::from_str(&keys(&keys_file, &["jwks"])).expect("JSON")).remove(0);
    let mut retire = command(&format!("keys retire {kid} --now --yes"));
    let status = retire
        .stdout(closed_pipe())
        .stderr(closed_pipe())
        .status()
        .expect("wxmint runs");
    assert_eq!(status.code(), CLOSED);
    assert!(keys(&keys_file, &["list"]).contains(&format!("{kid}  revoked")));
    for words in ["--help", "keys list", "keys jwks", "bindings export"] {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux");
        let output = run(command(words).stdout(full).stderr(Stdio::piped()));
        assert_eq!(output.status.code(), Some(1), "{words}: {}", said(&output));
        assert!(
            said(&output).contains("standard output: No space left on device"),
            "{words}: {}",
            said(&output)
        );
    }
}

#[tokio::test]
async fn a_server_goes_on_although_nobody_reads_what_it_says() {
    let (http, mut configuration) = (Http::new(), Configuration::new("ES256"));
    let [demo, simulator, serve] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    configuration.set("WXMINT_LISTEN", &serve);
    for (name, words, url) in [
        (
            "wxmint demo",
            &["demo", "--listen", &demo][..],
            format!("http://{demo}/.well-known/jwks.json"),
        ),
        (
            "wxmint simulator",
            &["simulator", "--listen", &simulator],
            format!("http://{simulator}/_simulator/journal"),
        ),
        (
            "wxmint serve",
            &["serve"],
            format!("http://{serve}/.well-known/jwks.json"),
        ),
    ] {
        let _server = Process::unread(name, &mut configuration.command_of(words));
        let answers = async || {
            http.try_send(http.0.get(&url))
                .await
                .is_ok_and(|answer| answer.status == 200)
        };
        until(name, PATIENCE, answers).await;
    }
}
