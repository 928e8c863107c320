//! Keys that change under load, before real verifiers: Envoy, jose and PyJWT verify every token.
//!
//! The scale: a second stands for seven and a half minutes. A lead of 30 minutes is 4 s, and a verifier that looks every
//! 7.5 minutes looks every second; only our own reload is not scaled, and takes up to 2 s of the lead here.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::interval,
};

use crate::{
    peers::{Peer, Verifying},
    support::{Connection, PATIENCE, TestBed, eventually, keys, kid_of, kids_of, tell},
};

const SECOND: Duration = Duration::from_secs(1);
/// Connections that log in, half of them to each replica, and how often each does: 200 logins a second.
const LANES: usize = 8;
const LANE_PERIOD: Duration = Duration::from_millis(40);
/// Every so many tokens an older one is verified once more, of up to half a minute before.
const AGAIN_EVERY: usize = 3;
const OLDEST: usize = 6_000;
/// docs/keys.md: "reads the file again within 5 s of a change".
const RELOAD: Duration = Duration::from_secs(5);

/// One run: how keys rotate, and how often verifiers look.
struct Scale {
    every: &'static str,
    lead: &'static str,
    looks: Duration,
    rotations: usize,
    within: Duration,
    /// Of the n-th new key.
    algorithm: fn(usize) -> &'static str,
    /// The sidecar verifies, in place of what others wrote.
    by_sidecar: bool,
}

#[derive(Clone)]
struct Logins {
    /// The kids that have signed, in the order in which they began.
    kids: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    tokens: Arc<AtomicUsize>,
    /// Logins that failed for want of a store in time, as on a machine that is too busy: no concern of this test's.
    unanswered: Arc<AtomicUsize>,
    verifiers: Vec<mpsc::UnboundedSender<Arc<str>>>,
}

struct Verdicts {
    name: &'static str,
    verified: usize,
    refusals: Vec<String>,
}

struct Run {
    rotations: usize,
    tokens: usize,
    unanswered: usize,
    verdicts: Vec<Verdicts>,
    summary: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_verifier_refuses_a_token_while_keys_and_algorithms_change() {
    let algorithm = |number: usize| if (4..=6).contains(&number) { "EdDSA" } else { "ES256" };
    let scale = Scale {
        every: "5s",
        lead: "4s",
        looks: SECOND,
        rotations: 10,
        within: Duration::from_secs(90),
        algorithm,
        by_sidecar: false,
    };
    refuses_no_token(&scale).await;
}

/// A sidecar looks again after 7 s at the soonest, and an issuer takes up to 2 s to see its file: the lead is 14 s.
#[tokio::test(flavor = "multi_thread")]
async fn no_sidecar_refuses_a_token_while_keys_change() {
    let (looks, within) = (7 * SECOND, Duration::from_secs(70));
    let algorithm = |_| "ES256";
    refuses_no_token(&Scale { every: "16s", lead: "14s", looks, rotations: 2, within, algorithm, by_sidecar: true })
        .await;
}

async fn refuses_no_token(scale: &Scale) {
    let run = drive(scale).await;
    tell(&run.summary);
    assert!(run.rotations >= scale.rotations && run.unanswered * 20 <= run.tokens, "{}", run.summary);
    for verdicts in &run.verdicts {
        assert!(verdicts.refusals.is_empty(), "{}\n{:#?}", run.summary, verdicts.refusals);
        assert!(verdicts.verified > 0, "{}", run.summary);
    }
}

/// So that the test above is known to notice: the same, with a lead shorter than the time for which verifiers do not
/// look.
#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_is_too_short_is_noticed_by_every_verifier() {
    let (looks, within) = (4 * SECOND, Duration::from_secs(30));
    let scale =
        Scale { every: "2s", lead: "1s", looks, rotations: 3, within, algorithm: |_| "ES256", by_sidecar: false };
    let run = drive(&scale).await;
    tell(&run.summary);
    for Verdicts { name, refusals, .. } in &run.verdicts {
        assert!(!refusals.is_empty(), "{name} has noticed nothing: {}", run.summary);
    }
}

