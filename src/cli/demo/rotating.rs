//! Keys that are rotated before one's eyes, by the rules of `wxmint keys rotate` with a lead of seconds.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::TimeDelta;
use wxmint_keys::{
    KeyRing, StoredKeys,
    rotation::{self, KeyLife, KeyState, RotationPolicy},
};
use wxmint_simulator::KeyTimes;

use crate::clock::now;

/// Longer than the 9 s that the demo's services wait at most between two fetches of the keys (`verify::peer`).
pub(super) const LEAD: TimeDelta = TimeDelta::seconds(12);

/// The keys as a key file would hold them, and the ring that signs with them.
pub(super) struct Rotator {
    pub(super) stored: Mutex<StoredKeys>,
    pub(super) ring: Arc<KeyRing>,
    pub(super) policy: RotationPolicy,
}

impl Rotator {
    /// The keys in the JWKS.
    pub(super) fn keys(&self) -> Vec<KeyTimes> {
        let (ring, now) = (self.ring.current(), now());
        let lives = ring.set().lives();
        let with_states = lives.iter().zip(rotation::states(lives, now));
        with_states.filter(|(_, state)| *state != KeyState::Gone).map(key_times).collect()
    }

    /// Does nothing while a key is published that does not sign yet.
    pub(super) fn rotate(&self) -> bool {
        self.try_rotate().inspect_err(|reason| tracing::error!(reason, "the keys are not rotated")).is_ok()
    }

    fn try_rotate(&self) -> Result<(), String> {
        let (mut stored, now) = (self.stored.lock().unwrap_or_else(PoisonError::into_inner), now());
        let step = rotation::plan(stored.check().map_err(text)?.lives(), &self.policy, now).map_err(text)?;
        stored.apply(&step).map_err(text)?;
        self.ring.swap(stored.check().map_err(text)?, now).map_err(text)
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

fn key_times((life, state): (&KeyLife, KeyState)) -> KeyTimes {
    let exp = life.exp.map(|exp| exp.timestamp());
    KeyTimes { kid: life.kid.clone(), state: state.name(), nbf: life.nbf.timestamp(), exp }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxmint_keys::PrivateJwk;
    use wxmint_verify::Algorithm;

    #[test]
    fn a_rotation_publishes_one_key_that_signs_after_the_lead_and_keeps_the_old_one() {
        let key = PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::minutes(1)).expect("a key");
        let stored = StoredKeys::of([key]);
        let set = stored.check().expect("a set");
        let ring = Arc::new(KeyRing::new(set, LEAD, now()).expect("a ring"));
        let rotator = Rotator { stored: Mutex::new(stored), ring, policy: super::super::policy(60) };
        assert!(rotator.rotate() && rotator.rotate(), "the second rotation changes nothing");
        let [old, new] = rotator.keys().try_into().expect("two keys");
        assert_eq!((old.state, new.state), ("signing", "published"));
        assert_eq!(old.exp, Some(new.nbf + 60 + 60 + 60), "the token's life, the leeway and the clocks' difference");
        assert!((new.nbf - now().timestamp() - LEAD.num_seconds()).abs() <= 1, "{new:?}");
        assert_eq!(rotator.ring.at(now()).signing(now()).expect("signs").public().kid(), old.kid);
    }
}
