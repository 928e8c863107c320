//! `wxmint vault rotate`: what it does to the file. What the replicas make of the file is in `user_data/vault_keys.rs`.

use crate::support::prelude::*;
use std::os::unix::fs::PermissionsExt;

/// base64 of 32 bytes.
const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn rotate(file: &Path, words: &[&str]) -> Ended {
    let mut command = wxmint();
    command
        .args(["vault", "rotate"])
        .args(words)
        .env_clear()
        .env("WXMINT_VAULT_KEY_FILE", file);
    Ended::of(&mut command, "")
}

/// `crates/keys/src/vault/file.rs` and `src/secret_files` hold what else stays as it was.
#[test]
fn a_new_key_is_put_into_the_file_once_and_old_lines_stay() {
    let configuration = Configuration::new("EdDSA");
    let file = PathBuf::from(configuration.value("WXMINT_VAULT_KEY_FILE"));
    let old = format!(
        "\n{}\r\n{OTHER_KEY}\n",
        fs::read_to_string(&file).expect("the key").trim_end()
    );
    fs::write(&file, &old).expect("our file");

    let first = rotate(&file, &[])
        .expect_end(0, &["may be removed once WXMINT_SESSION_KEY_TTL"])
        .stdout;
    let new = fs::read_to_string(&file).expect("the keys");
    let (line, rest) = new.split_once('\n').expect("lines");
    assert_eq!(rest, old);
    assert_eq!(
        (line.len(), line.matches(' ').count()),
        (44 + 1 + 20, 1),
        "a key and a time"
    );
    assert!(
        first.contains("line 1 is a new key") && !first.contains(&line[..44]),
        "{first}"
    );

    let again = rotate(&file, &["--lead", "30m"]).expect_success().stdout;
    assert!(
        again.contains("a new key waits already, and seals from 2"),
        "{again}"
    );
    assert_eq!(fs::read_to_string(&file).expect("the keys"), new);
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let configuration = Configuration::new("EdDSA");
    rotate(Path::new(""), &[]).expect_end(64, &["WXMINT_VAULT_KEY_FILE is not set"]);
    let bad = configuration.path("bad.key");
    write_private(&bad, &format!("{OTHER_KEY}\nhunter2-hunter2\n"));
    let told = rotate(&bad, &[])
        .expect_end(64, &["line 2 must be base64 of 32 bytes"])
        .said();
    assert!(!told.contains("hunter2"), "{told}");
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o644)).expect("our file");
    rotate(&bad, &[]).expect_end(64, &["chmod 600"]);
    assert_eq!(
        fs::read_to_string(&bad).expect("there"),
        format!("{OTHER_KEY}\nhunter2-hunter2\n")
    );
}