/// Rotates under load until enough new keys have signed, and verifies every token with everybody.
async fn drive(scale: &Scale) -> Run {
    let bed = TestBed::builder().services(2).env("WXMINT_TOKEN_TTL", "1m").env("WXMINT_KEYS_LEAD", scale.lead);
    let bed = bed.start().await;
    let replicas: Vec<_> = bed.services.iter().map(|service| service.public).collect();
    let peers = match scale.by_sidecar {
        true => vec![Peer::sidecar(replicas[0], scale.looks).await],
        false => vec![
            Peer::envoy(&replicas, scale.looks).await,
            Peer::jose(replicas[0], scale.looks, scale.looks).await,
            Peer::pyjwt(replicas[1], scale.looks, scale.looks).await,
        ],
    };
    let began = Instant::now();
    let mut verifying = JoinSet::new();
    let mut verifiers = Vec::new();
    for peer in &peers {
        let (sender, tokens) = mpsc::unbounded_channel();
        verifiers.push(sender);
        verifying.spawn(verify_all(peer.name, peer.connect().await, tokens));
    }
    let (tokens, unanswered) = (Arc::default(), Arc::default());
    let logins = Logins { kids: Arc::default(), stopped: Arc::default(), tokens, unanswered, verifiers };
    let mut working = JoinSet::new();
    working.spawn(rotate(bed.configuration.value("WXMINT_KEYS").into(), scale, Arc::clone(&logins.stopped)));
    for lane in 0..LANES {
        let codes = bed.wechat.mint_codes(json!({"person": format!("lane-{lane}"), "count": codes(scale)})).await;
        working.spawn(log_in(replicas[lane % replicas.len()], codes, logins.clone()));
    }
    let kids = Arc::clone(&logins.kids);
    eventually("enough rotations", scale.within, async || {
        (kids.lock().expect("no panic").len() > scale.rotations).then_some(())
    })
    .await;
    logins.stopped.store(true, Ordering::Relaxed);
    working.join_all().await;
    let took = began.elapsed();
    let [tokens, unanswered] = [&logins.tokens, &logins.unanswered].map(|count| count.load(Ordering::Relaxed));
    // The verifiers end when nobody is left to send them a token.
    drop(logins);
    let mut verdicts = verifying.join_all().await;
    verdicts.sort_by_key(|verdicts| verdicts.name);
    let rotations = kids.lock().expect("no panic").len() - 1;
    let counts = format!("{rotations} rotations in {took:.0?}; {tokens} tokens, {unanswered} logins without an answer");
    let summary = summary(scale, &bed, &counts, &verdicts).await;
    Run { rotations, tokens, unanswered, verdicts, summary }
}

/// Enough for a lane, however long it takes.
fn codes(scale: &Scale) -> usize {
    (scale.within.as_millis() / LANE_PERIOD.as_millis()) as usize + 1
}

/// `wxmint keys rotate`, every second.
fn rotate(file: PathBuf, scale: &Scale, stopped: Arc<AtomicBool>) -> impl Future<Output = ()> + use<> {
    let (every, lead, algorithm) = (scale.every, scale.lead, scale.algorithm);
    async move {
        let mut second = interval(SECOND);
        let mut published = 0;
        while !stopped.load(Ordering::Relaxed) {
            second.tick().await;
            let (file, next) = (file.clone(), algorithm(published + 1));
            let rotated =
                move || keys(&file, &["rotate", "--every", every, "--lead", lead, "--token-ttl", "60s", "--alg", next]);
            let said = tokio::task::spawn_blocking(rotated).await.expect("a rotation that succeeds");
            published += said.matches("published a new").count();
        }
    }
}

