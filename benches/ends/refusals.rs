//! From the 204 of a logout until each peer refuses the token.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    Fault, Plan,
    report::{Refusals, Report},
    running::{EXAMPLES, Running},
    stage::Stage,
    upstream::Upstream,
};

/// The name on the command line, and the title.
pub(crate) const PEERS: [(&str, &str); 8] = [
    (SIDECAR, "sidecar"),
    ("axum", "Rust library: axum"),
    ("actix-web", "Rust library: actix-web"),
    ("node", "Node: Express, jose"),
    ("python", "Python: FastAPI, PyJWT"),
    ("go", "Go: golang-jwt"),
    ("nginx-njs", "nginx, njs"),
    ("envoy-sidecar", "Envoy, sidecar"),
];

/// The sidecar alone, which is no example.
const SIDECAR: &str = "sidecar";

/// From one logout to the next. It is no divisor of the 5 s after which peers ask again, so that logouts come at all times
/// between two questions.
const PAUSE: Duration = Duration::from_millis(61);
/// From one question about a token to the next: a time can be too long by this.
const POLL: Duration = Duration::from_millis(200);
/// After this, a token that is still accepted ends the benchmark.
const LONGEST: Duration = Duration::from_secs(60);
/// How many tokens a peer is shown at once before any is ended.
const AT_ONCE: usize = 8;

struct Peer {
    title: &'static str,
    /// Where it wants a token.
    url: String,
}

pub(crate) fn measure(plan: &Plan, runtime: &Runtime, report: &mut Report) -> Result<(), Fault> {
    let upstream = Upstream::start()?;
    let mut stage = runtime.block_on(Stage::start())?;
    stage.scene.back_end.address = upstream.address;
    let stage = stage;
    runtime.block_on(async {
        let sidecar = stage.scene.sidecar(&[]).await;
        let mut running = Vec::new();
        let mut peers = Vec::new();
        for (name, title) in PEERS.into_iter().filter(|(name, _)| plan.has_peer(name)) {
            eprintln!("refusals: {title} starts");
            let url = if name == SIDECAR {
                format!("http://{}/verify", sidecar.address)
            } else {
                let way = EXAMPLES.iter().find(|way| way.name == name).ok_or("an example is missing")?;
                let started = Running::start(way, &stage.scene).await?;
                let url = format!("http://{}{}", started.example.address, started.example.protected);
                running.push(started);
                url
            };
            peers.push(Peer { title, url });
        }
        report.refusals = refusals(&stage, peers, plan.logouts).await?;
        Ok(())
    })
}

/// Logs people in, shows each peer their tokens, logs them out one after another, and asks each peer until it refuses.
async fn refusals(stage: &Stage, peers: Vec<Peer>, logouts: usize) -> Result<Vec<Refusals>, Fault> {
    let client = &stage.scene.bed.http.0;
    eprintln!("refusals: {logouts} logins");
    let mut tokens = Vec::new();
    for person in 0..logouts {
        tokens.push(stage.scene.log_in(&format!("person-{person}")).await.token);
    }
    let peers = Arc::new(peers);
    eprintln!("refusals: each token is accepted at {} peers", peers.len());
    for peer in peers.iter() {
        // A peer that remembers tokens has to refuse one that it remembers.
        stream::iter(&tokens)
            .map(|token| is_accepted(client, peer, token))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
    }

    let unanswered = Arc::<AtomicUsize>::default();
    let mut asking = JoinSet::new();
    let mut due = interval(PAUSE);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (number, token) in tokens.iter().enumerate() {
        due.tick().await;
        if number % 100 == 0 {
            eprintln!("refusals: {number} of {logouts} logouts");
        }
        let logout = client.post(stage.scene.bed.service().url("/logout")).bearer_auth(token);
        let status = logout.json(&json!({"everywhere": false})).send().await?.status();
        let ended = Instant::now();
        if status != 204 {
            return Err(format!("a logout was answered with {status}").into());
        }
        for index in 0..peers.len() {
            let (client, token, peers) = (client.clone(), token.clone(), Arc::clone(&peers));
            let unanswered = Arc::clone(&unanswered);
            asking.spawn(async move {
                let took = until_refused(&client, &peers[index], &token, ended, &unanswered).await?;
                Ok::<_, Fault>((index, took))
            });
        }
    }
    let mut times = vec![Vec::new(); peers.len()];
    while let Some(refused) = asking.join_next().await {
        let (index, took) = refused??;
        times[index].push(took);
    }
    eprintln!("refusals: {} questions without an answer", unanswered.load(Ordering::Relaxed));
    Ok(peers.iter().zip(times).map(|(peer, times)| Refusals::of(peer.title, times)).collect())
}

async fn is_accepted(client: &Client, peer: &Peer, token: &str) -> Result<(), Fault> {
    match client.get(&peer.url).bearer_auth(token).send().await?.status() {
        StatusCode::OK => Ok(()),
        status => Err(format!("{} answers {status} to a token that nobody has ended", peer.title).into()),
    }
}

/// Asks until the peer refuses the token. Returns the time since `ended`.
async fn until_refused(
    client: &Client,
    peer: &Peer,
    token: &str,
    ended: Instant,
    unanswered: &AtomicUsize,
) -> Result<Duration, Fault> {
    while ended.elapsed() < LONGEST {
        let asked = Instant::now();
        match client.get(&peer.url).bearer_auth(token).send().await.map(|answer| answer.status()) {
            Ok(StatusCode::UNAUTHORIZED) => return Ok(ended.elapsed()),
            Ok(StatusCode::OK) => {}
            Ok(status) => return Err(format!("{} answers {status}", peer.title).into()),
            // A peer may close a connection that it has kept, while the next question is on its way.
            Err(_) => _ = unanswered.fetch_add(1, Ordering::Relaxed),
        }
        sleep(POLL.saturating_sub(asked.elapsed())).await;
    }
    Err(format!("{} still accepts a token {LONGEST:?} after the logout", peer.title).into())
}
