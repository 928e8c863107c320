//! Ten thousand tokens with keys that nobody knows, while others go about their business.

#[expect(
    dead_code,
    reason = "the forge of the tests of examples; here its keys are needed"
)]
#[path = "../peers/forge.rs"]
mod forge;
#[expect(dead_code, reason = "of tests/it")]
#[path = "../it/sidecar/signer.rs"]
mod signer;

use std::time::Instant;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, timeout};

use self::signer::Signer;
use crate::support::prelude::*;

const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;
/// How long keys may be held, in seconds.
const LONG: u64 = 600;
const STRANGERS: usize = 10_000;
/// Their connections, more than may wait for a fetch at once, and how often one comes on each: 1,000 a second. More
/// would measure how the machine shares its time among requests, whatever they want.
const LANES: usize = 100;
const STRANGERS_PERIOD: Duration = Duration::from_millis(100);
/// They come for 10 s. If each was kept for keys that are fetched for it, it would be minutes.
const FLOOD: Duration = Duration::from_secs(30);
/// One fetch in this time, however many ask.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long the server of keys takes: longer than anybody should wait for it (2 s), and shorter than a fetch may (4 s).
const SLOW: Duration = Duration::from_secs(3);
/// A request is kept for 2 s for keys that are fetched for it.
const LONGEST: Duration = BUSY.saturating_add(Duration::from_secs(2));
/// More of them at once than may wait, 64; the others are refused without waiting.
const AT_ONCE: usize = 200;
const PERIOD: Duration = Duration::from_millis(5);

/// Good tokens at a constant rate, every other one for the first time. Ends when told; returns how long each took.
fn good_tokens(sidecar: &Sidecar, signer: Signer, count: usize) -> JoinHandle<Vec<Duration>> {
    let address = sidecar.public;
    tokio::spawn(async move {
        let mut connection = Connection::to(address).await;
        let known = signer.token();
        let (mut tick, mut times) = (interval(PERIOD), Vec::with_capacity(count));
        for number in 0..count {
            tick.tick().await;
            let token = if number % 2 == 0 {
                &known
            } else {
                &signer.token()
            };
            times.push(answered(&mut connection, token, 200).await);
        }
        times
    })
}

/// How long it took to be answered so.
async fn answered(connection: &mut Connection, token: &str, expected: u16) -> Duration {
    let sent = Instant::now();
    let (status, body) = connection
        .send(
            "GET /verify",
            &format!("Authorization: Bearer {token}\r\n"),
            "",
        )
        .await;
    assert_eq!(status, expected, "{body}");
    sent.elapsed()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// Returns the longest that one of them was kept.
async fn strangers(sidecar: &Sidecar, signer: &Signer) -> Duration {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let kid = |number: usize| json!({"kid": format!("{lane}-{number}-{}", "k".repeat(34))});
        let tokens: Vec<_> = (0..STRANGERS / LANES)
            .map(|number| signer.token_under(kid(number)))
            .collect();
        let address = sidecar.public;
        lanes.spawn(async move {
            let mut connection = Connection::to(address).await;
            let (mut tick, mut longest) = (interval(STRANGERS_PERIOD), Duration::ZERO);
            for token in tokens {
                tick.tick().await;
                longest = longest.max(answered(&mut connection, &token, 401).await);
            }
            longest
        });
    }
    let answered = timeout(FLOOD, lanes.join_all())
        .await
        .expect("strangers that are not kept waiting");
    answered.into_iter().max().expect("lanes")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_keys_harm_no_good_token_cause_one_fetch_in_ten_seconds_and_few_wait_for_keys()
 {
    const UNHARMED: Duration = Duration::from_millis(50);
    let signer = Signer::new();
    let server = Answering::start();
    let set = answer(
        "200 OK",
        &format!("Cache-Control: max-age={LONG}\r\n"),
        signer.set().to_string().as_bytes(),
    );
    server.at(
        "/jwks",
        Manner::does(vec![Step::Wait(SLOW), Step::Send(set)]),
    );
    let sidecar = SidecarSettings::new(&server.url("/jwks")).ready().await;

    let quiet = p99(good_tokens(&sidecar, signer.clone(), 600)
        .await
        .expect("all are good"));
    // Keys are fetched for one of them as soon as the interval since the first fetch is over.
    let good = good_tokens(&sidecar, signer.clone(), 2400);
    let mut longest = strangers(&sidecar, &signer).await;
    // And more at once than may wait, while keys are fetched for one that came before them.
    one_that_is_fetched_for(&sidecar, &signer, &server).await;
    let times = strangers_at_once(&sidecar, &signer).await;
    let kept = times
        .iter()
        .filter(|time| **time > Duration::from_secs(1))
        .count();
    longest = times.into_iter().fold(longest, Duration::max);
    let flooded = p99(good.await.expect("all are good"));

    let fetches = server.calls_of("/jwks");
    let gaps: Vec<_> = fetches
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    tell(&format!(
        "{STRANGERS} unknown keys: {} fetches, {gaps:.1?} apart; {kept} of {AT_ONCE} at once were kept, for \
         {longest:.1?} at the longest; p99 of good tokens {quiet:.1?} without them, {flooded:.1?} among them",
        fetches.len(),
    ));
    // As the server sees them: the network is no clock.
    let slack = Duration::from_millis(300);
    assert!(gaps.iter().all(|gap| *gap + slack >= INTERVAL), "{gaps:?}");
    assert!(longest < LONGEST, "{kept} were kept, for {longest:?}");
    assert!((1..=64).contains(&kept), "{kept} were kept");
    assert!(
        flooded < UNHARMED.max(3 * quiet),
        "{flooded:?}, without them {quiet:?}"
    );
}

/// The interval since the last fetch is over when a stranger causes the next.
async fn one_that_is_fetched_for(sidecar: &Sidecar, signer: &Signer, server: &Answering) {
    let before = server.calls_of("/jwks").len();
    until("a fetch for a stranger", 2 * INTERVAL, async || {
        let refusal = sidecar
            .verify(&signer.token_under(json!({"kid": "unknown"})))
            .await;
        assert!(
            refusal
                .header("www-authenticate")
                .starts_with(INVALID_TOKEN),
            "{refusal:?}"
        );
        server.calls_of("/jwks").len() > before
    })
    .await;
}

/// More of them at one moment than may wait.
async fn strangers_at_once(sidecar: &Sidecar, signer: &Signer) -> Vec<Duration> {
    let mut asked = JoinSet::new();
    for number in 0..AT_ONCE {
        let token = signer.token_under(json!({"kid": format!("at once {number}")}));
        let request = sidecar
            .http
            .0
            .get(sidecar.url("/verify"))
            .bearer_auth(token);
        let http = sidecar.http.clone();
        asked.spawn(async move {
            let answer = http
                .send(request)
                .await
                .expect_problem(401, "invalid_token");
            answer.took
        });
    }
    asked.join_all().await
}
