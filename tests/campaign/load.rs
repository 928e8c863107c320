//! The load: an open loop, which sends requests at its rate whether or not earlier ones were answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::actions::{Action, Campaign};

const TICK: Duration = Duration::from_millis(10);
/// People who are asked in turn whether they have time.
const TRIES: usize = 30;
/// The most actions at once: 15 s of them at 500 a second.
const MOST_AT_ONCE: usize = 7_500;

/// Sends requests until `stop`, and waits for the answers.
pub(crate) async fn run(campaign: Arc<Campaign>, stop: watch::Receiver<bool>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (began, mut sent) = (Instant::now(), 0_u64);
    let mut acting = JoinSet::new();
    while !*stop.borrow() {
        tick.tick().await;
        let due = (began.elapsed().as_secs_f64() * f64::from(campaign.plan.rate)) as u64;
        for _ in sent..due {
            if acting.len() < MOST_AT_ONCE {
                let campaign = Arc::clone(&campaign);
                acting.spawn(async move { one(&campaign).await });
            }
        }
        sent = due;
        while let Some(ended) = acting.try_join_next() {
            ended.expect("an action that does not panic");
        }
    }
    while let Some(ended) = acting.join_next().await {
        ended.expect("an action that does not panic");
    }
}

async fn one(campaign: &Campaign) {
    let is_newcomer = fastrand::u32(..100) < 2;
    let found = if is_newcomer {
        None
    } else {
        idle_person(campaign)
    };
    let (who, action) = match found {
        Some(who) => (who, action_of(campaign, who)),
        None if campaign.model().people.len() >= campaign.plan.people => return,
        None => (
            campaign.newcomer().await,
            fastrand::choice([Action::LogIn, Action::LogInTwice]).unwrap_or(Action::LogIn),
        ),
    };
    campaign.act(who, action).await;
}

/// Somebody who has time, and from now on has none.
fn idle_person(campaign: &Campaign) -> Option<usize> {
    let mut model = campaign.model();
    if model.people.is_empty() {
        return None;
    }
    let now = Instant::now();
    let found = (0..TRIES)
        .map(|_| fastrand::usize(..model.people.len()))
        .find(|who| model.people[*who].is_idle(now))?;
    model.people[found].is_busy = true;
    Some(found)
}

fn action_of(campaign: &Campaign, who: usize) -> Action {
    let may_bind = !campaign.plan.is_computed();
    match fastrand::u32(..100) {
        0..3 => Action::Unbind,
        3..7 => Action::LogOut,
        7..9 => Action::LogOutEverywhere,
        9 if may_bind => Action::ByPhone,
        10..20 => Action::AskSession,
        20..32 => Action::Verify,
        32..34 => Action::SendCodeTwice,
        34..36 => Action::LogInTwice,
        36..46 if campaign.may_need_phone(who) => Action::ByPhone,
        _ => Action::LogIn,
    }
}
