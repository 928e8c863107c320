//! A hostile JWKS server: whatever it answers, the good keys of before go on, memory stays bounded, and when it is good
//! again its new keys are found within a minute.
//!
//! One sidecar with an issuer for each way to misbehave, so that they cannot take each other down, either.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::forge::{self, merged};
use super::{Signer, tell};
use crate::support::{ISSUER, JwksServer, Manner, Metrics, SidecarSettings, Step, answer, eventually, until};

/// A `max-age` of 1 s counts as 10 (`SOONEST`), so that keys are fetched again after 7 to 9 s; a failure takes up to 5
/// s, and the first two retries up to 1 and 2 s more.
const TWICE_FAILED: Duration = Duration::from_secs(40);
const RECOVERY: Duration = Duration::from_secs(60);
/// The growth of resident memory, in KiB: for thirty connections, their buffers and 64 KiB of an answer.
const GROWTH: u64 = 24 * 1024;
/// Two fetches of an endless answer can be sent this before they are given up: the sockets' buffers.
const MOST_SENT: usize = 16 * 1024 * 1024;

/// An issuer with a way of its own.
struct Villain {
    name: &'static str,
    issuer: String,
    path: String,
    /// It serves this at first, and again in the end.
    old: Signer,
    new: Signer,
    manner: Manner,
    /// Whether what it answers counts as a failure.
    fails: bool,
}

impl Villain {
    fn new(number: usize, (name, fails, manner): Way) -> Self {
        let issuer = format!("https://issuer-{number}.example.com");
        let (old, new) = (Signer::of(&issuer), Signer::of(&issuer));
        let manner = manner(&old);
        Self { name, path: format!("/{number}"), old, new, manner, fails, issuer }
    }

    fn both_keys(&self) -> Value {
        json!({"keys": [self.old.key.jwk, self.new.key.jwk]})
    }

    fn keys(&self, metrics: &Metrics) -> f64 {
        metrics.of(&format!("wxmint_jwks_keys{{issuer=\"{}\"}}", self.issuer))
    }

    fn fetches(&self, metrics: &Metrics, outcome: &str) -> f64 {
        metrics.of(&format!("wxmint_jwks_fetches_total{{issuer=\"{}\",outcome=\"{outcome}\"}}", self.issuer))
    }

    /// Whether it has done its worst, and been asked again.
    fn has_tried_twice(&self, metrics: &Metrics) -> bool {
        let [failed, changed] = ["failed", "changed"].map(|outcome| self.fetches(metrics, outcome));
        assert_eq!(self.keys(metrics), 1.0, "{}", self.name);
        assert!(self.fails || failed == 0.0, "{} has failed", self.name);
        if self.fails { failed >= 2.0 } else { changed >= 3.0 }
    }
}