/// Logs in at one replica, at a constant rate, and hands each token to every verifier.
async fn log_in(replica: SocketAddr, codes: Vec<String>, logins: Logins) {
    let mut connection = Connection::to(replica).await;
    let mut tick = interval(LANE_PERIOD);
    for code in codes {
        tick.tick().await;
        if logins.stopped.load(Ordering::Relaxed) {
            return;
        }
        let login = json!({"code": code}).to_string();
        let (status, body) = connection.send("POST /login", "Content-Type: application/json\r\n", &login).await;
        if status == 503 {
            logins.unanswered.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        assert_eq!(status, 200, "{body}");
        logins.tokens.fetch_add(1, Ordering::Relaxed);
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let token: Arc<str> = answer["access_token"].as_str().expect("a token").into();
        let kid = kid_of(&token);
        let mut kids = logins.kids.lock().expect("no panic");
        if !kids.contains(&kid) {
            kids.push(kid);
        }
        drop(kids);
        logins.verifiers.iter().for_each(|verifier| verifier.send(Arc::clone(&token)).expect("a verifier that lives"));
    }
    panic!("a lane has run out of codes");
}

/// Verifies each token as it comes, and older ones in between.
async fn verify_all(
    name: &'static str,
    mut peer: Verifying,
    mut tokens: mpsc::UnboundedReceiver<Arc<str>>,
) -> Verdicts {
    let mut verdicts = Verdicts { name, verified: 0, refusals: Vec::new() };
    let mut seen: Vec<Arc<str>> = Vec::new();
    while let Some(token) = tokens.recv().await {
        seen.push(token);
        verdicts.ask(&mut peer, seen.last().expect("just pushed")).await;
        if seen.len().is_multiple_of(AGAIN_EVERY) {
            // Any of them: a prime scatters the choice evenly.
            let back = (verdicts.verified * 7_919) % seen.len().min(OLDEST);
            verdicts.ask(&mut peer, &seen[seen.len() - 1 - back]).await;
        }
    }
    verdicts
}

impl Verdicts {
    async fn ask(&mut self, peer: &mut Verifying, token: &str) {
        self.verified += 1;
        if let Some(reason) = peer.refusal(token).await {
            self.refusals.push(format!("{}: {reason}", kid_of(token)));
        }
    }
}

async fn summary(scale: &Scale, bed: &TestBed, counts: &str, verdicts: &[Verdicts]) -> String {
    let Scale { every, lead, looks, .. } = scale;
    let mut text = format!("rotation every {every}, lead {lead}, verifiers look every {looks:?}: {counts}");
    for Verdicts { name, verified, refusals } in verdicts {
        write!(text, "; {name} verified {verified}, refused {}", refusals.len()).expect("a String");
    }
    for (number, service) in bed.services.iter().enumerate() {
        let metrics = service.metrics().await;
        let reloads = metrics.lines().filter(|line| line.starts_with("wxmint_key_reload"));
        write!(text, "\n  replica {number}: {}", reloads.collect::<Vec<_>>().join(", ")).expect("a String");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_emergency_with_no_key_in_reserve_old_tokens_are_refused_and_new_ones_known_at_the_next_look() {
    retire_the_signing_key(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_emergency_with_a_key_in_reserve_new_tokens_are_known_at_once() {
    retire_the_signing_key(Some("EdDSA")).await;
}

/// With caches scaled by 150: ten minutes (Envoy, jose) are 4 s, five (PyJWT) are 2 s, and 30 s are 0.2 s.
async fn peers(replica: SocketAddr) -> [Peer; 3] {
    let cooldown = Duration::from_millis(200);
    [
        Peer::envoy(&[replica], 4 * SECOND).await,
        Peer::jose(replica, 4 * SECOND, cooldown).await,
        Peer::pyjwt(replica, 2 * SECOND, cooldown).await,
    ]
}

/// Retires it and measures until our JWKS and each peer have followed. One peer of each kind sees old tokens alone, and
/// one new tokens too, as where people go on logging in.
async fn retire_the_signing_key(reserve: Option<&str>) {
    let bed = TestBed::builder().env("WXMINT_TOKEN_TTL", "1m").start().await;
    let file = PathBuf::from(bed.configuration.value("WXMINT_KEYS"));
    let old = bed.log_in("lin").await.expect_login().member("access_token");
    if let Some(algorithm) = reserve {
        keys(&file, &["rotate", "--alg", algorithm]);
        eventually("the reserve is published", RELOAD, async || (published(&bed).await.len() == 2).then_some(())).await;
    }
    let (quiet, busy) = (peers(bed.service().public).await, peers(bed.service().public).await);
    for peer in quiet.iter().chain(&busy) {
        assert_eq!(peer.connect().await.refusal(&old).await, None, "{}", peer.name);
    }

    let retired = Instant::now();
    keys(&file, &["retire", &kid_of(&old), "--now", "--yes"]);
    let (announce, new) = watch::channel(None);
    let see_old_ones = join_all(quiet.iter().map(|peer| watch_peer(peer, &old, None, retired)));
    let see_both = join_all(busy.iter().map(|peer| watch_peer(peer, &old, Some(new.clone()), retired)));
    let logs_in = async {
        let left = eventually("the key leaves the JWKS", RELOAD, async || {
            (!published(&bed).await.contains(&kid_of(&old))).then(|| retired.elapsed())
        })
        .await;
        let token = bed.log_in("lin").await.expect_login().member("access_token");
        assert_ne!(kid_of(&token), kid_of(&old));
        announce.send_replace(Some(token));
        left
    };
    let (left, see_old_ones, see_both) = tokio::join!(logs_in, see_old_ones, see_both);

    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let mut table = format!("retired with {}; our JWKS lacks the key after {}", in_reserve(reserve), seconds(left));
    for ((peer, alone), both) in quiet.iter().zip(see_old_ones).zip(see_both) {
        let accepted = both.new_accepted.expect("asked for");
        let times = [alone.old_refused, both.old_refused, accepted];
        let [alone, old, new] = times.map(seconds);
        let said =
            format!("old token refused after {alone}, {old} where new ones come too; new one accepted after {new}");
        table += &format!("\n  {} ({}): {said}", peer.name, peer.settings);
        // The next look, and what a busy machine adds.
        let bound = left + peer.age + SECOND;
        assert!(times.iter().all(|time| *time <= bound), "{table}");
        assert!(reserve.is_none() || both.refused_new == 0, "{} knew the key in reserve: {table}", peer.name);
    }
    tell(&table);
}

fn in_reserve(reserve: Option<&str>) -> String {
    reserve.map_or("no key in reserve".into(), |algorithm| format!("a key in reserve ({algorithm})"))
}

async fn published(bed: &TestBed) -> Vec<String> {
    kids_of(&bed.service().get("/.well-known/jwks.json").await.json())
}

/// When a peer did what, since the command was given.
struct Measured {
    old_refused: Duration,
    new_accepted: Option<Duration>,
    refused_new: usize,
}

/// Asks until the old token is refused and the new one, where it is shown one, accepted.
async fn watch_peer(peer: &Peer, old: &str, new: Option<watch::Receiver<Option<String>>>, since: Instant) -> Measured {
    let mut peer = peer.connect().await;
    let (mut old_refused, mut new_accepted, mut refused_new) = (None, None, 0);
    let mut poll = interval(Duration::from_millis(50));
    let deadline = Instant::now() + 2 * PATIENCE;
    while old_refused.is_none() || (new.is_some() && new_accepted.is_none()) {
        poll.tick().await;
        assert!(Instant::now() < deadline, "old token refused: {old_refused:?}, new one accepted: {new_accepted:?}");
        if old_refused.is_none() && peer.refusal(old).await.is_some() {
            old_refused = Some(since.elapsed());
        }
        let token = new.as_ref().and_then(|new| new.borrow().clone());
        if let Some(token) = token.filter(|_| new_accepted.is_none()) {
            match peer.refusal(&token).await {
                None => new_accepted = Some(since.elapsed()),
                Some(_) => refused_new += 1,
            }
        }
    }
    Measured { old_refused: old_refused.expect("the loop's end"), new_accepted, refused_new }
}
