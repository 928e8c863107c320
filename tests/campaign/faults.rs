//! The faults: what is done, and what it may excuse. Those of Redis and the others are played side by side.

use std::time::Instant;

use tokio::time::sleep;

use crate::actions::Campaign;
use crate::books::Part;
use crate::store::{self, RedisFault};
use crate::support::prelude::*;
use crate::world::{LEAD, REPLICAS, World};

/// How long WeChat or the account service misbehaves.
const HELD: Duration = Duration::from_secs(3);
/// wxmint reads its files again within 5 s.
const RELOAD: Duration = Duration::from_secs(5);
/// docs/operation.md: logins in flight are answered for at most 15 s.
const STOPPING: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
pub(crate) enum OtherFault {
    WeChat(fn() -> Value),
    WeChatIsBusy,
    AccountsAway,
    ReplicaKilled,
    ReplicasRolled,
    KeysRotated,
    VaultRotated,
}

/// In the order of the short form, as the report names them.
pub(crate) const OTHERS: [(OtherFault, &str); 10] = [
    (OtherFault::ReplicaKilled, "replica of wxmint killed"),
    (
        OtherFault::WeChat(|| json!([{"kind": "stall"}])),
        "WeChat does not answer",
    ),
    (OtherFault::KeysRotated, "signing key rotated"),
    (OtherFault::WeChatIsBusy, "WeChat answers -1"),
    (OtherFault::ReplicasRolled, "replicas of wxmint rolled"),
    (OtherFault::WeChat(lies), "WeChat answers garbage"),
    (OtherFault::VaultRotated, "vault key rotated"),
    (
        OtherFault::WeChat(|| json!([{"kind": "errcode", "errcode": 45011}])),
        "WeChat answers 45011",
    ),
    (OtherFault::WeChat(losses), "WeChat's answers are cut off"),
    (OtherFault::AccountsAway, "account service answers 503"),
];

/// Plays each fault once, or all of them in one order after another until the time is over.
async fn rounds<T>(
    campaign: &Campaign,
    faults: &mut [T],
    until: Option<Instant>,
    mut play: impl AsyncFnMut(&T),
) {
    let mut order = fastrand::Rng::with_seed(campaign.plan.seed);
    loop {
        if until.is_some() {
            order.shuffle(faults);
        }
        for fault in &*faults {
            if until.is_some_and(|until| Instant::now() >= until) {
                return;
            }
            play(fault).await;
            sleep(campaign.plan.pause).await;
        }
        if until.is_none() {
            return;
        }
    }
}

pub(crate) async fn play_redis(
    campaign: &Campaign,
    world: &World,
    cluster: &mut RedisCluster,
    until: Option<Instant>,
) {
    let may_be_emptied = campaign.plan.is_computed();
    let faults = store::FAULTS
        .into_iter()
        .filter(|(fault, _)| may_be_emptied || *fault != RedisFault::Emptied);
    rounds(
        campaign,
        &mut faults.collect::<Vec<_>>(),
        until,
        async |(fault, name)| {
            let password = format!("campaign-password-{}", fastrand::u64(..));
            let emptied = *fault == RedisFault::Emptied;
            let suffering = async || {
                campaign.model().begin_loss(emptied);
                store::suffer(cluster, *fault, &password).await;
                campaign.model().end_loss(emptied);
                if *fault == RedisFault::PasswordChanged {
                    let configuration = world.configuration.lock().await;
                    replace(
                        configuration.value("WXMINT_REDIS_URL_FILE").as_ref(),
                        &cluster.url(),
                    );
                    drop(configuration);
                    sleep(RELOAD).await;
                }
            };
            let troubled = trouble(campaign, name, Part::Redis, suffering);
            // The claim of a code is lost with Redis.
            if emptied {
                campaign.repeating(troubled).await;
            } else {
                troubled.await;
            }
        },
    )
    .await;
}

