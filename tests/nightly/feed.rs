//! Strangers who ask for old pages of the revocation feed, while a sidecar starts. Run alone:
//! `cargo test --locked --workspace --features kubernetes --test nightly feed -- --test-threads=1`. On a machine that
//! does other things too, `FEED_SCALE=20` makes both the feed and the rate of requests smaller by that factor.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, sleep};
use wxmint::clock::now;

use crate::support::prelude::*;

/// Verifiers have to read so many before they know of the logout.
const REVOCATIONS: usize = 150_000;
/// Strangers have collected the cursor after each so many of them.
const BETWEEN_CURSORS: usize = 50;
/// The revocations are of this time, so that none of the cursors is recent.
const AGO: i64 = 3600;
/// Strangers ask for so long before the sidecar starts.
const AHEAD: Duration = Duration::from_secs(3);
/// An open sidecar that has not read the whole feed by then accepts tokens without it.
const WATCHED: Duration = Duration::from_secs(75);
/// A stranger gives an answer up after so long.
const GIVEN_UP: Duration = Duration::from_secs(4);
/// More of them are not sent while so many are not answered.
const UNANSWERED: usize = 2_000;
/// By how much longer a sidecar may take beside them than without them: every other turn is its own, and they share the
/// machine.
const TIMES_AS_LONG: u32 = 4;

/// By how much smaller everything is than it is meant to be.
fn scale() -> usize {
    std::env::var("FEED_SCALE").map_or(1, |factor| factor.parse().expect("FEED_SCALE is a number"))
}

#[derive(Clone, Copy)]
struct Strangers {
    addresses: usize,
    per_second: u32,
}

