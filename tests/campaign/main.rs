//! The campaign that tries to lose a binding: real processes under load, while everything around them fails, and a
//! checker that knows every answer ever given.
//!
//! `cargo test --test campaign` runs the short form, with each fault once. `make campaign MINUTES=60` runs the long
//! form, with the faults in a random order from a seed, and writes benches/README.md.

mod actions;
mod books;
mod client;
mod faults;
mod finish;
mod load;
mod model;
mod plan;
mod planted;
mod report;
mod store;
#[expect(
    dead_code,
    unused_imports,
    reason = "the harness of tests/it, of which the campaign needs a part"
)]
#[path = "../it/support/mod.rs"]
mod support;
mod watch;
mod world;

use std::{sync::Arc, time::Instant};

use tokio::time::sleep;

use self::actions::Campaign;
use self::client::Client;
use self::plan::Plan;
use self::support::prelude::*;
use self::world::World;

/// The load before the first fault.
const BEFORE: Duration = Duration::from_secs(3);
/// Until requests without an answer have been carried out or not.
const AFTER: Duration = Duration::from_secs(16);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_binding_is_lost_whatever_fails() {
    let only: Option<String> = plan::variable("CAMPAIGN_IDS");
    let kinds = ["random", "openid", "unionid"];
    assert!(
        only.as_ref().is_none_or(|only| kinds.contains(&&**only)),
        "{only:?} is none of {kinds:?}"
    );
    for ids in kinds
        .into_iter()
        .filter(|ids| only.as_ref().is_none_or(|only| only == ids))
    {
        run(Plan::from_env(ids)).await;
    }
}

async fn run(plan: Plan) {
    fastrand::seed(plan.seed);
    raise_open_files();
    tell(&format!(
        "campaign: CAMPAIGN_SEED={} repeats the order of the faults; {plan:?}",
        plan.seed
    ));
    let interrupted = tokio::signal::ctrl_c();
    let campaign = tokio::select! {
        campaign = campaign(&plan) => campaign,
        // The processes end when their values are dropped.
        _ = interrupted => panic!("interrupted"),
    };
    judge(&plan, &campaign);
}

async fn campaign(plan: &Plan) -> Arc<Campaign> {
    let http = client::http();
    let password = format!("campaign-password-1-{}", plan.seed);
    let mut store = RedisCluster::of(1, &[], &password).await;
    let wechat = Simulator::start(
        http.clone(),
        &[format!("--app={OTHER_APPID}:{OTHER_SECRET}")],
        &[],
    )
    .await;
    let accounts = AccountService::start();
    let world =
        Arc::new(World::start(&store.url(), &wechat, accounts.address, http.clone(), plan).await);
    let client = Client::new(http, Arc::clone(&world.rotation));
    let peer = world.verifier().await;
    let campaign = Arc::new(Campaign::new(plan, client, wechat, accounts, peer));

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (stop_watching, watched) = tokio::sync::watch::channel(false);
    let load = tokio::spawn(load::run(Arc::clone(&campaign), stopped));
    let watching = tokio::spawn(watch::run(
        Arc::clone(&campaign),
        Arc::clone(&world),
        watched,
    ));
    sleep(BEFORE).await;
    let until = plan
        .minutes
        .map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    tokio::join!(
        faults::play_redis(&campaign, &world, &mut store, until),
        faults::play_others(&campaign, &world, until)
    );
    sleep(plan.grace).await;
    stop.send(true).expect("a load that runs");
    load.await.expect("a load that does not panic");
    sleep(AFTER).await;
    tell("everybody logs in once more");
    finish::finish(&campaign, &world).await;
    stop_watching.send(true).expect("a watch that runs");
    watching.await.expect("a watch that does not panic");
    campaign
}

fn judge(plan: &Plan, campaign: &Campaign) {
    let grown = report::growth(&campaign.books.pages());
    for grown in grown {
        campaign.books.find(grown);
    }
    report::write(campaign);
    let pages = campaign.books.pages();
    let asked: u64 = pages.counts.values().sum();
    let (improper, tolerated) = (
        pages.unexplained.len() as u64,
        asked * plan.tolerated / 100_000,
    );
    let hint = format!("CAMPAIGN_SEED={}", plan.seed);
    assert!(pages.findings.is_empty(), "{hint}: {:#?}", pages.findings);
    let first = pages.unexplained.first();
    assert!(
        improper <= tolerated,
        "{hint}: {improper} improper answers without a fault: {first:#?}"
    );
}
