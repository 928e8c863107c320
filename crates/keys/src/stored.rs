//! The key set as it is stored in a file or a Secret, where commands change it.

use std::mem;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use wxmint_verify::KeyError;
use zeroize::Zeroizing;

use super::rotation::{Retirement, RotationStep, Successor, is_thumbprint};
use super::{KeySet, PrivateJwk, SigningKey, set::KeyLife};

/// How long after a change of the file a replica may still sign with the old keys: replicas read
/// the file within 5 s, and clocks differ by up to a minute.
pub(super) const SPREADS_WITHIN: TimeDelta = TimeDelta::seconds(65);
/// How long a revoked key is kept in the file: the longest life of a token, plus five minutes
/// within which all replicas have learnt of the revocation.
const REVOKED_KEPT: TimeDelta = TimeDelta::seconds(30 * 86_400 + 5 * 60);
/// The characters of a `kid`.
const KID_CHARS: usize = 43;

/// A private JWK Set with all members. Every key has a `kid`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StoredKeys {
    keys: Vec<PrivateJwk>,
    /// The keys that were retired in an emergency, as long as tokens that they signed may not have
    /// expired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<RevokedKey>,
    /// All logins up to this second (since 1970) are revoked, also those whose tokens a site can
    /// refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all_revoked_at: Option<i64>,
}

/// A key that was retired in an emergency. Every replica, also one that starts later, publishes it
/// in the revocation feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedKey {
    /// The key's `kid`.
    pub kid: String,
    /// When the key was revoked, in seconds since 1970.
    at: i64,
}

impl RevokedKey {
    /// When the key was revoked.
    pub fn at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.at, 0).unwrap_or_default()
    }
}

impl StoredKeys {
    /// Parses `{"keys":[…]}`. An unusable key is an error: if it were left out, verifiers could not
    /// verify the tokens that it signed. A key that `revoked` names is left out, because its tokens
    /// must not be accepted.
    pub fn parse(json: &[u8]) -> Result<Self, KeyError> {
        // Only the position is reported, because serde_json's message quotes the value, which may
        // be a private member.
        let mut stored: Self = serde_json::from_slice(json).map_err(|error| {
            KeyError::Syntax(format!("line {}, column {}", error.line(), error.column()))
        })?;
        for (index, key) in stored.keys.iter_mut().enumerate() {
            key.name_itself(index)?;
        }
        let Self { keys, revoked, .. } = &mut stored;
        // Half of a `kid` would revoke no key, and a long text would make the feed's pages longer
        // than verifiers read.
        if let Some(RevokedKey { kid, .. }) =
            revoked.iter().find(|revoked| !is_thumbprint(&revoked.kid))
        {
            let key = format!(
                "{} in `revoked`",
                kid.chars().take(KID_CHARS).collect::<String>()
            );
            let reason = "`kid` must be the whole id, as `keys list` prints it".into();
            return Err(KeyError::Unusable { key, reason });
        }
        keys.retain(|key| revoked.iter().all(|revoked| revoked.kid != key.kid()));
        Ok(stored)
    }

    /// A set of these keys, without revoked keys.
    pub fn of(keys: impl Into<Vec<PrivateJwk>>) -> Self {
        Self {
            keys: keys.into(),
            ..Self::default()
        }
    }

    /// Checks each key and that no two keys have the same `kid` or `nbf`, and makes a [`KeySet`].
    /// Fails with [`KeyError::Empty`] if there is no key.
    pub fn check(&self) -> Result<KeySet, KeyError> {
        let keys = self
            .keys
            .iter()
            .enumerate()
            .map(|(index, jwk)| SigningKey::from_jwk(jwk, index));
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        keys.sort_by_key(|key| key.life.nbf);
        for (index, key) in keys.iter().enumerate() {
            for other in &keys[index + 1..] {
                let same_kid = key.public().kid() == other.public().kid();
                if same_kid || key.life.nbf == other.life.nbf {
                    let member = if same_kid { "kid" } else { "nbf" };
                    let [first, second] = [key, other].map(|key| key.label.clone());
                    return Err(KeyError::Ambiguous {
                        first,
                        second,
                        member,
                    });
                }
            }
        }
        let lives = keys.iter().map(|key| key.life.clone()).collect();
        let Self {
            revoked,
            all_revoked_at,
            ..
        } = self.clone();
        Ok(KeySet {
            keys,
            lives,
            revoked,
            all_revoked_at,
            in_feed: Vec::new(),
        })
    }

    /// The times of the keys, ordered by `nbf`. The list is empty if all keys are revoked.
    pub fn lives(&self) -> Result<Vec<KeyLife>, KeyError> {
        match self.check() {
            Err(KeyError::Empty) if !self.revoked.is_empty() => Ok(Vec::new()),
            set => Ok(set?.lives),
        }
    }

