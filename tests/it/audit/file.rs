//! A file that is full, torn or put aside.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};

use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_setfl, mknodat};
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Resource, Rlimit, geteuid, prlimit};

use super::Watched;
use crate::support::prelude::*;

async fn lost(bed: &TestBed) -> f64 {
    bed.service()
        .metric("wxmint_audit_events_dropped_total")
        .await
}

/// A pipe is taken if somebody reads it: /dev/stdout is one in most containers.
#[tokio::test]
async fn what_cannot_be_opened_at_once_is_refused_by_name_and_a_link_that_another_user_can_have_made_too()
 {
    let (folder, redis) = (
        tempfile::tempdir().expect("a folder"),
        RedisServer::start(&[], "").await,
    );
    let [pipe, to_pipe, target, link] =
        ["pipe", "to-pipe", "target", "audit.jsonl"].map(|name| folder.path().join(name));
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    symlink(&pipe, &to_pipe).expect("a link");
    symlink(&target, &link).expect("a link");
    let show = async |path: &Path| {
        let mut command = command_on(&redis.url(), &["users", "show", "user-1"]);
        Ended::within_patience(command.env("WXMINT_AUDIT", format!("file:{}", path.display())))
            .await
    };
    let refused = async |path: &Path, why: &str| {
        let ended = show(path).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(
            ended
                .said()
                .contains(&format!("WXMINT_AUDIT: {}: {why}", path.display())),
            "{ended:?}"
        );
    };
    refused(Path::new("/none/audit.jsonl"), "No such file").await;
    refused(folder.path(), "Is a directory").await;
    refused(&pipe, "is a pipe that nobody reads").await;
    refused(&to_pipe, "is a pipe that nobody reads").await;
    show(Path::new("/dev/stdout"))
        .await
        .expect_end(0, &["\"class_uid\":6003"]);

    show(&link).await.expect_success();
    let written = fs::read_to_string(&target).expect("a file");
    assert!(written.ends_with('\n'));
    if !geteuid().is_root() {
        return tell("NOT RUN: links and folders of other users, which root alone can make");
    }
    for (of_link, of_folder) in [(65534, 0), (0, 65534)] {
        lchown(&link, Some(of_link), None)
            .and_then(|()| chown(&folder, Some(of_folder), None))
            .expect("root");
        refused(&link, "is a link").await;
        assert_eq!(fs::read_to_string(&target).expect("a file"), written);
    }
    // A user can write what root makes in their folder.
    fs::remove_file(&link).expect("removed");
    show(&link).await.expect_success();
    let made = fs::metadata(&link).expect("a file");
    assert_eq!((made.uid(), made.mode() & 0o777), (65534, 0o600));
}

/// The limit cuts a line in two. When there is room again, the next line begins on a line of its own, behind the number
/// of those that were lost.
#[tokio::test]
async fn a_file_that_is_full_for_a_while_has_a_torn_line_and_then_says_how_many_are_lost() {
    let watched = Watched::start(TestBed::builder()).await;
    let limit = |current| {
        let pid = Pid::from_raw(watched.bed.service().id().try_into().expect("an id"));
        prlimit(
            pid,
            Resource::Fsize,
            Rlimit {
                current,
                maximum: None,
            },
        )
        .expect("a limit that can be raised again")
    };
    watched.bed.log_in("lin").await.expect_login();
    watched.event("login", None).await;
    let room = fs::metadata(watched.path()).expect("a file").len() + 1000;
    limit(Some(room));
    for _ in 0..10 {
        watched.bed.log_in("lin").await.expect_login();
    }
    until("some are lost", BUSY, async || {
        lost(&watched.bed).await >= 9.0
    })
    .await;
    let full = fs::read_to_string(watched.path()).expect("readable");
    assert_eq!(
        (full.len() as u64, full.ends_with('\n')),
        (room, false),
        "the last line is torn"
    );
    limit(None);
    watched.bed.log_in("lin").await.expect_login();
    let text = eventually("a line after the loss", BUSY, async || {
        fs::read_to_string(watched.path())
            .ok()
            .filter(|text| text[full.len()..].matches('\n').count() >= 3)
    })
    .await;
    let [first, loss, login] = text[full.len()..].lines().collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    let [loss, login]: [Value; 2] =
        [loss, login].map(|line| serde_json::from_str(line).expect("a whole line"));
    assert!(
        first.is_empty() && login["metadata"]["event_code"] == "login",
        "{text}"
    );
    let told = (
        loss["metadata"]["event_code"].as_str(),
        loss["count"].as_f64(),
    );
    assert_eq!(told, (Some("loss"), Some(lost(&watched.bed).await)));
}

