//! The keys of an issuer: a private JWK Set without contradictions, and the state of each key at a
//! time.

use chrono::{DateTime, TimeDelta, Utc};
use derive_more::Display;
use wxmint_verify::{Algorithm, KeyError, KeySource, PublicKey};

use super::signing::{is_gone, signing};
use super::stored::SPREADS_WITHIN;
use super::{RevokedKey, SigningKey, StoredKeys};

/// A proxy or CDN may cache the JWKS for one sixth of the lead. This adds to the time for which a
/// verifier does not see a new key. With a lead of 30 minutes, a cache takes up to 5 minutes, and
/// 25 remain for a verifier that fetches every 20.
pub const CACHE_SHARE_OF_LEAD: i32 = 6;

/// The keys of one issuer. The set is immutable; a changed file becomes a new set.
#[derive(Debug, Clone)]
pub struct KeySet {
    pub(super) keys: Vec<SigningKey>,
    /// The times of each key, ordered by `nbf`, like `keys`.
    pub lives: Vec<KeyLife>,
    /// The keys that were retired in an emergency. They are not published in the JWKS.
    pub revoked: Vec<RevokedKey>,
    /// All logins up to this second are revoked ([`StoredKeys::replace`]). In seconds since 1970.
    pub(super) all_revoked_at: Option<i64>,
    /// The ids of the keys that the revocation feed names, so that verifiers refuse them.
    pub in_feed: Vec<String>,
}

impl KeySet {
    /// Parses and checks a key file; see [`StoredKeys::parse`] and [`StoredKeys::check`].
    pub fn parse(json: &[u8]) -> Result<Self, KeyError> {
        StoredKeys::parse(json)?.check()
    }

    /// The public keys whose `exp` has not passed at `now`, even those that are revoked.
    pub fn visible(&self, now: DateTime<Utc>) -> impl Iterator<Item = &PublicKey> {
        self.keys
            .iter()
            .filter(move |key| !is_gone(&key.life, now))
            .map(SigningKey::public)
    }

    /// The public keys that the JWKS has at `now`: those of [`KeySet::visible`] that are not
    /// revoked.
    pub fn accepted(&self, now: DateTime<Utc>) -> impl Iterator<Item = &PublicKey> {
        self.visible(now).filter(|key| !self.is_revoked(key.kid()))
    }

    /// All keys, ordered by `nbf`.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter()
    }

    /// Whether this issuer had more than one key before `time`. A set that was made for a new
    /// installation has had one key. A key that was revoked after `time` does not count.
    pub fn has_history(&self, time: DateTime<Utc>) -> bool {
        let signing = self.lives.iter().filter(|life| life.nbf <= time);
        let were_all_revoked = self
            .all_revoked_at
            .is_some_and(|until| until - SPREADS_WITHIN.num_seconds() < time.timestamp());
        were_all_revoked || self.revoked.iter().any(|key| key.at() < time) || signing.count() > 1
    }

    /// Whether all logins were revoked at this second (since 1970) or later, so that no login from
    /// before is valid.
    pub fn has_revoked_all_since(&self, second: i64) -> bool {
        self.all_revoked_at
            .is_some_and(|until| until - SPREADS_WITHIN.num_seconds() >= second)
    }

    /// Checks that each key verifies what it signs; see [`SigningKey::self_test`].
    pub fn self_test(&self) -> Result<(), KeyError> {
        self.keys.iter().try_for_each(SigningKey::self_test)
    }
}

/// All keys of [`KeySet::accepted`] verify, even a key that does not sign yet: on a replica whose
/// clock is ahead, it may already sign.
impl KeySource for KeySet {
    fn key(&self, kid: &str, now: DateTime<Utc>) -> Option<&PublicKey> {
        self.accepted(now).find(|key| key.kid() == kid)
    }
}

/// The dates of a key, by which its state follows from the clock ([`states`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLife {
    /// The key's RFC 7638 thumbprint.
    pub kid: String,
    /// The algorithm that the key signs with.
    pub algorithm: Algorithm,
    /// When the key first signs.
    pub nbf: DateTime<Utc>,
    /// When the key leaves the JWKS.
    pub exp: Option<DateTime<Utc>>,
}

/// The state of a key at a time. Listings and metrics show it in lower case.
#[derive(Debug, Display, Clone, Copy, PartialEq, Eq)]
#[display(rename_all = "lowercase")]
pub enum KeyState {
    /// The key is in the JWKS and does not sign yet.
    Published,
    /// The key signs new tokens.
    Signing,
    /// The key no longer signs. It stays in the JWKS until the tokens that it signed have expired.
    Retired,
    /// The key is no longer in the JWKS.
    Gone,
}