    /// The content of the key file: JSON with a line break at its end. It has the private keys.
    pub fn content(&self) -> Zeroizing<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self).expect("strings and numbers serialize");
        json.push(b'\n');
        Zeroizing::new(json)
    }

    /// Purges the revoked keys whose tokens have all expired. Returns their `kid`s.
    ///
    /// Today's setting for the life of tokens may not be the setting under which a key signed, so
    /// this assumes the longest life that any setting allows.
    pub fn purge_revoked(&mut self, now: DateTime<Utc>) -> Vec<String> {
        self.revoked
            .extract_if(.., |key| key.at() <= now - REVOKED_KEPT)
            .map(|key| key.kid)
            .collect()
    }

    /// Carries out a step of [`super::rotation::plan`].
    pub fn apply(&mut self, step: &RotationStep) -> Result<(), KeyError> {
        self.keys
            .retain(|key| !step.drop.iter().any(|kid| key.kid() == kid));
        for (kid, exp) in &step.expire {
            for key in self.keys.iter_mut().filter(|key| key.kid() == kid) {
                key.exp = Some(exp.timestamp());
            }
        }
        if let Some((algorithm, nbf)) = step.publish {
            self.keys.push(PrivateJwk::generate(algorithm, nbf)?);
        }
        Ok(())
    }

    /// Carries out an emergency retirement that [`super::rotation::retire`] has planned.
    pub fn retire(
        &mut self,
        kid: &str,
        retirement: &Retirement,
        now: DateTime<Utc>,
    ) -> Result<(), KeyError> {
        self.revoke(kid, now);
        if let Some(released) = &retirement.released {
            for key in self.keys.iter_mut().filter(|key| key.kid() == released) {
                key.exp = None;
            }
        }
        match &retirement.successor {
            Successor::Unchanged => {}
            Successor::Promoted(next) => {
                let nbf = Some(retirement.begins.timestamp());
                for key in self.keys.iter_mut().filter(|key| key.kid() == next) {
                    key.nbf = nbf;
                }
            }
            Successor::New(algorithm) => self
                .keys
                .push(PrivateJwk::generate(*algorithm, retirement.begins)?),
        }
        Ok(())
    }

    /// Revokes all keys and all logins at `now`, and puts `key` in their place.
    pub fn replace(&mut self, key: PrivateJwk, now: DateTime<Utc>) {
        self.all_revoked_at = Some((now + SPREADS_WITHIN).timestamp());
        let old = mem::replace(&mut self.keys, vec![key]);
        for key in &old {
            self.revoke(key.kid(), now);
        }
    }

    /// Moves a key to `revoked`, even if it has not signed yet: a thief of the key could sign with
    /// it, and verifiers have fetched it already.
    fn revoke(&mut self, kid: &str, now: DateTime<Utc>) {
        self.keys.retain(|key| key.kid() != kid);
        self.revoked.retain(|revoked| revoked.kid != kid);
        self.revoked.push(RevokedKey {
            kid: kid.to_owned(),
            at: now.timestamp(),
        });
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use wxmint_verify::{Algorithm, LONGEST_LIFE};

    use super::*;
    use crate::rotation::retire;

    #[test]
    fn a_revocation_that_names_no_whole_kid_is_refused() {
        let key = PrivateJwk::generate(Algorithm::EdDsa, DateTime::UNIX_EPOCH).expect("a key");
        let kid = key.kid().to_owned();
        for (named, shown) in [
            (&kid[..20], &kid[..20]),
            ("", ""),
            (&"x".repeat(1_000_000), &*"x".repeat(KID_CHARS)),
        ] {
            let mut stored = StoredKeys::of([key.clone()]);
            stored.revoked.push(RevokedKey {
                kid: named.to_owned(),
                at: 0,
            });
            let refused = StoredKeys::parse(&stored.content())
                .expect_err("no kid")
                .to_string();
            assert_eq!(
                refused,
                format!(
                    "key {shown} in `revoked`: `kid` must be the whole id, as `keys list` prints it"
                )
            );
        }
    }

    #[test]
    fn whoever_replaces_all_keys_ends_all_logins_and_this_is_never_forgotten() {
        // The second one is published and has not signed yet.
        let [old, next, new] = [0, 3_600, 1].map(|second| {
            PrivateJwk::generate(
                Algorithm::EdDsa,
                DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
            )
            .expect("a key")
        });
        let kids = [&old, &next].map(|key| key.kid().to_owned());
        let mut stored = StoredKeys::of([old, next]);
        assert_eq!(stored.check().expect("a set").all_revoked_at, None);
        stored.replace(new, DateTime::UNIX_EPOCH + TimeDelta::seconds(100));
        let revoked = stored.revoked.iter().map(|revoked| &revoked.kid);
        assert!(revoked.eq(&kids), "{:?}", stored.revoked);
        stored.purge_revoked(DateTime::UNIX_EPOCH + TimeDelta::days(365));
        let read = KeySet::parse(&stored.content()).expect("a set");
        assert_eq!((read.all_revoked_at, read.revoked), (Some(165), vec![]));
    }

    #[test]
    fn an_end_is_noted_once_with_its_latest_time_until_no_token_of_the_key_can_be_left() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let key = PrivateJwk::generate(Algorithm::EdDsa, at(0)).expect("a key");
        let (kid, mut stored) = (key.kid().to_owned(), StoredKeys::of([key]));
        for now in [100, 200] {
            let retirement = retire(&stored.lives().expect("a set"), &kid, at(now)).expect("a kid");
            stored.retire(&kid, &retirement, at(now)).expect("retired");
        }
        assert_eq!(
            stored.revoked,
            [RevokedKey {
                kid: kid.clone(),
                at: 200
            }]
        );
        assert_eq!(
            stored.lives().expect("a set").len(),
            1,
            "the second time another key signs already"
        );
        let longest = LONGEST_LIFE.as_secs() as i64;
        assert_eq!(REVOKED_KEPT.num_seconds(), longest + 300);
        assert_eq!(
            stored.purge_revoked(at(200 + longest + 299)),
            [""; 0],
            "whatever life tokens have today"
        );
        assert_eq!(stored.purge_revoked(at(200 + longest + 300)), [kid]);
        assert_eq!(stored.revoked, []);
        stored.revoked.push(RevokedKey {
            kid: "a".into(),
            at: 8_210_266_876_799,
        });
        assert_eq!(
            stored.purge_revoked(at(0)),
            [""; 0],
            "a time that leaves no room to count on from it"
        );
    }
}