/// The file is a pipe whose reader does not read.
#[tokio::test]
async fn what_a_hung_disk_has_not_taken_at_the_end_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    let reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .expect("a pipe");
    let mut bed = TestBed::builder()
        .env("WXMINT_AUDIT", &format!("file:{}", path.display()))
        .start()
        .await;
    fcntl_setpipe_size(&reader, 4096).expect("a pipe");
    for _ in 0..20 {
        bed.log_in("lin").await.expect_login();
    }
    bed.services[0].signal(Signal::TERM);
    assert!(bed.services[0].end(PATIENCE).await.success());
    let warning = bed.service().told("until the end of the process").remove(0);
    let lost = warning["events"].as_u64().expect("a number");
    let mut taken = [0; 8192];
    let taken = (&reader)
        .read(&mut taken)
        .map(|length| taken[..length].to_vec())
        .expect("lines");
    let whole = taken.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!(
        whole > 0 && lost + whole >= 21 && lost <= 21,
        "{lost} and {whole} of the binding and 20 logins"
    );
}

/// The admin listener ends last. The file is a pipe that is full, so that nothing but the end of the audit tells.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_audit_counts_also_what_an_operator_is_answered_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    let pipe = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .expect("a pipe");
    let builder = TestBed::builder().env("WXMINT_AUDIT", &format!("file:{}", path.display()));
    let mut bed = builder.operator().breakable_wechat().start().await;
    fcntl_setfl(&pipe, OFlags::NONBLOCK).expect("a pipe");
    let mut taken = Vec::new();
    until("the events of the start", BUSY, async || {
        let mut some = [0; 4096];
        taken.extend(
            (&pipe)
                .read(&mut some)
                .map_or(&[][..], |length| &some[..length]),
        );
        String::from_utf8_lossy(&taken).contains("key_change") && taken.ends_with(b"\n")
    })
    .await;
    while (&pipe).write(b" ").is_ok() {}
    bed.wechat_link().withhold_answers().await;
    let (answer, ()) = tokio::join!(
        bed.operate("GET", "/doctor"),
        bed.stop_while_the_doctor_waits()
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(bed.services[0].end(2 * PATIENCE).await.success());
    let told = bed.service().told("until the end of the process");
    assert_eq!(
        told.iter()
            .map(|line| line["events"].clone())
            .collect::<Vec<_>>(),
        [json!(1)],
        "{told:?}"
    );
}

/// Nothing can be made anew in a folder that was deleted with its file: what is lost is told once there is a folder.
#[tokio::test]
async fn a_file_that_is_put_aside_or_deleted_is_made_anew_and_events_whose_folder_is_gone_are_counted_as_lost()
 {
    let watched = Watched::start(TestBed::builder()).await;
    watched.bed.log_in("lin").await.expect_login();
    watched.event("login", None).await;
    let aside = watched.path().with_extension("1");
    fs::rename(watched.path(), &aside).expect("renamed");
    watched.bed.log_in("mei").await.expect_login();
    watched.bed.service().signal(Signal::HUP);
    until("the file is there again", BUSY, async || {
        watched.path().exists()
    })
    .await;
    watched.bed.log_in("wang").await.expect_login();
    watched.event("login", None).await;
    let logins = |path| {
        fs::read_to_string(path)
            .expect("readable")
            .matches(r#""event_code":"login""#)
            .count()
    };
    assert_eq!(
        (
            logins(aside),
            logins(watched.path()),
            lost(&watched.bed).await
        ),
        (2, 1, 0.0)
    );
    assert_eq!(
        fs::metadata(watched.path()).expect("a file").mode() & 0o777,
        0o600
    );
    // By whoever clears a full disk, or tidies up without SIGHUP.
    fs::remove_file(watched.path()).expect("deleted");
    watched.bed.log_in("mei").await.expect_login();
    until("the file is there again", BUSY, async || {
        watched.path().exists()
    })
    .await;
    watched.event("login", None).await;
    assert_eq!(lost(&watched.bed).await, 0.0);

    fs::remove_dir_all(&watched.folder).expect("deleted");
    for _ in 0..3 {
        watched.bed.log_in("lin").await.expect_login();
    }
    until("all are counted", BUSY, async || {
        lost(&watched.bed).await >= 3.0
    })
    .await;
    fs::create_dir(&watched.folder).expect("a folder");
    watched.bed.log_in("lin").await.expect_login();
    watched.event("login", None).await;
    let first = watched.events().remove(0);
    assert_eq!(
        (&first["metadata"]["event_code"], &first["count"]),
        (&"loss".into(), &3.into()),
        "{first}"
    );
    assert_eq!(lost(&watched.bed).await, 3.0);
    let told = |line: &Value| line["file"].is_string() && line["level"] != "INFO";
    let warnings = watched.bed.service().events().into_iter().filter(told);
    assert_eq!(warnings.count(), 2, "once a minute, and that it is over");
}
