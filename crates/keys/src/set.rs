//! The keys of an issuer: a private JWK Set whose keys fit each other, what each key is for at a time, and the set in
//! use with the JWKS that publishes it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use derive_more::Display;
use wxmint_verify::{Algorithm, KeyError, KeySource, PublicKey, PublicKeySet, PublishedKeys};

use super::{EndedKey, SigningKey, StoredKeys};

/// A proxy or CDN may cache the JWKS for one sixth of the lead, which adds to the time for which a verifier does not
/// see a new key. With a lead of 30 minutes that is 5 minutes, and 25 remain for a verifier that fetches every 20.
pub const CACHE_SHARE_OF_LEAD: i32 = 6;

/// The keys of one issuer. The set is immutable; a changed file becomes a new set.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// Ordered by `nbf`, like `lives`.
    keys: Vec<SigningKey>,
    lives: Vec<KeyLife>,
    /// Not published with the keys.
    ended: Vec<EndedKey>,
    pub(super) all_ended_at: Option<i64>,
}

impl KeySet {
    pub fn parse(json: &[u8]) -> Result<Self, KeyError> {
        StoredKeys::parse(json)?.check()
    }

    pub(super) fn new(
        mut keys: Vec<SigningKey>,
        ended: Vec<EndedKey>,
        all_ended_at: Option<i64>,
    ) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        keys.sort_by_key(|key| key.life.nbf);
        let lives = keys.iter().map(|key| key.life.clone()).collect();
        for (index, key) in keys.iter().enumerate() {
            for other in &keys[index + 1..] {
                let same_kid = key.public().kid() == other.public().kid();
                if same_kid || key.life.nbf == other.life.nbf {
                    let member = if same_kid { "kid" } else { "nbf" };
                    let [first, second] = [key, other].map(|key| key.label.clone());
                    return Err(KeyError::Ambiguous { first, second, member });
                }
            }
        }
        Ok(Self { keys, lives, ended, all_ended_at })
    }

    pub fn signing(&self, now: DateTime<Utc>) -> Result<&SigningKey, KeyError> {
        let signing = signing(&self.lives, now).map(|index| &self.keys[index]);
        signing.ok_or_else(|| KeyError::NoneSigning { earliest: self.lives[0].nbf.to_rfc3339() })
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
        self.keys.iter().filter(move |key| !is_gone(&key.life, now)).map(SigningKey::public)
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLife {
    pub kid: String,
    pub algorithm: Algorithm,
    /// When the key first signs.
    pub nbf: DateTime<Utc>,
    /// When the key leaves the JWKS.
    pub exp: Option<DateTime<Utc>>,
}

/// Listings and metrics name it so.
#[derive(Debug, Display, Clone, Copy, PartialEq, Eq)]
#[display(rename_all = "lowercase")]
pub enum KeyState {
    /// In the JWKS, and does not sign yet.
    Published,
    Signing,
    /// No longer signs, and stays in the JWKS for the tokens that it signed.
    Retired,
    /// No longer in the JWKS.
    Gone,
}

/// The index of the key that signs at `now`: among the keys whose `nbf` has come and whose `exp` has not, the one with
/// the latest `nbf`. `lives` must be ordered by `nbf`.
pub fn signing(lives: &[KeyLife], now: DateTime<Utc>) -> Option<usize> {
    lives.iter().rposition(|life| life.nbf <= now && !is_gone(life, now))
}

/// The state of each key, in the order of `lives`, which must be ordered by `nbf`.
pub fn states(lives: &[KeyLife], now: DateTime<Utc>) -> Vec<KeyState> {
    let signing = signing(lives, now);
    let state = |(index, life): (usize, &KeyLife)| match () {
        () if is_gone(life, now) => KeyState::Gone,
        () if Some(index) == signing => KeyState::Signing,
        () if life.nbf > now => KeyState::Published,
        () => KeyState::Retired,
    };
    lives.iter().enumerate().map(state).collect()
}

pub(super) fn is_gone(life: &KeyLife, now: DateTime<Utc>) -> bool {
    life.exp.is_some_and(|exp| exp <= now)
}

/// How long a cache may keep the JWKS that it fetches at `now`: its share of the lead, and never past the next key's
/// first signature. `lives` must be ordered by `nbf`.
pub fn max_age(lives: &[KeyLife], lead: TimeDelta, now: DateTime<Utc>) -> TimeDelta {
    let longest = lead / CACHE_SHARE_OF_LEAD;
    let next = lives.iter().map(|life| life.nbf).find(|&nbf| nbf > now);
    next.map_or(longest, |nbf| longest.min(nbf - now))
}

/// A key set with all that signing and publishing need at one time. JWKS and ETag are computed once per change of the
/// keys, not per request.
pub struct Ring {
    pub set: KeySet,
    lead: TimeDelta,
    pub jwks: Vec<u8>,
    /// A strong ETag of the JWKS, with its quotes.
    pub etag: String,
    /// When the visible keys or the signing key last changed (`since`) and will change next (`until`).
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

impl Ring {
    /// Tests each key and prepares the set for `now`.
    fn new(set: KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Result<Self, KeyError> {
        set.self_test()?;
        set.signing(now)?;
        let ring = Self::prepare(set, lead, now);
        // The JWKS is read back as a peer reads it, so that wxmint never publishes a key that peers cannot use, or a
        // private member.
        match PublishedKeys::read(&ring.jwks)?.refused.pop() {
            Some(refused) => Err(refused),
            None => Ok(ring),
        }
    }

    /// Prepares a set for `now`, without testing its keys.
    pub fn prepare(set: KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Self {
        let jwks = serde_json::to_vec(&set.visible(now).collect::<PublicKeySet<'_>>()).expect("strings serialize");
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, &jwks).as_ref()[..16]));
        let (since, until) = set.changes_around(now);
        Self { set, lead, jwks, etag, since, until }
    }

    /// Whether the ring is also right at `now`, which may lie before the time that it was prepared for.
    fn holds(&self, now: DateTime<Utc>) -> bool {
        self.since.is_none_or(|at| at <= now) && self.until.is_none_or(|at| now < at)
    }

    /// Seconds for which a cache may keep the JWKS: [`max_age`].
    pub fn max_age(&self, now: DateTime<Utc>) -> i64 {
        max_age(self.set.lives(), self.lead, now).num_seconds()
    }
}

/// Holds the current [`Ring`] for all workers. A reader keeps its ring even if another one is put in use meanwhile.
pub struct KeyRing {
    ring: ArcSwap<Ring>,
    ended: ArcSwap<Vec<String>>,
}

impl KeyRing {
    /// `lead` is how long keys are published before they sign.
    pub fn new(set: KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Result<Self, KeyError> {
        Ok(Self { ring: ArcSwap::from_pointee(Ring::new(set, lead, now)?), ended: ArcSwap::default() })
    }

    /// The ring for `now`. The JWKS is prepared again when the clock has passed a key's `nbf` or `exp`, either way.
    pub fn at(&self, now: DateTime<Utc>) -> Arc<Ring> {
        loop {
            let current = self.current();
            if current.holds(now) {
                return current;
            }
            if let Some(renewed) = self.renew(&current, now) {
                return renewed;
            }
        }
    }

    /// Replaces `current` by the same keys, prepared for `now`; `None` if another ring has been put in use meanwhile,
    /// which must stay.
    fn renew(&self, current: &Arc<Ring>, now: DateTime<Utc>) -> Option<Arc<Ring>> {
        let renewed = Arc::new(Ring::prepare(current.set.clone(), current.lead, now));
        let replaced = self.ring.compare_and_swap(current, Arc::clone(&renewed));
        Arc::ptr_eq(&replaced, current).then_some(renewed)
    }

    /// The ring as it was last prepared, for what does not depend on the time.
    pub fn current(&self) -> Arc<Ring> {
        self.ring.load_full()
    }

    /// The ids of the keys in use that verifiers refuse, because the revocation feed says that they are ended.
    pub fn ended(&self) -> Arc<Vec<String>> {
        self.ended.load_full()
    }

    /// Notes that the feed says so of these keys. A key that was noted stays noted while it is visible, because nothing
    /// revives what it has signed.
    pub fn note_ended(&self, found: Vec<String>, now: DateTime<Utc>) {
        let (ring, before) = (self.at(now), self.ended());
        let is_ended = |kid: &String| found.contains(kid) || before.contains(kid);
        let ended = ring.set.visible(now).map(|key| key.kid().to_owned()).filter(is_ended).collect();
        self.ended.store(Arc::new(ended));
    }

    /// Puts another set in use if all its keys pass their tests; otherwise the current set stays in use.
    pub fn swap(&self, set: KeySet, now: DateTime<Utc>) -> Result<(), KeyError> {
        self.ring.store(Arc::new(Ring::new(set, self.current().lead, now)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateJwk;

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

    #[test]
    fn a_set_that_is_put_in_use_while_a_document_is_prepared_stays_in_use() {
        let key = |nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key");
        let set = |keys: &[PrivateJwk]| KeySet::parse(&StoredKeys::of(keys).content()).expect("a set");
        let (old, next, new) = (key(0), key(100), key(50));
        let keys = KeyRing::new(set(&[old, next]), TimeDelta::seconds(10), at(60)).expect("a ring");

        // A request has found that the document does not hold any more, then the file is read again.
        let found = keys.current();
        keys.swap(set(std::slice::from_ref(&new)), at(100)).expect("a ring");
        assert!(keys.renew(&found, at(100)).is_none(), "another ring is in use");
        assert_eq!(keys.at(at(100)).set.signing(at(100)).expect("a key").public().kid(), new.kid());
    }

    #[test]
    fn a_cache_never_keeps_the_set_past_the_next_keys_first_signature() {
        let keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1)).expect("a ring");
        for (now, max_age) in [(1, 300), (700, 300), (701, 299), (999, 1), (1000, 300)] {
            assert_eq!(ring.at(at(now)).max_age(at(now)), max_age, "at {now}");
        }
        assert!(!String::from_utf8_lossy(&ring.at(at(2)).jwks).contains("\"d\""));
    }

    #[test]
    fn a_key_that_a_wrong_clock_hid_is_visible_again_once_the_clock_is_right() {
        let mut keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        keys[0].exp = Some(at(2000).timestamp());
        let set = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1500)).expect("a ring");
        let visible = |now| String::from_utf8_lossy(&ring.at(at(now)).jwks).matches("kid").count();
        assert_eq!([1500, 2500, 1500, 500, 1999, 2000].map(visible), [2, 1, 2, 2, 2, 1]);
    }

    #[test]
    fn a_key_that_was_ended_stays_ended_while_it_is_visible() {
        let mut keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        keys[0].exp = Some(at(2000).timestamp());
        let (old, new) = (keys[0].kid().to_owned(), keys[1].kid().to_owned());
        let set = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1500)).expect("a ring");
        let noted = |found: &[&String], now| {
            ring.note_ended(found.iter().map(|&kid| kid.clone()).collect(), at(now));
            ring.ended().to_vec()
        };
        assert_eq!(noted(&[&old, &"a stranger".to_owned()], 1500), [old.as_str()]);
        assert_eq!(noted(&[], 1999), [old.as_str()], "an end that the store has lost still holds");
        assert_eq!(noted(&[&new], 1999), [old.as_str(), new.as_str()]);
        assert_eq!(noted(&[&old], 2000), [new.as_str()], "it is out of sight");
    }
}