pub(crate) async fn play_others(campaign: &Campaign, world: &World, until: Option<Instant>) {
    let play = async |(fault, name): &(OtherFault, &'static str)| {
        play(campaign, world, *fault, name).await;
    };
    rounds(campaign, &mut OTHERS.clone(), until, play).await;
}

async fn play(campaign: &Campaign, world: &World, fault: OtherFault, name: &'static str) {
    match fault {
        OtherFault::WeChat(faults) => wechat(campaign, name, faults()).await,
        OtherFault::WeChatIsBusy => {
            let busy = json!([{"kind": "errcode", "errcode": -1, "probability": 0.7}]);
            campaign.repeating(wechat(campaign, name, busy)).await;
        }
        OtherFault::AccountsAway => {
            let suffering = async || {
                campaign.accounts.misbehave(Reply::Away);
                sleep(HELD).await;
                campaign.accounts.heal();
            };
            trouble(campaign, name, Part::Accounts, suffering).await;
        }
        OtherFault::ReplicaKilled => kill_replica(campaign, world, name).await,
        OtherFault::ReplicasRolled => roll_replicas(campaign, world, name).await,
        OtherFault::KeysRotated => {
            let words = [
                "keys",
                "rotate",
                "--every",
                "16s",
                "--lead",
                LEAD,
                "--token-ttl",
                crate::world::TOKEN_TTL,
            ];
            rotate(campaign, world, name, &words).await;
        }
        OtherFault::VaultRotated => {
            rotate(campaign, world, name, &["vault", "rotate", "--lead", "10s"]).await;
        }
    }
}

fn lies() -> Value {
    ["garbage", "html", "empty"]
        .map(|kind| json!({"kind": kind, "probability": 0.4}))
        .to_vec()
        .into()
}

fn losses() -> Value {
    json!([{"kind": "truncated", "probability": 0.5}, {"kind": "reset", "after": true}])
}

async fn wechat(campaign: &Campaign, name: &'static str, faults: Value) {
    trouble(campaign, name, Part::WeChat, async || {
        campaign.wechat.faults(faults).await;
        sleep(HELD).await;
        campaign.wechat.faults(json!([])).await;
    })
    .await;
}

/// A fault that lasts as long as `suffering`, after which all must be well soon.
async fn trouble(
    campaign: &Campaign,
    name: &'static str,
    part: Part,
    suffering: impl AsyncFnOnce(),
) {
    let number = campaign.books.begin(name, part);
    suffering().await;
    campaign.books.end(number);
    campaign.books.recovers(number).await;
}

/// One replica is killed, and another one started in its place.
async fn kill_replica(campaign: &Campaign, world: &World, name: &'static str) {
    let victim = fastrand::usize(..REPLICAS);
    let number = campaign.books.begin(name, Part::Replica);
    world.replica(victim).await.service.kill();
    world.take_out(victim);
    campaign.books.end(number);
    sleep(HELD).await;
    world.start_again(victim, &campaign.books).await;
}

/// Each replica is stopped in order and started again. No request may be lost or refused.
async fn roll_replicas(campaign: &Campaign, world: &World, name: &'static str) {
    let number = campaign.books.begin(name, Part::Nothing);
    for replica in 0..REPLICAS {
        // A load balancer notices first.
        world.take_out(replica);
        sleep(Duration::from_millis(500)).await;
        let mut stopping = world.replica(replica).await;
        stopping.service.signal(Signal::TERM);
        let told = Instant::now();
        let status = stopping.service.end(STOPPING).await;
        tell(&format!(
            "replica {} stopped after {:.1?}",
            replica + 1,
            told.elapsed()
        ));
        if !status.success() {
            campaign.books.find(format!(
                "a replica that was told to stop ended with {status}"
            ));
        }
        drop(stopping);
        world.start_again(replica, &campaign.books).await;
    }
    campaign.books.end(number);
}

async fn rotate(campaign: &Campaign, world: &World, name: &'static str, words: &[&str]) {
    let number = campaign.books.begin(name, Part::Nothing);
    world.run(words).await;
    sleep(RELOAD).await;
    campaign.books.end(number);
}
