//! `wxmint keys` on a file that others change too, that is broken, or that cannot be written.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Instant,
};

use rustix::process::geteuid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{WXMINT, keys, keys_command, kids_of, on_a_full_disk, private_parts, said};

const KILLS: u32 = 50;
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
fn a_rotation_to_another_algorithm_says_which_published_key_it_waits_for_and_until_when() {
    let (_folder, path) = key_file();
    keys(&path, &DUE);
    let listed: Value = serde_json::from_str(&keys(&path, &["list", "--json"])).expect("JSON");
    let text = |member: &str| listed[1][member].as_str().expect("a text").to_owned();
    let said = keys(&path, &["rotate", "--alg", "RS256"]);
    let reason = format!("{} (EdDSA) is published already, and signs from {}", text("kid"), text("nbf"));
    assert!(said.contains(&format!("nothing to do: {reason}; a key of RS256 is published only after that")), "{said}");
    assert!(said.contains(&format!("nothing changes before {}", text("nbf"))), "{said}");
    let same = keys(&path, &["rotate"]);
    assert!(same.contains(&format!("nothing to do: {reason}\n")) && !same.contains("RS256"), "{same}");
}

#[test]
fn a_rotator_that_is_killed_leaves_the_old_set_or_the_new_one() {
    let (_folder, path) = key_file();
    let before = fs::read(&path).expect("the set");
    let began = Instant::now();
    keys(&path, &DUE);
    let whole = began.elapsed();
    let (mut old, mut new) = (0, 0);
    for run in 0..KILLS {
        // Not a new file: a rotator must cope with what the one before it left.
        fs::write(&path, &before).expect("the old set");
        // At moments from its beginning until it should have ended; the first one is left alone.
        let mut rotator = keys_command(&path, &DUE).stdout(Stdio::null()).spawn().expect("wxmint runs");
        if run > 0 {
            thread::sleep(whole * 2 * run / KILLS);
            rotator.kill().expect("a child of ours");
        }
        rotator.wait().expect("a child of ours");
        match kids(&path).len() {
            1 => assert_eq!(fs::read(&path).expect("a set"), before),
            2 => new += 1,
            other => panic!("{other} keys"),
        }
        old += u32::from(fs::read(&path).expect("a set") == before);
    }
    assert!(old + new == KILLS && new > 0, "{old} times the old set, {new} times the new one");
    fs::write(&path, &before).expect("the old set");
    assert!(keys(&path, &DUE).contains("published a new EdDSA key"), "what the dead left is in nobody's way");
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
        (br#"{"keys":[]}"#.to_vec(), "the set has no key; make one with `wxmint keys generate`"),
        (off_curve.to_string().into_bytes(), "`x` and `y` are not a point on P-256"),
    ];
    for (content, sentence) in broken {
        fs::write(&path, content).expect("written");
        for words in commands(&kid, &other.to_string_lossy()) {
            assert_refused(&mut keys_command(&path, &words), &path, 64, sentence, &secrets);
        }
    }
    fs::remove_file(&path).expect("our file");
    for words in commands(&kid, &other.to_string_lossy()).iter().take(4) {
        let hint = format!("; make it with: wxmint keys generate --keys {}\n", path.display());
        assert_refused(&mut keys_command(&path, words), &path, 64, &hint, &secrets);
    }
}

#[test]
fn a_key_that_was_retired_at_once_is_noted_until_its_last_token_has_expired() {
    let (folder, path) = key_file();
    let (kid, stolen) = (kids(&path).remove(0), folder.path().join("stolen.json"));
    fs::copy(&path, &stolen).expect("copied");
    keys(&path, &["retire", &kid, "--now", "--yes"]);
    let file = || serde_json::from_slice::<Value>(&fs::read(&path).expect("the set")).expect("JSON");
    let noted = file()["ended"].clone();
    assert_eq!(noted[0]["kid"], *kid);

    assert!(keys(&path, &["list"]).contains(&format!("{kid}  ended\n")));
    let listed: Value = serde_json::from_str(&keys(&path, &["list", "--json"])).expect("JSON");
    assert_eq!((&listed[1]["kid"], &listed[1]["state"]), (&noted[0]["kid"], &"ended".into()));
    assert!(!keys(&path, &["jwks"]).contains(&kid));
    let mut import = keys_command(&path, &["import", &stolen.to_string_lossy()]);
    assert_refused(&mut import, &path, 64, &format!("{kid} was retired at once"), &[]);

    assert!(keys(&path, &DUE).contains("published a new EdDSA key"));
    assert_eq!(file()["ended"], noted, "a rotation keeps the note");
    let mut later = file();
    let life_and_leeways = 24 * 60 * 60 + 120;
    later["ended"][0]["at"] = (noted[0]["at"].as_i64().expect("seconds") - life_and_leeways).into();
    fs::write(&path, later.to_string()).expect("written");
    assert!(keys(&path, &["rotate"]).contains(&format!("{kid}, which was retired at once, left the file")));
    assert_eq!(file()["ended"], Value::Null);
}

#[test]
fn generate_never_replaces_a_set() {
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
}

#[test]
fn generate_if_missing_makes_a_set_where_there_is_none() {
    let (_folder, path) = key_file();
    let other = path.with_file_name("other.json");
    assert!(keys(&other, &["generate", "--if-missing"]).contains("signs from now on"));
    assert!(keys(&other, &["list"]).contains("signing"));
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
fn a_set_that_may_not_be_read_is_refused() {
    let stranger = Stranger::new();
    let path = stranger.folder.path().join("keys.json");
    keys(&path, &["generate"]);
    let (kid, secrets) = (kids(&path).remove(0), private_parts(&fs::read(&path).expect("the set")));
    if !geteuid().is_root() {
        fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("our file");
    }
    for words in commands(&kid, "/nowhere").iter().take(4) {
        let mut command = stranger.command(&path, words);
        assert_refused(&mut command, &path, 1, "Permission denied", &secrets);
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

#[test]
fn a_full_disk_is_said_and_the_set_stays() {
    let (folder, path) = key_file();
    let sound = fs::read(&path).expect("the set");
    let (kid, secrets) = (kids(&path).remove(0), private_parts(&sound));
    let other = folder.path().join("other.json");
    keys(&other, &["generate"]);
    for words in [DUE.to_vec(), vec!["retire", &kid, "--now", "--yes"]] {
        let mut command = on_a_full_disk(&keys_command(&path, &words));
        assert_refused(&mut command, &path, 1, "keys.json: File too large", &secrets);
    }
    let fresh = folder.path().join("fresh.json");
    let mut generate = on_a_full_disk(&keys_command(&fresh, &["generate"]));
    assert_refused(&mut generate, &fresh, 1, "fresh.json: File too large", &[]);
    assert!(!fresh.exists(), "half a set is in the way of the next try");
    assert!(keys(&path, &DUE).contains("published a new EdDSA key"), "with room again it goes on");
}
