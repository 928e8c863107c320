//! More passwords than a machine can check: logins without one are nearly as fast as before, and memory is bounded.
//! tests/it/password_load.rs counts who is told to wait. `make bench` measures how fast, on the build that is deployed.

use std::{thread::available_parallelism, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Answer, BUSY, PATIENCE, TestBed, UsersFile, WRONG_PASSWORD, eventually, password_of, tell};

/// A second. At 12 ms each, two cores would do nothing else.
const WRONG_PASSWORDS: u32 = 200;
const SILENT_LOGINS: u32 = 100;
const QUIET: Duration = Duration::from_secs(3);
const FLOOD: Duration = Duration::from_secs(10);
/// Of silent logins during the flood, in a build for tests. If passwords were hashed where logins are served, it would be
/// seconds, and grow while the flood lasts.
const LONGEST_P99: Duration = Duration::from_millis(500);
/// A password waits for 3 s at most.
const LONGEST_WAIT: Duration = BUSY.saturating_add(Duration::from_secs(3));
/// A machine is busy now and then; a defect of the service shows each time.
const ATTEMPTS: u32 = 3;
/// In KiB: what one hash takes, and what some hundreds of logins in flight take in a build for tests.
const HASH: u64 = 20 * 1024;
const REST: u64 = 24 * 1024;

/// Half as many threads hash as there are cores, and at most 4.
fn hashes_at_once() -> u64 {
    (available_parallelism().expect("Linux").get() as u64 / 2).clamp(1, 4)
}

/// As many requests of these as fit into `time`, each with a code of somebody else's, sent when it is due whether or not
/// the earlier ones have been answered.
async fn pace(bed: &TestBed, per_second: u32, time: Duration, who: &str, more: &Value) -> Vec<Answer> {
    let count = (f64::from(per_second) * time.as_secs_f64()) as usize;
    let codes = bed.wechat.mint_codes(json!({"person": who, "count": count, "distinct_people": true})).await;
    let mut due = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut asked = JoinSet::new();
    for code in codes {
        due.tick().await;
        let mut body = more.clone();
        body["code"] = code.into();
        let (http, url) = (bed.http.clone(), bed.service().url("/login"));
        asked.spawn(async move { http.send(http.0.post(url).json(&body)).await });
    }
    asked.join_all().await
}

/// The 99th percentile of what took these, all of them logins.
fn p99(answers: Vec<Answer>) -> Duration {
    let mut took: Vec<_> = answers.into_iter().map(|answer| answer.expect_login().took).collect();
    took.sort();
    took[took.len() * 99 / 100]
}

/// How many passwords were looked at, the others having been told when to come again.
fn looked_at(answers: Vec<Answer>) -> usize {
    let (refused, busy): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 403);
    for answer in &refused {
        answer.clone().expect_problem(403, "invalid_credentials");
    }
    for answer in &busy {
        let told = answer.clone().expect_problem(503, "accounts_unavailable");
        assert!(told.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{told:?}");
    }
    let slowest = refused.iter().chain(&busy).map(|answer| answer.took).max();
    assert!(slowest < Some(LONGEST_WAIT), "{slowest:?}");
    refused.len()
}

struct Flooded {
    quiet: Duration,
    p99: Duration,
    looked_at: usize,
}

async fn flood(bed: &TestBed) -> Flooded {
    let (nothing, wrong) = (json!({}), json!({"username": "alice", "password": WRONG_PASSWORD}));
    let quiet = p99(pace(bed, SILENT_LOGINS, QUIET, "silent", &nothing).await);
    let (silent, passwords) = tokio::join!(
        pace(bed, SILENT_LOGINS, FLOOD, "silent", &nothing),
        pace(bed, WRONG_PASSWORDS, FLOOD, "enemy", &wrong),
    );
    Flooded { quiet, p99: p99(silent), looked_at: looked_at(passwords) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_wrong_passwords_a_second_keep_nobody_out_who_logs_in_without_one() {
    let users = UsersFile::of(&["alice"]);
    let builder = TestBed::builder().env("WXMINT_ACCOUNTS", &users.setting()).env("WXMINT_AUTO_PROVISION", "true");
    let bed = builder
        .env("WXMINT_LIMIT_USERNAME", "1000000/1s")
        .env("RUST_LOG", "warn,wxmint::issuer::run=info")
        .start()
        .await;
    // Everybody has a user from here on, and the memory of a service that is in use is there.
    pace(&bed, 2 * SILENT_LOGINS, FLOOD / 2, "silent", &json!({})).await;
    let before = bed.service().peak_memory();

    let mut told = String::new();
    for attempt in 1.. {
        let Flooded { quiet, p99, looked_at } = flood(&bed).await;
        let grown = bed.service().peak_memory() - before;
        told += &format!(
            "wrong passwords, {WRONG_PASSWORDS} a second: p99 of logins without one {p99:.1?} (before {quiet:.1?}), \
             {looked_at} looked at in {FLOOD:?}, {grown} KiB more memory\n"
        );
        assert!(looked_at > 0 && grown < HASH * hashes_at_once() + REST, "{told}");
        if p99 < LONGEST_P99 {
            break;
        }
        assert!(attempt < ATTEMPTS, "{told}");
    }
    tell(&told);
    let back = async || (bed.log_in_with("lin", password_of("alice")).await.status == 200).then_some(());
    eventually("passwords are checked again", PATIENCE, back).await;
}
