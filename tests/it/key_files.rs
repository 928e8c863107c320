//! `wxmint keys` on a file that others change too, that is broken, or that cannot be written.

use crate::support::prelude::*;
use std::os::unix::fs::PermissionsExt;
use wxmint::secret_files::Held;

/// Due at once, since the set's key is of another algorithm; and then not again for days.
const DUE: [&str; 3] = ["rotate", "--alg", "EdDSA"];

/// A folder with a set of one ES256 key.
fn key_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    keys(&path, &["generate"]);
    (folder, path)
}

fn kids(path: &Path) -> Vec<String> {
    let listed: Value = serde_json::from_str(&keys(path, &["list", "--json"])).expect("JSON");
    kids_of(&json!({"keys": listed}))
}

#[test]
fn a_rotation_says_when_the_next_one_has_something_to_do() {
    let (_folder, path) = key_file();
    let planned = keys(&path, &[&DUE[..], &["--dry-run"]].concat());
    let [done, again] = [keys(&path, &DUE), keys(&path, &DUE)];
    assert!(again.contains("nothing to do: "), "{again}");
    let [planned, done, again] = [&planned, &done, &again].map(|said| {
        said.lines()
            .last()
            .and_then(|line| line.split_once("nothing changes "))
    });
    assert!(done.is_some() && done == again, "{done:?} {again:?}");
    assert!(
        planned.is_some_and(|(_, next)| next.len() == "before 2026-11-21T11:54:35Z".len()),
        "{planned:?}"
    );
}

/// Docker, Compose and Podman mount a secret so. Nobody in the container can run `chmod` there.
#[test]
fn a_file_that_is_mounted_read_only_by_itself_is_taken_although_all_may_read_it() {
    const MOUNTED: &str = "mount --bind \"$2\" \"$2\" && mount -o \"remount,bind,$1\" \"$2\" && exec \"$3\" keys list --keys \"$2\"";
    let (_folder, path) = key_file();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("our file");
    let list = |options: &str| {
        let mut command = Command::new("unshare");
        command
            .args((!rustix::process::geteuid().is_root()).then_some("--map-root-user"))
            .args(["--mount", "sh"]);
        command
            .args(["-euc", MOUNTED, "sh", options])
            .arg(&path)
            .arg(wxmint().get_program());
        Ended::of(&mut command, "")
    };
    list("rw").expect_end(64, &["can be read by others (mode 0444)"]);
    list("ro").expect_success();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o446)).expect("our file");
    list("ro").expect_end(64, &["can be read by others (mode 0446)"]);
}

/// It fails with this code, says `sentence`, shows no private part, and the set is what it was.
#[track_caller]
fn assert_refused(
    command: &mut Command,
    path: &Path,
    code: i32,
    sentence: &str,
    secrets: &[String],
) {
    let before = fs::read(path).ok();
    let said = Ended::of(command, "").expect_end(code, &[sentence]).said();
    assert!(
        secrets.iter().all(|secret| !said.contains(secret)),
        "{command:?} shows a private part"
    );
    assert_eq!(
        fs::read(path).ok(),
        before,
        "{command:?} has touched the set"
    );
    let name = path.file_name().expect("a name").to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    assert!(
        !beside.exists(),
        "{command:?} leaves a private key beside the set"
    );
}

/// Every command that reads a set, some of which would change it.
fn commands(kid: &str) -> [Vec<&str>; 4] {
    [
        vec!["list"],
        vec!["jwks"],
        DUE.to_vec(),
        vec!["retire", kid, "--now", "--yes"],
    ]
}

