//! Decides how a set of keys changes: pure functions of the keys' times, the policy and the clock.
//! The caller carries the decision out.
//!
//! The promise: a verifier that fetches the JWKS at least once per lead accepts every token from
//! its issuance to its expiry. To keep the promise, a key is visible for one lead before it first
//! signs. After it last signed, it stays visible until its last token has expired.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use wxmint_verify::{Algorithm, MAX_LEEWAY};

pub use super::set::{CACHE_SHARE_OF_LEAD, KeyLife, KeyState, max_age, states};
pub use super::signing::signing;

/// The difference between clocks that verifiers allow.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(MAX_LEEWAY.as_secs() as i64);
/// The largest difference between the clocks of two replicas. The replica with the slower clock
/// signs with the old key for this much longer, and the one with the faster clock hides the old key
/// this much earlier.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// How often keys are replaced, and with what safety margins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPolicy {
    /// The time from one key's first signature to the next key's.
    pub every: TimeDelta,
    /// How long a key is visible before it signs. It must be longer than any verifier waits between
    /// two fetches.
    pub lead: TimeDelta,
    /// The life of tokens, from `iat` to `exp`.
    pub token_ttl: TimeDelta,
    /// The algorithm of new keys.
    pub algorithm: Algorithm,
}

/// Why a policy or a change is refused. Times are texts in the format of RFC 3339, durations are in
/// seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "keys cannot be replaced every {every} s when each is published {lead} s before it signs: make --every longer than --lead"
    )]
    EveryWithinLead { every: i64, lead: i64 },
    /// The key must stay because tokens that it signed may not have expired.
    #[error(
        "tokens that {kid} signed may be valid until {earliest}; after that, `keys rotate` removes the key"
    )]
    TokensLive { kid: String, earliest: String },
    /// The key must stay because no key has replaced it.
    #[error("no other key can replace {0} yet; `keys rotate` replaces it when it is due")]
    NoSuccessor(String),
    /// The set has no key with this `kid`.
    #[error("there is no key {0} in the set")]
    UnknownKey(String),
}

impl RotationPolicy {
    /// How long a key stays visible after its successor first signs: until the last token from the
    /// replica with the slowest clock has expired for a verifier with the full leeway, even on the
    /// replica with the fastest clock.
    pub fn retention(&self) -> TimeDelta {
        self.token_ttl + LEEWAY + CLOCK_SKEW
    }
}

/// The changes to make now. If all parts are empty, nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotationStep {
    /// The `kid`s of the keys to remove from the file. They have left the JWKS.
    pub drop: Vec<String>,
    /// The `kid`s of the keys that get an `exp`, because they have a successor.
    pub expire: Vec<(String, DateTime<Utc>)>,
    /// The algorithm of a key to generate, and its `nbf`.
    pub publish: Option<(Algorithm, DateTime<Utc>)>,
    /// When to plan again. Nothing changes before.
    pub next_look: Option<DateTime<Utc>>,
}

/// Plans the changes to `lives` (ordered by `nbf`) at `now`. The plan is idempotent: once the step
/// has been carried out, the next plan is empty. With `at_once` the next key is due now, however
/// long the signing key has signed.
pub fn plan(
    lives: &[KeyLife],
    policy: &RotationPolicy,
    now: DateTime<Utc>,
    at_once: bool,
) -> Result<RotationStep, Refusal> {
    if policy.every <= policy.lead {
        let every = policy.every.num_seconds();
        let lead = policy.lead.num_seconds();
        return Err(Refusal::EveryWithinLead { every, lead });
    }
    let nbf = publication(lives, policy, now, at_once);
    // For each key that has a successor, possibly the new key: the earliest time at which it may
    // leave the JWKS.
    let successors = lives.iter().skip(1).map(|life| life.nbf).chain(nbf);
    let owed = lives
        .iter()
        .zip(successors.map(|nbf| nbf + policy.retention()));
    let (gone, left): (Vec<_>, Vec<_>) =
        owed.partition(|(life, owed)| life.exp.unwrap_or(*owed).max(*owed) + policy.lead <= now);
    let drop = gone.into_iter().map(|(life, _)| life.kid.clone()).collect();
    let leave_too_soon = left
        .into_iter()
        .filter(|(life, owed)| life.exp.is_none_or(|exp| exp < *owed));
    let expire = leave_too_soon
        .map(|(life, owed)| (life.kid.clone(), owed))
        .collect();
    let publish = nbf.map(|nbf| (policy.algorithm, nbf));
    Ok(RotationStep {
        drop,
        expire,
        publish,
        next_look: next_look(lives, policy, now),
    })
}

