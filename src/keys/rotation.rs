//! Decides what is to happen to a set of keys. Pure: a function of the keys' lives, the policy and the clock; somebody
//! else acts.
//!
//! The promise: a token is valid to every verifier that looks at the JWKS at least once in a lead, from the moment it is
//! issued until it expires. It holds because a key is visible for a lead before it signs, and after it last signed for as
//! long as its last token can live.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::verify::{Algorithm, MAX_LEEWAY};

/// What verifiers allow for clocks that differ.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(MAX_LEEWAY.as_secs() as i64);
/// By how much the clocks of two replicas may differ. The slower one signs with the old key for so long after the other
/// has changed, and the faster one hides it for so long before.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);
/// A cache's share of the lead: what a proxy or CDN may add to the time for which a verifier does not look. With a lead
/// of 30 minutes that is 5, and leaves 25 to a verifier that looks every 20.
pub const CACHE_SHARE_OF_LEAD: i32 = 6;

/// What one key does when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLife {
    /// The key.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// First signature.
    pub nbf: DateTime<Utc>,
    /// When it leaves the JWKS.
    pub exp: Option<DateTime<Utc>>,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Visible, and does not sign yet.
    Published,
    /// Signs.
    Signing,
    /// Visible, for the tokens that it signed.
    Retired,
    /// Out of sight.
    Gone,
}

impl State {
    /// As it is shown and counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Gone => "gone",
        }
    }
}

/// The index of the key that signs at `now`: of those whose `nbf` has come and whose `exp` has not, the one with the
/// greatest `nbf`. `lives` is ordered by `nbf`.
pub fn signing(lives: &[KeyLife], now: DateTime<Utc>) -> Option<usize> {
    lives.iter().rposition(|life| life.nbf <= now && !is_gone(life, now))
}

/// The state of each key, in the order of `lives` (by `nbf`).
pub fn states(lives: &[KeyLife], now: DateTime<Utc>) -> Vec<State> {
    let signing = signing(lives, now);
    let state = |(index, life): (usize, &KeyLife)| match () {
        () if is_gone(life, now) => State::Gone,
        () if Some(index) == signing => State::Signing,
        () if life.nbf > now => State::Published,
        () => State::Retired,
    };
    lives.iter().enumerate().map(state).collect()
}

pub(super) fn is_gone(life: &KeyLife, now: DateTime<Utc>) -> bool {
    life.exp.is_some_and(|exp| exp <= now)
}

/// For how long a cache may hold the JWKS of `lives` (by `nbf`) that it fetches at `now`: its share of the lead, and never
/// past the next key's first signature.
pub fn max_age(lives: &[KeyLife], lead: TimeDelta, now: DateTime<Utc>) -> TimeDelta {
    let longest = lead / CACHE_SHARE_OF_LEAD;
    let next = lives.iter().map(|life| life.nbf).find(|&nbf| nbf > now);
    next.map_or(longest, |nbf| longest.min(nbf - now))
}

/// How often keys change, and how carefully.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From one key's first signature to the next one's.
    pub every: TimeDelta,
    /// How long a key is visible before it signs: longer than any verifier goes without looking.
    pub lead: TimeDelta,
    /// The longest life of a token.
    pub token_ttl: TimeDelta,
    /// What the next key is to be.
    pub algorithm: Algorithm,
}

/// Why a policy or a step is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy contradicts itself.
    #[error(
        "keys cannot be replaced every {every} s when each is published {lead} s before it signs: make --every longer than --lead"
    )]
    EveryWithinLead {
        /// Seconds.
        every: i64,
        /// Seconds.
        lead: i64,
    },
    /// A time of the policy is not above 0.
    #[error("{0} must be longer than nothing")]
    NoTime(&'static str),
    /// A key would sign before verifiers have seen it.
    #[error("a key that is added now must not sign before {earliest}, since verifiers would not know it")]
    TooSoon {
        /// RFC 3339.
        earliest: String,
    },
    /// Two keys would begin at one moment.
    #[error("another key begins to sign at {nbf} already")]
    SameMoment {
        /// RFC 3339.
        nbf: String,
    },
    /// A key whose tokens may live would be removed.
    #[error("tokens that {kid} signed may live until {earliest}; it leaves after that by itself, with `keys rotate`")]
    TokensLive {
        /// The key.
        kid: String,
        /// RFC 3339.
        earliest: String,
    },
    /// A key without a successor would be removed.
    #[error("{0} has no successor yet, whose tokens peers could verify; `keys rotate` replaces it when it is time")]
    NoSuccessor(String),
    /// No such key.
    #[error("there is no key {0} in the set")]
    UnknownKey(String),
}

