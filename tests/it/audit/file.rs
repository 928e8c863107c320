//! A file that is full, torn or put aside.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::Watched;
use crate::support::{BUSY, Signal, TestBed, command_on, eventually, said, until};

async fn lost(bed: &TestBed) -> f64 {
    bed.service().metric("wxmint_audit_lost_total").await
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let bed = TestBed::start().await;
    let mut command = command_on(&bed.redis.url(), &["users", "show", "user-1"]);
    let output = command.env("WXMINT_AUDIT", "file:/none/audit.jsonl").output().expect("wxmint runs");
    let said = said(&output);
    assert!(said.contains("WXMINT_AUDIT: /none/audit.jsonl: No such file"), "{said}");
}

#[tokio::test]
async fn a_device_that_is_full_is_told_and_logins_go_on() {
    let bed = TestBed::builder().env("WXMINT_AUDIT", "file:/dev/full").start().await;
    let printed = bed.service().metrics().await;
    assert!(printed.contains("wxmint_audit_lost_total "), "{printed}");
    for _ in 0..5 {
        bed.log_in("lin").await.expect_login();
    }
    until("all are counted", BUSY, async || lost(&bed).await >= 6.0).await;
    let warnings =
        || bed.service().events().into_iter().filter(|line| line["level"] == "WARN" && line["file"] == "/dev/full");
    until("a warning", BUSY, async || warnings().count() > 0).await;
    assert_eq!(warnings().count(), 1, "now and then");
}

/// The limit cuts a line in two. When there is room again, the next line begins on a line of its own, behind the number of
/// those that were lost.
#[tokio::test]
async fn a_file_that_is_full_for_a_while_has_a_torn_line_and_then_says_how_many_are_lost() {
    let watched = Watched::start(TestBed::builder()).await;
    let limit = |current| {
        let pid = Pid::from_raw(watched.bed.service().id().try_into().expect("an id"));
        prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).expect("a limit that can be raised again")
    };
    watched.bed.log_in("lin").await.expect_login();
    watched.event("login", None).await;
    let room = fs::metadata(watched.path()).expect("a file").len() + 1000;
    limit(Some(room));
    for _ in 0..10 {
        watched.bed.log_in("lin").await.expect_login();
    }
    until("some are lost", BUSY, async || lost(&watched.bed).await >= 9.0).await;
    let full = fs::read_to_string(watched.path()).expect("readable");
    assert_eq!((full.len() as u64, full.ends_with('\n')), (room, false), "the last line is torn");
    limit(None);
    watched.bed.log_in("lin").await.expect_login();
    let text = eventually("a line after the loss", BUSY, async || {
        fs::read_to_string(watched.path()).ok().filter(|text| text[full.len()..].matches('\n').count() >= 3)
    })
    .await;
    let [first, loss, login] = text[full.len()..].lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a whole line");
    assert!(first.is_empty() && event(login)["metadata"]["event_code"] == "login", "{text}");
    assert_eq!(
        (event(loss)["metadata"]["event_code"].as_str(), event(loss)["count"].as_f64()),
        (Some("loss"), Some(lost(&watched.bed).await))
    );
}

#[tokio::test]
async fn a_file_that_is_put_aside_is_opened_again_at_sighup_and_no_event_is_lost() {
    let watched = Watched::start(TestBed::builder()).await;
    watched.bed.log_in("lin").await.expect_login();
    watched.event("login", None).await;
    let aside = watched.path().with_extension("1");
    fs::rename(watched.path(), &aside).expect("renamed");
    watched.bed.log_in("mei").await.expect_login();
    watched.bed.service().signal(Signal::HUP);
    until("the file is there again", BUSY, async || watched.path().exists()).await;
    watched.bed.log_in("wang").await.expect_login();
    watched.event("login", None).await;
    let logins = |path| fs::read_to_string(path).expect("readable").matches(r#""event_code":"login""#).count();
    assert_eq!((logins(aside), logins(watched.path()), lost(&watched.bed).await), (2, 1, 0.0));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(watched.path()).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// By whoever clears a full disk, or tidies up without SIGHUP. What was in the file is gone, and nothing after it.
#[tokio::test]
async fn a_file_that_is_deleted_is_made_anew() {
    let watched = Watched::start(TestBed::builder()).await;
    watched.bed.log_in("lin").await.expect_login();
    watched.event("login", None).await;
    fs::remove_file(watched.path()).expect("deleted");
    watched.bed.log_in("mei").await.expect_login();
    until("the file is there again", BUSY, async || watched.path().exists()).await;
    watched.event("login", None).await;
    assert_eq!(lost(&watched.bed).await, 0.0);
}
