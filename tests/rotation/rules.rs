//! The rules under test, and the same with one fault each.

use chrono::{DateTime, TimeDelta, Utc};
use wxmint::keys::rotation::{self, KeyLife, Policy, Refusal, Retirement, State, Step};

/// What a rotator and the replicas go by. What is not said otherwise is the crate's own function.
pub(crate) trait Rules {
    fn plan(&self, lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Result<Step, Refusal> {
        rotation::plan(lives, policy, now)
    }

    fn admit(&self, lives: &[KeyLife], policy: &Policy, nbf: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Refusal> {
        rotation::admit(lives, policy, nbf, now)
    }

    fn retire(&self, lives: &[KeyLife], kid: &str, now: DateTime<Utc>) -> Result<Retirement, Refusal> {
        rotation::retire(lives, kid, now)
    }

    fn signing(&self, lives: &[KeyLife], now: DateTime<Utc>) -> Option<usize> {
        rotation::signing(lives, now)
    }

    fn max_age(&self, lives: &[KeyLife], lead: TimeDelta, now: DateTime<Utc>) -> TimeDelta {
        rotation::max_age(lives, lead, now)
    }
}

pub(crate) struct AsTheyAre;

impl Rules for AsTheyAre {}

/// A new key signs as soon as it is made.
pub(crate) struct SignAtOnce;

impl Rules for SignAtOnce {
    fn plan(&self, lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Result<Step, Refusal> {
        let mut step = rotation::plan(lives, policy, now)?;
        step.publish.iter_mut().for_each(|new| new.nbf = rotation::whole_second(now));
        Ok(step)
    }
}

/// Another algorithm needs no lead.
pub(crate) struct SignAtOnceWithAnotherAlgorithm;

impl Rules for SignAtOnceWithAnotherAlgorithm {
    fn plan(&self, lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Result<Step, Refusal> {
        let mut step = rotation::plan(lives, policy, now)?;
        let last = lives.last().map(|life| life.algorithm);
        let changes = step.publish.iter_mut().filter(|new| Some(new.algorithm) != last);
        changes.for_each(|new| new.nbf = rotation::whole_second(now));
        Ok(step)
    }
}

/// Keys are published so much later than the lead wants.
pub(crate) struct LeadShorterBy(pub(crate) TimeDelta);

impl Rules for LeadShorterBy {
    fn plan(&self, lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Result<Step, Refusal> {
        rotation::plan(lives, &Policy { lead: policy.lead - self.0, ..*policy }, now)
    }
}

/// A key leaves when its successor begins to sign.
pub(crate) struct DropAtSuccession;

impl Rules for DropAtSuccession {
    fn plan(&self, lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Result<Step, Refusal> {
        DropSoonerBy(policy.retention()).plan(lives, policy, now)
    }
}

/// Keys leave so much sooner than their last token allows.
pub(crate) struct DropSoonerBy(pub(crate) TimeDelta);

impl Rules for DropSoonerBy {
    fn plan(&self, lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Result<Step, Refusal> {
        let mut step = rotation::plan(lives, policy, now)?;
        step.expire.iter_mut().for_each(|(_, exp)| *exp -= self.0);
        // Otherwise the next plan would put it right.
        step.expire.retain(|(kid, _)| lives.iter().any(|life| life.kid == *kid && life.exp.is_none()));
        Ok(step)
    }
}

/// Caches may hold the set for the whole lead.
pub(crate) struct MaxAgeOfTheWholeLead;

impl Rules for MaxAgeOfTheWholeLead {
    fn max_age(&self, lives: &[KeyLife], lead: TimeDelta, now: DateTime<Utc>) -> TimeDelta {
        rotation::max_age(lives, lead * rotation::CACHE_SHARE_OF_LEAD, now)
    }
}

/// The newest key signs, whether its time has come or not.
pub(crate) struct SignWithTheNewest;

impl Rules for SignWithTheNewest {
    fn signing(&self, lives: &[KeyLife], now: DateTime<Utc>) -> Option<usize> {
        rotation::states(lives, now).iter().rposition(|state| *state != State::Gone)
    }
}

/// A key is admitted whenever it begins.
pub(crate) struct AdmitAnything;

impl Rules for AdmitAnything {
    fn admit(&self, lives: &[KeyLife], _: &Policy, nbf: DateTime<Utc>, _: DateTime<Utc>) -> Result<(), Refusal> {
        match lives.iter().all(|life| life.nbf != nbf) {
            true => Ok(()),
            false => Err(Refusal::SameMoment { nbf: nbf.to_rfc3339() }),
        }
    }
}

/// A key that was to be replaced leaves, though the other has been retired before it began.
pub(crate) struct LeaveWithoutSuccessor;

impl Rules for LeaveWithoutSuccessor {
    fn retire(&self, lives: &[KeyLife], kid: &str, now: DateTime<Utc>) -> Result<Retirement, Refusal> {
        Ok(Retirement { released: None, ..rotation::retire(lives, kid, now)? })
    }
}
