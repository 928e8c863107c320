//! A private JWK Set whose keys fit each other.

use chrono::{DateTime, Utc};
use wxmint_verify::{KeyError, KeySource, PublicKey};

use super::rotation::{self, KeyLife};
use super::{EndedKey, SigningKey, StoredKeys};

/// The keys of one issuer. The set is immutable; a changed file becomes a new set.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// Ordered by `nbf`, like `lives`.
    keys: Vec<SigningKey>,
    lives: Vec<KeyLife>,
    /// Not published with the keys.
    ended: Vec<EndedKey>,
}

impl KeySet {
    /// Parses the content of a key file.
    pub fn parse(json: &[u8]) -> Result<Self, KeyError> {
        StoredKeys::parse(json)?.check()
    }

    pub(super) fn new(mut keys: Vec<SigningKey>, ended: Vec<EndedKey>) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        keys.sort_by_key(SigningKey::nbf);
        let lives = keys.iter().map(SigningKey::life).collect();
        for (index, key) in keys.iter().enumerate() {
            for other in &keys[index + 1..] {
                let same_kid = key.public().kid() == other.public().kid();
                if same_kid || key.nbf() == other.nbf() {
                    let member = if same_kid { "kid" } else { "nbf" };
                    let [first, second] = [key, other].map(|key| key.label().to_owned());
                    return Err(KeyError::Ambiguous { first, second, member });
                }
            }
        }
        Ok(Self { keys, lives, ended })
    }

    pub fn signing(&self, now: DateTime<Utc>) -> Result<&SigningKey, KeyError> {
        let signing = rotation::signing(&self.lives, now).map(|index| &self.keys[index]);
        signing.ok_or_else(|| KeyError::NoneSigning { earliest: self.keys[0].nbf().to_rfc3339() })
    }

    /// The times of each key, ordered by `nbf`.
    pub fn lives(&self) -> &[KeyLife] {
        &self.lives
    }

    /// The keys that were retired before their time.
    pub fn ended(&self) -> &[EndedKey] {
        &self.ended
    }

    /// The public keys that are in the JWKS at `now`: all keys whose `exp` has not passed.
    pub fn visible(&self, now: DateTime<Utc>) -> impl Iterator<Item = &PublicKey> {
        let visible = move |(_, life): &(&SigningKey, &KeyLife)| !rotation::is_gone(life, now);
        self.keys.iter().zip(&self.lives).filter(visible).map(|(key, _)| key.public())
    }

    /// The last time before `now` and the next time after it at which [`KeySet::signing`] or [`KeySet::visible`]
    /// changes by the clock alone.
    pub fn changes_around(&self, now: DateTime<Utc>) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let changes = || self.lives.iter().flat_map(|life| [Some(life.nbf), life.exp]).flatten();
        (changes().filter(|&at| at <= now).max(), changes().filter(|&at| at > now).min())
    }

    /// All keys, ordered by `nbf`.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter()
    }

    pub fn self_test(&self) -> Result<(), KeyError> {
        self.keys.iter().try_for_each(SigningKey::self_test)
    }
}

/// Every visible key verifies, even one that does not sign yet, because another replica's clock may be ahead.
impl KeySource for KeySet {
    fn key(&self, kid: &str, now: DateTime<Utc>) -> Option<&PublicKey> {
        self.visible(now).find(|key| key.kid() == kid)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{KeyRing, PrivateJwk};
    use wxmint_verify::Algorithm;

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
            assert_eq!(set.signing(at(1)).expect("signs").public().algorithm(), algorithm);
            let public = serde_json::to_value(set.signing(at(1)).expect("signs").public()).expect("JSON");
            assert_eq!(public["alg"], algorithm.name());
            set.self_test().expect("signs and verifies");
        }
    }

    #[test]
    fn the_key_with_the_latest_nbf_that_has_come_signs() {
        let [old, new] = [100, 200].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = KeySet::parse(&StoredKeys::of(&[new, old]).content()).expect("a set");
        let [old, new] = [0, 1].map(|index| set.keys[index].public().kid());
        assert_eq!(
            set.signing(at(99)).expect_err("none yet"),
            KeyError::NoneSigning { earliest: at(100).to_rfc3339() }
        );
        assert_eq!(set.signing(at(100)).expect("old").public().kid(), old);
        assert_eq!(set.signing(at(199)).expect("old").public().kid(), old);
        assert_eq!(set.signing(at(200)).expect("new").public().kid(), new);
        assert_eq!(set.visible(at(0)).count(), 2, "a key is published before it signs");
    }

    #[test]
    fn a_key_leaves_the_set_at_its_exp() {
        let keys = [100, 200].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let mut file = file_of(&keys);
        file["keys"][0]["exp"] = 300.into();
        let set = parse(&file).expect("a set");
        assert_eq!((set.visible(at(299)).count(), set.visible(at(300)).count()), (2, 1));
        assert_eq!(set.changes_around(at(200)).1, Some(at(300)));
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
        assert!(shown.contains("base64url") && !shown.contains(&d), "{shown}");
        let shown = spoiled("nbf", d.as_str().into());
        assert!(shown.contains("line 1") && !shown.contains(&d), "{shown}");
    }

    #[test]
    fn two_keys_with_the_same_kid_or_nbf_are_refused() {
        let key = PrivateJwk::generate(Algorithm::EdDsa, at(5)).expect("a key");
        let twin = PrivateJwk::generate(Algorithm::EdDsa, at(5)).expect("a key");
        for (keys, member) in [([key.clone(), key.clone()], "`kid`"), ([key, twin], "`nbf`")] {
            let error = KeySet::parse(&StoredKeys::of(&keys).content()).expect_err("ambiguous");
            assert!(error.to_string().contains(member), "{error}");
        }
        assert_eq!(KeySet::parse(br#"{"keys":[]}"#).expect_err("empty"), KeyError::Empty);
    }

    #[test]
    fn a_key_that_ended_names_neither_signs_nor_verifies() {
        let keys = [100, 200].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let mut file = file_of(&keys);
        file["ended"] = serde_json::json!([{"kid": keys[1].kid(), "at": 300}]);
        let set = parse(&file).expect("a set");
        assert_eq!(set.signing(at(300)).expect("signs").public().kid(), keys[0].kid());
        assert!(set.key(keys[1].kid(), at(300)).is_none() && set.key(keys[0].kid(), at(300)).is_some());
        file["ended"] = serde_json::json!([{"kid": keys[0].kid(), "at": 0}, {"kid": keys[1].kid(), "at": 0}]);
        assert_eq!(parse(&file).expect_err("none is left"), KeyError::Empty);
    }

    #[test]
    fn a_key_that_does_not_verify_what_it_signs_is_never_in_use() {
        let keys = [100, 200].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let good = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let mut spoiled = good.clone();
        spoiled.keys[0].pair = good.keys[1].pair.clone();
        let ring = KeyRing::new(good, TimeDelta::minutes(30), at(300)).expect("a ring");
        let refused = ring.swap(spoiled, at(300)).expect_err("spoiled").to_string();
        assert!(refused.contains("it does not verify what it signs"), "{refused}");
    }

    #[test]
    fn no_debug_text_holds_a_private_part() {
        let key = PrivateJwk::generate(Algorithm::Es256, at(0)).expect("a key");
        let d = file_of(std::slice::from_ref(&key))["keys"][0]["d"].as_str().expect("d").to_owned();
        let set = KeySet::parse(&StoredKeys::of(std::slice::from_ref(&key)).content()).expect("a set");
        assert!(!format!("{key:?} {set:?}").contains(&d));
    }
}