/// Its name, whether it fails, and what it does where this key was served before.
type Way = (&'static str, bool, Box<dyn Fn(&Signer) -> Manner>);

fn ways(canary: &str) -> Vec<Way> {
    let says = |name, status: &'static str, headers: &str, body: &str| -> Way {
        let (headers, body) = (headers.to_owned(), body.to_owned());
        (name, true, Box::new(move |_: &Signer| Manner::says(status, &headers, &body)))
    };
    let does =
        |name, steps: Vec<Step>| -> Way { (name, true, Box::new(move |_: &Signer| Manner::Does(steps.clone()))) };
    let sets = |name, fails, set: fn(&Signer) -> Vec<u8>| -> Way {
        (
            name,
            fails,
            Box::new(move |signer: &Signer| Manner::says("200 OK", "Cache-Control: max-age=1\r\n", set(signer))),
        )
    };
    let head = |length: &str| format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\n").into_bytes();
    let at_once = Duration::ZERO;
    let drip = Duration::from_millis(100);
    let mut ways = vec![
        says("HTML", "200 OK", "Content-Type: text/html\r\n", "<!doctype html><title>Log in</title>"),
        says("an empty body", "200 OK", "", ""),
        says("no keys", "200 OK", "", "{\"keys\":[]}"),
        says("half a set", "200 OK", "", "{\"keys\":[{\"kty\":\"EC\","),
        says("a set that is too deep", "200 OK", "", &format!("{{\"keys\":[{{\"x\":{}", "[".repeat(30_000))),
        says("500", "500 Internal Server Error", "", "{\"keys\":[]}"),
        says("503 with a long wait", "503 Service Unavailable", "Retry-After: 86400\r\n", ""),
        says("404", "404 Not Found", "", ""),
        says("302", "302 Found", &format!("Location: {canary}\r\n"), ""),
        says("308", "308 Permanent Redirect", &format!("Location: {canary}\r\nRefresh: 0;url={canary}\r\n"), ""),
        says("10 MiB", "200 OK", "", &" ".repeat(10 * 1024 * 1024)),
        says("compressed", "200 OK", "Content-Encoding: gzip\r\n", "\u{1f}\u{8b}"),
        does(
            "less than it promises",
            vec![Step::Send(head("Content-Length: 1000\r\n")), Step::Send(b"{\"keys\":[".to_vec())],
        ),
        does("an endless body", vec![Step::Send(head("")), Step::Repeat(vec![b' '; 16 * 1024], at_once)]),
        does(
            "an endless head",
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
                Step::Repeat(b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(100), at_once),
            ],
        ),
        does("endless interim answers", vec![Step::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), drip)]),
        does("a byte at a time", vec![Step::Send(head("")), Step::Repeat(b" ".to_vec(), drip)]),
        does("a stall before the head", vec![Step::Stall]),
        does(
            "a stall in the body",
            vec![Step::Send(head("Content-Length: 1000\r\n")), Step::Send(b"{".to_vec()), Step::Stall],
        ),
        does("a reset", vec![Step::Reset]),
        does("a reset in the body", vec![Step::Send(head("Content-Length: 1000\r\n")), Step::Wait(drip), Step::Reset]),
        does("a hang-up", vec![]),
        does("garbage", vec![Step::Send(vec![0xff; 4096])]),
        sets("bad keys alone", true, |good| json!({"keys": bad_keys(good)}).to_string().into()),
        sets("its private key", true, |good| {
            let mut jwk = good.key.jwk.clone();
            jwk["d"] = "c2VjcmV0".into();
            json!({"keys": [jwk]}).to_string().into()
        }),
        sets("two sets at once", true, torn),
        // No failure: the good ones among them are what it should serve.
        sets("bad keys among good ones", false, |good| {
            let mut keys = bad_keys(good);
            keys.insert(2, good.key.jwk.clone());
            json!({"keys": keys}).to_string().into()
        }),
    ];
    // The one who asked has never said to have it.
    let unasked = b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_vec();
    ways.push(does("200 with nothing, then 304", vec![Step::Send([answer("200 OK", "", b""), unasked].concat())]));
    ways
}

/// None of them is the good key: nor is another's key by its name.
fn bad_keys(good: &Signer) -> Vec<Value> {
    let other = Signer::new().key;
    let named = merged(&other.jwk, json!({"kid": good.key.kid}));
    [forge::bad_keys(&other), vec![named]].concat()
}