impl Policy {
    /// How long a key stays visible after its successor's first signature: until the last token of a replica with a slow
    /// clock has expired for a verifier with full leeway, and the replica with a fast clock has not hidden it before.
    pub fn retention(&self) -> TimeDelta {
        self.token_ttl + LEEWAY + CLOCK_SKEW
    }

    /// Whether the parts fit each other.
    pub fn check(&self) -> Result<(), Refusal> {
        for (name, time) in [("--every", self.every), ("--lead", self.lead), ("the token's life", self.token_ttl)] {
            if time <= TimeDelta::zero() {
                return Err(Refusal::NoTime(name));
            }
        }
        if self.every <= self.lead {
            let (every, lead) = (self.every.num_seconds(), self.lead.num_seconds());
            return Err(Refusal::EveryWithinLead { every, lead });
        }
        Ok(())
    }
}

/// What is to be done now; nothing at all where every part is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// Keys that are out of sight and leave the file.
    pub drop: Vec<String>,
    /// Keys that have a successor, and until when they stay visible.
    pub expire: Vec<(String, DateTime<Utc>)>,
    /// A key to add.
    pub publish: Option<Publication>,
    /// When to look again: nothing changes before.
    pub next_look: Option<DateTime<Utc>>,
}

/// A key to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its first signature.
    pub nbf: DateTime<Utc>,
}

impl Step {
    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.drop.is_empty() && self.expire.is_empty() && self.publish.is_none()
    }
}