#[test]
fn a_broken_set_is_refused_by_every_command_and_left_as_it_is() {
    let (_folder, path) = key_file();
    let sound = fs::read(&path).expect("the set");
    let (secrets, kid) = (private_parts(&sound), kids(&path).remove(0));
    let mut off_curve: Value = serde_json::from_slice(&sound).expect("JSON");
    off_curve["keys"][0]["x"] = off_curve["keys"][0]["y"].clone();
    let broken = [
        (sound[..sound.len() / 2].to_vec(), "not a JWK Set"),
        (
            br#"{"keys":[]}"#.to_vec(),
            "/keys.json: the set has no key; make one with `wxmint keys generate --replace`",
        ),
        (
            off_curve.to_string().into_bytes(),
            "`x` and `y` are not a point on P-256",
        ),
    ];
    for (content, sentence) in broken {
        fs::write(&path, content).expect("written");
        for words in commands(&kid) {
            assert_refused(
                &mut keys_command(&path, &words),
                &path,
                64,
                sentence,
                &secrets,
            );
        }
    }
    fs::write(&path, br#"{"keys":[]}"#).expect("written");
    keys(&path, &["generate", "--replace", "--yes"]);
    assert_eq!(kids(&path).len(), 1, "as the error says");
    fs::remove_file(&path).expect("our file");
    for words in commands(&kid) {
        let hint = format!(
            "; restore it from its backup, or make it with: wxmint keys generate --keys {}\n",
            path.display()
        );
        assert_refused(&mut keys_command(&path, &words), &path, 64, &hint, &secrets);
    }
}

#[test]
fn no_command_replaces_a_set_unasked_or_leaves_half_of_a_set() {
    let (folder, path) = key_file();
    let new = folder.path().join("new.json");
    let (before, kid) = (fs::read(&path).expect("keys"), kids(&path).remove(0));
    let refused = |words: &[&str], sentence: &str| {
        assert_refused(
            &mut keys_command(&path, words),
            &path,
            64,
            sentence,
            &private_parts(&before),
        );
    };
    refused(
        &["retire", "x"],
        "keys.json: there is no key x in the set\n",
    );
    refused(
        &["generate"],
        "keys.json exists already and is not overwritten",
    );
    assert!(keys(&path, &["generate", "--if-missing"]).contains("not changed"));
    assert_eq!(fs::read(&path).expect("keys"), before);
    for words in [&["generate", "--replace"][..], &["retire", &kid, "--now"]] {
        refused(words, "nobody can confirm; add --yes");
    }
    for (path, words) in [(&path, &["rotate", "--now"][..]), (&new, &["generate"])] {
        assert_refused(
            &mut on_a_full_disk(&keys_command(path, words)),
            path,
            1,
            "File too large",
            &[],
        );
    }

    assert!(keys(&new, &["generate", "--if-missing"]).contains("signs from now on"));
    assert!(keys(&new, &["list"]).contains("signing"));
    keys(&new, &["generate", "--replace", "--yes", "--alg", "EdDSA"]);
    assert!(
        keys(&new, &["generate", "--replace", "--yes"]).contains("EdDSA key"),
        "the algorithm of the last key"
    );
}

/// The command `waits` waits until the command `comes_first` has changed the file. Returns what that one has written:
/// it is run on a copy, and the test holds and replaces the file in its place.
async fn after_another(
    path: &Path,
    command: impl Fn(&Path, &[&str]) -> Command,
    comes_first: &[&str],
    waits: &[&str],
) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    fs::copy(path, &copy).expect("a copy");
    Ended::of(&mut command(&copy, comes_first), "").expect_success();
    let written = fs::read(&copy).expect("the copy");

    let held = Held::wait(path).expect("held");
    let mut waiting = Process::spawn("wxmint", &mut command(path, waits));
    let id = waiting.id().to_string();
    // proc_locks(5): an arrow stands before each process that waits for a lock.
    until("it waits", PATIENCE, async || {
        let locks = fs::read_to_string("/proc/locks").expect("Linux");
        let mut waiting = locks.lines().filter(|line| line.contains("-> "));
        waiting.any(|line| line.split_whitespace().any(|word| word == id))
    })
    .await;
    held.replace(&written).expect("replaced");
    drop(held);
    let end = waiting.end(PATIENCE).await;
    assert!(end.success(), "{waits:?}: {}", waiting.log());
    written
}

/// Otherwise a rotation brings back a key that was retired in an emergency, and its revocation is lost.
#[tokio::test]
async fn a_command_that_has_waited_for_another_one_changes_what_that_one_has_written() {
    let (_folder, path) = key_file();
    let kid = kids(&path).remove(0);
    after_another(
        &path,
        keys_command,
        &["retire", &kid, "--now", "--yes"],
        &DUE,
    )
    .await;
    let set: Value = serde_json::from_slice(&fs::read(&path).expect("the set")).expect("JSON");
    assert!(!kids_of(&set).contains(&kid), "the retired key is back");
    assert_eq!(set["revoked"][0]["kid"], kid, "its revocation is lost");
    let algorithms = set["keys"].as_array().expect("keys").iter();
    assert!(
        algorithms.map(|key| &key["alg"]).any(|alg| alg == "EdDSA"),
        "no key was published"
    );

    let users = UsersFile::of(&["alice", "bob"]);
    let (first, then) = (["remove", "alice"], ["disable", "bob"]);
    let written = after_another(&users.path(), users_command, &first, &then).await;
    let file = fs::read_to_string(users.path()).expect("the users");
    assert!(
        !file.contains("alice") && file.contains("bob") && file.as_bytes() != written,
        "{file}"
    );

    let configuration = Configuration::new("EdDSA");
    let vault = PathBuf::from(configuration.value("WXMINT_VAULT_KEY_FILE"));
    let rotate = |file: &Path, words: &[&str]| {
        let mut command = wxmint();
        command.args(words).env_clear();
        command.env("WXMINT_VAULT_KEY_FILE", file);
        command
    };
    let words = ["vault", "rotate"];
    let written = after_another(&vault, rotate, &words, &words).await;
    assert!(
        fs::read(&vault).expect("the keys") == written,
        "a new key waited already"
    );

    let clients = configuration.path("clients.json");
    let of_clients = |file: &Path, words: &[&str]| {
        let mut command = wxmint();
        command.arg("clients").args(words).env_clear();
        command.args(["--name", "晨光商城", "--appid", APPID, "--public", "--file"]);
        command.arg(file);
        command
    };
    Ended::of(&mut of_clients(&clients, &["add", "one"]), "").expect_success();
    after_another(&clients, of_clients, &["add", "two"], &["add", "three"]).await;
    let file = fs::read_to_string(&clients).expect("the clients");
    for id in ["one", "two", "three"] {
        assert!(file.contains(&format!("\"{id}\"")), "{id}: {file}");
    }
}
