//! `wxmint keys` on a file that others change too, that is broken, or that cannot be written.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use rustix::process::geteuid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{WXMINT, keys, keys_command, kids_of, on_a_full_disk, private_parts, said};
/// `nobody`, where the tests run as root.
const NOBODY: u32 = 65_534;
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
    kids_of(&serde_json::json!({"keys": listed}))
}

#[test]
fn sixteen_rotators_at_once_publish_one_key() {
    let (_folder, path) = key_file();
    let rotators: Vec<_> = (0..16)
        .map(|_| {
            thread::spawn({
                let path = path.clone();
                move || keys(&path, &DUE)
            })
        })
        .collect();
    let said: Vec<_> = rotators.into_iter().map(|rotator| rotator.join().expect("it succeeds")).collect();
    assert_eq!(said.iter().filter(|said| said.contains("published a new EdDSA key")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| said.contains("nothing to do")).count(), 15, "{said:?}");
    assert_eq!(kids(&path).len(), 2);
}

#[test]
fn a_rotation_now_publishes_a_key_and_a_second_one_says_when_that_signs() {
    let (_folder, path) = key_file();
    let before = fs::read(&path).expect("the set");
    assert!(keys(&path, &["rotate"]).contains("nothing to do"), "it is not due");
    assert!(keys(&path, &["rotate", "--now", "--dry-run"]).contains("would publish a new ES256 key, which signs from"));
    assert_eq!(fs::read(&path).expect("the set"), before);
    let said = keys(&path, &["rotate", "--now", "--lead", "1h"]);
    let signs = said.split_once("published a new ES256 key, which signs from ").expect("a key").1;
    let (signs, new) = (signs.lines().next().expect("a date"), kids(&path).remove(1));
    let listed: Value = serde_json::from_str(&keys(&path, &["list", "--json"])).expect("JSON");
    assert_eq!((&listed[1]["state"], &listed[1]["nbf"]), (&"published".into(), &signs.into()));
    let published = fs::read(&path).expect("the set");
    let again = keys(&path, &["rotate", "--now"]);
    assert!(
        again.contains(&format!("nothing to do: {new} (ES256) is published already, and signs from {signs}")),
        "{again}"
    );
    assert_eq!(fs::read(&path).expect("the set"), published);
}

/// It fails with this code, says `sentence`, shows no private part, and the set is what it was.
#[track_caller]
fn assert_refused(command: &mut Command, path: &Path, code: i32, sentence: &str, secrets: &[String]) {
    let before = fs::read(path).ok();
    let output: Output = command.output().expect("it runs");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    assert!(said.contains(sentence) && !said.contains("panicked"), "{command:?}: {said}");
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{command:?} shows a private part");
    assert_eq!(fs::read(path).ok(), before, "{command:?} has touched the set");
    let beside = path.with_file_name(".keys.json.new");
    assert!(!beside.exists(), "{command:?} leaves a private key beside the set");
}

/// Every command that reads a set, some of which would change it.
fn commands<'a>(kid: &'a str, other_key: &'a str) -> [Vec<&'a str>; 5] {
    [vec!["list"], vec!["jwks"], DUE.to_vec(), vec!["retire", kid, "--now", "--yes"], vec!["import", other_key]]
}

