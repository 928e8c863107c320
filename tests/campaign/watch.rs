//! The things that are looked at all the time: logs, the verifier's knowledge, memory, and codes.

use std::{sync::Arc, time::Instant};

use tokio::{sync::watch, time::interval};

use crate::actions::Campaign;
use crate::books::Part;
use crate::support::prelude::*;
use crate::world::{REPLICAS, World};

const EVERY: Duration = Duration::from_secs(1);
const TELL_EVERY: u64 = 10;
/// docs/architecture.md: an ended token is refused within 10 s, while the verifier gets its answers.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Looks every second until `stop`.
pub(crate) async fn run(campaign: Arc<Campaign>, world: Arc<World>, stop: watch::Receiver<bool>) {
    let mut tick = interval(EVERY);
    for second in 1.. {
        tick.tick().await;
        if *stop.borrow() {
            return;
        }
        world.read_logs(&campaign.books).await;
        // In an hour there would be too many of them to keep.
        drop(campaign.accounts.take_calls());
        check_feed(&campaign);
        if second % TELL_EVERY == 0 {
            sample(&campaign, &world).await;
            campaign.check_codes().await;
            tell(&progress(&campaign));
        }
    }
}

/// Without a fault, a verifier knows what was ended 10 s ago.
fn check_feed(campaign: &Campaign) {
    let age = campaign
        .peer
        .known()
        .next()
        .and_then(|known| known.revocations_age)
        .unwrap_or(Duration::MAX);
    let settled = KNOWN_WITHIN + campaign.plan.grace;
    if age > settled.saturating_sub(Duration::from_secs(5))
        && !campaign
            .books
            .is_troubled(&[Part::Redis, Part::Replica], settled)
    {
        campaign.books.find(format!(
            "a verifier knows nothing of the last {age:?}, and nothing is wrong"
        ));
    }
}

async fn sample(campaign: &Campaign, world: &World) {
    let mut resident_kib = [0; REPLICAS];
    for (number, kib) in resident_kib.iter_mut().enumerate() {
        let mut replica = world.replica(number).await;
        // A replica that was killed has none.
        if replica.service.ended().is_none() {
            *kib = replica.service.memory();
        }
    }
    campaign.books.pages().samples.push(resident_kib);
}

fn progress(campaign: &Campaign) -> String {
    let (people, now) = (campaign.model().people.len(), Instant::now());
    let pages = campaign.books.pages();
    let on: Vec<_> = pages
        .played
        .iter()
        .filter(|it| it.ended.is_none())
        .map(|it| it.name)
        .collect();
    let improper = pages.unexplained.len()
        + pages
            .played
            .iter()
            .map(|it| it.refused.len())
            .sum::<usize>();
    format!(
        "{:7.1} s  {} people, {} requests, {} improper answers; {} findings; {:?} KiB; {}",
        (now - campaign.books.began).as_secs_f64(),
        people,
        pages.counts.values().sum::<u64>(),
        improper,
        pages.findings.len(),
        pages.samples.last().unwrap_or(&[0; REPLICAS]),
        if on.is_empty() {
            "no fault".to_owned()
        } else {
            on.join(" + ")
        }
    )
}
