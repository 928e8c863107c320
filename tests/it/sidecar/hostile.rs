//! A hostile JWKS server: whatever it answers, the good keys of before go on, memory stays bounded, and when it is good
//! again its new keys are found within a minute.
//!
//! One sidecar with an issuer for each way to misbehave, so that they cannot take each other down, either.

use super::Signer;
use super::forge;
use crate::support::prelude::*;

/// A `max-age` of 1 s counts as 10 (`SOONEST`), so that keys are fetched again after 7 to 9 s; a failure takes up to 5
/// s, and the first two retries up to 1 and 2 s more.
const TWICE_FAILED: Duration = PATIENCE.saturating_mul(4);
const RECOVERY: Duration = PATIENCE.saturating_mul(6);
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
}

impl Villain {
    fn new((number, (name, manner)): (usize, (&'static str, Manner))) -> Self {
        let issuer = format!("https://issuer-{number}.example.com");
        let (old, new) = (Signer::of(&issuer), Signer::of(&issuer));
        Self {
            name,
            path: format!("/{number}"),
            old,
            new,
            manner,
            issuer,
        }
    }

    fn keys(&self, metrics: &str) -> f64 {
        sample(
            metrics,
            &format!("wxmint_jwks_keys{{issuer=\"{}\"}}", self.issuer),
        )
    }

    /// Whether it has done its worst, and been asked again.
    fn has_tried_twice(&self, metrics: &str) -> bool {
        assert_eq!(self.keys(metrics), 1.0, "{}", self.name);
        let failed = format!(
            "wxmint_jwks_fetches_total{{issuer=\"{}\",outcome=\"failed\"}}",
            self.issuer
        );
        sample(metrics, &failed) >= 2.0
    }
}

/// Each costs memory or time, or leads elsewhere. crates/verify holds which sets are believed, and
/// `tests/peers/key_source.rs` asks every verifier.
fn ways(canary: &str) -> Vec<(&'static str, Manner)> {
    let (ok, location) = (
        "200 OK",
        format!("Location: {canary}\r\nRefresh: 0;url={canary}\r\n"),
    );
    let head = |length: &str| {
        Step::Send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\n").into_bytes())
    };
    let (at_once, drip, promised) = (
        Duration::ZERO,
        Duration::from_millis(100),
        "Content-Length: 1000\r\n",
    );
    let (line, interim) = (
        b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(100),
        b"HTTP/1.1 100 Continue\r\n\r\n",
    );
    // The one who asked has never said to have it.
    let unasked = b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n";
    let bad = json!({"keys": forge::bad_keys(&Signer::new().key)}).to_string();
    let says = [
        (
            "bad keys alone",
            Manner::says(ok, "Cache-Control: max-age=1\r\n", &bad),
        ),
        (
            "503 with a long wait",
            Manner::says(
                "503 Service Unavailable",
                "Retry-After: 86400\r\n",
                "{\"keys\":[]}",
            ),
        ),
        ("308", Manner::says("308 Permanent Redirect", &location, "")),
        ("10 MiB", Manner::says(ok, "", " ".repeat(10 * 1024 * 1024))),
    ];
    let does = [
        (
            "an endless body",
            vec![head(""), Step::Repeat(vec![b' '; 16 * 1024], at_once)],
        ),
        (
            "an endless head",
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
                Step::Repeat(line, at_once),
            ],
        ),
        (
            "endless interim answers",
            vec![Step::Repeat(interim.to_vec(), drip)],
        ),
        (
            "a byte at a time",
            vec![head(""), Step::Repeat(b" ".to_vec(), drip)],
        ),
        ("a stall before the head", vec![Step::Stall]),
        (
            "a stall in the body",
            vec![head(promised), Step::Send(b"{".to_vec()), Step::Stall],
        ),
        (
            "a reset in the body",
            vec![head(promised), Step::Wait(drip), Step::Reset],
        ),
        (
            "200 with nothing, then 304",
            vec![Step::Send([answer(ok, "", b""), unasked.to_vec()].concat())],
        ),
    ];
    says.into_iter()
        .chain(does.map(|(name, steps)| (name, Manner::does(steps))))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn whatever_a_jwks_server_does_good_keys_go_on_memory_is_bounded_and_new_keys_are_found_within_a_minute()
 {
    let (server, canary) = (Answering::start(), Answering::of(&Signer::new().set(), 1));
    let villains: Vec<_> = ways(&canary.url("/jwks"))
        .into_iter()
        .enumerate()
        .map(Villain::new)
        .collect();
    let serve = |keys: fn(&Villain) -> Value| {
        for villain in &villains {
            server.at(&villain.path, Manner::serves(&keys(villain), 1));
        }
    };
    serve(|villain| villain.old.set());
    let list =
        |of: &dyn Fn(&Villain) -> String| villains.iter().map(of).collect::<Vec<_>>().join(",");
    let settings = SidecarSettings::new(&list(&|villain| server.url(&villain.path)));
    let sidecar = settings
        .with("WXMINT_ISSUER", &list(&|villain| villain.issuer.clone()))
        .ready()
        .await;
    let all_good = async || {
        for villain in &villains {
            let answer = sidecar.verify(&villain.old.token()).await;
            assert_eq!(answer.status, 200, "{}: {answer:?}", villain.name);
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
        villains
            .iter()
            .all(|villain| villain.has_tried_twice(&metrics))
    })
    .await;
    let grown = sidecar.peak_memory().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} KiB");

    serve(|villain| json!({"keys": [villain.old.key.jwk, villain.new.key.jwk]}));
    // By the metrics: a token by the new key would have them fetched.
    until("all new keys", RECOVERY, async || {
        all_good().await;
        let metrics = sidecar.metrics().await;
        villains.iter().all(|villain| villain.keys(&metrics) == 2.0)
    })
    .await;
    for villain in &villains {
        assert_eq!(
            sidecar.verify(&villain.new.token()).await.status,
            200,
            "{}",
            villain.name
        );
    }
    assert!(canary.calls().is_empty(), "{:?}", canary.calls());
    for fetch in server.calls() {
        assert!(fetch.sent() < MOST_SENT, "{fetch:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_has_not_changed_is_not_sent_again_and_no_token_is_forgotten_for_it() {
    let signer = Signer::new();
    let server = Answering::of(&signer.set(), 1);
    let sidecar = SidecarSettings::new(&server.url("/jwks")).ready().await;
    let token = signer.token();
    assert_eq!(sidecar.verify(&token).await.status, 200);
    let unchanged =
        format!("wxmint_jwks_fetches_total{{issuer=\"{ISSUER}\",outcome=\"unchanged\"}}");
    until("304", 2 * PATIENCE, async || {
        sidecar.metric(&unchanged).await >= 1.0
    })
    .await;
    let fetches = server.calls_of("/jwks");
    assert!(
        !fetches[0].headers.contains_key("if-none-match")
            && fetches[1].headers.contains_key("if-none-match"),
        "{fetches:?}"
    );
    assert_eq!(sidecar.verify(&token).await.status, 200);
    for outcome in ["verified", "remembered"] {
        let counted = format!("wxmint_sidecar_verifications_total{{outcome=\"{outcome}\"}}");
        assert_eq!(sidecar.metric(&counted).await, 1.0);
    }
}