/// The first half of one set and the second of another, as by a server whose file is replaced while it is read.
fn torn(good: &Signer) -> Vec<u8> {
    let [one, other] = [good.set(), Signer::new().set()].map(|set| set.to_string().into_bytes());
    let y = one.windows(5).position(|window| window == b"\"y\":\"").expect("a y");
    [&one[..y], &other[y..]].concat()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn whatever_a_jwks_server_does_good_keys_go_on_memory_is_bounded_and_new_keys_are_found_within_a_minute() {
    let (server, canary) = (JwksServer::start().await, JwksServer::of(&Signer::new().set(), 1).await);
    let ways = ways(&canary.url("/jwks"));
    let villains: Vec<_> = ways.into_iter().enumerate().map(|(number, way)| Villain::new(number, way)).collect();
    for villain in &villains {
        server.at(&villain.path, Manner::serves(&villain.old.set(), 1));
    }
    let list = |of: fn(&Villain) -> String| villains.iter().map(of).collect::<Vec<_>>().join(",");
    let urls: Vec<_> = villains.iter().map(|villain| server.url(&villain.path)).collect();
    let settings = SidecarSettings::new(&urls.join(",")).with("WXMINT_ISSUER", &list(|villain| villain.issuer.clone()));
    let sidecar = settings.ready().await;
    let remembered: Vec<_> = villains.iter().map(|villain| villain.old.token()).collect();
    let all_good = async || {
        for (villain, remembered) in villains.iter().zip(&remembered) {
            for token in [&villain.old.token(), remembered] {
                let answer = sidecar.verify(token).await;
                assert_eq!(answer.status, 200, "{}: {answer:?}", villain.name);
            }
        }
    };
    all_good().await;
    let before = sidecar.memory();

    for villain in &villains {
        server.at(&villain.path, villain.manner.clone());
    }
    until("each has tried twice", TWICE_FAILED, async || {
        all_good().await;
        let metrics = sidecar.metrics().await;
        villains.iter().all(|villain| villain.has_tried_twice(&metrics))
    })
    .await;
    all_good().await;
    let grown = sidecar.peak_memory().saturating_sub(before);

    let restored = Instant::now();
    for villain in &villains {
        server.at(&villain.path, Manner::serves(&villain.both_keys(), 1));
    }
    // By the metrics: a token by the new key would have them fetched.
    let slowest = eventually("all new keys", RECOVERY, async || {
        all_good().await;
        let metrics = sidecar.metrics().await;
        villains.iter().all(|villain| villain.keys(&metrics) == 2.0).then(|| restored.elapsed())
    })
    .await;
    for villain in &villains {
        assert_eq!(sidecar.verify(&villain.new.token()).await.status, 200, "{}", villain.name);
    }
    all_good().await;
    tell(&format!(
        "{} hostile JWKS servers: {grown} KiB more at the most; all new keys {:.1} s after they were good again",
        villains.len(),
        slowest.as_secs_f64(),
    ));
    assert!(grown < GROWTH, "{grown} KiB");
    assert!(canary.all_fetches().is_empty(), "{:?}", canary.all_fetches());
    for fetch in server.all_fetches() {
        assert!(fetch.sent < MOST_SENT, "{fetch:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_has_not_changed_is_not_sent_again_and_no_token_is_forgotten_for_it() {
    let signer = Signer::new();
    let server = JwksServer::of(&signer.set(), 1).await;
    let sidecar = SidecarSettings::new(&server.url("/jwks")).ready().await;
    let token = signer.token();
    assert_eq!(sidecar.verify(&token).await.status, 200);
    let unchanged = format!("wxmint_jwks_fetches_total{{issuer=\"{ISSUER}\",outcome=\"unchanged\"}}");
    until("304", Duration::from_secs(20), async || sidecar.metric(&unchanged).await >= 1.0).await;
    let fetches = server.fetches("/jwks");
    assert!(fetches[0].has.is_none() && fetches[1].has.is_some(), "{fetches:?}");
    let gap = fetches[1].at - fetches[0].at;
    assert!((7.0..10.0).contains(&gap.as_secs_f64()), "ahead of its max-age, and not at once: {gap:?}");
    assert_eq!(sidecar.verify(&token).await.status, 200);
    let outcome = |outcome| format!("wxmint_sidecar_verifications_total{{outcome=\"{outcome}\"}}");
    assert_eq!(sidecar.metric(&outcome("verified")).await, 1.0);
    assert_eq!(sidecar.metric(&outcome("remembered")).await, 1.0);
    assert!(sidecar.metric(&format!("wxmint_jwks_age_seconds{{issuer=\"{ISSUER}\"}}")).await < 7.0);
}