/// The state of each key, in the order of `lives`, which must be ordered by `nbf`.
pub fn states(lives: &[KeyLife], now: DateTime<Utc>) -> Vec<KeyState> {
    let signing = signing(lives, now);
    lives
        .iter()
        .enumerate()
        .map(|(index, life)| {
            if is_gone(life, now) {
                KeyState::Gone
            } else if Some(index) == signing {
                KeyState::Signing
            } else if life.nbf > now {
                KeyState::Published
            } else {
                KeyState::Retired
            }
        })
        .collect()
}

/// How long a cache may keep the JWKS that it fetches at `now`: one sixth of the lead
/// ([`CACHE_SHARE_OF_LEAD`]), and never past the next key's first signature. `lives` must be
/// ordered by `nbf`.
pub fn max_age(lives: &[KeyLife], lead: TimeDelta, now: DateTime<Utc>) -> TimeDelta {
    let longest = lead / CACHE_SHARE_OF_LEAD;
    let next = lives.iter().map(|life| life.nbf).find(|&nbf| nbf > now);
    next.map_or(longest, |nbf| longest.min(nbf - now))
}

#[cfg(test)]
mod tests {
    use wxmint_verify::PublicKeySet;

    use super::*;
    use crate::{KeyRing, PrivateJwk};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn file_of(keys: &[PrivateJwk]) -> serde_json::Value {
        serde_json::from_slice(&StoredKeys::of(keys).content()).expect("JSON")
    }

    fn parse(file: &serde_json::Value) -> Result<KeySet, KeyError> {
        KeySet::parse(file.to_string().as_bytes())
    }

    #[test]
    fn a_generated_key_of_each_algorithm_is_read_back_and_passes_its_self_test() {
        for algorithm in crate::SIGNED_WITH {
            let key = PrivateJwk::generate(algorithm, at(0)).expect("a key");
            let set = KeySet::parse(&StoredKeys::of(&[key]).content()).expect("a set");
            assert_eq!(
                set.signing(at(1)).expect("signs").public().algorithm(),
                algorithm
            );
            let public =
                serde_json::to_value(set.signing(at(1)).expect("signs").public()).expect("JSON");
            assert_eq!(public["alg"], algorithm.name());
            set.self_test().expect("signs and verifies");
        }
    }

    #[test]
    fn a_time_that_leaves_no_room_to_count_on_from_it_is_refused() {
        let last = 253_402_300_799;
        let policy = crate::rotation::RotationPolicy {
            every: TimeDelta::days(365),
            lead: TimeDelta::days(1),
            token_ttl: TimeDelta::days(30),
            algorithm: Algorithm::EdDsa,
        };
        for (member, seconds, is_read) in [
            ("nbf", last, true),
            ("exp", last, true),
            ("nbf", i64::from(i32::MIN) * 2000, true),
            ("nbf", last + 1, false),
            ("exp", last + 1, false),
            ("exp", 8_210_266_876_799, false),
            ("nbf", i64::MAX, false),
        ] {
            let mut file = file_of(
                &[0, 100]
                    .map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key")),
            );
            file["keys"][0][member] = seconds.into();
            let set = parse(&file);
            let planned = set
                .as_ref()
                .map(|set| crate::rotation::plan(&set.lives, &policy, at(200), false).is_ok());
            assert_eq!(
                planned.is_ok_and(|planned| planned),
                is_read,
                "{member} {seconds}"
            );
            assert!(
                is_read
                    || set
                        .expect_err("refused")
                        .to_string()
                        .contains("before the year 10000")
            );
        }
    }

    #[test]
    fn the_key_with_the_latest_nbf_that_has_come_signs() {
        let [old, new] =
            [100, 200].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = KeySet::parse(&StoredKeys::of(&[new, old]).content()).expect("a set");
        let [old, new] = [0, 1].map(|index| set.keys[index].public().kid());
        assert_eq!(
            set.signing(at(99)).expect_err("none yet"),
            KeyError::NoneSigning {
                earliest: at(100).to_rfc3339()
            }
        );
        assert_eq!(set.signing(at(100)).expect("old").public().kid(), old);
        assert_eq!(set.signing(at(199)).expect("old").public().kid(), old);
        assert_eq!(set.signing(at(200)).expect("new").public().kid(), new);
        assert_eq!(
            set.visible(at(0)).count(),
            2,
            "a key is published before it signs"
        );
    }