/// The `nbf` of the next key, if a key is to be generated now. The next key is due one lead before
/// the signing key's term ends. It is due at once if the policy wants another algorithm, if the
/// last key has an `exp` although it has no successor, or if the operator asks for it (`at_once`).
/// No key is generated while the last key has not begun to sign.
fn publication(
    lives: &[KeyLife],
    policy: &RotationPolicy,
    now: DateTime<Utc>,
    at_once: bool,
) -> Option<DateTime<Utc>> {
    let last = lives.last().filter(|last| last.nbf <= now)?;
    let soonest = whole_second(now + policy.lead);
    let in_term = last.algorithm == policy.algorithm && last.exp.is_none() && !at_once;
    let nbf = if in_term {
        (last.nbf + policy.every).max(soonest)
    } else {
        soonest
    };
    (nbf == soonest).then_some(nbf)
}

/// Rounds up to a whole second, because files store whole seconds and nothing may happen early.
pub fn whole_second(at: DateTime<Utc>) -> DateTime<Utc> {
    let rest = i64::from(at.timestamp_subsec_nanos());
    if rest == 0 {
        at
    } else {
        at + TimeDelta::nanoseconds(1_000_000_000 - rest)
    }
}

/// When the next key is due or a key can be removed from the file, whichever comes first.
fn next_look(
    lives: &[KeyLife],
    policy: &RotationPolicy,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let last = lives.last()?;
    let stays = last.algorithm == policy.algorithm && last.exp.is_none();
    let due = if stays {
        last.nbf + policy.every - policy.lead
    } else {
        last.nbf
    };
    let drops = lives
        .iter()
        .filter_map(|life| life.exp)
        .map(|exp| exp + policy.lead);
    Some(drops.chain([due]).min()?.max(now))
}

/// Why `kid` cannot be removed, unless it is an emergency.
pub fn refuse_removal(lives: &[KeyLife], kid: &str) -> Refusal {
    match lives.iter().find(|life| life.kid == kid) {
        None => Refusal::UnknownKey(kid.to_owned()),
        Some(KeyLife { exp: None, .. }) => Refusal::NoSuccessor(kid.to_owned()),
        Some(KeyLife { exp: Some(exp), .. }) => Refusal::TokensLive {
            kid: kid.to_owned(),
            earliest: exp.to_rfc3339_opts(SecondsFormat::Secs, true),
        },
    }
}

/// An emergency retirement: a key that must no longer be trusted leaves the set at once, which
/// invalidates every token that it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    /// The state of the retired key; [`KeyState::Gone`] if the set lacks it.
    pub state: KeyState,
    /// The key that signs from now on. For up to one lead, verifiers may not have fetched it.
    pub successor: Successor,
    /// When the successor first signs: far enough in the past that it also signs on a replica with
    /// a slow clock.
    pub begins: DateTime<Utc>,
    /// The key that the retired key was going to replace. It loses its `exp`.
    pub released: Option<String>,
}

/// The key that signs after an emergency retirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Successor {
    /// The same key as before, because the retired key was not signing.
    Unchanged,
    /// The next published key, which begins to sign now.
    Promoted(String),
    /// A new key, because no other key was published; of the retired key's algorithm.
    New(Algorithm),
}

/// Plans the emergency retirement of `kid` at `now`. The set may lack the key, for example because
/// the file was replaced by another one: the tokens that the key signed must be refused all the
/// same. Fails only if `kid` is neither in the set nor a thumbprint.
pub fn retire(lives: &[KeyLife], kid: &str, now: DateTime<Utc>) -> Result<Retirement, Refusal> {
    let index = lives.iter().position(|life| life.kid == kid);
    if index.is_none() && !is_thumbprint(kid) {
        return Err(Refusal::UnknownKey(kid.to_owned()));
    }
    let state = index.map_or(KeyState::Gone, |index| states(lives, now)[index]);
    let next = lives.iter().find(|life| life.nbf > now && life.kid != kid);
    let successor = match (signing(lives, now), next) {
        (Some(signing), _) if index != Some(signing) => Successor::Unchanged,
        (_, Some(next)) => Successor::Promoted(next.kid.clone()),
        (_, None) => {
            let model = index.map(|index| &lives[index]).or(lives.last());
            Successor::New(model.map_or(Algorithm::Es256, |life| life.algorithm))
        }
    };
    let place = index.unwrap_or_else(|| lives.partition_point(|life| life.nbf <= now));
    let before = place.checked_sub(1).map(|index| &lives[index]);
    let begins = before.map_or(now - CLOCK_SKEW, |life| {
        (now - CLOCK_SKEW).max(life.nbf + TimeDelta::seconds(1))
    });
    let released = before
        .filter(|_| state == KeyState::Published)
        .map(|life| life.kid.clone());
    Ok(Retirement {
        state,
        successor,
        begins,
        released,
    })
}

/// Whether a text can be a `kid`: a SHA-256 in base64url (RFC 7638). Another text, such as half a
/// `kid` or a name, is an operator's mistake.
pub(super) fn is_thumbprint(kid: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(kid)
        .is_ok_and(|hash| hash.len() == 32)
}

#[cfg(test)]
mod tests;
