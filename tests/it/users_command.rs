//! `wxmint users`, as an operator runs it: by hand, by script, several at once.

use crate::support::prelude::*;
use std::os::unix::fs::PermissionsExt;

/// A hash begins so.
const HASH: &str = "$argon2id$v=19$m=1";

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users");
    (folder, path)
}

/// No output ever shows a password or a hash.
#[track_caller]
fn run(mut command: Command, input: &str) -> Ended {
    let ended = Ended::of(&mut command, input);
    assert!(
        !ended.said().contains(PASSWORD) && !ended.said().contains(HASH),
        "{command:?}: {ended:?}"
    );
    ended
}

#[track_caller]
fn users(file: &Path, words: &[&str]) -> String {
    run(users_command(file, words), &format!("{PASSWORD}\n"))
        .expect_success()
        .stdout
}

/// It ends with `code` and says `sentence`, and the file is as it was.
#[track_caller]
fn assert_refused(command: Command, input: &str, file: &Path, code: i32, sentence: &str) {
    let before = fs::read(file).ok();
    run(command, input).expect_end(code, &[sentence]);
    assert_eq!(fs::read(file).ok(), before, "the file is touched");
    assert!(
        !file.with_file_name(".users.new").exists(),
        "hashes are left beside the file"
    );
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file)
        .expect("a file")
        .lines()
        .map(str::to_owned)
        .collect()
}

