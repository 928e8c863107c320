//! The users file of a running `wxmint serve`: read again within 5 s where it is fit, refused where it is not.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::{BUSY, Configuration, TestBed, WXMINT, eventually, write_private};

/// design.md: "The users file and the apps directory are re-read within 5 s of a change".
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));
const REFUSED: &str = "wxmint_reload_refused{what=\"users\"} 1";
const IN_USE: &str = "wxmint_reload_refused{what=\"users\"} 0";

fn users(path: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(WXMINT);
    command.arg("users").args(words).arg("--users").arg(path).env_clear();
    command
}

/// A user whose password is hunter22.
fn add(path: &Path, name: &str) {
    let mut child =
        users(path, &["add", name]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("wxmint runs");
    child.stdin.take().expect("a pipe").write_all(b"hunter22\n").expect("written");
    assert!(child.wait().expect("its end").success());
}

async fn has(bed: &TestBed, line: &str) -> Option<()> {
    bed.service().metrics().await.lines().any(|found| found == line).then_some(())
}

/// The log's words on how many users there were each time the file was read.
fn counted(bed: &TestBed) -> Vec<u64> {
    bed.service().events().iter().filter_map(|event| event["users"].as_u64()).collect()
}

async fn bed_with(path: &Path) -> TestBed {
    TestBed::builder().env("WXMINT_ACCOUNTS", &format!("file:{}", path.display())).start().await
}

#[tokio::test]
async fn a_broken_file_names_its_line_and_a_mended_one_is_in_use_within_5_s() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users");
    add(&path, "alice");
    let bed = bed_with(&path).await;
    assert_eq!(counted(&bed), [1]);

    add(&path, "bob");
    eventually("another user", WITHIN, async || (counted(&bed) == [1, 2]).then_some(())).await;
    let good = fs::read(&path).expect("a file");
    for (content, mode, reason) in [
        (&[&good[..], b"carol hunter22 u-3\n"].concat(), 0o600, "users: line 4: the password must be an Argon2id"),
        (&good, 0o604, "can be read by others (mode 0604); run: chmod 600"),
    ] {
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("our file");
        eventually(reason, WITHIN, async || has(&bed, REFUSED).await).await;
        let events = bed.service().events();
        let told: Vec<_> = events.iter().filter(|event| event["level"] == "ERROR").collect();
        let last = told.last().expect("an error");
        assert!(last["reason"].as_str().expect("a reason").contains(reason), "{last}");
        let message = last["message"].as_str().expect("a message");
        assert_eq!(message, "the changed users file cannot be used; keeping the previous users");

        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our file");
        fs::write(&path, &good).expect("written");
        eventually("mended", WITHIN, async || has(&bed, IN_USE).await).await;
    }
    assert!(has(&bed, "wxmint_reloads_total{what=\"users\",outcome=\"refused\"} 2").await.is_some());
    let log = bed.service().log();
    assert!(!log.contains("hunter22") && !log.contains("$argon2id$v=19$m=1") && !log.contains("alice"), "{log}");
}

#[tokio::test]
async fn a_file_that_kubernetes_swaps_is_in_use_within_5_s() {
    let folder = tempfile::tempdir().expect("a folder");
    let volume = folder.path();
    for (version, names) in [("..1", &["alice"][..]), ("..2", &["alice", "bob"])] {
        fs::create_dir(volume.join(version)).expect("a folder");
        names.iter().for_each(|name| add(&volume.join(version).join("users"), name));
    }
    symlink("..1", volume.join("..data")).expect("a link");
    symlink("..data/users", volume.join("users")).expect("a link");
    let bed = bed_with(&volume.join("users")).await;
    symlink("..2", volume.join("..data_tmp")).expect("a link");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("renamed");
    eventually("the swap", WITHIN, async || (counted(&bed) == [1, 2]).then_some(())).await;
}

#[tokio::test]
async fn a_service_does_not_start_with_a_users_file_that_is_not_fit() {
    let mut configuration = Configuration::new("ES256");
    let path = configuration.path("users");
    configuration.set("WXMINT_ACCOUNTS", &format!("file:{}", path.display()));
    let said = configuration.refused().await;
    assert!(said.contains("WXMINT_ACCOUNTS: ") && said.contains("users: No such file"), "{said}");

    write_private(&path, "# staff\nalice hunter22 u-1\n");
    let said = configuration.refused().await;
    let sentence = "users: line 2: the password must be an Argon2id PHC string";
    assert!(said.contains(sentence) && !said.contains("hunter22"), "{said}");
}