#[test]
fn a_broken_set_is_refused_by_every_command_and_left_as_it_is() {
    let (folder, path) = key_file();
    let sound = fs::read(&path).expect("the set");
    let (secrets, kid) = (private_parts(&sound), kids(&path).remove(0));
    let other = folder.path().join("other.json");
    keys(&other, &["generate"]);
    let mut off_curve: Value = serde_json::from_slice(&sound).expect("JSON");
    off_curve["keys"][0]["x"] = off_curve["keys"][0]["y"].clone();
    let broken = [
        (sound[..sound.len() / 2].to_vec(), "not a JWK Set"),
        (br#"{"keys":[]}"#.to_vec(), "the set has no key; make one with `wxmint keys generate --replace`"),
        (off_curve.to_string().into_bytes(), "`x` and `y` are not a point on P-256"),
    ];
    for (content, sentence) in broken {
        fs::write(&path, content).expect("written");
        for words in commands(&kid, &other.to_string_lossy()) {
            assert_refused(&mut keys_command(&path, &words), &path, 64, sentence, &secrets);
        }
    }
    fs::write(&path, br#"{"keys":[]}"#).expect("written");
    keys(&path, &["generate", "--replace", "--yes"]);
    assert_eq!(kids(&path).len(), 1, "as the error says");
    fs::remove_file(&path).expect("our file");
    for words in commands(&kid, &other.to_string_lossy()).iter().take(4) {
        let hint =
            format!("; restore it from its backup, or make it with: wxmint keys generate --keys {}\n", path.display());
        assert_refused(&mut keys_command(&path, words), &path, 64, &hint, &secrets);
    }
}

#[test]
fn generate_never_replaces_a_set_and_makes_one_where_there_is_none() {
    let (_folder, path) = key_file();
    assert_refused(
        &mut keys_command(&path, &["generate"]),
        &path,
        64,
        "keys.json exists already and is not overwritten",
        &[],
    );
    let before = fs::read(&path).expect("keys");
    assert!(keys(&path, &["generate", "--if-missing"]).contains("not changed"));
    assert_eq!(fs::read(&path).expect("keys"), before);
    let other = path.with_file_name("other.json");
    assert!(keys(&other, &["generate", "--if-missing"]).contains("signs from now on"));
    assert!(keys(&other, &["list"]).contains("signing"));
    let old = kids(&other);
    for words in [&["generate", "--replace"][..], &["retire", &old[0], "--now"]] {
        assert_refused(&mut keys_command(&other, words), &other, 64, "nobody can confirm; add --yes", &[]);
    }
    keys(&other, &["generate", "--replace", "--yes", "--alg", "EdDSA"]);
    assert!(keys(&other, &["generate", "--replace", "--yes"]).contains("EdDSA key"), "the algorithm of the last key");
}

#[test]
fn a_key_that_was_ended_is_not_imported_again() {
    let (folder, path) = key_file();
    let (copy, kid) = (folder.path().join("copy.json"), kids(&path).remove(0));
    fs::copy(&path, &copy).expect("a copy");
    keys(&path, &["retire", &kid, "--now", "--yes"]);
    let refused = format!("{kid} was retired at once: verifiers refuse whatever it signs");
    assert_refused(&mut keys_command(&path, &["import", &copy.to_string_lossy()]), &path, 64, &refused, &[]);
}

#[test]
fn on_a_full_disk_no_half_of_a_set_is_left() {
    let (folder, path) = key_file();
    let new = folder.path().join("new.json");
    assert_refused(&mut on_a_full_disk(&keys_command(&new, &["generate"])), &new, 1, "File too large", &[]);
    assert_refused(&mut on_a_full_disk(&keys_command(&path, &["rotate", "--now"])), &path, 1, "File too large", &[]);
}

/// A user without rights: `nobody`, or ourselves where we are not root.
struct Stranger {
    folder: TempDir,
    program: PathBuf,
}

impl Stranger {
    /// With a copy of the program where it can reach it.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our folder");
        let program = folder.path().join("wxmint");
        fs::copy(WXMINT, &program).expect("a copy");
        Self { folder, program }
    }

    fn command(&self, file: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("keys").args(words).arg("--keys").arg(file).env_clear().current_dir("/");
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_named_and_the_set_stays() {
    let stranger = Stranger::new();
    let folder = stranger.folder.path().join("keys");
    fs::create_dir(&folder).expect("a folder");
    let path = folder.join("keys.json");
    keys(&path, &["generate"]);
    let kid = kids(&path).remove(0);
    if geteuid().is_root() {
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("we are root");
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o555)).expect("our folder");
    let readable = stranger.command(&path, &["list"]).output().expect("it runs");
    assert!(readable.status.success(), "{}", said(&readable));
    for words in [DUE.to_vec(), vec!["retire", &kid, "--now", "--yes"]] {
        let mut command = stranger.command(&path, &words);
        assert_refused(&mut command, &path, 1, ".keys.json.lock: Permission denied", &[]);
    }
    let mut generate = stranger.command(&folder.join("others.json"), &["generate"]);
    assert_refused(&mut generate, &folder.join("others.json"), 1, "others.json: Permission denied", &[]);
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("our folder");
}
