//! A key file that changes while `wxmint serve` runs: read again within 5 s where it is fit, refused where it is not.

use crate::support::prelude::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

const REFUSED: &str = "wxmint_reload_refused{what=\"keys\"} 1";
const IN_USE: &str = "wxmint_reload_refused{what=\"keys\"} 0";

/// A set of one new key in a file of its own, which ends the old key; its kid.
fn new_set(path: &Path, old: Option<&str>) -> String {
    keys(path, &["generate"]);
    old.map(|old| keys(path, &["retire", old, "--now", "--yes"]));
    kids_of(&serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")).remove(0)
}

/// An editor, a copy or a deployment can do this to the file, and what the log line then says.
type Fault = (fn(&Path), &'static str);

const FAULTS: [Fault; 3] = [
    (half, "not a JWK Set"),
    (off_its_curve, "`x` and `y` are not a point on P-256"),
    (not_yet, "no key may sign yet"),
];

fn half(path: &Path) {
    let content = fs::read(path).expect("a file");
    fs::write(path, &content[..content.len() / 2]).expect("written");
}

fn off_its_curve(path: &Path) {
    change_key(path, |key| {
        key.as_object_mut().expect("a key").remove("kid");
        key["x"] = key["y"].clone();
    });
}

/// Each key is sound, and none may sign.
fn not_yet(path: &Path) {
    change_key(path, |key| key["nbf"] = (key["nbf"].as_i64().expect("seconds") + 3600).into());
}

fn change_key(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut set: Value = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
    change(&mut set["keys"][0]);
    replace(path, &set.to_string());
}

/// At a service of its own, so that all faults wait at once.
async fn is_refused_until_it_is_mended((fault, reason): Fault) {
    let bed = TestBed::start().await;
    let path = PathBuf::from(bed.configuration.value("WXMINT_KEYS"));
    let old = jwks_kids(&bed).await.remove(0);
    let mut secrets = private_parts(&fs::read(&path).expect("the keys"));
    fault(&path);
    until(reason, READ_AGAIN_WITHIN, async || gauge(&bed, REFUSED).await && !bed.service().reasons("ERROR").is_empty())
        .await;
    assert!(bed.service().reasons("ERROR")[0].contains(reason), "{reason}: {:?}", bed.service().reasons("ERROR"));
    assert_eq!(jwks_kids(&bed).await, [old.as_str()], "{reason}: the keys of before stay");
    let login = bed.log_in("lin").await.expect_login();
    assert_eq!(kid_of(&login.member("access_token")), old, "{reason}: the key of before signs");

    let mended = path.with_extension("mended");
    let new = new_set(&mended, Some(&old));
    secrets.extend(private_parts(&fs::read(&mended).expect("the keys")));
    fs::rename(&mended, &path).expect("renamed");
    until("mended", READ_AGAIN_WITHIN, async || jwks_kids(&bed).await == [new.as_str()]).await;
    // The keys are in use a moment before the gauge says so.
    until("said to be mended", READ_AGAIN_WITHIN, async || gauge(&bed, IN_USE).await).await;
    let login = bed.log_in("lin").await.expect_login();
    assert_eq!(kid_of(&login.member("access_token")), new, "{reason}: mended");
    assert_eq!(bed.service().reasons("ERROR").len(), 1, "a fault is told once: {:?}", bed.service().reasons("ERROR"));
    assert!(gauge(&bed, "wxmint_reloads_total{what=\"keys\",outcome=\"refused\"} 1").await, "{reason}");
    let log = bed.service().log();
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "a private part is in the log");
}

#[tokio::test]
async fn a_file_that_is_not_fit_is_refused_and_told_and_one_that_is_mended_is_in_use_within_5_s() {
    join_all(FAULTS.map(is_refused_until_it_is_mended)).await;
}

#[tokio::test]
async fn a_secret_that_kubernetes_swaps_is_in_use_within_5_s() {
    let folder = tempfile::tempdir().expect("a folder");
    let volume = folder.path();
    let first = write_version(volume, "..2026_11_20_1", None);
    symlink("..2026_11_20_1", volume.join("..data")).expect("a link");
    symlink("..data/keys.json", volume.join("keys.json")).expect("a link");
    let bed = TestBed::builder().env("WXMINT_KEYS", &volume.join("keys.json").to_string_lossy()).start().await;
    assert_eq!(jwks_kids(&bed).await, [first.as_str()]);

    // As the kubelet does it: a new folder, a new link, and a rename over the old one.
    let second = write_version(volume, "..2026_11_20_2", Some(&first));
    symlink("..2026_11_20_2", volume.join("..data_tmp")).expect("a link");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("renamed");
    fs::remove_dir_all(volume.join("..2026_11_20_1")).expect("removed");
    until("the swap", READ_AGAIN_WITHIN, async || jwks_kids(&bed).await == [second.as_str()]).await;
    assert!(gauge(&bed, IN_USE).await);
    bed.log_in("lin").await.expect_login();
}

/// A version of the Secret, with the mode that the kubelet gives by default; its kid.
fn write_version(volume: &Path, version: &str, old: Option<&str>) -> String {
    let folder = volume.join(version);
    fs::create_dir(&folder).expect("a folder");
    let kid = new_set(&folder.join("keys.json"), old);
    fs::set_permissions(folder.join("keys.json"), Permissions::from_mode(0o644)).expect("our file");
    kid
}

async fn gauge(bed: &TestBed, line: &str) -> bool {
    bed.service().metrics().await.lines().any(|found| found == line)
}