/// What is to happen to `lives` (ordered by `nbf`) at `now`. Planned again after it was done, there is nothing to do.
pub fn plan(lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Result<Step, Refusal> {
    policy.check()?;
    let publish = publication(lives, policy, now);
    // By the successors' dates, the new key's included.
    let successors = lives.iter().skip(1).map(|life| life.nbf).chain(publish.map(|key| key.nbf));
    let owed: Vec<_> = successors.map(|nbf| nbf + policy.retention()).collect();
    let expire: Vec<_> = lives
        .iter()
        .zip(&owed)
        .filter(|(life, owed)| life.exp.is_none_or(|exp| exp < **owed))
        .map(|(life, owed)| (life.kid.clone(), *owed))
        .collect();
    let long_gone =
        |(life, owed): &(&KeyLife, &DateTime<Utc>)| life.exp.unwrap_or(**owed).max(**owed) + policy.lead <= now;
    let drop: Vec<_> = lives.iter().zip(&owed).filter(long_gone).map(|(life, _)| life.kid.clone()).collect();
    let expire = expire.into_iter().filter(|(kid, _)| !drop.contains(kid)).collect();
    Ok(Step { drop, expire, publish, next_look: next_look(lives, policy, now) })
}

/// The next key, if it is time: one lead before the signing key has served its time, or at once where the policy wants
/// another algorithm; and never a second one while one waits.
fn publication(lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Option<Publication> {
    let last = lives.last()?;
    if last.nbf > now {
        return None;
    }
    let soonest = whole_second(now + policy.lead);
    let nbf = if last.algorithm == policy.algorithm { (last.nbf + policy.every).max(soonest) } else { soonest };
    (nbf == soonest).then_some(Publication { algorithm: policy.algorithm, nbf })
}

/// Files hold whole seconds (NumericDate). Rounded up, so that nothing comes sooner than it may.
pub fn whole_second(at: DateTime<Utc>) -> DateTime<Utc> {
    let rest = i64::from(at.timestamp_subsec_nanos());
    if rest == 0 { at } else { at + TimeDelta::nanoseconds(1_000_000_000 - rest) }
}

/// When the next key falls due, or a key can leave the file, whichever is sooner.
fn next_look(lives: &[KeyLife], policy: &Policy, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let last = lives.last()?;
    let due = if last.algorithm == policy.algorithm { last.nbf + policy.every - policy.lead } else { last.nbf };
    let drops = lives.iter().filter_map(|life| life.exp).map(|exp| exp + policy.lead);
    Some(drops.chain([due]).min()?.max(now))
}

/// Whether a key that is added at `now` may begin to sign at `nbf`.
pub fn admit(lives: &[KeyLife], policy: &Policy, nbf: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Refusal> {
    if lives.iter().any(|life| life.nbf == nbf) {
        return Err(Refusal::SameMoment { nbf: nbf.to_rfc3339() });
    }
    let earliest = whole_second(now + policy.lead);
    // A key that begins below the one that signs now never signs. A replica with a slow clock may still be signing with
    // the one before.
    let signs_everywhere = |life: &&KeyLife| life.nbf <= now - CLOCK_SKEW;
    let will_sign = lives.iter().filter(signs_everywhere).all(|life| life.nbf < nbf);
    if !lives.is_empty() && will_sign && nbf < earliest {
        return Err(Refusal::TooSoon { earliest: earliest.to_rfc3339() });
    }
    Ok(())
}

/// Why `kid` must stay in the set, except in an emergency: `keys rotate` removes it when that is safe.
pub fn refuse_removal(lives: &[KeyLife], kid: &str) -> Refusal {
    match lives.iter().find(|life| life.kid == kid) {
        None => Refusal::UnknownKey(kid.to_owned()),
        Some(KeyLife { exp: None, .. }) => Refusal::NoSuccessor(kid.to_owned()),
        Some(KeyLife { exp: Some(exp), .. }) => {
            Refusal::TokensLive { kid: kid.to_owned(), earliest: exp.to_rfc3339_opts(SecondsFormat::Secs, true) }
        }
    }
}

/// The emergency: a key that must not be trusted any more leaves at once, and with it every token that it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    /// What the key was doing.
    pub state: State,
    /// The key that signs from now on, where the retired one did; it may be unknown to verifiers for a lead.
    pub successor: Successor,
    /// The successor's first signature: so long ago that it signs where the clock is slow too.
    pub begins: DateTime<Utc>,
    /// The key that was to be replaced by the retired one, and now is not: it has no `exp` any more.
    pub released: Option<String>,
}

/// Who signs after an emergency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Successor {
    /// The same as before: the retired key did not sign.
    Unchanged,
    /// A key that was published already, and begins now.
    Promoted(String),
    /// There was none: a new one must be made.
    New,
}

/// What it means to retire `kid` at `now`.
pub fn retire(lives: &[KeyLife], kid: &str, now: DateTime<Utc>) -> Result<Retirement, Refusal> {
    let index = lives.iter().position(|life| life.kid == kid).ok_or_else(|| Refusal::UnknownKey(kid.to_owned()))?;
    let state = states(lives, now)[index];
    let next = lives.iter().find(|life| life.nbf > now && life.kid != kid);
    let successor = match (state, next) {
        (State::Signing, Some(next)) => Successor::Promoted(next.kid.clone()),
        (State::Signing, None) => Successor::New,
        _ => Successor::Unchanged,
    };
    let before = index.checked_sub(1).map(|index| &lives[index]);
    let begins = before.map_or(now - CLOCK_SKEW, |life| (now - CLOCK_SKEW).max(life.nbf + TimeDelta::seconds(1)));
    let released = before.filter(|_| state == State::Published).map(|life| life.kid.clone());
    Ok(Retirement { state, successor, begins, released })
}

#[cfg(test)]
mod tests;
