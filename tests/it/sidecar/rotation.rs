//! Keys that change, behind a sidecar.
//!
//! The scale: a sidecar looks again after 7 s at the soonest (`SOONEST`), and an issuer takes up to 2 s to see its file.
//! So a key is published 14 s before it signs, in place of half an hour.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{task::JoinSet, time::interval};

use super::{settings_of, tell};
use crate::support::{Connection, TestBed, eventually, keys, kid_of};

const LEAD: &str = "14s";
const EVERY: &str = "16s";
const SECOND: Duration = Duration::from_secs(1);
const ROTATIONS: usize = 2;
const WITHIN: Duration = Duration::from_secs(70);
const LOGINS_PERIOD: Duration = Duration::from_millis(50);

async fn bed() -> TestBed {
    TestBed::builder().env("WXMINT_TOKEN_TTL", "2m").env("WXMINT_KEYS_LEAD", LEAD).start().await
}

/// What one lane has seen.
#[derive(Default)]
struct Seen {
    kids: Vec<String>,
    asked: usize,
    refusals: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_refused_while_keys_rotate() {
    let bed = bed().await;
    let sidecar = settings_of(&bed).ready().await;
    let stopped = Arc::<AtomicBool>::default();
    let mut lanes = JoinSet::new();
    lanes.spawn(rotate(bed.configuration.value("WXMINT_KEYS").into(), Arc::clone(&stopped)));
    let codes = WITHIN.as_millis() / LOGINS_PERIOD.as_millis();
    let codes = bed.wechat.mint_codes(json!({"person": "lin", "count": codes + 1})).await;
    let (issuer, verifier) = (Connection::to(bed.service().public).await, Connection::to(sidecar.address).await);
    let seen = log_in_and_verify(codes, issuer, verifier).await;
    stopped.store(true, Ordering::Relaxed);
    lanes.join_all().await;
    let rotations = seen.kids.len() - 1;
    tell(&format!("sidecar: {rotations} rotations, {} verified, refused {:?}", seen.asked, seen.refusals));
    assert!(rotations >= ROTATIONS, "{:?}", seen.kids);
    assert!(seen.refusals.is_empty(), "{:#?}", seen.refusals);
}

/// `wxmint keys rotate`, every second.
async fn rotate(file: PathBuf, stopped: Arc<AtomicBool>) {
    let mut second = interval(SECOND);
    while !stopped.load(Ordering::Relaxed) {
        second.tick().await;
        let file = file.clone();
        let rotated = move || keys(&file, &["rotate", "--every", EVERY, "--lead", LEAD, "--token-ttl", "2m"]);
        tokio::task::spawn_blocking(rotated).await.expect("a rotation that succeeds");
    }
}

/// Every token as it comes, and an older one, until enough new keys have signed.
async fn log_in_and_verify(codes: Vec<String>, mut issuer: Connection, mut verifier: Connection) -> Seen {
    let (mut seen, mut tokens) = (Seen::default(), Vec::new());
    let mut tick = interval(LOGINS_PERIOD);
    for code in codes {
        tick.tick().await;
        let login = json!({"code": code}).to_string();
        let (status, body) = issuer.send("POST /login", "Content-Type: application/json\r\n", &login).await;
        if status == 503 {
            // A machine too busy for a login is no fault of the sidecar's.
            continue;
        }
        assert_eq!(status, 200, "{body}");
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let token = body["access_token"].as_str().expect("a token").to_owned();
        let kid = kid_of(&token);
        if !seen.kids.contains(&kid) {
            seen.kids.push(kid);
        }
        tokens.push(token);
        // Any of the older ones: a prime scatters the choice evenly.
        for place in [tokens.len() - 1, seen.asked * 7_919 % tokens.len()] {
            let token = &tokens[place];
            seen.asked += 1;
            let (status, body) = verifier.send("GET /verify", &format!("Authorization: Bearer {token}\r\n"), "").await;
            if status != 200 {
                seen.refusals.push(format!("{}: {status} {body}", kid_of(token)));
            }
        }
        if seen.kids.len() > ROTATIONS {
            break;
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_token_is_refused_once_its_key_was_retired_and_the_set_has_been_fetched_again() {
    let bed = bed().await;
    let sidecar = settings_of(&bed).ready().await;
    let old = bed.log_in("lin").await.expect_login().member("access_token");
    for _ in 0..2 {
        assert_eq!(sidecar.verify(&old).await.status, 200);
    }
    let file = PathBuf::from(bed.configuration.value("WXMINT_KEYS"));
    keys(&file, &["retire", &kid_of(&old), "--now", "--yes"]);
    let retired = Instant::now();
    // The issuer sees its file within 5 s, the sidecar the set within 9 more.
    let took = eventually("the old token is refused", Duration::from_secs(25), async || {
        let answer = sidecar.verify(&old).await;
        assert!([200, 401].contains(&answer.status), "{answer:?}");
        (answer.status == 401).then(|| retired.elapsed())
    })
    .await;
    tell(&format!("a retired key's remembered token is refused after {:.1} s", took.as_secs_f64()));
    let new = bed.log_in("lin").await.expect_login().member("access_token");
    assert_ne!(kid_of(&new), kid_of(&old));
    assert_eq!(sidecar.verify(&new).await.status, 200, "and the new key is known");
    assert_eq!(sidecar.verify(&old).await.status, 401);
}