/// How the sidecar began.
struct Started {
    after: Duration,
    status: u16,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_starts_in_time_beside_12_strangers_who_ask_for_800_old_pages_a_second() {
    a_sidecar_starts_beside(Strangers {
        addresses: 12,
        per_second: 830,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_starts_in_time_beside_24_000_strangers_who_ask_for_an_old_page_each() {
    a_sidecar_starts_beside(Strangers {
        addresses: 24_000,
        per_second: 212,
    })
    .await;
}

async fn a_sidecar_starts_beside(strangers: Strangers) {
    raise_open_files();
    let bed = TestBed::start().await;
    let cursors = Arc::new(fill_and_collect(&bed).await);
    let logged_out = bed.log_in("lin").await.expect_login();
    bed.log_out(&logged_out, false).await;
    let token = logged_out.member("access_token");

    let alone = start_sidecar(&bed, &token).await;
    let stop = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let url = bed.service().url("/revocations");
    let strangers = Strangers {
        per_second: strangers.per_second / scale() as u32,
        ..strangers
    };
    let (
        Strangers {
            addresses,
            per_second,
        },
        revocations,
    ) = (strangers, REVOCATIONS / scale());
    let cpu_before = cpu_ticks(bed.service());
    let begun = Instant::now();
    let attack = ask(
        bed.http.0.clone(),
        strangers,
        url,
        Arc::clone(&cursors),
        Arc::clone(&answers),
        Arc::clone(&stop),
    );
    sleep(AHEAD).await;
    let beside = start_sidecar(&bed, &token).await;
    stop.store(true, Ordering::Relaxed);
    attack.await.expect("strangers stop");
    let cpu =
        (cpu_ticks(bed.service()) - cpu_before) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    tell(&format!(
        "{addresses} strangers, {per_second} requests a second for {} old cursors of {revocations} revocations: a \
         sidecar first answered {} after {:.1?} (without strangers: {} after {:.1?}); answers to strangers {:?}; the \
         issuer took {cpu:.2} cores, {} MiB at most",
        cursors.len(),
        beside.status,
        beside.after,
        alone.status,
        alone.after,
        answers.lock().expect("no panic"),
        bed.service().peak_memory() / 1024,
    ));
    assert_eq!(
        (alone.status, beside.status),
        (401, 401),
        "the token has been logged out"
    );
    assert!(
        beside.after < alone.after * TIMES_AS_LONG,
        "{:?}, and {:?} without strangers",
        beside.after,
        alone.after
    );
}

/// The processor time of a process, in hundredths of a second: `utime` and `stime` of `proc_pid_stat(5)`.
fn cpu_ticks(service: &Service) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", service.id())).expect("Linux");
    let after_name = stat.rsplit_once(") ").expect("a name in parentheses").1;
    after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}

/// Fills the stream with revocations of an hour ago. Follows it as a stranger does, and keeps every cursor.
async fn fill_and_collect(bed: &TestBed) -> Vec<String> {
    let script =
        "for i = 2, #ARGV do redis.call('XADD', KEYS[1], ARGV[1] .. '-' .. i, 'end', ARGV[i]) end";
    let (first, until) = (
        now().timestamp_millis() - AGO * 1_000,
        now().timestamp() + 6 * AGO,
    );
    let (mut cursors, mut cursor) = (Vec::new(), String::new());
    for step in 0..REVOCATIONS / BETWEEN_CURSORS / scale() {
        // These are ends of keys, because the service would look for the records of other ends, and make them.
        let texts = (0..BETWEEN_CURSORS).map(|number| format!("kid {until} {step:040}{number:03}"));
        let texts: Vec<_> = texts.collect();
        let id = (first + step as i64).to_string();
        let words = ["EVAL", script, "1", redis_keys::ENDS, &id]
            .into_iter()
            .chain(texts.iter().map(String::as_str));
        bed.redis.command::<()>(&words.collect::<Vec<_>>());
        let url = bed.service().url(&format!("/revocations?after={cursor}"));
        let page = bed
            .http
            .0
            .get(url)
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a page");
        let claims = decoded(&page).1;
        let next = claims["cursor"].as_str().expect("a cursor").to_owned();
        if next != cursor {
            cursors.push(next.clone());
        }
        cursor = next;
    }
    cursors
}

/// Strangers behind a trusted proxy, who ask for another old page each time, at a constant rate.
fn ask(
    http: reqwest::Client,
    strangers: Strangers,
    url: String,
    cursors: Arc<Vec<String>>,
    answers: Arc<Mutex<BTreeMap<String, usize>>>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut tick = interval(Duration::from_secs(1) / strangers.per_second);
        let mut in_flight = JoinSet::new();
        for number in 0.. {
            tick.tick().await;
            if stop.load(Ordering::Relaxed) {
                break;
            }
            while in_flight.try_join_next().is_some() {}
            if in_flight.len() >= UNANSWERED {
                *answers
                    .lock()
                    .expect("no panic")
                    .entry("not sent".into())
                    .or_default() += 1;
                continue;
            }
            let stranger = number % strangers.addresses;
            let address = format!(
                "20.{}.{}.{}",
                stranger / 65_536,
                stranger / 256 % 256,
                stranger % 256
            );
            // A stride that meets all of them.
            let cursor = &cursors[number * 7_919 % cursors.len()];
            let request = http
                .get(format!("{url}?after={cursor}"))
                .header("x-forwarded-for", address);
            let request = request.timeout(GIVEN_UP);
            let answers = Arc::clone(&answers);
            in_flight.spawn(async move {
                let outcome = match request.send().await {
                    Ok(answer) => {
                        let status = answer.status().as_u16();
                        answer
                            .bytes()
                            .await
                            .map_or_else(|_| "no body".to_owned(), |_| status.to_string())
                    }
                    Err(_) => "no answer".to_owned(),
                };
                *answers
                    .lock()
                    .expect("no panic")
                    .entry(outcome)
                    .or_default() += 1;
            });
        }
    })
}

/// Starts one that stays open, and waits until it judges the token.
async fn start_sidecar(bed: &TestBed, token: &str) -> Started {
    let begun = Instant::now();
    let sidecar = bed.sidecar().start().await;
    let judged = async || Some(sidecar.verify(token).await.status).filter(|status| *status != 503);
    let status = eventually("the sidecar judges tokens", WATCHED, judged).await;
    let after = begun.elapsed();
    Started { after, status }
}