    #[test]
    fn a_key_leaves_the_set_at_its_exp() {
        let keys =
            [100, 200].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let mut file = file_of(&keys);
        file["keys"][0]["exp"] = 300.into();
        let set = parse(&file).expect("a set");
        assert_eq!(
            (set.visible(at(299)).count(), set.visible(at(300)).count()),
            (2, 1)
        );
    }

    #[test]
    fn a_damaged_key_is_named_and_its_members_are_not_shown() {
        let good = file_of(&[PrivateJwk::generate(Algorithm::Es256, at(0)).expect("a key")]);
        let spoiled = |member: &str, value: serde_json::Value| {
            let mut file = good.clone();
            file["keys"][0][member] = value;
            parse(&file).expect_err(member).to_string()
        };
        let d = good["keys"][0]["d"].as_str().expect("d").to_owned();
        assert!(spoiled("kid", "other".into()).contains("thumbprint"));
        assert!(spoiled("alg", "HS256".into()).contains("`alg`"));
        assert!(spoiled("use", "enc".into()).contains("`use`"));
        assert!(spoiled("x", good["keys"][0]["y"].clone()).contains("not a point"));
        assert!(spoiled("d", "AAAA".into()).contains("32 bytes"));
        assert!(spoiled("d", serde_json::Value::Null).contains("`d` is missing"));
        let shown = spoiled("d", format!("{d}=").into());
        assert!(
            shown.contains("base64url") && !shown.contains(&d),
            "{shown}"
        );
        let shown = spoiled("nbf", d.as_str().into());
        assert!(shown.contains("line 1") && !shown.contains(&d), "{shown}");
    }

    #[test]
    fn two_keys_with_the_same_kid_or_nbf_are_refused() {
        let key = PrivateJwk::generate(Algorithm::EdDsa, at(5)).expect("a key");
        let twin = PrivateJwk::generate(Algorithm::EdDsa, at(5)).expect("a key");
        for (keys, member) in [
            ([key.clone(), key.clone()], "`kid`"),
            ([key, twin], "`nbf`"),
        ] {
            let error = KeySet::parse(&StoredKeys::of(&keys).content()).expect_err("ambiguous");
            assert!(error.to_string().contains(member), "{error}");
        }
        assert_eq!(
            KeySet::parse(br#"{"keys":[]}"#).expect_err("empty"),
            KeyError::Empty
        );
    }

    #[test]
    fn a_key_that_ended_names_neither_signs_nor_verifies() {
        let keys =
            [100, 200].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let mut file = file_of(&keys);
        file["revoked"] = serde_json::json!([{"kid": keys[1].kid(), "at": 300}]);
        let set = parse(&file).expect("a set");
        assert_eq!(
            set.signing(at(300)).expect("signs").public().kid(),
            keys[0].kid()
        );
        assert!(
            set.key(keys[1].kid(), at(300)).is_none() && set.key(keys[0].kid(), at(300)).is_some()
        );
        file["revoked"] =
            serde_json::json!([{"kid": keys[0].kid(), "at": 0}, {"kid": keys[1].kid(), "at": 0}]);
        assert_eq!(parse(&file).expect_err("none is left"), KeyError::Empty);
    }

    #[test]
    fn no_debug_text_holds_a_private_part() {
        let key = PrivateJwk::generate(Algorithm::Es256, at(0)).expect("a key");
        let d = file_of(std::slice::from_ref(&key))["keys"][0]["d"]
            .as_str()
            .expect("d")
            .to_owned();
        let set =
            KeySet::parse(&StoredKeys::of(std::slice::from_ref(&key)).content()).expect("a set");
        assert!(!format!("{key:?} {set:?}").contains(&d));
    }

    #[test]
    fn a_cache_never_keeps_the_set_past_the_next_keys_first_signature() {
        let keys =
            [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let ring = KeyRing::new(set, at(1)).expect("a ring");
        for (now, longest) in [(1, 300), (700, 300), (701, 299), (999, 1), (1000, 300)] {
            let max_age = max_age(&ring.set().lives, TimeDelta::minutes(30), at(now));
            assert_eq!(max_age.num_seconds(), longest, "at {now}");
        }
        let published =
            serde_json::to_string(&ring.set().visible(at(2)).collect::<PublicKeySet<'_>>());
        assert!(!published.expect("JSON").contains("\"d\""));
    }
}