/// src/accounts/file/lines.rs holds that every other line stays as it is.
#[test]
fn a_user_is_added_listed_given_another_password_disabled_enabled_and_removed() {
    let (_folder, path) = folder();
    let added = users(&path, &["add", "alice", "--user-id", "u-1"]);
    assert_eq!(
        added,
        format!("{}: alice added, user id u-1\n", path.display())
    );
    assert_eq!(
        fs::metadata(&path).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    let first = lines(&path).remove(1);
    let fields: Vec<_> = first.split('\t').collect();
    assert_eq!((fields[0], fields[2], fields.len()), ("alice", "u-1", 3));
    assert!(
        fields[1].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{first}"
    );

    users(&path, &["add", "Li Lei"]);
    let listed: Value = serde_json::from_str(&users(&path, &["list", "--json"])).expect("JSON");
    assert_eq!(
        listed[0],
        json!({"name": "alice", "user_id": "u-1", "state": "enabled"})
    );
    let id = listed[1]["user_id"].as_str().expect("an id");
    assert_eq!((id.len(), &id[14..15]), (36, "7"), "a UUIDv7");
    assert_eq!(
        users(&path, &["list"]),
        format!("alice\tu-1\tenabled\nLi Lei\t{id}\tenabled\n")
    );

    let disabled = run(users_command(&path, &["disable", "alice"]), "").said();
    assert!(
        disabled.ends_with(" to revoke them now: wxmint users revoke u-1\n"),
        "{disabled}"
    );
    assert_refused(
        users_command(&path, &["add", "alice"]),
        PASSWORD,
        &path,
        64,
        "add --replace",
    );
    let replaced = users(&path, &["add", "alice", "--replace"]);
    assert!(
        replaced.contains("is disabled still"),
        "a new password does not let somebody in: {replaced}"
    );
    assert_eq!(
        users(&path, &["list"]),
        format!("alice\tu-1\tdisabled\nLi Lei\t{id}\tenabled\n")
    );
    users(&path, &["enable", "alice"]);
    let second = lines(&path).remove(1);
    assert!(
        second != first && second.ends_with("\tu-1"),
        "another hash, the same user"
    );
    let other_id = users_command(&path, &["add", "alice", "--replace", "--user-id", "u-9"]);
    assert_refused(
        other_id,
        PASSWORD,
        &path,
        64,
        "alice has the user id u-1, which stays",
    );

    assert!(users(&path, &["remove", "alice"]).ends_with("alice removed\n"));
    assert_eq!(users(&path, &["list"]), format!("Li Lei\t{id}\tenabled\n"));

    let of_li_lei = format!("{}\n", lines(&path).remove(1));
    fs::write(&path, of_li_lei).expect("written");
    users(&path, &["remove", "Li Lei"]);
    assert!(
        lines(&path)[0].starts_with("# "),
        "wxmint serve takes an empty file for one that is being written"
    );
}

#[test]
fn a_user_has_claims_which_other_changes_leave_alone() {
    let (_folder, path) = folder();
    users(
        &path,
        &[
            "add",
            "alice",
            "--user-id",
            "u-1",
            "--claims",
            "roles=a,b;tenant=x",
        ],
    );
    for words in [
        &["disable", "alice"][..],
        &["enable", "alice"],
        &["add", "alice", "--replace"],
    ] {
        users(&path, words);
        assert!(
            lines(&path)[1].ends_with("\tu-1\troles=a,b;tenant=x"),
            "{words:?}"
        );
    }
    let listed: Value = serde_json::from_str(&users(&path, &["list", "--json"])).expect("JSON");
    assert_eq!(
        listed[0]["claims"],
        json!({"roles": ["a", "b"], "tenant": "x"})
    );

    // Another name of the same user has the same claims.
    let content = fs::read_to_string(&path).expect("a file");
    fs::write(
        &path,
        format!("{content}{}\n", lines(&path)[1].replacen("alice", "al", 1)),
    )
    .expect("written");
    assert!(users(&path, &["claims", "alice", "roles=c"]).ends_with("alice has other claims\n"));
    users(&path, &["add", "al", "--replace", "--claims", "roles=d"]);
    for word in ["disable", "enable"] {
        let said = run(users_command(&path, &[word, "alice"]), "").said();
        let logs_in_still = "can still log in, because these names have the same user id: al\n";
        assert_eq!(said.contains(logs_in_still), word == "disable", "{said}");
    }
    assert_eq!(
        users(&path, &["list"]),
        "alice\tu-1\tenabled\troles=d\nal\tu-1\tenabled\troles=d\n"
    );
    let sentence = "must have claims of the form name=value";
    assert_refused(
        users_command(&path, &["claims", "alice", "admin"]),
        "",
        &path,
        64,
        sentence,
    );
    assert_refused(
        users_command(&path, &["add", "carol", "--claims", "admin"]),
        PASSWORD,
        &path,
        64,
        sentence,
    );
    assert!(users(&path, &["claims", "alice", ""]).ends_with("alice has no claims\n"));
    assert_eq!(
        users(&path, &["list"]),
        "alice\tu-1\tenabled\nal\tu-1\tenabled\n"
    );
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let (folder, path) = folder();
    assert_refused(
        users_command(&path, &["list"]),
        "",
        &path,
        64,
        "users: No such file",
    );
    assert_refused(
        users_command(&path, &["remove", "alice"]),
        "",
        &path,
        64,
        "users: No such file",
    );
    let unlistable = folder.path().join("nowhere/users");
    assert_refused(
        users_command(&unlistable, &["add", "alice"]),
        PASSWORD,
        &unlistable,
        64,
        "No such file",
    );
    users(&path, &["add", "alice", "--user-id", "u-1"]);
    for (words, input, sentence) in [
        (&["add", "bob"][..], "\n", "the password must not be empty"),
        (
            &["add", "bob", "--user-id", "u-1"],
            PASSWORD,
            "u-1 is the user id of alice already",
        ),
        (
            &["add", "bob"],
            &"p".repeat(100_000),
            "the password must be at most 1024 characters",
        ),
        (
            &["add", "bob", "--password", "x"],
            PASSWORD,
            "unexpected argument",
        ),
        (&["remove", "bob"], "", "there is no user bob"),
    ] {
        assert_refused(users_command(&path, words), input, &path, 64, sentence);
    }
    for accounts in ["", "auto", "file:", "https://accounts.example.com"] {
        let mut unnamed = wxmint();
        unnamed
            .args(["users", "add", "alice"])
            .env_clear()
            .env("WXMINT_ACCOUNTS", accounts);
        assert_refused(
            unnamed,
            PASSWORD,
            &path,
            64,
            "Add --users users, or set WXMINT_ACCOUNTS=file:users",
        );
    }
    assert_refused(
        on_a_full_disk(&users_command(&path, &["add", "bob"])),
        PASSWORD,
        &path,
        1,
        "users: File too large",
    );
    assert_refused(
        on_a_full_disk(&users_command(&path, &["remove", "alice"])),
        "",
        &path,
        1,
        "users: File too large",
    );
}

#[tokio::test]
async fn at_a_terminal_the_password_is_asked_for_twice_and_not_shown() {
    let (_folder, path) = folder();
    for (again, code, sentence) in [
        (
            "another",
            64,
            "the two passwords differ; nothing was changed",
        ),
        (PASSWORD, 0, "alice added, user id"),
    ] {
        let mut terminal = Terminal::of(
            &[
                "users",
                "add",
                "alice",
                "--users",
                path.to_str().expect("UTF-8"),
            ],
            Path::new("/"),
        );
        terminal
            .answer("Password of alice: ", false, &format!("{PASSWORD}\n"))
            .await;
        terminal
            .answer("The same again: ", false, &format!("{again}\n"))
            .await;
        let (ended, shown) = terminal.end(sentence).await;
        assert_eq!(ended, Some(code), "{shown}");
        assert!(
            !shown.contains(PASSWORD) && !shown.contains("another"),
            "{shown}"
        );
        assert_eq!(path.exists(), code == 0);
    }
}
