//! The keys in use and the JWKS that publishes them: one immutable value, which is replaced as a whole when the file
//! changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use wxmint_verify::{KeyError, PublicKeySet, PublishedKeys};

use super::{KeySet, SigningKey, rotation};

/// A key set with all that signing and publishing need at one time. JWKS and ETag are computed once per change of the
/// keys, not per request.
pub struct Ring {
    set: KeySet,
    lead: TimeDelta,
    jwks: Vec<u8>,
    etag: String,
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

    pub fn signing(&self, now: DateTime<Utc>) -> Result<&SigningKey, KeyError> {
        self.set.signing(now)
    }

    pub fn set(&self) -> &KeySet {
        &self.set
    }

    pub fn jwks(&self) -> &[u8] {
        &self.jwks
    }

    /// A strong ETag of the JWKS, with its quotes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Seconds for which a cache may keep the JWKS: [`rotation::max_age`].
    pub fn max_age(&self, now: DateTime<Utc>) -> i64 {
        rotation::max_age(self.set.lives(), self.lead, now).num_seconds()
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

    /// The ring for `now`. The JWKS is prepared again when the clock has passed a key's `nbf` or `exp`, in either
    /// direction.
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
    use crate::{PrivateJwk, StoredKeys};
    use wxmint_verify::Algorithm;

    #[test]
    fn a_set_that_is_put_in_use_while_a_document_is_prepared_stays_in_use() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let key = |nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key");
        let set = |keys: &[PrivateJwk]| KeySet::parse(&StoredKeys::of(keys).content()).expect("a set");
        let (old, next, new) = (key(0), key(100), key(50));
        let keys = KeyRing::new(set(&[old, next]), TimeDelta::seconds(10), at(60)).expect("a ring");

        // A request has found that the document does not hold any more, then the file is read again.
        let found = keys.current();
        keys.swap(set(std::slice::from_ref(&new)), at(100)).expect("a ring");
        assert!(keys.renew(&found, at(100)).is_none(), "another ring is in use");
        assert_eq!(keys.at(at(100)).signing(at(100)).expect("a key").public().kid(), new.kid());
    }

    #[test]
    fn a_cache_never_keeps_the_set_past_the_next_keys_first_signature() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1)).expect("a ring");
        for (now, max_age) in [(1, 300), (700, 300), (701, 299), (999, 1), (1000, 300)] {
            assert_eq!(ring.at(at(now)).max_age(at(now)), max_age, "at {now}");
        }
        assert!(!String::from_utf8_lossy(ring.at(at(2)).jwks()).contains("\"d\""));
    }

    #[test]
    fn a_key_that_a_wrong_clock_hid_is_visible_again_once_the_clock_is_right() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let mut keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        keys[0].exp = Some(at(2000).timestamp());
        let set = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1500)).expect("a ring");
        let visible = |now| String::from_utf8_lossy(ring.at(at(now)).jwks()).matches("kid").count();
        assert_eq!([1500, 2500, 1500, 500, 1999, 2000].map(visible), [2, 1, 2, 2, 2, 1]);
    }

    #[test]
    fn a_key_that_was_ended_stays_ended_while_it_is_visible() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
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
