//! The rules under test, and the same with one fault each.

use chrono::{DateTime, TimeDelta, Utc};
use wxmint_keys::rotation::{self, KeyLife, KeyState, Refusal, Retirement, RotationPolicy, RotationStep};

type Now = DateTime<Utc>;

/// A rotator and the replicas go by these.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) plan: fn(&[KeyLife], &RotationPolicy, Now) -> Result<RotationStep, Refusal>,
    pub(crate) admit: fn(&[KeyLife], &RotationPolicy, Now, Now) -> Result<(), Refusal>,
    pub(crate) retire: fn(&[KeyLife], &str, Now) -> Result<Retirement, Refusal>,
    pub(crate) signing: fn(&[KeyLife], Now) -> Option<usize>,
    pub(crate) max_age: fn(&[KeyLife], TimeDelta, Now) -> TimeDelta,
}

pub(crate) const AS_THEY_ARE: Rules = Rules {
    plan: rotation::plan,
    admit: rotation::check_new_key,
    retire: rotation::retire,
    signing: rotation::signing,
    max_age: rotation::max_age,
};

const fn planned(plan: fn(&[KeyLife], &RotationPolicy, Now) -> Result<RotationStep, Refusal>) -> Rules {
    Rules { plan, ..AS_THEY_ARE }
}

pub(crate) const FAULTS: [(&str, Rules); 10] = [
    (
        "a new key signs at once",
        planned(|lives, policy, now| {
            let mut step = rotation::plan(lives, policy, now)?;
            step.publish.iter_mut().for_each(|new| new.nbf = rotation::whole_second(now));
            Ok(step)
        }),
    ),
    (
        "a key of another algorithm signs at once",
        planned(|lives, policy, now| {
            let mut step = rotation::plan(lives, policy, now)?;
            let last = lives.last().map(|life| life.algorithm);
            let changes = step.publish.iter_mut().filter(|new| Some(new.algorithm) != last);
            changes.for_each(|new| new.nbf = rotation::whole_second(now));
            Ok(step)
        }),
    ),
    (
        "the lead is a poll too short",
        planned(|lives, policy, now| plan_with_a_lead_shorter_by(TimeDelta::minutes(10), lives, policy, now)),
    ),
    (
        "the lead forgets the skew",
        planned(|lives, policy, now| plan_with_a_lead_shorter_by(TimeDelta::minutes(1), lives, policy, now)),
    ),
    (
        "a key leaves when its successor begins",
        planned(|lives, policy, now| drop_sooner_by(policy.retention(), lives, policy, now)),
    ),
    (
        "a key's retention forgets leeway or skew",
        planned(|lives, policy, now| drop_sooner_by(TimeDelta::minutes(1), lives, policy, now)),
    ),
    (
        "caches hold the set for the whole lead",
        Rules {
            max_age: |lives, lead, now| rotation::max_age(lives, lead * rotation::CACHE_SHARE_OF_LEAD, now),
            ..AS_THEY_ARE
        },
    ),
    (
        "the newest key signs before its time",
        Rules {
            signing: |lives, now| rotation::states(lives, now).iter().rposition(|state| *state != KeyState::Gone),
            ..AS_THEY_ARE
        },
    ),
    (
        "an imported key begins whenever it likes",
        Rules {
            admit: |lives, _, nbf, _| match lives.iter().all(|life| life.nbf != nbf) {
                true => Ok(()),
                false => Err(Refusal::SameMoment { nbf: nbf.to_rfc3339() }),
            },
            ..AS_THEY_ARE
        },
    ),
    (
        "a key leaves though it has lost its successor",
        Rules {
            retire: |lives, kid, now| Ok(Retirement { released: None, ..rotation::retire(lives, kid, now)? }),
            ..AS_THEY_ARE
        },
    ),
];

fn plan_with_a_lead_shorter_by(
    time: TimeDelta,
    lives: &[KeyLife],
    policy: &RotationPolicy,
    now: Now,
) -> Result<RotationStep, Refusal> {
    rotation::plan(lives, &RotationPolicy { lead: policy.lead - time, ..*policy }, now)
}

/// Keys leave so much sooner than their last token allows.
fn drop_sooner_by(
    time: TimeDelta,
    lives: &[KeyLife],
    policy: &RotationPolicy,
    now: Now,
) -> Result<RotationStep, Refusal> {
    let mut step = rotation::plan(lives, policy, now)?;
    step.expire.iter_mut().for_each(|(_, exp)| *exp -= time);
    // Otherwise the next plan would put it right.
    step.expire.retain(|(kid, _)| lives.iter().any(|life| life.kid == *kid && life.exp.is_none()));
    Ok(step)
}
